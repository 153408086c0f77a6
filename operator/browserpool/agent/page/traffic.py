"""Which requests go on, and which get the body's credentials: decisions on values, and the handler of CDP's ``Fetch`` that applies them.

The page's own document is always loaded: rules are about what it pulls in. Reject rules come first; each allow list that is there must
let the request through.
"""

import contextlib
import urllib.parse
from collections.abc import Coroutine
from typing import Any, Final

from browserpool.agent import driver
from browserpool.agent.page import setup
from browserpool.lib import tasks
from browserpool.model import errors
from browserpool.model.wire import shared

_ENABLE_DEADLINE: Final = 10.0


def goes_on(action: shared.QuickAction, *, url: str, resource_type: str) -> bool:
    """Whether a request of the page may be made. ``resource_type`` is in the wire's (lower) case."""
    if resource_type in action.reject_resource_types or any(p.matches(url) for p in action.reject_request_pattern):
        return False
    if action.allow_resource_types and resource_type not in action.allow_resource_types:
        return False
    return not action.allow_request_pattern or any(p.matches(url) for p in action.allow_request_pattern)


class Gate:
    """Answers each paused request of one page, its frames and its workers."""

    def __init__(
        self,
        action: shared.QuickAction,
        *,
        connection: driver.Connection,
        session: driver.Session,
        background: tasks.Background,
    ) -> None:
        self._action = action
        self._connection = connection
        self._background = background
        self._main = session
        self._trusted: set[str] = set()
        self._tried: set[str] = set()

    async def open(self) -> None:
        """Pause requests from now on, those of frames and workers to come included."""
        await self._guard(self._main)

    async def _guard(self, session: driver.Session) -> None:
        session.on("Fetch.requestPaused", lambda paused: self._answer(session, paused))
        session.on("Fetch.authRequired", lambda asked: self._authenticate(session, asked))
        session.on("Target.attachedToTarget", self._attached)
        wanted = {"patterns": [{"urlPattern": "*"}], "handleAuthRequests": self._action.authenticate is not None}
        await session.call("Fetch.enable", wanted, deadline=_ENABLE_DEADLINE)
        auto = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        await session.call("Target.setAutoAttach", auto, deadline=_ENABLE_DEADLINE)

    def _attached(self, params: driver.Params) -> None:
        session = self._connection.session(params["sessionId"])
        if session is not None:
            self._spawn(self._adopt(session))

    async def _adopt(self, session: driver.Session) -> None:
        # A kind of target without Fetch (a worker whose requests its page makes) waits for us all the same.
        with contextlib.suppress(driver.CallRefused):
            await self._guard(session)
        await session.call("Runtime.runIfWaitingForDebugger")

    def _answer(self, session: driver.Session, paused: driver.Params) -> None:
        request = {"requestId": paused["requestId"]}
        if self._passes(paused):
            self._spawn(session.call("Fetch.continueRequest", request))
        else:
            self._spawn(session.call("Fetch.failRequest", {**request, "errorReason": "BlockedByClient"}))

    def _passes(self, paused: driver.Params) -> bool:
        if self._is_own_document(paused) or not setup.filters(self._action):
            return True
        return goes_on(self._action, url=paused["request"]["url"], resource_type=paused["resourceType"].lower())

    def _is_own_document(self, paused: driver.Params) -> bool:
        return bool(paused["resourceType"] == "Document" and paused["frameId"] == self._main.target_id)

    def _authenticate(self, session: driver.Session, asked: driver.Params) -> None:
        answer: dict[str, Any] = {"response": "CancelAuth"}
        credentials = self._action.authenticate
        if credentials is not None and self._may_have_them(asked):
            answer = {
                "response": "ProvideCredentials",
                "username": credentials.username,
                "password": credentials.password,
            }
        self._spawn(
            session.call("Fetch.continueWithAuth", {"requestId": asked["requestId"], "authChallengeResponse": answer})
        )

    def _may_have_them(self, asked: driver.Params) -> bool:
        """Servers of the page's own document, and each request once: a third party's 401 must not be given the caller's password."""
        challenge, request_id = asked["authChallenge"], asked["requestId"]
        if challenge.get("source") == "Proxy" or request_id in self._tried:
            return False
        self._tried.add(request_id)
        host = urllib.parse.urlsplit(challenge["origin"]).hostname or ""
        if self._is_own_document(asked):
            self._trusted.add(host)
        return host in self._trusted

    def _spawn(self, call: Coroutine[Any, Any, object]) -> None:
        self._background.spawn(whatever_comes(call), name="paused request")


async def whatever_comes(call: Coroutine[Any, Any, object]) -> None:
    """A request that its page has given up, or a page that has closed, needs no answer any more."""
    try:
        await call
    except errors.BrowserpoolError:
        return
