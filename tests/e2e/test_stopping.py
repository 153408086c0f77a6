"""SIGTERM with work under way, a second start on the same directory, and a kill of ``up`` itself."""

import asyncio
import signal
from collections.abc import Iterator

import aiohttp
import pytest

from browserpool.lib import tasks
from browserpool.local import postgres
from browserpool.model import sessions as model
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect
from browserpool.store import sessions as live
from support import site, stack, waiting

SOON = 30.0


@pytest.fixture
def own() -> Iterator[stack.Stack]:
    with stack.prepared(pools=[stack.pool("main", replicas=2)]) as made:
        yield made


async def rows(up: stack.Stack) -> tuple[list[str], list[model.Past]]:
    """What a stopped installation has in its database: browsers that are not gone, live sessions; and the past ones."""
    async with (
        tasks.Background(grace=10) as background,
        postgres.running(up.data / "postgres", log_file=up.home / "log", background=background) as dsn,
        connect.opened(dsn, process="test", max_size=1) as db,
    ):
        left = [f"browser {row.browser_id}" for row in await browsers.listing(db) if row.state is not BrowserState.GONE]
        left += [f"session {row.session_id}" for row in await live.listing(db, limit=1000)]
        return left, await stack.past(db)


async def test_sigterm_finishes_what_runs_and_leaves_nothing(own: stack.Stack, web: site.Site) -> None:
    own.start()
    async with own.client() as client, asyncio.TaskGroup() as group:

        async def act() -> int:
            async with client.post("/v1/content", json={"url": web.url("/held")}) as answer:
                await answer.read()
                return answer.status

        gate = asyncio.Event()
        arrived = web.hold("/held", gate)
        running = [group.create_task(act()) for _ in range(2)]
        await waiting.until(lambda: arrived() == 2, deadline=SOON)
        waits = group.create_task(act())
        await waiting.until(lambda: _queued(own), deadline=SOON)

        assert own.process is not None
        own.look()
        own.process.send_signal(signal.SIGTERM)
        assert await waits == 503
        async with client.post("/v1/content", json={"html": "<p>"}) as answer:
            assert answer.status == 503
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
        gate.set()
        assert [await one for one in running] == [200, 200]
    assert await asyncio.to_thread(own.stop) == 0, own.said()
    assert own.leftovers() == []
    left, past = await rows(own)
    assert left == []
    assert [int(one.reason) for one in past] == [1, 1]


async def _queued(up: stack.Stack) -> bool:
    (pool,) = (await up.status())["pools"]
    return bool(pool["queue"])


async def test_it_starts_again_where_it_was_stopped(own: stack.Stack) -> None:
    own.start()
    token = own.token
    async with own.client() as client, client.ws_connect("/devtools/browser?keep_alive=600000") as socket:
        (session,) = (await own.status())["sessions"]
        stopping = asyncio.create_task(asyncio.to_thread(own.stop))  # noqa: TID251 - awaited below
        closed = await socket.receive(timeout=SOON)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert await stopping == 0
    assert own.leftovers() == []

    own.start()
    assert own.token == token
    (past,) = await own.past()
    assert (past.session_id, past.reason) == (session["session_id"], 101)
    async with own.client() as client, client.post("/v1/content", json={"html": "<p>again"}) as answer:
        assert answer.status == 200
    await own.whole()
    assert own.stop() == 0
    assert own.leftovers() == []


async def test_it_is_killed_and_starts_again(own: stack.Stack) -> None:
    """Its children die with it; what it could not write, the next start does."""
    own.start()
    async with own.client() as client:
        await (await client.ws_connect("/devtools/browser?keep_alive=600000")).close()
        (session,) = (await own.status())["sessions"]
    own.stop(number=signal.SIGKILL)
    await waiting.until(lambda: not [one for one in own.leftovers() if one.startswith("process")], deadline=SOON)
    own.start()
    (past,) = await own.past()
    assert (past.session_id, past.reason) == (session["session_id"], 101)
    await own.whole()
    assert own.stop() == 0
    assert own.leftovers() == []


async def test_one_directory_is_one_installations(fragile: stack.Stack) -> None:
    second = fragile.spawn(beside="second")
    assert await asyncio.to_thread(second.wait, SOON) == 1
    assert "in use by another" in fragile.said(beside="second")
