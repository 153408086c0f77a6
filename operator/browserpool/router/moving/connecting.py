"""CDP at an upstream: a browser there, whose frames pass through this router. The session ends with its connection.

Nothing of it stands in the store: it is in no list, and cannot be connected to again. Its idleness and its length are bounded here as the
pool's spec bounds sessions of its own.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import elsewhere, errors, terms
from browserpool.router import bridge, remote, services, target
from browserpool.router.moving import addresses, asking, browserless

log = logging.getLogger(__name__)

CREATE_DEADLINE: Final = 45.0
"""Seconds for an upstream to give a session: it may have a queue of its own."""
VERSION_DEADLINE: Final = 10.0
END_DEADLINE: Final = 10.0
_MOST: Final = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a session at an upstream is to be ended, and the headers that it was made with."""

    url: str
    upstream: elsewhere.Upstream
    headers: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection to a browser of the upstream's. ``headers``: what its client is told; ``end``: its session does not end with it."""

    socket: bridge.Upstream
    headers: Mapping[str, str]
    end: End | None = None


def can(wanted: target.Target) -> bool:
    """Whether the upstream can be asked: nothing binds its browsers to guardrails, and nothing records them."""
    return wanted.request.terms == terms.NONE


async def opened(call: services.Call, wanted: target.Target) -> Opened:
    """A connection to a fresh browser there.

    Raises:
        errors.BrowserpoolError: it has none, cannot be reached, or does not know what it is asked.
    """
    upstream = wanted.spec.upstream
    assert upstream is not None, "asked of one"
    headers = asking.authorized(call, upstream)
    match upstream.kind:
        case elsewhere.UpstreamKind.CLOUDFLARE:
            return await _created(call, wanted, upstream, headers)
        case elsewhere.UpstreamKind.CDP:
            url = await _chrome(call, upstream, headers)
        case elsewhere.UpstreamKind.BROWSERLESS:
            most = wanted.request.max_lifetime
            query = {} if most is None else {"timeout": f"{most * 1000:.0f}"}
            url = addresses.launch(upstream.url, query=query)
    socket = await _connected(call, url, headers)
    return Opened(socket=socket, headers=asking.who_served({}, wanted))


async def _created(
    call: services.Call, wanted: target.Target, upstream: elsewhere.Upstream, headers: Mapping[str, str]
) -> Opened:
    """A session of Cloudflare's API, made before it is connected to: only so is it known what to end."""
    background = call.services.background

    def unused(made: _Made) -> None:
        background.spawn(_ended(call, made.end), name="end a session at an upstream")

    # It goes on though the client may have left: nobody else would know of the session.
    made = await background.to_its_end(
        _made(call, wanted, upstream, headers), unwanted=unused, name="make a session at an upstream"
    )
    try:
        at = addresses.connection(upstream.url, made.session_id)
        return Opened(socket=await _connected(call, at, headers), headers=made.headers, end=made.end)
    except BaseException:  # whatever kept it from being used, a client that left too
        unused(made)
        raise


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    session_id: str
    headers: Mapping[str, str]
    end: End


async def _made(
    call: services.Call, wanted: target.Target, upstream: elsewhere.Upstream, headers: Mapping[str, str]
) -> _Made:
    query = addresses.passed_on(call.request.query, only=frozenset({"keep_alive"}))
    url = addresses.sessions(upstream.url, query=query)
    async with call.services.remote.ask("POST", url, headers=headers, deadline=CREATE_DEADLINE) as answer:
        if answer.status != 200:
            raise await asking.refusal(answer)
        session_id = _said(await remote.whole(answer, most=_MOST), "sessionId")
        end = End(url=addresses.session(upstream.url, session_id), upstream=upstream, headers=headers)
        return _Made(session_id=session_id, headers=asking.who_served(remote.headers_of(answer), wanted), end=end)


async def _chrome(call: services.Call, upstream: elsewhere.Upstream, headers: Mapping[str, str]) -> str:
    at = addresses.version(upstream.url)
    if at is None:
        return upstream.url
    async with call.services.remote.ask("GET", at, headers=headers, deadline=VERSION_DEADLINE) as answer:
        if answer.status != 200:
            raise await asking.refusal(answer)
        return addresses.browser(upstream.url, _said(await remote.whole(answer, most=_MOST), "webSocketDebuggerUrl"))


