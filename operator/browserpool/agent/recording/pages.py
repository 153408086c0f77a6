"""The pages of one Chromium: each gets the script before its first document does anything, each tells its events.

The agent attaches to each page beside the client. A page that is opened waits for all who asked it to, so whatever fails here, it is
told to go on.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from browserpool.agent import driver
from browserpool.agent.recording import script
from browserpool.lib import tasks
from browserpool.model import errors

DEADLINE: Final = 5.0
_PAGES: Final = [{"type": "page"}, {"exclude": True}]

Tell = Callable[[str, str], None]
"""Called with a page's target and an event's JSON."""


class Pages:
    """Records until ``close`` or until the browser is gone."""

    def __init__(self, *, connection: driver.Connection, tell: Tell) -> None:
        self._connection = connection
        self._tell = tell
        self._background = tasks.Background(grace=0)
        self._off: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Attach to the pages that there are and to all that come."""
        self._off = self._connection.subscribe("Target.attachedToTarget", self._attached)
        with contextlib.suppress(errors.BrowserpoolError):
            await self._connection.call("Target.setAutoAttach", _watching(on=True), deadline=DEADLINE)

    async def close(self) -> None:
        """Let go of them."""
        self._off()
        with contextlib.suppress(errors.BrowserpoolError):
            await self._connection.call("Target.setAutoAttach", _watching(on=False), deadline=DEADLINE)
        await self._background.close()

    def _attached(self, params: driver.Params) -> None:
        session = self._connection.session(params["sessionId"])
        if session is not None and params["targetInfo"]["type"] == "page":
            session.on("Runtime.bindingCalled", lambda called: self._called(session.target_id, called))
            self._background.spawn(_set_up(session), name="record a page")

    def _called(self, target_id: str, params: driver.Params) -> None:
        if params.get("name") == script.BINDING:
            self._tell(target_id, params["payload"])


async def _set_up(session: driver.Session) -> None:
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("Page.enable", {}),
        # Without it the function is not put into worlds that are named.
        ("Runtime.enable", {}),
        ("Runtime.addBinding", {"name": script.BINDING, "executionContextName": script.WORLD}),
        (
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": script.source(), "worldName": script.WORLD, "runImmediately": True},
        ),
        ("Runtime.runIfWaitingForDebugger", {}),
    )
    # Sent together, in this order; a page that closes meanwhile is no matter.
    await asyncio.gather(
        *(session.call(method, params, deadline=DEADLINE) for method, params in calls), return_exceptions=True
    )


def _watching(*, on: bool) -> driver.Params:
    wanted: driver.Params = {"autoAttach": on, "waitForDebuggerOnStart": on, "flatten": True}
    return wanted | ({"filter": _PAGES} if on else {})
