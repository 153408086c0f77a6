"""``sessions.actionsPerBrowser`` on one real Chromium: several at once, each alone in its context, and all of them gone with it."""

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from support import site, stack, waiting

AT_ONCE = 4
SHARED = stack.pool("shared", sessions={"actionsPerBrowser": AT_ONCE}, onEmpty={"queueTimeout": "60s"})

LEAVE = """<title>working</title><script>(async () => {
  document.cookie = 'left=cookie; max-age=3600'; localStorage.setItem('left', 'local');
  await (await caches.open('left')).put('/left', new Response('cached'));
  document.title = 'left'; document.documentElement.dataset.done = 1;
})()</script>"""
LOOK = """<title>working</title><script>(async () => {
  await fetch('/held/look');
  const found = [document.cookie, localStorage.length, (await caches.keys()).length];
  document.title = 'found ' + found.join(); document.documentElement.dataset.done = 1;
})()</script>"""
DONE = {"selector": "html[data-done]", "timeout": 20_000}


@pytest.fixture(scope="module")
def shared_stack() -> Iterator[stack.Stack]:
    with stack.running(pools=[SHARED]) as started:
        yield started


@pytest.fixture
async def shared(shared_stack: stack.Stack) -> AsyncIterator[stack.Stack]:
    """One browser. Whole again after the test, and no session was on it while another one was."""
    await shared_stack.whole()
    yield shared_stack
    await shared_stack.whole()
    assert stack.overlaps(await shared_stack.past()) == []


@pytest.fixture
async def client(shared: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with shared.client() as made:
        yield made


async def content(client: aiohttp.ClientSession, **body: object) -> tuple[int, str, str]:
    """Status, session and title."""
    async with client.post("/v1/content", json=body) as answer:
        said = await answer.json()
        title = said["meta"]["title"] if answer.status == 200 else said["errors"][0]["message"]
        return answer.status, answer.headers.get("X-Browserpool-Session", ""), title


@dataclasses.dataclass(frozen=True, kw_only=True)
class Held:
    """Actions whose pages wait for an answer of the site's until ``gate`` is set, all of them loading at the same time."""

    tasks: "list[asyncio.Task[tuple[int, str, str]]]"
    gate: asyncio.Event


@contextlib.asynccontextmanager
async def held_up(client: aiohttp.ClientSession, web: site.Site, number: int) -> AsyncIterator[Held]:
    gate = asyncio.Event()
    loading = [web.hold(f"/held/{n}", gate) for n in range(number)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(content(client, url=web.url(f"/held/{n}"))) for n in range(number)]
        await waiting.until(lambda: all(number() for number in loading), deadline=30)
        try:
            yield Held(tasks=tasks, gate=gate)
        finally:
            gate.set()


async def test_as_many_at_once_as_the_pool_says_in_one_session(
    shared: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    async with held_up(client, web, AT_ONCE) as held:
        (one,) = (await shared.status())["sessions"]
        assert len(shared.chromiums()) == 1
    answers = [task.result() for task in held.tasks]
    assert [status for status, _, _ in answers] == [200] * AT_ONCE
    assert {session for _, session, _ in answers} == {one["session_id"]}


async def test_what_one_stores_the_others_do_not_find(
    shared: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    web.page("/leave", LEAVE)
    web.page("/look", LOOK)
    gate = asyncio.Event()
    loading = web.hold("/held/look", gate)
    async with asyncio.TaskGroup() as group:
        look = group.create_task(content(client, url=web.url("/look"), waitForSelector=DONE))
        await waiting.until(loading, deadline=30)
        leave = await content(client, url=web.url("/leave"), waitForSelector=DONE)
        gate.set()
    looked = look.result()
    assert (leave[0], leave[2]) == (200, "left")
    assert (looked[0], looked[2]) == (200, "found ,0,0")
    assert leave[1] == looked[1], "they were in one session"


async def test_one_that_fails_or_leaves_is_the_others_no_matter(
    shared: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    async with held_up(client, web, 2) as held:
        before = web.held
        leaving = asyncio.get_running_loop().create_task(content(client, url=web.url("/never")))
        await waiting.until(lambda: web.held > before, deadline=30)
        leaving.cancel()
        failing = await content(client, url="http://127.0.0.1:9/")
        assert failing[0] == 422
        # Its page is gone, though the session goes on.
        await waiting.until(lambda: web.dropped, deadline=30)
        assert len((await shared.status())["sessions"]) == 1
    assert [task.result()[0] for task in held.tasks] == [200, 200]


async def test_a_chromium_that_dies_fails_all_that_are_in_it(
    shared: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    async with held_up(client, web, AT_ONCE) as held:
        (chromium,) = shared.chromiums()
        chromium.kill()
        answers = await asyncio.gather(*held.tasks)
    assert {status for status, _, _ in answers} == {502}
    assert (await content(client, html="<title>after</title>"))[::2] == (200, "after")


async def test_a_cdp_client_gets_the_browser_to_itself(
    shared: stack.Stack, client: aiohttp.ClientSession, web: site.Site
) -> None:
    async def claim() -> str:
        async with client.post("/devtools/browser", json={}) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["sessionId"])

    async def waits() -> bool:
        return bool((await shared.status())["pools"][0]["queue"])

    async with asyncio.TaskGroup() as group:
        async with held_up(client, web, 2) as held:
            claiming = group.create_task(claim())
            await waiting.until(waits, deadline=30)
            assert not claiming.done()
        assert (await claiming) not in {task.result()[1] for task in held.tasks}
        # Nor does anybody come in now.
        late = group.create_task(content(client, html="<title>late</title>"))
        await waiting.until(waits, deadline=30)
        async with client.delete(f"/devtools/browser/{claiming.result()}"):
            pass
    assert late.result()[::2] == (200, "late")
    assert late.result()[1] != claiming.result()


async def test_forty_get_each_his_own_and_the_sessions_are_few(
    shared: stack.Stack, client: aiohttp.ClientSession
) -> None:
    before = len(await shared.past())
    answers = await asyncio.gather(*(content(client, html=f"<title>{number}</title>") for number in range(40)))
    assert [(status, title) for status, _, title in answers] == [(200, str(number)) for number in range(40)]
    used = collections.Counter(session for _, session, _ in answers)
    await shared.whole()
    past = (await shared.past())[before:]
    assert {one.session_id for one in past} == set(used)
    assert len(past) < 30, "else hardly anybody shared"
