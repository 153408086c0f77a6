"""The sidecar in front of a real router and stand-in agents: what goes on, which way CDP takes, what is said when something is missing."""

import asyncio
import contextlib
import io
import pathlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import claims
from browserpool.model.names import SessionId
from browserpool.router import app
from browserpool.store import connect, sessions
from support import routers, sidecars, waiting

WAYS = [
    "/devtools/browser",
    "/client/v4/accounts/a/browser-rendering/devtools/browser",
    "/client/v4/accounts/a/browser-run/devtools/browser",
]


@pytest.fixture
async def sidecar(rig: routers.Rig, tmp_path: pathlib.Path) -> AsyncIterator[sidecars.Sidecar]:
    """On the node of the second browser of a pool."""
    async with sidecars.inside(rig.url, tmp_path, secret=rig.secret, node="node-1") as made:
        yield made


async def echoes(socket: aiohttp.ClientWebSocketResponse, text: str = '{"id":1}') -> bool:
    await socket.send_str(text)
    return await socket.receive_str(timeout=10) == text


async def refused(sidecar: sidecars.Sidecar, path: str = "/devtools/browser", **kwargs: object) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await sidecar.connect(path, **kwargs)
    return error.value.status


def at_router(rig: routers.Rig) -> int:
    """CDP connections that go through the router."""
    return sum(held.connections for held in rig.running.services.claiming.holding.all())


