"""CDP by hand, over one aiohttp WebSocket: calls, events, answers that are errors."""

import collections
import json
from typing import Any

import aiohttp

Message = dict[str, Any]


class Client:
    """One client. ``events`` are those that came while it waited for an answer, oldest first."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: collections.deque[Message] = collections.deque()
        self._number = 0

    async def send(self, method: str, session: str | None = None, **params: Any) -> int:
        """Send and do not wait; the message's number."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        await self.socket.send_str(json.dumps(message if session is None else message | {"sessionId": session}))
        return self._number

    async def ask(self, method: str, session: str | None = None, **params: Any) -> Message:
        """The whole answer, an error too."""
        number = await self.send(method, session, **params)
        while (said := await self._receive()).get("id") != number:
            self.events.append(said)
        return said

    async def call(self, method: str, session: str | None = None, **params: Any) -> Message:
        """The answer's result."""
        said = await self.ask(method, session, **params)
        assert "error" not in said, said
        result: Message = said["result"]
        return result

    async def event(self, method: str, *, deadline: float = 30) -> Message:
        """The next event of that name: its params; those before it are dropped."""
        while True:
            said = self.events.popleft() if self.events else await self._receive(deadline)
            if said.get("method") == method:
                params: Message = said["params"]
                return params

    async def page(self, url: str = "about:blank") -> tuple[str, str]:
        """A new page, attached, its events on: its target and its session."""
        target = (await self.call("Target.createTarget", url=url))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await self.call("Page.enable", session)
        return target, session

    async def frame(self, session: str) -> str:
        """The id of a page's top frame."""
        return str((await self.call("Page.getFrameTree", session))["frameTree"]["frame"]["id"])

    async def evaluate(self, session: str | None, expression: str) -> Any:
        """The JSON value of an expression, promises awaited."""
        answer = await self.call(
            "Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True
        )
        return answer["result"].get("value")

    async def _receive(self, deadline: float = 30) -> Message:
        message = await self.socket.receive(timeout=deadline)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        said: Message = json.loads(message.data)
        return said
