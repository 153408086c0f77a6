"""Renewal of a session whose messages no router sees.

``keep_alive`` is a timer of inactivity: a session is renewed if it was used since. The first message after a pause has it renewed at once,
later ones at intervals that are a small part of ``keep_alive``; so no session ends within ``keep_alive`` of a message.
"""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable

from browserpool.lib import chance, tasks

log = logging.getLogger(__name__)

SHARE = 4
"""Of ``keep_alive`` that one interval takes: so many renewals may fail before the session is lost."""
MOST = 15.0


class Renewal(enum.Enum):
    """How an attempt ended."""

    DONE = "done"
    AWAY = "away"
    """No router could say. Asked again soon: the lease runs on meanwhile, and the browser serves on."""
    OVER = "over"


class Keeper:
    """One connection's. ``over`` is set when the session has ended."""

    def __init__(self, renew: Callable[[], Awaitable[Renewal]], *, keep_alive: float) -> None:
        self._renew = renew
        self._interval = min(MOST, keep_alive / SHARE)
        self._traffic = asyncio.Event()
        self.over = asyncio.Event()

    def seen(self) -> None:
        """A message has passed."""
        self._traffic.set()

    async def run(self) -> None:
        """Renew until the session is over, or cancelled. It has just been claimed or renewed when this begins."""
        while not self.over.is_set():
            await asyncio.sleep(chance.jitter(self._interval))
            await self._traffic.wait()
            self._traffic.clear()
            await self._renewed()

    async def _renewed(self) -> None:
        for delay in tasks.backoff(first=0.25, most=2.0):
            renewal = await self._renew()
            if renewal is Renewal.OVER:
                self.over.set()
            if renewal is not Renewal.AWAY:
                return
            await asyncio.sleep(chance.jitter(delay))
