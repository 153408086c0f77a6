"""One running Chromium as the quick actions see it: its connection, what egress refused, and a page made ahead.

A quick action takes a ``Spare`` (a fresh browser context with one blank page, attached and listening), works in it, and gives
it back to ``dispose``. The next spare is made when the browser is idle: to make it while an action runs slows the action down.
One ``Browser`` stands for one start of Chromium; after a restart there is another.
"""

import asyncio
import contextlib
import dataclasses
import logging
from typing import Protocol

from browserpool.agent import driver
from browserpool.model import errors

log = logging.getLogger(__name__)

SPARE_DEADLINE = 10.0
"""Seconds to make a context and its page. Usually 30 ms; a machine under load needs more, a wedged Chromium never ends."""
DISPOSE_DEADLINE = 5.0
"""Seconds to dispose of a context. Beyond, Chromium cannot be trusted to have let go of it, and is restarted."""


class EgressNotes(Protocol):
    """What the egress guard remembers of recent refusals, so that a page's network error gets its true name."""

    def refusal(self, host: str, port: int) -> errors.BrowserpoolError | None:
        """Why a page was lately refused ``host:port``; ``None`` if it was not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """A browser context with one blank page. ``Page.enable`` and ``Inspector.enable`` have been answered."""

    context_id: str
    target_id: str
    session: driver.Session


class Browser:
    """A started Chromium. ``suspect`` is true once it failed to let go of a context: it must be restarted before reuse."""

    def __init__(self, *, connection: driver.Connection, egress: EgressNotes) -> None:
        self.connection = connection
        self.egress = egress
        self.suspect = False
        self._spare: Spare | None = None
        self._refilling = asyncio.Lock()

    async def spare(self) -> Spare:
        """A fresh context and page: the one made ahead, or, if there is none, one made now.

        Raises:
            errors.BrowserLost: Chromium is gone, or did not make one in ``SPARE_DEADLINE`` seconds.
        """
        ready, self._spare = self._spare, None
        if ready is not None and ready.session.failure is None:
            return ready
        return await self._make()

    async def refill(self) -> None:
        """Make the next spare unless there is one; for the idle moment after an action."""
        async with self._refilling:
            if self._spare is None:
                self._spare = await self._make()

    async def drop_spare(self) -> None:
        """Dispose of the spare, so that a CDP client sees no page but its own."""
        ready, self._spare = self._spare, None
        if ready is not None:
            await self.dispose(ready.context_id)

    async def dispose(self, context_id: str) -> None:
        """Dispose of a context, its pages, cookies, storage and cache. Never raises: a failure makes the browser suspect.

        Call it under ``tasks.finish``, so that a cancelled request does not cut it short.
        """
        try:
            await self.connection.call(
                "Target.disposeBrowserContext", {"browserContextId": context_id}, deadline=DISPOSE_DEADLINE
            )
        except errors.BrowserpoolError as error:
            if self.connection.failure is None:
                log.warning("a context could not be disposed of; Chromium will restart", extra={"why": error.message})
            self.suspect = True

    async def _make(self) -> Spare:
        created = await self.connection.call(
            "Target.createBrowserContext", {"disposeOnDetach": True}, deadline=SPARE_DEADLINE
        )
        context_id = created["browserContextId"]
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self.dispose, context_id)
            page = await self._page(context_id)
            undo.pop_all()
        return page

    async def _page(self, context_id: str) -> Spare:
        target = await self.connection.call(
            "Target.createTarget", {"url": "about:blank", "browserContextId": context_id}, deadline=SPARE_DEADLINE
        )
        session = await self.connection.attach(target["targetId"], deadline=SPARE_DEADLINE)
        # Awaited before anybody navigates: pipelined with Page.navigate, one in a hundred loses its load event.
        await session.call("Page.enable", deadline=SPARE_DEADLINE)
        await session.call("Inspector.enable", deadline=SPARE_DEADLINE)
        return Spare(context_id=context_id, target_id=target["targetId"], session=session)
