"""A program that was written for browserless, by its bodies and addresses, against an installation with real Chromium."""

import base64
import io

import aiohttp
import pyppeteer
from PIL import Image
from playwright import async_api

from support import site, stack, waiting


async def ask(
    up: stack.Stack, http: aiohttp.ClientSession, path: str, body: dict[str, object]
) -> tuple[int, bytes, str]:
    """As browserless' clients ask: the token in the address, no header."""
    async with http.post(f"{path}?token={up.token}&pool=main", json=body, headers={"Authorization": ""}) as answer:
        return answer.status, await answer.read(), answer.content_type


async def test_the_four_actions(up: stack.Stack, http: aiohttp.ClientSession, web: site.Site) -> None:
    url = web.page(
        "/shop", "<title>Shop</title><p class=price style='width:50px'>12&nbsp;€</p><script>window.ready=1</script>"
    )
    for prefix in ("", "/chromium"):
        status, body, kind = await ask(
            up, http, prefix + "/screenshot", {"url": url, "options": {"type": "jpeg", "quality": 50}}
        )
        assert (status, kind, Image.open(io.BytesIO(body)).size) == (200, "image/jpeg", (800, 600))
        status, body, kind = await ask(
            up, http, prefix + "/pdf", {"url": url, "options": {"format": "A4", "printBackground": True}}
        )
        assert (status, kind, body[:5]) == (200, "application/pdf", b"%PDF-")
        wait = {"fn": "() => window.ready === 1", "polling": "raf"}
        status, body, kind = await ask(up, http, prefix + "/content", {"url": url, "waitForFunction": wait})
        assert (status, kind) == (200, "text/html")
        assert "12&nbsp;€" in body.decode()
        status, body, kind = await ask(up, http, prefix + "/scrape", {"url": url, "elements": [{"selector": ".price"}]})
        assert (status, kind) == (200, "application/json")
        assert b'"text":"12' in body
        assert body.startswith(b'{"data":[{"selector":".price"')
    status, body, _ = await ask(up, http, "/screenshot", {"html": "<p>x", "options": {"encoding": "base64"}})
    assert base64.b64decode(body).startswith(b"\x89PNG")


async def test_a_page_that_fails_is_told_in_a_sentence(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    status, body, kind = await ask(up, http, "/content", {"url": "https://nowhere.invalid/"})
    assert (status, kind) == (422, "text/plain")
    assert b"nowhere.invalid" in body or b"NAME_NOT_RESOLVED" in body
    late = {"html": "<p>", "elements": [{"selector": "#late", "timeout": 200}]}
    status, body, _ = await ask(up, http, "/scrape", late)
    assert (status, body) == (422, b"elements: nothing matched '#late' within 200 ms\n")
    status, body, _ = await ask(up, http, "/scrape", {**late, "bestAttempt": True})
    assert (status, body) == (200, b'{"data":[{"selector":"#late","results":[]}],"debug":null}')


async def test_puppeteer_and_playwright_connect_to_the_bare_host(up: stack.Stack, web: site.Site) -> None:
    url = web.page("/hello", "<title>hello</title>")
    host = up.url.replace("http://", "ws://")
    for path in ("", "/chromium"):
        browser = await pyppeteer.connect(browserWSEndpoint=f"{host}{path}?token={up.token}&pool=main")
        page = await browser.newPage()
        await page.goto(url)
        assert await page.title() == "hello"
        await browser.close()
    async with async_api.async_playwright() as playwright:
        other = await playwright.chromium.connect_over_cdp(f"{host}/chromium?token={up.token}&pool=main")
        tab = await other.new_page()
        await tab.goto(url)
        assert await tab.title() == "hello"
        await other.close()


async def test_who_goes_away_holds_nothing(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async def open_sessions() -> list[object]:
        async with http.get("/sessions") as answer:
            found: list[object] = await answer.json()
            return found

    async with http.ws_connect(f"/?token={up.token}&pool=main"):
        assert len(await open_sessions()) == 1

    async def none() -> bool:
        return await open_sessions() == []

    await waiting.until(none, deadline=20)
    async with http.get("/pressure") as answer:
        assert (await answer.json())["pressure"]["isAvailable"]
