"""Another system that makes sessions, shows and ends them, in its own time: a router's API as far as that goes, and no browser behind it.

``async with maker.serving() as other: ... other.url``.
"""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from browserpool.lib import web as lib_web


@dataclasses.dataclass(slots=True, kw_only=True)
class Maker:
    """``asked`` counts who wants a session; what is ``made`` is told once ``gate`` is set.

    Its list is ``shown``, page by page, or else answered with ``says``; ``pages`` are those that were asked for, with offset and limit.
    """

    url: str = ""
    asked: int = 0
    gate: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    made: list[str] = dataclasses.field(default_factory=list)
    ended: list[str] = dataclasses.field(default_factory=list)
    shown: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    says: web.Response | None = None
    pages: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    async def make(self, request: web.Request) -> web.Response:
        """POST: a session, whether or not whoever asked for it is still there."""
        await request.read()
        self.asked += 1
        self.made.append(str(uuid.uuid4()))
        await self.gate.wait()
        return web.json_response({"sessionId": self.made[-1]})

    async def show(self, request: web.Request) -> web.Response:
        """GET: the list."""
        offset, limit = (int(request.query[name]) for name in ("offset", "limit"))
        self.pages.append((offset, limit))
        await self.gate.wait()
        return self.says or web.json_response(self.shown[offset : offset + limit])

    async def end(self, request: web.Request) -> web.Response:
        """DELETE."""
        self.ended.append(request.match_info["session"])
        return web.json_response({"status": "closed"})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Maker]:
    """Serve until the block ends."""
    made, app = Maker(), web.Application()
    app.router.add_post("/devtools/browser", made.make)
    app.router.add_get("/devtools/session", made.show)
    app.router.add_delete("/devtools/browser/{session}", made.end)
    async with lib_web.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        made.url = f"http://{address}"
        yield made
        made.gate.set()
