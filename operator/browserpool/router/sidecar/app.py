"""The process: its port, what is served there, and how it stops."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from browserpool.lib import listening, tasks
from browserpool.lib import web as lib_web
from browserpool.model import errors
from browserpool.router import addresses, answers, loopback
from browserpool.router.sidecar import cdp, forward, settings, tokenfile, upstream

log = logging.getLogger(__name__)

WebSocket = Callable[..., Awaitable[web.StreamResponse]]

WEBSOCKETS: Final[tuple[tuple[str, WebSocket], ...]] = (
    ("/devtools/browser", cdp.launch),
    ("/devtools/browser/{session}", cdp.reconnect),
    ("/devtools/browser/{session}/page/{target}", cdp.reconnect),
)
"""What may go straight to a pod, at the root and under each of the SDKs' addresses. All else is the router's to answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The parts of this process; ``stopping`` is set once it takes nothing new."""

    settings: settings.SidecarSettings
    token: tokenfile.TokenFile
    router: upstream.Router
    background: tasks.Background
    stopping: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def call(self, request: web.Request) -> forward.Call:
        return forward.Call(
            request=request,
            settings=self.settings,
            token=self.token,
            router=self.router,
            background=self.background,
        )


@contextlib.asynccontextmanager
async def running(config: settings.SidecarSettings) -> AsyncIterator[listening.Address]:
    """Serve while the block runs; yields the address. Leaving it refuses what is new, tells CDP clients, and finishes what runs.

    It comes up whether or not there is a router or a token: a client's pod must never wait for it.
    """
    async with (
        upstream.Router(config.router_url, connect_timeout=config.connect_timeout) as router,
        tasks.Background(grace=config.grace) as background,
    ):
        sidecar = Sidecar(
            settings=config, token=tokenfile.TokenFile(config.token_file), router=router, background=background
        )
        async with lib_web.serve(
            application(sidecar), host=config.host, port=config.port, grace=config.grace
        ) as address:
            log.info(
                "sidecar serves",
                extra={"address": str(address), "router": config.router_url, "token": sidecar.token.read() is not None},
            )
            try:
                yield address
            finally:
                log.info("sidecar stops")
                sidecar.stopping.set()


def application(sidecar: Sidecar) -> web.Application:
    """What is served."""
    # No limit to a body: it is not kept here, and the router has its own.
    app = web.Application(middlewares=[answers.middleware], client_max_size=0)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", functools.partial(readyz, sidecar))
    app.router.add_route(hdrs.METH_ANY, "/internal/{rest:.*}", nothing)
    for prefix in (*addresses.CLOUDFLARE, ""):
        for path, handler in WEBSOCKETS:
            app.router.add_get(prefix + path, functools.partial(enter, sidecar, handler))
    app.router.add_route(hdrs.METH_ANY, "/{rest:.*}", functools.partial(enter, sidecar, cdp.through))
    return app


async def enter(sidecar: Sidecar, websocket: WebSocket, request: web.Request) -> web.StreamResponse:
    """A client's request: a WebSocket by ``websocket``, anything else forwarded.

    Raises:
        errors.Forbidden: a web page may have sent it.
        errors.Unavailable: this process is stopping, or the router cannot be reached.
        errors.Unauthorized: there is no token that the router takes.
    """
    if (reason := loopback.refusal(request.headers)) is not None:
        raise errors.Forbidden(reason)
    if sidecar.stopping.is_set():
        raise errors.Unavailable("This sidecar is stopping, as its pod is.", retry_after=1)
    call = sidecar.call(request)
    if not web.WebSocketResponse().can_prepare(request).ok:
        return await forward.forward(call)
    try:
        return await websocket(call, stopping=sidecar.stopping)
    except upstream.Refused as refused:
        mended = call.refused(refused.response.status, refused.body)
        if mended is not None:
            raise mended from None
        return refused.response


async def healthz(_: web.Request) -> web.Response:
    """GET /healthz: the process answers."""
    return lib_web.json_response({"status": "ok"})


async def readyz(sidecar: Sidecar, _: web.Request) -> web.Response:
    """GET /readyz: it serves. A router that is away does not make it unready: the client's pod would be, which has its own work."""
    if sidecar.stopping.is_set():
        raise errors.Unavailable("This sidecar is stopping, as its pod is.", retry_after=1)
    return lib_web.json_response({"status": "ready"})


async def nothing(request: web.Request) -> web.Response:
    """What agents say to routers is nothing for clients."""
    raise errors.NotFound(f"There is nothing at {request.path[:200]}.")
