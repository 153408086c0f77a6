"""A sidecar before a whole installation: tools written for a local Chrome, a browser on its own node, straight to the agent."""

import asyncio
import contextlib
import datetime
import io
import pathlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pyppeteer
import pytest
from PIL import Image
from playwright import async_api
from pyppeteer import browser as pyppeteer_browser

from support import sidecars, site, stack, waiting


@pytest.fixture
async def node(up: stack.Stack) -> str:
    """The node of one of pool ``main``'s browsers."""
    return max(one["node"] for one in (await up.status())["browsers"] if one["pool"] == "main")


@pytest.fixture
async def sidecar(up: stack.Stack, node: str, tmp_path: pathlib.Path) -> AsyncIterator[sidecars.Sidecar]:
    async with sidecars.process(up.url, tmp_path, secret=up.token, node=node, pool="main") as made:
        yield made


async def sessions(up: stack.Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await up.status())["sessions"]
    return found


async def left(browser: pyppeteer_browser.Browser) -> None:
    """pyppeteer leaves the loop's task to us."""
    await asyncio.wait({browser._connection._recv_fut}, timeout=5)


async def proxied(up: stack.Stack) -> float:
    """CDP connections that pass the router."""
    async with up.client() as http, http.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("browserpool_cdp_connections{"))


async def test_a_quick_action_on_the_sidecars_node(
    up: stack.Stack, sidecar: sidecars.Sidecar, node: str, web: site.Site
) -> None:
    answer = await sidecar.request("POST", "/v1/screenshot", json={"url": web.url("/small")})
    assert (answer.status, answer.headers["X-Browserpool-Node"]) == (200, node)
    assert answer.headers["X-Browserpool-Locality"] == "node"
    assert Image.open(io.BytesIO(answer.body)).size == (1920, 1080)


async def test_pyppeteer_by_the_address_of_a_local_chrome(
    up: stack.Stack, sidecar: sidecars.Sidecar, node: str, web: site.Site
) -> None:
    browser = await pyppeteer.connect(browserURL=sidecar.url)
    page = await browser.newPage()
    await page.goto(web.url("/small"))
    assert await page.title() == "Small"
    (live,) = await sessions(up)
    assert (live["node"], live["pool"]) == (node, "main")
    assert await proxied(up) == 0
    await browser.close()
    await left(browser)
    await up.whole()
    (past,) = [one for one in await up.past() if one.session_id == live["session_id"]]
    assert past.reason == 1


async def test_playwright_by_the_address_of_a_local_chrome(
    up: stack.Stack, sidecar: sidecars.Sidecar, node: str, web: site.Site
) -> None:
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(sidecar.url)
        page = await browser.new_page(viewport={"width": 320, "height": 240})
        await page.goto(web.url("/small"))
        assert await page.title() == "Small"
        assert Image.open(io.BytesIO(await page.screenshot())).size == (320, 240)
        (live,) = await sessions(up)
        assert live["node"] == node
        assert await proxied(up) == 0
        await browser.close()
    # Playwright only disconnects from a browser that it did not start: its session is found again, by its id, also directly.
    socket = await sidecar.connect(f"/devtools/browser/{live['session_id']}")
    assert sidecars.said(socket, "Way") == "direct"
    await socket.close()
    deleted = await sidecar.request("DELETE", f"/devtools/browser/{live['session_id']}")
    assert deleted.json == {"status": "closed"}


async def test_pages_listed_as_chrome_lists_them_are_connected_to_by_their_own_addresses(
    up: stack.Stack, sidecar: sidecars.Sidecar, web: site.Site
) -> None:
    opened = await sidecar.request("PUT", f"/json/new?{web.url('/small')}")
    session_id = opened.headers["X-Browserpool-Session"]
    listed = (await sidecar.request("GET", "/json/list")).json
    (mine,) = [one for one in listed if one["id"] == opened.json["id"]]
    assert mine["webSocketDebuggerUrl"].startswith(f"{sidecar.ws}/devtools/browser/{session_id}/page/")
    async with sidecar.client.ws_connect(mine["webSocketDebuggerUrl"]) as socket:
        assert sidecars.said(socket, "Way") == "direct"
        await socket.send_json({"id": 1, "method": "Runtime.evaluate", "params": {"expression": "6 * 7"}})
        assert (await socket.receive_json(timeout=30))["result"]["result"]["value"] == 42
    assert (await sidecar.request("GET", f"/json/close/{mine['id']}")).body == b"Target is closing"
    assert (await sidecar.request("DELETE", f"/devtools/browser/{session_id}")).json == {"status": "closed"}


async def test_the_router_is_killed_under_a_direct_session(fragile: stack.Stack, tmp_path: pathlib.Path) -> None:
    async with sidecars.process(fragile.url, tmp_path, secret=fragile.token) as sidecar:
        socket = await sidecar.connect("/devtools/browser?keep_alive=10000")
        assert sidecars.said(socket, "Way") == "direct"
        session_id = sidecars.said(socket, "Session")

        async def evaluates() -> bool:
            await socket.send_json({"id": 1, "method": "Browser.getVersion"})
            return "product" in (await socket.receive_json(timeout=30))["result"]

        async def expires_at() -> datetime.datetime:
            (live,) = [one for one in await sessions(fragile) if one["session_id"] == session_id]
            return datetime.datetime.fromisoformat(live["expires_at"])

        before = await expires_at()
        fragile.router().kill(signal.SIGKILL)
        assert await evaluates()

        async def renewed_by_the_next_router() -> bool:
            assert await evaluates()
            with contextlib.suppress(aiohttp.ClientError):
                return await expires_at() > before
            return False

        await waiting.until(renewed_by_the_next_router, deadline=60, every=0.2)
        await socket.send_json({"id": 2, "method": "Browser.close"})
        while (message := await socket.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE
        await fragile.whole()
