"""Live view at a router whose agents are stand-ins: who gets a link, what it opens, and what keeps a session."""

from typing import Any

import aiohttp
import pytest

from browserpool.model import agentapi, credentials, live_view
from browserpool.store import connect
from support import routers, waiting


async def started(rig: routers.Rig, query: str = "") -> str:
    answer = await rig.post(f"/devtools/browser{query}")
    assert answer.status == 200, answer.body
    return str(answer.json["sessionId"])


async def link(rig: routers.Rig, session: str, **body: Any) -> dict[str, Any]:
    answer = await rig.post(f"/devtools/browser/{session}/live_view", body)
    assert answer.status == 200, answer.body
    made: dict[str, Any] = answer.json
    return made


@pytest.mark.parametrize("prefix", ["", "/client/v4/accounts/acc/browser-rendering"])
async def test_a_link_is_bare_json_at_the_root_of_the_router(rig: routers.Rig, prefix: str) -> None:
    await rig.make_pool()
    session = await started(rig)
    made = (await rig.post(f"{prefix}/devtools/browser/{session}/live_view", {"mode": "tab"})).json
    assert made == {
        "id": "PAGE1",
        "devtoolsFrontendUrl": made["devtoolsFrontendUrl"],
        "webSocketDebuggerUrl": made["devtoolsFrontendUrl"].replace("http:", "ws:") + "/page/PAGE1",
        "options": {"mode": "tab"},
    }
    assert made["devtoolsFrontendUrl"].startswith(f"{rig.url}/live/")
    async with aiohttp.ClientSession() as stranger, stranger.get(made["devtoolsFrontendUrl"]) as answer:
        page = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert 'data-mode="tab" data-target="PAGE1"' in page
    assert "%" not in page.partition("<script>")[0].replace("100%", "")


async def test_it_is_called_as_the_client_calls_its_sidecar(rig: routers.Rig) -> None:
    await rig.make_pool()
    session = await started(rig)
    headers = {agentapi.BASE: "http://localhost:9222"}
    made = (await rig.post(f"/devtools/browser/{session}/live_view", {}, headers=headers)).json
    assert made["devtoolsFrontendUrl"].startswith("http://localhost:9222/live/")
    assert "?ws=localhost:9222/live/" in made["devtoolsFrontendUrl"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"mode": "none"}, 400), ({"targetId": "NONE"}, 404), ({"guardrails": {"mode": "x"}}, 400), ([], 400)],
)
async def test_what_cannot_be_had(rig: routers.Rig, body: Any, status: int) -> None:
    await rig.make_pool()
    session = await started(rig)
    answer = await rig.post(f"/devtools/browser/{session}/live_view", body)
    assert (answer.status, answer.json["success"]) == (status, False)


async def test_nobody_gets_a_link_to_anothers_session(rig: routers.Rig) -> None:
    await rig.make_pool()
    session = await started(rig)
    other = await rig.make_token("other")
    assert (await rig.post(f"/devtools/browser/{session}/live_view", {}, secret=other)).status == 404
    assert (await rig.post("/devtools/browser/none/live_view", {})).status == 404


async def test_a_link_expires(rig: routers.Rig) -> None:
    await rig.make_pool()
    session = await started(rig)
    await link(rig, session)
    now = rig.running.services.database_clock.now()
    assert now is not None
    for expires, status in ((now + 30, 200), (now - 1, 401)):
        said = live_view.Link(
            session_id=session, target_id="PAGE1", mode=live_view.Mode.TAB, read_only=False, expires=expires
        )
        text = live_view.sign(said, signing_key=routers.SIGNING_KEY)
        assert (await rig.request("GET", f"/live/{text}")).status == status
    assert (await rig.request("GET", "/live/nonsense")).status == 401


