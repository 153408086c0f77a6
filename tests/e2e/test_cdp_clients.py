"""CDP by the clients that people use: pyppeteer, playwright, and a WebSocket by hand."""

import asyncio
import base64
import contextlib
import io
from collections.abc import AsyncIterator

import aiohttp
import pyppeteer
import pytest
from PIL import Image
from playwright import async_api
from pyppeteer import browser as pyppeteer_browser

from support import cdp, site, stack, waiting


def session_of(endpoint: str) -> str:
    """The session's id in its WebSocket address."""
    return endpoint.partition("?")[0].rpartition("/")[2]


async def disconnect(browser: pyppeteer_browser.Browser) -> None:
    """As a process that ends: its connection is gone, the browser is not told. pyppeteer leaves the loop's task to us."""
    await browser.disconnect()
    await asyncio.wait({browser._connection._recv_fut}, timeout=5)


@contextlib.asynccontextmanager
async def session(up: stack.Stack, http: aiohttp.ClientSession, *, keep_alive: int = 60_000) -> AsyncIterator[str]:
    """A session's own WebSocket address, with the token in it; the session is deleted at the end."""
    async with http.post(f"/devtools/browser?token={up.token}&keep_alive={keep_alive}") as answer:
        assert answer.status == 200, await answer.text()
        endpoint = (await answer.json())["webSocketDebuggerUrl"]
    try:
        yield endpoint
    finally:
        async with http.delete(f"/devtools/browser/{session_of(endpoint)}") as answer:
            assert answer.status == 200


# ---------------------------------------------------------------- pyppeteer


async def test_pyppeteer_finds_its_pages_again(up: stack.Stack, http: aiohttp.ClientSession, web: site.Site) -> None:
    web.page("/one", "<title>one</title>")
    web.page("/two", "<title>two</title>")
    async with session(up, http) as endpoint:
        first = await pyppeteer.connect(browserWSEndpoint=endpoint)
        for path in ("/one", "/two"):
            await (await first.newPage()).goto(web.url(path))
        await disconnect(first)

        second = await pyppeteer.connect(browserWSEndpoint=endpoint)
        titles = {await page.title() for page in await second.pages()}
        assert titles >= {"one", "two"}
        await disconnect(second)
    (past,) = [one for one in await up.past() if one.session_id == session_of(endpoint)]
    assert (past.reason, past.kind) == (1, "cdp")


async def test_pyppeteer_launches_by_connecting(up: stack.Stack, web: site.Site) -> None:
    """One address, claim and connection in one; ``close`` ends the session at once."""
    browser = await pyppeteer.connect(
        browserWSEndpoint=f"{up.websocket}/devtools/browser?token={up.token}&pool=main&keep_alive=60000"
    )
    page = await browser.newPage()
    await page.setContent("<body style='background:lime'>")
    assert await page.evaluate("document.body.style.background") == "lime"
    assert len((await up.status())["sessions"]) == 1
    await browser.close()
    await asyncio.wait({browser._connection._recv_fut}, timeout=5)


async def test_pyppeteer_by_the_browsers_url(fragile: stack.Stack) -> None:
    """``browserURL`` asks ``/json/version`` for the address, which has the token in it if the question had."""
    # pyppeteer appends /json/version to whatever it is given; as a fragment it does no harm.
    browser = await pyppeteer.connect(browserURL=f"{fragile.url}/json/version?token={fragile.token}#")
    assert "Chrome/" in await browser.version()
    page = await browser.newPage()
    assert await page.evaluate("6 * 7") == 42
    await browser.close()
    await asyncio.wait({browser._connection._recv_fut}, timeout=5)


