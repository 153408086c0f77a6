"""Browsers that should be ready and are not: which they are, and whose turn it is to be replaced."""

from collections.abc import Sequence

from browserpool.controller.desired import rollout, seen
from browserpool.model.pool import UpdateStrategy
from browserpool.model.states import BrowserState


def failed(unclaimed: Sequence[seen.Browser], *, grace: float) -> list[seen.Browser]:
    """Those that should have been ready ``grace`` seconds ago, those first that take nothing away."""
    silent = {b.browser_id for b in unclaimed if b.last_seen_age is not None and b.last_seen_age > grace}
    never_heard = sum(b.last_seen_age is None for b in unclaimed)
    if silent and len(silent) + never_heard == len(unclaimed) > 1:
        # When nobody is heard, the way that heartbeats take is broken, and replacing every browser would not mend it.
        return []
    found = [b for b in unclaimed if b.browser_id in silent or _is_late(b, grace=grace)]
    return sorted(found, key=lambda b: b.state is not BrowserState.STARTING)


def turn(
    failed: Sequence[seen.Browser],
    browsers: Sequence[seen.Browser],
    *,
    strategy: UpdateStrategy,
    wanted: int,
    missing: int,
    grace: float,
) -> list[seen.Browser]:
    """Those of ``failed`` that may be replaced now: no more are away together than an update may take away.

    After an outage of heartbeats one browser is heard before the others, which are seconds from it, and must not be emptied out for that.
    ``browsers`` are all of the region, ``missing`` are names that nothing bears yet.
    """
    names = {b.browser_id for b in failed}
    # Whatever takes longer than its grace may never end, and must not hold up the others.
    away = sum(_is_on_its_way(b) and b.state_age <= grace and b.browser_id not in names for b in browsers)
    allowed = max(1, rollout.allowed_away(strategy, wanted=wanted, room=0))
    return list(failed[: max(0, allowed - away - max(0, missing))])


def _is_late(browser: seen.Browser, *, grace: float) -> bool:
    # A pod that waits for a node would only wait again.
    return browser.state is not BrowserState.READY and browser.state_age > grace and browser.schedulable


def _is_on_its_way(browser: seen.Browser) -> bool:
    """Whether it is being replaced, or replaces another."""
    return browser.pod.exists and browser.state in (BrowserState.STARTING, BrowserState.DRAINING)
