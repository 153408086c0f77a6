"""Observe → plan → apply for every pool of this machine, again and again; the plan is the controller's."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from browserpool.controller import apply, autoscaler, canaries, installation, lookout, observe, records
from browserpool.controller.desired import plan, status
from browserpool.local import agents
from browserpool.model import errors
from browserpool.model.names import PoolName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState
from browserpool.store import databases

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two rounds when nothing happens."""
_SOON = 0.05
"""Seconds after a round that changed something: what it did is then to be seen."""


class Reconciler:
    """``wanted`` is what the manifest says now; change it with ``want``. ``statuses`` is what the last round saw."""

    def __init__(
        self,
        stores: databases.Databases,
        regional: installation.Regional,
        hands: agents.Agents,
        wake: asyncio.Event,
    ) -> None:
        self._stores = stores
        self._hands = hands
        self._wake = wake
        self._wanted: dict[PoolName, BrowserPool] = {}
        self._observer = observe.Observer()
        self._autoscaler = autoscaler.Autoscaler()
        self._canaries = canaries.Canaries(stores.home)
        self._records = records.Records(stores)
        self._lookout = lookout.Lookout(stores, regional, self._records)
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
        found, answers = await self._lookout.look(self._wanted, self._hands.databases())
        rows, there = observe.by_pool(found), self._hands.by_pool()
        dark = lookout.blind_regions(self._wanted, there, answers)
        scaled = self._autoscaler.scaled(self._wanted, rows, blind=dark)
        await self._records.publish({name: one.pool for name, one in scaled.items()})
        await self._records.prune()
        living = {name for name, of in rows.items() if any(row.state is not BrowserState.GONE for row in of)}
        alive = living | there.keys()
        changed = False
        statuses: dict[PoolName, status.PoolStatus] = {}
        for name in sorted(alive | scaled.keys()):
            one = scaled.get(name)
            pool, regions = (None, ()) if one is None else (one.pool, one.regions)
            world = self._observer.world(
                name, pool, rows.get(name, []), there.get(name, {}), scaled=regions, blind=dark.get(name, {})
            )
            world = await self._canaries.look(name, pool, world)
            actions = plan.plan(pool, world)
            if pool is not None:
                statuses[name] = status.summary(pool, world)
            await apply.carry_out(self._stores, self._hands.of(pool), name, actions)
            changed = changed or bool(actions)
        self.statuses = statuses
        return changed

    async def publish(self) -> None:
        """Tell the routers of the pools, before there is a first round that does."""
        await self._records.publish(self._wanted)