async def test_the_browsers_url_gives_no_token_away(up: stack.Stack) -> None:
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(f"{up.url}/json/version") as answer:
            endpoint = (await answer.json())["webSocketDebuggerUrl"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stranger.ws_connect(endpoint)
    assert refused.value.status == 401


# ---------------------------------------------------------------- playwright


async def test_playwright(up: stack.Stack, web: site.Site) -> None:
    headers = {**up.headers, "X-Browserpool-Pool": "main"}
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(up.url, headers=headers)
        page = await browser.new_page(viewport={"width": 320, "height": 240})
        await page.goto(web.url("/small"))
        assert await page.title() == "Small"
        picture = Image.open(io.BytesIO(await page.screenshot()))
        assert picture.size == (320, 240)
        await page.set_content("<button onclick='this.textContent = 1'>press</button>")
        await page.get_by_role("button").click()
        assert await page.get_by_role("button").text_content() == "1"
        (live,) = (await up.status())["sessions"]
        await browser.close()
    # Playwright only disconnects from a browser that it did not start: the session waits for its return.
    async with up.client() as http, http.delete(f"/devtools/browser/{live['session_id']}") as answer:
        assert (await answer.json()) == {"status": "closed"}


async def test_playwright_by_a_sessions_own_address(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with session(up, http) as endpoint, async_api.async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(endpoint)
        page = await browser.contexts[0].new_page()
        await page.set_content("<title>kept</title>")
        await browser.close()
        again = await playwright.chromium.connect_over_cdp(endpoint)
        assert "kept" in [await page.title() for page in again.contexts[0].pages]
        await again.close()


# ---------------------------------------------------------------- by hand

_NOISE = """
(() => {
  const canvas = document.createElement('canvas'), side = 3400;
  canvas.width = canvas.height = side;
  canvas.style = 'display:block';
  document.body.style.margin = 0;
  document.body.append(canvas);
  const context = canvas.getContext('2d'), image = context.createImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0, x = 2463534242; i < pixels.length; i++) {
    x ^= x << 13; x ^= x >>> 17; x ^= x << 5;
    pixels[i] = x | 0xff000000;
  }
  context.putImageData(image, 0, 0);
})()
"""


@pytest.mark.parametrize("path", ["", "/client/v4/accounts/a/browser-rendering", "/client/v4/accounts/a/browser-run"])
async def test_every_prefix_serves_cdp(up: stack.Stack, http: aiohttp.ClientSession, path: str) -> None:
    async with http.ws_connect(f"{path}/devtools/browser?keep_alive=10000") as socket:
        client = cdp.Client(socket)
        assert "Chrome/" in (await client.call("Browser.getVersion"))["product"]
        await client.call("Browser.close")


async def test_a_frame_of_more_than_thirty_megabytes(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/devtools/browser?keep_alive=60000", max_msg_size=0) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        size = {"width": 3400, "height": 3400, "deviceScaleFactor": 1, "mobile": False}
        await client.call("Emulation.setDeviceMetricsOverride", page, **size)
        await client.call("Runtime.evaluate", page, expression=_NOISE)
        answer = await client.call("Page.captureScreenshot", page, optimizeForSpeed=True)
        picture = base64.b64decode(answer["data"])
        assert len(picture) > 30_000_000
        assert Image.open(io.BytesIO(picture)).size == (3400, 3400)
        await client.call("Browser.close")


async def test_a_page_that_crashes_takes_no_session_with_it(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/devtools/browser?keep_alive=10000") as socket:
        client = cdp.Client(socket)
        await client.call("Target.setDiscoverTargets", discover=True)
        _, page = await client.page()
        await client.send("Page.crash", page)
        async with asyncio.timeout(10):
            await client.event("Target.targetCrashed")
        _, other = await client.page()
        assert await client.evaluate(other, "6 * 7") == 42
        await client.call("Browser.close")


async def test_an_idle_session_ends(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    """``keep_alive`` is a timer of inactivity, and holds for a connected client too."""
    async with http.ws_connect("/devtools/browser?keep_alive=10000") as socket:
        await cdp.Client(socket).call("Browser.getVersion")
        (live,) = (await up.status())["sessions"]
        async with asyncio.timeout(30):
            closed = await socket.receive()
    assert closed.type is aiohttp.WSMsgType.CLOSE
    assert "idle" in closed.extra
    (past,) = [one for one in await up.past() if one.session_id == live["session_id"]]
    assert past.reason == 2
    assert (past.ended_at - past.started_at).total_seconds() >= 10
    async with http.get(f"/devtools/session/{live['session_id']}") as answer:
        assert (await answer.json())["closeReasonText"] == "BrowserIdle"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"/devtools/browser/{live['session_id']}")
    assert refused.value.status == 410


# ---------------------------------------------------------------- Chrome's own addresses


async def test_chromes_own_addresses(up: stack.Stack, http: aiohttp.ClientSession, web: site.Site) -> None:
    async with session(up, http) as endpoint:
        at = f"/devtools/browser/{session_of(endpoint)}"
        async with http.get(f"{at}/json/version") as answer:
            assert (await answer.json())["webSocketDebuggerUrl"] == endpoint.partition("?")[0]
        async with http.put(f"{at}/json/new", params={"url": web.url("/small")}) as answer:
            made = await answer.json()
        assert made["webSocketDebuggerUrl"] == f"{up.websocket}{at}/page/{made['id']}"

        async def titles() -> list[str]:
            async with http.get(f"{at}/json/list") as answer:
                return [one["title"] for one in await answer.json()]

        async def loaded() -> bool:
            return "Small" in await titles()

        await waiting.until(loaded)
        async with http.get("/json/list") as answer:
            assert made["id"] in [one["id"] for one in await answer.json()]
        async with http.ws_connect(made["webSocketDebuggerUrl"]) as socket:
            assert await cdp.Client(socket).evaluate(None, "document.title") == "Small"
        async with http.ws_connect(f"/devtools/page/{made['id']}") as socket:
            assert await cdp.Client(socket).evaluate(None, "1") == 1
        async with http.get(f"{at}/json/activate/{made['id']}") as answer:
            assert (await answer.json()) == {"message": "Target activated"}
        async with http.get(f"{at}/json/protocol") as answer:
            assert "Page" in [domain["domain"] for domain in (await answer.json())["domains"]]
        async with http.delete(f"{at}/json/close/{made['id']}") as answer:
            assert (await answer.json()) == {"message": "Target is closing"}
        async with http.get(f"{at}/json/list/{made['id']}") as answer:
            assert answer.status in (200, 404)  # it is closing
