"""``sessions.actionsPerBrowser``: who may join whose session, how many, and that nobody's end is another's."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from browserpool.model import claims, errors, pool
from browserpool.model import terms as session_terms
from browserpool.model.names import BrowserId, Fence, HolderId, PoolName, RegionName, SessionId, TokenName, ZoneName
from browserpool.router import agents, app, holding, sharing
from browserpool.store import connect, sessions
from support import routers, waiting

BODY = {"html": "x"}
SMALL = PoolName("small")

REQUEST = claims.ClaimRequest(
    session_id=SessionId("first"),
    pool=SMALL,
    region=RegionName("eu"),
    kind=claims.SessionKind.ACTION,
    keep_alive=10,
    holder=HolderId("h"),
    token=TokenName("alice"),
)
ANOTHER = dataclasses.replace(REQUEST, session_id=SessionId("second"))
RULES = pool.Sessions(actions_per_browser=3, recycle_after=5)


def share(**values: object) -> sharing.Share:
    party = agents.Party(
        session_id=REQUEST.session_id, browser_id=BrowserId("b"), fence=Fence(1), address="a:1", kind="action"
    )
    held = holding.Held(
        party=party, claim=None, pool=SMALL, region="eu", kind=claims.SessionKind.ACTION, keep_alive=10,
        token=TokenName("alice"), renewed_at=0.0,
    )  # fmt: skip
    made = sharing.Share(request=REQUEST, held=held, since=100.0)
    for name, value in values.items():
        setattr(held if name == "ending" else made, name, value)
    return made


@pytest.mark.parametrize(
    ("values", "now", "expected"),
    [
        ({}, 100.0, True),
        ({"users": 2}, 100.0, True),
        ({"users": 3}, 100.0, False),
        ({"uses": 4}, 100.0, True),
        ({"uses": 5}, 100.0, False),
        ({"closed": True}, 100.0, False),
        ({"ending": True}, 100.0, False),
        ({}, 104.9, True),
        ({}, 105.0, False),
    ],
)
def test_when_one_more_may_join(values: dict[str, object], now: float, expected: bool) -> None:
    assert sharing.is_open(share(**values), rules=RULES, now=now) is expected


def test_nobody_joins_a_session_that_is_over() -> None:
    one = share()
    one.held.over.set()
    assert not sharing.is_open(one, rules=RULES, now=100.0)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"token": TokenName("bob")}, False),
        ({"kind": claims.SessionKind.CDP}, False),
        ({"region": RegionName("us")}, False),
        ({"zone": ZoneName("eu-a")}, False),
        ({"terms": session_terms.Terms(allowed_hosts=("example.com",))}, False),
    ],
)
def test_whose_session_one_may_join(changed: dict[str, object], expected: bool) -> None:
    assert sharing.fits(share(), dataclasses.replace(ANOTHER, **changed)) is expected


def test_the_emptiest_is_joined() -> None:
    full, empty = share(users=2), share(users=1)
    assert sharing.emptiest([full, empty]) is empty
    assert sharing.emptiest([]) is None


# ---------------------------------------------------------------- through a router


async def make(rig: routers.Rig, *, number: int = 3, browsers_: int = 1, **spec: object) -> list[routers.Agent]:
    made = await rig.make_pool(browsers_=browsers_, sessions={"actionsPerBrowser": number}, **spec)
    for agent in made:
        agent.gate.clear()
    return made


def act(rig: routers.Rig, secret: str | None = None) -> "asyncio.Task[routers.Answer]":
    return rig.background.spawn(rig.post("/v1/screenshot", BODY, secret=secret), name="action")


async def busy(agent: routers.Agent, number: int) -> None:
    await waiting.until(lambda: agent.running == number)


def depth(rig: routers.Rig) -> int:
    return rig.running.services.claiming.waiting.depth(SMALL)


@pytest.fixture(autouse=True)
async def nothing_is_left(rig: routers.Rig) -> AsyncIterator[None]:
    """Each action that entered a session has left it."""
    yield
    await waiting.until(lambda: not len(rig.running.services.claiming.holding))
    assert not any(rig.running.services.claiming._sharing._shares.values())


async def test_as_many_as_the_pool_says_are_in_one_session_and_the_next_waits(rig: routers.Rig) -> None:
    [agent] = await make(rig)
    tasks = [act(rig) for _ in range(4)]
    await busy(agent, 3)
    await waiting.until(lambda: depth(rig) == 1)
    assert len(agent.sessions) == 1
    agent.gate.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.headers["X-Browserpool-Browser"] for answer in answers} == {agent.browser_id}
    await rig.until_ready()
    said = await rig.request("GET", "/metrics")
    assert b'browserpool_joins_total{pool="small"}' in said.body


async def test_a_place_that_gets_free_is_taken_before_the_session_ends(rig: routers.Rig) -> None:
    [agent] = await make(rig, number=2)
    gates = [asyncio.Event() for _ in range(3)]

    async def waits_its_own(_: routers.Agent, request: routers.web.Request) -> routers.web.StreamResponse:
        mine = len(agent.served) - 1
        await gates[mine].wait()
        return await routers.answers_png(agent, request)

    agent.does = waits_its_own
    agent.gate.set()
    first = act(rig)
    await busy(agent, 1)
    second = act(rig)
    await busy(agent, 2)
    third = act(rig)
    await waiting.until(lambda: depth(rig) == 1)
    gates[0].set()
    assert (await first).status == 200
    await waiting.until(lambda: len(agent.served) == 3)
    assert len(agent.sessions) == 1
    gates[1].set()
    gates[2].set()
    assert {(await second).headers["X-Browserpool-Session"], (await third).headers["X-Browserpool-Session"]} == {
        agent.sessions[0]
    }


async def test_a_ready_browser_is_preferred_to_a_shared_one(rig: routers.Rig) -> None:
    made = await make(rig, browsers_=2)
    tasks = [act(rig) for _ in range(2)]
    await waiting.until(lambda: [agent.running for agent in made] == [1, 1])
    for agent in made:
        agent.gate.set()
    assert [(await task).status for task in tasks] == [200, 200]


async def test_by_default_nobody_shares(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    tasks = [act(rig) for _ in range(3)]
    await waiting.until(lambda: (agent.running, depth(rig)) == (1, 2))
    agent.gate.set()
    assert [(await task).status for task in tasks] == [200] * 3
    assert (agent.overlapping, len(agent.sessions)) == (False, 3)


async def test_tokens_never_share_and_none_starves_the_other(rig: routers.Rig) -> None:
    [agent] = await make(rig, number=4)
    bob = await rig.make_token("bob")
    first = act(rig)
    await busy(agent, 1)
    other = act(rig, bob)
    await waiting.until(lambda: depth(rig) == 1)
    # Who comes after Bob does not get in before him, though there is room for it.
    later = act(rig)
    await waiting.until(lambda: depth(rig) == 2)
    assert agent.running == 1
    agent.gate.set()
    answers = [await first, await other, await later]
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.headers["X-Browserpool-Session"] for answer in answers[:2]}) == 2
    assert [answer.headers["X-Browserpool-Session"] for answer in answers[:2]] == agent.sessions[:2]


async def test_cdp_has_a_browser_to_itself(rig: routers.Rig) -> None:
    [agent] = await make(rig, onEmpty={"mode": "Fail"})
    running = act(rig)
    await busy(agent, 1)
    assert (await rig.post("/devtools/browser", {})).status == 503
    agent.gate.set()
    assert (await running).status == 200
    await rig.until_ready()
    made = await rig.post("/devtools/browser", {})
    assert made.status == 200
    assert (await rig.post("/v1/screenshot", BODY)).status == 503
    await rig.request("DELETE", f"/devtools/browser/{made.json['sessionId']}")


async def test_a_client_that_goes_away_leaves_only_its_own_place(rig: routers.Rig) -> None:
    [agent] = await make(rig)
    tasks = [act(rig) for _ in range(3)]
    await busy(agent, 3)
    tasks[0].cancel()
    await busy(agent, 2)
    again = act(rig)
    await busy(agent, 3)
    assert len(agent.sessions) == 1
    agent.gate.set()
    assert [(await task).status for task in (*tasks[1:], again)] == [200] * 3
    await rig.until_ready()


async def test_a_browser_that_dies_takes_all_with_it_and_nobody_joins_the_dead(rig: routers.Rig) -> None:
    [agent] = await make(rig, onEmpty={"queueTimeout": "1s"})
    agent.does = routers.dies
    tasks = [act(rig) for _ in range(3)]
    await busy(agent, 3)
    agent.gate.set()
    assert [(await task).status for task in tasks] == [502] * 3
    assert (await rig.post("/v1/screenshot", BODY)).status == 503


async def test_an_agent_that_will_not_have_them_is_given_back(rig: routers.Rig) -> None:
    [agent] = await make(rig, onEmpty={"queueTimeout": "5s"})
    agent.does = routers.refuses(errors.Unavailable("no Chromium", retry_after=1))
    tasks = [act(rig) for _ in range(3)]
    await busy(agent, 3)
    agent.gate.set()
    assert {(await task).status for task in tasks} == {503}
    agent.does = routers.answers_png
    await rig.until_ready()
    assert (await rig.post("/v1/screenshot", BODY)).status == 200


async def test_after_so_many_uses_the_session_ends(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool(sessions={"actionsPerBrowser": 4, "recycleAfter": 2})
    agent.gate.clear()
    tasks = [act(rig) for _ in range(4)]
    await waiting.until(lambda: (agent.running, depth(rig)) == (2, 2))
    agent.gate.set()
    assert [(await task).status for task in tasks] == [200] * 4
    assert len(agent.sessions) >= 2


async def test_a_router_that_stops_lets_all_of_them_finish(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database) as own:
        [agent] = await make(own)
        tasks = [act(own) for _ in range(3)]
        await busy(agent, 3)
        draining = own.background.spawn(app.drain(own.running.services), name="drain")
        await waiting.until(own.running.services.stopping.is_set)
        agent.gate.set()
        assert [(await task).status for task in tasks] == [200] * 3
        await draining
    assert await sessions.listing(database) == []
