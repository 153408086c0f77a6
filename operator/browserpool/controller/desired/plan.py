"""``plan(pool, world) -> actions``: the one policy by which browsers come and go.

Called with everything that exists, as often as one likes: it looks at states, never at events, so a missed event costs a delay and
nothing else. Applying its actions and asking again ends at an empty plan. Three rules hold whatever the input:

* a claimed browser that runs is never deleted; at most it is marked to drain when its session ends;
* no region gets more pods than ``maxReplicas``;
* names are a function of pool, region and ordinal, so a create that is repeated makes nothing twice.

Each action is one in a database: a new browser's is the one that its region is in now, another's the one that has its row. Nothing is
done in a region that is blind.
"""

import dataclasses
import itertools
from collections.abc import Collection

from browserpool.controller.desired import failing, pace, rollout, seen, versions
from browserpool.model import names
from browserpool.model.names import HOME, BrowserId, DatabaseName, PoolName, RegionName
from browserpool.model.pool import BrowserPool, PoolSpec, Region, UpdateStrategyType
from browserpool.model.states import BrowserState

SHORT_SETTLES = 3.0
"""Seconds of shortage after which claimed browsers are replaced. A quick action gives its browser back sooner, and needs none."""
SURPLUS_SETTLES = 5.0
"""Seconds of surplus after which it is drained: shorter ones come from sessions that have just ended."""
HEARD = 30.0
"""Seconds since its last heartbeat within which a browser counts as running, whatever the cluster says of its node."""
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 60.0
"""Seconds before a name whose pods die young is tried again: doubling from the first to the most."""

DELETED = "drained, and its pod is deleted"
"""The reason of a Forget that ends a browser's life in good order."""

_UNCLAIMED = frozenset({BrowserState.STARTING, BrowserState.READY, BrowserState.RECYCLING})
_ENDED = frozenset({None, BrowserState.GONE})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Register the name, then make its pod. A pod of that name that is there already is left as it is."""

    browser_id: BrowserId
    region: RegionName
    ordinal: int
    template_hash: str
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Register a pod that runs and has no row."""

    browser_id: BrowserId
    region: RegionName
    ordinal: int
    template_hash: str
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Locate:
    """Write into the row where the pod has come to stand."""

    browser_id: BrowserId
    place: seen.Place
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Let no further claim take it; a session that is on it ends in its own time."""

    browser_id: BrowserId
    reason: str
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete the pod. On a node that is lost nobody confirms a deletion: whoever carries it out does not wait for one."""

    browser_id: BrowserId
    reason: str
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """End the row, and with it a session that was on it: there is no pod any more."""

    browser_id: BrowserId
    reason: str
    database: DatabaseName = HOME


Action = Create | Adopt | Locate | Drain | Delete | Forget


def plan(pool: BrowserPool | None, world: seen.World) -> tuple[Action, ...]:
    """What to do next so that ``world`` becomes what ``pool`` says; ``None``: the pool is deleted."""
    kept = {} if pool is None else {RegionName(region.name): region for region in pool.spec.regions}
    abandoned = [browser for browser in world.browsers if browser.region not in kept]
    reason = "the pool was deleted" if pool is None else "the region was taken out of the pool"
    actions = [action for browser in abandoned for action in _give_up(browser, reason=reason)]
    if pool is not None:
        for name, region in kept.items():
            actions += [] if world.blind_in(name) else _in_region(pool, region, world)
    return tuple(actions)


def backoff(deaths: int) -> float:
    """Seconds to wait before a name whose last ``deaths`` pods died young gets another."""
    return 0.0 if deaths == 0 else min(BACKOFF_FIRST * 2.0 ** min(deaths - 1, 16), BACKOFF_MOST)


def is_held(browser: seen.Browser) -> bool:
    """Whether this name waits for its backoff to pass before it gets a pod again."""
    return (
        browser.state in _ENDED
        and not browser.pod.exists
        and browser.deaths > 0
        and (browser.death_age is None or browser.death_age < backoff(browser.deaths))
    )


def occupies(browser: seen.Browser) -> bool:
    """Whether a row or a pod still bears the name."""
    return browser.pod.exists or browser.state not in _ENDED


