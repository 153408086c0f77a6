"""Child processes as an installation of one machine needs them.

Each child leads a session of its own (a Ctrl-C in the terminal reaches ``up`` alone, which then stops the others in order), dies with
its parent even if that is killed, and writes to a log file. ``Process`` is one run; ``Service`` keeps something running.
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import typing
from collections.abc import Mapping, Sequence

from browserpool.lib import clock, tasks

log = logging.getLogger(__name__)

_LIBC = ctypes.CDLL(None, use_errno=True)
_OWN: set[int] = set()
"""The pids of children that a ``Process`` stands for."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOG_MOST = 10 * 1024 * 1024
"""Bytes after which a log file is set aside (one older one is kept) when its process starts again."""
_KILL_GRACE = 5.0
"""Seconds that a killed process may take to be gone; the kernel needs milliseconds unless the disk hangs."""
_PROVEN = 30.0
"""Seconds after which a run counts as a success, so that the next failure is tried again at once."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. ``environment`` is the whole of it. ``account`` is (uid, gid) to become, where root must not run it.

    ``stop_signal`` asks it to end; ``death_signal`` is what the kernel sends it when this process is killed.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    log: pathlib.Path
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    account: tuple[int, int] | None = None


class Process:
    """One run of a command; made by ``start``. ``pid`` is also its session's and its process group's id."""

    def __init__(self, command: Command, child: subprocess.Popen[bytes]) -> None:
        self.command = command
        self.pid = child.pid
        self.started = clock.monotonic()
        self._child = child
        self._pidfd = os.pidfd_open(child.pid)
        self._ended = asyncio.Event()
        _OWN.add(child.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._child.wait()
        _OWN.discard(self.pid)
        kill_session(self.pid)
        self._ended.set()

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._child.returncode if self._ended.is_set() else None

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    async def wait(self) -> int:
        """Wait until it has ended."""
        await self._ended.wait()
        return int(self._child.returncode)

    async def stop(self, *, grace: float) -> int:
        """Ask it to end, kill it with all of its session after ``grace`` seconds; safe to call twice."""
        if self.running:
            self._child.send_signal(self.command.stop_signal)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.wait(), grace)
        log.warning("killed: it did not stop in time", extra={"child": self.command.name, "grace": grace})
        return await self.kill()

    async def kill(self) -> int:
        """End it now."""
        if self.running:
            self._child.kill()
        return await asyncio.wait_for(self.wait(), _KILL_GRACE)


def start(command: Command) -> Process:
    """Run ``command`` as a child of this process. Must be called from the event loop's thread: the child dies with the thread."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    _set_aside(command.log)
    identity: dict[str, typing.Any] = {}
    if command.account is not None:
        identity = {"user": command.account[0], "group": command.account[1], "extra_groups": []}
    with command.log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - our own commands
            [*_dying_with_us(command.death_signal), *command.argv],
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **identity,
        )
    return Process(command, child)


def last_words(log_file: pathlib.Path, *, lines: int = 8) -> str:
    """The end of a log file, indented, to stand in a message."""
    try:
        return "\n".join("  " + line for line in log_file.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "  (none)"


def _set_aside(path: pathlib.Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_MOST:
            path.replace(path.with_suffix(path.suffix + ".1"))


def _dying_with_us(number: signal.Signals) -> tuple[str, ...]:
    """What to put before a command so that the kernel sends it ``number`` when the thread that started it ends.

    A program that becomes the real one, since code run between fork and exec (``preexec_fn``) is not safe beside other threads.
    """
    if (setpriv := shutil.which("setpriv")) is not None:
        return (setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--")
    code = (
        f"import ctypes, os, sys; ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(number)});"
        " os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
    )
    return (sys.executable, "-I", "-S", "-c", code, str(os.getpid()))


def kill_session(session: int) -> None:
    """Kill whatever is left of a session whose leader has ended."""
    for pid, fields in _stats():
        if fields[3] == str(session) and fields[0] != "Z":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _stats() -> list[tuple[int, list[str]]]:
    """Each process's pid, and its fields of /proc/PID/stat from the state on: state, parent, group, session and so on."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.append((int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()))
    return found


# ---------------------------------------------------------------- what children leave behind
def adopt_orphans() -> None:
    """Become the parent of whatever children leave behind when they end, and collect it when it ends too.

    Agents end their Chromium, and Chromium its own; this is for those that are killed before they can.
    """
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, reap_orphans)


def reap_orphans() -> None:
    """Collect adopted children that have ended. A child of our own is left to its ``Process``, or to whoever runs it.

    What is only run (initdb) shares our session; a ``Process`` leads one, and what it leaves behind is in that or in another.
    """
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in _OWN or os.getsid(ended.si_pid) == os.getsid(
                0
            ):  # the others come when it has been collected, and the next one ends
                return
            os.waitpid(ended.si_pid, 0)


def kill_orphans() -> None:
    """End what was adopted and still runs; for the very end, when no child of our own is left."""
    own = str(os.getpid())
    for pid in [pid for pid, fields in _stats() if fields[1] == own and pid not in _OWN]:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Service:
    """Keeps one command running: when it ends by itself it is started again, after a delay that grows while it keeps failing."""

    def __init__(self, command: Command, *, grace: float, background: tasks.Background) -> None:
        self._command = command
        self._grace = grace
        self._background = background
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.process: Process | None = None
        self.starts = 0

    @property
    def running(self) -> bool:
        """False between two runs."""
        return self.process is not None and self.process.running

    def start(self) -> None:
        """Start it, and keep it so until ``stop``."""
        self._run()
        self._task = self._background.spawn(self._keep(), name=f"keep {self._command.name} running")

    def _run(self) -> None:
        self.process = start(self._command)
        self.starts += 1

    async def _keep(self) -> None:
        delays = tasks.backoff(first=0.1, most=10)
        while self.process is not None:
            code = await self.process.wait()
            if self._stop.is_set():
                return
            if clock.monotonic() - self.process.started > _PROVEN:
                delays = tasks.backoff(first=0.1, most=10)
            delay = next(delays)
            log.warning(
                "ended by itself; starting it again",
                extra={"child": self._command.name, "code": code, "log": str(self._command.log), "after": delay},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)
            if self._stop.is_set():
                return
            self._run()

    async def stop(self) -> None:
        """Stop it, within its grace and a little more."""
        self._stop.set()
        if self.process is not None:
            await self.process.stop(grace=self._grace)
        if self._task is not None:
            await self._task
