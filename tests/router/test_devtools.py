"""Sessions over HTTP and Chrome's own /json: bare JSON, Chrome's shapes, this router's addresses."""

import base64
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

import cloudflare
import pytest

from browserpool.lib import clock
from browserpool.model import terms
from browserpool.model.names import TokenName
from browserpool.store import connect
from support import routers, waiting

ACCOUNT = "/client/v4/accounts/acc"
PREFIXES = ["", f"{ACCOUNT}/browser-rendering", f"{ACCOUNT}/browser-run"]


async def started(rig: routers.Rig, query: str = "") -> str:
    answer = await rig.post(f"/devtools/browser{query}")
    assert answer.status == 200, answer.body
    return str(answer.json["sessionId"])


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_session_is_made_now_and_connected_to_later(rig: routers.Rig, prefix: str) -> None:
    [agent] = await rig.make_pool()
    made = (await rig.post(f"{prefix}/devtools/browser?keep_alive=20000")).json
    assert made == {
        "sessionId": made["sessionId"],
        "webSocketDebuggerUrl": f"{rig.ws}{prefix}/devtools/browser/{made['sessionId']}",
    }
    async with rig.client.ws_connect(made["webSocketDebuggerUrl"], headers=rig.bearer()) as socket:
        await socket.send_str("{}")
        assert await socket.receive_str(timeout=10) == "{}"
    assert agent.sessions == [made["sessionId"]]


async def test_targets_come_along_if_they_are_wished_for(rig: routers.Rig) -> None:
    await rig.make_pool()
    made = (await rig.post("/devtools/browser?targets=true")).json
    [target] = made["targets"]
    assert target["id"] == "PAGE1"
    assert target["webSocketDebuggerUrl"] == f"{rig.ws}/devtools/browser/{made['sessionId']}/page/PAGE1"


async def test_a_token_in_the_query_is_handed_on_in_the_addresses(rig: routers.Rig) -> None:
    await rig.make_pool()
    made = (await rig.post(f"/devtools/browser?token={rig.secret}", headers={"Authorization": ""})).json
    async with rig.client.ws_connect(made["webSocketDebuggerUrl"]) as socket:
        await socket.send_str("{}")
        assert await socket.receive_str(timeout=10) == "{}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"guardrails": {"allowedDomains": ["https://example.com"]}}', "no hostname"),
        (b'{"guardrails": {"allowedDomainSets": ["https://example.com/list"]}}', "common-cdns"),
        (b'{"guardrails": {"blockedDomains": []}}', "blockedDomains"),
        (b"{", "JSON"),
        (b"[1]", "JSON object"),
    ],
)
async def test_a_wish_that_cannot_be_kept_is_refused_before_a_claim(rig: routers.Rig, body: bytes, words: str) -> None:
    await rig.make_pool()
    answer = await rig.request("POST", "/devtools/browser", data=body)
    assert (answer.status, words in answer.message) == (400, True)
    assert await rig.states() == {"ready": 1}


@pytest.mark.parametrize("name", ["targets", "direct", "recording"])
async def test_a_switch_that_says_neither_yes_nor_no_is_refused_before_a_claim(rig: routers.Rig, name: str) -> None:
    await rig.make_pool()
    answer = await rig.post(f"/devtools/browser?{name}=null")
    assert (answer.status, name in answer.message) == (400, True)
    assert await rig.states() == {"ready": 1}
    assert (await rig.post(f"/devtools/browser?{name}=0")).status == 200


async def test_guardrails_go_with_every_claim_token_of_their_session(rig: routers.Rig) -> None:
    """Also from a router that only has the store's word for the session."""
    [agent] = await rig.make_pool()
    body = b'{"guardrails": {"allowedDomains": ["example.com", "*.Example.com"]}}'
    session = (await rig.request("POST", "/devtools/browser?targets=true", data=body)).json["sessionId"]
    assert agent.terms == [terms.Terms(allowed_hosts=("example.com", "*.example.com"))]
    holding = rig.running.services.claiming.holding
    held = holding.get(session)
    assert held is not None
    del holding._held[session]  # as a router that was started since
    assert (await _get(rig, f"/devtools/browser/{session}/json/list")).status == 200
    assert agent.terms == [terms.Terms(allowed_hosts=("example.com", "*.example.com"))] * 2
    assert (await rig.request("DELETE", f"/devtools/browser/{session}")).json == {"status": "closed"}

    await rig.until_ready()
    assert (await rig.post("/devtools/browser?targets=true")).status == 200
    assert agent.terms[-1] == terms.NONE


