"""Pools as they are to be at this moment: with the numbers that ``spec.autoscaling`` finds in place of ``replicas``.

It costs the store nothing: each claim raises its browser's fence by one, and the fences are in the rows that every round reads.
"""

import dataclasses
import datetime
import heapq
import statistics
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from browserpool.controller.desired import scaling, seen
from browserpool.lib import clock
from browserpool.model.autoscaling import Autoscaling
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, Fence, PoolName, RegionName
from browserpool.model.pool import BrowserPool, Region
from browserpool.model.states import BrowserState

_UNCLAIMED: Final = (BrowserState.STARTING, BrowserState.READY, BrowserState.RECYCLING)
_YOUNGEST: Final = 10
"""Browsers that are asked how long they took to become ready: the newest, and the median of so few."""

_Key = tuple[PoolName, RegionName]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A pool whose ``replicas`` are what it is to keep ready now; ``regions`` says why, and is empty where the pool's spec has it."""

    pool: BrowserPool
    regions: tuple[tuple[RegionName, seen.Scaled], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    past: scaling.Past
    fences: Mapping[BrowserId, Fence]
    scaled: seen.Scaled


class Autoscaler:
    """Looks at pools again and again, and remembers what they needed lately. ``wall`` is what schedules go by."""

    def __init__(
        self,
        *,
        now: clock.Monotonic = clock.monotonic,
        wall: Callable[[], datetime.datetime] = clock.wall,
    ) -> None:
        self._now = now
        self._wall = wall
        self._memories: dict[_Key, _Memory] = {}
        self._before: dict[PoolName, BrowserPool] = {}

    def follow(self, before: Iterable[BrowserPool]) -> None:
        """Pools as they were kept until now, by whoever did it then."""
        self._before = {pool.name: pool for pool in before}

    def scaled(
        self,
        pools: Mapping[PoolName, BrowserPool],
        rows: Mapping[PoolName, Sequence[Browser]],
        *,
        blind: Mapping[PoolName, Collection[RegionName]] = types.MappingProxyType({}),
    ) -> dict[PoolName, Scaled]:
        """``pools`` as they are to be now, where these are the rows of their browsers; regions that are ``blind`` as they were."""
        memories, self._memories = self._memories, {}
        made = {
            name: self._scaled(pool, rows.get(name, ()), memories, blind=blind.get(name, ()))
            for name, pool in pools.items()
        }
        self._before = {name: one.pool for name, one in made.items()}
        return made

    def _scaled(
        self,
        pool: BrowserPool,
        rows: Sequence[Browser],
        memories: Mapping[_Key, _Memory],
        *,
        blind: Collection[RegionName],
    ) -> Scaled:
        rules = pool.spec.autoscaling
        if rules is None:
            return Scaled(pool=pool)
        by_region: dict[RegionName, dict[BrowserId, Browser]] = {RegionName(one.name): {} for one in pool.spec.regions}
        for row in rows:
            if (here := by_region.get(row.region)) is not None:
                # Of a name that has moved to another database, the row with the higher fence is its last.
                other = here.get(row.browser_id)
                here[row.browser_id] = row if other is None or row.fence > other.fence else other
        found: dict[RegionName, seen.Scaled] = {}
        for region in pool.spec.regions:
            name = RegionName(region.name)
            memory = memories.get((pool.name, name))
            if name in blind:
                found[name] = self._as_it_was(pool, region, rules, memory)
            else:
                memory = self._looked(pool, region, rules, list(by_region[name].values()), memory)
                found[name] = memory.scaled
            if memory is not None:
                self._memories[pool.name, name] = memory
        return Scaled(pool=_with(pool, found), regions=tuple(found.items()))

    def _looked(
        self, pool: BrowserPool, region: Region, rules: Autoscaling, rows: Sequence[Browser], memory: _Memory | None
    ) -> _Memory:
        now = self._now()
        look = _look(rows, None if memory is None else memory.fences)
        past = scaling.begun(look, before=self._kept(pool.name, region), now=now) if memory is None else memory.past
        past, scaled = scaling.looked(
            past, look, rules=rules, most=pool.spec.most(region), now=now, moment=self._wall()
        )
        return _Memory(past=past, fences={row.browser_id: row.fence for row in rows}, scaled=scaled)

    def _as_it_was(self, pool: BrowserPool, region: Region, rules: Autoscaling, memory: _Memory | None) -> seen.Scaled:
        kept = max(self._kept(pool.name, region), rules.min_replicas)
        wanted, whole = (kept, kept) if memory is None else (memory.scaled.wanted, memory.scaled.kept)
        return seen.Scaled(wanted=wanted, kept=whole, reason=scaling.Why.BLIND, message="as before: it cannot be seen")

    def _kept(self, name: PoolName, region: Region) -> int:
        before = self._before.get(name)
        was = None if before is None else before.spec.region(RegionName(region.name))
        return 0 if before is None or was is None else before.spec.wanted(was)


def _look(rows: Sequence[Browser], fences: Mapping[BrowserId, Fence] | None) -> scaling.Look:
    return scaling.Look(
        claimed=sum(row.state is BrowserState.CLAIMED for row in rows),
        unclaimed=sum(row.state in _UNCLAIMED for row in rows),
        claims=0 if fences is None else _claims(rows, fences),
        lead=_lead(rows),
    )


def _claims(rows: Iterable[Browser], fences: Mapping[BrowserId, Fence]) -> int:
    # Of a hundred thousand browsers few were claimed since the last look.
    changed = (row for row in rows if fences.get(row.browser_id) != row.fence)
    return sum(row.claims_since(fences.get(row.browser_id)) for row in changed)


def _lead(rows: Iterable[Browser]) -> float | None:
    """Seconds from its registration until it was ready, of a browser that nobody has claimed yet: nothing else happened to it."""
    fresh = (row for row in rows if row.state is BrowserState.READY and not row.claims_since(None))
    youngest = heapq.nsmallest(_YOUNGEST, fresh, key=lambda row: row.age)
    return statistics.median(row.age - row.state_age for row in youngest) if youngest else None


def _with(pool: BrowserPool, found: Mapping[RegionName, seen.Scaled]) -> BrowserPool:
    regions = tuple(
        region.model_copy(update={"replicas": found[RegionName(region.name)].wanted}) for region in pool.spec.regions
    )
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"regions": regions})})
