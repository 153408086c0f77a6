"""Whose turn it is when what browsers are started with has changed, or their node is being emptied. No strategy cuts a session."""

from collections.abc import Collection, Iterable

from browserpool.controller.desired import seen, versions
from browserpool.model.names import BrowserId
from browserpool.model.pool import UpdateStrategy, UpdateStrategyType
from browserpool.model.quantities import share
from browserpool.model.states import BrowserState


def outdated(
    browsers: Iterable[seen.Browser], *, known: versions.Versions, misplaced: Collection[BrowserId] = ()
) -> frozenset[BrowserId]:
    """Those in whose place others are to stand: made from an older template or the wrong one, or of a node that is to be emptied."""
    return frozenset(
        b.browser_id
        for b in browsers
        if not known.are(b.template_hash) or b.node is seen.Node.LEAVING or b.browser_id in misplaced
    )


def allowed_away(strategy: UpdateStrategy, *, wanted: int, room: int) -> int:
    """Browsers of a region that an update may have out of service together; one at least, where no surge stands in for it."""
    away = share(strategy.max_unavailable, wanted, up=False)
    return away if surge(strategy, wanted=wanted, room=room, outdated=1) else max(1, away)


def surge(strategy: UpdateStrategy, *, wanted: int, room: int, outdated: int) -> int:
    """Browsers that may exist above ``wanted`` while ``outdated`` ones are to be replaced, where the most leaves ``room`` for more."""
    if strategy.type is not UpdateStrategyType.ROLLING_UPDATE:
        return 0
    return max(0, min(share(strategy.max_surge, wanted, up=True), room, outdated))


def leaving(
    strategy: UpdateStrategy,
    unclaimed: list[seen.Browser],
    claimed: list[seen.Browser],
    *,
    wanted: int,
    most: int,
    outdated: Collection[BrowserId],
    hurried: Collection[BrowserId] = (),
) -> list[seen.Browser]:
    """The outdated browsers that are to drain now; a claimed one among them is marked, and leaves when its session ends.

    Those that are ``hurried`` do not wait for a session of theirs.
    """
    serving = [b for b in unclaimed if _serves(b)]
    # What never served takes nothing away.
    unproven = [b for b in unclaimed if not _serves(b) and b.browser_id in outdated]
    idle = [b for b in serving if b.browser_id in outdated]
    markable = [b for b in claimed if b.browser_id in outdated and not b.drain_requested]
    # What claims leave of `most` bounds what can be ready at all: a fully claimed region is not one that its update broke.
    missing = min(wanted, max(0, most - len(claimed))) - len(serving)
    away = allowed_away(strategy, wanted=wanted, room=most - len(claimed) - wanted)
    budget = max(0, away - missing)
    match strategy.type:
        case UpdateStrategyType.RECREATE:
            return [*unproven, *idle, *markable]
        case UpdateStrategyType.ON_REPLENISH:
            # A node that is being emptied does not wait for sessions that may never come.
            moved = [b for b in idle if b.node is seen.Node.LEAVING or b.browser_id in hurried][:budget]
            taken = {b.browser_id for b in moved}
            used = [b for b in idle if b.state is BrowserState.RECYCLING and b.browser_id not in taken]
            return [*unproven, *moved, *used, *markable]
        case UpdateStrategyType.ROLLING_UPDATE:
            turn = idle[:budget]
            # When a session ends nobody can foresee: only as many are marked as may leave together.
            marked = sum(b.drain_requested for b in claimed)
            return [*unproven, *turn, *markable[: max(0, budget - len(turn) - marked)]]


def _serves(browser: seen.Browser) -> bool:
    return browser.healthy and browser.state is not BrowserState.STARTING
