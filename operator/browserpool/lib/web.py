"""Web server bits: an aiohttp server as a context, JSON answers through orjson.

A handler is cancelled when its client goes away (aiohttp's default is to let it run): work for nobody holds a resource.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping

import orjson
from aiohttp import web

JSON = "application/json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def serve(app: web.Application, *, host: str, port: int, grace: float = 30.0) -> AsyncIterator[Address]:
    """Serve ``app`` while the block runs; port 0 picks a free one; yields the address that is bound.

    On leaving, the listening socket closes first; requests that run get ``grace`` seconds to finish.
    """
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=grace, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024, reuse_address=True)
        await site.start()
        bound = runner.addresses[0]
        yield Address(host=bound[0], port=bound[1])
    finally:
        await asyncio.shield(runner.cleanup())


def json_response(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """``value`` as a JSON answer."""
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type=JSON)
