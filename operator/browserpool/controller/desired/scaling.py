"""``spec.autoscaling``: how many browsers a region keeps ready, from how many are held and how fast they go.

Wanted are the buffer and the forecast, ``minReplicas`` (or the hour's) at least, ``maxReplicas`` at most. The forecast is how many will
be taken before one that is made now can serve: the claims a second (of the last ten seconds or of the last minute, whichever are
more), times the seconds that a browser takes from its creation until it is ready; but no more than were held together in that minute,
for what comes back serves again.

More is wanted at once. Less only after ``scaleDownDelay``, the highest number of that span being what counts: both of what is to be
ready, and of what is held and ready together, so that browsers that come back from a burst of claims wait for the next.
"""

import dataclasses
import datetime
import enum
import math
from typing import Final

from browserpool.controller.desired import hours, seen
from browserpool.model import quantities
from browserpool.model.autoscaling import Autoscaling

WINDOW: Final = 60.0
"""Seconds of claims that the forecast looks back on."""
_WINDOWS: Final = (10.0, WINDOW)
"""Seconds that a rate is an average over, the highest being what counts: a rush shows in ten seconds, and in a minute hardly yet."""
FIRST_LEAD: Final = 10.0
"""Seconds that a browser is taken to need until it is ready, until some browser has shown how many they are."""
_GRAIN: Final = 1.0
"""Seconds of claims that are remembered as one number."""

Peaks = tuple[tuple[float, int], ...]
"""Moments and numbers; each number is below the one before it, so the first is the highest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A region at one moment. ``claims`` are those since the look before; ``lead`` is in seconds, None where no browser shows it."""

    claimed: int
    unclaimed: int
    claims: int = 0
    lead: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A second or so from ``begin`` on: how many claims it had, and how many browsers were held together at most."""

    begin: float
    claims: int
    held: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is remembered of a region; moments are on the observer's own clock.

    ``ready`` is how many were to be ready, ``whole`` those and the claimed ones together.
    """

    spans: tuple[Span, ...] = ()
    ready: Peaks = ()
    whole: Peaks = ()
    lead: float = FIRST_LEAD


class Why(enum.StrEnum):
    """What decided."""

    DEMAND = "Demand"
    MINIMUM = "MinReplicas"
    SCHEDULE = "Schedule"
    DELAY = "ScaleDownDelay"
    MAXIMUM = "MaxReplicas"
    BLIND = "DatabaseAway"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    buffer: int
    forecast: int
    least: int
    hour: int

    @property
    def number(self) -> int:
        return max(self.buffer + self.forecast, self.least, self.hour)


def begun(look: Look, *, before: int, now: float) -> Past:
    """What is known of a region that is seen for the first time, and was to keep ``before`` ready until now.

    What exists counts as having been wanted a moment ago: whoever takes over from another controller takes nothing away at once.
    """
    return Past(ready=((now, before),), whole=((now, look.claimed + max(look.unclaimed, before)),))


def looked(
    past: Past, look: Look, *, rules: Autoscaling, most: int, now: float, moment: datetime.datetime
) -> tuple[Past, seen.Scaled]:
    """What to remember after ``look``, and what the region is to keep; ``most`` may exist in it.

    ``now`` is on the observer's clock, ``moment`` the time of day, aware.
    """
    spans = _added(past.spans, look, now=now)
    lead = past.lead if look.lead is None else look.lead
    wish = _Wish(
        buffer=quantities.share(rules.buffer, look.claimed, up=True),
        forecast=forecast(spans, lead=lead, now=now),
        least=rules.min_replicas,
        hour=max((one.min_replicas for one in rules.schedule if hours.now_in(one, moment)), default=0),
    )
    bound = min(rules.max_replicas, most)
    ready = highest(past.ready, wish.number, now=now, span=rules.scale_down_delay)
    whole = highest(past.whole, look.claimed + min(wish.number, bound), now=now, span=rules.scale_down_delay)
    why, message = _reason(wish, look, rules, asked=ready[0][1], bound=bound)
    scaled = seen.Scaled(wanted=min(ready[0][1], bound), kept=whole[0][1], reason=why, message=message)
    return Past(spans=spans, ready=ready, whole=whole, lead=lead), scaled


def forecast(spans: tuple[Span, ...], *, lead: float, now: float) -> int:
    """How many browsers will be taken within ``lead`` seconds, and will not be back."""
    rate = max(sum(span.claims for span in spans if now - span.begin < window) / window for window in _WINDOWS)
    together = max((span.held for span in spans), default=0)
    return math.floor(min(rate * lead, together) + 0.5)


def highest(peaks: Peaks, number: int, *, now: float, span: float) -> Peaks:
    """The numbers of the last ``span`` seconds that are, or will be, the highest of such a span; ``number`` is the newest."""
    return (*((moment, one) for moment, one in peaks if one > number and now - moment < span), (now, number))


def _added(spans: tuple[Span, ...], look: Look, *, now: float) -> tuple[Span, ...]:
    kept = tuple(span for span in spans if now - span.begin < WINDOW)
    new = Span(begin=now, claims=look.claims, held=look.claimed)
    if not kept or now - kept[-1].begin >= _GRAIN:
        return (*kept, new)
    last = kept[-1]
    merged = Span(begin=last.begin, claims=last.claims + new.claims, held=max(last.held, new.held))
    return (*kept[:-1], merged)


def _reason(wish: _Wish, look: Look, rules: Autoscaling, *, asked: int, bound: int) -> tuple[Why, str]:
    if asked > bound:
        return Why.MAXIMUM, f"maxReplicas; {asked} would be wanted"
    if asked > wish.number:
        delay = quantities.format_duration(rules.scale_down_delay)
        return Why.DELAY, f"so many were wanted within the last {delay}; {wish.number} are by now"
    if wish.hour >= max(wish.least + 1, wish.buffer + wish.forecast):
        return Why.SCHEDULE, "the least at this hour"
    if wish.least >= wish.buffer + wish.forecast:
        return Why.MINIMUM, "the least"
    return Why.DEMAND, f"{wish.buffer} beside the {look.claimed} in use, {wish.forecast} for claims to come"
