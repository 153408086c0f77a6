"""The quick actions: what each makes of a loaded page, and nothing of how it was loaded (``page``).

What lives here: one module an action, from a page to an ``answer.Answer``; and below, the one way in. What must not enter: HTTP, sessions,
tokens, waiting and loading.

================= =============================================================
``answer``        what goes back
``screenshot``    picture of the window, the page, an element, a part
``pdf``           the page, printed
``content``       the document, serialised
``markdown``      the document as Markdown
``links``         where its links lead
``scrape``        the elements that selectors find
``accessibility`` the accessibility tree; ``axtree`` (pure) builds it
``snapshot``      several of these at once
``visit``         what a crawl wants of a page
================= =============================================================
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from browserpool.agent import browser as browsers
from browserpool.agent.actions import (
    accessibility,
    answer,
    content,
    links,
    markdown,
    pdf,
    scrape,
    screenshot,
    snapshot,
    visit,
)
from browserpool.agent.page import budget, life
from browserpool.model import errors
from browserpool.model.wire import actions, crawl, shared

Capture = Callable[[life.Page, Any], Awaitable[answer.Answer]]

CAPTURES: Final[Mapping[str, Capture]] = {
    "accessibilityTree": accessibility.capture,
    "content": content.capture,
    "links": links.capture,
    "markdown": markdown.capture,
    "pdf": pdf.capture,
    "scrape": scrape.capture,
    "screenshot": screenshot.capture,
    "snapshot": snapshot.capture,
}
"""By the same names as ``wire.actions.AT_AGENTS``."""
_INTERNAL: Final[Mapping[str, Capture]] = {crawl.VISIT: visit.capture}
"""By the same names as ``wire.actions.INTERNAL``."""
_BARE: Final = frozenset({"pdf", "screenshot"})
"""What goes back without an envelope, and so without the page's status."""


@contextlib.asynccontextmanager
async def performed(name: str, body: bytes, *, browser: browsers.Browser) -> AsyncIterator[answer.Answer]:
    """The answer of the action ``name``, done in a context of its own. That is gone when the block ends, or this raises or is cancelled.

    To dispose of it takes Chromium some milliseconds, which nobody need wait for who has the answer.

    Raises:
        errors.NotFound: there is no such action.
        errors.InvalidRequest: the body, or a part of it that only Chromium can judge, cannot be used.
        errors.PageFailed: the page failed, crashed, or took too long.
        errors.BrowserLost: Chromium went away.
    """
    if name in actions.ACTIONS and name not in actions.AT_AGENTS:
        raise errors.NotFound(f"{name} is done by routers, of what browsers do.")
    action = actions.parse(name, body)
    time = budget.Budget(seconds=(action.action_timeout or shared.MAX_ACTION_MS) / 1000)
    async with contextlib.AsyncExitStack() as until_sent:
        try:
            async with asyncio.timeout(time.left):
                page = await until_sent.enter_async_context(
                    life.opened(action, browser=browser, time=time, wants_status=name not in _BARE)
                )
                made = await (CAPTURES.get(name) or _INTERNAL[name])(page, action)
        except TimeoutError as error:
            raise errors.PageFailed(
                f"The {name} did not end within {action.action_timeout:.0f} ms (actionTimeout).",
                code=errors.Code.TIMEOUT,
            ) from error
        yield made
