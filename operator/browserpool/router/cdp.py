"""CDP over WebSocket: claim and connect, reconnect, one page.

A client that goes away leaves its session open for ``keep_alive``. A session ends when it was idle for so long, when it is deleted, or
when its browser closes the connection (``Browser.close``).
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from aiohttp import web

from browserpool import metrics
from browserpool.lib import chance
from browserpool.model import claims, errors, names, outcomes, terms
from browserpool.router import actions, binding, bridge, holding, lookup, services, target, waiting
from browserpool.router.moving import connecting, serving
from browserpool.router.spilling import serving as spilling
from browserpool.router.spilling import sessions as beyond
from browserpool.store import sessions

log = logging.getLogger(__name__)


async def launch(call: services.Call) -> web.StreamResponse:
    """WS …/devtools/browser: claim a browser and connect to it."""
    bridge.ask_for_websocket(call.request)
    return await launched(call, await call.wanted(claims.SessionKind.CDP, terms=await terms_of(call)))


async def launched(call: services.Call, wanted: target.Target, *, once: bool = False) -> web.StreamResponse:
    """Claim what is wanted and connect to it. ``once``: the session ends with this connection, and is not to be reconnected."""
    if wanted.spec.upstream is not None:
        return await _moving(call, wanted, once=once)
    async with counted(call) as count:
        with call.services.outcomes.timed(wanted.pool, outcomes.CDP):
            browser = await _browser(call, wanted)
        if isinstance(browser, beyond.Opened):
            return await _bridged_beyond(call, wanted, browser, once=once)
        held, socket = browser
        count(held)
    return await _launched(call, wanted, held, socket, once=once)


async def _browser(
    call: services.Call, wanted: target.Target, patience: waiting.Patience | None = None
) -> tuple[holding.Held, bridge.Upstream] | beyond.Opened:
    """A browser of the region's, or of another cluster's where the region has none."""

    async def here(patience: waiting.Patience | None) -> tuple[holding.Held, bridge.Upstream] | beyond.Opened:
        return await call.services.claiming.engage(wanted, lambda held: dial(call, held), patience=patience)

    return await spilling.served(
        call, wanted, patience=patience, here=here, there=lambda router: beyond.opened(call, wanted, router)
    )


async def _bridged_beyond(
    call: services.Call, wanted: target.Target, browser: beyond.Opened, *, once: bool
) -> web.StreamResponse:
    session = browser.session
    # A session that outlives its connection has the length that its own pool gives it.
    most = wanted.request.max_lifetime if once else None
    try:
        return await beyond.bridged(call, browser.socket, pool=session.pool, headers=session.headers, most=most)
    finally:
        if once:
            beyond.end(call, browser.session)


async def _launched(
    call: services.Call, wanted: target.Target, held: holding.Held, socket: bridge.Upstream, *, once: bool
) -> web.StreamResponse:
    held.asked_to_close = once
    return await serve(call, held, socket, headers=actions.browser_headers(wanted, held))


async def _moving(call: services.Call, wanted: target.Target, *, once: bool) -> web.StreamResponse:
    """The same, of a pool that takes over from another system: a browser of either."""

    async def elsewhere() -> connecting.Opened:
        return await connecting.opened(call, wanted)

    async def here(patience: waiting.Patience | None) -> tuple[holding.Held, bridge.Upstream] | beyond.Opened:
        return await _browser(call, wanted, patience)

    sides: serving.Sides[tuple[holding.Held, bridge.Upstream] | beyond.Opened | connecting.Opened] = serving.Sides(
        pool=here, upstream=elsewhere if connecting.can(wanted) else None, failed=lambda _: False
    )
    async with counted(call) as count:
        browser = await serving.served(call, wanted, outcomes.CDP, sides)
        if isinstance(browser, connecting.Opened):
            return await connecting.bridged(call, wanted, browser)
        if isinstance(browser, beyond.Opened):
            return await _bridged_beyond(call, wanted, browser, once=once)
        held, socket = browser
        count(held)
    return await _launched(call, wanted, held, socket, once=once)


async def reconnect(call: services.Call) -> web.StreamResponse:
    """WS …/devtools/browser/{session}: the session again, or once more."""
    bridge.ask_for_websocket(call.request)
    held = await lookup.mine(call)
    return await serve(call, held, await dial(call, held))


async def page(call: services.Call) -> web.StreamResponse:
    """WS …/devtools/browser/{session}/page/{target}: one page of the session."""
    bridge.ask_for_websocket(call.request)
    held = await lookup.mine(call)
    target = call.request.match_info["target"]
    return await serve(call, held, await dial(call, held, target), whole=False)


async def any_page(call: services.Call) -> web.StreamResponse:
    """WS /devtools/page/{target}: Chrome's own address; whichever of the caller's sessions has that page."""
    bridge.ask_for_websocket(call.request)
    target = call.request.match_info["target"]
    for held in await lookup.all_mine(call) if names.is_target_id(target) else ():
        with contextlib.suppress(errors.NotFound, errors.BrowserLost):
            return await serve(call, held, await dial(call, held, target), whole=False)
    raise errors.NotFound(f"None of your sessions has a page {target[:64]!r}.")


async def terms_of(call: services.Call) -> terms.Terms:
    """What the request asks its new session to be bound to.

    Raises:
        errors.InvalidRequest: a bound that cannot be kept to.
    """
    request = call.request
    body = await request.read() if request.can_read_body else b""
    recordings = call.services.settings.recordings
    return binding.wished(body=body, headers=request.headers, query=request.query, recordings=recordings)


@contextlib.asynccontextmanager
async def counted(call: services.Call) -> AsyncIterator[Any]:
    """Count one session of the caller's: yields a function that hands the count to the session. Left without it, nothing is counted.

    Raises:
        errors.TooManyRequests: over the token's rate, concurrency or browser time.
    """
    token, quotas = call.token, call.services.quotas
    quotas.admit(token)
    await call.enter()
    handed = False

    def hand(held: holding.Held) -> None:
        nonlocal handed
        handed = held.counted = True

    try:
        yield hand
    finally:
        if not handed:
            quotas.leave(token.name)


async def dial(call: services.Call, held: holding.Held, target: str | None = None) -> bridge.Upstream:
    """A connection to a session's browser, or to one page of it.

    Raises:
        errors.BrowserLost: the session's browser cannot be reached, or does not know the session any more.
    """
    return await call.services.agents.cdp(held.party, target, base=call.origin)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A connection of somebody who looks: only what ``is_use`` keeps the session, and only what ``screen`` lets through is sent."""

    is_use: Callable[[bytes], bool]
    screen: bridge.Screen | None = None


