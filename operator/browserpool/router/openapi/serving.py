"""The two addresses. What they serve takes a good part of a second to make, once: in a thread, so that nobody else waits for it."""

import asyncio
from typing import Final

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.router import services

_FOR_ALL: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=60"}
"""The document is no secret: tools that run in a web page may read it."""


async def openapi(call: services.Call) -> web.StreamResponse:
    """GET /openapi.json: this API as an OpenAPI 3.1 document."""
    body = await asyncio.to_thread(lambda: call.services.documentation.json)
    return web.Response(body=body, content_type=lib_web.JSON, headers=_FOR_ALL)


async def docs(call: services.Call) -> web.StreamResponse:
    """GET /docs: this API as a page for people; it loads nothing from elsewhere."""
    made = await asyncio.to_thread(lambda: call.services.documentation.html)
    headers = {
        "Content-Security-Policy": made.policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "max-age=60",
    }
    return web.Response(text=made.seen_at(call.origin), content_type="text/html", headers=headers)
