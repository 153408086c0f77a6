"""The router and Postgres die, under work, and are started again by ``up``. Nothing that was promised is lost."""

import asyncio
import collections
import contextlib
import signal
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest

from browserpool.lib import clock
from support import site, stack, waiting

SOON = 30.0


@pytest.fixture
async def client(fragile: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with fragile.client() as made:
        yield made


async def router_is_back(up: stack.Stack, dead: stack.Process) -> None:
    """Wait until another router process serves."""

    async def answers() -> bool:
        with contextlib.suppress(aiohttp.ClientError, ValueError):
            if up.router().pid != dead.pid:
                async with up.client() as http, http.get("/readyz") as answer:
                    return answer.status == 200
        return False

    await waiting.until(answers, deadline=SOON, every=0.05)


async def test_the_router_is_killed_under_cdp(fragile: stack.Stack, client: aiohttp.ClientSession) -> None:
    """The lease outlives the router: the client comes back through the next one and finds its page."""
    before = len(await fragile.past())
    async with client.post("/devtools/browser?keep_alive=60000") as answer:
        session = (await answer.json())["sessionId"]
    with contextlib.suppress(aiohttp.ClientError):
        async with client.ws_connect(f"/devtools/browser/{session}") as socket:
            await socket.send_json(
                {"id": 1, "method": "Target.createTarget", "params": {"url": "data:text/html,<title>kept</title>"}}
            )
            while orjson.loads((await socket.receive(timeout=SOON)).data).get("id") != 1:
                pass
            dead = fragile.router()
            dead.kill()
            assert (await socket.receive(timeout=SOON)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    await router_is_back(fragile, dead)
    async with client.get(f"/devtools/browser/{session}/json/list") as answer:
        assert "kept" in [page["title"] for page in await answer.json()]
    async with client.ws_connect(f"/devtools/browser/{session}") as socket:
        await socket.send_json({"id": 1, "method": "Browser.getVersion"})
        assert (await socket.receive_json(timeout=SOON))["id"] == 1
    async with client.delete(f"/devtools/browser/{session}") as answer:
        assert await answer.json() == {"status": "closed"}
    await fragile.whole()
    assert [(one.session_id, one.reason) for one in (await fragile.past())[before:]] == [(session, 1)]


async def test_the_router_is_killed_under_an_action(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    """Nobody can end the session but its lease: the browser is back when that has run out, and not before it is clean."""
    before = len(await fragile.past())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_broken_off(client, web.url("/never")))
        await waiting.until(lambda: web.held, deadline=SOON)
        dead = fragile.router()
        dead.kill()
        await task
    await waiting.until(lambda: web.dropped, deadline=SOON)
    await router_is_back(fragile, dead)
    async with client.post("/v1/content", json={"url": web.url("/small")}) as answer:
        assert answer.status == 200, await answer.text()
    await fragile.whole()
    lost, served = (await fragile.past())[before:]
    assert (lost.reason, served.reason) == (2, 1)
    assert lost.ended_at <= served.started_at
    assert lost.fence < served.fence


async def _broken_off(client: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        await client.post("/v1/content", json={"url": url})


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL])
async def test_postgres_goes_away_under_work(
    fragile: stack.Stack, client: aiohttp.ClientSession, web: site.Site, how: signal.Signals
) -> None:
    """An immediate shutdown, or a crash. Callers meet successes and clear 503s, and then successes again."""
    before = len(await fragile.past())
    seen: collections.Counter[int] = collections.Counter()
    odd: list[str] = []
    back = asyncio.Event()

    async def keep_asking() -> None:
        after = 0
        while after < 3:
            async with client.post("/v1/content", json={"url": web.url("/small")}) as answer:
                seen[answer.status] += 1
                after += back.is_set() and answer.status == 200
                if answer.status != 200 and not (answer.status == 503 and answer.headers.get("Retry-After")):
                    odd.append(f"{answer.status}: {await answer.text()}")
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        askers = [group.create_task(keep_asking()) for _ in range(4)]
        await waiting.until(lambda: seen[200] > 4, deadline=SOON)
        dead = fragile.postgres()
        dead.kill(how)
        await waiting.until(lambda: not dead.alive, deadline=SOON)
        began = clock.monotonic()
        await waiting.until(lambda: _other(fragile, dead), deadline=SOON)
        back.set()
        await asyncio.wait(askers, timeout=SOON)
        assert all(asker.done() for asker in askers), f"{seen} {clock.monotonic() - began:.1f} s after"
    assert not odd, odd
    assert set(seen) <= {200, 503}
    await fragile.whole()
    past = (await fragile.past())[before:]
    assert {one.reason for one in past} <= {1, 2}
    assert stack.overlaps(past) == []


def _other(up: stack.Stack, dead: stack.Process) -> bool:
    try:
        return up.postgres().pid != dead.pid
    except ValueError:
        return False


async def test_postgres_goes_away_under_cdp(fragile: stack.Stack, client: aiohttp.ClientSession) -> None:
    """Frames pass without the store; the session is renewed once it is back."""
    async with client.ws_connect("/devtools/browser?keep_alive=20000") as socket:
        dead = fragile.postgres()
        dead.kill(signal.SIGQUIT)
        number = 0

        async def answers() -> bool:
            nonlocal number
            number += 1
            await socket.send_json({"id": number, "method": "Browser.getVersion"})
            assert (await socket.receive_json(timeout=SOON))["id"] == number
            return _other(fragile, dead)

        await waiting.until(answers, deadline=SOON)
        await socket.send_json({"id": 0, "method": "Browser.close"})
        while not socket.closed:
            await socket.receive(timeout=SOON)
