"""The store's rows joined with the pods by name: what the plan is made from."""

import dataclasses
from collections.abc import Iterable, Mapping

from browserpool.controller.desired import seen, settling
from browserpool.lib import clock
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

_UNCLAIMED = (BrowserState.STARTING, BrowserState.READY, BrowserState.RECYCLING)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod, or what is remembered of a name whose pods died young: then ``phase`` is ABSENT."""

    region: RegionName
    phase: seen.Pod
    template_hash: str = ""
    deaths: int = 0
    death_age: float | None = None
    schedulable: bool = True
    failing: str = ""
    failing_for: float = 0.0
    node: seen.Node = seen.Node.STAYS
    forced: bool = False
    place: seen.Place | None = None
    """None: it stands nowhere yet, or where its row says."""


_NO_POD = seen.Pod.ABSENT


class Observer:
    """Looks at pools again and again, and remembers for how long each region has been short or has had too many, and what is new.

    Of what it sees first nothing is new: a leader that takes over makes no browser wait for those of its predecessor.
    """

    def __init__(self, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._now = now
        self._since: dict[tuple[PoolName, RegionName], settling.Since] = {}
        self._known: dict[tuple[PoolName, RegionName], frozenset[BrowserId]] = {}

    def world(
        self,
        name: PoolName,
        pool: BrowserPool | None,
        rows: Iterable[Browser],
        pods: Mapping[BrowserId, Pod],
        *,
        scaled: tuple[tuple[RegionName, seen.Scaled], ...] = (),
    ) -> seen.World:
        """All that exists of the pool ``name``, as it is now; ``rows``, ``pods`` and ``scaled`` are those of that pool."""
        found = joined(rows, pods, pool=name)
        now = self._now()
        here: dict[RegionName, settling.Since] = {}
        for region in pool.spec.regions if pool is not None else ():
            region_name = RegionName(region.name)
            running = [b for b in found if b.region == region_name and b.pod.serves]
            there = frozenset(b.browser_id for b in found if b.region == region_name and _is_there(b))
            born = there - self._known.get((name, region_name), there)
            self._known[name, region_name] = there
            here[region_name] = settling.observed(
                self._since.get((name, region_name), settling.Since()),
                ready=sum(b.state is BrowserState.READY for b in running),
                unclaimed=sum(b.state in _UNCLAIMED for b in running),
                wanted=pool.spec.wanted(region) if pool is not None else 0,
                now=now,
                born=len(born),
                rate=pool.spec.refill.max_rate if pool is not None else None,
            )
            self._since[name, region_name] = here[region_name]
        return seen.World(pool=name, browsers=found, settled=settling.ages(here, now=now), scaled=scaled)


def by_pool(rows: Iterable[Browser]) -> dict[PoolName, list[Browser]]:
    """``rows``, in their order, by the pool that each is of."""
    found: dict[PoolName, list[Browser]] = {}
    for row in rows:
        found.setdefault(row.pool, []).append(row)
    return found


def joined(rows: Iterable[Browser], pods: Mapping[BrowserId, Pod], *, pool: PoolName) -> tuple[seen.Browser, ...]:
    """The browsers of ``pool``, each from its row, its pod, or both. Both must be of that pool."""
    by_name = {row.browser_id: row for row in rows}
    return tuple(
        _joined(name, by_name.get(name), pods.get(name))
        for name in sorted(by_name.keys() | pods.keys())
        if ordinal(name, pool=pool) is not None
    )


def ordinal(browser_id: BrowserId, *, pool: PoolName) -> int | None:
    """The number at the end of a name that ``names.browser_id`` made; None: the name is of another making."""
    number = browser_id.rpartition("-")[2]
    return int(number) if browser_id.startswith(f"{pool}-") and number.isdecimal() else None


def _joined(name: BrowserId, row: Browser | None, pod: Pod | None) -> seen.Browser:
    region = row.region if row is not None else pod.region if pod is not None else RegionName("")
    return seen.Browser(
        browser_id=name,
        region=region,
        ordinal=int(name.rpartition("-")[2]),
        state=None if row is None else row.state,
        pod=_NO_POD if pod is None else pod.phase,
        template_hash=row.template_hash if row is not None else pod.template_hash if pod is not None else "",
        # Before its first heartbeat nothing is known of a browser's health, and its state says so already.
        healthy=row is None or row.healthy or row.state is not BrowserState.READY,
        last_seen_age=None if row is None else row.last_seen_age,
        state_age=0.0 if row is None else row.state_age,
        drain_requested=row is not None and row.drain_requested,
        deaths=0 if pod is None else pod.deaths,
        death_age=None if pod is None else pod.death_age,
        schedulable=pod is None or pod.schedulable,
        failing="" if pod is None else pod.failing,
        failing_for=0.0 if pod is None else pod.failing_for,
        node=seen.Node.STAYS if pod is None else pod.node,
        forced=pod is not None and pod.forced,
        moved=None if row is None or pod is None else _moved(row, pod.place),
    )


def _is_there(browser: seen.Browser) -> bool:
    return browser.pod.exists or browser.state not in (None, BrowserState.GONE)


def _moved(row: Browser, place: seen.Place | None) -> seen.Place | None:
    return None if place is None or (row.zone, row.node) == (place.zone, place.node) else place
