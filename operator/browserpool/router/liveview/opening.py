"""What a link opens. Nobody is asked for a token here: the link is the credential, and whom it was given to is its maker's business."""

import functools
import html
import importlib.resources
from typing import Final

from aiohttp import web

from browserpool.model import errors, live_view
from browserpool.router import bridge, cdp, selfcontained, services
from browserpool.router.liveview import making, rules

_PRIVATE: Final = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
"""The address holds the credential: no page that is looked at may hear of it."""


async def page(call: services.Call) -> web.StreamResponse:
    """GET /live/{link}: the viewer's page."""
    link = _link(call)
    await making.running(call.services, link.session_id)
    text, policy = _viewer()
    for name, value in {
        "mode": link.mode,
        "target": link.target_id,
        "session": link.session_id,
        "readonly": str(link.read_only).lower(),
        "title": f"{'READ ONLY - ' if link.read_only else ''}Live view",
    }.items():
        text = text.replace(f"%{name}%", html.escape(value))
    headers = {**_PRIVATE, "Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/html", headers=headers)


async def devtools(call: services.Call) -> web.StreamResponse:
    """GET /live/{link}/devtools/{file}: DevTools, as the session's Chromium carries them."""
    # They load some of their files late: what has begun may go on.
    link = _link(call, late=True)
    if link.read_only or link.mode is not live_view.Mode.DEVTOOLS:
        raise errors.Forbidden("This live view link does not open DevTools.")
    held = await making.running(call.services, link.session_id)
    file = call.request.rel_url.raw_path.partition("/devtools/")[2]
    status, content_type, body = await call.services.agents.devtools_file(held.party, file)
    if status != 200:
        raise errors.NotFound(
            f"The session's Chromium has no {file[:80]!r} of DevTools; ask for a live view of mode tab or full."
        )
    headers = {**_PRIVATE, "Cache-Control": "private, max-age=3600"}
    return web.Response(body=body, content_type=content_type, headers=headers)


async def connect(call: services.Call) -> web.StreamResponse:
    """WS /live/{link}/page/{target}: one page, as far as the link allows."""
    link = _link(call)
    if call.request.match_info["target"] != link.target_id:
        raise errors.Forbidden("This live view link is for another page.")
    return await _connected(call, link, link.target_id)


async def connect_whole(call: services.Call) -> web.StreamResponse:
    """WS /live/{link}/browser: all pages, as far as the link allows."""
    link = _link(call)
    if link.mode is not live_view.Mode.FULL:
        raise errors.Forbidden("This live view link is for one page.")
    return await _connected(call, link, None)


async def _connected(call: services.Call, link: live_view.Link, target_id: str | None) -> web.StreamResponse:
    bridge.ask_for_websocket(call.request)
    held = await making.running(call.services, link.session_id)
    view = cdp.View(is_use=rules.is_use, screen=rules.screened if link.read_only else None)
    upstream = await cdp.dial(call, held, target_id)
    return await cdp.serve(call, held, upstream, whole=target_id is None and not link.read_only, view=view)


def _link(call: services.Call, *, late: bool = False) -> live_view.Link:
    """The link in the address; ``late``: it may have expired."""
    text, now = call.request.match_info["link"], 0.0 if late else making.now(call.services)
    return live_view.verify(text, signing_key=call.services.settings.signing_key, now=now)


@functools.cache
def _viewer() -> tuple[str, str]:
    """The page, and the policy that lets nothing run or load in it but what it holds."""
    text = importlib.resources.files("browserpool.router.liveview").joinpath("viewer.html").read_text(encoding="utf-8")
    return text, selfcontained.policy(text, img_src="data: blob:", connect_src="'self' ws: wss:")
