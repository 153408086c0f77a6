"""Load the body's ``url`` or ``html``, and wait for the milestones that it names."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from browserpool.agent import driver
from browserpool.agent.page import budget, failures, scripts
from browserpool.model import errors
from browserpool.model.wire import shared

MOST_MS: Final = 60_000
_NAVIGATED: Final = "navigated"
_IDLE_NAMES: Final = {"networkidle0": "networkIdle", "networkidle2": "networkAlmostIdle"}
_FAILED_URL_DEADLINE: Final = 2.0
"""Seconds. The event that names the failed address comes with the answer that names the error."""
_REFERRER_POLICIES: Final = {
    "no-referrer": "noReferrer",
    "no-referrer-when-downgrade": "noReferrerWhenDowngrade",
    "origin": "origin",
    "origin-when-cross-origin": "originWhenCrossOrigin",
    "same-origin": "sameOrigin",
    "strict-origin": "strictOrigin",
    "strict-origin-when-cross-origin": "strictOriginWhenCrossOrigin",
    "unsafe-url": "unsafeUrl",
}


class Milestones:
    """What the main frame has reached since the last navigation, and which frames are idle."""

    def __init__(self, session: driver.Session) -> None:
        self._session = session
        self._main = session.target_id
        self._reached: set[str] = set()
        self._frames: dict[str, set[str]] = {self._main: set()}
        self._changed = asyncio.Event()
        self.broken_off = False
        """Whether the loading of the document was given up, by its own script or because its answer broke off."""
        self.failed_url: str | None = None
        """The address that Chromium shows an error for."""

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Listen while the block runs."""
        handlers: dict[str, driver.Handler] = {
            "Page.frameNavigated": self._navigated,
            "Page.documentOpened": self._opened,
            "Page.domContentEventFired": lambda _: self._reach("domcontentloaded"),
            "Page.loadEventFired": lambda _: self._reach("load"),
            "Page.lifecycleEvent": self._lifecycle,
            "Page.frameAttached": lambda params: self._frame_came(params["frameId"]),
            "Page.frameStoppedLoading": lambda params: self._stopped(params["frameId"]),
            "Page.frameDetached": lambda params: self._frame_left(params["frameId"]),
        }
        offs: list[Callable[[], None]] = [self._session.on(event, handler) for event, handler in handlers.items()]
        self._session.closed.add_done_callback(self._closed)
        try:
            yield
        finally:
            self._session.closed.remove_done_callback(self._closed)
            for off in offs:
                off()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; it is asked after each event.

        Raises:
            errors.PageFailed: the page crashed or closed meanwhile.
        """
        while not condition():
            if (failure := self._session.failure) is not None:
                raise errors.PageFailed(failure.message, code=failure.code)
            self._changed.clear()
            await self._changed.wait()

    def has(self, milestone: str) -> bool:
        """Whether ``milestone`` (one of ``WaitUntil``) is reached."""
        if (idle := _IDLE_NAMES.get(milestone)) is not None:
            return all(idle in events for events in self._frames.values())
        return milestone in self._reached

    @property
    def committed(self) -> bool:
        """Whether a document has replaced the blank one."""
        return _NAVIGATED in self._reached

    def _navigated(self, params: driver.Params) -> None:
        frame = params["frame"]
        if frame["id"] == self._main:
            self.failed_url = frame.get("unreachableUrl")
            self._reached = {_NAVIGATED}
            self._frames = {self._main: set()}
            self._changed.set()

    def _opened(self, params: driver.Params) -> None:
        """The body's ``html`` is written into the blank document: Chromium does not call that a navigation."""
        if params["frame"]["id"] == self._main:
            self._reach(_NAVIGATED)

    def _reach(self, milestone: str) -> None:
        self._reached.add(milestone)
        self._changed.set()

    def _lifecycle(self, params: driver.Params) -> None:
        events = self._frames.get(params["frameId"])
        if events is None:
            return
        if params["name"] == "init":
            events.clear()
        events.add(params["name"])
        self._changed.set()

    def _frame_came(self, frame_id: str) -> None:
        self._frames.setdefault(frame_id, set())

    def _frame_left(self, frame_id: str) -> None:
        if frame_id != self._main:
            self._frames.pop(frame_id, None)
            self._changed.set()

    def _stopped(self, frame_id: str) -> None:
        """A page that stops its own loading (``window.stop()``) gets no further; whatever comes of it is there."""
        if frame_id == self._main and self.committed:
            self.break_off()

    def break_off(self) -> None:
        """The document gets no further than it is."""
        self.broken_off = "domcontentloaded" not in self._reached
        self._reached |= {"domcontentloaded", "load"}
        self._changed.set()

    def _closed(self, _: object) -> None:
        self._changed.set()


