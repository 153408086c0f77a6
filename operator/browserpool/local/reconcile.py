"""Observe → plan → apply for every pool of this machine, again and again; the plan is the controller's."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from browserpool.controller import apply, observe
from browserpool.controller.desired import plan, seen, settling, status
from browserpool.lib import clock
from browserpool.local import agents
from browserpool.model import errors
from browserpool.model.browsers import Browser
from browserpool.model.names import PoolName, RegionName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect, pools, regions, sessions

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two rounds when nothing happens."""
_SOON = 0.05
"""Seconds after a round that changed something: what it did is then to be seen."""
_PRUNE_EVERY = 3600.0
_REMEMBERED = 86400.0
"""Seconds that ended sessions and gone browsers stay in the store."""

_UNCLAIMED = (BrowserState.STARTING, BrowserState.READY, BrowserState.RECYCLING)


class Reconciler:
    """``wanted`` is what the manifest says now; change it with ``want``. ``statuses`` is what the last round saw."""

    def __init__(self, db: connect.Database, hands: agents.Agents, wake: asyncio.Event) -> None:
        self._db = db
        self._hands = hands
        self._wake = wake
        self._wanted: dict[PoolName, BrowserPool] = {}
        self._published: dict[PoolName, BrowserPool] = {}
        self._since: dict[tuple[PoolName, RegionName], settling.Since] = {}
        self._pruned = clock.monotonic()
        self.statuses: Mapping[PoolName, status.PoolStatus] = {}

    def want(self, manifest: tuple[BrowserPool, ...]) -> None:
        """From now on these pools, and no others, are to be there."""
        self._wanted = {pool.name: pool for pool in manifest}
        self._wake.set()

    async def run(self, *, until: asyncio.Event) -> None:
        """Rounds until ``until`` is set. A failed round is logged, and repaired by the next."""
        while not until.is_set():
            self._wake.clear()
            try:
                changed = await self.once()
            except errors.BrowserpoolError as error:
                changed = False
                log.warning("a round failed; the next one sees what is left to do", extra={"error": error.message})
            if not changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), EVERY)
            else:
                await asyncio.sleep(_SOON)

    async def once(self) -> bool:
        """One round over all pools; answers whether it did anything.

        Raises:
            errors.BrowserpoolError: the store cannot be reached, or refuses.
        """
        await self.publish()
        await self._prune()
        rows = await browsers.listing(self._db)
        alive = {row.pool for row in rows if row.state is not BrowserState.GONE} | self._hands.pools()
        changed = False
        statuses: dict[PoolName, status.PoolStatus] = {}
        for name in sorted(alive | self._wanted.keys()):
            pool = self._wanted.get(name)
            world = self._observe(name, pool, [row for row in rows if row.pool == name])
            actions = plan.plan(pool, world)
            if pool is not None:
                statuses[name] = status.summary(pool, world)
            await apply.carry_out(self._db, self._hands.of(pool), name, actions)
            changed = changed or bool(actions)
        self.statuses = statuses
        return changed

    def _observe(self, name: PoolName, pool: BrowserPool | None, rows: list[Browser]) -> seen.World:
        found = observe.joined(rows, self._hands.pods(name), pool=name)
        now = clock.monotonic()
        here: dict[RegionName, settling.Since] = {}
        for region in pool.spec.regions if pool is not None else ():
            region_name = RegionName(region.name)
            running = [b for b in found if b.region == region_name and b.pod.serves]
            here[region_name] = settling.observed(
                self._since.get((name, region_name), settling.Since()),
                ready=sum(b.state is BrowserState.READY for b in running),
                unclaimed=sum(b.state in _UNCLAIMED for b in running),
                wanted=pool.spec.wanted(region) if pool is not None else 0,
                now=now,
            )
            self._since[name, region_name] = here[region_name]
        return seen.World(pool=name, browsers=found, settled=settling.ages(here, now=now))

    async def publish(self) -> None:
        """Tell the routers of pools that are new, changed or gone."""
        for name, pool in self._wanted.items():
            if self._published.get(name) != pool:
                await regions.ensure(self._db, [RegionName(region.name) for region in pool.spec.regions])
                await pools.put(self._db, pool)
                self._published[name] = pool
        for known in await pools.listing(self._db) if self._published.keys() != self._wanted.keys() else ():
            if known.name not in self._wanted:
                await pools.remove(self._db, known.name)
        self._published = {name: pool for name, pool in self._published.items() if name in self._wanted}

    async def _prune(self) -> None:
        if clock.monotonic() - self._pruned < _PRUNE_EVERY:
            return
        self._pruned = clock.monotonic()
        await sessions.prune(self._db, older_than=_REMEMBERED)
        await browsers.prune(self._db, older_than=_REMEMBERED)
