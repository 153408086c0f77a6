"""The store's rows joined with the pods by name: what the plan is made from."""

import dataclasses
from collections.abc import Iterable, Mapping

from browserpool.controller.desired import seen, settling
from browserpool.lib import clock
from browserpool.model.browsers import Browser
from browserpool.model.names import HOME, BrowserId, DatabaseName, PoolName, RegionName
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
    database: DatabaseName = HOME
    """That which its agent speaks to."""


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
        blind: Mapping[RegionName, str] | None = None,
    ) -> seen.World:
        """All that exists of the pool ``name``, as it is now; ``rows``, ``pods``, ``scaled`` and ``blind`` are those of that pool.

        ``blind`` says why nothing is to be decided of a region.
        """
        dark = blind or {}
        all_ = joined(rows, pods, pool=name)
        found = tuple(browser for browser in all_ if browser.region not in dark) if dark else all_
        now = self._now()
        here: dict[RegionName, settling.Since] = {}
        for region in pool.spec.regions if pool is not None else ():
            region_name = RegionName(region.name)
            if region_name in dark:
                # When it is seen again, it is so for the first time.
                self._since.pop((name, region_name), None)
                self._known.pop((name, region_name), None)
                continue
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
        unseen = tuple(
            seen.Blind(region=one, why=why, browsers=tuple(b for b in all_ if b.region == one))
            for one, why in dark.items()
        )
        return seen.World(pool=name, browsers=found, settled=settling.ages(here, now=now), scaled=scaled, blind=unseen)


def by_pool(rows: Iterable[Browser]) -> dict[PoolName, list[Browser]]:
    """``rows``, in their order, by the pool that each is of."""
    found: dict[PoolName, list[Browser]] = {}
    for row in rows:
        found.setdefault(row.pool, []).append(row)
    return found


def joined(rows: Iterable[Browser], pods: Mapping[BrowserId, Pod], *, pool: PoolName) -> tuple[seen.Browser, ...]:
    """The browsers of ``pool``, each from its row, its pod, or both. Both must be of that pool.

    A row and a pod are of one browser if both its name and its database are the same. So a name of which two databases have rows that
    count is two browsers; of rows that do not count any more, the last one tells of its name.
    """
    by_name: dict[BrowserId, list[Browser]] = {}
    for row in rows:
        by_name.setdefault(row.browser_id, []).append(row)
    return tuple(
        browser
        for name in sorted(by_name.keys() | pods.keys())
        if ordinal(name, pool=pool) is not None
        for browser in _named(name, by_name.get(name, []), pods.get(name))
    )


def _named(name: BrowserId, rows: list[Browser], pod: Pod | None) -> list[seen.Browser]:
    if pod is None or not pod.phase.exists:
        counting = [row for row in rows if row.state is not BrowserState.GONE]
        last = max(rows, key=lambda row: row.fence, default=None)
        return [_joined(name, row, pod) for row in counting] or [_joined(name, last, pod)]
    own = next((row for row in rows if row.database == pod.database), None)
    others = [row for row in rows if row is not own and row.state is not BrowserState.GONE]
    return [_joined(name, own, pod), *(_joined(name, row, None) for row in others)]


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
        database=row.database if row is not None else pod.database if pod is not None else HOME,
    )


def _is_there(browser: seen.Browser) -> bool:
    return browser.pod.exists or browser.state not in (None, BrowserState.GONE)


def _moved(row: Browser, place: seen.Place | None) -> seen.Place | None:
    return None if place is None or (row.zone, row.node) == (place.zone, place.node) else place
