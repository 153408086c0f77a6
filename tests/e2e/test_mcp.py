"""``/mcp`` by both official SDKs, as clients of an installation with real Chromium."""

import asyncio
import base64
import contextlib
import io
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx2
import orjson
import pyppeteer
import pytest
from mcp.client import client as mcp_client
from mcp.client import streamable_http
from PIL import Image

from support import javascript, site, stack, waiting

SHOP = """<!doctype html><title>Shop</title><h1>Tea</h1><a href="/more">More</a><p class=price>12</p>
<script>document.body.append('made by a script')</script>"""


@contextlib.asynccontextmanager
async def connected(up: stack.Stack) -> AsyncIterator[mcp_client.Client]:
    """Python's, of pool ``main``."""
    headers = {"Authorization": f"Bearer {up.token}", "X-Browserpool-Pool": "main"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        mcp_client.Client(streamable_http.streamable_http_client(f"{up.url}/mcp", http_client=http)) as client,
    ):
        yield client


async def text(client: mcp_client.Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    [block] = result.content
    assert block.type == "text"
    return block.text


async def test_each_view_of_a_page(up: stack.Stack, web: site.Site) -> None:
    async with connected(up) as client:
        url = web.page("/shop", SHOP)
        assert "made by a script" in await text(client, "get_url_html_content", url=url)
        assert "# Tea" in await text(client, "get_url_markdown", url=url)
        assert orjson.loads(await text(client, "get_url_links", url=url)) == [web.url("/more")]
        [found] = orjson.loads(await text(client, "scrape_url_elements", url=url, elements=[{"selector": ".price"}]))
        assert found["results"][0]["text"] == "12"
        tree = orjson.loads(await text(client, "get_url_accessibility_tree", url=url))
        assert tree["accessibilityTree"]["name"] == "Shop"


async def test_pictures_and_files(up: stack.Stack, web: site.Site) -> None:
    async with connected(up) as client:
        url = web.page("/shop", SHOP)
        viewport = {"width": 300, "height": 200}
        [picture] = (await client.call_tool("get_url_screenshot", {"url": url, "viewport": viewport})).content
        assert picture.type == "image"
        assert Image.open(io.BytesIO(base64.b64decode(picture.data))).size == (300, 200)
        [file] = (await client.call_tool("get_url_pdf", {"url": url})).content
        assert file.type == "resource"
        assert base64.b64decode(file.resource.blob).startswith(b"%PDF-")
        html, view = (await client.call_tool("get_url_snapshot", {"url": url, "viewport": viewport})).content
        assert (html.type, "made by a script" in html.text) == ("text", True)
        assert (view.type, view.mime_type) == ("image", "image/png")


async def test_a_page_that_fails_is_a_tools_error(up: stack.Stack) -> None:
    async with connected(up) as client:
        failed = await client.call_tool("get_url_markdown", {"url": "https://nowhere.invalid/"})
        assert failed.is_error
        [block] = failed.content
        assert "nowhere.invalid" in block.text or "NAME_NOT_RESOLVED" in block.text


async def test_a_crawl(up: stack.Stack, web: site.Site) -> None:
    async with connected(up) as client:
        job = await text(client, "start_crawl", url=web.page("/shop", SHOP), limit=1, formats=["markdown"])

        async def over() -> bool:
            found = orjson.loads(await text(client, "get_crawl_result", job_id=job))
            return bool(found["status"] == "completed" and found["records"][0]["markdown"])

        await waiting.until(over, deadline=60)


async def test_a_session_is_driven_over_its_address(up: stack.Stack, web: site.Site) -> None:
    async with connected(up) as client:
        url = web.page("/shop", SHOP)
        made = orjson.loads(await text(client, "create_browser_session", keep_alive=60_000))
        browser = await pyppeteer.connect(browserWSEndpoint=f"{made['webSocketDebuggerUrl']}?token={up.token}")
        page = await browser.newPage()
        await page.goto(url)
        assert await page.title() == "Shop"
        await browser.disconnect()
        await asyncio.wait({browser._connection._recv_fut}, timeout=5)
        assert made["sessionId"] in await text(client, "list_browser_sessions")
        ended = orjson.loads(await text(client, "kill_browser_session", session_id=made["sessionId"]))
        assert ended["status"] in ("closed", "closing")


async def test_typescripts_sdk(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, pytestconfig: pytest.Config, tmp_path: pathlib.Path
) -> None:
    url = web.page("/shop", SHOP)
    folder = await asyncio.to_thread(javascript.installed, pathlib.Path(pytestconfig.rootpath))
    arguments = (f"{up.url}/mcp?pool=main", up.token)
    with javascript.running(folder, "mcp.mjs", *arguments, errors=tmp_path / "errors") as node:

        async def ask(what: str, *given: Any) -> Any:
            return await asyncio.to_thread(node.call, what, *given)

        assert (await ask("connect"))["name"] == "browserpool"
        tools = await ask("tools")
        assert "get_url_markdown" in [tool["name"] for tool in tools]
        found = await ask("call", "get_url_markdown", {"url": url})
        assert "# Tea" in found["content"][0]["text"]
        picture = await ask("call", "get_url_screenshot", {"url": url})
        assert picture["content"][0]["mimeType"] == "image/png"
        failed = await ask("call", "get_url_markdown", {"url": "file:///etc/passwd"})
        assert (failed["isError"], "http" in json.dumps(failed["content"])) == (True, True)
