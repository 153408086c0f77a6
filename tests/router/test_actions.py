"""Quick actions through the router: what comes back, and that the browser comes back too."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from browserpool.model import errors
from browserpool.model.names import PoolName, TokenName
from browserpool.store import connect
from support import routers, waiting

ACCOUNT = "/client/v4/accounts/any"


@pytest.mark.parametrize("prefix", [f"{ACCOUNT}/browser-rendering", f"{ACCOUNT}/browser-run", "/v1"])
async def test_a_screenshot_by_each_address(rig: routers.Rig, prefix: str) -> None:
    [agent] = await rig.make_pool()
    answer = await rig.post(f"{prefix}/screenshot", {"url": "https://example.com"})
    assert (answer.status, answer.body) == (200, routers.PNG)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Browser-Ms-Used"] == "12"
    assert answer.headers["X-Browserpool-Browser"] == agent.browser_id
    assert answer.headers["X-Browserpool-Pool"] == "small"
    assert answer.headers["X-Browserpool-Locality"] == "region"
    assert answer.headers["X-Browserpool-Session"] == agent.sessions[-1]
    await rig.until_ready()


BAD_BODIES = [
    (b"", "the body is empty"),
    (b"not json", "not JSON"),
    (b"[]", "must be a JSON object"),
    (b"{}", "url or html is required"),
    (b'{"url": "https://a", "html": "b"}', "url and html are both there"),
    (b'{"html": "b", "viewport": {"width": 10}}', "viewport.height is required"),
    (b'{"html": "b", "gotoOptions": {"timeout": "soon"}}', "gotoOptions.timeout"),
    (b'{"html": "b", "screenshotOptions": {"type": "gif"}}', "screenshotOptions.type"),
    (b'{"html": "b", "waitForTimout": 5}', "waitForTimout"),
]


async def test_a_bad_body_is_400_by_its_field_and_costs_no_claim(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    for body, words in BAD_BODIES:
        answer = await rig.request("POST", "/v1/screenshot", data=body)
        assert answer.status == 400, body
        assert words in answer.message
        assert answer.json["success"] is False
        assert "Retry-After" not in answer.headers
    assert agent.sessions == []


@pytest.mark.parametrize("body", [b"", b"not json", b"[]"])
async def test_what_is_no_object_is_refused_in_the_same_words_everywhere(rig: routers.Rig, body: bytes) -> None:
    await rig.make_pool()
    answers = [await rig.request("POST", path, data=body) for path in ("/v1/content", "/v1/crawl")]
    plain = await rig.request("POST", "/content", data=body)
    said = [(one.status, one.message) for one in answers]
    assert said == [(plain.status, plain.body.decode().strip())] * 2


async def test_the_query_counts_too(rig: routers.Rig) -> None:
    await rig.make_pool()
    answer = await rig.post("/v1/content?cacheTTL=soon", {"html": "x"})
    assert (answer.status, "cacheTTL" in answer.message) == (400, True)


async def test_an_unknown_action_is_404_and_names_those_there_are(rig: routers.Rig) -> None:
    await rig.make_pool()
    answer = await rig.post("/v1/juggle", {"html": "x"})
    assert answer.status == 404
    assert "screenshot" in answer.message


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/screenshot", 405), ("GET", "/nothing/here", 404)])
async def test_wrong_addresses_are_answered_in_the_envelope(
    rig: routers.Rig, method: str, path: str, status: int
) -> None:
    answer = await rig.request(method, path)
    assert answer.status == status
    assert answer.json["success"] is False
    assert path in answer.message


async def test_pools(rig: routers.Rig) -> None:
    await rig.make_pool("alpha")
    await rig.make_pool("beta")
    beta_only = await rig.make_token("beta-only", pools=frozenset({"beta"}))
    cases = [
        ("/v1/screenshot?pool=alpha", {}, None, 200, ""),
        ("/v1/screenshot", {"X-Browserpool-Pool": "beta"}, None, 200, ""),
        ("/v1/screenshot", {}, beta_only, 200, ""),
        ("/v1/screenshot", {}, None, 400, "alpha, beta"),
        ("/v1/screenshot?pool=nope", {}, None, 404, "no pool nope"),
        ("/v1/screenshot?pool=alpha", {}, beta_only, 403, "may not use pool alpha"),
        ("/v1/screenshot?pool=alpha&region=mars", {}, None, 400, "region"),
    ]
    for path, headers, secret, status, words in cases:
        answer = await rig.post(path, {"html": "x"}, headers=headers, secret=secret)
        assert answer.status == status, (path, answer.body)
        assert status == 200 or words in answer.message


async def test_a_node_that_is_wished_for(rig: routers.Rig) -> None:
    agents = await rig.make_pool(browsers_=3)
    for _ in range(3):
        answer = await rig.post("/v1/screenshot?node=node-2", {"html": "x"})
        assert answer.headers["X-Browserpool-Browser"] == agents[2].browser_id
        assert answer.headers["X-Browserpool-Locality"] == "node"
        await rig.until_ready(number=3)
    answer = await rig.post("/v1/screenshot", {"html": "x"}, headers={"X-Browserpool-Zone": "zone-1"})
    assert answer.headers["X-Browserpool-Browser"] == agents[1].browser_id
    assert answer.headers["X-Browserpool-Locality"] == "zone"


async def test_the_body_reaches_the_agent_as_it_was_sent(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    body = b'{ "html":"caf\xc3\xa9",\n "viewport":{"width":800,"height":600.0} }'
    assert (await rig.request("POST", "/v1/screenshot", data=body)).status == 200
    assert agent.served == [("screenshot", body)]


async def test_a_body_over_the_limit_is_413_whether_its_length_is_told_or_not(
    dsn: str, database: connect.Database
) -> None:
    async with routers.rig(dsn, database, max_body=2000) as rig:
        [agent] = await rig.make_pool()

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield b"x" * 100

        for data in (b"x" * 3000, chunks()):
            answer = await rig.request("POST", "/v1/content", data=data)
            assert answer.status == 413
            assert answer.json["success"] is False
        exactly = b'{"html":"' + b"x" * (2000 - 11) + b'"}'
        assert len(exactly) == 2000
        assert (await rig.request("POST", "/v1/content", data=exactly)).status == 200
        assert len(agent.sessions) == 1


async def test_a_large_answer_is_streamed_whole(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    picture = os.urandom(1024) * (20 * 1024)
    agent.does = routers.answers(picture)
    answer = await rig.post("/v1/screenshot", {"html": "x"})
    assert answer.body == picture
    assert answer.headers["Content-Length"] == str(len(picture))
    await rig.until_ready()


async def test_the_agents_refusal_passes_through(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.does = routers.refuses(errors.PageFailed("net::ERR_NAME_NOT_RESOLVED", code=errors.Code.DNS))
    answer = await rig.post("/v1/content", {"url": "https://no.such.host"})
    assert answer.status == 422
    assert answer.json["errors"] == [{"code": 5005, "message": "net::ERR_NAME_NOT_RESOLVED"}]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["X-Browserpool-Browser"] == agent.browser_id
    await rig.until_ready()


async def test_a_hundred_at_once_on_four_browsers_are_all_answered_one_at_a_time(rig: routers.Rig) -> None:
    agents = await rig.make_pool(browsers_=4)
    answers = await asyncio.gather(*(rig.post("/v1/screenshot", {"html": "x"}) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert not any(agent.overlapping for agent in agents)
    assert sum(len(agent.served) for agent in agents) == 100
    assert len({answer.headers["X-Browserpool-Session"] for answer in answers}) == 100
    await rig.until_ready(number=4)
    # The store has the browser back a moment before the router has put the session away.
    await waiting.until(lambda: len(rig.running.services.claiming.holding) == 0)
    assert rig.running.services.quotas.running(TokenName("tester")) == 0


async def test_a_rate_is_429_and_retry_after_is_true(rig: routers.Rig) -> None:
    await rig.make_pool()
    slow = await rig.make_token("slow", rate_per_second=1.0)
    assert (await rig.post("/v1/screenshot", {"html": "x"}, secret=slow)).status == 200
    refused = await rig.post("/v1/screenshot", {"html": "x"}, secret=slow)
    assert refused.status == 429
    assert refused.json["errors"][0]["code"] == 1004
    await asyncio.sleep(int(refused.headers["Retry-After"]))  # the header's own promise is what is tested
    assert (await rig.post("/v1/screenshot", {"html": "x"}, secret=slow)).status == 200


async def test_concurrency_is_429_for_this_token_only_and_a_lone_user_never_meets_it(rig: routers.Rig) -> None:
    agents = await rig.make_pool(browsers_=2)
    narrow = await rig.make_token("narrow", concurrency=1)
    for agent in agents:
        agent.gate.clear()
    first = rig.background.spawn(rig.post("/v1/screenshot", {"html": "x"}, secret=narrow), name="first")
    await waiting.until(lambda: any(agent.running for agent in agents))
    refused = await rig.post("/v1/screenshot", {"html": "x"}, secret=narrow)
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    for agent in agents:
        agent.gate.set()
    assert (await rig.post("/v1/screenshot", {"html": "x"})).status == 200
    assert (await first).status == 200
    for _ in range(10):
        assert (await rig.post("/v1/screenshot", {"html": "x"}, secret=narrow)).status == 200


async def test_an_empty_pool_that_fails_fast(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=0, onEmpty={"mode": "Fail"})
    answer = await rig.post("/v1/screenshot", {"html": "x"})
    assert answer.status == 503
    assert answer.json["errors"][0]["code"] == 1003
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_an_empty_pool_at_its_deadline_and_at_its_bound(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=0, onEmpty={"queueTimeout": "500ms", "queueLimit": 1})
    waits = rig.background.spawn(rig.post("/v1/screenshot", {"html": "x"}), name="waits")
    await waiting.until(lambda: rig.running.services.claiming.waiting.depth(PoolName("small")) == 1)
    full = await rig.post("/v1/screenshot", {"html": "x"})
    assert (full.status, full.headers["Retry-After"]) == (429, "5")
    late = await waits
    assert (late.status, late.headers["Retry-After"]) == (503, "5")
    assert "within 0.5 s" in late.message


async def test_one_who_waits_gets_the_browser_that_is_released(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    first = rig.background.spawn(rig.post("/v1/screenshot", {"html": "1"}), name="first")
    await waiting.until(lambda: agent.running == 1)
    second = rig.background.spawn(rig.post("/v1/screenshot", {"html": "2"}), name="second")
    await waiting.until(lambda: rig.running.services.claiming.waiting.depth(PoolName("small")) == 1)
    agent.gate.set()
    assert [(await first).status, (await second).status] == [200, 200]
    assert not agent.overlapping
