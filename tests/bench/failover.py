"""How fast claims leave a region whose heartbeats lag, and how fast they come back.

One browser's row is locked by a stranger, as by a statement that hangs: the batch with its heartbeat cannot be written, and the region's
lag grows. Claims are asked for all the time; the region has ready browsers throughout, so that only its lag sends them to the backup.
"""

import asyncio
import contextlib
import statistics

import psycopg

from bench import figures, fleet, pgbench
from browserpool.lib import chance, clock, tasks
from browserpool.model import claims, errors
from browserpool.model.names import HolderId, PoolName, RegionName, SessionId
from browserpool.store import connect, heartbeats, leases
from support import waiting

ROUNDS = 8
BROWSERS = 2_000
INTERVAL = 5.0
PACE = 0.01
"""Seconds between two claims: no figure is finer than this."""
DEADLINE = 60.0
SETTINGS = heartbeats.BatchSettings()
HOME, BACKUP = RegionName("eu"), RegionName("us")


def request():
    return claims.ClaimRequest(
        session_id=SessionId(chance.unique_id()), pool=PoolName("bench"), region=HOME, backup=BACKUP, spill_when_stale=True,
        kind=claims.SessionKind.ACTION, keep_alive=10, holder=HolderId("bench"),
    )  # fmt: skip


def prepare(dsn):
    """Half of the browsers in either region."""
    pgbench.fill(dsn, 2 * BROWSERS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "update browsers set region = 'us', region_shelf = shelf('bench', 'us', '') where substr(browser_id, 10)::int > %s",
            (BROWSERS,),
        )
        connection.execute("vacuum (analyze) browsers")


class Clients:
    """Claims, one after the other, each released at once; ``reached`` waits for the first that a region serves."""

    def __init__(self, db):
        self._db = db
        self._served = {}

    async def run(self):
        while True:
            wanted = request()
            answer = await leases.claim(self._db, wanted, freshness=1e6)
            now = clock.monotonic()
            if answer.claim is not None:
                if (reached := self._served.pop(answer.claim.region, None)) is not None:
                    reached.set_result(now)
                with contextlib.suppress(errors.Unavailable):  # it may have claimed the very row that is locked
                    await leases.release(self._db, session_id=wanted.session_id, fence=answer.claim.fence, clean=True)
            await asyncio.sleep(PACE)

    def first_in(self, region):
        self._served[region] = asyncio.get_running_loop().create_future()
        return self._served[region]


async def one(connection, writer, clients):
    """Seconds from a lag over the bound to the first claim in the backup, and from the lock's end to the first claim at home."""
    moved = clients.first_in(BACKUP)
    with connection.transaction():
        connection.execute("select from browsers where browser_id = 'bench-eu-7' for update")
        await waiting.until(lambda: writer.lag() > SETTINGS.max_lag, deadline=DEADLINE)
        late = clock.monotonic()
        went = await moved - late
    unlocked, home = clock.monotonic(), clients.first_in(HOME)
    came = await home - unlocked
    return went, came


async def measure(dsn, progress):
    went, came = [], []
    with psycopg.connect(dsn, autocommit=True) as connection:
        async with (
            asyncio.timeout(ROUNDS * DEADLINE),
            connect.opened(dsn, process="bench", max_size=6) as db,
            heartbeats.BatchWriter(db, SETTINGS, regions=[HOME], writer=HolderId("bench")) as writer,
            tasks.Background(grace=0) as background,
        ):
            agents = fleet.Fleet(writer, first=1, count=BROWSERS, interval=INTERVAL, sequence=1)
            clients = Clients(db)
            background.spawn(agents.run(clock.monotonic() + ROUNDS * DEADLINE), name="heartbeats")
            background.spawn(clients.run(), name="claims")
            for _ in progress(range(ROUNDS), "failover"):
                await clients.first_in(HOME)
                # At any moment of the second after which the lag is recorded again; a round ends just after one.
                await asyncio.sleep(chance.jitter(SETTINGS.lag_interval / 2, share=1))
                out, back = await one(connection, writer, clients)
                went.append(out)
                came.append(back)
    return went, came


def run(progress):
    with pgbench.database() as dsn:
        prepare(dsn)
        went, came = asyncio.run(measure(dsn, progress))
    return [
        figures.Figure(
            name=f"{name}{which}", value=of(seconds), unit="s"
        )
        for name, seconds in (
            ("a region's lag passes 2 s, until the backup serves a claim", went),
            ("what held its heartbeats up is over, until the region serves a claim again", came),
        )
        for which, of in ((": median", statistics.median), (": slowest", max))
    ]  # fmt: skip
