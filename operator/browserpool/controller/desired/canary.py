"""Whether a pool's canary is worse than its stable version, by one rule: it then is paused."""

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from browserpool.controller.desired import failing, seen, versions
from browserpool.model.names import BrowserId, RegionName
from browserpool.model.outcomes import Arm, Kind, Tally, summed
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

WINDOW: Final = 600.0
"""Seconds that are looked back upon."""
ENOUGH: Final = 50
"""Requests that each version must have served in them before they are compared."""
ERRORS_BY, ERRORS_TIMES = 0.02, 2.0
"""A canary is worse if its error rate is above the stable version's by more than the one, and above the other times of it."""
SLOWER_BY, SLOWER_TIMES = 0.25, 1.5
"""The same of the 95th percentile of its seconds. Buckets are 1.4 times apart: a smaller difference may be none."""
FAILING: Final = 0.5
"""A canary is worse if this share of its browsers does not become ready, or more, and less of the stable version's."""
YOUNG_DEATHS: Final = 3
"""A browser whose pods died young so often in a row does not become ready."""
_HOPELESS: Final = frozenset({"CrashLoopBackOff", "InvalidImageName"})
"""What the cluster says of containers that will not run however long they are waited for."""
PATIENCE: Final = 90.0
"""Seconds that a container may fail to run for any other reason. A registry may blink: a kubelet whose first try failed has asked it again
by then: twice or more, or once where each try takes its time to fail."""

_UNCLAIMED: Final = (BrowserState.STARTING, BrowserState.READY, BrowserState.RECYCLING)


class Why(enum.StrEnum):
    """What a canary is worse in."""

    NOT_READY = "BrowsersNotReady"
    ERRORS = "ErrorRate"
    LATENCY = "Latency"


def looked(pool: BrowserPool, world: seen.World, sums: Mapping[Kind, Tally]) -> seen.Canary:
    """Both versions side by side, and whether the canary is worse; ``sums`` are the pool's outcomes of the last ``WINDOW`` seconds."""
    found = [versions.of(pool.spec, region, paused=False) for region in pool.spec.regions]
    broken = _broken(pool, world)
    stable = _figures({one.stable for one in found}, world, sums, broken=broken)
    canary = _figures({one.canary for one in found if one.canary is not None}, world, sums, broken=broken)
    reason, message = judged(stable, canary)
    return seen.Canary(reason=reason, message=message, stable=stable, canary=canary)


def judged(stable: seen.Figures, canary: seen.Figures) -> tuple[str, str]:
    """What the canary is worse in, in one word and in a sentence; both empty: in nothing that can be told yet."""
    if canary.failing and canary.failing_share >= FAILING and canary.failing_share > stable.failing_share:
        why = f" ({canary.failure})" if canary.failure else ""
        return Why.NOT_READY, f"{canary.failing} of the canary's {canary.replicas} browsers do not become ready{why}."
    if min(stable.requests, canary.requests) < ENOUGH:
        return "", ""
    if _is_above(canary.error_rate, stable.error_rate, by=ERRORS_BY, times=ERRORS_TIMES):
        message = (
            f"{canary.error_rate:.1%} of the canary's {canary.requests} requests failed, {stable.error_rate:.1%} of the stable "
            f"version's {stable.requests}."
        )
        return Why.ERRORS, message
    if (
        canary.p95 is None
        or stable.p95 is None
        or not _is_above(canary.p95, stable.p95, by=SLOWER_BY, times=SLOWER_TIMES)
    ):
        return "", ""
    return (
        Why.LATENCY,
        f"95% of the canary's requests took up to {canary.p95:.2f} s, of the stable version's {stable.p95:.2f} s.",
    )


def _is_above(value: float, other: float, *, by: float, times: float) -> bool:
    return value > other + by and value > other * times


def _broken(pool: BrowserPool, world: seen.World) -> frozenset[BrowserId]:
    """The browsers that should be ready and are not."""
    grace = pool.spec.refill.readiness_grace
    found = {b.browser_id for b in world.browsers if not b.pod.exists and b.deaths >= YOUNG_DEATHS}
    for region in pool.spec.regions:
        here = [b for b in world.of(RegionName(region.name)) if b.pod.serves and b.state in _UNCLAIMED]
        found |= {b.browser_id for b in failing.failed(here, grace=grace)}
        found |= {b.browser_id for b in here if _fails(b)}
    return frozenset(found)


def _fails(browser: seen.Browser) -> bool:
    return browser.failing in _HOPELESS or (bool(browser.failing) and browser.failing_for >= PATIENCE)


def _figures(
    hashes: Collection[str], world: seen.World, sums: Mapping[Kind, Tally], *, broken: Collection[BrowserId]
) -> seen.Figures:
    browsers = [b for b in world.browsers if b.template_hash in hashes and (b.pod.serves or b.browser_id in broken)]
    tally = summed(_of(hashes, sums))
    return seen.Figures(
        replicas=len(browsers),
        ready=sum(b.state is BrowserState.READY and b.healthy and b.pod.serves for b in browsers),
        failing=sum(b.browser_id in broken for b in browsers),
        failure=next((b.failing for b in browsers if b.browser_id in broken and b.failing), ""),
        requests=tally.requests,
        failures=tally.failures,
        p50=tally.quantile(0.5),
        p95=tally.quantile(0.95),
    )


def _of(hashes: Collection[str], sums: Mapping[Kind, Tally]) -> Iterable[Tally]:
    return (tally for kind, tally in sums.items() if kind.arm is Arm.POOL and kind.template in hashes)
