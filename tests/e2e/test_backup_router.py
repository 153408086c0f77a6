"""An installation whose region has no browser, with another installation as its backup: all of it real."""

import io
import pathlib
from collections.abc import Iterator

import aiohttp
import pyppeteer
import pytest
from PIL import Image

from support import site, stack, waiting


@pytest.fixture(scope="module")
def far() -> Iterator[stack.Stack]:
    with stack.running(pools=[stack.pool("main", replicas=1, regions=[{"name": "us"}])]) as started:
        yield started


@pytest.fixture(scope="module")
def near(far: stack.Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "far").mkdir()
    (secrets / "far" / "token").write_text(far.token)
    router = {"url": far.url, "tokenSecretRef": {"name": "far"}}
    pools = [stack.pool("main", replicas=0, regions=[{"name": "eu", "backupRouter": router}])]
    with stack.running(pools=pools, environment={"BROWSERPOOL_SECRETS_DIR": str(secrets)}) as started:
        yield started


async def test_quick_actions(near: stack.Stack, far: stack.Stack, web: site.Site) -> None:
    url = web.page("/shop", "<title>Shop</title><p class=price>12</p>")
    async with near.client() as http:
        body = {"url": url, "viewport": {"width": 300, "height": 200}}
        async with http.post("/v1/screenshot", json=body) as answer:
            said = {name: answer.headers[f"X-Browserpool-{name}"] for name in ("Region", "Locality")}
            assert (answer.status, said) == (200, {"Region": "us", "Locality": "remote"})
            assert Image.open(io.BytesIO(await answer.read())).size == (300, 200)
        async with http.post("/v1/content", json={"url": url}) as answer:
            assert (answer.status, "12" in await answer.text()) == (200, True)
        async with http.post("/v1/content", json={"url": "https://nowhere.invalid/"}) as answer:
            assert (answer.status, (await answer.json())["errors"][0]["code"]) == (422, 5005)
    await far.whole()


async def test_puppeteer_connects_leaves_and_comes_back(near: stack.Stack, far: stack.Stack, web: site.Site) -> None:
    url = web.page("/hello", "<title>hello</title>")
    async with near.client() as http, http.post("/devtools/browser") as answer:
        assert answer.status == 200
        made = await answer.json()
    at = f"{made['webSocketDebuggerUrl']}?token={near.token}"
    assert at.startswith(near.websocket)
    browser = await pyppeteer.connect(browserWSEndpoint=at)
    page = await browser.newPage()
    await page.goto(url)
    await browser.disconnect()
    browser = await pyppeteer.connect(browserWSEndpoint=at)
    assert "hello" in [await one.title() for one in await browser.pages()]
    assert [one["sessionId"] for one in await listed(far)] == [made["sessionId"]]
    await browser.close()
    await far.whole()


async def listed(installation: stack.Stack) -> list[dict[str, str]]:
    async with installation.client() as http, http.get("/devtools/session") as answer:
        found: list[dict[str, str]] = await answer.json()
        return found


async def test_without_the_other_installation_there_is_none(near: stack.Stack, tmp_path: pathlib.Path) -> None:
    before = near.manifest.read_text()
    pools = [
        stack.pool(
            "main",
            replicas=0,
            onEmpty={"mode": "Fail"},
            regions=[{"name": "eu", "backupRouter": {"url": "http://127.0.0.1:9"}}],
        )
    ]
    near.manifest.write_text(stack.yaml.safe_dump_all(pools))
    try:
        async with near.client() as http:

            async def refused() -> bool:
                async with http.post("/v1/content", json={"html": "<p>"}) as answer:
                    return answer.status == 503 and "Retry-After" in answer.headers

            await waiting.until(refused, deadline=20, every=0.2)
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await http.ws_connect("/devtools/browser")
    finally:
        near.manifest.write_text(before)
