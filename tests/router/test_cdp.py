"""CDP through the router: claim and connect, frames, reconnect, the ends of a session."""

import asyncio
import os

import aiohttp
import pytest

from browserpool import metrics
from browserpool.model import claims
from browserpool.model.names import HolderId, PoolName, RegionName, SessionId, TokenName
from browserpool.store import connect, leases, sessions
from support import postgres, routers, waiting

WAYS = [
    "/devtools/browser",
    "/client/v4/accounts/a/browser-rendering/devtools/browser",
    "/client/v4/accounts/a/browser-run/devtools/browser",
]


async def open_socket(
    rig: routers.Rig, path: str = "/devtools/browser", **kwargs: object
) -> aiohttp.ClientWebSocketResponse:
    headers = kwargs.pop("headers", rig.bearer())
    return await rig.client.ws_connect(rig.ws + path, headers=headers, max_msg_size=0, **kwargs)


async def echoes(socket: aiohttp.ClientWebSocketResponse, text: str = '{"id":1}') -> bool:
    await socket.send_str(text)
    return await socket.receive_str(timeout=10) == text


async def refused(rig: routers.Rig, path: str, secret: str | None = None) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await open_socket(rig, path, headers=rig.bearer(secret))
    return error.value.status


async def reason_for_the_end(session_id: str, database: connect.Database) -> claims.CloseReason | None:
    past = await sessions.history(database, SessionId(session_id))
    return past.reason if past else None


@pytest.mark.parametrize("path", WAYS)
async def test_claim_and_connect(rig: routers.Rig, path: str) -> None:
    [agent] = await rig.make_pool()
    socket = await open_socket(rig, path)
    assert await echoes(socket)
    assert socket._response.headers["X-Browserpool-Browser"] == agent.browser_id
    [live] = await sessions.listing(rig.database)
    assert (live.kind, live.token, live.keep_alive) == (claims.SessionKind.CDP, "tester", 60.0)
    await socket.close()


async def test_the_token_may_stand_in_the_query(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await open_socket(rig, f"/devtools/browser?token={rig.secret}", headers={})
    assert await echoes(socket)
    await socket.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_536, 6 * 1024 * 1024])
