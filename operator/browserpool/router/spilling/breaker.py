"""A router that cannot be reached costs one request its timeout, not each: the others go by it until it is tried again."""

import dataclasses
from typing import Final

from browserpool.lib import clock

FIRST: Final = 1.0
"""Seconds for which it is left alone after a failure; twice as long after each further one."""
MOST: Final = 30.0
_DOUBLINGS: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Breaker:
    """``failures`` in a row; it is left alone until ``shut_until``, on a monotonic clock. ``on_trial``: somebody tries it."""

    failures: int = 0
    shut_until: float = 0.0
    on_trial: bool = False

    def lets(self, now: float) -> bool:
        """Whether it may be tried."""
        return self.failures == 0 or now >= self.shut_until

    def tried(self, now: float) -> "Breaker":
        """Somebody tries it. While it is known to fail, nobody else does meanwhile."""
        return self if self.failures == 0 else Breaker(self.failures, now + self._pause(), on_trial=True)

    def failed(self, now: float) -> "Breaker":
        """It could not be reached. Of several who found so together, one counts."""
        if self.failures > 0 and not self.on_trial:
            return self
        worse = Breaker(self.failures + 1)
        return dataclasses.replace(worse, shut_until=now + worse._pause())

    def _pause(self) -> float:
        return min(MOST, FIRST * 2.0 ** min(self.failures - 1, _DOUBLINGS))


WHOLE: Final = Breaker()


class Breakers:
    """One for each router, by its address."""

    def __init__(self, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._now = now
        self._known: dict[str, Breaker] = {}

    def enter(self, url: str) -> bool:
        """Whether the router may be tried now; whoever is told so says how it went."""
        breaker, now = self._known.get(url), self._now()
        if breaker is None:
            return True
        if not breaker.lets(now):
            return False
        self._known[url] = breaker.tried(now)
        return True

    def worked(self, url: str) -> None:
        """It answered, whatever it said."""
        self._known.pop(url, None)

    def failed(self, url: str) -> None:
        """It could not be reached."""
        self._known[url] = self._known.get(url, WHOLE).failed(self._now())
