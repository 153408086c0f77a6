"""A token's share: so many requests a second, so many at once. Pure, but for ``Quotas``, which remembers.

The rate is a token bucket that holds one second's worth, and never less than one request: a lone caller's first request is
never refused. Both limits are counted at each router by itself.
"""

import collections
import dataclasses
import math

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import errors
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
    """Whole seconds within the 1 to 60 that clients honour."""
    return 60 if math.isinf(seconds) else min(60, max(1, math.ceil(seconds)))


class Quotas:
    """What each token has used at this router."""

    def __init__(self, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._now = now
        self._buckets: dict[TokenName, Bucket] = {}
        self._running: collections.Counter[TokenName] = collections.Counter()

    def running(self, token: TokenName) -> int:
        """How many actions and CDP sessions of the token count at this moment."""
        return self._running[token]

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
            metrics.REFUSED.labels("rate").inc()
            raise errors.TooManyRequests(
                f"Token {token} is over its rate of {rate:g} requests a second; come back in {retry_after(wait)} s.",
                retry_after=retry_after(wait),
            )

    def enter(self, token: TokenName, *, concurrency: int | None) -> None:
        """Count one session until ``leave``.

        Raises:
            errors.TooManyRequests: as many as allowed run already.
        """
        if concurrency is not None and self._running[token] >= concurrency:
            metrics.REFUSED.labels("concurrency").inc()
            raise errors.TooManyRequests(
                f"Token {token} has {self._running[token]} sessions open, and may have {concurrency}; "
                "end one, or wait until one ends.",
                retry_after=1,
            )
        self._running[token] += 1

    def leave(self, token: TokenName) -> None:
        """The session that ``enter`` counted is over."""
        self._running[token] -= 1
        if self._running[token] <= 0:
            del self._running[token]
