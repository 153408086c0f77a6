"""What the store is told besides browsers: pools, regions, nodes, databases, for the routers; and the rid of what is long over."""

from collections.abc import Collection, Iterable, Mapping

from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.browsers import Browser
from browserpool.model.names import HOME, DatabaseName, PoolName, RegionName
from browserpool.model.nodes import Node
from browserpool.model.pool import BrowserPool, PoolSpec
from browserpool.model.states import BrowserState
from browserpool.store import (
    browsers,
    connect,
    databases,
    everywhere,
    nodes,
    outcomes,
    pools,
    region_databases,
    regions,
    sessions,
    usage,
)

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

    def __init__(self, stores: databases.Databases, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._stores = stores
        self._db = stores.home
        self._now = now
        self._pools: dict[PoolName, _Written] = {}
        self._regions: dict[DatabaseName, frozenset[RegionName]] = {}
        self._nodes: tuple[Node, ...] | None = None
        self._databases: frozenset[DatabaseName] = frozenset()
        self._are_databases_written = False
        self._compared = float("-inf")
        self._pruned = now()

    async def publish(self, wanted: Mapping[PoolName, BrowserPool]) -> None:
        """These pools, and no others, are what routers see."""
        started = self._now()
        compare = started - self._compared >= _COMPARE_EVERY
        if compare:
            self._pools = {pool.name: _written(pool) for pool in await pools.listing(self._db)}
            self._regions = {}
            self._nodes = None
            self._are_databases_written = False
        for database, found in _regions(wanted.values()).items():
            if not found <= self._regions.get(database, frozenset()):
                await self._ensure(database, found)
        for name, pool in wanted.items():
            if self._pools.get(name) != _written(pool):
                await pools.put(self._db, pool)
                self._pools[name] = _written(pool)
        for name in self._pools.keys() - wanted.keys():
            await pools.remove(self._db, name)
            del self._pools[name]
        if compare:
            self._compared = started

    async def _ensure(self, database: DatabaseName, found: frozenset[RegionName]) -> None:
        try:
            await regions.ensure(self._stores.of(database), sorted(found))
        except errors.Unavailable as error:
            if database == HOME:
                raise
            # What is not remembered as written is written when it is back.
            self._stores.suspect(database, error)
        else:
            self._regions[database] = found

    async def databases(self) -> frozenset[DatabaseName]:
        """The databases of regions in which there may be browsers, as they were last told."""
        if not self._are_databases_written:
            self._databases |= set(await region_databases.listing(self._db))
        return self._databases

    async def publish_databases(
        self, named: Iterable[DatabaseName], found: Mapping[DatabaseName, Collection[Browser]]
    ) -> None:
        """Routers are to see those that are ``named``, and of the earlier ones those that have browsers, or do not say (in ``found``)."""
        left = {name for name in await self.databases() if name not in found or any(map(_counts, found[name]))}
        wanted = frozenset({*named, *left} - {HOME})
        if wanted != self._databases or not self._are_databases_written:
            await region_databases.replace(self._db, wanted)
            self._databases, self._are_databases_written = wanted, True

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
        await everywhere.each(self._stores, _prune)
        await outcomes.prune(self._db, older_than=_OUTCOMES_REMEMBERED)


async def _prune(_: DatabaseName, db: connect.Database) -> None:
    await sessions.prune(db, older_than=_REMEMBERED)
    await browsers.prune(db, older_than=_REMEMBERED)
    await regions.prune(db, older_than=_REMEMBERED)
    await usage.prune(db, older_than=_USAGE_REMEMBERED)


def _regions(wanted: Iterable[BrowserPool]) -> dict[DatabaseName, frozenset[RegionName]]:
    """The regions that each database is to know: the installation's own knows all."""
    found: dict[DatabaseName, set[RegionName]] = {HOME: set()}
    for pool in wanted:
        for region in pool.spec.regions:
            for database in {HOME, *region.databases}:
                found.setdefault(database, set()).add(RegionName(region.name))
    return {database: frozenset(names) for database, names in found.items()}


def _counts(row: Browser) -> bool:
    return row.state is not BrowserState.GONE


def _written(pool: BrowserPool) -> _Written:
    """What the store keeps of a pool besides its name."""
    return pool.metadata.generation, pool.spec
