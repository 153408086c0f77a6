"""The sessions that this router holds: their leases are renewed together, and who lost his is told.

* A quick action's session is renewed for as long as it is held here.
* A CDP session is renewed only if there was traffic since it was last renewed: ``keep_alive`` is a timer of inactivity.

Sessions of any router whose lease ran out are ended here too, and their agents are told at once.
"""

import asyncio
import dataclasses
import logging
import math
from collections.abc import Callable, Collection, Iterable

from browserpool.lib import clock, tasks
from browserpool.model import claims, errors
from browserpool.model import sessions as model
from browserpool.model.names import HOME, DatabaseName, HolderId, PoolName, SessionId, TokenName
from browserpool.router import agents
from browserpool.store import connect, databases, everywhere, leases, sessions

log = logging.getLogger(__name__)

IDLE = "the session was idle for keep_alive, and is over"
LOST = "the session is over: its browser serves somebody else"
SLOW = 1.0
"""Seconds after which an answer of the store counts as one that was away."""
OVERDUE = 5.0
"""Seconds after which a lease that nobody renewed must have been ended by somebody."""

SOON = 1.0
"""Seconds, where it is not known when a session ends."""
ENDING = 2.0
"""Seconds that a lease that ran out takes to be ended and told of."""
MOST = 10_000
"""Sessions of one token that are looked through."""
RECHECK = 1.0
"""Seconds between two looks for a token's sessions that others have ended: a token that is over its share asks many times a second."""


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """One session in this router's hands. ``renewed_at`` is on the process's steady clock."""

    party: agents.Party
    claim: claims.Claim | None
    pool: PoolName
    region: str
    kind: claims.SessionKind
    keep_alive: float
    token: TokenName | None
    renewed_at: float
    database: DatabaseName = HOME
    """The one that has the session."""
    counted: bool = False
    """It counts against its token's concurrency."""
    active: bool = False
    """There was traffic since it was last renewed."""
    ending: bool = False
    """Its release is on its way."""
    asked_to_close: bool = False
    """A client has told the browser to close: the session ends with that connection."""
    connections: int = 0
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    why_over: str = LOST

    @property
    def session_id(self) -> SessionId:
        return self.party.session_id

    def touch(self) -> None:
        """Something passed on it just now."""
        self.active = True


OnOver = Callable[[Held], None]


def to_renew(held: Iterable[Held]) -> list[Held]:
    """Those whose lease is to be renewed now."""
    return [one for one in held if one.kind is claims.SessionKind.ACTION or one.active or one.ending]


def overdue(held: Iterable[Held], *, now: float) -> list[Held]:
    """Those whose lease must have run out, if nobody else renewed it."""
    return [one for one in held if now > one.renewed_at + one.keep_alive + OVERDUE]


def soonest(held: Iterable[Held], *, now: float) -> float:
    """Seconds after which one of them has ended, if nothing more passes on it; of a quick action it is not known, and is soon."""
    return min((SOON if one.kind is claims.SessionKind.ACTION else _left(one, now=now) for one in held), default=SOON)


def _left(held: Held, *, now: float) -> float:
    # Traffic since the last renewal gives it all of its time again; the loops that end it then take a moment.
    renewed_at = now if held.active else held.renewed_at
    return max(0.0, renewed_at + held.keep_alive - now) + ENDING


