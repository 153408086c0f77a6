"""An answer does not wait until its page is cleared away; its session does.

The agent runs in the test's own process, where clearing can be held up.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest

from browserpool.agent import actions, app, browser, launch, settings
from browserpool.lib import plain, tasks
from browserpool.model import agentapi
from support import agents, pages, waiting

TOKEN = agents.token(agents.FIRST_FENCE + 1)
CONTENT = "/v1/actions/content"


def page(times: int) -> bytes:
    """The body for a page that is longer than the body."""
    return orjson.dumps({"html": f"<script>document.write('a long page '.repeat({times}))</script>"})


@dataclasses.dataclass(kw_only=True)
class Held:
    """An agent at ``address``. ``clearing`` is set while a context is to be disposed of, which waits until ``go`` is set."""

    address: str
    http: aiohttp.ClientSession
    clearing: asyncio.Event
    go: asyncio.Event
    browsers: list[browser.Browser]
    """Of the contexts that were to be disposed of."""

    async def end(self) -> bool:
        """END the session, over a connection of its own that has not to wait for the action's; whether the browser is clean."""
        async with aiohttp.ClientSession() as http, self.post(agentapi.END, http=http) as answer:
            return bool(orjson.loads(await answer.read())[agentapi.CLEAN])

    def post(self, path: str, body: bytes = b"", *, http: aiohttp.ClientSession | None = None):
        return (http or self.http).post(f"http://{self.address}{path}", data=body, headers=agents.bearer(TOKEN))


@pytest.fixture
async def held(router: agents.Router, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    clearing, go = asyncio.Event(), asyncio.Event()
    dispose, seen = browser.Browser.dispose, []

    async def held_up(self: browser.Browser, context_id: str) -> None:
        seen.append(self)
        clearing.set()
        await go.wait()
        await dispose(self, context_id)

    monkeypatch.setattr(browser.Browser, "dispose", held_up)
    wanted = plain.from_environment(settings.AgentSettings, agents.environment(router, base=tmp_path))
    stop = asyncio.Event()
    agent = app.run(wanted, ahead=launch.ahead(wanted), stop=stop)
    async with tasks.beside(agent, name="agent") as running:
        await waiting.until(lambda: any(beat["healthy"] for beat in router.heartbeats), deadline=30)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
            yield Held(address=router.hellos[-1]["address"], http=http, clearing=clearing, go=go, browsers=seen)
        go.set()
        stop.set()
        assert await asyncio.wait_for(running, 30) is app.Exit.DONE


async def test_an_answer_comes_before_its_page_is_gone_and_the_end_after(held: Held) -> None:
    async with held.post(CONTENT, page(10)) as answer:
        assert (answer.status, "a long page" in await answer.text()) == (200, True)
    await asyncio.wait_for(held.clearing.wait(), 10)
    async with tasks.beside(held.end(), name="end") as end:
        done, _ = await asyncio.wait({end}, timeout=0.5)
        assert not done, "the browser is not clean while its page is there"
        held.go.set()
        assert await end is True


async def test_a_session_that_ends_meanwhile_takes_nothing_of_a_long_answer(held: Held) -> None:
    times = 2_000_000  # more than sockets take: it is on its way until somebody reads it
    async with held.post(CONTENT, page(times)) as answer:
        await asyncio.wait_for(held.clearing.wait(), 10)
        async with tasks.beside(held.end(), name="end") as end:
            # Given the time to come to the agent, which stops what works for the session.
            await asyncio.wait({end}, timeout=0.5)
            held.go.set()
            assert await end is True
        assert (await answer.text()).count("a long page ") >= times
    assert answer.status == 200


async def test_nor_does_it_answer_a_second_time(held: Held) -> None:
    host, _, port = held.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request(page(10)))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert b"a long page" in await asyncio.wait_for(reader.readexactly(length), 30)
        async with tasks.beside(held.end(), name="end") as end:
            await asyncio.wait({end}, timeout=0.5)
            held.go.set()
            assert await end is True
        writer.write(request(page(10), "Connection: close\r\n"))
        rest = await asyncio.wait_for(reader.read(-1), 30)
        assert (rest.count(b"HTTP/1.1 "), rest[:12]) == (1, b"HTTP/1.1 409")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def request(body: bytes, more: str = "") -> bytes:
    head = f"POST {CONTENT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


async def test_a_client_that_leaves_does_not_keep_the_next_page_from_being_made(held: Held) -> None:
    host, _, port = held.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(page(2_000_000)))
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    await asyncio.wait_for(held.clearing.wait(), 10)
    writer.transport.abort()
    held.go.set()
    [browsing] = held.browsers
    await waiting.until(lambda: browsing._ready is not None, deadline=20)
    assert await held.end() is True


async def test_a_cdp_client_sees_no_page_that_is_made_for_the_next_action(held: Held) -> None:
    """The answer of an earlier session's action is still on its way."""
    held.go.set()
    cdp = agents.token(agents.FIRST_FENCE + 2, kind="cdp")
    async with held.post(CONTENT, page(2_000_000)) as answer:
        await asyncio.wait_for(held.clearing.wait(), 10)
        assert await held.end() is True
        async with held.http.ws_connect(
            f"http://{held.address}{agentapi.CDP}", headers=agents.bearer(cdp), max_msg_size=0
        ) as socket:
            before = await targets(socket)
            await answer.read()
            # Twice what the agent lets pass before it makes a page, and makes it in.
            await asyncio.sleep(0.5)
            assert await targets(socket) == before


async def targets(socket: aiohttp.ClientWebSocketResponse) -> set[str]:
    await socket.send_str('{"id": 1, "method": "Target.getTargets"}')
    while (said := orjson.loads((await socket.receive(timeout=10)).data)).get("id") != 1:
        pass
    return {one["targetId"] for one in said["result"]["targetInfos"]}


async def test_a_page_is_there_as_long_as_its_answer_is_held() -> None:
    async with pages.stand() as stand:
        before = await stand.contexts()
        async with actions.performed("content", b'{"html": "x"}', browser=stand.browser):
            assert await stand.contexts() == before + 1
        assert await stand.contexts() == before
