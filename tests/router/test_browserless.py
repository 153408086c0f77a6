"""browserless' addresses: its bodies as ours, our answers as its."""

import asyncio
import logging
from typing import Any

import aiohttp
import orjson
import pytest

from browserpool.model import errors
from browserpool.model.wire import actions as wire
from browserpool.router.browserless import bodies, picture
from support import routers, waiting

DEFAULTS = {"cacheTTL": 0, "gotoOptions": {"waitUntil": "load"}, "viewport": {"width": 800, "height": 600}}
URL = "https://example.com/"


def translated(action: str, body: Any, **query: str) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(bodies.translated(action, orjson.dumps(body), query=query))
    return value


# ---------------------------------------------------------------- bodies
@pytest.mark.parametrize(
    ("action", "body", "expected"),
    [
        ("content", {"url": URL}, {"url": URL}),
        ("content", {"url": URL, "html": "<p>"}, {"url": URL}),
        ("content", {"html": "<p>", "url": None}, {"html": "<p>"}),
        ("content", {"url": URL, "requestInterceptors": []}, {"url": URL}),
        (
            "content",
            {"url": URL, "gotoOptions": {"timeout": 5, "waitUntil": "networkidle2"}},
            {"url": URL, "gotoOptions": {"timeout": 5, "waitUntil": "networkidle2"}},
        ),
        (
            "content",
            {"url": URL, "gotoOptions": {"timeout": 5}},
            {"url": URL, "gotoOptions": {"timeout": 5, "waitUntil": "load"}},
        ),
        (
            "content",
            {"url": URL, "viewport": {"width": 10, "height": 20}},
            {"url": URL, "viewport": {"width": 10, "height": 20}},
        ),
        (
            "content",
            {"url": URL, "rejectRequestPattern": ["/ads/", r".*\.(css|png)", "/x/i"]},
            {"url": URL, "rejectRequestPattern": ["[/]ads/", r".*\.(css|png)", "[/]x/i"]},
        ),
        (
            "content",
            {"url": URL, "waitForFunction": {"fn": "() => 1"}, "waitForEvent": {"event": "x"}, "waitForTimeout": 5},
            {"url": URL, "waitForFunction": {"fn": "() => 1"}, "waitForEvent": {"event": "x"}, "waitForTimeout": 5},
        ),
        (
            "screenshot",
            {"url": URL, "options": {"fullPage": True, "type": "jpeg", "quality": 5}, "scrollPage": True},
            {"url": URL, "screenshotOptions": {"fullPage": True, "type": "jpeg", "quality": 5}, "scrollPage": True},
        ),
        (
            "pdf",
            {"url": URL, "options": {"format": "A4", "waitForFonts": True, "path": "", "fullPage": False}},
            {"url": URL, "pdfOptions": {"format": "A4"}},
        ),
        (
            "scrape",
            {"url": URL, "elements": [{"selector": "a"}, {"selector": "b", "timeout": 5}, {"selector": "c", "timeout": 0}]},
            {
                "url": URL,
                "elements": [
                    {"selector": "a", "timeout": 30_000},
                    {"selector": "b", "timeout": 5},
                    {"selector": "c", "timeout": 1},
                ],
            },
        ),
    ],
)  # fmt: skip
def test_a_body_becomes_one_of_ours(action: str, body: Any, expected: dict[str, Any]) -> None:
    found = translated(action, body)
    assert found == {**DEFAULTS, **expected}
    wire.parse(action, orjson.dumps(found))


