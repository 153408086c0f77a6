"""The only place that reads a clock.

Two clocks exist, and they are not interchangeable:

* ``monotonic`` measures durations inside one process; it never steps.
* ``wall`` is for people (log lines, file names). Nothing is decided by it: leases and freshness use the database's ``now()``.
"""

import datetime
import time
from collections.abc import Callable

Monotonic = Callable[[], float]
"""Seconds since some moment of the past; only differences mean anything."""


def monotonic() -> float:
    """Seconds on this process's steady clock."""
    return time.monotonic()  # noqa: TID251 - the one place


def wall() -> datetime.datetime:
    """The time of day, UTC, as this machine believes it."""
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251 - the one place
