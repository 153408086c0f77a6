"""Events on their way to a router: bounded, in order, tried again while it is away, and given up when it has had enough."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from browserpool.lib import chance, clock, tasks
from browserpool.model import errors, recordings

log = logging.getLogger(__name__)

PENDING: Final = 16 * 1024 * 1024
"""Characters that wait here at most; beyond, the recording ends."""
LARGEST: Final = 512 * 1024
"""Characters that are sent at once, unless a single event has more."""
EVERY: Final = 2.0
"""Seconds for which events gather, unless there are enough of them."""
LONGEST: Final = 2 * 3600.0
"""Seconds after which a recording ends."""
PATIENCE: Final = 30.0
"""Seconds for which a router that is away is asked again."""

Send = Callable[[recordings.Part], Awaitable[bool]]
"""Hands a part to a router; answers whether it wants more. Raises ``errors.Unavailable`` while it is away."""


class Outbox:
    """One session's. ``over``: nothing more is taken, because there is enough, or nobody to take it."""

    def __init__(self, send: Send, *, monotonic: clock.Monotonic = clock.monotonic) -> None:
        self._send = send
        self._monotonic = monotonic
        self._began = monotonic()
        self._waiting: list[recordings.Told] = []
        self._size = 0
        self._number = 0
        self._under_way: recordings.Part | None = None
        # A session may go on in another Chromium while the rest of its first one is sent.
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self.over = False

    def put(self, target_id: str, event: str) -> None:
        """One event of a page, as JSON."""
        if self.over:
            return
        if self._size + len(event) > PENDING or self._monotonic() - self._began > LONGEST:
            log.info("a recording ends before its session: there is too much of it")
            self._end()
            return
        self._waiting.append(recordings.Told(target_id=target_id, event=event))
        self._size += len(event)
        if self._size >= LARGEST:
            self._news.set()

    async def run(self) -> None:
        """Send what comes until it is over; cancel it, and then ``finish``."""
        while not self.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._news.wait()
            self._news.clear()
            while self._waiting and not self.over:
                await self._next(final=False)

    async def finish(self) -> None:
        """Send what is left, and that it is all, unless there was enough before. More may come later all the same."""
        while (self._under_way is not None or self._size > LARGEST) and not self.over:
            await self._next(final=False)
        if not self.over:
            await self._next(final=True)

    async def _next(self, *, final: bool) -> None:
        """Send a part. Cancelled meanwhile, it is the next again, as it was: it may have arrived, and is kept once."""
        async with self._turn:
            if self.over:
                return
            part = self._under_way = self._under_way or self._taken(final=final)
            more = await self._sent(part)
            self._under_way = None
            if not more:
                self._end()

    def _taken(self, *, final: bool) -> recordings.Part:
        taken, size = 0, 0
        for told in self._waiting:
            if taken and size + len(told.event) > LARGEST:
                break
            taken, size = taken + 1, size + len(told.event)
        part = recordings.Part(number=self._number, final=final, events=tuple(self._waiting[:taken]))
        del self._waiting[:taken]
        self._size -= size
        self._number += 1
        return part

    def _end(self) -> None:
        self.over = True
        self._waiting.clear()
        self._size = 0
        self._news.set()

    async def _sent(self, part: recordings.Part) -> bool:
        until = self._monotonic() + PATIENCE
        for delay in tasks.backoff(first=0.2, most=5.0):
            try:
                return await self._send(part)
            except errors.Unavailable as error:
                if self._monotonic() > until:
                    log.warning("a recording ends before its session: no router takes it. %s", error.message)
                    return False
            await asyncio.sleep(chance.jitter(delay))
        return False
