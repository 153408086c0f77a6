"""The database's time, as this process knows it: what claim tokens' expiry is written in.

It is learned from each answer of the store that carries ``now``, and goes on by the process's steady clock in between. The process's
own wall clock never enters.
"""

import datetime

from browserpool.lib import clock


class DatabaseClock:
    """Unknown until the first ``observe``."""

    def __init__(self, *, monotonic: clock.Monotonic = clock.monotonic) -> None:
        self._monotonic = monotonic
        self._offset: float | None = None

    def observe(self, now: datetime.datetime) -> None:
        """The database just said that it is ``now``."""
        self._offset = now.timestamp() - self._monotonic()

    def now(self) -> float | None:
        """Seconds since 1970 on the database's clock."""
        return None if self._offset is None else self._offset + self._monotonic()
