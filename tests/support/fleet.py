"""Browsers as the store sees them, without any: registered, greeted and kept alive by hand."""

import itertools
from typing import Any

from browserpool.model import names
from browserpool.model.browsers import Browser, Registration
from browserpool.model.claims import ClaimAnswer, ClaimRequest, SessionKind
from browserpool.model.heartbeats import Heartbeat, Hello, Reply, Welcome
from browserpool.model.names import BrowserId, HolderId, NodeName, PoolName, RegionName, SessionId, ZoneName
from browserpool.store import browsers, connect, heartbeats, leases

POOL = PoolName("default")
HOLDER = HolderId("router-1")


def request(session: str, *, region: str = "eu", **more) -> ClaimRequest:
    """A claim of the default pool with a lease of a minute."""
    wanted = {"pool": POOL, "kind": SessionKind.CDP, "keep_alive": 60.0, "holder": HOLDER} | more
    return ClaimRequest(session_id=SessionId(session), region=RegionName(region), **wanted)


class Agent:
    """What an agent would say, said when the test wants it."""

    def __init__(self, db: connect.Database, browser_id: BrowserId, welcome: Welcome) -> None:
        self._db = db
        self._sequence = itertools.count(1)
        self.browser_id = browser_id
        self.incarnation = welcome.incarnation
        self.clean_fence = welcome.fence

    def word(self, *, healthy: bool = True, **more) -> Heartbeat:
        """The next heartbeat, not sent yet."""
        said = {"clean_fence": self.clean_fence, "sequence": next(self._sequence)} | more
        return Heartbeat(browser_id=self.browser_id, incarnation=self.incarnation, healthy=healthy, **said)

    async def beat(self, **more) -> Reply:
        """Say it and have it written."""
        word = self.word(**more)
        return (await heartbeats.write(self._db, [word]))[word.browser_id, word.incarnation]


class Fleet:
    """The browsers of a test."""

    def __init__(self, db: connect.Database) -> None:
        self.db = db
        self.agents: dict[BrowserId, Agent] = {}

    async def register(self, ordinal: int = 0, *, region: str = "eu", zone: str = "a", node: str = "n1") -> BrowserId:
        browser_id = names.browser_id(pool=POOL, region=RegionName(region), ordinal=ordinal)
        registration = Registration(
            browser_id=browser_id,
            pool=POOL,
            region=RegionName(region),
            zone=ZoneName(zone),
            node=NodeName(node),
            template_hash="t1",
        )
        await browsers.register(self.db, registration)
        return browser_id

    async def greet(self, browser_id: BrowserId) -> Agent:
        word = Hello(browser_id=browser_id, address=f"{browser_id}:9000", chromium="Chrome/1")
        welcome = await browsers.hello(self.db, word)
        assert welcome is not None
        self.agents[browser_id] = Agent(self.db, browser_id, welcome)
        return self.agents[browser_id]

    async def ready(self, ordinal: int = 0, **where) -> Agent:
        """A browser that a claim may take."""
        agent = await self.greet(await self.register(ordinal, **where))
        await agent.beat()
        return agent

    async def row(self, browser_id: BrowserId) -> Browser:
        return next(row for row in await browsers.listing(self.db) if row.browser_id == browser_id)

    async def claim(self, session: str, **more) -> ClaimAnswer:
        return await leases.claim(self.db, request(session, **more))

    async def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The test's own hand in the database; answers the rows, if it is a question."""
        async with self.db.pool.connection() as connection:
            cursor = await connection.execute(statement.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []
