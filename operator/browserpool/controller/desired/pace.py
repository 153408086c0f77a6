"""How fast a region's missing browsers are made: ``refill.maxRate`` as a bound on those of the last few seconds."""

from collections.abc import Iterable
from typing import Final

WINDOW: Final = 5.0
"""Seconds that a rate is an average over: rounds come seconds apart, and what one could not make the next may."""


def window(rate: float) -> float:
    """Seconds within which browsers count: long enough for one of them."""
    return max(WINDOW, 1 / rate)


def kept(births: Iterable[float], *, rate: float | None, now: float) -> tuple[float, ...]:
    """Those of ``births``, moments on a clock whose time is ``now``, that still count."""
    return () if rate is None else tuple(moment for moment in births if now - moment < window(rate))


def room(rate: float | None, *, lately: int) -> int | None:
    """How many more may be made now where ``lately`` count; None: as many as one likes."""
    return None if rate is None else max(0, int(rate * window(rate) + 1e-9) - lately)