async def test_to_watch_is_not_to_use(dsn: str, database: connect.Database) -> None:
    # Renewed so seldom that nothing but use decides whether the session counts as used.
    async with routers.rig(dsn, database, renew_interval=3600) as rig:
        await rig.make_pool()
        session = await started(rig)
        made = await link(rig, session, mode="tab")
        held = rig.running.services.claiming.holding.get(session)
        assert held is not None
        async with aiohttp.ClientSession() as stranger, stranger.ws_connect(made["webSocketDebuggerUrl"]) as socket:
            held.active = False
            used = {"Page.startScreencast": False, "Page.screencastFrameAck": False, "Input.insertText": True}
            for method, counts in used.items():
                await socket.send_json({"id": 1, "method": method})
                assert (await socket.receive_json(timeout=10))["method"] == method  # the stand-in sends it back
                assert held.active is counts
        shown = (await rig.request("GET", f"/devtools/session/{session}")).json
        assert "connectionId" not in shown


async def test_a_read_only_link_is_kept_by_the_router(rig: routers.Rig) -> None:
    await rig.make_pool()
    session = await started(rig)
    made = await link(rig, session, mode="full", guardrails={"mode": "readonly"})
    async with rig.client.ws_connect(made["webSocketDebuggerUrl"]) as socket:
        await socket.send_json({"id": 1, "method": "Browser.close"})
        assert "read-only" in (await socket.receive_json(timeout=10))["error"]["message"]
        await socket.send_bytes(b'{"id": 2, "method": "Target.getTargets"}')
        assert await socket.receive_json(timeout=10) == {"id": 2, "method": "Target.getTargets"}
    assert (await rig.request("GET", f"/devtools/session/{session}")).json.get("endTime") is None


async def test_an_agent_asks_for_its_own_session_alone(rig: routers.Rig) -> None:
    first, second = await rig.make_pool(browsers_=2)
    session = await started(rig, "?targets=true")
    owner = first if session in first.sessions else second

    async def asked(agent: routers.Agent, **said: Any) -> routers.Answer:
        token = credentials.agent_token(signing_key=routers.SIGNING_KEY, browser_id=agent.browser_id)
        body = {
            "browser_id": agent.browser_id,
            "session_id": session,
            "base": "https://pool.example",
            "wish": {},
        } | said
        return await rig.post(agentapi.ROUTER_LIVE_VIEW, body, secret=token)

    made = await asked(owner, wish={"mode": "tab", "targetId": "PAGE1"})
    assert made.json["devtoolsFrontendUrl"].startswith("https://pool.example/live/")
    assert made.json["webSocketDebuggerUrl"].startswith("wss://pool.example/live/")
    assert (await asked(owner, base="javascript:alert(1)")).json["devtoolsFrontendUrl"].startswith(rig.url)
    assert (await asked(second if owner is first else first)).status == 404
    assert (await asked(owner, session_id="another")).status == 404
    assert (await asked(owner, browser_id=(second if owner is first else first).browser_id)).status == 401


async def test_an_agent_is_given_the_public_address(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database, public_url="https://pool.example/") as rig:
        [agent] = await rig.make_pool()
        token = credentials.agent_token(signing_key=routers.SIGNING_KEY, browser_id=agent.browser_id)
        body = {
            "browser_id": agent.browser_id,
            "session_id": await started(rig),
            "base": "http://sidecar:9222",
            "wish": {},
        }
        made = (await rig.post(agentapi.ROUTER_LIVE_VIEW, body, secret=token)).json
        assert made["devtoolsFrontendUrl"].startswith("https://pool.example/live/")


async def test_links_end_with_their_session(rig: routers.Rig) -> None:
    await rig.make_pool()
    session = await started(rig)
    made = await link(rig, session, mode="tab")
    socket = await rig.client.ws_connect(made["webSocketDebuggerUrl"])
    assert (await rig.request("DELETE", f"/devtools/browser/{session}")).status == 200
    await socket.receive(timeout=10)
    await waiting.until(lambda: socket.closed)
    assert (await rig.request("GET", made["devtoolsFrontendUrl"].removeprefix(rig.url))).status == 410
