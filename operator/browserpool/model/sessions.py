"""Sessions as the store has them: live ones, past ones, and what is said when one ends. ``database`` says which one has it."""

import dataclasses
import datetime

from browserpool.model import terms as session_terms
from browserpool.model.claims import CloseReason, SessionKind
from browserpool.model.names import (
    HOME,
    BrowserId,
    DatabaseName,
    Fence,
    HolderId,
    NodeName,
    PoolName,
    RegionName,
    SessionId,
    TokenName,
    ZoneName,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lease as its holder knows it."""

    session_id: SessionId
    fence: Fence
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A session that has just ended without its agent's knowledge: the agent at ``address`` is to be told."""

    session_id: SessionId
    browser_id: BrowserId
    fence: Fence
    address: str
    pool: PoolName
    region: RegionName
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The CDP connection of a session that was opened last. ``ended_at``: none while it is open."""

    connection_id: str
    started_at: datetime.datetime
    ended_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session. ``now`` is the database's time of reading; ``ends_at`` is the end that no renewal passes."""

    session_id: SessionId
    browser_id: BrowserId
    address: str
    fence: Fence
    pool: PoolName
    region: RegionName
    zone: ZoneName
    node: NodeName
    kind: SessionKind
    token: TokenName | None
    holder: HolderId
    started_at: datetime.datetime
    expires_at: datetime.datetime
    ends_at: datetime.datetime | None
    keep_alive: float
    now: datetime.datetime
    terms: session_terms.Terms = session_terms.NONE
    connection: Connection | None = None
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A session that is over."""

    session_id: SessionId
    browser_id: BrowserId
    fence: Fence
    pool: PoolName
    region: RegionName
    zone: ZoneName
    node: NodeName
    kind: SessionKind
    token: TokenName | None
    holder: HolderId
    started_at: datetime.datetime
    ended_at: datetime.datetime
    reason: CloseReason
    connection: Connection | None = None
    database: DatabaseName = HOME
