"""For how long a region has been short, or has had too many: so that a claim of a moment neither makes nor drains a browser.

Without it each short quick action would start one more browser, and each release would drain one.
"""

import dataclasses
from collections.abc import Mapping

from browserpool.controller.desired import pace, seen
from browserpool.model.names import RegionName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Moments on the observer's own clock, in seconds; None: not so now."""

    short: float | None = None
    surplus: float | None = None
    births: tuple[float, ...] = ()
    """Moments at which browsers were first seen that count against the pool's ``maxRate``."""


def observed(
    before: Since, *, ready: int, unclaimed: int, wanted: int, now: float, born: int = 0, rate: float | None = None
) -> Since:
    """What to remember after seeing ``ready`` ready ones and ``unclaimed`` ready or on the way, where ``wanted`` are wanted.

    ``born`` are new since the last look; ``rate`` is the pool's ``maxRate``.
    """
    return Since(
        short=(now if before.short is None else before.short) if ready < wanted else None,
        surplus=(now if before.surplus is None else before.surplus) if unclaimed > wanted else None,
        births=pace.kept((*before.births, *(now for _ in range(born))), rate=rate, now=now),
    )


def ages(since: Mapping[RegionName, Since], *, now: float) -> tuple[tuple[RegionName, seen.Settled], ...]:
    """``since`` as the ages that ``World.settled`` takes."""
    return tuple(
        (
            region,
            seen.Settled(
                short_for=0.0 if moment.short is None else now - moment.short,
                surplus_for=0.0 if moment.surplus is None else now - moment.surplus,
                made_lately=len(moment.births),
            ),
        )
        for region, moment in since.items()
    )
