"""``browserpool bench``: what heartbeats and sessions cost on this machine, in CPU, WAL and disk, for ``browserpool plan``.

A real Postgres and a real router are started in a directory that is thrown away; agents are played by this process, over the same HTTP.
CPU is read from /proc, so what else runs on the machine changes the time that it takes, and hardly the figures.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import pathlib
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import aiohttp
import orjson

from browserpool.lib import chance, settings, tasks
from browserpool.local import postgres, problems, processes, routing
from browserpool.model import agentapi, capacity, claims, credentials
from browserpool.model.browsers import Registration
from browserpool.model.heartbeats import Heartbeat, Hello, Welcome
from browserpool.model.names import (
    BrowserId,
    HolderId,
    NodeName,
    PoolName,
    RegionName,
    SessionId,
    ZoneName,
)
from browserpool.router import settings as router_settings
from browserpool.store import browsers, connect, heartbeats, leases, measures, migrate

KEPT = pathlib.Path("capacity.json")
"""Within the data directory."""
_POOL, _REGION = PoolName("bench"), RegionName("bench")
_TICKS = os.sysconf("SC_CLK_TCK")
_SMALL, _LARGE = 10, 100
"""Heartbeats of a batch: two sizes tell what a batch costs from what a row does."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done; the defaults take about half a minute on two cores."""

    browsers: int = 2_000
    rounds: int = 10
    """How often all browsers' heartbeats are written, at each size of batch and over HTTP."""
    sessions: int = 4_000
    at_once: int = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Agent:
    """One played agent."""

    browser_id: BrowserId
    welcome: Welcome


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """CPU seconds of the database and of one other process, and bytes of WAL."""

    database: float
    other: float
    wal: float


async def measured(size: Size | None = None, *, say: Say = lambda _: None) -> capacity.Costs:
    """Measure; nothing is left behind.

    Raises:
        problems.Problem: Postgres or the router does not start.
        errors.BrowserpoolError: the store refuses.
    """
    size = size or Size()
    with tempfile.TemporaryDirectory(prefix="browserpool-bench-") as folder:
        home = pathlib.Path(folder)
        home.chmod(0o711)  # noqa: ASYNC240 - Postgres' own account, where we are root, walks through
        async with tasks.Background(grace=5.0) as background:
            say("starting Postgres")
            data = home / "postgres"
            async with postgres.running(data, log_file=home / "postgres.log", background=background) as dsn:
                await migrate.apply(dsn)
                async with connect.opened(dsn, process="bench", max_size=size.at_once) as db:
                    bench = _Bench(db=db, data=data, size=size, agents=await _agents(db, size.browsers, say=say))
                    return await _all(bench, home=home, dsn=dsn, background=background, say=say)


async def _all(
    bench: "_Bench", *, home: pathlib.Path, dsn: str, background: tasks.Background, say: Say
) -> capacity.Costs:
    rows = bench.size.browsers * bench.size.rounds
    await bench.write(_LARGE, rounds=2)  # every page of the table has been written whole since the last checkpoint
    say("heartbeats, in small batches and in large ones")
    small = await bench.spent(lambda: bench.write(_SMALL, rounds=bench.size.rounds), pid=os.getpid())
    large = await bench.spent(lambda: bench.write(_LARGE, rounds=bench.size.rounds), pid=os.getpid())
    browsers_size = (await measures.sizes(bench.db)).browsers
    say("sessions: claims and releases")
    sessions = await bench.spent(bench.sessions, pid=os.getpid())
    sizes = await measures.sizes(bench.db)
    say("heartbeats over HTTP, through a router")
    async with _router(home, dsn=dsn, background=background) as (url, key, pid):
        await bench.over_http(url, key, rounds=1)
        http = await bench.spent(lambda: bench.over_http(url, key, rounds=bench.size.rounds), pid=pid)
    batch_cpu, row_cpu = split(small.database / rows, large.database / rows)
    batch_wal, row_wal = split(small.wal / rows, large.wal / rows)
    return capacity.Costs(
        batch_cpu=batch_cpu,
        row_cpu=row_cpu,
        batch_wal=batch_wal,
        row_wal=row_wal,
        session_cpu=sessions.database / bench.size.sessions,
        session_wal=sessions.wal / bench.size.sessions,
        router_heartbeat_cpu=http.other / rows,
        router_session_cpu=sessions.other / bench.size.sessions,
        browser_row=browsers_size / bench.size.browsers,
        history_row=sizes.sessions / sizes.ended,
    )


def split(small: float, large: float) -> tuple[float, float]:
    """From what a row costs in small batches and in large ones: what a batch costs, and what each row adds.

    Neither is under a hundredth of what a row costs: measuring is not that exact.
    """
    batch = (small - large) / (1 / _SMALL - 1 / _LARGE)
    floor = large / 100
    return max(floor, batch), max(floor, large - max(floor, batch) / _LARGE)


