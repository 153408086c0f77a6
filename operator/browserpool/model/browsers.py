"""A browser as the store has it, and what a registration says of it."""

import dataclasses
from typing import Final

from browserpool.model.names import (
    HOME,
    BrowserId,
    DatabaseName,
    Fence,
    Incarnation,
    NodeName,
    PoolName,
    RegionName,
    SessionId,
    ZoneName,
)
from browserpool.model.states import BrowserState

SKIPPED: Final = 1000
"""By how much a crash of the database moves a browser's fence on (``write_heartbeats`` in the store's schema)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A browser that is about to start. ``template_hash`` tells which template its pod was made from."""

    browser_id: BrowserId
    pool: PoolName
    region: RegionName
    zone: ZoneName
    node: NodeName
    template_hash: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a browser has come to stand."""

    browser_id: BrowserId
    zone: ZoneName
    node: NodeName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """One browser's row. Ages are in seconds on the database's clock; ``None`` means never."""

    browser_id: BrowserId
    pool: PoolName
    region: RegionName
    zone: ZoneName
    node: NodeName
    template_hash: str
    state: BrowserState
    fence: Fence
    incarnation: Incarnation | None
    """``None`` until the agent's first hello."""
    address: str | None
    chromium: str | None
    healthy: bool
    drain_requested: bool
    load: float
    uses: int
    restarts: int
    memory_bytes: int
    session_id: SessionId | None
    last_seen_age: float | None
    state_age: float
    age: float
    database: DatabaseName = HOME
    """Which one the row is in."""

    def claims_since(self, fence: Fence | None) -> int:
        """How often it was claimed since its fence was ``fence``; None: since its registration.

        A registration's fence ends in 32 zero bits, and each claim adds one. A crash of the database takes some back and then adds
        ``SKIPPED``: what was claimed around it is not known.
        """
        registration = self.fence >> 32 << 32
        if fence is None:
            return self.fence - registration
        claims = self.fence - max(fence, registration)
        return claims if 0 <= claims < SKIPPED else 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many browsers of one pool and region are in one state."""

    pool: PoolName
    region: RegionName
    state: BrowserState
    number: int
