"""Web server bits: an aiohttp server as a context, JSON answers through orjson.

A handler is cancelled when its client goes away (aiohttp's default is to let it run): work for nobody holds a resource.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import orjson
from aiohttp import web

from browserpool.lib import listening

JSON = "application/json"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@contextlib.asynccontextmanager
async def serve(app: web.Application, *, host: str, port: int, grace: float = 30.0) -> AsyncIterator[listening.Address]:
    """Serve ``app`` while the block runs; port 0 picks a free one; yields the address that is bound.

    On leaving, the listening socket closes first; requests that run get ``grace`` seconds to finish.
    """
    with listening.opened(host, port) as sockets:
        async with serve_on(app, sockets, grace=grace):
            yield listening.address(sockets)


@contextlib.asynccontextmanager
async def serve_on(app: web.Application, sockets: Sequence[socket.socket], *, grace: float) -> AsyncIterator[None]:
    """As ``serve``, on sockets that listen already; whose they are closes them, too."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=grace, access_log=None)
    await runner.setup()
    try:
        for one in sockets:
            await web.SockSite(runner, one, backlog=listening.BACKLOG).start()
        yield
    finally:
        await asyncio.shield(runner.cleanup())


def sendable(text: str) -> str:
    """A header's value as it came, so that it can be sent on.

    What is not UTF-8 is taken for Latin-1, which headers once were; a control character, which none may have, is a space (RFC 9110, 5.5).
    """
    try:
        text.encode()
    except UnicodeEncodeError:  # aiohttp keeps bytes that it cannot decode as halves of surrogates
        text = text.encode(errors="surrogateescape").decode("latin-1")
    return _CONTROL.sub(" ", text)


def json_response(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """``value`` as a JSON answer."""
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type=JSON)