async def serve(
    call: services.Call,
    held: holding.Held,
    upstream: bridge.Upstream,
    *,
    whole: bool = True,
    view: View | None = None,
    headers: dict[str, str] | None = None,
    kind: type[web.WebSocketResponse[Any]] = web.WebSocketResponse,
) -> web.StreamResponse:
    """Bridge client and browser until one of them ends.

    ``whole``: the browser's own connection, with which the session ends too. ``view``: somebody looks; else, somebody drives.
    """
    client = bridge.accept(headers or {}, kind=kind)
    claiming = call.services.claiming
    claiming.holding.add(held)
    if view is None:
        held.touch()
    ended = asyncio.Event()
    with _connected(held), _recorded(call.services, held) if view is None else contextlib.nullcontext():
        try:
            await client.prepare(call.request)
            await _bridged(call, held, client, upstream, view=view, goodbye=ended.set)
        except Exception as error:  # it is a WebSocket by now: nothing can be answered, so it ends and the log says why
            if not client.prepared:
                raise
            log.warning("a CDP connection broke", extra={"session": held.session_id, "why": repr(error)})
        finally:
            call.services.background.spawn(bridge.hang_up(upstream), name="close a connection to an agent")
            if whole and (ended.is_set() or held.asked_to_close) and not held.over.is_set() and not held.ending:
                claiming.release(held)
    return client


async def _bridged(
    call: services.Call,
    held: holding.Held,
    client: web.WebSocketResponse[Any],
    upstream: bridge.Upstream,
    *,
    view: View | None,
    goodbye: Callable[[], None],
) -> None:
    def sent(frame: bytes) -> None:
        if view is None or view.is_use(frame):
            held.active = True
        if bridge.asks_to_close(frame) and (view is None or view.screen is None):
            held.asked_to_close = True

    def received(_: bytes) -> None:
        if view is None:
            held.active = True

    stopping = "this router is stopping; reconnect to the session by its id"
    await bridge.join(
        client,
        upstream,
        sent=sent,
        received=received,
        goodbye=goodbye,
        screen=None if view is None else view.screen,
        told=(
            (held.over, lambda: (bridge.GOING_AWAY, held.why_over)),
            (call.services.cdp_stopping, lambda: (bridge.GOING_AWAY, stopping)),
        ),
    )


@contextlib.contextmanager
def _connected(held: holding.Held) -> Iterator[None]:
    gauge = metrics.SESSIONS_OPEN.labels(held.pool)
    gauge.inc()
    held.connections += 1
    try:
        yield
    finally:
        held.connections -= 1
        gauge.dec()


@contextlib.contextmanager
def _recorded(parts: services.Services, held: holding.Held) -> Iterator[None]:
    """The session's row says who is connected, for its list and its history. The client never waits for it."""
    fence, connection_id = held.party.fence, chance.unique_id()

    async def begun() -> None:
        with contextlib.suppress(errors.Unavailable):
            await sessions.connected(
                parts.databases.of(held.database), held.session_id, fence=fence, connection_id=connection_id
            )

    async def ended(after: "asyncio.Task[None]") -> None:
        await asyncio.wait({after})
        with contextlib.suppress(errors.Unavailable):
            await sessions.disconnected(
                parts.databases.of(held.database), held.session_id, fence=fence, connection_id=connection_id
            )

    beginning = parts.background.spawn(begun(), name="record a connection")
    try:
        yield
    finally:
        parts.background.spawn(ended(beginning), name="record a connection's end")
