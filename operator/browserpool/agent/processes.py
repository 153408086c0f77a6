"""A child in a process group of its own, that dies when we do, and whose whole group is killed and counted.

The child asks the kernel for SIGKILL at its parent's death (``PR_SET_PDEATHSIG``), so that no way for the agent to end leaves it running.
It asks for itself, in a tiny program that then becomes the real one: code run between fork and exec (``preexec_fn``) is not
safe in a process that has threads.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

_PR_SET_DUMPABLE = 4
_DEAD = ("Z", "X")
_TRAMPOLINE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9);"  # PR_SET_PDEATHSIG, SIGKILL
    " os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


def spawn(
    argv: Sequence[str], *, environment: Mapping[str, str], standard_error: socket.socket
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in a new session and process group, with ``standard_error`` as its own. Call it from the main thread.

    The kernel ties the child to the *thread* that made it, hence the main one.

    Raises:
        OSError: it cannot be executed.
    """
    return subprocess.Popen(  # noqa: S603 - argv is ours and passes no shell
        [*_dying_with_us(), *argv],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=standard_error.fileno(),
        start_new_session=True,
    )


def _dying_with_us() -> tuple[str, ...]:
    if (setpriv := shutil.which("setpriv")) is not None:
        return (setpriv, "--pdeathsig", "KILL", "--")
    return (sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid()))


def kill_group(group: int) -> None:
    """SIGKILL to every process of ``group``; none left is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def group_is_gone(child: subprocess.Popen[bytes]) -> bool:
    """Whether nothing of the child's group runs any more; those that became our children are reaped.

    The dead ones of others do not count: their reaping is for process 1, which may take its time.
    """
    if child.poll() is None:
        return False
    with contextlib.suppress(ChildProcessError):
        # As process 1 of a container the agent inherits what its child leaves behind.
        while os.waitpid(-child.pid, os.WNOHANG) != (0, 0):
            pass
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return True
    return all(fields[0] in _DEAD for fields in _stats(child.pid))


def resident_bytes(group: int) -> int:
    """Resident memory of all processes of ``group``, summed; what they share counts for each."""
    pages = sum(int(fields[21]) for fields in _stats(group))
    return pages * os.sysconf("SC_PAGE_SIZE")


def _stats(group: int) -> Iterator[list[str]]:
    """The fields of ``/proc/<pid>/stat`` after the name, of each process of ``group``: state, parent, group and so on."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a path for each would cost more than all the rest
        with contextlib.suppress(OSError):  # it ended meanwhile
            # Asked of the kernel: to read the file of each process of the machine takes a hundred times as long.
            if name.isdigit() and os.getpgid(int(name)) == group:
                yield pathlib.Path("/proc", name, "stat").read_text().rpartition(")")[2].split()


def hide_memory() -> None:
    """Make this process's ``/proc`` entries (environment, memory) unreadable to others of the same user: Chromium is one."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
