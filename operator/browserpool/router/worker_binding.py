"""What ``@cloudflare/puppeteer`` and ``@cloudflare/playwright`` ask of a Worker's browser binding, at the root of ``/v1``.

Newer ones (puppeteer 1.1 and later, playwright) ask for ``/v1/devtools/…``, which ``devtools`` and ``cdp`` serve; older ones acquire with
a GET and connect with frames of their own (``worker_frames``). Where the binding is ``env.BROWSER`` in a Worker, its place is taken by
an object with a ``fetch`` that changes the address and adds the token.
"""

from typing import Any, Final

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import claims, errors
from browserpool.model.names import SessionId
from browserpool.router import bridge, cdp, devtools, lookup, services, worker_frames
from browserpool.router.spilling import following
from browserpool.store import everywhere

MOST_LISTED: Final = 1000


async def acquire(call: services.Call) -> web.StreamResponse:
    """GET /v1/acquire?keep_alive: claim a browser, as POST …/devtools/browser does."""
    return await devtools.create(call)


async def connect(call: services.Call) -> web.StreamResponse:
    """WS /v1/connectDevtools?browser_session=: connect to a session, with messages cut in chunks of a mebibyte."""
    bridge.ask_for_websocket(call.request)
    named = SessionId(call.request.query.get("browser_session", ""))
    if not named:
        raise errors.InvalidRequest("browser_session is missing: name the session that /v1/acquire gave.")
    try:
        held = await lookup.named(call, named)
    except (errors.NotFound, everywhere.Unseen) as missing:
        return await following.connected(call, named, missing, kind=worker_frames.Socket)
    return await cdp.serve(call, held, await cdp.dial(call, held), kind=worker_frames.Socket)


async def listing(call: services.Call) -> web.StreamResponse:
    """GET /v1/sessions: the caller's live sessions that can be connected to, newest first."""
    return lib_web.json_response({"sessions": await _live(call)})


async def history(call: services.Call) -> web.StreamResponse:
    """GET /v1/history: the caller's sessions, live ones first, then what is remembered of past ones."""
    past = await everywhere.past(call.services.databases, token=call.owner, limit=MOST_LISTED)
    ended = [devtools.past_shown(one) for one in past if one.kind is claims.SessionKind.CDP]
    return lib_web.json_response({"history": [*await _live(call), *ended]})


async def _live(call: services.Call) -> list[dict[str, Any]]:
    return [one for one in await devtools.live(call, limit=MOST_LISTED) if one["kind"] == claims.SessionKind.CDP]
