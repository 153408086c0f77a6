"""A page that goes elsewhere by itself, after its load: by script, by a refresh, once or for ever.

While a navigation waits for its answer, Chromium keeps back whatever is asked of the page that is still there, for as long as that takes.
Once it has one, it refuses or forgets what was being done in the old document. So a navigation that gets no answer is given up, and what
was done in a document that is gone is done anew in its successor.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from browserpool.agent import driver
from browserpool.agent.page import budget, loading, waiting
from browserpool.model import errors

T = TypeVar("T")

ON_ITS_WAY: Final = 0.5
"""Seconds for what Chromium still says of a document that was replaced: an answer, or the event that tells why it refuses."""
_RESERVE: Final = 5.0
"""Seconds of the action that a navigation without an answer leaves for the page that is there; half of what is left, if that is less."""
_LOADED: Final = "document.readyState === 'complete'"
_LOADED_DEADLINE: Final = 5.0
"""Seconds for the load of a document that the page went to by itself. What has come by then is what a person would see."""
_RESTLESS: Final = 20.0
"""Seconds of trying anew on a page that goes elsewhere again and again."""


def patience(time: budget.Budget, *, navigation: float) -> float:
    """Seconds for the answer to a navigation of the page's own: ``navigation``, but never all that is left of the action."""
    return min(navigation, max(time.left - _RESERVE, time.left / 2))


class Whereabouts:
    """Which document the page is at: ``documents`` counts them. A navigation without an answer is given up, from ``settled`` on."""

    def __init__(self, session: driver.Session, *, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self.documents = 0
        self._session = session
        self._spawn = spawn
        self._leaving = False
        self._patience: Callable[[], float] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Listen while the block runs."""
        offs = [
            self._session.on("Page.frameStartedNavigating", self._leaves),
            self._session.on("Page.frameNavigated", self._arrived),
            self._session.on("Page.frameStoppedLoading", self._stays),
        ]
        try:
            yield
        finally:
            self._at_rest()
            for off in offs:
                off()

    def settled(self, patience: Callable[[], float]) -> None:
        """The load, which has a deadline of its own, is over: from now on, a navigation gets as many seconds as ``patience`` says."""
        self._patience = patience
        if self._leaving:
            self._limit()

    @property
    def refused(self) -> float:
        """Seconds after a refusal in which the event that tells why may come: an old document takes its leave of its own page first."""
        return _LOADED_DEADLINE if self._leaving else ON_ITS_WAY

    async def beyond(self, seen: int, *, within: float) -> bool:
        """Whether there is another document than when ``documents`` was ``seen``, or will be in ``within`` seconds."""
        if self.documents == seen and within:
            with self._session.expect("Page.frameNavigated", self._is_of_main) as replaced:
                await asyncio.wait({replaced}, timeout=within)
        return self.documents != seen

    def _is_of_main(self, params: driver.Params) -> bool:
        return bool(params["frame"]["id"] == self._session.target_id)

    def _leaves(self, params: driver.Params) -> None:
        same_document = str(params.get("navigationType", "")).lower().endswith("samedocument")
        if params["frameId"] == self._session.target_id and not same_document and not self._leaving:
            self._leaving = True
            self._limit()

    def _arrived(self, params: driver.Params) -> None:
        if self._is_of_main(params):
            self.documents += 1
            self._at_rest()

    def _stays(self, params: driver.Params) -> None:
        if params["frameId"] == self._session.target_id:
            self._at_rest()

    def _at_rest(self) -> None:
        self._leaving = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _limit(self) -> None:
        if self._patience is not None:
            self._timer = asyncio.get_running_loop().call_later(self._patience(), self._give_up)

    def _give_up(self) -> None:
        self._at_rest()
        self._spawn(loading.stop(self._session))


class Replaced(errors.PageFailed):
    """An attempt noticed by itself that its document is gone."""

    default_code = errors.Code.CAPTURE_FAILED


async def anew(
    attempt: Callable[[], Awaitable[T]],
    *,
    whereabouts: Whereabouts,
    session: driver.Session,
    time: budget.Budget,
) -> T:
    """What ``attempt`` makes of the page; of the next document, once that has loaded, if it fails because the page goes there meanwhile.

    Raises:
        errors.PageFailed: it failed in a document that stayed; or none stayed for long enough.
    """
    lost_at: float | None = None
    while True:
        seen = whereabouts.documents
        try:
            return await attempt()
        except errors.PageFailed as error:
            within = whereabouts.refused if isinstance(error, driver.CallRefused) else 0.0
            lost = error.code == errors.Code.CAPTURE_FAILED and await whereabouts.beyond(seen, within=within)
            if not lost:
                raise
            lost_at = time.spent if lost_at is None else lost_at
            if time.spent - lost_at > _RESTLESS:
                raise errors.PageFailed(
                    f"The page went elsewhere again and again, for {_RESTLESS:.0f} s; nothing could be made of it.",
                    code=errors.Code.CAPTURE_FAILED,
                ) from error
        await waiting.poll(session, _LOADED, seconds=min(_LOADED_DEADLINE, time.left))