def test_the_whole_body_that_its_documentation_lists_is_taken() -> None:
    body = {
        "url": URL,
        "addScriptTag": [{"content": "1", "type": "module", "id": "x"}],
        "addStyleTag": [{"url": URL}],
        "authenticate": {"username": "u", "password": "p"},
        "bestAttempt": True,
        "cookies": [{"name": "a", "value": "b", "domain": "example.com", "sameSite": "Lax", "expires": 1}],
        "emulateMediaType": "print",
        "gotoOptions": {"referer": URL, "referrerPolicy": "origin", "timeout": 10_000, "waitUntil": ["load", "networkidle0"]},
        "rejectRequestPattern": ["x"],
        "rejectResourceTypes": ["image", "font"],
        "requestInterceptors": [],
        "setExtraHTTPHeaders": {"X-A": "b"},
        "setJavaScriptEnabled": True,
        "userAgent": "me",
        "viewport": {"width": 1, "height": 2, "deviceScaleFactor": 1, "hasTouch": False, "isLandscape": False, "isMobile": False},
        "waitForEvent": {"event": "x", "timeout": 5},
        "waitForFunction": {"fn": "() => 1", "polling": "mutation", "timeout": 5},
        "waitForSelector": {"selector": "p", "hidden": False, "visible": True, "timeout": 5},
        "waitForTimeout": 5,
    }  # fmt: skip
    options = {
        "type": "webp",
        "quality": 1,
        "optimizeForSpeed": True,
        "fromSurface": True,
        "omitBackground": True,
        "clip": {"x": 0, "y": 0, "width": 1, "height": 1, "scale": 1},
        "encoding": "base64",
        "captureBeyondViewport": True,
    }
    wire.parse("screenshot", bodies.translated("screenshot", orjson.dumps({**body, "options": options}), query={}))
    wire.parse("content", bodies.translated("content", orjson.dumps(body), query={}))


