"""A token's share: so many requests a second, so many at once, so much time of browsers a day. Pure, but for ``Quotas``, which remembers.

The rate is a token bucket that holds one second's worth, and never less than one request: a lone caller's first request is
never refused. Rate and concurrency are counted at each router by itself; the day is counted in the store, for all routers, and read
from there about once a second: a session that has begun is not cut short when the day's share is used up.
"""

import collections
import dataclasses
import math
from collections.abc import Mapping

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import errors, tokens
from browserpool.model.names import TokenName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """``left`` requests could be made at the time ``at`` (seconds)."""

    left: float
    at: float


def full(*, rate: float, now: float) -> Bucket:
    """The bucket of a token that was not heard of before."""
    return Bucket(left=capacity(rate), at=now)


def capacity(rate: float) -> float:
    """How many requests may come at once at ``rate`` a second."""
    return max(1.0, rate)


def take(bucket: Bucket, *, rate: float, now: float) -> tuple[Bucket, float]:
    """The bucket after one more request, and the seconds to wait for it: 0 means that it may pass, and was taken."""
    left = min(capacity(rate), bucket.left + max(0.0, now - bucket.at) * rate)
    # A thousandth is forgiven: who waits for exactly the seconds he was told must pass, whatever floats make of them.
    if left >= 1.0 - 1e-3:
        return Bucket(left=max(0.0, left - 1.0), at=now), 0.0
    return Bucket(left=left, at=now), (1.0 - left) / rate if rate > 0 else math.inf


def retry_after(seconds: float) -> int:
    """Whole seconds, none too few. A wait without an end is a minute: by then somebody may have raised the limit."""
    return 60 if math.isinf(seconds) else max(1, math.ceil(seconds))


DAWN = 0.5
"""Seconds of an old day that are forgiven, so that who was told to come back at its end need not come twice."""


class Quotas:
    """What each token has used at this router."""

    def __init__(self, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._now = now
        self._buckets: dict[TokenName, Bucket] = {}
        self._running: collections.Counter[TokenName] = collections.Counter()
        self._refused: collections.Counter[TokenName] = collections.Counter()
        self._spent: Mapping[TokenName, float] = {}
        self._day_ends = -math.inf

    def running(self, token: TokenName) -> int:
        """How many actions and CDP sessions of the token count at this moment."""
        return self._running[token]

    def refused(self, token: TokenName) -> int:
        """How many of the token's requests were over one of its bounds, since this router began."""
        return self._refused[token]

    def learn(self, day: tokens.Day) -> None:
        """What the store has just said of this day."""
        self._spent = day.seconds
        self._day_ends = self._now() + (day.ends_at - day.now).total_seconds()

    def admit(self, token: tokens.Token) -> None:
        """Count one request.

        Raises:
            errors.TooManyRequests: over the day's browser time or over the rate; ``retry_after`` says when it would pass.
        """
        if (wait := self.day_wait(token)) > 0:
            self._count_refusal(token.name, "day")
            raise errors.TooManyRequests(
                f"Token {token.name} has had {self.spent(token.name):.0f} s of browser time today, and may have "
                f"{token.daily_seconds:.0f}; the next day (UTC) begins in {retry_after(wait)} s.",
                retry_after=retry_after(wait),
            )
        self.pass_rate(token.name, rate=token.rate_per_second)

    def spent(self, token: TokenName) -> float:
        """Seconds for which the token had browsers today, as far as is known here."""
        return self._spent.get(token, 0.0) if self._now() < self._day_ends - DAWN else 0.0

    def day_wait(self, token: tokens.Token) -> float:
        """Seconds until the token may have browsers again, as far as its day's share goes; 0: it may."""
        if token.daily_seconds is None or self.spent(token.name) < token.daily_seconds:
            return 0.0
        return max(0.0, self._day_ends - self._now())

    def rate_left(self, token: tokens.Token) -> tuple[float, float]:
        """How many requests may come at once now, and the seconds until the next one may; nothing is counted."""
        rate = token.rate_per_second
        if rate is None:
            return math.inf, 0.0
        now = self._now()
        bucket = self._buckets.get(token.name) or full(rate=rate, now=now)
        left = min(capacity(rate), bucket.left + max(0.0, now - bucket.at) * rate)
        return left, take(bucket, rate=rate, now=now)[1]

    def pass_rate(self, token: TokenName, *, rate: float | None) -> None:
        """Count one request.

        Raises:
            errors.TooManyRequests: over the rate; ``retry_after`` says when it would pass.
        """
        if rate is None:
            return
        now = self._now()
        bucket = self._buckets.get(token) or full(rate=rate, now=now)
        self._buckets[token], wait = take(bucket, rate=rate, now=now)
        if wait > 0:
            self._count_refusal(token, "rate")
            raise errors.TooManyRequests(
                f"Token {token} is over its rate of {rate:g} requests a second; come back in {retry_after(wait)} s.",
                retry_after=retry_after(wait),
            )

    def enter(self, token: TokenName, *, concurrency: int | None, wait: float = 1.0) -> None:
        """Count one session until ``leave``. ``wait``: seconds after which one may have ended, for who is refused.

        Raises:
            errors.TooManyRequests: as many as allowed run already.
        """
        if concurrency is not None and self._running[token] >= concurrency:
            self._count_refusal(token, "concurrency")
            raise errors.TooManyRequests(
                f"Token {token} has {self._running[token]} sessions open, and may have {concurrency}; "
                "end one, or wait until one ends.",
                retry_after=retry_after(wait),
            )
        self._running[token] += 1

    def leave(self, token: TokenName) -> None:
        """The session that ``enter`` counted is over."""
        self._running[token] -= 1
        if self._running[token] <= 0:
            del self._running[token]

    def _count_refusal(self, token: TokenName, reason: str) -> None:
        self._refused[token] += 1
        metrics.REFUSED.labels(reason).inc()
