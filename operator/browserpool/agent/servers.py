"""The agent's servers: the routes, the probes, on sockets that listen already. Only ``front`` imports this, and late."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from browserpool.agent import front, lines, links, ops, routes
from browserpool.agent.recording import records
from browserpool.lib import tasks
from browserpool.lib import web as server

_OPS_GRACE = 1.0


@contextlib.asynccontextmanager
async def running(parts: front.Parts, *, sockets: front.Sockets, grace: float) -> AsyncIterator[None]:
    """Serve while the block runs; running requests get ``grace`` seconds at its end."""
    app = web.Application(middlewares=[routes.errors_as_envelopes], client_max_size=routes.BODY_LIMIT)
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        kept = await stack.enter_async_context(records.Records(http=http, wanted=parts.settings))
        asking = links.Links(http=http, wanted=parts.settings)
        line = lines.Line(http=http, keeper=parts.keeper)
        background = await stack.enter_async_context(tasks.Background(grace=0))
        background.spawn(line.keep(), name="connect ahead")
        routes.Routes(
            checker=parts.checker, keeper=parts.keeper, http=http, links_=asking, records_=kept, line=line
        ).add_to(app)
        ops_app = app if sockets.ops is None else web.Application()
        ops.add(ops_app, alive=parts.alive, ready=parts.missing)
        if sockets.ops is not None:
            await stack.enter_async_context(server.serve_on(ops_app, sockets.ops, grace=_OPS_GRACE))
        await stack.enter_async_context(server.serve_on(app, sockets.main, grace=grace))
        yield
