"""Waiting for a condition, with a deadline: what stands where a sleep would."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from browserpool.lib import clock

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T] | T], *, deadline: float = 30.0, every: float = 0.01) -> T:
    """Ask ``condition`` (plain or async) again and again until it is truthy; answers that value.

    ``deadline`` is for what never comes: of what comes, no stall of a machine with two cores and three such processes may decide.

    Raises:
        TimeoutError: it was still falsy after ``deadline`` seconds.
    """
    end = clock.monotonic() + deadline
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if clock.monotonic() > end:
            raise TimeoutError(f"{getattr(condition, '__qualname__', condition)} was not met within {deadline} s")
        await asyncio.sleep(every)
