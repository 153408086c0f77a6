"""What the store is told besides browsers: pools, regions and nodes, for the routers; and the rid of what is long over."""

from collections.abc import Collection, Mapping

from browserpool.lib import clock
from browserpool.model.names import PoolName, RegionName
from browserpool.model.nodes import Node
from browserpool.model.pool import BrowserPool
from browserpool.store import browsers, connect, nodes, pools, regions, sessions

_PRUNE_EVERY = 3600.0
_REMEMBERED = 86400.0
"""Seconds that ended sessions and gone browsers stay in the store."""


class Records:
    """Remembers what it has written, and writes only what differs. All that the store cannot do raises ``errors.Unavailable``."""

    def __init__(self, db: connect.Database, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._now = now
        self._pools: dict[PoolName, BrowserPool] = {}
        self._nodes: tuple[Node, ...] | None = None
        self._read = False
        self._pruned = now()

    async def publish(self, wanted: Mapping[PoolName, BrowserPool]) -> None:
        """These pools, and no others, are what routers see."""
        for name, pool in wanted.items():
            if self._pools.get(name) != pool:
                await regions.ensure(self._db, [RegionName(region.name) for region in pool.spec.regions])
                await pools.put(self._db, pool)
                self._pools[name] = pool
        for known in await pools.listing(self._db) if self._pools.keys() != wanted.keys() or not self._read else ():
            if known.name not in wanted:
                await pools.remove(self._db, known.name)
        self._read = True
        self._pools = {name: pool for name, pool in self._pools.items() if name in wanted}

    async def publish_nodes(self, found: Collection[Node]) -> None:
        """These nodes, and no others, are what routers see."""
        if self._nodes != tuple(found):
            await nodes.replace(self._db, found)
            self._nodes = tuple(found)

    async def prune(self) -> None:
        """Once an hour, delete what ended or went long ago."""
        if self._now() - self._pruned < _PRUNE_EVERY:
            return
        self._pruned = self._now()
        await sessions.prune(self._db, older_than=_REMEMBERED)
        await browsers.prune(self._db, older_than=_REMEMBERED)
        await regions.prune(self._db, older_than=_REMEMBERED)