async def test_frames_of_any_size_pass_unchanged_both_ways(rig: routers.Rig, size: int) -> None:
    await rig.make_pool()
    socket = await open_socket(rig)
    text = "é" * (size // 2) + "x" * (size % 2)
    assert await echoes(socket, text)
    data = os.urandom(size)
    await socket.send_bytes(data)
    assert await socket.receive_bytes(timeout=10) == data
    await socket.close()


async def test_many_frames_keep_their_order(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await open_socket(rig)
    for number in range(2000):
        await socket.send_str(str(number))
    assert [await socket.receive_str(timeout=10) for _ in range(2000)] == [str(number) for number in range(2000)]
    await socket.close()


async def test_a_session_outlives_its_connection_and_is_found_again_by_its_id(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    first = await open_socket(rig)
    session_id = first._response.headers["X-Browserpool-Session"]
    await first.close()
    await waiting.until(lambda: not agent.sockets)
    for path in WAYS:
        again = await open_socket(rig, f"{path}/{session_id}")
        assert await echoes(again)
        await again.close()
    assert agent.sessions == [session_id]
    assert await rig.states() == {"claimed": 1}


async def test_a_session_is_found_through_any_router(rig: routers.Rig, dsn: str, database: connect.Database) -> None:
    [agent] = await rig.make_pool()
    session_id = (await rig.post("/devtools/browser?keep_alive=10000")).json["sessionId"]
    async with routers.rig(dsn, database) as other:
        secret = await other.make_token("tester")
        socket = await other.client.ws_connect(f"{other.ws}/devtools/browser/{session_id}", headers=rig.bearer(secret))
        assert await echoes(socket)
        live = await sessions.live(database, SessionId(session_id))
        assert live is not None

        async def taken_over() -> bool:
            await echoes(socket)
            now = await sessions.live(database, SessionId(session_id))
            return now is not None and now.holder == other.running.services.holder

        await waiting.until(taken_over)
        assert (await other.request("DELETE", f"/devtools/browser/{session_id}", secret=secret)).json == {
            "status": "closed"
        }
        assert (await socket.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    await rig.until_ready()
    assert agent.sessions == [session_id]


async def test_only_its_own_token_may_reconnect(rig: routers.Rig) -> None:
    await rig.make_pool()
    session_id = (await rig.post("/devtools/browser")).json["sessionId"]
    other = await rig.make_token("other")
    admin = await rig.make_token("admin", admin=True)
    for path in (
        f"/devtools/browser/{session_id}",
        f"/devtools/browser/{session_id}/page/PAGE1",
        "/devtools/page/PAGE1",
    ):
        assert await refused(rig, path, other) == 404
    for method, path in (("DELETE", ""), ("GET", "/json/list"), ("GET", "/json/version"), ("PUT", "/json/new")):
        assert (await rig.request(method, f"/devtools/browser/{session_id}{path}", secret=other)).status == 404
    assert (await rig.request("GET", f"/devtools/session/{session_id}", secret=other)).status == 404
    assert (await rig.request("GET", "/devtools/session", secret=other)).json == []
    socket = await open_socket(rig, f"/devtools/browser/{session_id}", headers=rig.bearer(admin))
    assert await echoes(socket)
    await socket.close()


@pytest.mark.parametrize("name", ["nope", "a" * 65, "..", "%2e%2e", "a%20b"])
async def test_a_session_that_never_was_is_404(rig: routers.Rig, name: str) -> None:
    await rig.make_pool()
    assert await refused(rig, f"/devtools/browser/{name}x") == 404


async def test_an_action_is_no_session_to_connect_to(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    task = rig.background.spawn(rig.post("/v1/screenshot", {"html": "x"}), name="action")
    await waiting.until(lambda: agent.running == 1)
    assert await refused(rig, f"/devtools/browser/{agent.sessions[-1]}") == 404
    assert (await rig.request("DELETE", f"/devtools/browser/{agent.sessions[-1]}")).status == 404
    agent.gate.set()
    assert (await task).status == 200


async def test_delete_ends_it_at_once_and_twice_does_no_harm(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await open_socket(rig)
    session_id = socket._response.headers["X-Browserpool-Session"]
    path = f"/devtools/browser/{session_id}"
    assert (await rig.request("DELETE", path)).json == {"status": "closed"}
    message = await socket.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert (await rig.request("DELETE", path)).json == {"status": "closed"}
    assert await refused(rig, path) == 410
    await rig.until_ready()
    assert await reason_for_the_end(session_id, rig.database) is claims.CloseReason.NORMAL_CLOSURE


async def test_idle_for_keep_alive_it_ends_and_its_connection_is_closed_with_the_reason(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool(sessions={"keepAlive": "700ms"})
    socket = await open_socket(rig)
    session_id = socket._response.headers["X-Browserpool-Session"]
    assert await echoes(socket)
    message = await socket.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert (message.data, message.extra) == (1001, "the session was idle for keep_alive, and is over")
    assert await reason_for_the_end(session_id, rig.database) is claims.CloseReason.BROWSER_IDLE
    await rig.until_ready()
    assert agent.ended == agent.fence
    assert await refused(rig, f"/devtools/browser/{session_id}") == 410
    assert metrics.LEASES_EXPIRED.labels("small")._value.get() >= 1


async def test_traffic_keeps_it_alive(rig: routers.Rig) -> None:
    await rig.make_pool(sessions={"keepAlive": "700ms"})
    socket = await open_socket(rig)
    [before] = await sessions.listing(rig.database)

    async def renewed_for_longer_than_keep_alive() -> bool:
        assert await echoes(socket)
        [now] = await sessions.listing(rig.database)
        return (now.expires_at - before.expires_at).total_seconds() > 1.5

    await waiting.until(renewed_for_longer_than_keep_alive, every=0.1)
    await socket.close()


async def test_a_session_that_nobody_ever_connected_to_ends_too(rig: routers.Rig) -> None:
    await rig.make_pool(sessions={"keepAlive": "400ms"})
    assert (await rig.post("/devtools/browser")).status == 200
    await rig.until_ready()
    await waiting.until(lambda: rig.running.services.quotas.running(TokenName("tester")) == 0)


async def test_its_hard_end_comes_whatever_the_traffic(rig: routers.Rig) -> None:
    await rig.make_pool(sessions={"maxLifetime": "600ms"})
    socket = await open_socket(rig)

    async def talk() -> None:
        while True:
            assert await echoes(socket)
            await asyncio.sleep(0.02)

    with pytest.raises((aiohttp.ClientError, ConnectionError, TypeError, aiohttp.WSMessageTypeError)):
        await talk()
    await rig.until_ready()


async def test_a_lease_that_was_lost_closes_the_connection_with_a_reason(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await open_socket(rig)
    [live] = await sessions.listing(rig.database)
    await leases.release(rig.database, session_id=live.session_id, fence=live.fence, clean=False)
    await socket.send_str("still here")

    async def closed() -> bool:
        message = await socket.receive(timeout=10)
        if message.type is aiohttp.WSMsgType.CLOSE:
            assert message.data == 1001
            assert "session is over" in message.extra
            return True
        await socket.send_str("still here")
        return False

    await waiting.until(closed)
    await rig.until_ready()


async def test_a_browser_that_closes_ends_the_session(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await open_socket(rig)
    session_id = socket._response.headers["X-Browserpool-Session"]
    await socket.send_str('{"id":7,"method":"Browser.close"}')
    assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    await rig.until_ready()
    assert await reason_for_the_end(session_id, rig.database) is claims.CloseReason.NORMAL_CLOSURE


async def test_a_client_that_closes_the_browser_and_leaves_at_once_ends_the_session_too(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await open_socket(rig)
    await socket.send_str('{"id":7,"method":"Browser.close"}')
    await socket.close()
    await rig.until_ready()
    assert await sessions.listing(rig.database) == []


async def test_an_agent_that_dies_closes_the_clients_connection(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    socket = await open_socket(rig)
    assert await echoes(socket)
    agent.vanish()
    message = await socket.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert (message.data, message.extra) == (1011, "the browser went away")


async def test_a_browser_that_cannot_be_reached_is_passed_over(rig: routers.Rig) -> None:
    dead, alive = await rig.make_pool(browsers_=2)
    dead.vanish()
    socket = await open_socket(rig, "/devtools/browser?node=node-0")
    assert socket._response.headers["X-Browserpool-Browser"] == alive.browser_id
    assert await echoes(socket)
    await socket.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/devtools/browser?pool=nope", 404),
        ("/devtools/browser?keep_alive=1", 400),
        ("/devtools/browser?region=mars", 400),
        ("/devtools/page/NOPE", 404),
    ],
)
async def test_what_cannot_be_is_told_as_an_http_status_and_costs_nothing(
    rig: routers.Rig, path: str, status: int
) -> None:
    [agent] = await rig.make_pool()
    assert await refused(rig, path) == status
    assert agent.sessions == []


@pytest.mark.parametrize("path", ["/devtools/browser", "/devtools/page/PAGE1"])
async def test_a_plain_get_is_told_to_speak_websocket(rig: routers.Rig, path: str) -> None:
    [agent] = await rig.make_pool()
    answer = await rig.request("GET", path)
    assert (answer.status, "WebSocket" in answer.message) == (400, True)
    assert agent.sessions == []


async def test_an_empty_pool_is_503_with_retry_after_before_the_upgrade(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=0, onEmpty={"mode": "Fail"})
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await open_socket(rig)
    assert error.value.status == 503
    assert error.value.headers is not None
    assert error.value.headers["Retry-After"] == "5"


async def test_concurrency_counts_sessions_until_they_end_and_actions_too(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    one = await rig.make_token("one", concurrency=1)
    socket = await open_socket(rig, headers=rig.bearer(one))
    session_id = socket._response.headers["X-Browserpool-Session"]
    assert await refused(rig, "/devtools/browser", one) == 429
    assert (await rig.post("/v1/screenshot", {"html": "x"}, secret=one)).status == 429
    await socket.close()
    assert await refused(rig, "/devtools/browser", one) == 429  # it is open for keep_alive
    again = await open_socket(rig, f"/devtools/browser/{session_id}", headers=rig.bearer(one))
    assert await echoes(again)
    await rig.request("DELETE", f"/devtools/browser/{session_id}", secret=one)
    third = await open_socket(rig, headers=rig.bearer(one))
    assert await echoes(third)
    await third.close()


async def test_one_page_of_a_session(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    session_id = (await rig.post("/devtools/browser")).json["sessionId"]
    for path in (f"/devtools/browser/{session_id}/page/PAGE1", "/devtools/page/PAGE1"):
        socket = await open_socket(rig, path)
        assert await echoes(socket)
        await socket.close()
    assert await refused(rig, f"/devtools/browser/{session_id}/page/NOPE") == 404
    assert await rig.states() == {"claimed": 1}
    assert agent.sessions == [session_id]


async def test_a_client_that_leaves_while_it_waits_leaks_nothing(rig: routers.Rig) -> None:
    await rig.make_pool()

    async def impatient(seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                socket = await open_socket(rig)
                await socket.send_str('{"id":7,"method":"Browser.close"}')
                await socket.close()
        except TimeoutError:
            return

    await asyncio.gather(*(impatient(0.002 * number) for number in range(30)))

    async def all_free() -> bool:
        # Those whose connection stood when they left keep their session for keep_alive; end it as they could.
        for live in await sessions.listing(rig.database):
            await rig.request("DELETE", f"/devtools/browser/{live.session_id}")
        return await rig.states() == {"ready": 1} and len(rig.running.services.claiming.holding) == 0

    await waiting.until(all_free)
    assert rig.running.services.quotas.running(TokenName("tester")) == 0


async def test_open_connections_go_on_while_postgres_is_away(own_postgres: tuple[postgres.Server, str]) -> None:
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database) as rig:
        await rig.make_pool(sessions={"keepAlive": "1s"})
        socket = await open_socket(rig)
        [before] = await sessions.listing(database)
        await asyncio.to_thread(server.stop, "fast")
        end = asyncio.get_running_loop().time() + 1.5  # longer than its lease
        while asyncio.get_running_loop().time() < end:
            assert await echoes(socket)
            await asyncio.sleep(0.05)
        await asyncio.to_thread(server.start)

        async def renewed() -> bool:
            assert await echoes(socket)
            live = await sessions.live(database, before.session_id)
            return live is not None and live.expires_at > live.now

        await waiting.until(renewed, deadline=20)
        await socket.close()


async def of_an_object(rig: routers.Rig, *, token: str | None) -> str:
    """A session as a BrowserSession object has it: claimed by another process."""
    request = claims.ClaimRequest(
        session_id=SessionId("bs-1"),
        pool=PoolName("small"),
        region=RegionName("local"),
        kind=claims.SessionKind.CDP,
        keep_alive=60.0,
        holder=HolderId("browsersessions"),
        token=TokenName(token) if token else None,
    )
    assert (await leases.claim(rig.database, request)).claim is not None
    return "/devtools/browser/bs-1"


async def test_a_session_without_an_owner_is_of_all_who_may_use_its_pool(rig: routers.Rig) -> None:
    await rig.make_pool()
    path = await of_an_object(rig, token=None)
    assert await refused(rig, path, await rig.make_token("elsewhere", pools=frozenset({PoolName("other")}))) == 404
    for secret in (rig.secret, await rig.make_token("other")):
        socket = await open_socket(rig, path, headers=rig.bearer(secret))
        assert await echoes(socket)
        await socket.close()
    live = await sessions.live(rig.database, SessionId("bs-1"))
    assert live is not None


async def test_a_session_of_an_object_that_names_a_token_is_of_that_one(rig: routers.Rig) -> None:
    await rig.make_pool()
    other = await rig.make_token("other")
    path = await of_an_object(rig, token="other")
    assert await refused(rig, path) == 404
    socket = await open_socket(rig, path, headers=rig.bearer(other))
    assert await echoes(socket)
    await socket.close()
