"""The Chrome DevTools Protocol, over pyppeteer's connection. The only module that knows pyppeteer and websockets.

pyppeteer 2.0.0 is the last there will be. Its own receive loop dies when a caller was cancelled, its calls know no deadline, its
sessions are of the nested kind that Chromium keeps for old clients, and a crashed page leaves callers waiting for ever. So
``Connection`` keeps pyppeteer's place and shape, and replaces how messages travel:

* **flat sessions**: one WebSocket, ``sessionId`` beside each message;
* **deadlines**: every call has one, the time to send included;
* **cancellation**: a cancelled caller is forgotten, and its late answer is dropped;
* **crashes**: when a target crashes, closes or detaches, its calls fail at once; when the browser goes, all do.

Errors: ``CallRefused`` (Chromium answered with an error), ``errors.PageFailed`` (the target is gone: CONTEXT_LOST or
TARGET_CLOSED; or too slow: TIMEOUT), ``errors.BrowserLost`` (the browser is gone, or too slow to answer for itself).
"""

import asyncio
import contextlib
import dataclasses
import importlib
import importlib.util
import logging
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Self, cast

import orjson
from websockets import exceptions as websockets_exceptions
from websockets.legacy import client as websockets_client

from browserpool.lib import surrogates, tasks
from browserpool.model import errors


def _pyppeteer_connection() -> Any:
    """Pyppeteer's connection module alone: the package imports a launcher and a downloader besides, 60 ms and 6 MB of an agent."""
    package = types.ModuleType("pyppeteer")
    found = importlib.util.find_spec("pyppeteer")
    package.__path__ = list((found and found.submodule_search_locations) or ())
    whole = sys.modules.get("pyppeteer")
    sys.modules["pyppeteer"] = whole or package
    try:
        return importlib.import_module("pyppeteer.connection")
    finally:
        if whole is None:  # whoever wants the package gets the real one
            del sys.modules["pyppeteer"]


_Connection: Any = _pyppeteer_connection().Connection

log = logging.getLogger(__name__)

Params = dict[str, Any]
Handler = Callable[[Params], None]
"""Called in the receive loop with an event's ``params``: it must be quick and must not raise."""

DEADLINE = 30.0
"""Seconds that a call may take unless it says otherwise."""
CLOSE_DEADLINE = 1.0
"""Seconds that a closing handshake may take; the browser is about to be killed or is dead."""


class CallRefused(errors.PageFailed):
    """Chromium answered ``method`` with an error. ``reason`` is Chromium's text, ``cdp_code`` its number."""

    default_code = errors.Code.CAPTURE_FAILED

    def __init__(self, *, method: str, cdp_code: int, reason: str) -> None:
        super().__init__(f"Chromium refused {method}: {reason}")
        self.method = method
        self.cdp_code = cdp_code
        self.reason = reason


_NO_SUCH_SESSION = -32001


