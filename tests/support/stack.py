"""A whole installation: ``browserpool up`` as a process, in a directory of its own, with everything that it starts.

``with stack.running(pools=[stack.pool("main", replicas=4)]) as up: ...``. All of it is plain code without an event loop, so that a
fixture of any scope may hold one. Its temporary directory is its own too, so that what is left there afterwards is known to be its.
"""

import contextlib
import dataclasses
import datetime
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import yaml

from browserpool.lib import clock
from browserpool.model import sessions as model
from browserpool.store import connect
from support import waiting

START_DEADLINE = 90.0
STOP_DEADLINE = 60.0
WHOLE_DEADLINE = 30.0
"""Seconds for a pool to be whole again. Two or three on an idle machine; the test machine seldom is."""
_PLANNING = datetime.timedelta(milliseconds=100)


def pool(name: str = "main", *, replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """A manifest whose pages may reach loopback, where the tests' pages are."""
    return {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "egress": {"allow": ["127.0.0.0/8"]}, **spec},
    }


# ---------------------------------------------------------------- processes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process as it was when it was looked at. ``started`` (clock ticks) tells it from a later one of the same pid."""

    pid: int
    parent: int
    started: int
    state: str
    command: str

    @property
    def alive(self) -> bool:
        """Whether it still is that process, and not a dead one that waits to be reaped."""
        now = _look(self.pid)
        return now is not None and now.started == self.started and now.state not in ("Z", "X")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def resident_bytes(self) -> int:
        """Resident memory; 0 if it is gone."""
        try:
            fields = pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def proportional_bytes(self) -> int:
        """Memory, with what it shares divided among those who share it; 0 if it is gone."""
        try:
            rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        except OSError:
            return 0
        return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def _look(pid: int) -> Process | None:
    try:
        entry = pathlib.Path(f"/proc/{pid}")
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    return Process(pid=pid, state=fields[0], parent=int(fields[1]), started=int(fields[19]), command=command)


def everything() -> list[Process]:
    """All processes that may be seen."""
    pids = [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()]
    return [found for pid in pids if (found := _look(pid)) is not None]


# ---------------------------------------------------------------- the installation

_PLAIN = {
    "NO_COLOR": "1",
    # A request that is sent twice is to be done twice, unless the cache is what a test is about.
    "BROWSERPOOL_CACHE": "off",
}


class Stack:
    """``url`` and ``token`` are the client's, ``data`` is the directory that ``--data`` names."""

    def __init__(
        self, *, home: pathlib.Path, nodes: int, environment: Mapping[str, str], python: str = sys.executable
    ) -> None:
        self.home = home
        self.data = home / "data"
        self.temporary = home / "tmp"
        self.manifest = home / "pools.yaml"
        self.url = ""
        self._nodes = nodes
        self._environment = environment
        self._python = python
        self._seen: dict[tuple[int, int], Process] = {}
        self.process: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------ its life

    def spawn(self, *, beside: str = "output") -> subprocess.Popen[bytes]:
        """An ``up`` on this directory, not waited for; its output goes to the file ``beside`` it."""
        command = ["-m", "browserpool", "up", "-f", str(self.manifest), "--port", "0", "--data", str(self.data)]
        with (self.home / beside).open("wb") as output:
            return subprocess.Popen(
                [self._python, *command, "--nodes", str(self._nodes)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_PLAIN, **self._environment, "TMPDIR": str(self.temporary)},
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it and wait until every pool is whole."""
        self.process = self.spawn()
        end = clock.monotonic() + START_DEADLINE
        while not (ready := [line for line in self.said().splitlines() if line.startswith("ready: ")]):
            if clock.monotonic() > end or self.process.poll() is not None:
                said = self.said()
                self.stop()
                raise AssertionError(f"`up` did not become ready. It said:\n{said}\n{self.logs()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        self.url = ready[0].removeprefix("ready: ").strip()
        self.look()

    def stop(self, *, number: signal.Signals = signal.SIGTERM, deadline: float = STOP_DEADLINE) -> int:
        """Tell it to stop, wait, and answer its exit code; safe to call twice."""
        assert self.process is not None, "started before"
        if self.process.poll() is None:
            self.look()
            self.process.send_signal(number)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            for one in [*self.processes(), *filter(None, [_look(self.process.pid)])]:
                one.kill()
            self.process.wait(deadline)
            raise

    def leftovers(self) -> list[str]:
        """What a stopped installation must not leave: processes, locks, temporary files."""
        processes = {(one.pid, one.started): one for one in self._seen.values() if one.alive}
        processes |= {(one.pid, one.started): one for one in everything() if str(self.home) in one.command}
        files = [self.data / "lock", self.data / "url", self.data / "postgres" / "postmaster.pid"]
        return [
            *(f"process {one.pid}: {one.command[:100]}" for one in processes.values()),
            *(str(path) for path in files if path.exists()),
            *(str(path) for path in self.temporary.iterdir()),
        ]

    def said(self, *, beside: str = "output") -> str:
        """What it wrote to its terminal."""
        return (self.home / beside).read_text(errors="replace") if (self.home / beside).exists() else ""

    def log(self, name: str) -> str:
        """The log of one process (``up``, ``router``, ``postgres``, a browser's name)."""
        path = self.data / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self, *, lines: int = 15) -> str:
        """The ends of all logs, for a failure's message."""
        ends = {path: path.read_text(errors="replace").splitlines() for path in (self.data / "logs").glob("*.log")}
        return "\n".join("\n".join([f"--- {path.name}", *ends[path][-lines:]]) for path in sorted(ends))

    # ------------------------------------------------------------ its processes

    def processes(self) -> list[Process]:
        """All that descends from ``up``, without it."""
        assert self.process is not None, "started before"
        found, parents = [], {self.process.pid}
        rest = everything()
        while children := [one for one in rest if one.parent in parents]:
            found += children
            parents = {one.pid for one in children}
        return found

    def look(self) -> None:
        """Remember what runs now, so that ``leftovers`` knows it again."""
        self._seen |= {(one.pid, one.started): one for one in self.processes()}

    def _running(self, part: str) -> list[Process]:
        found = [one for one in self.processes() if part in one.command and one.state != "Z"]
        self._seen |= {(one.pid, one.started): one for one in found}
        return found

    def router(self) -> Process:
        (found,) = self._running("-m browserpool.router")
        return found

    def agents(self) -> list[Process]:
        return self._running("-m browserpool.agent")

    def postgres(self) -> Process:
        (found,) = self._running(f"bin/postgres -D {self.data}")
        return found

    def chromiums(self) -> list[Process]:
        """The browser processes; each leads its group."""
        return [one for one in self._running("--remote-debugging-port") if "--type=" not in one.command]

    def renderers(self) -> list[Process]:
        return self._running("--type=renderer")

    # ------------------------------------------------------------ its doors

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def websocket(self) -> str:
        return self.url.replace("http:", "ws:")

    def client(self, *, token: str | None = None) -> aiohttp.ClientSession:
        """An HTTP client that may come in; ``token`` in the place of the installation's own."""
        headers = {"Authorization": f"Bearer {token}"} if token else self.headers
        return aiohttp.ClientSession(
            self.url,
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=100),
        )

    @property
    def dsn(self) -> str:
        return f"host={self.data / 'postgres'} user=postgres dbname=postgres"

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[connect.Database]:
        """The installation's own database."""
        async with connect.opened(self.dsn, process="test", max_size=2) as db:
            yield db

    # ------------------------------------------------------------ its state

    async def status(self) -> dict[str, Any]:
        """What ``/v1/status`` says."""
        async with self.client() as http, http.get("/v1/status") as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found

    async def whole(self, *, deadline: float = WHOLE_DEADLINE) -> dict[str, Any]:
        """Wait until each region has its browsers, all ready and well, and no session is live; answers the status."""
        seen: dict[str, Any] = {}

        async def is_whole() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                seen.update(await self.status())
                return not seen["sessions"] and not missing(seen)
            return False

        try:
            await waiting.until(is_whole, deadline=deadline, every=0.05)
        except TimeoutError:
            raise AssertionError(
                f"the pools are not whole after {deadline:g} s: {missing(seen)}, sessions {seen.get('sessions')}\n{self.logs()}"
            ) from None
        return seen

    async def past(self) -> list[model.Past]:
        """Every session that has ended, oldest first."""
        async with self.store() as db:
            return await past(db)


