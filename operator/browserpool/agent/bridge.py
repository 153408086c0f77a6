"""A client's CDP WebSocket to Chromium's, frame by frame; Chromium's frames go undecoded, the client's are screened (``screening``).

Some of the client's are answered by ``commands``.
Each frame is written before the next is read, so whoever reads slowly slows the other side down and nothing piles up here. There is
no limit to a message: a picture of a long page is tens of MB. When either side closes, so does the other.
"""

import asyncio
import contextlib
import pathlib

import aiohttp
from aiohttp import web

from browserpool.agent import commands, screening
from browserpool.lib import tasks
from browserpool.model import errors

CONNECT_DEADLINE = 5.0
CLOSE_DEADLINE = 1.0
"""Seconds that a peer may take to answer a closing handshake."""
_PING_EVERY = 60.0
"""Seconds without a word after which a client is asked whether it is still there: a lost machine closes nothing."""

Downstream = web.WebSocketResponse[bool]
Upstream = aiohttp.ClientWebSocketResponse[bool]


def accept() -> Downstream:
    """The client's side, not yet opened."""
    return web.WebSocketResponse(
        timeout=CLOSE_DEADLINE, heartbeat=_PING_EVERY, max_msg_size=0, compress=False, decode_text=False
    )


async def connect(http: aiohttp.ClientSession, url: str) -> Upstream:
    """Chromium's side.

    Raises:
        errors.NotFound: Chromium has no such target.
        errors.BrowserLost: it does not answer.
    """
    try:
        async with asyncio.timeout(CONNECT_DEADLINE):
            return await http.ws_connect(
                url,
                max_msg_size=0,
                compress=0,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_DEADLINE),
            )
    except aiohttp.WSServerHandshakeError as error:
        raise errors.NotFound("Chromium has no such target; /json/list names those that it has.") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise errors.BrowserLost(f"Chromium does not accept a CDP connection: {error!r}") from error


async def run(
    upstream: Upstream,
    downstream: Downstream,
    *,
    desk: commands.Desk,
    downloads: pathlib.Path,
    after: "asyncio.Future[None]",
) -> None:
    """Carry frames both ways until one side closes; both are closed then, also when cancelled. The client is read ``after`` that.

    What is for ``desk`` is answered there; files go to ``downloads``, and come from there.
    """

    async def say(frame: bytes) -> None:
        await downstream.send_frame(frame, aiohttp.WSMsgType.TEXT)

    async with contextlib.aclosing(desk), tasks.Background(grace=0) as background:
        pumps = {
            background.spawn(_pump(upstream, downstream, desk), name="cdp to the client"),
            background.spawn(_screened_pump(downstream, upstream, desk, downloads, after), name="cdp to chromium"),
        }
        try:
            with desk.listening(say):
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Shielded: when Chromium dies the cancellation may come while this is under way already, and a connection that just
            # breaks off would look to the router like one to come back to.
            await tasks.finish(_end(pumps, upstream, downstream), deadline=3 * CLOSE_DEADLINE)


async def _end(pumps: "set[asyncio.Task[None]]", upstream: Upstream, downstream: Downstream) -> None:
    for pump in pumps:
        pump.cancel()
    await asyncio.wait(pumps)
    await upstream.close()
    await downstream.close(code=aiohttp.WSCloseCode.GOING_AWAY)


async def _pump(source: Upstream, sink: Downstream, desk: commands.Desk) -> None:
    while True:
        message = await source.receive()
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return
        desk.heard(message.data)
        try:
            await sink.send_frame(message.data, message.type)
        except (OSError, aiohttp.ClientError):
            return


async def _screened_pump(
    client: Downstream,
    chromium: Upstream,
    desk: commands.Desk,
    downloads: pathlib.Path,
    after: "asyncio.Future[None]",
) -> None:
    """As ``_pump``, but what must not reach Chromium is answered here, and what may reach only a part of it is changed."""
    await asyncio.wait({after})
    while True:
        message = await client.receive()
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return
        if desk.takes(message.data):
            continue
        judged = screening.judge(message.data, downloads=str(downloads))
        try:
            if judged.refusal is None:
                await chromium.send_frame(judged.frame, message.type)
            else:
                await client.send_frame(judged.refusal, aiohttp.WSMsgType.TEXT)
        except (OSError, aiohttp.ClientError):
            return
