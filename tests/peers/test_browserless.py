"""Callers that move to a pool from the real browserless. Run by ``make peers-test`` only: it is fetched by npm, and is large.

Both are real, on one machine's Chromium: pool ``moving`` serves nobody yet but who browserless cannot serve.
"""

import io
import pathlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pyppeteer
import pytest
from PIL import Image
from playwright import async_api

from support import browserless, site, stack, waiting

ARM = "X-Browserpool-Arm"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with browserless.running(tmp_path_factory.mktemp("browserless")) as address:
        yield address


@pytest.fixture(scope="module")
def new(old: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    secrets: pathlib.Path = tmp_path_factory.mktemp("secrets")
    (secrets / "old").mkdir()
    (secrets / "old" / "token").write_text(browserless.TOKEN)
    upstream = {"url": old, "kind": "browserless", "tokenSecretRef": {"name": "old"}}
    pools = [
        stack.pool("moving", upstream=upstream),
        stack.pool("moved", replicas=0, maxReplicas=0, upstream={**upstream, "percent": 100}),
    ]
    with stack.running(pools=pools, environment={"BROWSERPOOL_SECRETS_DIR": str(secrets)}) as started:
        yield started


@pytest.fixture
async def http(new: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with new.client() as client:
        client.headers["X-Browserpool-Pool"] = "moving"
        yield client


@pytest.fixture
async def web() -> AsyncIterator[site.Site]:
    async with site.running() as served:
        yield served


async def nothing_left(old: str) -> None:
    async with aiohttp.ClientSession() as client:

        async def is_so() -> bool:
            async with client.get(f"{old}/sessions?token={browserless.TOKEN}") as answer:
                # It answers 500 while one of them is closing.
                return answer.status == 200 and not await answer.json()

        await waiting.until(is_so, deadline=20, every=0.1)


@pytest.mark.parametrize(
    ("options", "kind", "size"),
    [
        ({}, "image/png", (300, 200)),
        ({"screenshotOptions": {"type": "jpeg", "quality": 50}}, "image/jpeg", (300, 200)),
        ({"screenshotOptions": {"type": "webp"}}, "image/webp", (300, 200)),
        ({"screenshotOptions": {"clip": {"x": 0, "y": 0, "width": 50, "height": 40}}}, "image/png", (50, 40)),
        ({"screenshotOptions": {"fullPage": True}}, "image/png", (300, 3000)),
        ({"selector": "#box"}, "image/png", (100, 100)),
    ],
)
async def test_pictures(
    http: aiohttp.ClientSession, web: site.Site, options: dict[str, object], kind: str, size: tuple[int, int]
) -> None:
    url = web.page("/tall", "<body style='margin:0;height:3000px'><div id=box style='width:100px;height:100px'>")
    body = {"url": url, "viewport": {"width": 300, "height": 200}, **options}
    async with http.post("/v1/screenshot", json=body) as answer:
        assert (answer.status, answer.headers[ARM], answer.content_type) == (200, "upstream", kind)
        assert Image.open(io.BytesIO(await answer.read())).size == size


async def test_documents_and_what_selectors_find(http: aiohttp.ClientSession, web: site.Site) -> None:
    url = web.page("/shop", "<title>Shop &amp; more</title><p class=price style='width:50px'>12</p>")
    async with http.post(
        "/v1/pdf", json={"url": url, "pdfOptions": {"format": "a5", "printBackground": True}}
    ) as answer:
        assert (answer.status, answer.headers[ARM], (await answer.read())[:5]) == (200, "upstream", b"%PDF-")
    async with http.post("/v1/content", json={"url": url, "waitForSelector": {"selector": ".price"}}) as answer:
        said = await answer.json()
        assert (answer.status, answer.headers[ARM], said["success"]) == (200, "upstream", True)
        assert "12</p>" in said["result"]
        assert said["meta"] == {"status": 200, "title": "Shop & more"}
    async with http.post("/v1/scrape", json={"url": url, "elements": [{"selector": ".price"}]}) as answer:
        said = await answer.json()
        assert (answer.status, answer.headers[ARM]) == (200, "upstream")
        [found] = said["result"]
        assert (found["selector"], found["results"][0]["text"], found["results"][0]["width"]) == (".price", "12", 50)
    async with http.post("/content", json={"url": url}) as answer:
        assert (answer.status, answer.headers[ARM], answer.content_type) == (200, "upstream", "text/html")


FIELDS = [
    {"addScriptTag": [{"content": "document.body.append('seen')"}]},
    {"addStyleTag": [{"content": "p {color: red}"}], "emulateMediaType": "print"},
    {"cookies": [{"name": "a", "value": "b", "url": "http://127.0.0.1/"}], "setExtraHTTPHeaders": {"X-A": "b"}},
    {"rejectResourceTypes": ["image"], "rejectRequestPattern": ["\\.css$"]},
    {"waitForFunction": {"fn": "() => true"}, "waitForTimeout": 10, "bestAttempt": True},
    {"gotoOptions": {"waitUntil": ["load", "networkidle2"], "timeout": 20000, "referer": "http://127.0.0.1/"}},
    {"authenticate": {"username": "a", "password": "b"}},
    {"viewport": {"width": 100, "height": 100, "deviceScaleFactor": 2, "isMobile": True, "hasTouch": True}},
    {"actionTimeout": 30000, "cacheTTL": 0},
]


@pytest.mark.parametrize("fields", FIELDS, ids=",".join)
async def test_each_field_is_taken_there(
    http: aiohttp.ClientSession, web: site.Site, fields: dict[str, object]
) -> None:
    url = web.page("/plain", "<p>plain</p>")
    async with http.post("/v1/content", json={"url": url, **fields}) as answer:
        said = await answer.json()
        assert (answer.status, answer.headers[ARM]) == (200, "upstream"), said
        assert ("seen" in said["result"]) == ("addScriptTag" in fields)


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("markdown", {}), ("links", {}), ("snapshot", {}), ("accessibilityTree", {}), ("content", {"userAgent": "me"}),
        ("content", {"setJavaScriptEnabled": False}), ("content", {"allowResourceTypes": ["document"]}),
    ],
)  # fmt: skip
async def test_what_it_cannot_do_is_the_pools(
    new: stack.Stack, http: aiohttp.ClientSession, action: str, fields: dict[str, object]
) -> None:
    async with http.post(f"/v1/{action}", json={"html": "<p>x</p>", **fields}) as answer:
        assert (answer.status, answer.headers[ARM]) == (200, "pool")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "https://nowhere.invalid/"}, 5009),
        ({"url": "http://127.0.0.1:9/"}, 5009),
        ({"html": "<p>", "waitForSelector": {"selector": "#late", "timeout": 100}}, 6002),
    ],
)
async def test_a_page_that_fails_there_is_the_pages_fault(
    http: aiohttp.ClientSession, fields: dict[str, object], code: int
) -> None:
    async with http.post("/v1/content", json=fields) as answer:
        said = await answer.json()
        assert (answer.status, answer.headers[ARM], said["errors"][0]["code"]) == (422, "upstream", code), said


