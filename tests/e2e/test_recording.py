"""Sessions that are recorded in a real browser: what is kept of them, for whom, and when."""

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from support import cdp, site, stack, waiting

META, FULL_SNAPSHOT, INCREMENTAL = 4, 2, 3
"""rrweb's types of events."""
PAGE = """<title>Recorded</title><h1>Secret of nobody</h1><input id="name">
<script>window.seen = typeof rrwebRecord + typeof browserpoolRecord</script>"""


@pytest.fixture(scope="module")
def recorder() -> Iterator[stack.Stack]:
    with stack.prepared(pools=[stack.pool("main", replicas=1)], environment={"BROWSERPOOL_RECORDINGS": "true"}) as up:
        up.start()
        yield up
        assert up.stop() == 0, up.said() + up.logs()
        assert up.leftovers() == []


@pytest.fixture
async def http(recorder: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with recorder.client() as client:
        yield client
    await recorder.whole()


@pytest.fixture
async def web() -> AsyncIterator[site.Site]:
    async with site.running() as served:
        yield served


async def asked(http: aiohttp.ClientSession, session: str) -> tuple[int, Any]:
    async with http.get(f"/client/v4/accounts/a/browser-run/recording/{session}") as answer:
        return answer.status, await answer.json()


async def recording(http: aiohttp.ClientSession, session: str) -> dict[str, Any]:
    """The recording, once it is finished."""

    async def found() -> dict[str, Any] | None:
        status, body = await asked(http, session)
        return body if status == 200 else None

    body: dict[str, Any] = await waiting.until(found, deadline=40)
    assert (body["success"], body["errors"]) == (True, [])
    result: dict[str, Any] = body["result"]
    assert result["sessionId"] == session
    return result


async def awaited_page(client: cdp.Client, url: str = "about:blank") -> tuple[str, str]:
    """A page that begins when its client says so: its target and its session."""
    client.events.clear()
    target = (await client.call("Target.createTarget", url=url))["targetId"]
    while (attached := await client.event("Target.attachedToTarget"))["targetInfo"]["targetId"] != target:
        pass
    session = str(attached["sessionId"])
    await client.send("Page.enable", session)
    await client.call("Runtime.runIfWaitingForDebugger", session)
    return target, session


async def test_what_happens_on_its_pages_is_kept(http: aiohttp.ClientSession, web: site.Site) -> None:
    web.page("/one", PAGE)
    web.page("/two", "<title>Second</title><p>Two")
    async with http.post("/devtools/browser?recording=true&keep_alive=60000") as answer:
        made = await answer.json()
    session = made["sessionId"]
    async with http.ws_connect(made["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        client = cdp.Client(socket)
        # As puppeteer does, which makes pages wait for it too.
        await client.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        first, page = await awaited_page(client)
        await client.call("Page.navigate", page, url=web.url("/one"))
        await waiting.until(lambda: client.evaluate(page, "document.readyState === 'complete' && !!window.seen"))
        assert await client.evaluate(page, "window.seen") == "undefinedundefined"
        await client.call("Input.insertText", page, text="")
        await client.evaluate(page, "document.querySelector('input').focus()")
        await client.call("Input.insertText", page, text="hunter2")
        await client.evaluate(page, "document.body.append('Added ' + 'later')")
        second, other = await awaited_page(client, web.url("/two"))
        await waiting.until(lambda: client.evaluate(other, "document.title === 'Second'"))
        assert (await asked(http, session))[0] == 404
        # An end that is 300 ms later, in an event of its own; and rrweb gathers changes for a moment.
        await client.evaluate(
            page, "new Promise(done => setTimeout(() => { document.body.append('!'); setTimeout(done, 300) }, 300))"
        )
    async with http.delete(f"/devtools/browser/{session}") as answer:
        assert answer.status == 200

    kept = await recording(http, session)
    assert kept["events"].keys() >= {first, second}
    events = kept["events"][first]
    assert {META, FULL_SNAPSHOT, INCREMENTAL} <= {event["type"] for event in events}
    assert web.url("/one") in [event["data"].get("href") for event in events if event["type"] == META]
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    everywhere = [event["timestamp"] for told in kept["events"].values() for event in told]
    assert kept["duration"] == max(everywhere) - min(everywhere)
    assert 300 <= kept["duration"] < 60_000
    told = str(events)
    assert "Secret of nobody" in told
    assert "Added later" in told
    assert "hunter2" not in told
    assert "*" * len("hunter2") in told
    assert "Two" in str(kept["events"][second])


async def test_only_what_asked_for_it_is_recorded(http: aiohttp.ClientSession, web: site.Site) -> None:
    async with http.post("/devtools/browser") as answer:
        made = await answer.json()
    async with http.ws_connect(made["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        client = cdp.Client(socket)
        _, page = await client.page(web.url("/small"))
        await waiting.until(lambda: client.evaluate(page, "document.readyState === 'complete'"))
        await client.call("Browser.close")
    await waiting.until(lambda: _over(http, made["sessionId"]))
    assert (await asked(http, made["sessionId"]))[0] == 404
    assert (await asked(http, "none"))[0] == 404


async def _over(http: aiohttp.ClientSession, session: str) -> bool:
    async with http.get(f"/devtools/session/{session}") as answer:
        return "endTime" in await answer.json()


async def test_a_busy_page_is_recorded_in_bounded_parts(http: aiohttp.ClientSession, web: site.Site) -> None:
    """Some thousand changes, then the end at once: all that came before it is kept, in order."""
    async with http.ws_connect("/devtools/browser?recording=true", max_msg_size=0) as socket:
        client = cdp.Client(socket)
        session = (await client.call("Cloudflare.getSessionId"))["sessionId"]
        target, page = await client.page(web.url("/small"))
        await waiting.until(lambda: client.evaluate(page, "document.readyState === 'complete'"))
        busy = """(async () => { for (let i = 0; i < 1500; i++) {
            const p = document.createElement('p'); p.textContent = 'step ' + i + ' ' + 'x'.repeat(500); document.body.append(p);
            await new Promise(done => setTimeout(done)); } })()"""
        await client.evaluate(page, busy)
        await client.evaluate(page, "new Promise(done => setTimeout(done, 300))")
        await client.call("Browser.close")
    kept = await recording(http, session)
    told = str(kept["events"][target])
    positions = [told.find(f"step {number} ") for number in range(0, 1500, 100)]
    assert -1 not in positions
    assert all(before < after for before, after in itertools.pairwise(positions))
