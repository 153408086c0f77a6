"""Real pages read by a model over a socket, and answers given again: an installation as `up` starts it, by Cloudflare's SDK."""

from collections.abc import AsyncIterator

import aiohttp
import cloudflare
import orjson
import pytest

from support import models, site, stack

ACCOUNT = "0123456789abcdef0123456789abcdef"
PAGE = "<!doctype html><title>Shop</title><h1>Fruit</h1><p><script>document.write('Apples cost ' + 1.5 * 2)</script>"
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"fruit": {"type": "string"}, "price": {"type": "number"}},
    "required": ["fruit", "price"],
}


def reads(asked: models.Asked) -> object:
    """A model that reads: what it says is what the page says."""
    price = asked.words.partition("Apples cost ")[2][:1]
    return models.says(f'{{"fruit": "Apples", "price": {price or "null"}}}')(asked)


@pytest.fixture
async def world() -> AsyncIterator[models.World]:
    async with models.world(own=reads, other=reads) as made:
        yield made


@pytest.fixture
async def up(world: models.World) -> AsyncIterator[stack.Stack]:
    environment = {
        "BROWSERPOOL_CACHE": "memory",
        "BROWSERPOOL_AI_URL": world.base("own"),
        "BROWSERPOOL_AI_MODEL": "house-1",
        "BROWSERPOOL_AI_KEY": "the-operators-key",
        "BROWSERPOOL_AI_PROVIDERS": f"other={world.base('other')}",
    }
    with stack.running(pools=[stack.pool("main", replicas=1)], environment=environment) as started:
        yield started
        await started.whole()


@pytest.fixture
async def sdk(up: stack.Stack) -> AsyncIterator[cloudflare.AsyncCloudflare]:
    async with cloudflare.AsyncCloudflare(api_token=up.token, base_url=f"{up.url}/client/v4") as client:
        yield client


async def test_the_sdk_reads_json_out_of_real_pages_and_is_answered_again(
    up: stack.Stack, sdk: cloudflare.AsyncCloudflare, web: site.Site, world: models.World
) -> None:
    url = web.page("/shop", PAGE)
    asking = sdk.browser_rendering.json.create
    given = {"type": "json_schema", "json_schema": SCHEMA}
    made = await asking(account_id=ACCOUNT, url=url, prompt="What is for sale?", response_format=given)
    assert made == {"fruit": "Apples", "price": 3}
    again = await asking(account_id=ACCOUNT, url=url, prompt="What is for sale?", response_format=given)
    assert (again, len(world.asked), len(web.requests("/shop"))) == (made, 1, 1)

    custom = [{"model": "other/family/one", "authorization": "Bearer mine"}]
    made = await asking(account_id=ACCOUNT, html=PAGE, response_format=given, custom_ai=custom)
    assert made == {"fruit": "Apples", "price": 3}
    last = world.asked[-1]
    assert (last.provider, last.model, last.authorization) == ("other", "family/one", "Bearer mine")

    # Its two retries are for what may go better, and this would cost as much again.
    with pytest.raises(cloudflare.UnprocessableEntityError) as refused:
        await asking(account_id=ACCOUNT, html="<p>nothing", response_format=given)
    assert orjson.loads(refused.value.response.content)["rawAiResponse"] == '{"fruit": "Apples", "price": null}'
    assert len(world.asked) == 3

    with pytest.raises(cloudflare.BadRequestError, match=r"known here:.*openai.*other"):
        await asking(account_id=ACCOUNT, html="<p>", prompt="x", custom_ai=[{"model": "nobody/x"}])
    for name in ("up", "router"):
        assert "the-operators-key" not in up.log(name)
        assert "Bearer mine" not in up.log(name)


async def test_a_picture_is_taken_once_and_given_twice(
    up: stack.Stack, sdk: cloudflare.AsyncCloudflare, web: site.Site
) -> None:
    url = web.page("/shop", PAGE)
    raw = sdk.browser_rendering.screenshot.with_raw_response.create
    first = await raw(account_id=ACCOUNT, url=url)
    again = await raw(account_id=ACCOUNT, url=url)
    picture = await first.read()
    assert picture.startswith(b"\x89PNG")
    assert await again.read() == picture
    said = [(one.headers["X-Browserpool-Cache"], int(one.headers["X-Browser-Ms-Used"]) > 0) for one in (first, again)]
    assert said == [("miss", True), ("hit", False)]
    assert len(web.requests("/shop")) == 1
    await raw(account_id=ACCOUNT, url=url, cache_ttl=0)
    assert len(web.requests("/shop")) == 2
    async with up.client() as http, http.get("/metrics") as answer:
        assert 'browserpool_cache_lookups_total{outcome="hit"} 1.0' in await answer.text()
    sessions = [one for one in await up.past() if one]
    assert len(sessions) == 2


async def test_a_browser_that_does_not_work_is_no_matter_to_a_hit(up: stack.Stack, web: site.Site) -> None:
    body = {"url": web.page("/shop", PAGE)}
    async with up.client() as http:
        async with http.post("/v1/markdown?cacheTTL=600", json=body) as answer:
            first = await answer.read()
        async with http.post("/devtools/browser?keep_alive=60000") as answer:
            session = (await answer.json())["sessionId"]  # the only one there is
        async with http.post("/v1/markdown", json=body, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            assert (answer.headers["X-Browserpool-Cache"], await answer.read()) == ("hit", first)
        async with http.delete(f"/devtools/browser/{session}") as answer:
            assert answer.status == 200
