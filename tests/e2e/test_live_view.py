"""A running session in the viewer's own browser: watched, driven, handed over; and what a link does not open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from playwright import async_api

from support import cdp, chrome, site, stack, waiting

FORM = """<title>A form</title><style>body {margin: 0; background: rgb(0, 128, 0)} input {width: 400px; height: 100px; border: 0}</style>
<input id="name"><script>onclick = () => document.title = "clicked"</script>"""
Made = dict[str, Any]


@pytest.fixture
async def window() -> AsyncIterator[async_api.Page]:
    """A person's own browser."""
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chrome.binary(), args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1000, "height": 900})
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(str(error)))
        yield page
        await browser.close()
        assert trouble == []


@contextlib.asynccontextmanager
async def session(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site
) -> AsyncIterator[tuple[Made, cdp.Client, str, str]]:
    """A session with the form open: the answer that made it, its CDP client, the page's target and CDP session."""
    web.page("/form", FORM)
    async with http.post("/devtools/browser?targets=true&keep_alive=60000") as answer:
        assert answer.status == 200, await answer.text()
        made = await answer.json()
    try:
        async with http.ws_connect(made["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            client = cdp.Client(socket)
            target, page = await client.page()
            await client.call("Page.navigate", page, url=web.url("/form"))
            await waiting.until(lambda: client.evaluate(page, "document.readyState === 'complete'"))
            yield made, client, target, page
    finally:
        async with http.delete(f"/devtools/browser/{made['sessionId']}") as answer:
            assert answer.status == 200


async def view(http: aiohttp.ClientSession, made: Made, **body: Any) -> Made:
    async with http.post(f"/devtools/browser/{made['sessionId']}/live_view", json=body) as answer:
        assert answer.status == 200, await answer.text()
        link: Made = await answer.json()
        return link


async def colour(window: async_api.Page) -> list[int]:
    """What the viewer sees near the right lower corner of the page."""
    read = "c => [...c.getContext('2d').getImageData(c.width - 20, c.height - 20, 1, 1).data]"
    found: list[int] = await window.locator("canvas").evaluate(read)
    return found


async def green(window: async_api.Page) -> bool:
    red, middle, blue, _ = await colour(window)
    return max(red, blue) < 20 and abs(middle - 128) < 20


async def click_and_type(window: async_api.Page, text: str) -> None:
    box = await window.locator("canvas").bounding_box()
    assert box is not None
    await window.mouse.click(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.05)
    await window.keyboard.type(text)


@pytest.mark.parametrize("mode", ["tab", "full"])
async def test_a_person_sees_the_page_and_drives_it(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, window: async_api.Page, mode: str
) -> None:
    async with session(up, http, web) as (made, client, target, page):
        link = await view(http, made, mode=mode, targetId=target)
        assert (link["id"], link["options"]) == (target, {"mode": mode})
        await window.goto(link["devtoolsFrontendUrl"])
        await waiting.until(lambda: green(window))
        await click_and_type(window, "Ada L")
        await waiting.until(lambda: client.evaluate(page, "document.getElementById('name').value === 'Ada L'"))
        assert await client.evaluate(page, "document.title") == "clicked"
        if mode == "full":
            await window.locator("#tabs button[aria-selected=false]").click()
            await waiting.until(lambda: _is(window, "#address", "about:blank"))
            await window.fill("#address", web.url("/small"))
            await window.press("#address", "Enter")
            await waiting.until(lambda: len(web.requests("/small")) == 1)


async def test_a_tab_that_changes_under_the_mouse_is_clicked(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, window: async_api.Page
) -> None:
    web.page("/poem", "<title>A poem</title>")
    async with session(up, http, web) as (made, client, target, _):
        _, other = await client.page(web.url("/form?other"))
        link = await view(http, made, mode="full", targetId=target)
        await window.goto(link["devtoolsFrontendUrl"])
        box = await _tab(window, "/form?other").bounding_box()
        assert box is not None
        await window.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        await window.mouse.down()
        await client.call("Page.navigate", other, url=web.url("/poem"))
        tab = _tab(window, "/poem")
        await tab.wait_for()
        await window.mouse.up()
        await waiting.until(lambda: _is_selected(tab))


def _tab(window: async_api.Page, path: str) -> async_api.Locator:
    """The tab with that page."""
    return window.locator(f"#tabs button[title$='{path}']")


async def _is_selected(tab: async_api.Locator) -> bool:
    return await tab.get_attribute("aria-selected") == "true"


async def _is(window: async_api.Page, field: str, value: str) -> bool:
    return await window.input_value(field) == value


@pytest.mark.parametrize("mode", ["tab", "full", "devtools"])
async def test_whoever_only_looks_changes_nothing(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, window: async_api.Page, mode: str
) -> None:
    async with session(up, http, web) as (made, client, target, page):
        link = await view(http, made, mode=mode, targetId=target, guardrails={"mode": "readonly"})
        assert link["options"] == {"mode": mode, "guardrails": {"mode": "readonly"}}
        await window.goto(link["devtoolsFrontendUrl"])
        await waiting.until(lambda: green(window))
        assert (await window.title()).startswith("READ ONLY - ")
        await click_and_type(window, "Eve")
        # The page's own rules are not what keeps him out.
        async with http.ws_connect(link["webSocketDebuggerUrl"]) as socket:
            viewer = cdp.Client(socket)
            for method in ("Runtime.evaluate", "Input.insertText", "Page.navigate", "Browser.close"):
                assert (
                    "read-only"
                    in (await viewer.ask(method, expression="1", text="x", url="about:blank"))["error"]["message"]
                )
        assert await client.evaluate(page, "document.getElementById('name').value + document.title") == "A form"


async def test_devtools_are_the_browsers_own(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, window: async_api.Page
) -> None:
    async with session(up, http, web) as (made, _, target, _page):
        [first] = made["targets"]
        assert "/devtools/inspector.html?ws=" in first["devtoolsFrontendUrl"]
        link = await view(http, made, targetId=target)
        assert link["options"] == {"mode": "devtools"}
        await window.goto(link["devtoolsFrontendUrl"])
        await window.get_by_text("input", exact=True).first.wait_for(timeout=60_000)


async def test_a_script_hears_that_the_person_is_done(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, window: async_api.Page
) -> None:
    async with session(up, http, web) as (_, client, target, page):
        await client.call("Cloudflare.handoff", page, instructions="Type your name", timeout=60_000)
        link = await client.call("Cloudflare.getLiveView", page, mode="tab")
        assert link["id"] == target
        assert link["devtoolsFrontendUrl"].startswith(f"{up.url}/live/")
        await window.goto(link["devtoolsFrontendUrl"])
        await window.get_by_text("Type your name").wait_for()
        await window.click("#done")
        over = await client.event("Cloudflare.handoffComplete")
        assert (over["targetId"], over["success"]) == (target, True)
        await window.get_by_text("Type your name").wait_for(state="hidden")


async def test_what_a_link_does_not_open(up: stack.Stack, http: aiohttp.ClientSession, web: site.Site) -> None:
    async with session(up, http, web) as (made, client, target, _):
        other, _page = await client.page()
        link = await view(http, made, mode="tab", targetId=target)
        root = link["devtoolsFrontendUrl"].replace("http:", "ws:")
        async with aiohttp.ClientSession() as stranger:
            for path in (f"/page/{other}", "/browser"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await stranger.ws_connect(root + path)
                assert refused.value.status == 403
            async with stranger.get(link["devtoolsFrontendUrl"] + "/devtools/inspector.html") as answer:
                assert answer.status == 403
            async with stranger.get(link["devtoolsFrontendUrl"][:-3]) as answer:
                assert answer.status == 401
            socket = await stranger.ws_connect(link["webSocketDebuggerUrl"])
            async with http.delete(f"/devtools/browser/{made['sessionId']}") as answer:
                assert answer.status == 200
            async with asyncio.timeout(20):
                while not socket.closed:
                    await socket.receive()
            async with stranger.get(link["devtoolsFrontendUrl"]) as answer:
                assert answer.status == 410
        async with http.post(f"/devtools/browser/{made['sessionId']}/live_view", json={}) as answer:
            assert answer.status == 410
