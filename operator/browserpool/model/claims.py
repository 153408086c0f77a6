"""What a claim asks of the store and what it answers."""

import dataclasses
import datetime
import enum

from browserpool.model import terms as session_terms
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


class SessionKind(enum.StrEnum):
    """What a session is held for."""

    ACTION = "action"
    CDP = "cdp"


class Locality(enum.StrEnum):
    """How near the claimed browser stands to the caller; nearest first."""

    NODE = "node"
    ZONE = "zone"
    REGION = "region"
    BACKUP = "backup"


class Outcome(enum.StrEnum):
    """How a claim ended."""

    CLAIMED = "claimed"
    REPEATED = "repeated"
    """The session id holds this browser already: the same answer again."""
    EMPTY = "empty"
    """No ready browser where the claim may look."""
    STALE = "stale"
    """The region's heartbeats lag too far behind to be trusted, and so do its backup's: fail closed."""
    ENDED = "ended"
    """The session id was used before, and its session is over."""


class CloseReason(enum.IntEnum):
    """Why a session ended. 1 and 2 are Cloudflare's numbers; ours start at 100."""

    NORMAL_CLOSURE = 1
    BROWSER_IDLE = 2
    """Nothing happened on it for ``keep_alive``, or its router died and nobody came back in that time."""
    BROWSER_LOST = 100
    """Its browser's agent restarted or its pod went away."""
    SHUTDOWN = 101
    """The whole installation was stopped."""


CLOSE_REASON_TEXTS = {
    CloseReason.NORMAL_CLOSURE: "NormalClosure",
    CloseReason.BROWSER_IDLE: "BrowserIdle",
    CloseReason.BROWSER_LOST: "BrowserLost",
    CloseReason.SHUTDOWN: "Shutdown",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """A wish for one browser of ``pool``, as near as may be to ``node``, ``zone``, ``region``, in this order.

    ``backup`` is looked at when ``region`` is empty (if ``spill_when_empty``) or stale (if ``spill_when_stale``).
    ``keep_alive`` is the lease in seconds; whoever holds it renews it, never beyond ``max_lifetime`` seconds from the claim.
    ``databases`` and ``backup_databases`` are those that may have browsers of ``region`` and ``backup``, in the order to ask in.
    """

    session_id: SessionId
    pool: PoolName
    region: RegionName
    kind: SessionKind
    keep_alive: float
    holder: HolderId
    zone: ZoneName | None = None
    node: NodeName | None = None
    backup: RegionName | None = None
    spill_when_empty: bool = False
    spill_when_stale: bool = False
    max_lifetime: float | None = None
    token: TokenName | None = None
    terms: session_terms.Terms = session_terms.NONE
    databases: tuple[DatabaseName, ...] = (HOME,)
    backup_databases: tuple[DatabaseName, ...] = (HOME,)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A session: this caller alone holds this browser, until ``expires_at`` on the database's clock.

    ``address`` is ``host:port`` of the browser's agent. ``now`` is the database's time when the claim was made. ``template_hash`` is
    of what the browser was started with. ``database`` is the one that has the session.
    """

    session_id: SessionId
    browser_id: BrowserId
    fence: Fence
    address: str
    region: RegionName
    zone: ZoneName
    node: NodeName
    locality: Locality
    expires_at: datetime.datetime
    now: datetime.datetime
    template_hash: str = ""
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """``claim`` is there if and only if ``outcome`` is CLAIMED or REPEATED."""

    outcome: Outcome
    claim: Claim | None = None
