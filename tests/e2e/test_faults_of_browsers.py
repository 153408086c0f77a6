"""What dies beside a browser, and who goes away: renderers, Chromium, agents, clients. The one browser of pool ``fragile`` must be back."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from support import site, stack, waiting

SOON = 20.0
"""Seconds within which a caller must have an answer, whatever has died. One or two on an idle machine."""


@pytest.fixture
async def client(fragile: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with fragile.client() as made:
        yield made


async def answered(client: aiohttp.ClientSession, url: str) -> tuple[int, str | None, str]:
    """Status, Retry-After and the error's message of a screenshot of ``url``, all of it loaded."""
    body = {"url": url, "gotoOptions": {"waitUntil": "load"}}
    async with asyncio.timeout(SOON), client.post("/v1/screenshot", json=body) as answer:
        message = "" if answer.status == 200 else (await answer.json())["errors"][0]["message"]
        return answer.status, answer.headers.get("Retry-After"), message


@contextlib.asynccontextmanager
async def mid_action(
    client: aiohttp.ClientSession, web: site.Site
) -> AsyncIterator[asyncio.Task[tuple[int, str | None, str]]]:
    """A quick action that is in the middle of loading its page, whose picture does not come."""
    held, page = web.held, web.page("/half", "<h1>Half</h1><img src=/never>")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(answered(client, page))
        await waiting.until(lambda: web.held > held, deadline=SOON)
        yield task


async def ended(up: stack.Stack, *, before: int) -> list[int]:
    """The reasons of the sessions that have ended since there were ``before`` of them; all of them are over."""
    await up.whole()
    return [int(one.reason) for one in (await up.past())[before:]]


async def test_a_renderer_dies_under_an_action(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    before = len(await fragile.past())
    async with mid_action(client, web) as action:
        for renderer in fragile.renderers():
            renderer.kill()
        status, _, message = await action
    assert status == 422, message
    assert "crashed" in message
    assert await ended(fragile, before=before) == [1]


async def test_a_page_that_eats_all_its_memory(web: site.Site) -> None:
    """No signal from outside here: V8 ends the renderer by itself."""
    small = stack.pool("small", chromium={"args": ["--js-flags=--max-old-space-size=64"]})
    web.page("/greedy", "<script>const kept = []; for (;;) kept.push(Array.from({length: 1e5}, Math.random));</script>")
    with stack.running(pools=[small]) as up:
        async with up.client() as client:
            status, _, message = await answered(client, web.url("/greedy"))
            assert status == 422, message
            assert "crashed" in message
            assert (await answered(client, web.url("/small")))[0] == 200
        await up.whole()


async def test_an_idle_chromium_is_killed(fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site) -> None:
    """Whoever comes in the very moment may be told that it is lost; nobody later is."""
    (chromium,) = fragile.chromiums()
    chromium.kill()
    status, retry_after, message = await answered(client, web.url("/small"))
    assert status == 200 or (status == 502 and retry_after), message
    assert (await answered(client, web.url("/small")))[0] == 200
    (another,) = fragile.chromiums()
    assert another.pid != chromium.pid


async def test_chromium_is_killed_under_an_action(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    before = len(await fragile.past())
    async with mid_action(client, web) as action:
        (chromium,) = fragile.chromiums()
        chromium.kill()
        status, retry_after, message = await action
    assert status == 502, message
    assert retry_after is not None
    assert (await answered(client, web.url("/small")))[0] == 200
    assert await ended(fragile, before=before) == [1, 1]


async def test_chromium_is_killed_under_cdp(fragile: stack.Stack, client: aiohttp.ClientSession) -> None:
    before = len(await fragile.past())
    async with client.ws_connect("/devtools/browser?keep_alive=600000") as socket:
        await socket.send_json({"id": 1, "method": "Browser.getVersion"})
        assert (await socket.receive_json(timeout=SOON))["id"] == 1
        (chromium,) = fragile.chromiums()
        chromium.kill()
        closed = await socket.receive(timeout=SOON)
    assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert len(await ended(fragile, before=before)) == 1


async def test_an_agent_is_killed_under_an_action(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    before = len(await fragile.past())
    async with mid_action(client, web) as action:
        (agent,), (chromium,) = fragile.agents(), fragile.chromiums()
        agent.kill()
        status, retry_after, message = await action
    assert status == 502, message
    assert retry_after is not None
    await waiting.until(lambda: not chromium.alive, deadline=SOON)
    assert (await answered(client, web.url("/small")))[0] == 200
    assert len(await ended(fragile, before=before)) == 2


async def test_an_agent_is_killed_under_cdp(fragile: stack.Stack, client: aiohttp.ClientSession) -> None:
    before = len(await fragile.past())
    async with client.ws_connect("/devtools/browser?keep_alive=600000") as socket:
        (agent,) = fragile.agents()
        agent.kill()
        closed = await socket.receive(timeout=SOON)
    assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert len(await ended(fragile, before=before)) == 1


async def test_a_stopped_chromium_is_noticed(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    """Not dead, but silent: only a probe finds out. Whoever is at work is told; the next one has a fresh Chromium."""
    async with mid_action(client, web) as action:
        (chromium,) = fragile.chromiums()
        chromium.kill(signal.SIGSTOP)
        status, _, message = await action
    assert status in (422, 502), message
    await waiting.until(lambda: not chromium.alive, deadline=SOON)
    assert (await answered(client, web.url("/small")))[0] == 200


async def test_a_client_that_goes_away_frees_its_browser(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    before, dropped = len(await fragile.past()), web.dropped
    async with asyncio.TaskGroup() as group:
        task = group.create_task(answered(client, web.url("/never")))
        await waiting.until(lambda: web.held, deadline=SOON)
        task.cancel()
    # The page's load has stopped, and the only browser serves the next one at once.
    await waiting.until(lambda: web.dropped > dropped, deadline=SOON)
    assert (await answered(client, web.url("/small")))[0] == 200
    assert await ended(fragile, before=before) == [1, 1]


async def test_a_client_that_goes_away_leaves_the_line(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    """Who waits for the only browser and goes away is not given it later."""
    before = len(await fragile.past())

    async def waiting_in_line() -> bool:
        (pool,) = (await fragile.status())["pools"]
        return bool(pool["queue"])

    async with asyncio.TaskGroup() as group:
        first = group.create_task(answered(client, web.url("/never")))
        await waiting.until(lambda: web.held, deadline=SOON)
        second = group.create_task(answered(client, web.url("/small")))
        await waiting.until(waiting_in_line, deadline=SOON)
        second.cancel()
        first.cancel()
    assert await ended(fragile, before=before) == [1]
    assert not web.requests("/small")
