"""What the store is told besides browsers: pools, regions and nodes, for the routers; and the rid of what is long over."""

from collections.abc import Collection, Mapping

from browserpool.lib import clock
from browserpool.model.names import PoolName, RegionName
from browserpool.model.nodes import Node
from browserpool.model.pool import BrowserPool, PoolSpec
from browserpool.store import browsers, connect, nodes, outcomes, pools, regions, sessions, usage

_PRUNE_EVERY = 3600.0
_COMPARE_EVERY = 60.0
"""Seconds between two looks at what the store really has: somebody may have restored or emptied it."""
_REMEMBERED = 86400.0
"""Seconds that ended sessions and gone browsers stay in the store."""
_USAGE_REMEMBERED = 32 * 86400.0
"""Seconds that the browser time of a day stays there: a month can be looked back upon."""
_OUTCOMES_REMEMBERED = 7 * 86400.0
"""Seconds that a minute's outcomes stay there."""


_Written = tuple[int, PoolSpec]


class Records:
    """Remembers what it has written, and writes only what differs. All that the store cannot do raises ``errors.Unavailable``."""

    def __init__(self, db: connect.Database, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._now = now
        self._pools: dict[PoolName, _Written] = {}
        self._nodes: tuple[Node, ...] | None = None
        self._compared = float("-inf")
        self._pruned = now()

    async def publish(self, wanted: Mapping[PoolName, BrowserPool]) -> None:
        """These pools, and no others, are what routers see."""
        started = self._now()
        compare = started - self._compared >= _COMPARE_EVERY
        if compare:
            self._pools = {pool.name: _written(pool) for pool in await pools.listing(self._db)}
            self._nodes = None
        for name, pool in wanted.items():
            new = self._pools.get(name) != _written(pool)
            if new or compare:
                await regions.ensure(self._db, [RegionName(region.name) for region in pool.spec.regions])
            if new:
                await pools.put(self._db, pool)
                self._pools[name] = _written(pool)
        for name in self._pools.keys() - wanted.keys():
            await pools.remove(self._db, name)
            del self._pools[name]
        if compare:
            self._compared = started

    async def publish_nodes(self, found: Collection[Node]) -> None:
        """These nodes, and no others, are what routers see."""
        if self._nodes != tuple(found):
            await nodes.replace(self._db, found)
            self._nodes = tuple(found)

    def forget(self) -> None:
        """What was written may be there no more: the next ``publish`` looks."""
        self._compared = float("-inf")

    async def prune(self) -> None:
        """Once an hour, delete what ended or went long ago."""
        if self._now() - self._pruned < _PRUNE_EVERY:
            return
        self._pruned = self._now()
        await sessions.prune(self._db, older_than=_REMEMBERED)
        await browsers.prune(self._db, older_than=_REMEMBERED)
        await regions.prune(self._db, older_than=_REMEMBERED)
        await usage.prune(self._db, older_than=_USAGE_REMEMBERED)
        await outcomes.prune(self._db, older_than=_OUTCOMES_REMEMBERED)


def _written(pool: BrowserPool) -> _Written:
    """What the store keeps of a pool besides its name."""
    return pool.metadata.generation, pool.spec
