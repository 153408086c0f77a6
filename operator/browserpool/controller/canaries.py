"""Pools' canaries: looks at how requests to both versions end, and remembers which canary is paused.

What is paused stays so until its own part of the spec changes. Another leader reads that from the pool's status, where it stands beside
the hash of that part: outcomes are forgotten after some minutes, and cannot be judged anew.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from browserpool import metrics
from browserpool.controller.desired import canary, seen, template
from browserpool.lib import clock
from browserpool.model.canary import Canary
from browserpool.model.names import PoolName
from browserpool.model.outcomes import Kind, Tally
from browserpool.model.pool import BrowserPool
from browserpool.store import connect, outcomes

EVERY: Final = 5.0
"""Seconds between two reads of a pool's outcomes; routers write theirs as often."""
PAUSED: Final = "Paused"


@dataclasses.dataclass(slots=True, kw_only=True)
class _Memory:
    owner: str
    content: str
    reason: str = ""
    message: str = ""
    read: float = float("-inf")
    sums: Mapping[Kind, Tally] = dataclasses.field(default_factory=dict)


class Canaries:
    """Looks at pools again and again."""

    def __init__(self, db: connect.Database, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._now = now
        self._memories: dict[PoolName, _Memory] = {}

    async def look(
        self, name: PoolName, pool: BrowserPool | None, world: seen.World, *, shown: Any = None, uid: str = ""
    ) -> seen.World:
        """``world`` with what is to be known of the pool's canary. ``shown`` is ``status.canary`` of its object, whose uid is ``uid``.

        Raises:
            errors.Unavailable: the store cannot be reached.
        """
        if pool is None or pool.spec.canary is None:
            if self._memories.pop(name, None) is not None:
                _forget(name)
            return world
        memory = self._remembered(name, pool.spec.canary, shown, uid)
        if self._now() - memory.read >= EVERY:
            memory.sums = await outcomes.sums(self._db, name, since=canary.WINDOW)
            memory.read = self._now()
        found = canary.looked(pool, world, memory.sums)
        if not memory.reason:
            memory.reason, memory.message = found.reason, found.message
        found = dataclasses.replace(found, reason=memory.reason, message=memory.message)
        _measure(name, found)
        return dataclasses.replace(world, canary=found)

    def _remembered(self, name: PoolName, wanted: Canary, shown: Any, uid: str) -> _Memory:
        content, memory = template.content(wanted), self._memories.get(name)
        if memory is None or (memory.owner, memory.content) != (uid, content):
            memory = self._memories[name] = _Memory(owner=uid, content=content)
            if isinstance(shown, Mapping) and (shown.get("content"), shown.get("state")) == (content, PAUSED):
                memory.reason, memory.message = str(shown.get("reason") or PAUSED), str(shown.get("message") or "")
        return memory


def _measure(pool: PoolName, found: seen.Canary) -> None:
    metrics.CANARY_PAUSED.labels(pool).set(found.paused)
    for version, one in (("stable", found.stable), ("canary", found.canary)):
        metrics.CANARY_BROWSERS.labels(pool, version).set(one.replicas)
        metrics.CANARY_REQUESTS.labels(pool, version).set(one.requests)
        metrics.CANARY_ERROR_RATIO.labels(pool, version).set(one.error_rate)
        for share, seconds in (("0.5", one.p50), ("0.95", one.p95)):
            metrics.CANARY_SECONDS.labels(pool, version, share).set(float("nan") if seconds is None else seconds)


def _forget(pool: PoolName) -> None:
    metrics.CANARY_PAUSED.remove(pool)
    for version in ("stable", "canary"):
        for one in (metrics.CANARY_BROWSERS, metrics.CANARY_REQUESTS, metrics.CANARY_ERROR_RATIO):
            one.remove(pool, version)
        for share in ("0.5", "0.95"):
            metrics.CANARY_SECONDS.remove(pool, version, share)
