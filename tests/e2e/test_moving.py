"""Callers that move to a pool from another installation, and from a Chrome of somebody's: all of it real.

Pool ``routed`` takes over from another installation, ``driven`` from the Chrome. The token's callers are not moved yet.
"""

import asyncio
import contextlib
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pyppeteer
import pytest
import yaml
from PIL import Image
from playwright import async_api

from browserpool.lib import clock
from support import chrome, site, stack, waiting

ARM = "X-Browserpool-Arm"


@contextlib.contextmanager
def somebodys_chrome() -> Iterator[str]:
    """A Chromium as people start one by hand; yields the address of its CDP port."""
    profile = pathlib.Path(tempfile.mkdtemp(prefix="bp-chrome-"))
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [chrome.binary(), "--remote-debugging-port=0", f"--user-data-dir={profile}", "--disable-gpu", *sandbox],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(profile)},
        start_new_session=True,
    )
    try:
        port, end = profile / "DevToolsActivePort", clock.monotonic() + 30
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None, "Chromium ended"
            assert clock.monotonic() < end, "Chromium does not answer"
        yield f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="module")
def old() -> Iterator[stack.Stack]:
    with stack.running(pools=[stack.pool("theirs", replicas=2, maxReplicas=2)]) as started:
        yield started


@pytest.fixture(scope="module")
def new(old: stack.Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "old").mkdir()
    (secrets / "old" / "token").write_text(old.token)
    router = {"url": f"{old.url}/client/v4/accounts/any/browser-rendering", "kind": "cloudflare"}
    with somebodys_chrome() as address:
        pools = [
            stack.pool("routed", upstream={**router, "tokenSecretRef": {"name": "old"}}),
            stack.pool("driven", upstream={"url": address, "kind": "cdp"}),
        ]
        with stack.running(pools=pools, environment={"BROWSERPOOL_SECRETS_DIR": str(secrets)}) as started:
            yield started


