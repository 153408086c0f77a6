"""Another cluster's router that refuses until it is told not to, and keeps what it was asked.

``async with refusing.serving() as other: ... other.url``.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

from aiohttp import web

from browserpool.lib import clock
from browserpool.lib import web as lib_web


@dataclasses.dataclass(slots=True, kw_only=True)
class Refusing:
    """``asked``: whose bodies, and ``at`` what times. Answers wait until ``gate`` is set; so many as are ``free`` are served."""

    url: str = ""
    retry_after: str | None = "100"
    status: int = 503
    free: int = 0
    asked: list[str] = dataclasses.field(default_factory=list)
    at: list[float] = dataclasses.field(default_factory=list)
    gate: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        """Any action."""
        self.asked.append((await request.json())["html"])
        self.at.append(clock.monotonic())
        await self.gate.wait()
        if self.free > 0:
            self.free -= 1
            return web.Response(body=b"theirs", content_type="image/png")
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return web.Response(status=self.status, headers=headers)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Refusing]:
    """Serve until the block ends."""
    made, app = Refusing(), web.Application()
    made.gate.set()
    app.router.add_post("/v1/{action}", made.answer)
    async with lib_web.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        made.url = f"http://{address}"
        yield made
        made.gate.set()