class _Bench:
    """The work that is measured."""

    def __init__(self, *, db: connect.Database, data: pathlib.Path, size: Size, agents: Sequence[_Agent]) -> None:
        self.db = db
        self.size = size
        self._agents = agents
        self._sequence = itertools.count(1)
        self._postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])

    async def spent(self, work: Callable[[], Awaitable[None]], *, pid: int) -> _Spent:
        """What ``work`` cost the database, and the process ``pid``."""
        before, wal = self._cpu(pid), (await measures.sizes(self.db)).wal
        await work()
        after = self._cpu(pid)
        return _Spent(
            database=after[0] - before[0],
            other=after[1] - before[1],
            wal=(await measures.sizes(self.db)).wal - wal,
        )

    def _cpu(self, pid: int) -> tuple[float, float]:
        return _cpu_of_tree(self._postmaster), _cpu_of(pid)

    def _beats(self) -> Iterable[Heartbeat]:
        sequence = next(self._sequence)
        return (
            Heartbeat(
                browser_id=one.browser_id,
                incarnation=one.welcome.incarnation,
                sequence=sequence,
                healthy=True,
                clean_fence=one.welcome.fence,
                load=0.5,
                uses=7,
                memory_bytes=200_000_000,
            )
            for one in self._agents
        )

    async def write(self, rows: int, *, rounds: int) -> None:
        """All browsers' heartbeats, ``rounds`` times over, so many in one batch."""
        for _ in range(rounds):
            beats = iter(self._beats())
            while batch := list(itertools.islice(beats, rows)):
                await heartbeats.write(self.db, batch)

    async def sessions(self) -> None:
        """Claims, each released at once."""
        left = iter(range(self.size.sessions))

        async def some() -> None:
            for _ in left:
                await self._session()

        async with asyncio.TaskGroup() as group:
            for _ in range(self.size.at_once):
                group.create_task(some())

    async def _session(self) -> None:
        request = claims.ClaimRequest(
            session_id=SessionId(chance.unique_id()),
            pool=_POOL,
            region=_REGION,
            kind=claims.SessionKind.ACTION,
            keep_alive=10,
            holder=HolderId("bench"),
        )
        answer = await leases.claim(self.db, request, freshness=3_600)
        if answer.claim is None:
            raise problems.Problem(f"A claim among {self.size.browsers} ready browsers was answered {answer.outcome}.")
        await leases.release(self.db, session_id=request.session_id, fence=answer.claim.fence, clean=True)

    async def over_http(self, url: str, signing_key: str, *, rounds: int) -> None:
        """All browsers' heartbeats as their agents send them."""
        connector = aiohttp.TCPConnector(limit=4 * _LARGE)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as http:
            for _ in range(rounds):
                beats = iter(self._beats())
                while some := list(itertools.islice(beats, 4 * _LARGE)):
                    await asyncio.gather(*(_beat(http, url, signing_key, beat) for beat in some))


async def _beat(http: aiohttp.ClientSession, url: str, signing_key: str, beat: Heartbeat) -> None:
    token = credentials.agent_token(signing_key=signing_key, browser_id=BrowserId(beat.browser_id))
    async with http.post(
        url + agentapi.ROUTER_HEARTBEAT, data=orjson.dumps(beat), headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        if answer.status != 200:
            raise problems.Problem(
                f"The router answered a heartbeat with {answer.status}: {(await answer.text())[:300]}"
            )


async def _agents(db: connect.Database, number: int, *, say: Say) -> list[_Agent]:
    """Browsers that are registered and have said hello."""
    say(f"registering {number:,} browsers")
    made: list[_Agent] = []
    left = iter(range(number))

    async def some() -> None:
        for n in left:
            browser_id = BrowserId(f"bench-bench-{n}")
            node, zone = NodeName(f"node-{n % 50}"), ZoneName(f"zone-{n % 3}")
            await browsers.register(
                db,
                Registration(
                    browser_id=browser_id, pool=_POOL, region=_REGION, zone=zone, node=node, template_hash="t"
                ),
            )
            welcome = await browsers.hello(db, Hello(browser_id=browser_id, address="127.0.0.1:9"))
            assert welcome is not None, "it was registered a moment ago"
            made.append(_Agent(browser_id=browser_id, welcome=welcome))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(some())
    return made


@contextlib.asynccontextmanager
async def _router(home: pathlib.Path, *, dsn: str, background: tasks.Background) -> AsyncIterator[tuple[str, str, int]]:
    """A router process: its address, its signing key, its pid."""
    key, log_file = chance.secret(), home / "router.log"
    port = routing.free_port("127.0.0.1", 0)
    config = router_settings.RouterSettings(dsn=dsn, signing_key=key, region=_REGION, port=port, log_level="WARNING")
    command = processes.Command(
        name="router",
        argv=[sys.executable, "-m", "browserpool.router"],
        environment={**os.environ, **settings.to_environment(config), settings.variable("regions"): _REGION},
        log=log_file,
    )
    url = f"http://127.0.0.1:{port}"
    async with routing.running(command, url=url, background=background, stop=asyncio.Event()) as service:
        assert service.process is not None, "it answers"
        yield url, key, service.process.pid


# ---------------------------------------------------------------- CPU
def _stat(pid: int) -> list[str]:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_of(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _cpu_of_tree(pid: int) -> float:
    """Of the process, of its children, and of those children that have ended."""
    own = _stat(pid)
    total = sum(int(value) for value in own[11:15]) / _TICKS
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if _stat(int(entry.name))[1] == str(pid):
                    total += _cpu_of(int(entry.name))
    return total
