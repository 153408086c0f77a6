"""What a session has downloaded. It lies with its browser, and goes with the session: a client fetches it meanwhile."""

import urllib.parse

from aiohttp import hdrs, web

from browserpool.router import lookup, relay, services

_PASSED = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH, hdrs.CONTENT_DISPOSITION, hdrs.LAST_MODIFIED)


async def listing(call: services.Call) -> web.StreamResponse:
    """GET …/{session}/downloads: what the session has downloaded, the oldest first."""
    return await _answered(call, "")


async def fetch(call: services.Call) -> web.StreamResponse:
    """GET …/{session}/downloads/{file}: the bytes of one of them, by its name in that list."""
    return await _answered(call, urllib.parse.quote(call.request.match_info["file"], safe=""))


async def _answered(call: services.Call, file: str) -> web.StreamResponse:
    held = await lookup.mine(call)
    held.touch()
    async with call.services.agents.download(held.party, file) as answer:
        passed = {str(name): answer.headers[name] for name in _PASSED if name in answer.headers}
        return await relay.passed_on(call.request, answer, headers=passed)