class Holding:
    """The sessions, by id, and the loops that look after them."""

    def __init__(
        self,
        *,
        stores: databases.Databases,
        holder: HolderId,
        agents_: agents.Agents,
        background: tasks.Background,
        on_over: OnOver | None = None,
        expiry_pause: float = 6.0,
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._stores = stores
        self._holder = holder
        self._agents = agents_
        self._background = background
        self._on_over = on_over
        self._expiry_pause = expiry_pause
        self._now = now
        self._held: dict[SessionId, Held] = {}
        self._rechecked: dict[TokenName, float] = {}
        # This process has just begun: whoever renews his lease through a router had none to ask, perhaps.
        self._began = now()
        self._lost_at: dict[DatabaseName, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[Held]:
        """Every session held."""
        return list(self._held.values())

    def get(self, session_id: SessionId) -> Held | None:
        """The session of that id, if it is held here."""
        return self._held.get(session_id)

    def add(self, held: Held) -> None:
        """From now on its lease is looked after."""
        self._held[held.session_id] = held

    def drop(self, held: Held, *, why: str) -> None:
        """It is over, or somebody else's: its connections are closed with ``why``."""
        if self._held.get(held.session_id) is held:
            del self._held[held.session_id]
        if not held.over.is_set():
            held.why_over = why
            held.over.set()
            if self._on_over is not None:
                self._on_over(held)

    def soonest(self, token: TokenName) -> float:
        """Seconds after which one of the token's sessions here may have ended."""
        return soonest((one for one in self._held.values() if one.token == token), now=self._now())

    async def renew(self) -> None:
        """Renew what is to be renewed, in one statement for each database; drop what could not be.

        Raises:
            errors.Unavailable: a database is away; what is in the others was looked after.
        """
        due = to_renew(self._held.values())
        for held in due:
            held.active = False
        asked = [model.Held(session_id=held.session_id, fence=held.party.fence, database=held.database) for held in due]
        renewed = await everywhere.renew(self._stores, holder=self._holder, leases_=asked)
        for name in renewed.away:
            self._lost_at[name] = self._now()
        for held in due:
            held.active = held.active or held.database in renewed.away
        self._settle([held for held in due if held.database not in renewed.away], renewed.sessions)
        await self._check_overdue(but=renewed.away)
        for error in renewed.away.values():
            raise error

    def _settle(self, due: list[Held], renewed: frozenset[SessionId]) -> None:
        now = self._now()
        for held in due:
            if held.session_id in renewed:
                held.renewed_at = now
            elif not held.ending:
                log.warning("a lease was lost", extra={"session": held.session_id, "browser": held.party.browser_id})
                self.drop(held, why=LOST)

    async def _check_overdue(self, *, but: Collection[DatabaseName]) -> None:
        away = {*self._stores.away(), *but}
        for held in overdue((one for one in self._held.values() if one.database not in away), now=self._now()):
            live = await sessions.live(self._stores.of(held.database), held.session_id)
            if live is None or live.fence != held.party.fence:
                self.drop(held, why=IDLE)
            else:
                # Another router renews it: a second connection, or one that moved. Look again when this lease too has run out.
                held.renewed_at = self._now()

    async def recheck(self, token: TokenName) -> None:
        """Drop the token's sessions that another router has ended: they count no more. Asked too often, it does nothing."""
        idle = [one for one in self._held.values() if one.token == token and one.counted and not one.connections]
        if not idle or self._now() - self._rechecked.get(token, -math.inf) < RECHECK:
            return
        self._rechecked[token] = self._now()
        try:
            answers = await everywhere.each(self._stores, lambda _, db: sessions.listing(db, token=token, limit=MOST))
        except errors.Unavailable:
            return
        # Of a database that gave no list nothing is known; it may be back by now.
        known = {name: {(one.session_id, one.fence) for one in live} for name, live in answers if len(live) < MOST}
        for held in idle:
            if held.database in known and (held.session_id, held.party.fence) not in known[held.database]:
                self.drop(held, why="the session was ended")

    async def expire(self) -> None:
        """End the sessions, of any router, whose lease ran out; not while the store is away, has just come back, or this router has.

        Leases run out while nobody can renew them. So whoever could not is given ``expiry_pause`` to do it first.
        """
        for name in self._stores.away():
            self._lost_at[name] = self._now()
        await everywhere.each(self._stores, self._expire)

    async def _expire(self, name: DatabaseName, db: connect.Database) -> None:
        if not await self._is_well(name, db):
            return
        for one in await leases.expire(db):
            log.info("a lease ran out", extra={"session": one.session_id, "browser": one.browser_id})
            self.tell(one)
            held = self._held.get(one.session_id)
            if held is not None and held.party.fence == one.fence and held.database == name:
                self.drop(held, why=IDLE)

    async def _is_well(self, name: DatabaseName, db: connect.Database) -> bool:
        """Ask it something that changes nothing: a statement that waited for the store to come back must not be the one that expires."""
        asked_at = self._now()
        try:
            await leases.renew(db, holder=self._holder, leases=[])
        except errors.Unavailable:
            self._lost_at[name] = self._now()
            raise
        if self._now() - asked_at > SLOW:
            self._lost_at[name] = self._now()
        return self._now() - self._lost_at.get(name, self._began) >= self._expiry_pause

    def tell(self, ended: model.Ended) -> None:
        """Let the agent know that its session is over; its heartbeats then bring the browser back."""
        if ended.address:
            party = agents.Party(
                session_id=ended.session_id,
                browser_id=ended.browser_id,
                fence=ended.fence,
                address=ended.address,
                kind=claims.SessionKind.CDP,
            )
            self._background.spawn(self._agents.end(party), name="tell an agent of an end")