_PAST = b"""
select session_id, browser_id, fence, pool, region, zone, node, kind::text as kind, token, holder, started_at, ended_at, reason
from sessions order by started_at
"""


async def past(db: connect.Database) -> list[model.Past]:
    """Every session that has ended, oldest first."""
    return await connect.fetch(db, _PAST, {}, into=model.Past)


def overlaps(past: Sequence[model.Past]) -> list[str]:
    """Sessions that were on a browser while another one was: by fences, which order them strictly, and by times.

    A claim's time is when its statement began. It may have had to be planned before it saw a release that began later: hence the slack.
    """
    found = []
    for browser in {one.browser_id for one in past}:
        here = sorted((one for one in past if one.browser_id == browser), key=lambda one: one.fence)
        for one, another in itertools.pairwise(here):
            if one.fence == another.fence or one.ended_at > another.started_at + _PLANNING:
                found.append(f"{browser}: {one} and {another}")
    return found


def missing(status: Mapping[str, Any]) -> list[str]:
    """What each region lacks, or has too much of."""
    wrong = []
    for one in status.get("pools", ()):
        for region in one["regions"]:
            wanted = dict.fromkeys(region["states"], 0) | {"ready": region["replicas"]}
            if region["states"] != wanted:
                wrong.append(f"{one['name']} in {region['name']} has {region['states']}")
    unwell = [browser["browser_id"] for browser in status.get("browsers", ()) if not browser["healthy"]]
    return wrong + [f"{name} is unwell" for name in unwell]


@contextlib.contextmanager
def prepared(
    *,
    pools: Sequence[Mapping[str, Any]],
    nodes: int = 2,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Stack]:
    """A directory with the manifest, nothing started; whatever runs at the end is killed, and the directory removed."""
    # Short, because a Unix socket's path is; passable, because as root Postgres runs as a user of its own.
    home = pathlib.Path(tempfile.mkdtemp(prefix="bp-e2e-"))
    try:
        home.chmod(0o755)
        (home / "tmp").mkdir()
        (home / "pools.yaml").write_text(yaml.safe_dump_all(pools))
        stack = Stack(home=home, nodes=nodes, environment=environment or {}, python=python)
        try:
            yield stack
        finally:
            if stack.process is not None and stack.process.poll() is None:
                stack.stop()
    finally:
        shutil.rmtree(home)


@contextlib.contextmanager
def running(
    *, pools: Sequence[Mapping[str, Any]], nodes: int = 2, environment: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """An installation that serves; at the end it is stopped, and must leave nothing."""
    with prepared(pools=pools, nodes=nodes, environment=environment) as stack:
        stack.start()
        yield stack
        assert stack.stop() == 0, stack.said() + stack.logs()
        assert stack.leftovers() == []
