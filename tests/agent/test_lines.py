"""The CDP connection that is made ahead."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from browserpool.agent import lines
from browserpool.lib import web as server
from browserpool.model import errors
from support import waiting


@dataclasses.dataclass(eq=False)
class Child:
    address: str


@dataclasses.dataclass
class Keeper:
    child: Child | None = None


@dataclasses.dataclass
class Chrome:
    """What counts its connections, and says which of them a message came by."""

    address: str = ""
    made: int = 0
    open: int = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.made += 1
        self.open += 1
        number = self.made
        try:
            async for _ in socket:
                await socket.send_str(str(number))
        finally:
            self.open -= 1
        return socket


@pytest.fixture
async def chrome() -> AsyncIterator[Chrome]:
    made = Chrome()
    app = web.Application()
    app.router.add_get("/devtools/browser/b", made.serve)
    async with server.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        made.address = f"ws://{address}/devtools/browser/b"
        yield made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def by(socket: lines.bridge.Upstream) -> str:
    await socket.send_str("which?")
    message = await socket.receive(timeout=10)
    return message.data.decode() if isinstance(message.data, bytes) else message.data


async def test_what_was_made_ahead_is_taken_once(chrome: Chrome, http: aiohttp.ClientSession) -> None:
    child = Child(chrome.address)
    line = lines.Line(http=http, keeper=Keeper(child))
    await line.renew()
    await line.renew()
    assert chrome.made == 1
    first, second = await line.upstream(child), await line.upstream(child)
    assert [await by(first), await by(second)] == ["1", "2"]
    for socket in (first, second):
        await socket.close()


async def test_one_to_a_chromium_that_is_gone_is_nobodys(chrome: Chrome, http: aiohttp.ClientSession) -> None:
    keeper = Keeper(Child(chrome.address))
    line = lines.Line(http=http, keeper=keeper)
    await line.renew()
    keeper.child = fresh = Child(chrome.address)
    socket = await line.upstream(fresh)
    assert await by(socket) == "2"
    await waiting.until(lambda: chrome.open == 1)
    await line.renew()
    keeper.child = None
    await line.renew()
    await waiting.until(lambda: (chrome.made, chrome.open) == (3, 1))
    await socket.close()


async def test_where_none_can_be_made_the_client_is_told(http: aiohttp.ClientSession) -> None:
    nowhere = Child("ws://127.0.0.1:1/devtools/browser/b")
    line = lines.Line(http=http, keeper=Keeper(nowhere))
    await line.renew()
    with pytest.raises(errors.BrowserLost):
        await line.upstream(nowhere)


async def test_nothing_is_left_open(chrome: Chrome, http: aiohttp.ClientSession) -> None:
    line = lines.Line(http=http, keeper=Keeper(Child(chrome.address)))
    async with contextlib.AsyncExitStack() as stack:
        background = await stack.enter_async_context(lines.tasks.Background(grace=0))
        background.spawn(line.keep(), name="ahead")
        await waiting.until(lambda: chrome.open == 1)
    await waiting.until(lambda: chrome.open == 0)
