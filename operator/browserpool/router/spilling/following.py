"""What belongs to a session that another cluster's router has: any request about it goes there, by whichever router it comes in."""

from typing import Final

import aiohttp
from aiohttp import web

from browserpool.model import elsewhere, errors, names
from browserpool.model.names import SessionId
from browserpool.router import relay, remote, services
from browserpool.router.sidecar import passing
from browserpool.router.spilling import rules, serving, sessions
from browserpool.store import everywhere, remote_sessions

DEADLINE: Final = 60.0
"""Seconds for an answer about a session."""
_OVER: Final = (404, 410)


def may(call: services.Call) -> bool:
    """Whether the session that a request names, and that is none that this installation can see, may be elsewhere."""
    request = call.request
    return (
        call.services.catalog.backed
        and names.is_session_id(request.match_info.get("session", ""))
        and not rules.has_come_through_a_router(request.headers)
    )


async def followed(call: services.Call, missing: errors.NotFound | everywhere.Unseen) -> web.StreamResponse:
    """The other router's answer.

    Raises:
        errors.NotFound, everywhere.Unseen: ``missing``: the session is not there either, or not the caller's.
        errors.Unavailable: that router cannot be reached.
    """
    session_id = SessionId(call.request.match_info["session"])
    if not all(_is_one_segment(part) for part in call.request.match_info.values()):
        raise missing
    found = await remote_sessions.get(call.services.db, session_id)
    if found is None or not call.may_use(found.pool, found.token):
        raise missing
    spec = call.services.catalog.pools.get(found.pool)
    region = spec.region(found.region) if spec is not None else None
    if region is None or region.backup_router is None:
        raise missing
    try:
        if web.WebSocketResponse().can_prepare(call.request).ok:
            return await _connected(call, found, region.backup_router)
        return await _asked(call, found, region.backup_router)
    except (serving.Unserved, errors.UpstreamFailed) as error:
        raise errors.Unavailable(f"The router that has this session cannot be asked: {error}", retry_after=1) from error


def _is_one_segment(part: str) -> bool:
    """Whether a decoded part of a path leads nowhere else when whoever stands in front of the other router decodes it, too."""
    return part not in (".", "..") and not {"/", "\\"} & set(part)


async def _connected(
    call: services.Call, found: remote_sessions.Remote, to: elsewhere.BackupRouter
) -> web.StreamResponse:
    url = rules.address(to, call.request.rel_url.raw_path, query=call.request.query)
    try:
        socket = await call.services.remote.websocket(url, headers=serving.headers(call, to))
    except aiohttp.WSServerHandshakeError as refusal:
        raise _refused(refusal.status, found.session_id) from refusal
    return await sessions.bridged(call, socket, pool=found.pool, headers={})


def _refused(status: int, session_id: SessionId) -> errors.BrowserpoolError:
    if status == 410:
        return errors.SessionOver(f"Session {session_id} is over; start another one.")
    if status == 404:
        return errors.NotFound(f"There is no session {session_id!r} of yours, or it has no such page.")
    return errors.Unavailable(f"The router that has this session answered {status}; ask again.", retry_after=1)


async def _asked(call: services.Call, found: remote_sessions.Remote, to: elsewhere.BackupRouter) -> web.StreamResponse:
    request = call.request
    url = rules.address(to, request.rel_url.raw_path, query=request.query)
    body = await request.read() if request.can_read_body else None
    async with call.services.remote.ask(
        request.method, url, headers=serving.headers(call, to), body=body, deadline=DEADLINE
    ) as answer:
        whole_path = request.path.endswith(found.session_id)
        if whole_path and (answer.status in _OVER or (request.method == "DELETE" and answer.status == 200)):
            await remote_sessions.remove(call.services.db, found.session_id)
        return await relay.passed_on(request, answer, headers=_headers(answer))


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return dict(passing.end_to_end(remote.headers_of(answer)))
