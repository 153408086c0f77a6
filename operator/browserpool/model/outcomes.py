"""How requests to a pool ended, and how long they took: sums that can be added, and what is read from them."""

import bisect
import dataclasses
import enum
from collections.abc import Iterable, Sequence
from typing import Final

from browserpool.model import errors
from browserpool.model.names import PoolName

BOUNDS: Final = (
    *(0.005, 0.007, 0.01, 0.014, 0.02, 0.028, 0.04, 0.056, 0.08, 0.11, 0.16, 0.22, 0.31, 0.44, 0.62, 0.88),
    *(1.25, 1.75, 2.5, 3.5, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 60.0, 85.0, 120.0),
)
"""Seconds. Upper bounds of a histogram's buckets, the last of which has none: each is about 1.4 times the one before, so that no
quantile is off by more than a fifth. They are what the numbers in the store mean: to change them, empty its table."""

CDP: Final = "cdp"
"""The action of a CDP session. Its seconds are those until it was connected."""


class Arm(enum.StrEnum):
    """Who served."""

    POOL = "pool"
    UPSTREAM = "upstream"
    """The other system that the pool's spec names."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is counted together. ``template``: the hash of what the browser was started with; empty where it is not known."""

    pool: PoolName
    arm: Arm
    action: str
    template: str = ""


@dataclasses.dataclass(slots=True, kw_only=True)
class Tally:
    """How requests ended: ``failures`` of ``requests``, ``seconds`` of all together, and how many there were in each bucket."""

    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    buckets: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def count(self, seconds: float, *, failed: bool) -> None:
        """One more request."""
        self.requests += 1
        self.failures += failed
        self.seconds += seconds
        self.buckets[bisect.bisect_left(BOUNDS, seconds)] += 1

    def add(self, other: "Tally") -> None:
        """All that ``other`` has counted."""
        self.requests += other.requests
        self.failures += other.failures
        self.seconds += other.seconds
        self.buckets = [one + another for one, another in zip(self.buckets, other.buckets, strict=True)]

    @property
    def error_rate(self) -> float:
        """Failures of all requests, from 0 to 1."""
        return self.failures / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float | None:
        """Seconds that ``share`` (0 to 1) of the requests took at most; ``None``: there were none."""
        return quantile(self.buckets, share)


def summed(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    total = Tally()
    for one in tallies:
        total.add(one)
    return total


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Seconds below which ``share`` of what is in the buckets lies, evenly spread within each; ``None``: they are empty.

    Beyond the last bound nothing is known but that it was longer: the bound itself is answered.
    """
    total = sum(buckets)
    if not total:
        return None
    wanted, before = share * total, 0
    for index, number in enumerate(buckets):
        if number and before + number >= wanted:
            if index == len(BOUNDS):
                return BOUNDS[-1]
            low = BOUNDS[index - 1] if index else 0.0
            return low + (BOUNDS[index] - low) * max(0.0, wanted - before) / number
        before += number
    return BOUNDS[-1]


def is_failure(status: int) -> bool:
    """Whether an answer of this status says that the system failed. What is not offered (501) did not fail."""
    return status >= 500 and status != errors.NotOffered.status


def has_failed(error: BaseException) -> bool:
    """Whether a request that ended with ``error`` failed by the browser or the system: not by the client, nor by a language model."""
    if isinstance(error, errors.QueueFull):
        return True
    if isinstance(error, errors.BrowserpoolError):
        return is_failure(error.status) and not isinstance(error, errors.ModelUnavailable)
    # A connection that was reset is the client's: those to others have errors of ours.
    return isinstance(error, Exception) and not isinstance(error, ConnectionResetError)