async def test_a_page_that_guardrails_forbid_is_refused_by_name(rig: routers.Rig) -> None:
    await rig.make_pool()
    body = b'{"guardrails": {"allowedDomains": ["example.com"]}}'
    session = (await rig.request("POST", "/devtools/browser", data=body)).json["sessionId"]
    for url, status in (
        ("https://example.com/a", 200),
        ("about:blank", 200),
        ("https://example.org/", 403),
        ("https://example.com@evil.test/", 403),
        ("https://[::1/", 200),
    ):
        answer = await rig.request("PUT", f"/devtools/browser/{session}/json/new", params={"url": url})
        assert answer.status == status, url
        assert "guardrails" in answer.message if status == 403 else "id" in answer.json


async def test_what_opens_a_websocket_has_its_guardrails_in_a_header(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    said = base64.urlsafe_b64encode(b'{"allowedDomains": []}').rstrip(b"=").decode()
    headers = {**rig.bearer(), "cf-brapi-guardrails": said}
    async with rig.client.ws_connect(f"{rig.ws}/devtools/browser", headers=headers) as socket:
        await socket.send_str("{}")
        assert await socket.receive_str(timeout=10) == "{}"
    assert agent.terms == [terms.Terms(allowed_hosts=())]
    for wrong in ("%%%", "bm8"):
        answer = await rig.request("POST", "/devtools/browser", headers={"cf-brapi-guardrails": wrong})
        assert answer.status == 400


async def test_a_recording_is_refused_where_none_is_made(rig: routers.Rig) -> None:
    await rig.make_pool()
    answer = await rig.post("/devtools/browser?recording=true")
    assert (answer.status, "BROWSERPOOL_RECORDINGS" in answer.message) == (400, True)
    assert (await rig.post("/devtools/browser?recording=false&lab=true")).status == 200


async def test_who_is_connected_stands_in_the_list_and_in_the_history(rig: routers.Rig) -> None:
    await rig.make_pool()
    session = await started(rig)
    assert "connectionId" not in (await _get(rig, "/devtools/session")).json[0]
    where = f"{rig.ws}/devtools/browser/{session}"

    async def shown() -> dict[str, Any]:
        return (await _get(rig, f"/devtools/session/{session}")).json

    async with rig.client.ws_connect(where, headers=rig.bearer()):
        await waiting.until(lambda: _has(shown, "connectionId"))
        first = await shown()
        assert first["startTime"] <= first["connectionStartTime"]
        assert "connectionEndTime" not in first
        (listed,) = (await _get(rig, "/devtools/session")).json
        # To connect renews it, at that moment or a little later.
        assert {**listed, "expiresAt": first["expiresAt"]} == first
    await waiting.until(lambda: _has(shown, "connectionId", there=False))
    await rig.request("DELETE", f"/devtools/browser/{session}")
    past = await shown()
    assert past["connectionId"] == first["connectionId"]
    assert past["connectionStartTime"] <= past["connectionEndTime"] <= past["endTime"]
    assert (past["closeReason"], past["closeReasonText"]) == (1, "NormalClosure")


async def _get(rig: routers.Rig, path: str) -> routers.Answer:
    return await rig.request("GET", path)


async def _has(shown: Callable[[], Awaitable[dict[str, Any]]], field: str, *, there: bool = True) -> bool:
    return (field in await shown()) is there


@pytest.mark.parametrize("body", [b"", b"{}", b'{"guardrails": {}}', b'{"guardrails": null}'])
async def test_an_empty_body_is_none(rig: routers.Rig, body: bytes) -> None:
    await rig.make_pool()
    assert (await rig.request("POST", "/devtools/browser", data=body)).status == 200


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_chromes_json_of_a_session(rig: routers.Rig, prefix: str) -> None:
    [agent] = await rig.make_pool()
    session = await started(rig)
    base, ours = f"{prefix}/devtools/browser/{session}", f"{rig.ws}{prefix}/devtools/browser/{session}"
    version = (await rig.request("GET", f"{base}/json/version")).json
    assert version == {"Browser": agent.product, "webSocketDebuggerUrl": ours}
    for path in ("/json", "/json/list"):
        [page] = (await rig.request("GET", base + path)).json
        assert page["webSocketDebuggerUrl"] == f"{ours}/page/PAGE1"
        assert page["devtoolsFrontendUrl"].startswith(f"{rig.url}/live/")
        assert agent.address not in str(page)
    assert (await rig.request("GET", f"{base}/json/list/PAGE1")).json["id"] == "PAGE1"
    made = (await rig.request("PUT", f"{base}/json/new", params={"url": "https://example.com/?a=b&c=d"})).json
    assert (made["id"], urllib.parse.unquote(made["url"])) == ("PAGE2", "https://example.com/?a=b&c=d")
    told = await rig.request("GET", f"{base}/json/activate/PAGE2")
    assert told.json == {"message": "Target activated"}
    assert (await rig.request("DELETE", f"{base}/json/close/PAGE2")).json == {"message": "Target is closing"}
    assert (await rig.request("GET", f"{base}/json/close/PAGE1")).json == {"message": "Target is closing"}
    assert (await rig.request("GET", f"{base}/json/list")).json == []


@pytest.mark.parametrize("path", ["list/NOPE", "activate/NOPE", "close/NOPE", "close/a%2fb", "close/..%2f..%2fend"])
async def test_a_target_that_is_not_there_is_404(rig: routers.Rig, path: str) -> None:
    await rig.make_pool()
    session = await started(rig)
    assert (await rig.request("GET", f"/devtools/browser/{session}/json/{path}")).status == 404


async def test_a_session_whose_browser_died_is_a_clear_502(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    session = await started(rig)
    agent.vanish()
    began = clock.monotonic()
    answer = await rig.request("GET", f"/devtools/browser/{session}/json/list")
    assert (answer.status, agent.browser_id in answer.message) == (502, True)
    assert clock.monotonic() - began < 10
    assert (await rig.request("GET", "/json/list")).json == []


async def test_the_public_version_needs_no_token_and_claims_nothing(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    for path in ("/json/version", "/json/version/"):
        answer = (await rig.request("GET", path, headers={"Authorization": ""})).json
        assert answer["Browser"] == agent.product
        assert answer["Protocol-Version"] == "1.3"
        assert answer["webSocketDebuggerUrl"] == f"{rig.ws}/devtools/browser"
    answer = (await rig.request("GET", f"/json/version?token={rig.secret}", headers={"Authorization": ""})).json
    async with rig.client.ws_connect(answer["webSocketDebuggerUrl"]) as socket:
        assert agent.sessions == [socket._response.headers["X-Browserpool-Session"]]
    assert len(agent.sessions) == 1


async def test_addresses_are_those_that_clients_call_the_router_by(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database, public_url="https://browsers.example.com") as rig:
        await rig.make_pool()
        made = (await rig.post(f"{ACCOUNT}/browser-run/devtools/browser")).json
        public = f"wss://browsers.example.com{ACCOUNT}/browser-run/devtools/browser/"
        assert made["webSocketDebuggerUrl"] == public + made["sessionId"]


async def test_the_root_lists_the_pages_of_the_callers_own_sessions(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=3)
    mine = {await started(rig), await started(rig)}
    other = await rig.make_token("other")
    await rig.post("/devtools/browser", secret=other)
    for path in ("/json", "/json/list"):
        pages = (await rig.request("GET", path)).json
        assert {page["webSocketDebuggerUrl"] for page in pages} == {
            f"{rig.ws}/devtools/browser/{session}/page/PAGE1" for session in mine
        }


async def test_a_page_by_chromes_own_addresses(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    one, two = [(await rig.request("PUT", "/json/new?about:blank%23x")) for _ in range(2)]
    assert one.headers["X-Browserpool-Browser"] != two.headers["X-Browserpool-Browser"]
    assert (one.json["id"], one.json["url"]) == ("PAGE2", "about:blank#x")
    session = one.headers["X-Browserpool-Session"]
    assert one.json["webSocketDebuggerUrl"] == f"{rig.ws}/devtools/browser/{session}/page/PAGE2"
    async with rig.client.ws_connect(one.json["webSocketDebuggerUrl"], headers=rig.bearer()) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=10) == "hello"
    assert (await rig.request("GET", "/json/activate/PAGE2")).body == b"Target activated"
    for _ in range(2):
        assert (await rig.request("GET", "/json/close/PAGE2")).body == b"Target is closing"
    for path in ("/json/close/PAGE2", "/json/activate/nope", "/json/close/..%2flist"):
        assert (await rig.request("GET", path)).status == 404
    assert (await rig.request("GET", "/json/new?about:blank")).status == 405
    other = await rig.make_token("other")
    assert (await rig.request("GET", "/json/close/PAGE1", secret=other)).status == 404
    assert await rig.states() == {"claimed": 2}


async def test_a_page_that_cannot_be_opened_keeps_no_browser(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool(onEmpty={"mode": "Fail"})
    agent.vanish()
    assert (await rig.request("PUT", "/json/new")).status == 503
    assert rig.running.services.quotas.running(TokenName("tester")) == 0


async def test_sessions_live_and_past(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    first, second = await started(rig), await started(rig)
    listed = (await rig.request("GET", "/devtools/session")).json
    assert [one["sessionId"] for one in listed] == [second, first]
    assert [one["sessionId"] for one in (await rig.request("GET", "/devtools/session?limit=1&offset=1")).json] == [
        first
    ]
    assert abs(listed[0]["startTime"] - clock.wall().timestamp() * 1000) < 60_000
    assert listed[0]["webSocketDebuggerUrl"] == f"{rig.ws}/devtools/browser/{second}"
    await rig.request("DELETE", f"/devtools/browser/{first}")
    past = (await rig.request("GET", f"/devtools/session/{first}")).json
    assert (past["closeReason"], past["closeReasonText"]) == (1, "NormalClosure")
    assert past["endTime"] >= past["startTime"]
    live = (await rig.request("GET", f"/devtools/session/{second}")).json
    assert "endTime" not in live
    assert (await rig.request("GET", "/devtools/session/nope")).status == 404


async def test_what_is_taken_and_makes_no_difference(rig: routers.Rig) -> None:
    await rig.make_pool()
    made = await rig.post("/devtools/browser?lab=true")
    assert (made.status, set(made.json)) == (200, {"sessionId", "webSocketDebuggerUrl"})


async def test_a_session_that_was_idle_says_so_in_the_history(rig: routers.Rig) -> None:
    await rig.make_pool(sessions={"keepAlive": "700ms"})
    session = await started(rig)

    async def over() -> bool:
        return "endTime" in (await rig.request("GET", f"/devtools/session/{session}")).json

    await waiting.until(over, deadline=20)
    past = (await rig.request("GET", f"/devtools/session/{session}")).json
    assert (past["closeReason"], past["closeReasonText"]) == (2, "BrowserIdle")


@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=-1",
        "limit=1001",
        "offset=1e3",
        "limit=",
        f"limit={'0' * 20}5000000",
        pytest.param(f"offset={'0' * 5000}1", id="5000 digits"),
    ],
)
async def test_a_page_that_cannot_be_is_400_by_its_field(rig: routers.Rig, query: str) -> None:
    answer = await rig.request("GET", f"/devtools/session?{query}")
    assert (answer.status, query.partition("=")[0] in answer.message) == (400, True)


async def test_the_official_sdk_reads_the_bare_answers(rig: routers.Rig) -> None:
    await rig.make_pool()
    address = f"{rig.url}/client/v4"
    async with cloudflare.AsyncCloudflare(api_token=rig.secret, base_url=address, max_retries=0) as sdk:
        devtools = sdk.browser_rendering.devtools
        made = await devtools.browser.create(account_id="acc", keep_alive=20_000)
        [listed] = await devtools.session.list(account_id="acc")
        assert listed.session_id == made.session_id
        [target] = await devtools.browser.targets.list(made.session_id, account_id="acc")
        assert target.id == "PAGE1"
        new = await devtools.browser.targets.create(made.session_id, account_id="acc", url="https://example.com")
        assert new.id == "PAGE2"
        closed = await devtools.browser.targets.close("PAGE2", account_id="acc", session_id=made.session_id)
        assert closed.message == "Target is closing"
        assert (await devtools.browser.delete(made.session_id, account_id="acc")).status == "closed"
        picture = await sdk.browser_rendering.screenshot.create(account_id="acc", html="<p>x")
        assert picture is not None
        with pytest.raises(cloudflare.BadRequestError) as refused:
            await sdk.browser_rendering.pdf.create(account_id="acc", html="x", viewport={"width": 1, "height": -1})
        assert refused.value.errors[0].code == 1001
        assert "viewport.height" in refused.value.errors[0].message
    await waiting.until(lambda: len(rig.running.services.claiming.holding) == 0)


async def test_a_router_that_no_agent_has_greeted_knows_chromium_all_the_same(
    rig: routers.Rig, dsn: str, database: connect.Database
) -> None:
    await rig.make_pool()
    async with routers.rig(dsn, database) as other:

        async def knows() -> bool:
            return str((await other.request("GET", "/json/version")).json["Browser"]).startswith("Chrome/")

        await waiting.until(knows)
