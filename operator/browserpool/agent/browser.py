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
from browserpool.lib import tasks
from browserpool.model import errors

log = logging.getLogger(__name__)

SPARE_DEADLINE = 10.0
"""Seconds to make a context and its page. Usually 30 ms; a machine under load needs more, a wedged Chromium never ends."""
ANSWERED = 0.01
"""Seconds that an answer takes through a router to a caller, generously."""
DISPOSE_DEADLINE = 5.0
"""Seconds to dispose of a context. Beyond, Chromium cannot be trusted to have let go of it, and is restarted."""
WINDOW: driver.Params = {"width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": False}
"""What the wire's bodies get unless they say otherwise, as ``Emulation.setDeviceMetricsOverride`` takes it."""


WORKERS_LEAVE = 1.0
"""Seconds that a disposed context's workers may still be listed. Usually 0.3 s; those that are there for so long stay."""


def is_worker(target: driver.Params) -> bool:
    """Whether a ``TargetInfo`` is of a worker of any kind."""
    return str(target["type"]).endswith("worker")


class EgressNotes(Protocol):
    """What the egress guard remembers of recent refusals, so that a page's network error gets its true name."""

    def refusal(self, host: str, port: int) -> errors.BrowserpoolError | None:
        """Why a page was lately refused ``host:port``; ``None`` if it was not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """A browser context with one blank page of the size ``window``; downloads are refused.

    ``Page.enable`` and ``Inspector.enable`` have been answered.
    """

    context_id: str
    target_id: str
    session: driver.Session
    window: driver.Params


class Browser:
    """A started Chromium. ``suspect`` is true once it failed to let go of a context: it must be restarted before reuse.

    ``window`` is the size that the next spare is made with: what was wanted last is what will be wanted next, most often.
    """

    def __init__(self, *, connection: driver.Connection, egress: EgressNotes) -> None:
        self.connection = connection
        self.egress = egress
        self.suspect = False
        self.window = WINDOW
        self._ready: Spare | None = None
        self._refilling: asyncio.Task[errors.BrowserpoolError | None] | None = None
        self._due: asyncio.TimerHandle | None = None
        self._background = tasks.Background(grace=0)

    async def spare(self) -> Spare:
        """A fresh context and page: the one made ahead, or, if there is none, one made now.

        Raises:
            errors.BrowserLost: Chromium is gone, or did not make one in ``SPARE_DEADLINE`` seconds.
        """
        while (ready := self._take()) is None:
            # Shielded: a context whose caller left while it was made would be nobody's; this way it is the next caller's.
            if (error := await asyncio.shield(self.refill())) is not None:
                raise error
        return ready

    def refill(self) -> asyncio.Task[errors.BrowserpoolError | None]:
        """Make the next spare unless there is one or one is being made.

        The task answers why it could not; that is for whoever needs the spare, as the supervisor finds out by itself.
        """
        if self._refilling is None or self._refilling.done():
            self._refilling = self._background.spawn(self._fill(), name="spare page")
        return self._refilling

    def refill_soon(self) -> None:
        """Make the next spare when the answer of the action that took the last one has had the time to reach its caller.

        It keeps the processors busy for 30 ms: of the router, too, that hands on the answer.
        """
        self._not_soon()
        self._due = asyncio.get_running_loop().call_later(ANSWERED, self.refill)

    def _not_soon(self) -> None:
        if self._due is not None:
            self._due.cancel()

    async def drop_spare(self) -> None:
        """Dispose of the spare, so that a CDP client sees no page but its own."""
        self._not_soon()
        if self._refilling is not None:
            await asyncio.wait({self._refilling})
        if (ready := self._take()) is not None:
            await self.dispose(ready.context_id)

    async def is_rid_of_workers(self) -> bool:
        """Whether no worker of a disposed context is listed any more, which takes Chromium a moment. Some it lists for ever.

        For when no page is open but the spare. False, too, of a Chromium that does not say.
        """
        with contextlib.suppress(TimeoutError, errors.BrowserpoolError):
            async with asyncio.timeout(WORKERS_LEAVE):
                while True:
                    listed = (await self.connection.call("Target.getTargets"))["targetInfos"]
                    if not any(is_worker(target) for target in listed):
                        return True
                    await asyncio.sleep(0.02)
        return False

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

    async def close(self) -> None:
        """Close the connection; what waits for a spare fails."""
        self._not_soon()
        await self.connection.close()
        await self._background.close()

    def _take(self) -> Spare | None:
        ready, self._ready = self._ready, None
        return ready if ready is not None and ready.session.failure is None else None

    async def _fill(self) -> errors.BrowserpoolError | None:
        try:
            if self._ready is None:
                self._ready = await self._make()
        except errors.BrowserpoolError as error:
            return error
        return None

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
        window = self.window
        await session.call("Emulation.setDeviceMetricsOverride", window, deadline=SPARE_DEADLINE)
        await self.connection.call(
            "Browser.setDownloadBehavior", {"behavior": "deny", "browserContextId": context_id}, deadline=SPARE_DEADLINE
        )
        return Spare(context_id=context_id, target_id=target["targetId"], session=session, window=window)
