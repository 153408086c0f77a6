"""Clients that speak to the browser themselves: the pod's address on demand, and renewal through any router."""

import aiohttp
import pytest

from browserpool.model import agentapi, claims
from browserpool.model.names import SessionId
from browserpool.store import connect, sessions
from support import routers, waiting


async def renew(rig: routers.Rig, session_id: str, query: str = "", *, secret: str | None = None) -> routers.Answer:
    return await rig.post(f"/v1/sessions/{session_id}/renew{query}", secret=secret)


async def holder(database: connect.Database, session_id: str) -> str | None:
    live = await sessions.live(database, SessionId(session_id))
    return None if live is None else live.holder


async def echoes(rig: routers.Rig, url: str) -> bool:
    async with rig.client.ws_connect(url) as socket:
        await socket.send_str("hello")
        return await socket.receive_str(timeout=10) == "hello"


async def test_the_pods_own_address_comes_on_demand_only(rig: routers.Rig) -> None:
    await rig.make_pool()
    answer = await rig.post("/devtools/browser")
    assert set(answer.json) == {"sessionId", "webSocketDebuggerUrl"}
    assert answer.headers["X-Browserpool-Node"] == "node-0"


async def test_the_pods_own_address_lets_its_session_in_and_no_other(rig: routers.Rig) -> None:
    one, two = await rig.make_pool(browsers_=2)
    answer = (await rig.post("/devtools/browser?direct=true&keep_alive=20000&node=node-1")).json
    assert answer["directUrl"].startswith(f"ws://{two.address}{agentapi.CDP}?token=")
    assert answer["keepAlive"] == 20_000
    assert await echoes(rig, answer["directUrl"])
    assert two.sessions == [answer["sessionId"]]
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await rig.client.ws_connect(answer["directUrl"].replace(two.address, one.address))
    assert error.value.status == 401


async def test_a_session_that_is_renewed_outlives_its_keep_alive_and_ends_when_that_stops(rig: routers.Rig) -> None:
    await rig.make_pool(sessions={"keepAlive": "700ms"})
    answer = (await rig.post("/devtools/browser?direct=true")).json
    [before] = await sessions.listing(rig.database)

    async def renewed_for_longer_than_keep_alive() -> bool:
        said = await renew(rig, answer["sessionId"])
        assert said.status == 200
        [now] = await sessions.listing(rig.database)
        assert abs(said.json["expiresAt"] / 1000 - now.now.timestamp() - 0.7) < 0.5
        return (now.expires_at - before.expires_at).total_seconds() > 1.5

    await waiting.until(renewed_for_longer_than_keep_alive, every=0.1)
    await rig.until_ready()
    past = await sessions.history(rig.database, SessionId(answer["sessionId"]))
    assert past is not None
    assert past.reason is claims.CloseReason.BROWSER_IDLE
    gone = await renew(rig, answer["sessionId"])
    assert (gone.status, "BrowserIdle" in gone.message) == (410, True)


async def test_a_fresh_address_for_a_second_connection(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    session_id = (await rig.post("/devtools/browser")).json["sessionId"]
    fresh = (await renew(rig, session_id, "?direct=true")).json
    assert await echoes(rig, fresh["directUrl"])
    assert agent.sessions == [session_id]


async def test_only_its_own_token_may_renew(rig: routers.Rig) -> None:
    await rig.make_pool()
    session_id = (await rig.post("/devtools/browser")).json["sessionId"]
    other = await rig.make_token("other")
    for name in (session_id, "never-was"):
        assert (await renew(rig, name, "?direct=true", secret=other)).status == 404
    assert (await rig.client.post(f"{rig.url}/v1/sessions/{session_id}/renew")).status == 401


async def test_another_router_takes_the_lease_over_and_the_first_ones_end_does_no_harm(
    rig: routers.Rig, dsn: str, database: connect.Database
) -> None:
    async with routers.rig(dsn, database) as first:
        await rig.make_pool(sessions={"keepAlive": "2s"})
        secret = await first.make_token()
        session_id = (await first.post("/devtools/browser", secret=secret)).json["sessionId"]
        await rig.running.services.catalog.reload()
        assert (await renew(rig, session_id, secret=secret)).status == 200

        async def taken_over() -> bool:
            return await holder(database, session_id) == rig.running.services.holder

        await waiting.until(taken_over)
    assert (await renew(rig, session_id, secret=secret)).status == 200
    assert await holder(database, session_id) == rig.running.services.holder


async def test_a_session_may_be_ended_through_another_router_than_made_it(
    rig: routers.Rig, dsn: str, database: connect.Database
) -> None:
    [agent] = await rig.make_pool(sessions={"keepAlive": "10s"})
    session_id = (await rig.post("/devtools/browser?direct=true")).json["sessionId"]
    async with routers.rig(dsn, database) as second:
        secret = await second.make_token("tester")
        again = (await renew(second, session_id, "?direct=true", secret=secret)).json
        assert await echoes(second, again["directUrl"])
        ended = await second.request("DELETE", f"/devtools/browser/{session_id}", secret=secret)
        assert ended.json == {"status": "closed"}
        await rig.until_ready()
    assert agent.sessions == [session_id]


async def test_a_session_that_another_router_ended_does_not_count_any_more(
    rig: routers.Rig, dsn: str, database: connect.Database
) -> None:
    await rig.make_pool(sessions={"keepAlive": "60s"})
    secret = await rig.make_token("one", concurrency=1)
    async with routers.rig(dsn, database) as second:
        for _ in range(3):
            made = await rig.post("/devtools/browser?direct=true", secret=secret)
            assert made.status == 200
            assert (await rig.post("/devtools/browser", secret=secret)).status == 429
            path = f"/devtools/browser/{made.json['sessionId']}"
            assert (await second.request("DELETE", path, secret=secret)).json == {"status": "closed"}
            await rig.until_ready()

            async def free() -> bool:
                return (await rig.post("/v1/screenshot", {"html": "x"}, secret=secret)).status == 200

            await waiting.until(free)
            await rig.until_ready()


async def test_leases_that_ran_out_while_no_router_was_there_are_not_ended_before_they_can_be_renewed(
    dsn: str, database: connect.Database
) -> None:
    async with routers.rig(dsn, database) as first:
        [agent] = await first.make_pool(sessions={"keepAlive": "300ms"})
        session_id = (await first.post("/devtools/browser?direct=true")).json["sessionId"]
        for loop in list(first.running.services.background._tasks):
            loop.cancel()

        async def ran_out() -> bool:
            live = await sessions.live(database, SessionId(session_id))
            return live is not None and live.expires_at < live.now

        await waiting.until(ran_out)
        async with routers.rig(dsn, database, expire_interval=0.01, renew_interval=2.0) as second:
            agent.router_url = second.url
            assert (await renew(second, session_id)).status == 200


async def test_addresses_are_given_as_the_sender_is_called(rig: routers.Rig) -> None:
    await rig.make_pool()
    for said, expected in (
        ("http://localhost:9222", "ws://localhost:9222/"),
        ("https://[::1]:1", "wss://[::1]:1/"),
        ('http://x" y', rig.ws + "/"),
        ("ftp://x", rig.ws + "/"),
    ):
        answer = await rig.request("GET", "/json/version", headers={agentapi.BASE: said})
        assert answer.json["webSocketDebuggerUrl"].startswith(expected)
