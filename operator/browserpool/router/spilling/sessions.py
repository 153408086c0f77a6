"""A CDP session at another cluster's router: made there, remembered here, and connected to by this router."""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from browserpool import metrics
from browserpool.model import elsewhere, errors, names
from browserpool.model.names import PoolName, SessionId
from browserpool.router import bridge, remote, services, target
from browserpool.router.spilling import rules, serving
from browserpool.store import remote_sessions

log = logging.getLogger(__name__)

DEADLINE: Final = 30.0
"""Seconds for a session to be made: nobody waits for a browser there."""
END_DEADLINE: Final = 10.0
_MOST: Final = 1024 * 1024
"""Bytes of what is said about a session."""
_PATH: Final = "/devtools/browser"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A session there. ``answer``: what its maker was told; ``headers``: of the browser, for the client."""

    session_id: SessionId
    answer: Mapping[str, Any]
    headers: Mapping[str, str]
    pool: PoolName
    to: elsewhere.BackupRouter


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One that is connected to."""

    session: Created
    socket: bridge.Upstream


async def created(call: services.Call, wanted: target.Target, to: elsewhere.BackupRouter) -> Created:
    """A session, which every router of this installation finds from now on.

    Raises:
        serving.Unserved: it gave none.
        errors.BrowserLost: it went away before it could say.
        errors.Unavailable: the store cannot remember it.
    """
    request = call.request
    body = await request.read() if request.can_read_body else b""
    headers = serving.headers(call, to)
    serving.enter(call, to)
    # Only its answer says which session it is: it is awaited though the client may have left, so that the session can be ended.
    made = await call.services.background.to_its_end(
        _made(call, wanted, to, headers=headers, body=body),
        unwanted=lambda session: end(call, session),
        name="make a session at another cluster's router",
    )
    try:
        owner = remote_sessions.Remote(
            session_id=made.session_id,
            pool=wanted.pool,
            region=wanted.request.region,
            token=call.token.name,
        )
        await remote_sessions.put(call.services.db, owner)
    except BaseException:  # nobody could find it again, whatever the reason
        end(call, made)
        raise
    return made


async def _made(
    call: services.Call, wanted: target.Target, to: elsewhere.BackupRouter, *, headers: Mapping[str, str], body: bytes
) -> Created:
    url = rules.address(to, _PATH, query=call.request.query, pool=wanted.pool)
    try:
        async with call.services.remote.ask("POST", url, headers=headers, body=body, deadline=DEADLINE) as answer:
            await serving.check(call, to, answer)
            said = await remote.whole(answer, most=_MOST)
            return _created(said, answer.status, remote.headers_of(answer), wanted, to)
    except errors.UpstreamFailed as error:
        raise serving.away(call, to, error) from error


def _created(
    body: bytes, status: int, headers: Mapping[str, str], wanted: target.Target, to: elsewhere.BackupRouter
) -> Created:
    try:
        said = orjson.loads(body)
        session_id = SessionId(str(said["sessionId"]))
    except (ValueError, LookupError, TypeError) as error:
        raise serving.Unserved("refused", f"{to.url} answered {status}, with no sessionId") from error
    if not names.is_session_id(session_id):
        raise serving.Unserved("refused", f"{to.url} answered {status}, with a sessionId that is none")
    return Created(
        session_id=session_id,
        answer=said,
        headers={**rules.about_the_browser(headers, pool=wanted.pool), "X-Browserpool-Session": session_id},
        pool=wanted.pool,
        to=to,
    )


async def opened(call: services.Call, wanted: target.Target, to: elsewhere.BackupRouter) -> Opened:
    """A session, and a connection to it. Raises as ``created``."""
    made = await created(call, wanted, to)
    try:
        url = rules.address(to, path(made.session_id), query={})
        socket = await call.services.remote.websocket(url, headers=serving.headers(call, to))
    except BaseException as error:  # whatever kept it from being used, a client that left too
        end(call, made)
        if isinstance(error, aiohttp.WSServerHandshakeError):
            raise serving.Unserved("refused", f"{to.url} answered {error.status} to a WebSocket") from error
        if isinstance(error, errors.UpstreamFailed):
            serving.was_not_reached(call, to, error)
            raise serving.Unserved("away", error.message) from error
        raise
    return Opened(session=made, socket=socket)


def path(session_id: SessionId) -> str:
    """Where a router has a session: to connect to, and to end."""
    return f"{_PATH}/{session_id}"


def end(call: services.Call, session: Created) -> None:
    """End it in the background; if that fails, its idleness ends it."""
    url = rules.address(session.to, path(session.session_id), query={})

    async def told() -> None:
        try:
            headers = serving.headers(call, session.to)
            async with call.services.remote.ask("DELETE", url, headers=headers, deadline=END_DEADLINE) as answer:
                await remote.whole(answer, most=_MOST)
            await remote_sessions.remove(call.services.db, session.session_id)
        except (serving.Unserved, errors.UpstreamFailed, errors.Unavailable) as error:
            log.info("a session elsewhere could not be ended", extra={"why": str(error)})

    call.services.background.spawn(told(), name="end a session at another cluster's router")


async def bridged(
    call: services.Call,
    socket: bridge.Upstream,
    *,
    pool: PoolName,
    headers: Mapping[str, str],
    most: float | None = None,
    kind: type[web.WebSocketResponse[Any]] = web.WebSocketResponse,
) -> web.StreamResponse:
    """Join client and browser until one of them ends, or for ``most`` seconds. ``kind``: as of ``bridge.accept``.

    Whether the session ends with it is for the other router to see.
    """
    client, gauge = bridge.accept(headers, kind=kind), metrics.SESSIONS_OPEN.labels(pool)
    over, timer = asyncio.Event(), None
    gauge.inc()
    try:
        if most is not None:
            timer = asyncio.get_running_loop().call_later(most, over.set)
        await client.prepare(call.request)
        stopping = "this router is stopping; reconnect to the session by its id"
        await bridge.join(
            client,
            socket,
            sent=_unseen,
            received=_unseen,
            goodbye=lambda: None,
            told=(
                (over, lambda: (bridge.GOING_AWAY, "the session's time is over")),
                (call.services.cdp_stopping, lambda: (bridge.GOING_AWAY, stopping)),
            ),
        )
    except Exception as error:  # it is a WebSocket by now: nothing can be answered, so it ends and the log says why
        if not client.prepared:
            raise
        log.warning("a CDP connection to another cluster broke", extra={"pool": pool, "why": repr(error)})
    finally:
        gauge.dec()
        if timer is not None:
            timer.cancel()
        call.services.background.spawn(bridge.hang_up(socket), name="close a connection to another cluster")
    return client


def _unseen(_: bytes) -> None:
    return None