@pytest.fixture
async def http(new: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with new.client() as client:
        yield client


@contextlib.contextmanager
def percent(new: stack.Stack, number: int) -> Iterator[None]:
    """All pools serve so many percent of callers meanwhile, as an edit of the manifest has it."""
    before = new.manifest.read_text()
    pools = list(yaml.safe_load_all(before))
    for one in pools:
        one["spec"]["upstream"]["percent"] = number
    new.manifest.write_text(yaml.safe_dump_all(pools))
    try:
        yield
    finally:
        new.manifest.write_text(before)


async def until_served_by(http: aiohttp.ClientSession, pool: str, arm: str) -> None:
    async def is_so() -> bool:
        async with http.post(f"/v1/content?pool={pool}", json={"html": "<p>"}) as answer:
            return answer.status == 200 and answer.headers[ARM] == arm

    await waiting.until(is_so, deadline=20, every=0.2)


async def test_quick_actions_of_another_installation(
    old: stack.Stack, http: aiohttp.ClientSession, web: site.Site
) -> None:
    url = web.page("/shop", "<title>Shop</title><p class=price>12</p><a href='/next'>next</a>")
    body = {"url": url, "viewport": {"width": 300, "height": 200}}
    async with http.post("/v1/screenshot?pool=routed", json=body) as answer:
        picture = await answer.read()
        assert (answer.status, answer.headers[ARM], answer.headers["X-Browserpool-Pool"]) == (200, "upstream", "routed")
        assert answer.headers["X-Browserpool-Browser"].startswith("theirs-")
        assert Image.open(io.BytesIO(picture)).size == (300, 200)
    for action, more, wanted in (
        ("content", {}, "12"),
        ("markdown", {}, "12"),
        ("links", {}, "/next"),
        ("scrape", {"elements": [{"selector": ".price"}]}, "12"),
        ("accessibilityTree", {}, "next"),
        ("snapshot", {}, "12"),
    ):
        async with http.post(f"/v1/{action}?pool=routed", json={"url": url, **more}) as answer:
            assert (answer.status, answer.headers[ARM], wanted in await answer.text()) == (200, "upstream", True), (
                action
            )
    async with http.post("/v1/pdf?pool=routed", json={"url": url}) as answer:
        assert (answer.status, answer.headers[ARM], (await answer.read())[:5]) == (200, "upstream", b"%PDF-")
    async with http.post("/v1/content?pool=routed", json={"url": "https://nowhere.invalid/"}) as answer:
        assert (answer.status, answer.headers[ARM]) == (422, "upstream")
        assert (await answer.json())["errors"][0]["code"] == 5005
    await old.whole()


async def test_puppeteer_and_playwright_at_another_installation(
    old: stack.Stack, new: stack.Stack, web: site.Site
) -> None:
    url = web.page("/hello", "<title>hello</title>")
    browser = await pyppeteer.connect(
        browserWSEndpoint=f"{new.websocket}/devtools/browser?token={new.token}&pool=routed"
    )
    page = await browser.newPage()
    await page.goto(url)
    assert await page.title() == "hello"
    assert [one["pool"] for one in (await old.status())["sessions"]] == ["theirs"]
    assert (await new.status())["sessions"] == []
    await browser.close()
    await old.whole()
    async with async_api.async_playwright() as playwright:
        other = await playwright.chromium.connect_over_cdp(
            f"{new.websocket}/devtools/browser?token={new.token}&pool=routed"
        )
        tab = await other.new_page()
        await tab.goto(url)
        assert await tab.title() == "hello"
        await other.close()
    await old.whole()
    await new.whole()


async def test_a_chrome_that_was_driven_over_cdp(new: stack.Stack, http: aiohttp.ClientSession, web: site.Site) -> None:
    url = web.page("/driven", "<title>driven</title>")
    async with http.ws_connect("/devtools/browser?pool=driven") as socket:
        assert socket._response.headers[ARM] == "upstream"
    browser = await pyppeteer.connect(
        browserWSEndpoint=f"{new.websocket}/devtools/browser?token={new.token}&pool=driven"
    )
    page = await browser.newPage()
    await page.goto(url)
    assert await page.title() == "driven"
    await page.close()
    await browser.disconnect()
    assert (await new.status())["sessions"] == []
    async with http.post("/v1/content?pool=driven", json={"url": url}) as answer:
        assert (answer.status, answer.headers[ARM]) == (200, "pool")
    await new.whole()


async def test_from_one_to_the_other_and_back_with_both_compared(
    old: stack.Stack, new: stack.Stack, http: aiohttp.ClientSession
) -> None:
    await until_served_by(http, "routed", "upstream")
    with percent(new, 100):
        await until_served_by(http, "routed", "pool")
        await new.whole()
    await until_served_by(http, "routed", "upstream")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "browserpool", "compare", "routed", "--since", "1h", "--data", str(new.data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    lines = [line.split() for line in said.decode().splitlines()]
    both = lines[next(i for i, line in enumerate(lines) if line[:2] == ["content", "pool"]) :][:2]
    assert both[0][2:5] == [both[0][2], "0", "0.00%"]
    assert (both[1][0], both[1][2]) == ("upstream", "0")
    await old.whole()


async def test_an_empty_pool_goes_on_with_the_old_system(
    old: stack.Stack, new: stack.Stack, http: aiohttp.ClientSession
) -> None:
    with percent(new, 100):
        await until_served_by(http, "routed", "pool")
        await new.whole()
        async with http.ws_connect("/devtools/browser?pool=routed") as socket:
            assert socket._response.headers[ARM] == "pool"
            async with http.post("/v1/content?pool=routed", json={"html": "<p>"}) as answer:
                assert (answer.status, answer.headers[ARM]) == (200, "upstream")
            async with http.ws_connect("/devtools/browser?pool=routed") as second:
                assert second._response.headers[ARM] == "upstream"
            await socket.send_json({"id": 1, "method": "Browser.close"})
            while not socket.closed:
                await socket.receive()
    await old.whole()
    await new.whole()
