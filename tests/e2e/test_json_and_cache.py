"""Real pages read by a model over a socket, and answers given again: an installation as `up` starts it, by Cloudflare's SDKs."""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import cloudflare
import pytest

from support import javascript, models, sdks, site, stack

ACCOUNT = "0123456789abcdef0123456789abcdef"
JSON = "browserRendering.json.create"
PAGE = "<!doctype html><title>Shop</title><h1>Fruit</h1><p><script>document.write('Apples cost ' + 1.5 * 2)</script>"
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"fruit": {"type": "string"}, "price": {"type": "number"}},
    "required": ["fruit", "price"],
}
FORM = {"type": "json_schema", "json_schema": SCHEMA}
APPLES = {"fruit": "Apples", "price": 3}


def reads(asked: models.Asked) -> object:
    """A model that reads: what it says is what the page says."""
    price = asked.words.partition("Apples cost ")[2][:1]
    return models.says(f'{{"fruit": "Apples", "price": {price or "null"}}}')(asked)


@pytest.fixture
async def world() -> AsyncIterator[models.World]:
    async with models.world(own=reads, other=reads, broken=models.refuses(500)) as made:
        yield made


@pytest.fixture
async def up(world: models.World) -> AsyncIterator[stack.Stack]:
    environment = {
        "BROWSERPOOL_CACHE": "memory",
        "BROWSERPOOL_AI_URL": world.base("own"),
        "BROWSERPOOL_AI_MODEL": "house-1",
        "BROWSERPOOL_AI_KEY": "the-operators-key",
        "BROWSERPOOL_AI_PROVIDERS": f"other={world.base('other')},broken={world.base('broken')}",
    }
    with stack.running(pools=[stack.pool("main", replicas=1)], environment=environment) as started:
        yield started
        await started.whole()


@pytest.fixture
async def sdk(up: stack.Stack) -> AsyncIterator[cloudflare.AsyncCloudflare]:
    async with cloudflare.AsyncCloudflare(api_token=up.token, base_url=f"{up.url}/client/v4") as client:
        yield client


@pytest.fixture
async def both(up: stack.Stack, pytestconfig: pytest.Config, tmp_path: pathlib.Path) -> AsyncIterator[list[sdks.Sdk]]:
    folder = await asyncio.to_thread(javascript.installed, pathlib.Path(pytestconfig.rootpath))
    base = f"{up.url}/client/v4"
    with javascript.running(folder, "sdk.mjs", base, errors=tmp_path / "errors") as node:
        yield [sdks.Python(base=base, token=up.token), sdks.TypeScript(token=up.token, process=node)]


async def asked(sdk: sdks.Sdk, **parameters: Any) -> sdks.Answer:
    return await sdk.call(JSON, {"account_id": ACCOUNT, **parameters})


def custom(*names: str) -> list[dict[str, str]]:
    return [{"model": name, "authorization": "Bearer mine"} for name in names]


async def test_the_sdks_read_json_out_of_real_pages_and_are_answered_again(
    up: stack.Stack, both: list[sdks.Sdk], web: site.Site, world: models.World
) -> None:
    for number, sdk in enumerate(both):
        world.asked.clear()
        url = web.page(f"/shop-{number}", PAGE)
        made = [await asked(sdk, url=url, prompt="What is for sale?", response_format=FORM) for _ in range(2)]
        assert [(one.value, one.attempts) for one in made] == [(APPLES, 1)] * 2, made
        assert (len(world.asked), len(web.requests(f"/shop-{number}"))) == (1, 1)
        (question,) = world.asked
        assert (question.model, question.authorization) == ("house-1", "Bearer the-operators-key")
        assert "What is for sale?" in question.words
        assert question.format is not None
        assert question.format["json_schema"]["schema"] == SCHEMA

        of_words = await asked(sdk, html=PAGE, prompt=f"And at stand {number}?")
        assert (of_words.value, of_words.attempts) == (APPLES, 1), of_words


async def test_the_callers_own_models_are_asked_one_after_another(
    up: stack.Stack, both: list[sdks.Sdk], world: models.World
) -> None:
    for number, sdk in enumerate(both):
        world.asked.clear()
        named = custom("broken/first", "other/family/one", "other/never")
        made = await asked(sdk, html=PAGE, prompt=f"For {number}?", response_format=FORM, custom_ai=named)
        assert (made.value, made.attempts) == (APPLES, 1), made
        assert [(one.provider, one.model) for one in world.asked] == [("broken", "first"), ("other", "family/one")]
        assert {one.authorization for one in world.asked} == {"Bearer mine"}
    for name in ("up", "router"):
        assert "the-operators-key" not in up.log(name)
        assert "Bearer mine" not in up.log(name)


async def test_an_answer_that_is_not_what_the_schema_says(
    up: stack.Stack, both: list[sdks.Sdk], world: models.World
) -> None:
    """The SDKs' two retries are for what may go better, and this would cost as much again."""
    for sdk in both:
        world.asked.clear()
        refused = await asked(sdk, html="<p>nothing", response_format=FORM)
        assert (refused.status, refused.code, refused.kind) == (422, 7000, "UnprocessableEntityError"), refused
        assert refused.body["rawAiResponse"] == '{"fruit": "Apples", "price": null}'
        assert (refused.attempts, len(world.asked)) == (1, 1)

        unknown = await asked(sdk, html="<p>", prompt="x", custom_ai=[{"model": "nobody/x", "authorization": "k"}])
        assert (unknown.status, unknown.code, unknown.kind) == (400, 1001, "BadRequestError"), unknown
        assert "known here: " in unknown.message
        assert (unknown.attempts, len(world.asked)) == (1, 1)


async def test_a_model_that_is_away(up: stack.Stack, both: list[sdks.Sdk], world: models.World) -> None:
    for sdk in both:
        world.asked.clear()
        away = await asked(sdk, html=PAGE, prompt="x", custom_ai=custom("broken/only"))
        assert (away.status, away.code, away.kind) == (503, 7000, "InternalServerError"), away
        assert (away.attempts, len(world.asked)) == (3, 3)


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
    await up.whole()  # an answer is sent before its session is over
    assert len(await up.past()) == 2


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
