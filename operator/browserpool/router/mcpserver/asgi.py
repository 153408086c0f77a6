"""One request of aiohttp's, answered by an ASGI application in the same task: no second server, no second port."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aiohttp import web

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


async def answered(app: App, request: web.Request) -> web.StreamResponse:
    """What ``app`` answers: whole if it says it in one piece, streamed otherwise. Cancelled with its client, like any handler."""
    body = await request.read()
    sent = _Sent(request)
    bodies = [body]

    async def receive() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        # Whoever waits here waits for the client to go away, and is cancelled when he does, or when the answer is complete.
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    await app(scope(request), receive, sent.send)
    return sent.response


def scope(request: web.Request) -> Message:
    """The request's head as ASGI has it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path.partition("?")[0].encode(),
        "query_string": request.query_string.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        "client": None,
        "server": None,
    }


class _Sent:
    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._start: Message = {}
        self.response: web.StreamResponse = web.Response(status=500)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        more, body = message.get("more_body", False), message.get("body", b"")
        if not more and not self.response.prepared:
            self.response = web.Response(status=self._start["status"], body=body, headers=self._headers())
            return
        if not self.response.prepared:
            self.response = web.StreamResponse(status=self._start["status"], headers=self._headers())
            await self.response.prepare(self._request)
        await self.response.write(body)
        if not more:
            await self.response.write_eof()

    def _headers(self) -> list[tuple[str, str]]:
        pairs = [(name.decode(), value.decode()) for name, value in self._start.get("headers", [])]
        return [(name, value) for name, value in pairs if name not in ("content-length", "connection")]
