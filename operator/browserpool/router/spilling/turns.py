"""Who of those that wait asks another cluster's router next: one at a time, in a fair order, and not before it wants to be asked again."""

import asyncio
import contextlib
import math
from collections.abc import Iterator
from typing import Final

from browserpool.lib import clock
from browserpool.model.names import TokenName
from browserpool.router import line

Key = tuple[str, str]
"""A router's address, and its pool."""

PRESUMED: Final = 0.25
"""Seconds without a refusal after which who asks is presumed to be served, and the next one's turn begins.

A router that does not serve says so at once; from one that does, nothing is heard until all is done.
"""


class Asker:
    """One who waits. ``turn`` is done once it may ask; it then says how that went, or leaves."""

    def __init__(self, token: TokenName) -> None:
        self.token = token
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Queue:
    """Those who would ask one router for one of its pools."""

    def __init__(self) -> None:
        self._line: line.Line[Asker] = line.Line()
        self._asking: Asker | None = None
        self._put_off_until = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_free(self) -> bool:
        return not self._line and clock.monotonic() >= self._put_off_until

    def join(self, asker: Asker) -> None:
        self._line.join(asker.token, asker)
        self._call_next()

    def put_off(self, seconds: float) -> None:
        self._put_off_until = max(self._put_off_until, clock.monotonic() + seconds)

    def again(self, asker: Asker) -> None:
        asker.turn = asyncio.get_running_loop().create_future()
        self._line.come_back(asker)
        self._make_way(asker)

    def leave(self, asker: Asker) -> None:
        if asker.turn.done():
            self._line.served(asker.token, asker)
        else:
            self._line.leave(asker.token, asker)
        asker.turn.cancel()
        self._make_way(asker)

    def _make_way(self, asker: Asker) -> None:
        if self._asking is asker:
            self._asking = None
        self._call_next()

    def _call_next(self) -> None:
        if self._asking is not None or (first := self._line.first()) is None:
            return
        loop = asyncio.get_running_loop()
        if (left := self._put_off_until - clock.monotonic()) > 0:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(left, self._call_next)
            return
        _, asker = first
        # It may ask for long, and is not the only one who may then be served.
        self._line.step_aside(asker)
        self._asking = asker
        asker.turn.set_result(None)
        loop.call_later(PRESUMED, self._presume, asker, asker.turn)

    def _presume(self, asker: Asker, turn: "asyncio.Future[None]") -> None:
        if asker.turn is turn:
            self._make_way(asker)


class Turns:
    """The turns of this router's waiting requests, with each router and pool that is asked for them."""

    def __init__(self) -> None:
        self._queues: dict[Key, _Queue] = {}

    def is_free(self, key: Key) -> bool:
        """Whether a newcomer may ask at once: nobody waits for a turn, and the router wants to be asked."""
        queue = self._queues.get(key)
        return queue is None or queue.is_free

    def put_off(self, key: Key, seconds: float) -> None:
        """It is full: nobody who waits asks it for so long."""
        self._queue(key).put_off(seconds)

    @contextlib.contextmanager
    def standing(self, key: Key, token: TokenName) -> Iterator[Asker]:
        """Wait for turns, while the block runs."""
        queue, asker = self._queue(key), Asker(token)
        queue.join(asker)
        try:
            yield asker
        finally:
            queue.leave(asker)

    def again(self, key: Key, asker: Asker) -> None:
        """It has asked and was not served: it waits for its next turn, where it stood."""
        self._queue(key).again(asker)

    def _queue(self, key: Key) -> _Queue:
        return self._queues.setdefault(key, _Queue())
