"""Our own scripts in a page: in a world of their own, so that nothing which the page has done to JavaScript or to its names reaches them.

Pages replace ``Array.from``, give ``Object.prototype`` new members, or hold a form that is named like a method of the document. In an
isolated world there is the same document, and JavaScript as Chromium made it. It is there where the page's own scripts are off, too.
"""

import asyncio
import enum
from typing import Any, Final

from browserpool.agent import driver
from browserpool.model import errors

_WORLD: Final = "browserpool"
_TRIES: Final = 10
"""Tries on a page that is just navigating away from the document that the script was for."""
_BETWEEN: Final = 0.05
"""Seconds between two of them."""


class World(enum.Enum):
    """Whose JavaScript a script meets: ours, or what the page has made of its own."""

    OWN = "own"
    PAGES = "page's"


class ScriptFailed(errors.PageFailed):
    """A script of ours threw in the page. ``name`` is its error's class in JavaScript."""

    default_code = errors.Code.CAPTURE_FAILED

    def __init__(self, message: str, *, name: str = "Error") -> None:
        super().__init__(message)
        self.name = name


async def evaluate(session: driver.Session, expression: str, *, deadline: float, world: World = World.OWN) -> Any:
    """The JSON value of ``expression``; a promise is awaited. ``deadline`` in seconds.

    Raises:
        ScriptFailed: it threw.
        errors.PageFailed: the page is gone, or took too long.
    """
    answer = await run(
        session, {"expression": expression, "returnByValue": True, "awaitPromise": True}, deadline=deadline, world=world
    )
    if (details := answer.get("exceptionDetails")) is not None:
        thrown = details.get("exception", {})
        text = str(thrown.get("description") or thrown.get("value") or details.get("text", "")).splitlines()
        raise ScriptFailed(text[0] if text else "a script failed", name=str(thrown.get("className", "Error")))
    return answer.get("result", {}).get("value")


async def run(
    session: driver.Session, params: driver.Params, *, deadline: float, world: World = World.OWN
) -> driver.Params:
    """``Runtime.evaluate`` with ``params`` in the main frame's document, or in its successor if it is replaced meanwhile.

    Raises:
        errors.PageFailed: the page is gone, or took too long.
    """
    for _ in range(_TRIES - 1):
        try:
            return await _once(session, params, deadline=deadline, world=world)
        except driver.CallRefused:
            # The document was replaced under the script. Its successor is there in a moment.
            await asyncio.sleep(_BETWEEN)
    return await _once(session, params, deadline=deadline, world=world)


async def _once(session: driver.Session, params: driver.Params, *, deadline: float, world: World) -> driver.Params:
    if world is World.PAGES:
        return await session.call("Runtime.evaluate", params, deadline=deadline)
    # The same one each time, unless the document is another.
    made = await session.call(
        "Page.createIsolatedWorld", {"frameId": session.target_id, "worldName": _WORLD}, deadline=deadline
    )
    return await session.call(
        "Runtime.evaluate", {**params, "contextId": made["executionContextId"]}, deadline=deadline
    )
