"""``accessibilityTree``: the page as assistive technology, and many a language model, reads it."""

import asyncio
from typing import Final

import orjson

from browserpool.agent.actions import answer, axtree
from browserpool.agent.page import elsewhere, life, scripts
from browserpool.model import errors
from browserpool.model.wire import reading

_FIND: Final = "document.querySelector({selector})"


async def capture(page: life.Page, action: reading.AccessibilityTree) -> answer.Answer:
    """The tree in the envelope; ``null`` when the root is there and nothing of it is of interest.

    Raises:
        errors.InvalidRequest: Chromium cannot read ``root``.
        errors.PageFailed: no element matches it.
    """
    tree = await page.anew(lambda: _tree(page, action))
    title = await page.evaluate("document.title")
    return answer.json({"accessibilityTree": tree}, page=page, title=title)


async def _tree(page: life.Page, action: reading.AccessibilityTree) -> axtree.Tree | None:
    seen = page.whereabouts.documents
    root = None if action.root is None else await _element(page, action.root)
    tree = await read(page, only_interesting=action.only_interesting, root=root)
    if root is not None and page.whereabouts.documents != seen:
        raise elsewhere.Replaced("The page went elsewhere between the look for root and the tree.")
    return tree


async def read(page: life.Page, *, only_interesting: bool = True, root: int | None = None) -> axtree.Tree | None:
    """The tree of the page's main frame, or of the element with that ``backendNodeId``."""
    found = await page.call("Accessibility.getFullAXTree")
    # In a thread: a page of a hundred thousand nodes takes a second, and the browser's heartbeats must go on.
    return await asyncio.to_thread(axtree.build, found["nodes"], only_interesting=only_interesting, root=root)


async def _element(page: life.Page, selector: str) -> int:
    """The ``backendNodeId`` of the first match."""
    expression = _FIND.format(selector=orjson.dumps(selector).decode())
    found = await scripts.run(page.session, {"expression": expression}, deadline=max(page.time.left, 0.001))
    if "exceptionDetails" in found:
        raise errors.InvalidRequest(f"root is no CSS selector that Chromium can read (given: {selector!r})")
    if "objectId" not in found["result"]:
        raise errors.PageFailed(f"No element matches root {selector!r}.", code=errors.Code.CAPTURE_FAILED)
    described = await page.call("DOM.describeNode", {"objectId": found["result"]["objectId"]})
    return int(described["node"]["backendNodeId"])