def _said(text: bytes, name: str) -> str:
    try:
        return str(orjson.loads(text)[name])
    except (ValueError, LookupError, TypeError) as error:
        raise errors.UpstreamFailed(f"The upstream's answer has no {name}: see its kind.") from error


async def _connected(call: services.Call, url: str, headers: Mapping[str, str]) -> bridge.Upstream:
    try:
        return await call.services.remote.websocket(url, headers=headers)
    except aiohttp.WSServerHandshakeError as refusal:
        raise browserless.refused(refusal.status, "to a WebSocket's opening") from refusal


# ---------------------------------------------------------------- the connection


class _Bounds:
    """When a session is over that nobody else ends. Times in seconds."""

    def __init__(self, *, idle: float, most: float | None, now: clock.Monotonic) -> None:
        self._idle, self._now = idle, now
        self._used = now()
        self._end = None if most is None else self._used + most
        self.over = asyncio.Event()

    def touch(self, _: bytes) -> None:
        """A frame passed."""
        self._used = self._now()

    async def watch(self) -> None:
        """Until it is over."""
        while (left := self._left()) > 0:  # noqa: ASYNC110 - an end moves with each frame, and a frame is not to pay for telling
            await asyncio.sleep(left)
        self.over.set()

    def _left(self) -> float:
        ends = self._used + self._idle
        return (ends if self._end is None else min(ends, self._end)) - self._now()


async def bridged(
    call: services.Call, wanted: target.Target, browser: Opened, *, now: clock.Monotonic = clock.monotonic
) -> web.StreamResponse:
    """Join client and browser until one of them ends, or the session's time is over."""
    client = bridge.accept(browser.headers)
    bounds = _Bounds(idle=wanted.request.keep_alive, most=wanted.request.max_lifetime, now=now)
    gauge = metrics.SESSIONS_OPEN.labels(wanted.pool)
    gauge.inc()
    try:
        await client.prepare(call.request)
        await _joined(call, client, browser, bounds)
    except Exception as error:  # it is a WebSocket by now: nothing can be answered, so it ends and the log says why
        if not client.prepared:
            raise
        log.warning("a CDP connection to an upstream broke", extra={"pool": wanted.pool, "why": repr(error)})
    finally:
        gauge.dec()
        background = call.services.background
        background.spawn(bridge.hang_up(browser.socket), name="close a connection to an upstream")
        if browser.end is not None:
            background.spawn(_ended(call, browser.end), name="end a session at an upstream")
    return client


async def _joined(call: services.Call, client: web.WebSocketResponse[Any], browser: Opened, bounds: _Bounds) -> None:
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(bounds.watch())
        await bridge.join(
            client,
            browser.socket,
            sent=bounds.touch,
            received=bounds.touch,
            goodbye=lambda: None,
            told=(
                (bounds.over, lambda: (bridge.GOING_AWAY, "the session was idle for too long, or its time is over")),
                (call.services.cdp_stopping, lambda: (bridge.GOING_AWAY, "this router is stopping")),
            ),
        )
        watch.cancel()


async def _ended(call: services.Call, end: End) -> None:
    """End a session there. If that fails, its idleness ends it."""
    headers = _newest(call, end)
    try:
        async with call.services.remote.ask("DELETE", end.url, headers=headers, deadline=END_DEADLINE) as answer:
            if answer.status not in (200, 404, 410):
                log.info("an upstream would not end a session", extra={"status": answer.status})
    except errors.UpstreamFailed as error:
        log.info("an upstream could not be told of an end", extra={"why": error.message})


def _newest(call: services.Call, end: End) -> Mapping[str, str]:
    """The token may be another one by now; where its file is gone, the one that the session was made with may still do."""
    try:
        return asking.authorized(call, end.upstream)
    except errors.UpstreamFailed as error:
        log.info("an upstream's token cannot be read again", extra={"why": error.message})
        return end.headers
