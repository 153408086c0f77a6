"""What belongs to a session that another cluster's router has: any request about it goes there, by whichever router it comes in."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
from aiohttp import web

from browserpool.model import elsewhere, errors, names
from browserpool.model.names import SessionId
from browserpool.router import relay, remote, services
from browserpool.router.sidecar import passing
from browserpool.router.spilling import rules, serving, sessions
from browserpool.store import everywhere, remote_sessions

log = logging.getLogger(__name__)

DEADLINE: Final = 60.0
"""Seconds for an answer about a session."""

Missing = errors.NotFound | everywhere.Unseen
"""Why a session is none of this installation's."""


async def followed(call: services.Call, missing: Missing) -> web.StreamResponse:
    """The other router's answer about the session that the path names.

    Raises:
        errors.NotFound, everywhere.Unseen: ``missing``: the path names no session, or one that is not there either, or not the caller's.
        errors.Unavailable: that router cannot be reached.
    """
    request = call.request
    if not all(_is_one_segment(part) for part in request.match_info.values()):
        raise missing
    found, to = await _whereabouts(call, SessionId(request.match_info.get("session", "")), missing)
    with _reachable():
        if web.WebSocketResponse().can_prepare(request).ok:
            return await _connected(call, found, rules.address(to, request.rel_url.raw_path, query=request.query), to)
        return await _asked(call, found, to)


async def connected(
    call: services.Call, session_id: SessionId, missing: Missing, *, kind: type[web.WebSocketResponse[Any]]
) -> web.StreamResponse:
    """A connection to a session that something else than the path names, for a client of that ``kind``. Raises as ``followed``."""
    found, to = await _whereabouts(call, session_id, missing)
    with _reachable():
        # Not the client's own query: of two names in it, the other router might heed the one that nobody has looked at here.
        url = rules.address(to, sessions.path(found.session_id), query={})
        return await _connected(call, found, url, to, kind=kind)


async def _whereabouts(
    call: services.Call, session_id: SessionId, missing: Missing
) -> tuple[remote_sessions.Remote, elsewhere.BackupRouter]:
    """What is remembered of the caller's session, and the router that has it; raises ``missing`` if nothing is."""
    if not names.is_session_id(session_id) or rules.has_come_through_a_router(call.request.headers):
        raise missing
    # Whatever the list of pools says, which may be older than the session: this asks for one row by its key, as the miss itself has.
    found = await remote_sessions.get(call.services.db, session_id)
    if found is None or not call.may_use(found.pool, found.token):
        raise missing
    to = await call.services.catalog.backup_after_all(found.pool, found.region)
    if to is None:
        raise missing
    return found, to


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Raises errors.Unavailable where the other router cannot be asked."""
    try:
        yield
    except (serving.Unserved, errors.UpstreamFailed) as error:
        raise errors.Unavailable(f"The router that has this session cannot be asked: {error}", retry_after=1) from error


def _is_one_segment(part: str) -> bool:
    """Whether a decoded part of a path leads nowhere else when whoever stands in front of the other router decodes it, too."""
    return part not in (".", "..") and not {"/", "\\"} & set(part)


async def _connected(
    call: services.Call,
    found: remote_sessions.Remote,
    url: str,
    to: elsewhere.BackupRouter,
    *,
    kind: type[web.WebSocketResponse[Any]] = web.WebSocketResponse,
) -> web.StreamResponse:
    try:
        socket = await call.services.remote.websocket(url, headers=serving.headers(call, to))
    except aiohttp.WSServerHandshakeError as refusal:
        raise _refused(refusal.status, found.session_id) from refusal
    return await sessions.bridged(call, socket, pool=found.pool, headers={}, kind=kind)


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
        if rules.keeps_out(answer.status):
            log.warning(
                "another cluster's router refuses; see the region's backupRouter",
                extra={"url": to.url, "status": answer.status},
            )
            raise serving.Unserved(rules.Said.REFUSED, f"it answered {answer.status}")
        whole_path = request.path.endswith(found.session_id)
        # Not when it is 404 there: that may be a proxy's word, whose router starts anew.
        if whole_path and (answer.status == 410 or (request.method == "DELETE" and answer.status == 200)):
            await remote_sessions.remove(call.services.db, found.session_id)
        return await relay.passed_on(request, answer, headers=_headers(answer))


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return dict(passing.end_to_end(remote.headers_of(answer)))