def _give_up(browser: seen.Browser, *, reason: str) -> list[Action]:
    if browser.state is None and browser.pod is seen.Pod.RUNNING:
        return [Delete(browser_id=browser.browser_id, reason=reason, database=browser.database)]
    return _tidied(browser) or _drained([browser] if _runs(browser) else [], reason=reason)


def _tidied(browser: seen.Browser) -> list[Action]:
    """What follows from the browser's row and pod alone, whatever the pool wants."""
    if browser.state in _ENDED:
        return _without_row(browser)
    if browser.state is BrowserState.DRAINING:
        return _draining(browser)
    if not browser.pod.serves:
        return [Forget(browser_id=browser.browser_id, reason="its pod is gone", database=browser.database)]
    return _drained([browser] if browser.pod is seen.Pod.STOPPING else [], reason="its pod is being deleted")


def _without_row(browser: seen.Browser) -> list[Action]:
    if browser.pod is seen.Pod.RUNNING and browser.state is None:
        return [
            Adopt(
                browser_id=browser.browser_id,
                region=browser.region,
                ordinal=browser.ordinal,
                template_hash=browser.template_hash,
                database=browser.database,
            )
        ]
    deletable = browser.pod in (seen.Pod.RUNNING, seen.Pod.DEAD)
    return (
        [Delete(browser_id=browser.browser_id, reason="it has no row: nobody can claim it", database=browser.database)]
        if deletable
        else []
    )


def _draining(browser: seen.Browser) -> list[Action]:
    match browser.pod:
        case seen.Pod.ABSENT:
            return [Forget(browser_id=browser.browser_id, reason=DELETED, database=browser.database)]
        case seen.Pod.STOPPING if browser.forced or browser.node is not seen.Node.LOST:
            return []
        case _ if browser.node is seen.Node.LOST and _is_heard(browser):
            # The cluster has lost its node, but it runs. Forced out of the cluster's records it would run on with nobody to end it, and
            # answer for whoever gets its name next.
            return []
        case _:
            return [Delete(browser_id=browser.browser_id, reason="drained", database=browser.database)]


def _is_heard(browser: seen.Browser) -> bool:
    return browser.last_seen_age is not None and browser.last_seen_age < HEARD


def _runs(browser: seen.Browser) -> bool:
    return browser.pod is seen.Pod.RUNNING and browser.state in (_UNCLAIMED | {BrowserState.CLAIMED})


def _located(browsers: list[seen.Browser]) -> list[Action]:
    return [
        Locate(browser_id=b.browser_id, place=b.moved, database=b.database) for b in browsers if b.moved is not None
    ]


def _drained(browsers: list[seen.Browser], *, reason: str) -> list[Action]:
    return [
        Drain(browser_id=b.browser_id, reason=reason, database=b.database) for b in browsers if not b.drain_requested
    ]


