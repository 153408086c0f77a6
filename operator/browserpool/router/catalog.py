"""Pools, tokens and nodes as the store has them, kept in memory and read again every second or so; nodes, which change seldom, every ten.

While the store is away the last reading serves on. What is not found is looked up once more before it is refused, so that a token
or a pool that was made this second works; not more often than ``HURRY``, so that guesses cost the store nothing.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Mapping

from browserpool.lib import clock
from browserpool.model import credentials, elsewhere, errors, pool
from browserpool.model import nodes as model_nodes
from browserpool.model import tokens as model
from browserpool.model.names import DatabaseName, NodeName, PoolName, RegionName
from browserpool.store import connect, nodes, pools, region_databases, tokens

log = logging.getLogger(__name__)

HURRY = 0.25
"""Seconds between two readings that a miss asks for."""
UNBACKED = 5.0
"""Seconds in which a region that had no backup is not looked at anew for whoever remembers one."""
NODES_EVERY = 10.0
"""Seconds between two readings of the nodes: a cluster has thousands, and as many routers. At first, until there are any, each time."""


class Catalog:
    """Empty until the first ``reload``."""

    def __init__(self, db: connect.Database, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._now = now
        self._pools: dict[PoolName, pool.PoolSpec] = {}
        self._tokens: dict[bytes, model.Token] = {}
        self._databases: frozenset[DatabaseName] = frozenset()
        self._nodes: dict[NodeName, model_nodes.Node] = {}
        self._nodes_at = -math.inf
        self._tried_at = -math.inf
        self._known_at = -math.inf
        """When the last reading began that came to an end, be it a failure."""
        self._unbacked: dict[tuple[PoolName, RegionName], float] = {}
        """When a backup was looked for with fresh eyes and not found."""
        self._reading = asyncio.Lock()
        self.backed = False
        """Whether any region's backup is another cluster's router."""
        self.loaded = False
        """Whether the store was ever read."""

    @property
    def pools(self) -> Mapping[PoolName, pool.PoolSpec]:
        """Every pool's spec."""
        return self._pools

    def backup(self, name: PoolName, region: RegionName) -> elsewhere.BackupRouter | None:
        """The router of another cluster that is a region's backup; ``None``: it has none, or is not known."""
        spec = self._pools.get(name)
        found = spec.region(region) if spec is not None else None
        return None if found is None else found.backup_router

    async def backup_after_all(self, name: PoolName, region: RegionName) -> elsewhere.BackupRouter | None:
        """The same, for something that must be there: if there is none it may have been named a moment ago, and the pools are read anew.

        Not again for one that was not there a few seconds ago either: the pools are read each second anyway.
        """
        found, now = self.backup(name, region), self._now()
        if found is None and now - self._unbacked.get((name, region), -math.inf) > UNBACKED:
            self._unbacked = {key: at for key, at in self._unbacked.items() if now - at <= UNBACKED}
            await self.hurry()
            found = self.backup(name, region)
            if found is None:
                self._unbacked[name, region] = self._now()
        return found

    @property
    def databases(self) -> frozenset[DatabaseName]:
        """Every database that may have browsers: those that pools name, and what is left of others."""
        specs = self._pools.values()
        named = frozenset(name for spec in specs for region in spec.regions for name in region.databases)
        return named | self._databases

    @property
    def tokens(self) -> Collection[model.Token]:
        """Every client's token."""
        return self._tokens.values()

    @property
    def nodes(self) -> Mapping[NodeName, model_nodes.Node]:
        """The cluster's nodes; empty where there is no cluster."""
        return self._nodes

    async def reload(self) -> None:
        """Read the tables.

        Raises:
            errors.Unavailable: the store is away; the last reading stays.
        """
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        began = self._tried_at = self._now()
        try:
            await self._read_all()
        except errors.BrowserpoolError:
            self._known_at = began
            raise
        self._known_at = began

    async def _read_all(self) -> None:
        found_pools = await pools.listing(self._db)
        found_tokens = await tokens.listing(self._db)
        self._databases = frozenset(await region_databases.listing(self._db))
        self._pools = {one.name: one.spec for one in found_pools}
        self.backed = any(region.backup_router for spec in self._pools.values() for region in spec.regions)
        self._tokens = {one.hash: one for one in found_tokens}
        self.loaded = True
        if not self._nodes or self._now() - self._nodes_at >= NODES_EVERY:
            self._nodes = {one.name: one for one in await nodes.listing(self._db)}
            self._nodes_at = self._now()

    async def reload_nodes(self) -> None:
        """Read the nodes now: one is missing that must be there.

        Raises:
            errors.Unavailable: the store is away; the last reading stays.
        """
        async with self._reading:
            self._nodes_at = -math.inf
            await self._read()

    async def token(self, bearer: str) -> model.Token:
        """Whose bearer token it is.

        Raises:
            errors.Unauthorized: nobody's.
            errors.Unavailable: the store was not read yet.
        """
        digest = credentials.hashed(bearer)
        if digest not in self._tokens:
            await self.hurry()
        if digest not in self._tokens:
            if not self.loaded:
                raise errors.Unavailable("This router has not read its tokens yet; ask again.", retry_after=1)
            raise errors.Unauthorized("The bearer token is not one that this installation gave out.")
        return self._tokens[digest]

    async def hurry(self) -> None:
        """Read again, unless a reading has begun since the call and was done; soon after the last one, wait first.

        What was written a moment ago is found, and many who ask for what is not there share one reading; it goes on with another of them
        when the one who reads leaves.
        """
        asked = self._now()
        async with self._reading:
            if self._known_at >= asked:
                return
            await asyncio.sleep(max(0.0, self._tried_at + HURRY - self._now()))
            try:
                await self._read()
            except errors.Unavailable as error:
                log.info("pools and tokens cannot be read", extra={"why": error.message})
