"""The arms of a pool that has an upstream, tried one after another until one of them serves. Both are measured."""

import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Generic, TypeVar

from browserpool import metrics
from browserpool.lib import chance, clock
from browserpool.model import errors, outcomes
from browserpool.router import services, target, waiting
from browserpool.router.moving import arms

log = logging.getLogger(__name__)

T = TypeVar("T")

ARM: Final = "X-Browserpool-Arm"
"""The answer's header that names who served."""
VIA: Final = "X-Browserpool-Via"
"""A request that has it came through a router already, and goes no further."""
AT_ONCE: Final = waiting.Patience(seconds=0, limit=0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sides(Generic[T]):
    """What each arm does. ``upstream``: none, if it cannot do this. ``failed``: an answer, of which nothing was sent, that says so."""

    pool: Callable[[waiting.Patience | None], Awaitable[T]]
    upstream: Callable[[], Awaitable[T]] | None
    failed: Callable[[T], bool]


async def served(call: services.Call, wanted: target.Target, action: str, sides: Sides[T]) -> T:
    """The answer of whoever's turn it is, or of who comes next where that one fails and nothing was sent yet.

    Raises:
        errors.BrowserpoolError: the last one's, with the arm among its headers.
    """
    alone = sides.upstream is None or VIA in call.request.headers
    *before, last = arms.POOL_ALONE if alone else _tries(call, wanted)
    for one in before:
        try:
            answer = await _tried(call, wanted, action, sides, one)
        except Exception as error:
            if not outcomes.has_failed(error):
                raise
            why = repr(error)
        else:
            if not sides.failed(answer):
                return answer
            why = "its answer says so"
        metrics.FALLBACKS.labels(wanted.pool, one.arm, action).inc()
        log.info("an arm failed, and another is tried", extra={"pool": wanted.pool, "arm": str(one.arm), "why": why})
    return await _tried(call, wanted, action, sides, last)


def _tries(call: services.Call, wanted: target.Target) -> tuple[arms.Try, ...]:
    upstream = wanted.spec.upstream
    assert upstream is not None, "a pool without one has no arms"
    draw = chance.below(100_000) / 1000
    arm = arms.first(upstream, token=call.token.name, pool=wanted.pool, draw=draw)
    return arms.plan(arm, upstream.fallback)


async def _tried(call: services.Call, wanted: target.Target, action: str, sides: Sides[T], one: arms.Try) -> T:
    with call.services.outcomes.timed(wanted.pool, action) as counted, _timed(wanted, action, one) as timing:
        counted.arm = one.arm
        if one.arm is outcomes.Arm.POOL:
            answer = await sides.pool(AT_ONCE if one.at_once else None)
        else:
            assert sides.upstream is not None, "without an upstream the pool is alone"
            answer = await sides.upstream()
        timing.failed = counted.failed = sides.failed(answer)
        return answer


@dataclasses.dataclass(slots=True)
class _Timing:
    failed: bool = False


@contextlib.contextmanager
def _timed(wanted: target.Target, action: str, one: arms.Try) -> Iterator[_Timing]:
    started, timing = clock.monotonic(), _Timing()
    try:
        yield timing
    except errors.BrowserpoolError as error:
        timing.failed = outcomes.has_failed(error)
        error.headers = {**error.headers, ARM: str(one.arm)}
        raise
    except Exception as error:
        timing.failed = outcomes.has_failed(error)
        raise
    finally:
        outcome = "failed" if timing.failed else "ok"
        metrics.ARM_SECONDS.labels(wanted.pool, one.arm, action, outcome).observe(clock.monotonic() - started)