@dataclasses.dataclass(slots=True, eq=False)
class _Pending:
    method: str
    session_id: str | None
    answer: asyncio.Future[Params]

    def fail(self, error: errors.BrowserpoolError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Events:
    """Handlers by event; a handler that raises is logged and does not stop the others."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}

    def add(self, method: str, handler: Handler) -> Callable[[], None]:
        self._handlers.setdefault(method, []).append(handler)

        def remove() -> None:
            with contextlib.suppress(ValueError):
                self._handlers.get(method, []).remove(handler)

        return remove

    def deliver(self, method: str, params: Params) -> None:
        for handler in tuple(self._handlers.get(method, ())):
            try:
                handler(params)
            except Exception:  # the receive loop serves every caller of this browser and must outlive one bad handler
                log.exception("an event's handler failed", extra={"event": method})


class Session:
    """One attached target (a page, a frame, a worker). Made by ``Connection``; dead once ``failure`` is set."""

    def __init__(self, *, connection: "Connection", session_id: str, target_id: str) -> None:
        self._connection = connection
        self._events = _Events()
        self.id = session_id
        self.target_id = target_id
        self.closed: asyncio.Future[errors.BrowserpoolError] = asyncio.get_running_loop().create_future()
        """Resolves with the reason when the target crashed, closed or detached, or the browser went away."""

    @property
    def failure(self) -> errors.BrowserpoolError | None:
        """Why the session is over; ``None`` while it lives."""
        return self.closed.result() if self.closed.done() else None

    async def call(self, method: str, params: Params | None = None, *, deadline: float = DEADLINE) -> Params:
        """Call ``method`` on the target; see ``Connection.call``."""
        if self.failure is not None:
            # The connection has forgotten a session that is over, and would not know why.
            raise _again(self.failure)
        return await self._connection.call(method, params, session_id=self.id, deadline=deadline)

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler`` with the params of each ``event``; returns what takes it off again."""
        return self._events.add(event, handler)

    @contextlib.contextmanager
    def expect(
        self, event: str, matching: Callable[[Params], bool] = lambda _: True
    ) -> Iterator[asyncio.Future[Params]]:
        """A future of the next matching ``event``, listening from now on; fails when the session does.

        Await it inside the block, under a deadline: ``with page.expect("Page.loadEventFired") as loaded: ...``.
        """
        future: asyncio.Future[Params] = asyncio.get_running_loop().create_future()

        def arrived(params: Params) -> None:
            if not future.done() and matching(params):
                future.set_result(params)

        def over(closed: asyncio.Future[errors.BrowserpoolError]) -> None:
            if not future.done():
                future.set_exception(_again(closed.result()))

        off = self.on(event, arrived)
        self.closed.add_done_callback(over)
        try:
            yield future
        finally:
            off()
            self.closed.remove_done_callback(over)
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved, so that an unawaited failure is no warning

    async def detach(self, *, deadline: float = DEADLINE) -> None:
        """Let go of the target, which lives on."""
        if self.failure is None:
            await self._connection.call("Target.detachFromTarget", {"sessionId": self.id}, deadline=deadline)

    def _deliver(self, method: str, params: Params) -> None:
        self._events.deliver(method, params)

    def _fail(self, error: errors.BrowserpoolError) -> None:
        if not self.closed.done():
            self.closed.set_result(error)


def _again(error: errors.BrowserpoolError) -> errors.BrowserpoolError:
    """The same error as a fresh object: one raised in many tasks would gather all their tracebacks."""
    return type(error)(error.message, code=error.code, retry_after=error.retry_after)


def _refusal(method: str, error: Params) -> errors.BrowserpoolError:
    if error.get("code") == _NO_SUCH_SESSION:
        return errors.PageFailed(f"The page closed before {method}.", code=errors.Code.TARGET_CLOSED)
    reason = " ".join(str(error[key]) for key in ("message", "data") if error.get(key))
    return CallRefused(method=method, cdp_code=int(error.get("code", 0)), reason=reason)


def _too_slow(method: str, session_id: str | None, deadline: float) -> errors.BrowserpoolError:
    message = f"Chromium did not answer {method} within {deadline:g} s."
    if session_id is None:
        return errors.BrowserLost(message, code=errors.Code.TIMEOUT)
    return errors.PageFailed(message, code=errors.Code.TIMEOUT)


def _read(text: str) -> Params:
    """A message of Chromium's. A page may cut an emoji in half: legal in JavaScript, nowhere else, and shown as U+FFFD everywhere."""
    try:
        return cast("Params", orjson.loads(text))
    except orjson.JSONDecodeError:
        return cast("Params", orjson.loads(surrogates.mended(text)))


class Connection(_Connection):  # type: ignore[misc]  # pyppeteer ships no types
    """One WebSocket to Chromium's browser endpoint, shared by all its sessions. Make it with ``open``."""

    def __init__(self, *, url: str, websocket: websockets_client.WebSocketClientProtocol) -> None:
        # Not pyppeteer's __init__, which opens its own socket (compressed, with a deprecated argument) and starts the receive
        # loop that is replaced here; its base's, the event emitter's.
        super(_Connection, self).__init__()
        self._url = url
        self._lastId = 0
        self._websocket = websocket
        self._pending: dict[int, _Pending] = {}
        self._attached: dict[str, Session] = {}
        self._events_of_browser = _Events()
        self._background = tasks.Background(grace=CLOSE_DEADLINE)
        self.closed: asyncio.Future[errors.BrowserpoolError] = asyncio.get_running_loop().create_future()
        """Resolves with the reason when the connection is over."""
        self._background.spawn(self._receive(), name="cdp receive")

    @classmethod
    async def open(cls, url: str, *, deadline: float = DEADLINE) -> Self:
        """Connect to ``webSocketDebuggerUrl``.

        Raises:
            errors.BrowserLost: nothing there answers as Chromium, or not within ``deadline`` seconds.
        """
        try:
            websocket = await websockets_client.connect(
                url,
                open_timeout=deadline,
                close_timeout=CLOSE_DEADLINE,
                compression=None,  # on loopback it costs more than it saves
                max_size=None,  # a picture of a whole page is tens of MB
                ping_interval=None,  # the agent's liveness probe asks more of Chromium than a pong
            )
        except (OSError, TimeoutError, websockets_exceptions.WebSocketException) as error:
            raise errors.BrowserLost(f"Chromium does not answer at {url}: {error!r}") from error
        return cls(url=url, websocket=websocket)

    @property
    def failure(self) -> errors.BrowserpoolError | None:
        """Why the connection is over; ``None`` while it lives."""
        return self.closed.result() if self.closed.done() else None

    def session(self, session_id: str) -> Session | None:
        """The attached session of that id; auto-attached ones are found here by the id their event names."""
        return self._attached.get(session_id)

    async def call(
        self, method: str, params: Params | None = None, *, session_id: str | None = None, deadline: float = DEADLINE
    ) -> Params:
        """Call ``method`` of the browser, or of the session; ``deadline`` is in seconds, sending included.

        Returns:
            The answer's ``result``.

        Raises:
            CallRefused: Chromium answered with an error.
            errors.PageFailed: the target is gone, or a session's call took too long.
            errors.BrowserLost: the browser is gone, or a call of its own took too long.
        """
        self._check_alive(session_id)
        self._lastId += 1
        number = self._lastId
        pending = _Pending(method, session_id, asyncio.get_running_loop().create_future())
        self._pending[number] = pending
        try:
            async with asyncio.timeout(deadline):
                await self._send(number, method, params, session_id)
                return await pending.answer
        except TimeoutError as error:
            raise _too_slow(method, session_id, deadline) from error
        finally:
            self._pending.pop(number, None)
            if pending.answer.done() and not pending.answer.cancelled():
                pending.answer.exception()  # retrieved, in case the caller left before it could be

    def send(self, method: str, params: Params | None = None) -> Any:
        """Pyppeteer's name for ``call``, for what of pyppeteer is built upon its connection."""
        return self.call(method, params)

    async def attach(self, target_id: str, *, deadline: float = DEADLINE) -> Session:
        """Attach to a target; the session hears its events from the first on."""
        answer = await self.call("Target.attachToTarget", {"targetId": target_id, "flatten": True}, deadline=deadline)
        session = self._attached.get(answer["sessionId"])
        if session is None:
            raise errors.PageFailed("The page closed while it was attached to.", code=errors.Code.TARGET_CLOSED)
        return session

    def subscribe(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call ``handler`` with the params of each ``event`` of the browser itself; returns what takes it off again."""
        return self._events_of_browser.add(event, handler)

    async def close(self) -> None:
        """Close the socket; every pending call fails. Idempotent, and bounded by ``CLOSE_DEADLINE``."""
        self._fail(errors.BrowserLost("The agent closed its connection to Chromium."))
        with contextlib.suppress(TimeoutError, OSError, websockets_exceptions.WebSocketException):
            async with asyncio.timeout(CLOSE_DEADLINE):
                await self._websocket.close()
        self._websocket.fail_connection()
        await self._background.close()

    async def dispose(self) -> None:
        """Pyppeteer's name for ``close``."""
        await self.close()

    def _check_alive(self, session_id: str | None) -> None:
        if self.failure is not None:
            raise _again(self.failure)
        if session_id is None:
            return
        session = self._attached.get(session_id)
        if session is None:
            raise errors.PageFailed("The page is closed.", code=errors.Code.TARGET_CLOSED)
        if session.failure is not None:
            raise _again(session.failure)

    async def _send(self, number: int, method: str, params: Params | None, session_id: str | None) -> None:
        message: Params = {"id": number, "method": method, "params": params or {}}
        if session_id is not None:
            message["sessionId"] = session_id
        try:
            await self._websocket.send(orjson.dumps(message).decode())
        except (OSError, websockets_exceptions.WebSocketException) as error:
            raise errors.BrowserLost(f"Chromium went away before {method} could be sent.") from error

    async def _receive(self) -> None:
        try:
            while True:
                self._dispatch(_read(cast("str", await self._websocket.recv())))
        except (OSError, websockets_exceptions.WebSocketException):
            self._fail(errors.BrowserLost("Chromium went away."))
        finally:
            self._fail(errors.BrowserLost("The connection to Chromium is no longer read."))

    def _dispatch(self, message: Params) -> None:
        number = message.get("id")
        if number is not None:
            self._answer(number, message)
            return
        method, params = message["method"], message.get("params", {})
        self._follow_targets(method, params, message.get("sessionId"))
        if (session_id := message.get("sessionId")) is None:
            self._events_of_browser.deliver(method, params)
        elif (session := self._attached.get(session_id)) is not None:
            session._deliver(method, params)  # noqa: SLF001 - the two halves of one thing

    def _answer(self, number: int, message: Params) -> None:
        pending = self._pending.pop(number, None)
        if pending is None or pending.answer.done():
            return
        if "error" in message:
            pending.answer.set_exception(_refusal(pending.method, message["error"]))
        else:
            pending.answer.set_result(message.get("result", {}))

    def _follow_targets(self, method: str, params: Params, session_id: str | None) -> None:
        if method == "Target.attachedToTarget":
            attached = params["sessionId"]
            self._attached[attached] = Session(
                connection=self, session_id=attached, target_id=params["targetInfo"]["targetId"]
            )
        elif method == "Target.detachedFromTarget":
            self._lose(params["sessionId"], errors.PageFailed("The page closed.", code=errors.Code.TARGET_CLOSED))
        elif method == "Inspector.targetCrashed" and session_id is not None:
            self._lose(session_id, errors.PageFailed("The page crashed.", code=errors.Code.CONTEXT_LOST))

    def _lose(self, session_id: str, error: errors.BrowserpoolError) -> None:
        session = self._attached.pop(session_id, None)
        if session is None:
            return
        session._fail(error)  # noqa: SLF001 - the two halves of one thing
        for pending in tuple(self._pending.values()):
            if pending.session_id == session_id:
                pending.fail(_again(error))

    def _fail(self, error: errors.BrowserpoolError) -> None:
        if self.closed.done():
            return
        self.closed.set_result(error)
        for session_id in tuple(self._attached):
            self._lose(session_id, error)
        for pending in tuple(self._pending.values()):
            pending.fail(_again(error))