async def load(
    action: shared.QuickAction, *, session: driver.Session, time: budget.Budget, notes: failures.Notes
) -> None:
    """Load what the body names, up to the milestones that it names.

    Raises:
        errors.PageFailed: the network failed, the page crashed, or it took longer than ``gotoOptions.timeout`` (which
            ``bestAttempt`` forgives).
    """
    seconds = time.at_most(action.goto_options.timeout, most=MOST_MS)
    milestones = Milestones(session)
    with milestones.watched():
        try:
            async with asyncio.timeout(seconds):
                await _start(action, session=session, milestones=milestones, notes=notes, seconds=seconds)
                await milestones.until(lambda: all(milestones.has(each) for each in action.goto_options.wait_until))
                if milestones.broken_off:
                    await _complete(action, session=session, seconds=seconds)
        except TimeoutError as error:
            if not action.best_attempt:
                raise _too_slow(action, seconds, milestones) from error
            # What has come so far is the attempt; what is still on its way must not disturb it.
            await stop(session, deadline=max(time.left, 0.1))


async def stop(session: driver.Session, *, deadline: float = driver.DEADLINE) -> None:
    """Give up what is still on its way, ``deadline`` in seconds; in the moment in which a document replaces another, nothing is."""
    with contextlib.suppress(driver.CallRefused):
        await session.call("Page.stopLoading", deadline=deadline)


async def _start(
    action: shared.QuickAction,
    *,
    session: driver.Session,
    milestones: Milestones,
    notes: failures.Notes,
    seconds: float,
) -> None:
    if action.html is not None:
        await session.call(
            "Page.setDocumentContent", {"frameId": session.target_id, "html": action.html}, deadline=seconds
        )
        await _parsed(session, milestones, seconds)
        return
    answer = await session.call("Page.navigate", _navigation(action), deadline=seconds)
    error_text = answer.get("errorText", "")
    if error_text == failures.UPSTREAM_STATUS:
        await _show_nothing(session, milestones, seconds)
    elif error_text:
        raise await _failure(action, answer, milestones=milestones, notes=notes)
    await milestones.until(lambda: milestones.committed)


_DRAWN: Final = """
new Promise(done => { requestAnimationFrame(() => done(true)); setTimeout(() => done(false), 1000); })
"""
_WHAT_CAME: Final = """
(document.doctype ? '<!doctype html>' : '') + (document.documentElement?.outerHTML ?? '')
"""


async def _complete(action: shared.QuickAction, *, session: driver.Session, seconds: float) -> None:
    """Chromium never draws a document whose answer broke off early, and a picture would wait for ever: make what came a whole one."""
    if await scripts.evaluate(session, _DRAWN.strip(), deadline=seconds):
        return
    html = await scripts.evaluate(session, _WHAT_CAME.strip(), deadline=seconds)
    if not html and not action.best_attempt:
        raise errors.PageFailed(
            f"{action.url} answered, but nothing of its document could be read: the answer broke off, or is encoded in a wrong way.",
            code=errors.Code.NETWORK,
        )
    await session.call("Page.setDocumentContent", {"frameId": session.target_id, "html": html}, deadline=seconds)


_BETWEEN: Final = 0.05
"""Seconds between two looks at ``html`` that is not there at once; in them a navigation that its script wished for begins."""


async def _parsed(session: driver.Session, milestones: Milestones, seconds: float) -> None:
    """Wait until the ``html`` is read to its end, or says that it is twice: of one that stopped itself there comes no event."""
    said = False
    while not milestones.has("domcontentloaded"):
        says = await scripts.evaluate(session, "document.readyState === 'complete'", deadline=seconds)
        if says and said:
            milestones.break_off()
            return
        said = bool(says)
        await asyncio.sleep(_BETWEEN)


def _navigation(action: shared.QuickAction) -> driver.Params:
    params: driver.Params = {"url": action.url}
    if action.goto_options.referer is not None:
        params["referrer"] = action.goto_options.referer
    if action.goto_options.referrer_policy is not None:
        params["referrerPolicy"] = _REFERRER_POLICIES[action.goto_options.referrer_policy]
    return params


async def _show_nothing(session: driver.Session, milestones: Milestones, seconds: float) -> None:
    """An empty answer is an empty page, not Chromium's error page."""
    await milestones.until(lambda: milestones.committed)
    await session.call("Page.setDocumentContent", {"frameId": session.target_id, "html": ""}, deadline=seconds)


async def _failure(
    action: shared.QuickAction, answer: driver.Params, *, milestones: Milestones, notes: failures.Notes
) -> errors.BrowserpoolError:
    if answer.get("isDownload"):
        return errors.PageFailed(f"{action.url} is a download, not a page.", code=errors.Code.ABORTED)
    error_text = str(answer["errorText"])
    if error_text == failures.ABORTED:
        return errors.PageFailed(
            f"{action.url} showed no page: its server answered without a document, or the page left for another.",
            code=errors.Code.ABORTED,
        )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FAILED_URL_DEADLINE):
            await milestones.until(lambda: milestones.failed_url is not None)
    return failures.navigation(error_text, url=milestones.failed_url or str(action.url), notes=notes)


def _too_slow(action: shared.QuickAction, seconds: float, milestones: Milestones) -> errors.BrowserpoolError:
    what = action.url if action.url is not None else "The html"
    if action.url is not None and not milestones.committed:
        missing = "any answer"
    else:
        missing = " and ".join(each for each in action.goto_options.wait_until if not milestones.has(each))
    return errors.PageFailed(
        f"{what} did not reach {missing} within {seconds * 1000:.0f} ms (gotoOptions.timeout); "
        "wait for less (gotoOptions.waitUntil), wait longer, or set bestAttempt.",
        code=errors.Code.TIMEOUT,
    )
