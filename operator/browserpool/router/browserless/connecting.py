"""browserless' WebSockets: to connect is to claim, and to go away is to end."""

import dataclasses

from aiohttp import web

from browserpool.model import claims
from browserpool.router import bridge, cdp, services, target
from browserpool.router.browserless import bodies


async def connect(call: services.Call) -> web.StreamResponse:
    """WS /chromium: browserless': claim a browser and connect; the session ends with the connection, or after ``timeout`` ms."""
    bridge.ask_for_websocket(call.request)
    bodies.refuse(call.request.query)
    timeout = bodies.timeout_of(call.request.query)
    wanted = await call.wanted(claims.SessionKind.CDP, terms=await cdp.terms_of(call))
    if timeout is not None:
        wanted = within(wanted, seconds=timeout / 1000)
    return await cdp.launched(call, wanted, once=True)


def within(wanted: target.Target, *, seconds: float) -> target.Target:
    """The same wish for a session that lives no longer than that, or than its pool lets it."""
    most = wanted.request.max_lifetime
    request = dataclasses.replace(wanted.request, max_lifetime=seconds if most is None else min(most, seconds))
    return dataclasses.replace(wanted, request=request)
