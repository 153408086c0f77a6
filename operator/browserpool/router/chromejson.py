"""Chrome's own /json at the root: what tools ask that were written for a local Chrome.

A local Chrome is one browser; behind this are as many as the caller has sessions. What names no page and opens none is answered for all of
them; a new page has a browser of its own, because who shares a token does not share browsers.
"""

import asyncio
import contextlib

from aiohttp import web

from browserpool import __version__
from browserpool.lib import web as lib_web
from browserpool.model import claims, errors, names, outcomes
from browserpool.router import actions, cdp, devtools, lookup, services


async def version(call: services.Call) -> web.StreamResponse:
    """GET /json/version: the address to connect to. Public: it claims nothing, and puppeteer's ``browserURL`` cannot send a token."""
    product = call.services.chromium or f"Browserpool/{__version__}"
    return lib_web.json_response(
        {
            "Browser": product,
            "Protocol-Version": "1.3",
            "User-Agent": f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) {product} Safari/537.36",
            "webSocketDebuggerUrl": f"{devtools.base(call)}/devtools/browser{devtools.suffix(call)}",
        }
    )


async def pages(call: services.Call) -> web.StreamResponse:
    """GET /json, /json/list: the pages of all of the caller's sessions. One whose browser does not answer is left out."""
    held = await lookup.all_mine(call)
    lists = await asyncio.gather(*(devtools.chrome(call, one, "list") for one in held), return_exceptions=True)
    return lib_web.json_response([entry for entries in lists if isinstance(entries, list) for entry in entries])


async def new(call: services.Call) -> web.StreamResponse:
    """PUT /json/new: claim a browser and open a page in it (``?https://…``); it stays for ``keep_alive``."""
    wanted = await call.wanted(claims.SessionKind.CDP)
    async with cdp.counted(call) as count:
        with call.services.outcomes.timed(wanted.pool, outcomes.CDP):
            held, entry = await call.services.claiming.engage(wanted, lambda held: devtools.opened(call, held))
        count(held)
    return lib_web.json_response(entry, headers=actions.browser_headers(wanted, held))


async def activate(call: services.Call) -> web.StreamResponse:
    """GET /json/activate/{target}: bring a page of any of the caller's sessions to the front."""
    return await _told(call, "activate")


async def close(call: services.Call) -> web.StreamResponse:
    """GET /json/close/{target}: close a page of any of the caller's sessions."""
    return await _told(call, "close")


async def _told(call: services.Call, what: str) -> web.StreamResponse:
    target = call.request.match_info["target"]
    for held in await lookup.all_mine(call) if names.is_target_id(target) else ():
        with contextlib.suppress(errors.NotFound, errors.BrowserLost):
            return web.Response(text=str(await devtools.chrome(call, held, f"{what}/{target}")))
    raise errors.NotFound(f"None of your sessions has a page {target[:64]!r}.")
