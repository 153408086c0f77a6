"""What breaks under a request: the caller gets a clear answer in bounded time, and no browser leaks."""

import asyncio
import contextlib
import functools
from collections.abc import Iterator

import aiohttp
import pytest

from browserpool.lib import clock
from browserpool.model import errors, pool, states
from browserpool.model.names import PoolName, TokenName
from browserpool.store import browsers, connect, sessions
from support import postgres, routers, waiting

SHOT = "/v1/screenshot"
BODY = {"html": "x"}


@pytest.fixture
def forgetful_postgres() -> Iterator[tuple[postgres.Server, str]]:
    """As ``own_postgres``; a crash loses all since the last checkpoint, if that is less than ten seconds ago.

    Nobody waits for anything there: what a router writes by the way would take a claim to the disk with it.
    """
    with postgres.server(**postgres.FORGETFUL | {"synchronous_commit": "off"}) as server:
        postgres.make_template(server)
        with postgres.clone(server) as dsn:
            yield server, dsn


async def nothing_held(rig: routers.Rig) -> None:
    async def settled() -> bool:
        parts = rig.running.services
        here = len(parts.claiming.holding) + parts.quotas.running(TokenName("tester"))
        return not here and await sessions.listing(rig.database) == []

    # Well before a lease that was forgotten would run out by itself.
    await waiting.until(settled, deadline=7)


@pytest.mark.parametrize("where", ["in the action", "in the queue"])
async def test_a_client_that_goes_away_frees_its_browser(rig: routers.Rig, where: str) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    busy = rig.background.spawn(rig.post(SHOT, BODY), name="busy")
    await waiting.until(lambda: agent.running == 1)
    if where == "in the queue":
        queued = rig.background.spawn(rig.post(SHOT, BODY), name="queued")
        await waiting.until(lambda: rig.running.services.claiming.waiting.depth(PoolName("small")) == 1)
        queued.cancel()
        await waiting.until(lambda: rig.running.services.claiming.waiting.depth(PoolName("small")) == 0)
    busy.cancel()
    await waiting.until(lambda: agent.running == 0)
    await rig.until_ready()
    await nothing_held(rig)
    agent.gate.set()
    assert (await rig.post(SHOT, BODY)).status == 200


