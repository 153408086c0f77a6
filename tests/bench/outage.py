"""How fast claims leave a region whose database has stopped, and how fast they come back; the other region's go on meanwhile."""

import asyncio
import contextlib
import itertools
import statistics

import psycopg

from bench import figures, pgbench
from browserpool.lib import chance, clock, tasks
from browserpool.model import claims, errors
from browserpool.model.heartbeats import Heartbeat
from browserpool.model.names import HOME as OWN
from browserpool.model.names import BrowserId, DatabaseName, HolderId, Incarnation, PoolName, RegionName, SessionId
from browserpool.store import claims as store
from browserpool.store import connect, databases, heartbeats, leases
from support import postgres

ROUNDS = 8
BROWSERS = 2_000
PACE = 0.01
"""Seconds between two claims: no figure is finer than this."""
DEADLINE = 60.0
BEAT_EVERY = 5.0
TOGETHER = 20
"""Browsers whose heartbeats are written together."""
EU = DatabaseName("eu/dsn")


def fresh_id():
    return SessionId(chance.unique_id())


def request():
    # The backup is a region of the same name here: what tells the two apart is the database that answers.
    return claims.ClaimRequest(
        session_id=fresh_id(), pool=PoolName("bench"), region=RegionName("eu"), backup=RegionName("eu"), spill_when_stale=True,
        spill_when_empty=True,
        kind=claims.SessionKind.ACTION, keep_alive=10, holder=HolderId("bench"), databases=(EU,), backup_databases=(OWN,),
    )  # fmt: skip


class Clients:
    """Claims, one after the other, each released at once; ``first_in`` waits for the first that a database serves."""

    def __init__(self, stores, background):
        self._stores = stores
        self._background = background
        self._served = {}
        self.slowest = 0.0
        self.failed = 0

    async def run(self):
        while True:
            began = clock.monotonic()
            try:
                claimed = await store.claim(self._stores, request(), freshness=1e6, fresh_id=fresh_id)
            except errors.Unavailable:
                self.failed += 1
            else:
                self._note(claimed.answer.claim, began)
                self._background.spawn(self._release(claimed.answer.claim), name="release")
            await asyncio.sleep(PACE)

    def _note(self, claim, began):
        now = clock.monotonic()
        self.slowest = max(self.slowest, now - began)
        if (reached := self._served.pop(claim.database, None)) is not None:
            reached.set_result(now)

    async def _release(self, claim):
        try:
            db = self._stores.of(claim.database)
            await leases.release(db, session_id=claim.session_id, fence=claim.fence, clean=True)
        except errors.Unavailable:
            return

    def first_in(self, database):
        self._served[database] = asyncio.get_running_loop().create_future()
        return self._served[database]


async def beat(stores):
    """What the region's agents say, each every ``BEAT_EVERY`` seconds: after a crash no browser is claimed before it has spoken."""
    for sequence in itertools.count(1):
        for first in range(1, BROWSERS, TOGETHER):
            said = [
                Heartbeat(
                    browser_id=BrowserId(f"bench-eu-{number}"),
                    incarnation=Incarnation(1),
                    sequence=sequence,
                    healthy=True,
                    clean_fence=0,
                )
                for number in range(first, first + TOGETHER)
            ]
            with contextlib.suppress(errors.Unavailable):
                await heartbeats.write(stores.of(EU), said)
            await asyncio.sleep(BEAT_EVERY * TOGETHER / BROWSERS)


async def measure(home_dsn, server, progress):
    went, came = [], []
    async with (
        asyncio.timeout(ROUNDS * DEADLINE),
        connect.opened(home_dsn, process="bench", max_size=4) as home,
        tasks.Background(grace=0) as background,
    ):
        opening = databases.Opening(directory=str(server.folder / "secrets"), process="bench", max_size=4)
        stores = databases.Databases(home, opening)
        stores.follow([EU])
        await stores.tried(within=DEADLINE)
        clients = Clients(stores, background)
        background.spawn(clients.run(), name="claims")
        background.spawn(beat(stores), name="heartbeats")
        for _ in progress(range(ROUNDS), "a database stops"):
            await clients.first_in(EU)
            await asyncio.sleep(chance.jitter(databases.PROBE_EVERY / 2, share=1))
            moved = clients.first_in(OWN)
            stopped = clock.monotonic()
            stopping = background.spawn(asyncio.to_thread(server.stop, "immediate"), name="stop")
            went.append(await moved - stopped)
            await stopping
            await asyncio.to_thread(server.start)
            started, back = clock.monotonic(), clients.first_in(EU)
            came.append(await back - started)
        await stores.close()
    return went, came, clients


def run(progress):
    with pgbench.database() as home_dsn, postgres.server(on_disk=True) as server:
        postgres.make_template(server)
        with postgres.clone(server) as eu_dsn:
            for dsn in (home_dsn, eu_dsn):
                pgbench.fill(dsn, BROWSERS)
            with psycopg.connect(eu_dsn, autocommit=True) as connection:
                connection.execute("update browsers set last_seen = now()")
            folder = server.folder / "secrets" / "eu"
            folder.mkdir(parents=True)
            (folder / "dsn").write_text(eu_dsn)
            went, came, clients = asyncio.run(measure(home_dsn, server, progress))
    found = [
        figures.Figure(name=f"{name}{which}", value=of(seconds), unit="s")
        for name, seconds in (
            ("a region's database is told to stop, until the backup serves a claim", went),
            ("it takes connections again, until the region serves a claim", came),
        )
        for which, of in ((": median", statistics.median), (": slowest", max))
    ]
    return [
        *found,
        figures.Figure(name="a region's database stops: slowest claim meanwhile", value=clients.slowest, unit="s"),
        figures.Figure(name="a region's database stops: claims that failed", value=clients.failed, unit=""),
    ]