@pytest.mark.parametrize(
    ("action", "body", "query", "named"),
    [
        ("content", {"url": URL, "requestInterceptors": [{"pattern": "x"}]}, {}, "requestInterceptors"),
        ("scrape", {"url": URL, "elements": [], "debugOpts": {"html": True}}, {}, "debugOpts"),
        ("screenshot", {"url": URL, "options": {"path": "/etc/x"}}, {}, "options.path"),
        ("pdf", {"url": URL, "options": {"fullPage": True}}, {}, "options.fullPage"),
        ("pdf", {"url": URL, "options": 5}, {}, "options must be an object"),
        ("content", {"url": URL}, {"launch": '{"headless":false}'}, "launch"),
        ("content", {"url": URL}, {"stealth": ""}, None),
        ("content", {"url": URL}, {"stealth": "true"}, "stealth"),
        ("content", {"url": URL}, {"blockAds": "true"}, "blockAds"),
        ("content", {"url": URL}, {"blockAds": "false", "trackingId": "x", "launch": "{}"}, None),
        ("content", {"url": URL}, {"timeout": "120001"}, "timeout must be at most 120000"),
        ("content", {"url": URL}, {"timeout": "-1"}, "timeout"),
        ("content", [], {}, "JSON object"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    action: str, body: Any, query: dict[str, str], named: str | None
) -> None:
    if named is None:
        translated(action, body, **query)
        return
    with pytest.raises(errors.InvalidRequest) as refused:
        translated(action, body, **query)
    assert named in refused.value.message


@pytest.mark.parametrize(("text", "seconds"), [("5000", {"actionTimeout": 5000}), ("0", {})])
def test_timeout_is_the_actions(text: str, seconds: dict[str, float]) -> None:
    assert translated("content", {"url": URL}, timeout=text) == {**DEFAULTS, "url": URL, **seconds}


@pytest.mark.parametrize(
    ("ready", "queued", "room", "available"), [(1, 9, 0, True), (0, 0, 0, False), (0, 4, 5, True), (0, 5, 5, False)]
)
def test_there_is_room_where_one_would_be_served_or_may_wait(
    *, ready: int, queued: int, room: int, available: bool
) -> None:
    load = picture.Load(ready=ready, running=3, most=4, queued=queued, room=room)
    assert load.available is available
    assert picture.told(load, message="", date=0, rejected=0)["reason"] == ("" if available else "full")


# ---------------------------------------------------------------- over HTTP
def enveloped(result: Any) -> routers.Does:
    said = {"success": True, "result": result, "errors": [], "messages": [], "meta": {"status": 203, "title": "t"}}
    return routers.answers(orjson.dumps(said), content_type="application/json")


@pytest.mark.parametrize("prefix", ["", "/chromium", "/chrome"])
async def test_answers_are_bare(rig: routers.Rig, prefix: str) -> None:
    [agent] = await rig.make_pool()
    picture_ = await rig.post(f"{prefix}/screenshot", {"html": "x"})
    assert (picture_.status, picture_.body, picture_.headers["Content-Type"]) == (200, routers.PNG, "image/png")
    action, body = agent.served[-1]
    assert (action, orjson.loads(body)) == ("screenshot", {**DEFAULTS, "html": "x"})
    agent.does = routers.answers(b"%PDF-1", content_type="application/pdf")
    assert (await rig.post(f"{prefix}/pdf", {"html": "x", "options": {"format": "A4"}})).body == b"%PDF-1"
    agent.does = enveloped("<p>é")
    html = await rig.post(f"{prefix}/content", {"html": "x"})
    assert (html.status, html.body.decode(), html.headers["X-Response-Code"]) == (200, "<p>é", "203")
    assert html.headers["Content-Type"] == "text/html; charset=utf-8"
    assert html.headers["X-Browserpool-Browser"] == agent.browser_id
    agent.does = enveloped([{"selector": "p", "results": []}])
    found = await rig.post(f"{prefix}/scrape", {"html": "x", "elements": [{"selector": "p"}]})
    assert found.json == {"data": [{"selector": "p", "results": []}], "debug": None}
    await rig.until_ready()


async def test_errors_are_text_with_our_status_and_headers(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    slow = await rig.make_token("slow", rate_per_second=0.001)

    async def said(path: str, body: Any, **how: Any) -> tuple[int, str]:
        answer = await rig.post(path, body, **how)
        assert answer.headers["Content-Type"].startswith("text/plain")
        return answer.status, answer.body.decode()

    assert await said("/content", {}) == (400, "url or html is required; send exactly one of them\n")
    status, message = await said("/screenshot", {"html": "x", "options": {"typ": "png"}})
    assert (status, message.startswith("options.typ is not a known field; did you mean type?")) == (400, True)
    assert (await said("/content", {"html": "x"}, secret="nobody's"))[0] == 401
    assert (await said("/content?pool=other", {"html": "x"}))[0] == 404
    assert (await said("/function", {"code": "x"}))[0] == 501
    for whole in ("/content", "/pdf"):
        agent.does = routers.refuses(errors.PageFailed("net::ERR_NAME_NOT_RESOLVED", code=errors.Code.DNS))
        failed = await rig.post(whole, {"url": "https://nowhere.invalid"})
        assert (failed.status, failed.body) == (422, b"net::ERR_NAME_NOT_RESOLVED\n")
        assert failed.headers["x-should-retry"] == "false"
        assert failed.headers["Content-Type"].startswith("text/plain")
    agent.does = routers.answers_png
    assert (await rig.post("/screenshot", {"html": "x"}, secret=slow)).status == 200
    refused = await rig.post("/screenshot", {"html": "x"}, secret=slow)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert int(refused.headers["X-Browserpool-Retry-After"]) in range(990, 1001)
    await rig.until_ready()


async def test_a_token_in_the_address_is_never_logged(rig: routers.Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    [agent] = await rig.make_pool()
    for body in ({"html": "x"}, {}, {"html": "x", "options": {"path": "x"}}):
        async with rig.client.post(f"{rig.url}/screenshot?token={rig.secret}", json=body) as answer:
            assert answer.status in (200, 400)
    agent.does = routers.answers(b"no JSON", content_type="application/json")
    async with rig.client.post(f"{rig.url}/content?token={rig.secret}", json={"html": "x"}) as answer:
        assert answer.status == 500
    async with rig.client.ws_connect(f"{rig.ws}/?token={rig.secret}"):
        agent.vanish()
    await waiting.until(lambda: "a request failed" in caplog.text and "an agent could not be told" in caplog.text)
    assert rig.secret not in caplog.text
    assert [record for record in caplog.records if rig.secret in repr(record.__dict__)] == []


# ---------------------------------------------------------------- WebSockets
@pytest.mark.parametrize("path", ["", "/", "/chromium", "/chrome"])
async def test_to_go_away_ends_the_session(rig: routers.Rig, path: str) -> None:
    await rig.make_pool()
    async with rig.client.ws_connect(f"{rig.ws}{path}?token={rig.secret}") as socket:
        await socket.send_str("hello")
        assert (await socket.receive()).data == "hello"
        assert await rig.states() == {"claimed": 1}
    await rig.until_ready()
    assert rig.running.services.quotas.running("tester") == 0  # type: ignore[arg-type]


async def test_timeout_is_the_sessions_longest_life(rig: routers.Rig) -> None:
    await rig.make_pool()
    async with rig.client.ws_connect(f"{rig.ws}/chromium?token={rig.secret}&timeout=300&keep_alive=60000") as socket:

        async def talk() -> None:
            while not socket.closed:
                await socket.send_str("still here")
                await asyncio.sleep(0.02)

        talking = rig.background.spawn(talk(), name="talk")
        try:
            async with asyncio.timeout(10):
                while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
        finally:
            talking.cancel()
    await rig.until_ready()


@pytest.mark.parametrize("query", ["launch=%7B%22headless%22%3Afalse%7D", "stealth=true", "timeout=soon"])
async def test_what_a_connection_cannot_have_is_refused_before_anything_is_claimed(
    rig: routers.Rig, query: str
) -> None:
    await rig.make_pool()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await rig.client.ws_connect(f"{rig.ws}/?token={rig.secret}&{query}")
    assert refused.value.status == 400
    assert await rig.states() == {"ready": 1}


async def test_a_browser_that_opens_the_root_is_told_what_it_is_for(rig: routers.Rig) -> None:
    answer = await rig.request("GET", "/")
    assert (answer.status, "WebSocket" in answer.message) == (400, True)


# ---------------------------------------------------------------- the picture
async def test_pressure_counts_the_callers_pools(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool("small", onEmpty={"mode": "Fail"}, maxReplicas=1)
    await rig.make_pool("other", browsers_=2, maxReplicas=2)
    mine = await rig.make_token("mine", pools=frozenset({"small"}))
    idle = (await rig.request("GET", "/pressure", secret=mine)).json["pressure"]
    assert idle == {**idle, "isAvailable": True, "maxConcurrent": 1, "maxQueued": 0, "running": 0, "reason": ""}
    agent.gate.clear()
    busy = rig.background.spawn(rig.post("/screenshot", {"html": "x"}, secret=mine), name="busy")
    await waiting.until(lambda: agent.running == 1)
    full = (await rig.request("GET", "/pressure", secret=mine)).json["pressure"]
    assert full == {**full, "isAvailable": False, "running": 1, "reason": "full", "cpu": None, "memory": None}
    text = await rig.request("GET", "/pressure", secret=mine, headers={"Accept": "text/plain"})
    assert (text.status, "in use" in text.body.decode()) == (503, True)
    assert (await rig.request("GET", "/pressure")).json["pressure"]["isAvailable"]
    agent.gate.set()
    await busy
    await rig.until_ready("small")
    assert (await rig.request("GET", "/pressure", secret=mine, headers={"Accept": "text/plain"})).status == 200


async def test_pressure_counts_the_callers_own_refusals(rig: routers.Rig) -> None:
    await rig.make_pool()
    slow, other = await rig.make_token("slow", rate_per_second=0.001), await rig.make_token("other")
    assert [(await rig.post("/content", {"html": "x"}, secret=slow)).status for _ in range(3)][1:] == [429, 429]
    told = [(await rig.request("GET", "/pressure", secret=one)).json["pressure"] for one in (slow, other)]
    assert [one["recentlyRejected"] for one in told] == [2, 0]


async def test_sessions_are_the_callers_own(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    mine = await rig.make_token("mine")
    async with (
        rig.client.ws_connect(f"{rig.ws}/chromium?token={mine}"),
        rig.client.ws_connect(f"{rig.ws}/chromium?token={rig.secret}"),
    ):

        async def connected() -> bool:
            found = (await rig.request("GET", "/sessions", secret=mine)).json
            assert len(found) == 1
            return bool(found[0]["numbConnected"] == 1)

        await waiting.until(connected)
        [found] = (await rig.request("GET", "/sessions", secret=mine)).json
        assert {"browser", "browserId", "id", "startedOn", "timeAliveMs", "launchOptions"} <= found.keys()
        assert found["timeAliveMs"] >= 0
    await rig.until_ready(number=2)
