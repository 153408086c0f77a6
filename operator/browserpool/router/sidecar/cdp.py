"""CDP: the router gives the session, and the messages go straight to the browser's pod, or by the router where that cannot be.

Whichever way a connection goes, its session ends as at the router itself: a client that goes away leaves it for ``keep_alive``, one whose
browser closes (``Browser.close``) does not.
"""

import asyncio
import contextlib
import dataclasses
import logging
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from browserpool.model import agentapi, errors
from browserpool.router import bridge
from browserpool.router.sidecar import forward, keeping, passing, upstream

log = logging.getLogger(__name__)

DIRECT = "direct"
PROXIED = "proxied"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """An open connection to the browser; ``session`` is there if it is direct, and nobody else renews it."""

    socket: bridge.Upstream
    session: upstream.Session | None
    headers: dict[str, str]


async def launch(call: forward.Call, *, stopping: asyncio.Event) -> web.StreamResponse:
    """WS …/devtools/browser: a session and a connection to it. A browser that cannot be had is given back, and another one taken."""
    headers = passing.without_body(call.headers())
    query = {name: value for name, value in call.request.query.items() if name != "token"} | {"direct": "true"}
    for last in (False, True):
        session = await call.router.create(query, headers=headers)
        try:
            way = await _connected(call, session)
        except BaseException as error:  # cancelled or failed: the session is ours to end either way
            call.background.spawn(call.router.end(session.session_id, headers=headers), name="give a session back")
            if last or not isinstance(error, (errors.Unavailable, upstream.Refused)):
                raise
        else:
            return await _serve(call, way, stopping=stopping, whole=True)
    raise AssertionError("the loop returns or raises")


async def reconnect(call: forward.Call, *, stopping: asyncio.Event) -> web.StreamResponse:
    """WS …/devtools/browser/{session}[/page/{target}]: a session that exists, or one page of it."""
    target = call.request.match_info.get("target")
    session = await call.router.renewed(
        call.request.match_info["session"], headers=passing.without_body(call.headers())
    )
    way = await _connected(call, session, target=target)
    return await _serve(call, way, stopping=stopping, whole=target is None)


async def through(call: forward.Call, *, stopping: asyncio.Event) -> web.StreamResponse:
    """Any other WebSocket: by the router."""
    socket = await call.router.through(call.request.rel_url.raw_path_qs, headers=passing.without_body(call.headers()))
    way = Way(socket=socket, session=None, headers={agentapi.WAY: PROXIED})
    return await _serve(call, way, stopping=stopping, whole=False)


async def _connected(call: forward.Call, session: upstream.Session, *, target: str | None = None) -> Way:
    """To the pod, else by the router.

    Raises:
        errors.Unavailable, upstream.Refused: neither way.
    """
    said = {**session.said, "X-Browserpool-Session": session.session_id}
    # A session of another cluster's has no pod that could be reached from here.
    straight = session.direct_url
    socket = None if straight is None else await call.router.direct(_of_page(straight, target))
    if socket is not None:
        return Way(socket=socket, session=session, headers={**said, agentapi.WAY: DIRECT})
    page = "" if target is None else f"/page/{urllib.parse.quote(target, safe='')}"
    path = f"/devtools/browser/{session.session_id}{page}"
    socket = await call.router.through(path, headers=passing.without_body(call.headers()))
    return Way(socket=socket, session=None, headers={**said, agentapi.WAY: PROXIED})


def _of_page(url: str, target: str | None) -> str:
    if target is None:
        return url
    path = agentapi.CDP_PAGE.format(target=urllib.parse.quote(target, safe=""))
    return urllib.parse.urlsplit(url)._replace(path=path).geturl()


async def _serve(call: forward.Call, way: Way, *, stopping: asyncio.Event, whole: bool) -> web.StreamResponse:
    """Bridge the two; ``whole``: the browser's own connection, with which the session ends too."""
    client = bridge.accept(way.headers)
    closed = asyncio.Event()
    try:
        await client.prepare(call.request)
        async with _kept(call, way.session) as keeper:
            await _bridged(client, way.socket, keeper=keeper, closed=closed, stopping=stopping)
    except Exception as error:  # it is a WebSocket by now: nothing can be answered, so it ends and the log says why
        if not client.prepared:
            raise
        log.warning("a CDP connection broke", extra={"why": repr(error)})
    finally:
        call.background.spawn(bridge.hang_up(way.socket), name="close a connection to a browser")
        # By the router, it is the router who sees the end.
        if whole and way.session is not None and closed.is_set():
            headers = passing.without_body(call.headers())
            call.background.spawn(call.router.end(way.session.session_id, headers=headers), name="end a session")
    return client


@contextlib.asynccontextmanager
async def _kept(call: forward.Call, session: upstream.Session | None) -> AsyncIterator[keeping.Keeper | None]:
    """Renew the session meanwhile, if nobody else does."""
    if session is None:
        yield None
        return

    async def renew() -> keeping.Renewal:
        return await call.router.renew(session.session_id, headers=passing.without_body(call.headers()))

    keeper = keeping.Keeper(renew, keep_alive=session.keep_alive)
    task = call.background.spawn(keeper.run(), name="renew a session")
    try:
        yield keeper
    finally:
        task.cancel()


async def _bridged(
    client: web.WebSocketResponse[Any],
    socket: bridge.Upstream,
    *,
    keeper: keeping.Keeper | None,
    closed: asyncio.Event,
    stopping: asyncio.Event,
) -> None:
    seen = keeper.seen if keeper is not None else _nothing

    def sent(frame: bytes) -> None:
        seen()
        if bridge.asks_to_close(frame):
            closed.set()

    told = [(stopping, lambda: (bridge.GOING_AWAY, "this sidecar is stopping; reconnect to the session by its id"))]
    if keeper is not None:
        told.append((keeper.over, lambda: (bridge.GOING_AWAY, "the session is over")))
    await bridge.join(client, socket, sent=sent, received=lambda _: seen(), goodbye=closed.set, told=told)


def _nothing() -> None:
    return None
