"""Two WebSockets joined: frames pass as they come, in both directions, until either side ends or is told to.

Nothing is parsed, decoded or compressed, and no frame is too large. Backpressure is the sockets' own: a frame is read from one side
only after the one before was taken by the other.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp import web

from browserpool.model import errors

TEXT_OR_BINARY: Final = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY})
GOING_AWAY: Final = 1001
INTERNAL_ERROR: Final = 1011
CLOSE_TIMEOUT: Final = 2.0

_CLOSE: Final = b'"Browser.close"'
_SMALL: Final = 256
"""Bytes. Clients send this command bare; a frame that is larger carries something else, and is not searched."""

Upstream = aiohttp.ClientWebSocketResponse[Any]
Socket = web.WebSocketResponse[Any] | Upstream


def ask_for_websocket(request: web.Request) -> None:
    """Refuse, before anything is claimed, what is not the start of a WebSocket.

    Raises:
        errors.InvalidRequest: saying so.
    """
    if not web.WebSocketResponse().can_prepare(request).ok:
        raise errors.InvalidRequest("This address speaks WebSocket only: connect to it with ws:// or wss://.")


def accept(
    headers: Mapping[str, str], *, kind: type[web.WebSocketResponse[Any]] = web.WebSocketResponse
) -> web.WebSocketResponse[Any]:
    """The client's side, not opened yet; ``headers`` go with its opening. ``kind``: whose frames are not CDP's messages as they are."""
    client = kind(max_msg_size=0, compress=False, decode_text=False, timeout=CLOSE_TIMEOUT)
    client.headers.update(headers)
    return client


def asks_to_close(frame: bytes) -> bool:
    """Whether a client's frame tells the browser to close: the session ends with that connection."""
    return len(frame) < _SMALL and _CLOSE in frame


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What becomes of a frame: ``onward`` goes in its place, or ``back`` is its sender's answer."""

    onward: bytes | None = None
    back: bytes | None = None


Screen = Callable[[bytes], Screened]


async def pump(source: Socket, sink: Socket, *, seen: Callable[[bytes], None], screen: Screen | None = None) -> bool:
    """Pass frames on until ``source`` ends or ``sink`` takes no more; true if ``source`` said goodbye with a close frame.

    ``seen`` is called with each frame before it goes. ``screen``: only what it lets through goes.
    """
    while True:
        message = await source.receive()
        if message.type not in TEXT_OR_BINARY:
            return message.type is aiohttp.WSMsgType.CLOSE
        seen(message.data)
        try:
            if screen is None:
                await sink.send_frame(message.data, message.type)
            else:
                await _sent_on(screen(message.data), source, sink)
        except (ConnectionError, aiohttp.ClientError):
            return False


async def _sent_on(screened: Screened, source: Socket, sink: Socket) -> None:
    if screened.onward is not None:
        await sink.send_frame(screened.onward, aiohttp.WSMsgType.TEXT)
    if screened.back is not None:
        await source.send_frame(screened.back, aiohttp.WSMsgType.TEXT)


async def join(
    client: web.WebSocketResponse[Any],
    upstream: Upstream,
    *,
    sent: Callable[[bytes], None],
    received: Callable[[bytes], None],
    goodbye: Callable[[], None],
    told: Sequence[tuple[asyncio.Event, Callable[[], tuple[int, str]]]],
    screen: Screen | None = None,
) -> None:
    """Bridge the two until one ends.

    ``goodbye`` is called if it was ``upstream``, and on purpose: at once, since the client may break off while it is told.
    ``told``: events that end it too, each with the close code and reason for the client. ``screen``: judges what the client sends.
    """
    async with asyncio.TaskGroup() as group:
        down = group.create_task(pump(upstream, client, seen=received))
        up = group.create_task(pump(client, upstream, seen=sent, screen=screen))
        watched = {group.create_task(event.wait()): say for event, say in told}
        try:
            done, _ = await asyncio.wait({down, up, *watched}, return_when=asyncio.FIRST_COMPLETED)
            if down in done and down.exception() is None and down.result():
                goodbye()
            if up not in done:
                # Nobody else may be reading: only then does closing wait for the client's own goodbye, so that a client in the midst
                # of sending still gets to read the reason.
                up.cancel()
                await asyncio.wait({up})
                await _close(client, *_farewell(upstream, done, watched))
        finally:
            for task in (down, up, *watched):
                task.cancel()


def _farewell(
    upstream: Upstream,
    done: set["asyncio.Task[Any]"],
    watched: dict["asyncio.Task[Any]", Callable[[], tuple[int, str]]],
) -> tuple[int, str]:
    """What the client is told."""
    for task, say in watched.items():
        if task in done:
            return say()
    if upstream.close_code in (1000, 1001):
        return upstream.close_code, "the browser closed the connection"
    return INTERNAL_ERROR, "the browser went away"


async def _close(client: web.WebSocketResponse[Any], code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            # 123 bytes is what a close frame can carry beside its code.
            await client.close(code=code, message=reason.encode()[:123])
    except (TimeoutError, ConnectionError):
        return


async def hang_up(upstream: Upstream) -> None:
    """Close a connection that nobody uses any more; does not wait long."""
    with contextlib.suppress(TimeoutError, ConnectionError, aiohttp.ClientError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await upstream.close()