async def test_puppeteer_and_playwright(old: str, new: stack.Stack, web: site.Site) -> None:
    url = web.page("/hello", "<title>hello</title>")
    address = f"{new.websocket}/devtools/browser?token={new.token}&pool=moving"
    browser = await pyppeteer.connect(browserWSEndpoint=address)
    page = await browser.newPage()
    await page.goto(url)
    assert await page.title() == "hello"
    await browser.close()
    await nothing_left(old)
    async with async_api.async_playwright() as playwright:
        other = await playwright.chromium.connect_over_cdp(address)
        tab = await other.new_page()
        await tab.goto(url)
        assert await tab.title() == "hello"
        await other.close()
    await nothing_left(old)
    assert (await new.status())["sessions"] == []


async def test_a_client_that_goes_away_leaves_nothing_there(old: str, http: aiohttp.ClientSession) -> None:
    socket = await http.ws_connect("/devtools/browser")
    assert socket._response.headers[ARM] == "upstream"
    assert socket._conn is not None
    assert socket._conn.transport is not None
    socket._conn.transport.abort()
    await socket.close()
    await nothing_left(old)


async def test_an_empty_pool_is_served_by_it(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/content?pool=moved", json={"html": "<p>x</p>"}) as answer:
        assert (answer.status, answer.headers[ARM]) == (200, "upstream")
    async with http.ws_connect("/devtools/browser?pool=moved") as socket:
        assert socket._response.headers[ARM] == "upstream"
