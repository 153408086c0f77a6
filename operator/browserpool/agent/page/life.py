"""The life of a page, and the page as actions see it."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from browserpool.agent import browser as browsers
from browserpool.agent import driver
from browserpool.agent.page import budget, elsewhere, loading, scripts, setup, traffic, waiting
from browserpool.lib import tasks
from browserpool.model import errors
from browserpool.model.wire import shared

T = TypeVar("T")

_CLOSE_DEADLINE: Final = browsers.DISPOSE_DEADLINE + 1.0
_HANDLERS_GRACE: Final = 1.0
"""Seconds for answers to dialogs and paused requests, whose page is gone by then: they fail at once."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Page:
    """A loaded page. ``status`` is its document's HTTP status, if it was asked for and there is one."""

    session: driver.Session
    time: budget.Budget
    whereabouts: elsewhere.Whereabouts
    status: int | None = None

    async def call(self, method: str, params: driver.Params | None = None) -> driver.Params:
        """A CDP call that may take what is left of the action's time."""
        return await self.session.call(method, params, deadline=max(self.time.left, 0.001))

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression; works where the page's own scripts are off. See ``scripts``."""
        return await scripts.evaluate(self.session, expression, deadline=max(self.time.left, 0.001))

    async def anew(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What ``attempt`` makes of the page, or of where the page goes meanwhile. See ``elsewhere``."""
        return await elsewhere.anew(attempt, whereabouts=self.whereabouts, session=self.session, time=self.time)


@contextlib.asynccontextmanager
async def opened(
    action: shared.QuickAction, *, browser: browsers.Browser, time: budget.Budget, wants_status: bool = False
) -> AsyncIterator[Page]:
    """A page that has loaded what ``action`` names, by its rules and waits. Its context is gone when the block ends, however it ends.

    Raises:
        errors.PageFailed: it did not load, a wait failed, it crashed.
        errors.InvalidRequest: Chromium found a cookie, a header or a selector unusable.
        errors.BrowserLost: Chromium went away.
    """
    spare = await browser.spare()
    background = tasks.Background(grace=_HANDLERS_GRACE)
    try:
        whereabouts = elsewhere.Whereabouts(
            spare.session, spawn=lambda call: background.spawn(traffic.whatever_comes(call), name="stop")
        )
        page = Page(session=spare.session, time=time, whereabouts=whereabouts)
        _dismiss_dialogs(spare.session, background)
        if wants_status:
            _note_status(page)
        calls = setup.calls(action, window=spare.window, wants_status=wants_status)
        await _prepare(action, calls, browser=browser, page=page, background=background)
        if setup.may_be_ahead(action.viewport):
            browser.window = setup.window(action.viewport)
        with whereabouts.watched():
            await loading.load(action, session=spare.session, time=time, notes=browser.egress.refusal)
            navigation = (action.goto_options.timeout or loading.MOST_MS) / 1000
            whereabouts.settled(lambda: elsewhere.patience(time, navigation=navigation))
            await waiting.settle(action, session=spare.session, time=time)
            yield page
    finally:
        await tasks.finish(_close(browser, spare.context_id, background), deadline=_CLOSE_DEADLINE + _HANDLERS_GRACE)


async def _close(browser: browsers.Browser, context_id: str, background: tasks.Background) -> None:
    await browser.dispose(context_id)
    await background.close()


async def _prepare(
    action: shared.QuickAction,
    calls: Iterable[setup.Call],
    *,
    browser: browsers.Browser,
    page: Page,
    background: tasks.Background,
) -> None:
    """All that must hold before the page loads, sent together and answered."""
    try:
        await asyncio.gather(*(page.call(call.method, call.params) for call in calls))
    except driver.CallRefused as refused:
        raise _unusable(refused) from refused
    if setup.filters(action) or action.authenticate is not None:
        gate = traffic.Gate(action, connection=browser.connection, session=page.session, background=background)
        await gate.open()


_FIELDS: Final = {
    "Network.setCookies": "cookies",
    "Network.setExtraHTTPHeaders": "setExtraHTTPHeaders",
    "Emulation.setUserAgentOverride": "userAgent",
    "Emulation.setDeviceMetricsOverride": "viewport",
    "Emulation.setEmulatedMedia": "emulateMediaType",
}


def _unusable(refused: driver.CallRefused) -> errors.BrowserpoolError:
    field = _FIELDS.get(refused.method)
    if field is None:
        return refused
    return errors.InvalidRequest(f"{field} cannot be used: {refused.reason}")


def _dismiss_dialogs(session: driver.Session, background: tasks.Background) -> None:
    """Nobody is there to answer, and a page that waits for an answer never loads."""

    def opening(params: driver.Params) -> None:
        accept = params.get("type") == "beforeunload"
        call = session.call("Page.handleJavaScriptDialog", {"accept": accept})
        background.spawn(traffic.whatever_comes(call), name="dialog")

    session.on("Page.javascriptDialogOpening", opening)


def _note_status(page: Page) -> None:
    def received(params: driver.Params) -> None:
        if params.get("type") == "Document" and params.get("frameId") == page.session.target_id:
            page.status = int(params["response"]["status"])

    page.session.on("Network.responseReceived", received)
