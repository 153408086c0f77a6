"""The commands that only this browser knows (``Cloudflare.*``): over a real agent's CDP, and the rules of handing over."""

import asyncio

import pytest

from browserpool.agent import handoff
from browserpool.model import agentapi
from support import agents, cdp

BASE = {agentapi.BASE: "https://pool.example"}


@pytest.fixture
async def client(agent, fences):
    async with agent.cdp(agents.token(next(fences), kind="cdp", session="mine"), **BASE) as socket:
        yield cdp.Client(socket)


@pytest.fixture
def to_page(agent):
    """Connect to one page of the client's session."""
    return lambda target: agent.cdp(
        agents.token(agents.FIRST_FENCE + 1, kind="cdp", session="mine"), agentapi.CDP_PAGE.format(target=target)
    )


async def test_which_session_this_is(client):
    _, page = await client.page()
    for session in (None, page):
        assert await client.call("Cloudflare.getSessionId", session) == {"sessionId": "mine"}


async def test_what_nobody_knows_is_answered_as_chromium_would(client):
    _, page = await client.page()
    answer = await client.ask("Cloudflare.selfDestruct", page)
    assert answer["error"] == {"code": -32601, "message": "'Cloudflare.selfDestruct' wasn't found"}
    assert answer["sessionId"] == page
    assert (await client.ask("Cloudflare"))["error"]["code"] == -32601
    assert await client.evaluate(page, "'\"Cloudflare.handoff\"'") == '"Cloudflare.handoff"'


async def test_a_page_is_handed_over_and_given_back(client, to_page):
    target, page = await client.page()
    assert await client.call("Cloudflare.getHandoffState", page) == {"active": False}
    begun = await client.call("Cloudflare.handoff", page, instructions="Log in", timeout=600_000)
    assert begun == {"targetId": target, "handoffId": begun["handoffId"]}
    again = await client.ask("Cloudflare.handoff", page)
    assert begun["handoffId"] in again["error"]["message"]

    async with to_page(target) as socket:
        viewer = cdp.Client(socket)
        state = await viewer.call("Cloudflare.getHandoffState")
        assert state.pop("durationMs") >= 0
        assert state == {
            "active": True, "handoffId": begun["handoffId"], "instructions": "Log in", "timeout": 600_000,
        }  # fmt: skip
        over = {
            "targetId": target,
            "handoffId": begun["handoffId"],
            "instructions": "Log in",
            "success": False,
            "reason": "No code",
        }
        assert await viewer.call("Cloudflare.handoffComplete", success=False, reason="No code") == over
        assert await viewer.event("Cloudflare.handoffComplete") == over
    assert await client.event("Cloudflare.handoffComplete") == over
    assert await client.call("Cloudflare.getHandoffState", page) == {"active": False}
    assert "not handed over" in (await client.ask("Cloudflare.handoffComplete", page))["error"]["message"]


async def test_the_event_comes_by_the_session_of_its_page_and_no_other(client):
    target, page = await client.page()
    await client.page()
    await client.call("Cloudflare.handoff", targetId=target)
    await client.call("Cloudflare.handoffComplete", targetId=target)
    await client.call("Browser.getVersion")
    heard = [each["sessionId"] for each in client.events if each.get("method") == "Cloudflare.handoffComplete"]
    assert heard == [page]


async def test_a_handoff_that_nobody_ends_ends_by_itself(client):
    _, page = await client.page()
    begun = await client.call("Cloudflare.handoff", page, timeout=50)
    over = await client.event("Cloudflare.handoffComplete")
    assert (over["handoffId"], over["success"], over["reason"]) == (begun["handoffId"], False, handoff.TIMED_OUT)


async def test_the_page_that_is_meant_where_none_is_named(client):
    first = (await client.call("Cloudflare.handoff"))["targetId"]
    pages = [
        one["targetId"] for one in (await client.call("Target.getTargets"))["targetInfos"] if one["type"] == "page"
    ]
    assert pages == [first]
    second, _ = await client.page()
    assert (await client.call("Cloudflare.handoff", targetId=second))["targetId"] == second
    assert "no such page" in (await client.ask("Cloudflare.handoff", targetId="other"))["error"]["message"]


async def test_handoffs_do_not_outlive_their_session(agent, fences):
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        await cdp.Client(socket).call("Cloudflare.handoff", timeout=600_000)
    await agent.end(token)
    async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
        assert await cdp.Client(socket).call("Cloudflare.getHandoffState") == {"active": False}


async def test_a_router_makes_the_link(client, router):
    target, page = await client.page()
    made = await client.call("Cloudflare.getLiveView", page, mode="tab", expiresInMs=60_000)
    assert made["devtoolsFrontendUrl"] == "http://router/live/x"
    assert router.links_asked == [
        {
            "browser_id": agents.BROWSER,
            "session_id": "mine",
            "base": BASE[agentapi.BASE],
            "wish": {"mode": "tab", "expiresInMs": 60_000, "targetId": target},
        }
    ]
    router.status = 404
    assert "no such session" in (await client.ask("Cloudflare.getLiveView", page))["error"]["message"]


# ---------------------------------------------------------------- the rules alone


@pytest.mark.parametrize(
    "params",
    [
        {"timeout": 0}, {"timeout": -1}, {"timeout": 1_800_001}, {"timeout": "1000"}, {"timeout": True}, {"instructions": 1},
        {"instructions": "x" * 4097},
    ],
)  # fmt: skip
async def test_a_handoff_that_makes_no_sense_is_refused(params):
    handoffs = handoff.Handoffs()
    with pytest.raises(handoff.Refused):
        handoffs.begin("T", params)
    assert handoffs.state("T") == {"active": False}


async def test_how_long_it_has_lasted_is_told():
    now = 10.0
    handoffs = handoff.Handoffs(monotonic=lambda: now)
    handoffs.begin("T", {})
    now = 12.5
    assert handoffs.state("T")["durationMs"] == 2500
    for wrong in ({"success": "yes"}, {"reason": "x" * 1025}):
        with pytest.raises(handoff.Refused):
            handoffs.complete("T", wrong)
    assert handoffs.complete("T", {})["success"] is True


async def test_closing_forgets_them_and_tells_nobody():
    handoffs, heard = handoff.Handoffs(), []
    handoffs.listeners.add(lambda *event: heard.append(event))
    handoffs.begin("T", {"timeout": 1})
    handoffs.close()
    await asyncio.sleep(0.01)
    assert (handoffs.state("T"), heard) == ({"active": False}, [])