async def test_clients_that_go_away_at_any_moment_leak_nothing(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)

    async def impatient(patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await rig.post(SHOT, BODY)

    await asyncio.gather(*(impatient(0.0007 * number) for number in range(60)))
    await rig.until_ready(number=2)
    await nothing_held(rig)


async def test_an_agent_that_dies_in_an_action_is_502_and_its_session_is_over(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.does = routers.dies
    answer = await rig.post(SHOT, BODY)
    assert answer.status == 502
    assert agent.browser_id in answer.message
    assert answer.headers["Retry-After"] == "1"
    await nothing_held(rig)
    assert await rig.states() == {"recycling": 1}


async def test_what_killed_one_browser_is_not_sent_to_the_next(rig: routers.Rig) -> None:
    agents = await rig.make_pool(browsers_=2)
    for agent in agents:
        agent.does = routers.dies
    assert (await rig.post(SHOT, BODY)).status == 502
    assert sum(len(agent.served) for agent in agents) == 1


async def test_what_killed_one_chromium_is_not_sent_to_the_next(rig: routers.Rig) -> None:
    """Its agent lives, and says so: the page may have done what must not be done twice."""
    agents = await rig.make_pool(browsers_=2)
    for agent in agents:
        agent.does = routers.refuses(errors.BrowserLost("Chromium died", retry_after=1))
    answer = await rig.post(SHOT, BODY)
    assert (answer.status, answer.message, answer.headers["Retry-After"]) == (502, "Chromium died", "1")
    assert sum(len(agent.served) for agent in agents) == 1
    await nothing_held(rig)


async def test_an_agent_that_cannot_be_reached_costs_the_caller_nothing(rig: routers.Rig) -> None:
    dead, alive = await rig.make_pool(browsers_=2)
    dead.vanish()
    for _ in range(3):
        answer = await rig.post(f"{SHOT}?node=node-0", BODY)
        assert answer.status == 200
        assert answer.headers["X-Browserpool-Browser"] == alive.browser_id
        await waiting.until(lambda: len(rig.running.services.claiming.holding) == 0)
    await waiting.until(lambda: _states_are(rig, {"ready": 1, "recycling": 1}))
    await nothing_held(rig)


async def _states_are(rig: routers.Rig, expected: dict[str, int]) -> bool:
    return await rig.states() == expected


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_browser_that_dropped_its_idle_connections_answers_the_next_one(rig: routers.Rig, how: str) -> None:
    """A browser that has stood idle long enough is no less of a browser."""
    [agent] = await rig.make_pool()
    for _ in range(20):
        assert (await rig.post(SHOT, BODY)).status == 200
        await rig.until_ready()
        agent.drop_connections(how)


@pytest.mark.parametrize(
    "error",
    [errors.StaleFence("an older claim"), errors.Unavailable("Chromium is down"), errors.Unauthorized("whose?")],
)
async def test_a_browser_that_will_not_have_the_claim_is_given_back_and_another_asked(
    rig: routers.Rig, error: errors.BrowserpoolError
) -> None:
    unwilling, willing = await rig.make_pool(browsers_=2)
    unwilling.does = routers.refuses(error)
    unwilling.dirty = True
    answer = await rig.post(f"{SHOT}?node=node-0", BODY)
    assert answer.status == 200
    assert answer.headers["X-Browserpool-Browser"] == willing.browser_id
    await nothing_held(rig)


async def test_browsers_that_all_refuse_are_503_after_three_of_them(rig: routers.Rig) -> None:
    agents = await rig.make_pool(browsers_=4)
    for agent in agents:
        agent.does = routers.refuses(errors.Unavailable("Chromium is down"))
        agent.dirty = True
    answer = await rig.post(SHOT, BODY)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "nothing was done" in answer.message
    assert "Chromium is down" in answer.message
    assert sum(len(agent.served) for agent in agents) == 3


async def test_an_agent_that_never_answers_is_502_at_the_actions_deadline(
    rig: routers.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from browserpool.router import actions

    monkeypatch.setattr(actions, "SLACK", 0.1)
    [agent] = await rig.make_pool()
    agent.gate.clear()
    answer = await rig.post(SHOT, {**BODY, "actionTimeout": 300})
    assert answer.status == 502
    assert "did not answer in time" in answer.message
    await rig.until_ready()


async def test_an_agent_that_dies_in_a_large_answer_ends_the_clients_connection(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()

    async def half(of: routers.Agent, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse(headers={"Content-Length": str(8 * 1024 * 1024)})
        await response.prepare(request)
        await response.write(bytes(2 * 1024 * 1024))
        return await routers.dies(of, request)

    agent.does = half
    with pytest.raises(aiohttp.ClientError):
        await rig.post(SHOT, BODY)
    await nothing_held(rig)


async def test_a_browser_that_is_not_clean_comes_back_by_its_heartbeats_only(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.dirty = True
    agent.gate.clear()
    task = rig.background.spawn(rig.post(SHOT, BODY), name="action")
    await waiting.until(lambda: agent.running == 1)
    assert agent._beats is not None
    agent._beats.cancel()
    agent.gate.set()
    assert (await task).status == 200
    await nothing_held(rig)
    assert await rig.states() == {"recycling": 1}
    reply = await agent.beat()
    assert reply["recycle"] is True
    await agent.beat()
    assert await rig.states() == {"ready": 1}


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(rig: routers.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr(rig.running.services.claiming, "engage", broken)
    await rig.make_pool()
    answer = await rig.post(SHOT, BODY)
    assert answer.status == 500
    assert answer.json["errors"][0]["code"] == 2000
    assert b"secret insides" not in answer.body
    assert b"Traceback" not in answer.body


async def test_postgres_away_is_503_in_bounded_time_and_all_is_well_when_it_is_back(
    own_postgres: tuple[postgres.Server, str],
) -> None:
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database) as rig:
        [agent] = await rig.make_pool()
        agent.gate.clear()
        running = rig.background.spawn(rig.post(SHOT, BODY), name="running")
        await waiting.until(lambda: agent.running == 1)
        await asyncio.to_thread(server.stop, "immediate")
        started = clock.monotonic()
        refused = await rig.post(SHOT, BODY)
        assert clock.monotonic() - started < 15
        assert refused.status == 503
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert (await rig.request("GET", "/readyz")).status == 200
        agent.gate.set()
        assert (await running).status == 200  # what runs needs no store
        await asyncio.to_thread(server.start)
        await waiting.until(lambda: _states_are(rig, {"ready": 1}), deadline=20)

        async def served() -> bool:
            """A region is shut until its heartbeats lag no more, and says so."""
            answer = await rig.post(SHOT, BODY)
            assert answer.status == 200 or (answer.status == 503 and answer.headers["Retry-After"])
            return answer.status == 200

        await waiting.until(served, deadline=20)
        await rig.until_ready()
        await nothing_held(rig)


async def work_of_a_lost_claim(
    server: postgres.Server, dsn: str, rig: routers.Rig, agent: routers.Agent
) -> "asyncio.Task[routers.Answer]":
    """An action that runs, and whose claim a crash has taken back: for the store the browser is ready."""
    running: list[asyncio.Task[routers.Answer]] = []

    async def lost() -> bool:
        """Not if all this took so long that the claim was written by then."""
        agent.gate.clear()
        async with postgres.connected(dsn) as connection:
            await connection.execute("checkpoint")
        running.append(rig.background.spawn(rig.post(SHOT, BODY), name="first"))
        await waiting.until(lambda: agent.running == 1)
        await asyncio.to_thread(server.restart, "immediate")
        [row] = await browsers.listing(rig.database)
        if row.state is states.BrowserState.READY:
            return True
        agent.gate.set()
        assert (await running.pop()).status == 200
        # A release may be lost as well: its lease has to run out.
        await waiting.until(lambda: _states_are(rig, {"ready": 1}), deadline=30)
        return False

    await waiting.until(lost, deadline=90)
    return running[0]


async def test_a_claim_that_a_crash_took_back_gives_a_browser_to_nobody_else(
    forgetful_postgres: tuple[postgres.Server, str],
) -> None:
    server, dsn = forgetful_postgres
    async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database) as rig:
        [agent] = await rig.make_pool()
        first = await work_of_a_lost_claim(server, dsn, rig, agent)
        before = len(agent.sessions)
        second = rig.background.spawn(rig.post(SHOT, BODY), name="second")
        # Its fence is above all that were lost: the first is stopped for it, and goes to the end of the line.
        await waiting.until(lambda: len(agent.sessions) > before, deadline=20)
        agent.gate.set()
        assert [(await one).status for one in (first, second)] == [200, 200]
        assert not agent.overlapping
        await rig.until_ready()
        await nothing_held(rig)


async def test_nor_does_it_spoil_a_cdp_session_that_is_made_then(
    forgetful_postgres: tuple[postgres.Server, str],
) -> None:
    server, dsn = forgetful_postgres
    # Its router does not find out meanwhile: it would have the action done once more, and the session wait for it.
    rarely = {"renew_interval": 5.0}
    async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database, **rarely) as rig:
        [agent] = await rig.make_pool()
        first = await work_of_a_lost_claim(server, dsn, rig, agent)
        made = await rig.post("/v1/devtools/browser")
        assert made.status == 200
        path = f"/devtools/browser/{made.json['sessionId']}"
        async with rig.client.ws_connect(rig.ws + path, headers=rig.bearer()) as socket:
            await socket.send_str("hello")
            assert (await socket.receive(timeout=10)).data == "hello"
            assert agent.running == 0
        agent.gate.set()
        assert (await rig.request("DELETE", path)).status == 200
        assert (await first).status == 200
        await rig.until_ready()
        await nothing_held(rig)


async def test_a_postgres_that_was_restarted_meanwhile_is_not_noticed(
    own_postgres: tuple[postgres.Server, str],
) -> None:
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database) as rig:
        await rig.make_pool()
        await asyncio.to_thread(server.restart)
        assert (await rig.post(SHOT, BODY)).status == 200
        await rig.until_ready()


async def test_a_browser_that_nobody_heard_of_lately_is_not_claimed(dsn: str, database: connect.Database) -> None:
    # Of a minute, so that no stall of the machine's counts as silence.
    async with routers.rig(dsn, database, freshness=60) as rig:
        [agent] = await rig.make_pool(onEmpty={"mode": "Fail"})
        assert (await rig.post(SHOT, BODY)).status == 200
        await rig.until_ready()
        assert agent._beats is not None
        agent._beats.cancel()
        await asyncio.wait({agent._beats})
        for minutes, status in ((0.5, 200), (2, 503)):
            # What it has said last may be on its way still.
            await waiting.until(functools.partial(_silent_for, database, seconds=minutes * 60))
            assert (await rig.post(SHOT, BODY)).status == status
            if status == 200:
                await rig.until_ready()


async def _silent_for(database: connect.Database, *, seconds: float) -> bool:
    """Let the one browser be silent for so long; whether it has stayed so."""
    set_back = b"update browsers set last_seen = now() - make_interval(secs => %(seconds)s)"
    await connect.execute(database, set_back, {"seconds": seconds})
    await asyncio.sleep(0.1)
    [row] = await browsers.listing(database)
    return (row.last_seen_age or 0) >= seconds


async def test_a_pool_of_two_regions_spills_over_when_its_own_is_empty(rig: routers.Rig) -> None:
    await rig.make_pool(regions=[{"name": "local", "backup": "far"}, {"name": "far"}])
    far = await rig.make_agent(_pool(rig), 0, region="far")
    [near] = [agent for agent in rig.agents if agent is not far]
    await rig.until_ready(number=2)
    near.gate.clear()
    busy = rig.background.spawn(rig.post(SHOT, BODY), name="busy")
    await waiting.until(lambda: near.running == 1)
    answer = await rig.post(SHOT, BODY)
    assert answer.headers["X-Browserpool-Region"] == "far"
    assert answer.headers["X-Browserpool-Locality"] == "backup"
    near.gate.set()
    assert (await busy).headers["X-Browserpool-Region"] == "local"


def _pool(rig: routers.Rig) -> pool.BrowserPool:
    name = PoolName("small")
    return pool.BrowserPool(metadata=pool.Metadata(name=name), spec=rig.running.services.catalog.pools[name])
