"""The commands that Chromium does not know and a client may send all the same: ``Cloudflare.*``, by the names that its SDKs declare.

They are answered here, for the connection that they came by: which session this is, a link to look at it, a page in human hands.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import aiohttp
import orjson

from browserpool.agent import driver, handoff
from browserpool.lib import tasks
from browserpool.model import errors

_MARK: Final = b'"Cloudflare.'
_ATTACHED: Final = b'{"method":"Target.attachedToTarget"'
_DETACHED: Final = b'{"method":"Target.detachedFromTarget"'
_EVENT_NAME: Final = 40
"""Bytes at a frame's start within which those two stand, if they do: Chromium writes an event's name first."""
_SERVER_ERROR: Final = -32000
_NO_SUCH_METHOD: Final = -32601

Params = dict[str, Any]
Send = Callable[[bytes], Awaitable[None]]
LiveView = Callable[[Params], Awaitable[Params]]
"""Makes a link; its argument is the wire's body of live_view. Raises ``errors.BrowserpoolError``."""


class Desk:
    """One client's connection, as far as these commands go. ``target_id``: the page that it is about, if it is about one."""

    def __init__(
        self,
        *,
        session_id: str,
        target_id: str | None,
        connection: driver.Connection,
        handoffs: handoff.Handoffs,
        live_view: LiveView,
    ) -> None:
        self._session_id = session_id
        self._target_id = target_id
        self._connection = connection
        self._handoffs = handoffs
        self._live_view = live_view
        self._attached: dict[str, str] = {}
        self._send: Send | None = None
        self._background = tasks.Background(grace=0)

    @contextlib.contextmanager
    def listening(self, send: Send) -> Iterator[None]:
        """Answer by ``send`` while the block runs, and tell of handoffs that end."""
        self._send = send
        self._handoffs.listeners.add(self._completed)
        try:
            yield
        finally:
            self._handoffs.listeners.discard(self._completed)
            self._send = None

    async def aclose(self) -> None:
        """Whatever still waits for an answer waits no longer."""
        await self._background.close()

    def heard(self, frame: bytes) -> None:
        """A frame from Chromium: what the client is attached to stands in some of them."""
        start = frame[:_EVENT_NAME]
        if start.startswith(_ATTACHED):
            params = orjson.loads(frame)["params"]
            if params["targetInfo"]["type"] == "page":
                self._attached[params["sessionId"]] = params["targetInfo"]["targetId"]
        elif start.startswith(_DETACHED):
            self._attached.pop(orjson.loads(frame)["params"].get("sessionId"), None)

    def takes(self, frame: bytes) -> bool:
        """Whether the client's ``frame`` is for us; it is answered then, in its own time."""
        if _MARK not in frame:
            return False
        try:
            message = orjson.loads(frame)
        except ValueError:
            return False
        method = message.get("method") if isinstance(message, dict) else None
        if not isinstance(method, str) or not method.startswith("Cloudflare."):
            return False
        self._background.spawn(self._answer(message), name=method)
        return True

    async def _answer(self, message: Params) -> None:
        said: Params = {"id": message.get("id")}
        session = message.get("sessionId")
        if session is not None:
            said["sessionId"] = session
        try:
            params = message.get("params")
            said["result"] = await self._done(message["method"], params if isinstance(params, dict) else {}, session)
        except _Unknown as error:
            said["error"] = {"code": _NO_SUCH_METHOD, "message": str(error)}
        except handoff.Refused as error:
            said["error"] = {"code": _SERVER_ERROR, "message": str(error)}
        except errors.BrowserpoolError as error:
            said["error"] = {"code": _SERVER_ERROR, "message": error.message}
        await self._tell(said)

    async def _done(self, method: str, params: Params, session: object) -> Params:
        match method:
            case "Cloudflare.getSessionId":
                return {"sessionId": self._session_id}
            case "Cloudflare.getLiveView":
                target_id = await self._target(params, session)
                return await self._live_view({**params, "targetId": target_id})
            case "Cloudflare.handoff":
                return self._handoffs.begin(await self._target(params, session), params)
            case "Cloudflare.handoffComplete":
                return self._handoffs.complete(await self._target(params, session), params)
            case "Cloudflare.getHandoffState":
                return self._handoffs.state(await self._target(params, session))
            case _:
                raise _Unknown(f"'{method[:80]}' wasn't found")

    async def _target(self, params: Params, session: object) -> str:
        """The page that a command is about: the one it names, the one it was sent to, or the one that was opened first."""
        named = params.get("targetId")
        known = self._target_id if session is None else self._attached.get(str(session))
        if named is None and known is not None:
            return known
        answer = await self._connection.call("Target.getTargets")
        # Chromium lists the newest first.
        pages = [str(one["targetId"]) for one in reversed(answer["targetInfos"]) if one["type"] == "page"]
        found = [page for page in pages if named in (None, page)]
        if not found:
            raise handoff.Refused("There is no such page." if named is not None else "There is no page; open one.")
        return found[0]

    def _completed(self, target_id: str, event: Params) -> None:
        """Tell the client by each way that he is attached to the page."""
        sessions: list[str | None] = [each for each, target in self._attached.items() if target == target_id]
        if self._target_id == target_id or (self._target_id is None and not sessions):
            sessions.append(None)
        for session in sessions:
            said: Params = {"method": "Cloudflare.handoffComplete", "params": event}
            said |= {} if session is None else {"sessionId": session}
            self._background.spawn(self._tell(said), name="tell of a handoff")

    async def _tell(self, message: Params) -> None:
        if self._send is not None:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                await self._send(orjson.dumps(message))


class _Unknown(Exception):
    """There is no such command."""
