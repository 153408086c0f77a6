"""Whose turn it is when what browsers are started with has changed. No strategy cuts a session."""

from browserpool.controller.desired import seen
from browserpool.model.pool import UpdateStrategy, UpdateStrategyType
from browserpool.model.quantities import share
from browserpool.model.states import BrowserState


def allowed_away(strategy: UpdateStrategy, *, wanted: int) -> int:
    """Browsers of a region that an update may have out of service together; one at least, where no surge stands in for it."""
    away = share(strategy.max_unavailable, wanted, up=False)
    return away if surge(strategy, wanted=wanted, outdated=1) else max(1, away)


def surge(strategy: UpdateStrategy, *, wanted: int, outdated: int) -> int:
    """Browsers of a region that may exist above ``wanted`` while ``outdated`` ones are to be replaced."""
    if strategy.type is not UpdateStrategyType.ROLLING_UPDATE:
        return 0
    return min(share(strategy.max_surge, wanted, up=True), outdated)


def leaving(
    strategy: UpdateStrategy,
    unclaimed: list[seen.Browser],
    claimed: list[seen.Browser],
    *,
    wanted: int,
    most: int,
    current: str,
) -> list[seen.Browser]:
    """The outdated browsers that are to drain now; a claimed one among them is marked, and leaves when its session ends."""
    serving = [b for b in unclaimed if b.healthy and b.state is not BrowserState.STARTING]
    # What never served takes nothing away.
    unproven = [b for b in unclaimed if b not in serving and b.template_hash != current]
    idle = [b for b in serving if b.template_hash != current]
    markable = [b for b in claimed if b.template_hash != current and not b.drain_requested]
    match strategy.type:
        case UpdateStrategyType.RECREATE:
            return [*unproven, *idle, *markable]
        case UpdateStrategyType.ON_REPLENISH:
            return [*unproven, *(b for b in idle if b.state is BrowserState.RECYCLING), *markable]
        case UpdateStrategyType.ROLLING_UPDATE:
            # What claims leave of `most` bounds what can be ready at all: a fully claimed region is not one that its update broke.
            missing = min(wanted, max(0, most - len(claimed))) - len(serving)
            budget = max(0, allowed_away(strategy, wanted=wanted) - missing)
            turn = idle[:budget]
            # When a session ends nobody can foresee: only as many are marked as may leave together.
            marked = sum(b.drain_requested for b in claimed)
            return [*unproven, *turn, *markable[: max(0, budget - len(turn) - marked)]]
