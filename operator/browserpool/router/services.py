"""What the handlers work with: the process's parts, and one request's call."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from browserpool.lib import chance, tasks
from browserpool.model import agentapi, claims, errors, tokens
from browserpool.model import terms as session_terms
from browserpool.model.names import HolderId, PoolName, SessionId, TokenName
from browserpool.router import (
    addresses,
    agents,
    catalog,
    claiming,
    dbclock,
    holding,
    outcomes,
    place,
    quotas,
    remote,
    secretfiles,
    settings,
    target,
    waiting,
)
from browserpool.router.ai import client
from browserpool.router.cache import keeping
from browserpool.router.mcpserver import hosting
from browserpool.router.openapi import documentation
from browserpool.router.spilling import breaker, turns
from browserpool.store import connect, databases, everywhere, writers


@dataclasses.dataclass(slots=True, kw_only=True)
class Services:
    """The parts of this process; made once, in ``app``."""

    settings: settings.RouterSettings
    holder: HolderId
    place: place.Place
    db: connect.Database
    """The installation's own, which has all that belongs to no region."""
    databases: databases.Databases
    database_clock: dbclock.DatabaseClock
    catalog: catalog.Catalog
    quotas: quotas.Quotas
    cache: keeping.Cache
    mcp: hosting.Host
    models: client.Models
    agents: agents.Agents
    claiming: claiming.Claiming
    heartbeats: writers.Writers
    outcomes: outcomes.Outcomes
    background: tasks.Background
    remote: remote.Remote
    secrets: secretfiles.SecretFiles
    breakers: breaker.Breakers
    turns: turns.Turns
    documentation: documentation.Documentation
    days: everywhere.Days = dataclasses.field(default_factory=everywhere.Days)
    """What tokens' browsers were held for today."""
    stopping: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    cdp_stopping: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    running: int = 0
    """Client requests under way, CDP connections not counted."""
    crawl_wake: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    """A crawl was made here just now."""
    chromium: str = ""
    """The newest product string that an agent gave, for the public /json/version."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, and who makes it. ``caller`` is there behind every door but the public one."""

    services: Services
    request: web.Request
    caller: tokens.Token | None = None

    @property
    def token(self) -> tokens.Token:
        assert self.caller is not None, "this address has a public door"
        return self.caller

    @property
    def owner(self) -> TokenName | None:
        """Whose sessions an answer may name; ``None``: everybody's, to an admin."""
        return None if self.token.admin else self.token.name

    @property
    def origin(self) -> str:
        """``http://host:port`` by which the client calls this router, or the sidecar in front of it."""
        request = self.request
        return addresses.origin(
            scheme=request.scheme,
            host=request.host,
            said=request.headers.get(agentapi.BASE),
            public_url=self.services.settings.public_url,
        )

    @property
    def patience(self) -> waiting.Patience | None:
        """How long the request itself says that it may wait; ``None``: as the pool has it."""
        return waiting.FOR_A_LINE if self.request.headers.get(agentapi.WAIT) == "0" else None

    def _target(self, kind: claims.SessionKind) -> target.Target:
        services = self.services
        wishes = target.wishes(
            query=self.request.query,
            headers=self.request.headers,
            place_header=services.settings.place_header,
        )
        return target.resolve(
            wishes,
            pools=services.catalog.pools,
            grant=target.Grant(token=self.token.name, pools=self.token.pools),
            home=target.standing(wishes.node, home=services.place.home, nodes=services.catalog.nodes),
            kind=kind,
            session_id=SessionId(chance.unique_id()),
            holder=services.holder,
            action_lease=services.settings.action_lease,
        )

    async def wanted(
        self, kind: claims.SessionKind, *, terms: session_terms.Terms = session_terms.NONE
    ) -> target.Target:
        """What the request wants claimed, to be bound to ``terms``; looked at once more with fresh eyes if there is no such pool.

        Raises:
            errors.NotFound, errors.Forbidden, errors.InvalidRequest: as ``target.resolve``.
        """
        try:
            return self._target(kind).bound(terms)
        except errors.NotFound:
            await self.services.catalog.hurry()
            return self._target(kind).bound(terms)

    async def enter(self) -> None:
        """Count one more session of the caller's, until ``Quotas.leave``.

        Raises:
            errors.TooManyRequests: as many as allowed run already.
        """
        token, quotas, held = self.token, self.services.quotas, self.services.claiming.holding
        wait = holding.SOON
        if token.concurrency is not None and quotas.running(token.name) >= token.concurrency:
            await held.recheck(token.name)
            # Looked for only here: it goes through every session that this router holds.
            wait = held.soonest(token.name)
        quotas.enter(token.name, concurrency=token.concurrency, wait=wait)

    @contextlib.asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """``enter``, and ``Quotas.leave`` after the block."""
        await self.enter()
        try:
            yield
        finally:
            self.services.quotas.leave(self.token.name)

    def may_use(self, pool: PoolName, owner: TokenName | None) -> bool:
        """Whether the caller may touch a session: it is his own, or he is an admin. One without an owner is of all who may use its pool.

        Only a BrowserSession object that names no token makes a session without an owner; its id is not to be guessed.
        """
        token = self.token
        own = owner is None or token.name == owner
        return token.admin or (own and (token.pools is None or pool in token.pools))


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