def unreachable_directly(rig: routers.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router gives out addresses that nobody listens at, as where a policy keeps clients from pods."""
    monkeypatch.setattr(
        rig.running.services.agents, "direct_url", lambda _: "ws://127.0.0.1:1/v1/cdp?token=x", raising=True
    )


# ---------------------------------------------------------------- quick actions and all else


async def test_a_quick_action_gets_a_browser_of_the_sidecars_node(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool(browsers_=3)
    for _ in range(5):
        answer = await sidecar.request("POST", "/v1/screenshot", json={"html": "x"})
        assert (answer.status, answer.body) == (200, routers.PNG)
        assert (answer.headers["X-Browserpool-Node"], answer.headers["X-Browserpool-Locality"]) == ("node-1", "node")
        assert answer.headers["Content-Type"] == "image/png"
        await rig.until_ready(number=3)


async def test_a_request_that_names_a_node_or_a_pool_gets_that(rig: routers.Rig, tmp_path: pathlib.Path) -> None:
    await rig.make_pool(browsers_=2)
    await rig.make_pool("other", browsers_=1)
    async with sidecars.inside(rig.url, tmp_path, secret=rig.secret, node="node-1", pool="small") as sidecar:
        for path, headers, expected in (
            ("/v1/pdf", {}, ("small", "node-1")),
            ("/v1/pdf?node=node-0", {}, ("small", "node-0")),
            ("/v1/pdf", {"X-Browserpool-Node": "node-0"}, ("small", "node-0")),
            ("/v1/pdf?pool=other", {}, ("other", "node-0")),
            ("/v1/pdf", {"X-Browserpool-Pool": "other"}, ("other", "node-0")),
        ):
            answer = await sidecar.request("POST", path, json={"html": "x"}, headers=headers)
            assert (answer.headers["X-Browserpool-Pool"], answer.headers["X-Browserpool-Node"]) == expected
            await rig.until_ready(number=2)
            await rig.until_ready("other")


async def test_an_answer_of_30_mb_comes_through_piece_by_piece(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    half = 15 * 1024 * 1024
    go_on = asyncio.Event()

    async def two_halves(_: routers.Agent, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "application/pdf", "Content-Length": str(2 * half)})
        await response.prepare(request)
        await response.write(b"a" * half)
        await go_on.wait()
        await response.write(b"b" * half)
        return response

    [agent] = await rig.make_pool()
    agent.does = two_halves
    async with sidecar.client.post(f"{sidecar.url}/v1/pdf", json={"html": "x"}) as answer:
        assert (answer.status, answer.content_length) == (200, 2 * half)
        # The first half is here before the second was written.
        assert await answer.content.readexactly(half) == b"a" * half
        go_on.set()
        assert await answer.content.readexactly(half) == b"b" * half
        assert answer.content.at_eof()


async def test_a_body_of_30_mb_goes_through(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    [agent] = await rig.make_pool()
    body = b'{"html": "' + b"x" * (30 * 1024 * 1024) + b'"}'
    answer = await sidecar.request("POST", "/v1/content", data=io.BytesIO(body))
    assert answer.status == 200
    assert agent.served[-1][1] == body


async def test_a_body_over_the_limit_is_refused_as_the_router_refuses_it(
    sidecar: sidecars.Sidecar, rig: routers.Rig
) -> None:
    await rig.make_pool()
    answer = await sidecar.request("POST", "/v1/pdf", data=io.BytesIO(bytes(51 * 1024 * 1024)))
    assert answer.status == 413


async def test_an_answer_that_breaks_off_breaks_off(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    async def half(agent: routers.Agent, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Length": str(4 * 1024 * 1024)})
        await response.prepare(request)
        await response.write(bytes(2 * 1024 * 1024))
        assert request.transport is not None
        request.transport.abort()
        return response

    [agent] = await rig.make_pool()
    agent.does = half
    with pytest.raises(aiohttp.ClientPayloadError):
        await sidecar.request("POST", "/v1/pdf", json={"html": "x"})


async def test_a_client_that_goes_away_ends_the_request_at_the_agent(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    task = rig.background.spawn(sidecar.request("POST", "/v1/pdf", json={"html": "x"}), name="impatient")
    await waiting.until(lambda: agent.running == 1)
    task.cancel()
    await waiting.until(lambda: agent.running == 0)
    await rig.until_ready()


async def test_errors_come_as_the_router_says_them(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool(browsers_=0, onEmpty={"mode": "Fail"})
    for path, status in (("/v1/pdf", 503), ("/v1/nope", 404), ("/nope", 404), ("/devtools/browser/nope", 405)):
        mine = await sidecar.request("POST", path, json={"html": "x"})
        theirs = await rig.post(path, {"html": "x"})
        assert (mine.status, mine.json) == (theirs.status, theirs.json) == (status, mine.json)
        assert mine.headers.get("Retry-After") == theirs.headers.get("Retry-After")


async def test_what_agents_say_to_routers_is_not_forwarded(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    answer = await sidecar.request("POST", "/internal/v1/heartbeat", json={})
    assert (answer.status, "nothing at /internal" in answer.message) == (404, True)


async def test_the_routers_own_lists_and_status(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool()
    made = (await sidecar.request("POST", "/devtools/browser")).json
    assert made["webSocketDebuggerUrl"] == f"{sidecar.ws}/devtools/browser/{made['sessionId']}"
    assert [one["sessionId"] for one in (await sidecar.request("GET", "/devtools/session")).json] == [made["sessionId"]]
    assert (await sidecar.request("GET", "/v1/status")).json["router"]["region"] == "local"
    listed = (await sidecar.request("GET", "/json/list")).json
    assert listed[0]["webSocketDebuggerUrl"] == f"{sidecar.ws}/devtools/browser/{made['sessionId']}/page/PAGE1"
    opened = (await sidecar.request("PUT", f"/devtools/browser/{made['sessionId']}/json/new?about:blank")).json
    assert opened["webSocketDebuggerUrl"].startswith(sidecar.ws)
    assert (await sidecar.request("DELETE", f"/devtools/browser/{made['sessionId']}")).json == {"status": "closed"}


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://example.com"}, {"Origin": "null"}, {"Host": "rebound.example.com:9222"}]
)
async def test_web_pages_are_kept_out(rig: routers.Rig, sidecar: sidecars.Sidecar, headers: dict[str, str]) -> None:
    [agent] = await rig.make_pool()
    for method, path in (("GET", "/json/version"), ("POST", "/v1/pdf"), ("GET", "/v1/status")):
        assert (await sidecar.request(method, path, headers=headers)).status == 403
    assert await refused(sidecar, headers=headers) == 403
    assert agent.sessions == []


async def test_without_a_token_it_says_how_to_mend_that_and_takes_one_that_comes_later(
    rig: routers.Rig, tmp_path: pathlib.Path
) -> None:
    await rig.make_pool()
    async with sidecars.inside(rig.url, tmp_path) as sidecar:
        for method, path in (("POST", "/v1/screenshot"), ("GET", "/v1/status"), ("POST", "/devtools/browser")):
            answer = await sidecar.request(method, path, json={"html": "x"} if method == "POST" else None)
            assert answer.status == 401
            assert "make a Secret browserpool-token with the key token in this pod's namespace" in answer.message
        assert await refused(sidecar) == 401
        assert (await sidecar.request("GET", "/json/version")).status == 200
        own = await sidecar.request("POST", "/v1/screenshot", json={"html": "x"}, headers=rig.bearer())
        assert own.status == 200
        await rig.until_ready()
        wrong = await sidecar.request("GET", "/v1/status", headers=rig.bearer("nobody's"))
        assert (wrong.status, "Secret" in wrong.message) == (401, False)
        sidecar.token.write_text("nobody's")
        answer = await sidecar.request("GET", "/v1/status")
        assert (answer.status, f"does not take the token in {sidecar.token}" in answer.message) == (401, True)
        sidecar.token.write_text(rig.secret)
        assert (await sidecar.request("POST", "/v1/screenshot", json={"html": "x"})).status == 200


async def test_without_a_router_it_serves_and_says_so(tmp_path: pathlib.Path) -> None:
    async with sidecars.inside("http://127.0.0.1:1", tmp_path, secret="x") as sidecar:
        assert (await sidecar.request("GET", "/healthz")).status == 200
        assert (await sidecar.request("GET", "/readyz")).status == 200
        for method, path in (("POST", "/v1/screenshot"), ("GET", "/json/version"), ("POST", "/devtools/browser")):
            answer = await sidecar.request(method, path)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert "The router at http://127.0.0.1:1 cannot be reached" in answer.message
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await sidecar.connect()
        assert error.value.status == 503
        assert error.value.headers is not None
        assert error.value.headers["Retry-After"] == "1"


async def test_a_router_that_restarts_is_waited_for(rig: routers.Rig, dsn: str, tmp_path: pathlib.Path) -> None:
    await rig.make_pool()
    async with app.running(routers.config(dsn)) as before:
        port = before.address.port
    async with sidecars.inside(f"http://127.0.0.1:{port}", tmp_path, secret=rig.secret) as sidecar:
        action = rig.background.spawn(sidecar.request("POST", "/v1/screenshot", json={"html": "x"}), name="early")
        async with app.running(routers.config(dsn, port=port)):
            assert (await action).status == 200
            await rig.until_ready()


async def test_a_router_that_goes_away_under_a_request_is_503(tmp_path: pathlib.Path) -> None:
    async def gone(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    served = web.Application()
    served.router.add_route("*", "/{rest:.*}", gone)
    async with (
        lib_web.serve(served, host="127.0.0.1", port=0) as address,
        sidecars.inside(f"http://{address}", tmp_path, secret="x") as sidecar,
    ):
        answer = await sidecar.request("POST", "/v1/screenshot", json={})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "went away under the request" in answer.message


# ---------------------------------------------------------------- CDP


@pytest.mark.parametrize("path", WAYS)
async def test_cdp_goes_straight_to_a_browser_of_the_sidecars_node(
    rig: routers.Rig, sidecar: sidecars.Sidecar, path: str
) -> None:
    agents = await rig.make_pool(browsers_=3)
    socket = await sidecar.connect(path)
    assert await echoes(socket)
    assert (sidecars.said(socket, "Way"), sidecars.said(socket, "Node")) == ("direct", "node-1")
    assert sidecars.said(socket, "Locality") == "node"
    assert [len(agent.sockets) for agent in agents] == [0, 1, 0]
    assert at_router(rig) == 0
    await socket.close()


async def test_what_the_client_asks_of_the_session_is_kept(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool(browsers_=2)
    socket = await sidecar.connect("/devtools/browser?keep_alive=20000&node=node-0&token=" + rig.secret)
    assert sidecars.said(socket, "Node") == "node-0"
    [live] = await sessions.listing(rig.database)
    assert live.keep_alive == 20
    await socket.close()


async def test_a_browser_that_closes_ends_the_session(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool()
    for path in WAYS:
        socket = await sidecar.connect(path)
        session_id = sidecars.said(socket, "Session")
        await socket.send_str('{"id":7,"method":"Browser.close"}')
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        await rig.until_ready()
        past = await sessions.history(rig.database, SessionId(session_id))
        assert past is not None
        assert past.reason is claims.CloseReason.NORMAL_CLOSURE


async def test_a_client_that_closes_the_browser_and_leaves_at_once_ends_the_session_too(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    await rig.make_pool()
    socket = await sidecar.connect()
    await socket.send_str('{"id":7,"method":"Browser.close"}')
    await socket.close()
    await rig.until_ready()


async def test_a_session_outlives_its_connection_and_is_found_again_directly(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    [agent] = await rig.make_pool()
    first = await sidecar.connect()
    session_id = sidecars.said(first, "Session")
    await first.close()
    await waiting.until(lambda: not agent.sockets)
    for path in (*(f"{way}/{session_id}" for way in WAYS), f"/devtools/browser/{session_id}/page/PAGE1"):
        again = await sidecar.connect(path)
        assert await echoes(again)
        assert (sidecars.said(again, "Way"), sidecars.said(again, "Session")) == ("direct", session_id)
        await again.close()
    assert (agent.sessions, at_router(rig)) == ([session_id], 0)
    assert await rig.states() == {"claimed": 1}


async def test_chromes_own_address_of_a_page_goes_by_the_router(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool()
    await sidecar.request("POST", "/devtools/browser")
    socket = await sidecar.connect("/devtools/page/PAGE1")
    assert await echoes(socket)
    assert sidecars.said(socket, "Way") == "proxied"
    await socket.close()
    assert await refused(sidecar, "/devtools/page/NOPE") == 404


async def test_what_cannot_be_is_told_as_an_http_status(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool()
    session_id = (await sidecar.request("POST", "/devtools/browser")).json["sessionId"]
    assert await refused(sidecar, f"/devtools/browser/{session_id}/page/NOPE") == 404
    await sidecar.request("DELETE", f"/devtools/browser/{session_id}")
    assert await refused(sidecar, f"/devtools/browser/{session_id}") == 410
    assert await refused(sidecar, "/devtools/browser/never-was") == 404
    assert await refused(sidecar, "/devtools/browser?pool=nope") == 404
    assert await refused(sidecar, "/devtools/browser?keep_alive=1") == 400
    assert (await sidecar.request("GET", "/devtools/browser")).status == 400


async def test_a_pod_that_cannot_be_reached_directly_is_reached_by_the_router(
    rig: routers.Rig, sidecar: sidecars.Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    [agent] = await rig.make_pool()
    unreachable_directly(rig, monkeypatch)
    socket = await sidecar.connect()
    session_id = sidecars.said(socket, "Session")
    assert await echoes(socket)
    assert (sidecars.said(socket, "Way"), at_router(rig)) == ("proxied", 1)
    page = await sidecar.connect(f"/devtools/browser/{session_id}/page/PAGE1")
    assert await echoes(page)
    assert sidecars.said(page, "Way") == "proxied"
    await page.close()
    # It is the router who sees the end of it.
    await socket.send_str('{"id":7,"method":"Browser.close"}')
    assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    await rig.until_ready()
    # Nothing was remembered: once the pod can be reached, it is.
    monkeypatch.undo()
    socket = await sidecar.connect()
    assert sidecars.said(socket, "Way") == "direct"
    assert agent.sessions[-1] == sidecars.said(socket, "Session")
    await socket.close()


async def test_a_browser_that_nobody_can_reach_is_given_back_and_another_one_taken(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    alive, dead = await rig.make_pool(browsers_=2)
    dead.vanish()
    socket = await sidecar.connect()
    assert sidecars.said(socket, "Browser") == alive.browser_id
    assert await echoes(socket)

    async def given_back() -> bool:
        return await rig.states() == {"claimed": 1, "recycling": 1}

    await waiting.until(given_back)
    await socket.close()


async def test_traffic_keeps_a_session_and_silence_ends_it_with_the_reason(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    [agent] = await rig.make_pool(sessions={"keepAlive": "1200ms"})
    socket = await sidecar.connect()
    [before] = await sessions.listing(rig.database)

    async def renewed_for_longer_than_keep_alive() -> bool:
        assert await echoes(socket)
        [now] = await sessions.listing(rig.database)
        return (now.expires_at - before.expires_at).total_seconds() > 2.5

    await waiting.until(renewed_for_longer_than_keep_alive, every=0.1)
    message = await socket.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.CLOSE
    await rig.until_ready()
    assert agent.ended == agent.fence
    past = await sessions.history(rig.database, before.session_id)
    assert past is not None
    assert past.reason is claims.CloseReason.BROWSER_IDLE


async def test_a_session_that_was_ended_elsewhere_closes_the_connection(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    await rig.make_pool()
    socket = await sidecar.connect()
    await rig.request("DELETE", f"/devtools/browser/{sidecars.said(socket, 'Session')}")
    assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    await rig.until_ready()


async def test_frames_of_any_size_pass_both_ways(rig: routers.Rig, sidecar: sidecars.Sidecar) -> None:
    await rig.make_pool()
    socket = await sidecar.connect()
    for size in (0, 1, 125, 126, 65536, 20 * 1024 * 1024):
        data = bytes(size)
        await socket.send_bytes(data)
        assert await socket.receive_bytes(timeout=30) == data
    await socket.close()


async def test_an_agent_that_dies_closes_the_connection_and_leaves_the_session(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    [agent] = await rig.make_pool()
    socket = await sidecar.connect()
    assert await echoes(socket)
    agent.vanish()
    message = await socket.receive(timeout=10)
    assert (message.type, message.data, message.extra) == (
        aiohttp.WSMsgType.CLOSE,
        1011,
        "the browser went away",
    )


async def test_a_router_that_restarts_under_a_direct_session_renews_it_when_it_is_back(
    rig: routers.Rig, dsn: str, database: connect.Database, tmp_path: pathlib.Path
) -> None:
    await rig.make_pool(sessions={"keepAlive": "8s"})
    async with contextlib.AsyncExitStack() as first:
        router = await first.enter_async_context(app.running(routers.config(dsn)))
        async with sidecars.inside(f"http://{router.address}", tmp_path, secret=rig.secret) as sidecar:
            socket = await sidecar.connect()
            [before] = await sessions.listing(database)
            assert before.holder == router.services.holder
            await first.aclose()
            assert await echoes(socket)
            assert (await sidecar.request("GET", "/json/version")).status == 503

            async with app.running(routers.config(dsn, port=router.address.port)) as second:

                async def renewed_by_the_second() -> bool:
                    assert await echoes(socket)
                    live = await sessions.live(database, before.session_id)
                    return live is not None and live.holder == second.services.holder

                await waiting.until(renewed_by_the_second, every=0.05, deadline=30)
                await socket.send_str('{"id":7,"method":"Browser.close"}')
                await rig.until_ready()


async def test_a_client_that_leaves_while_a_session_is_made_leaks_nothing(
    rig: routers.Rig, sidecar: sidecars.Sidecar
) -> None:
    await rig.make_pool()

    async def impatient(seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                socket = await sidecar.connect()
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


# ---------------------------------------------------------------- the end


async def test_a_sidecar_that_stops_finishes_what_runs_and_tells_cdp_clients(
    rig: routers.Rig, tmp_path: pathlib.Path
) -> None:
    one, two = await rig.make_pool(browsers_=2)
    one.gate.clear()
    two.gate.clear()
    async with sidecars.process(rig.url, tmp_path, secret=rig.secret) as sidecar:
        assert sidecar.process is not None
        socket = await sidecar.connect()
        assert await echoes(socket)
        action = rig.background.spawn(sidecar.request("POST", "/v1/screenshot", json={"html": "x"}), name="action")
        await waiting.until(lambda: one.running + two.running == 1)
        sidecar.process.terminate()
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert "reconnect to the session by its id" in message.extra
        one.gate.set()
        two.gate.set()
        assert (await action).body == routers.PNG
        assert await asyncio.to_thread(sidecar.process.wait, 10) == 0
    # The session is there for its keep-alive, as after any client that went away.
    assert await rig.states() in ({"claimed": 1, "ready": 1}, {"claimed": 2})


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [({"router_url": "nonsense"}, 2, "BROWSERPOOL_ROUTER_URL"), ({"host": "203.0.113.1"}, 1, "cannot start")],
)
async def test_a_sidecar_that_cannot_start_says_why(
    tmp_path: pathlib.Path, changes: dict[str, str], code: int, words: str
) -> None:
    with pytest.raises(AssertionError):
        async with sidecars.process(**{"router_url": "http://127.0.0.1:1", "folder": tmp_path, **changes}):
            pass
    assert words in (tmp_path / "sidecar.log").read_text()