def _in_region(pool: BrowserPool, region: Region, world: seen.World) -> list[Action]:
    name, spec = RegionName(region.name), pool.spec
    browsers, settled, scaled = world.of(name), world.settled_in(name), world.scaled_in(name)
    wanted, most = spec.wanted(region), spec.most(region)
    known = versions.of(spec, region, paused=world.canary_paused)
    tidied = [action for browser in browsers for action in _tidied(browser)]
    unclaimed = [b for b in browsers if _runs(b) and b.state is not BrowserState.CLAIMED]
    claimed = [b for b in browsers if _runs(b) and b.state is BrowserState.CLAIMED]
    # One that is still heard serves on: it is the cluster that has lost sight of its node.
    lost = [b for b in (*unclaimed, *claimed) if b.node is seen.Node.LOST and not _is_heard(b)]
    failed = _to_replace(spec, browsers, unclaimed, claimed, wanted=wanted)
    supply = _without(unclaimed, [*failed, *lost])

    strategy = spec.update_strategy
    as_used = strategy.type is UpdateStrategyType.ON_REPLENISH
    misplaced = versions.misplaced(known, supply, _without(claimed, lost), wanted=wanted, as_used=as_used)
    outdated = rollout.outdated([*supply, *claimed], known=known, misplaced=misplaced)
    old = sum(b.browser_id in outdated for b in supply)
    target = wanted + rollout.surge(strategy, wanted=wanted, room=most - len(claimed) - wanted, outdated=old)
    # Autoscaling waits before it lets go what was of use: as many as this are not too many yet.
    kept = 0 if scaled is None else scaled.kept - len(claimed)
    surplus = len(supply) - max(target, kept) if settled.surplus_for >= SURPLUS_SETTLES else 0
    over = len(supply) + len(claimed) - most
    spare = _most_dispensable(known, supply, claimed, outdated=outdated, number=max(0, surplus, over))
    staying = _without(supply, spare)
    hurried = misplaced if world.canary_paused else frozenset()
    leaving = rollout.leaving(strategy, staying, claimed, wanted=wanted, most=most, outdated=outdated, hurried=hurried)

    kept_on = [b for b in _without([*staying, *claimed], leaving) if not b.drain_requested]
    on_the_way = len(_without(staying, leaving))
    if settled.short_for < SHORT_SETTLES:
        on_the_way += sum(not b.drain_requested for b in claimed)
    missing = target - on_the_way
    paced = pace.room(spec.refill.max_rate, lately=settled.made_lately)
    most_now = spec.refill.max_batch if paced is None else min(paced, spec.refill.max_batch)
    return [
        *tidied,
        *_located([*supply, *claimed]),
        *_drained(lost, reason="its node cannot be reached"),
        *_drained(failed, reason=f"not ready for {spec.refill.readiness_grace:g} s"),
        *_drained(spare, reason=f"more than the {wanted} that the region is to keep ready"),
        *_drained(leaving, reason="its template is out of date, or its node is being emptied"),
        *_created(
            pool.name, region, browsers, missing=missing, most=most, most_now=most_now, kept=kept_on, known=known
        ),
    ]


def _to_replace(
    spec: PoolSpec,
    browsers: tuple[seen.Browser, ...],
    unclaimed: list[seen.Browser],
    claimed: list[seen.Browser],
    *,
    wanted: int,
) -> list[seen.Browser]:
    """The browsers that are not ready in time, and whose turn it is; those of lost nodes do not wait for one."""
    grace = spec.refill.readiness_grace
    late = [b for b in failing.failed(unclaimed, grace=grace) if b.node is not seen.Node.LOST or _is_heard(b)]
    others = sum(b.state is BrowserState.DRAINING or is_held(b) for b in browsers)
    missing = wanted - len(unclaimed) - len(claimed) - others
    return failing.turn(late, browsers, strategy=spec.update_strategy, wanted=wanted, missing=missing, grace=grace)


def _without(browsers: list[seen.Browser], others: list[seen.Browser]) -> list[seen.Browser]:
    left_out = {b.browser_id for b in others}
    return [b for b in browsers if b.browser_id not in left_out]


def _most_dispensable(
    known: versions.Versions,
    supply: list[seen.Browser],
    claimed: list[seen.Browser],
    *,
    outdated: Collection[BrowserId],
    number: int,
) -> list[seen.Browser]:
    """Outdated before current, waiting for a node before running, then the highest ordinal: names stay few and low."""
    ordered = sorted(supply, key=lambda b: (b.schedulable, -b.ordinal))
    first = [b for b in ordered if b.browser_id in outdated][:number]
    current = [b for b in ordered if b.browser_id not in outdated]
    return [*first, *versions.spared(known, current, claimed, number - len(first))]


def _created(
    pool: PoolName,
    region: Region,
    browsers: tuple[seen.Browser, ...],
    *,
    missing: int,
    most: int,
    most_now: int,
    kept: list[seen.Browser],
    known: versions.Versions,
) -> list[Action]:
    taken = {b.ordinal for b in browsers if occupies(b)}
    held = {b.ordinal for b in browsers if is_held(b)}
    room = most - len(taken) - len(held)
    number = max(0, min(missing - len(held), room, most_now))
    free = (ordinal for ordinal in itertools.count() if ordinal not in taken and ordinal not in held)
    name = RegionName(region.name)
    return [
        Create(
            browser_id=names.browser_id(pool=pool, region=name, ordinal=ordinal),
            region=name,
            ordinal=ordinal,
            template_hash=template_hash,
            database=region.databases[0],
        )
        for ordinal, template_hash in zip(free, versions.created(known, kept, number), strict=False)
    ]
