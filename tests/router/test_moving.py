"""Callers that move from one router to another: who serves them, what each is told, and that nothing of theirs is left anywhere.

Both routers are whole, with stores of their own; the browsers behind them are stand-ins.
"""

import base64
import gzip
import itertools
import os
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from browserpool import metrics
from browserpool.lib import web as lib_web
from browserpool.model import errors
from browserpool.model.names import PoolName, TokenName
from browserpool.router.moving import serving
from browserpool.store import connect, outcomes, sessions
from support import maker, postgres, routers, rude, waiting

SHOT = "/v1/screenshot"
BODY = {"html": "x"}
OLD_PNG = b"\x89PNG\r\n\x1a\nold"


@pytest.fixture
async def old(postgres_server: postgres.Server) -> AsyncIterator[routers.Rig]:
    """The system to move away from, with one browser."""
    with postgres.clone(postgres_server) as dsn:
        async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database) as made:
            [agent] = await made.make_pool("theirs")
            agent.does = routers.answers(OLD_PNG, **{"X-Browser-Ms-Used": "7"})
            yield made


@pytest.fixture
def secrets(old: routers.Rig, tmp_path: pathlib.Path) -> str:
    """A directory with the old one's token, as it is mounted."""
    for name, token in (("old", old.secret + "\n"), ("bad", "nobody's")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
    return str(tmp_path)


@pytest.fixture
async def new(dsn: str, database: connect.Database, secrets: str) -> AsyncIterator[routers.Rig]:
    """The one to move to."""
    async with routers.rig(dsn, database, secrets_dir=secrets) as made:
        yield made


def moving(old: routers.Rig, **fields: Any) -> dict[str, Any]:
    """The spec's field."""
    kind = fields.get("kind", "cloudflare")
    url = {"cloudflare": old.url + "/v1", "browserless": old.url, "cdp": old.url}[kind]
    return {"upstream": {"url": url, "kind": kind, "tokenSecretRef": {"name": "old"}} | fields}


async def counted(rig: routers.Rig) -> dict[tuple[str, str], tuple[int, int]]:
    """Requests and failures by arm and action."""
    await rig.running.services.outcomes.write()
    found = await outcomes.sums(rig.database, PoolName("small"), since=3600)
    return {(str(kind.arm), kind.action): (tally.requests, tally.failures) for kind, tally in found.items()}


async def nothing_held(rig: routers.Rig) -> None:
    async def settled() -> bool:
        return not rig.running.services.running and await sessions.listing(rig.database) == []

    await waiting.until(settled, deadline=7)


# ---------------------------------------------------------------- quick actions
@pytest.mark.parametrize(("percent", "arm", "picture"), [(0, "upstream", OLD_PNG), (100, "pool", routers.PNG)])
async def test_the_answer_names_who_served(
    old: routers.Rig, new: routers.Rig, percent: int, arm: str, picture: bytes
) -> None:
    [agent] = await new.make_pool(**moving(old, percent=percent))
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.body, answer.headers[serving.ARM]) == (200, picture, arm)
    assert answer.headers["X-Browserpool-Pool"] == "small"
    assert answer.headers["X-Browser-Ms-Used"] == ("7" if arm == "upstream" else "12")
    browser = old.agents[0] if arm == "upstream" else agent
    assert answer.headers["X-Browserpool-Browser"] == browser.browser_id
    assert await counted(new) == {(arm, "screenshot"): (1, 0)}
    await new.until_ready()
    await old.until_ready("theirs")


async def test_a_pool_without_an_upstream_names_no_arm(new: routers.Rig) -> None:
    await new.make_pool()
    answer = await new.post(SHOT, BODY)
    assert (answer.status, serving.ARM in answer.headers) == (200, False)


async def test_callers_keep_their_side_and_move_one_way(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(browsers_=2)
    callers = [await new.make_token(f"caller-{number}") for number in range(6)]
    sides = []
    for percent in (0, 30, 60, 100):
        await new.respec(**moving(old, percent=percent))
        answers = [[(await new.post(SHOT, BODY, secret=one)).headers[serving.ARM] for _ in range(2)] for one in callers]
        assert all(first == second for first, second in answers)
        sides.append([first == "pool" for first, _ in answers])
    assert (sum(sides[0]), sum(sides[-1])) == (0, 6)
    assert all(
        one <= another
        for before, after in itertools.pairwise(sides)
        for one, another in zip(before, after, strict=True)
    )


@pytest.mark.parametrize("whole", [False, True])
async def test_an_empty_pool_is_served_by_the_old_system_at_once(
    old: routers.Rig, new: routers.Rig, whole: bool
) -> None:
    await new.make_pool(browsers_=0, onEmpty={"queueTimeout": "100s"}, **moving(old, percent=100))
    old.agents[0].does = routers.answers(b'{"success":true,"result":"<p>"}', content_type="application/json")
    answer = await new.post("/content" if whole else "/v1/content", BODY)
    assert (answer.status, answer.headers[serving.ARM]) == (200, "upstream")
    assert answer.body == (b"<p>" if whole else b'{"success":true,"result":"<p>"}')
    assert await counted(new) == {("pool", "content"): (1, 1), ("upstream", "content"): (1, 0)}


async def test_if_both_are_full_the_pool_is_waited_for(old: routers.Rig, new: routers.Rig) -> None:
    [agent] = await new.make_pool(**moving(old, percent=100))
    await old.respec("theirs", onEmpty={"mode": "Fail"})
    agent.gate.clear()
    old.agents[0].gate.clear()
    busy = [new.background.spawn(new.post(SHOT, BODY), name="busy") for _ in range(2)]
    await waiting.until(lambda: agent.running == 1 and old.agents[0].running == 1)
    third = new.background.spawn(new.post(SHOT, BODY), name="third")
    await waiting.until(lambda: new.running.services.claiming.waiting.depth(PoolName("small")) == 1)
    agent.gate.set()
    answer = await third
    assert (answer.status, answer.headers[serving.ARM]) == (200, "pool")
    old.agents[0].gate.set()
    assert {(await one).headers[serving.ARM] for one in busy} == {"pool", "upstream"}


@pytest.mark.parametrize(
    ("does", "status", "arm"),
    [
        (routers.dies, 200, "upstream"),
        (routers.refuses(errors.BrowserpoolError("a fault of the agent's")), 200, "upstream"),
        (routers.refuses(errors.PageFailed("no such host")), 422, "pool"),
        (routers.refuses(errors.InvalidRequest("no such selector")), 400, "pool"),
    ],
)
async def test_only_what_the_pool_itself_failed_goes_to_the_old_system(
    old: routers.Rig, new: routers.Rig, does: routers.Does, status: int, arm: str
) -> None:
    [agent] = await new.make_pool(**moving(old, percent=100))
    agent.does = does
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.headers[serving.ARM]) == (status, arm)
    assert len(old.agents[0].served) == (arm == "upstream")


@pytest.mark.parametrize(
    ("fallback", "status", "arm"), [("Never", 502, "upstream"), ("ToUpstream", 502, "upstream"), ("Both", 200, "pool")]
)
async def test_the_pool_stands_in_for_the_old_system_only_if_it_is_asked_to(
    old: routers.Rig, new: routers.Rig, fallback: str, status: int, arm: str
) -> None:
    await new.make_pool(**moving(old, percent=0, fallback=fallback))
    old.agents[0].does = routers.refuses(errors.BrowserpoolError("a fault"))
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.headers[serving.ARM]) == (status, arm)


async def test_a_pool_whose_store_is_away_is_served_by_the_old_system(
    old: routers.Rig, own_postgres: tuple[postgres.Server, str], secrets: str
) -> None:
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests") as database, routers.rig(dsn, database, secrets_dir=secrets) as new:
        await new.make_pool(**moving(old, percent=100))
        server.stop("immediate")
        answer = await new.post(SHOT, BODY)
        assert (answer.status, answer.body, answer.headers[serving.ARM]) == (200, OLD_PNG, "upstream")
        async with connecting(new) as socket:
            assert arm_of(socket) == "upstream"
        server.start()


async def test_a_large_answer_passes_whole(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0))
    large = os.urandom(5_000_000)
    old.agents[0].does = routers.answers(large)
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.body == large, answer.headers[serving.ARM]) == (200, True, "upstream")


async def test_metrics_name_the_arm(old: routers.Rig, new: routers.Rig) -> None:
    def value(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, {"pool": "small", "action": "links", **labels}) or 0.0

    names = ("browserpool_fallbacks_total", "browserpool_arm_seconds_count")
    before = value(names[0], arm="pool"), value(names[1], arm="upstream", outcome="ok")
    await new.make_pool(browsers_=0, **moving(old, percent=100))
    assert (await new.post("/v1/links", BODY)).headers[serving.ARM] == "upstream"
    after = value(names[0], arm="pool"), value(names[1], arm="upstream", outcome="ok")
    assert after == (before[0] + 1, before[1] + 1)
    assert value(names[1], arm="pool", outcome="failed") >= 1


async def test_without_fallback_an_empty_pool_is_empty(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(browsers_=0, onEmpty={"mode": "Fail"}, **moving(old, percent=100, fallback="Never"))
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.headers[serving.ARM], "Retry-After" in answer.headers) == (503, "pool", True)
    assert old.agents[0].served == []


async def test_what_the_old_system_says_of_the_request_is_the_clients(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0, fallback="Both"))
    old.agents[0].does = routers.refuses(errors.PageFailed("no such host", code=errors.Code.DNS))
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.json["errors"][0]["code"]) == (422, 5005)
    assert answer.headers["x-should-retry"] == "false"
    assert await counted(new) == {("upstream", "screenshot"): (1, 0)}


@pytest.mark.parametrize("kind", ["cloudflare", "browserless"])
async def test_a_refusal_that_breaks_off_is_one(new: routers.Rig, kind: str) -> None:
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nno bro"
    async with rude.serving(rude.saying(head)) as port:
        await new.make_pool(upstream={"url": f"http://127.0.0.1:{port}", "kind": kind, "percent": 0})
        answer = await new.post(SHOT, BODY)
    assert (answer.status, "no bro" in answer.message) == (503, True)


@pytest.mark.parametrize("kind", ["cloudflare", "browserless"])
@pytest.mark.parametrize("path", ["/v1/content", "/content"])
async def test_odd_headers_and_a_body_that_is_compressed_unasked_are_made_plain(
    new: routers.Rig, kind: str, path: str
) -> None:
    plain = b'{"success":true,"result":"<p>"}' if kind == "cloudflare" else b"<p>"
    body = gzip.compress(plain)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Browserpool-Node: n\x01\xe9\r\nContent-Length: %d\r\n\r\n"
    async with rude.serving(rude.saying(head % len(body) + body)) as port:
        await new.make_pool(upstream={"url": f"http://127.0.0.1:{port}", "kind": kind, "percent": 0})
        answer = await new.post(path, BODY)
    assert (answer.status, answer.headers["X-Browserpool-Node"]) == (200, "n \xe9")
    assert "Content-Encoding" not in answer.headers
    assert (answer.json["result"] if path == "/v1/content" else answer.body.decode()) == "<p>"


@pytest.mark.parametrize("wrong", ["no file", "no such token", "no such address", "nobody there"])
async def test_a_wrong_upstream_is_told_as_that(old: routers.Rig, new: routers.Rig, wrong: str) -> None:
    fields = {
        "no file": {"tokenSecretRef": {"name": "absent"}},
        "no such token": {"tokenSecretRef": {"name": "bad"}},
        "no such address": {"url": old.url + "/nothing"},
        "nobody there": {"url": "http://127.0.0.1:9"},
    }[wrong]
    await new.make_pool(**moving(old, percent=0, **fields))
    answer = await new.post(SHOT, BODY)
    assert answer.status == 502
    words = {"no file": "absent", "no such token": "token", "no such address": "url", "nobody there": "127.0.0.1:9"}
    assert words[wrong] in answer.message
    assert old.secret not in answer.message


async def test_an_answer_that_has_begun_is_not_begun_again(old: routers.Rig, new: routers.Rig) -> None:
    [agent] = await new.make_pool(**moving(old, percent=100))

    async def half(agent: routers.Agent, request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        await response.prepare(request)
        await response.write(b"x" * 2_000_000)
        assert request.transport is not None
        request.transport.abort()
        return response

    agent.does = half
    with pytest.raises(aiohttp.ClientError):
        await new.post(SHOT, BODY)
    assert old.agents[0].served == []


async def test_who_leaves_ends_the_request_at_the_old_system(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0))
    old.agents[0].gate.clear()
    request = new.background.spawn(new.post(SHOT, BODY), name="leaves")
    await waiting.until(lambda: old.agents[0].running == 1)
    request.cancel()
    await waiting.until(lambda: old.agents[0].running == 0)
    await old.until_ready("theirs")
    await nothing_held(new)
    assert await counted(new) == {}


async def test_an_old_system_that_does_not_answer_is_given_up(
    old: routers.Rig, new: routers.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserpool.router.actions.SLACK", 0.0)
    await new.make_pool(**moving(old, percent=0, fallback="Both"))
    old.agents[0].gate.clear()
    answer = await new.post(SHOT, {**BODY, "actionTimeout": 300})
    assert (answer.status, answer.headers[serving.ARM]) == (200, "pool")


async def test_what_came_through_a_router_goes_no_further(old: routers.Rig, new: routers.Rig) -> None:
    """Each names the other as its upstream, and serves nobody itself."""
    await new.make_pool(**moving(old, percent=0))
    await old.respec("theirs", upstream={"url": new.url + "/v1", "kind": "cloudflare", "percent": 0})
    answer = await new.post(SHOT, BODY)
    assert (answer.status, answer.body) == (200, OLD_PNG)
    assert len(old.agents[0].served) == 1


async def test_actions_that_browserless_does_not_know_stay_with_the_pool(old: routers.Rig, new: routers.Rig) -> None:
    """The old router speaks as browserless does, too."""
    [agent] = await new.make_pool(**moving(old, kind="browserless", percent=0))
    agent.does = old.agents[0].does = routers.answers(
        b'{"success":true,"result":"<p>"}', content_type="application/json"
    )
    for action, arm in (("markdown", "pool"), ("content", "upstream")):
        answer = await new.post(f"/v1/{action}", BODY)
        assert (answer.status, answer.headers[serving.ARM], answer.json["result"]) == (200, arm, "<p>")
    old.agents[0].does = routers.answers(OLD_PNG)
    answer = await new.post("/screenshot", BODY)
    assert (answer.status, answer.headers[serving.ARM], answer.body) == (200, "upstream", OLD_PNG)


async def test_quick_actions_stay_with_the_pool_where_the_old_system_speaks_cdp_only(
    old: routers.Rig, new: routers.Rig
) -> None:
    await new.make_pool(**moving(old, kind="cdp", percent=0))
    assert (await new.post(SHOT, BODY)).headers[serving.ARM] == "pool"


# ---------------------------------------------------------------- what an upstream is told
class Stranger:
    """An upstream of any kind that does what it is asked, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.told.append(dict(request.headers))
        socket = web.WebSocketResponse()
        if socket.can_prepare(request).ok:
            await socket.prepare(request)
            return socket
        if request.path.endswith("/screenshot"):
            return web.Response(body=OLD_PNG, content_type="image/png")
        said = {"sessionId": "0" * 32, "webSocketDebuggerUrl": f"ws://{request.host}/devtools/browser/b"}
        return web.json_response(said)


@pytest.fixture
async def stranger() -> AsyncIterator[tuple[Stranger, str]]:
    made, app = Stranger(), web.Application()
    app.router.add_route("*", "/{any:.*}", made.answer)
    async with lib_web.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        yield made, f"http://{address}"


@pytest.mark.parametrize(("kind", "is_told"), [("cloudflare", True), ("browserless", False), ("cdp", False)])
async def test_only_what_may_be_a_router_is_told_that_a_request_came_through_one(
    new: routers.Rig, stranger: tuple[Stranger, str], kind: str, is_told: bool
) -> None:
    made, url = stranger
    await new.make_pool(upstream={"url": url, "kind": kind, "percent": 0})
    assert (await new.post(SHOT, BODY)).status == 200
    async with connecting(new) as socket:
        assert arm_of(socket) == "upstream"
    assert len(made.told) >= (1 if kind == "browserless" else 2)
    assert {serving.VIA in headers for headers in made.told} == {is_told}


# ---------------------------------------------------------------- CDP
def arm_of(socket: aiohttp.ClientWebSocketResponse[Any]) -> str:
    return str(socket._response.headers[serving.ARM])


def connecting(rig: routers.Rig, query: str = "") -> Any:
    return rig.client.ws_connect(f"{rig.ws}/devtools/browser{query}", headers=rig.bearer())


@pytest.mark.parametrize("kind", ["cloudflare", "browserless"])
async def test_a_connection_to_the_old_system(old: routers.Rig, new: routers.Rig, kind: str) -> None:
    await new.make_pool(**moving(old, kind=kind, percent=0))
    async with connecting(new, "?keep_alive=20000") as socket:
        assert arm_of(socket) == "upstream"
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        [live] = await sessions.listing(old.database)
        assert live.keep_alive == (20.0 if kind == "cloudflare" else 60.0)
        assert await sessions.listing(new.database) == []
    await nothing_held(old)
    await old.until_ready("theirs")
    assert await counted(new) == {("upstream", "cdp"): (1, 0)}
    assert new.running.services.quotas.running(TokenName("tester")) == 0


async def test_a_session_there_ends_though_the_token_is_no_longer_mounted(
    old: routers.Rig, new: routers.Rig, secrets: str
) -> None:
    await new.make_pool(**moving(old, percent=0))
    async with connecting(new) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        (pathlib.Path(secrets) / "old" / "token").unlink()
    await nothing_held(old)
    await old.until_ready("theirs")


async def test_a_session_there_is_ended_with_the_token_of_that_time(
    old: routers.Rig, new: routers.Rig, secrets: str
) -> None:
    await new.make_pool(**moving(old, percent=0))
    async with connecting(new) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        (pathlib.Path(secrets) / "old" / "token").write_text(await old.make_token())
    await nothing_held(old)


async def test_a_client_that_breaks_off_ends_the_session_there(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0))
    async with aiohttp.ClientSession() as client:
        socket = await client.ws_connect(f"{new.ws}/devtools/browser", headers=new.bearer())
        await socket.send_str("hello")
        await socket.receive()
        assert socket._conn is not None
        assert socket._conn.transport is not None
        socket._conn.transport.abort()
    await nothing_held(old)
    await old.until_ready("theirs")


async def test_a_session_whose_client_left_before_it_was_made_is_ended(new: routers.Rig) -> None:
    async def connected() -> None:
        async with connecting(new):
            pass

    async with maker.serving() as other:
        await new.make_pool(upstream={"url": other.url, "kind": "cloudflare", "percent": 0})
        client = new.background.spawn(connected(), name="leaves")
        await waiting.until(lambda: other.asked == 1)
        client.cancel()
        await waiting.until(lambda: new.running.services.quotas.running(TokenName("tester")) == 0)
        other.gate.set()
        await waiting.until(lambda: other.ended == other.made)


async def test_an_old_browser_that_closes_closes_the_client(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0))
    async with connecting(new) as socket:
        await socket.send_str('{"id":1,"method":"Browser.close"}')
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)
    await nothing_held(old)


async def test_a_connection_to_an_empty_pool_goes_to_the_old_system(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(browsers_=0, **moving(old, percent=100))
    async with connecting(new) as socket:
        assert arm_of(socket) == "upstream"
    await nothing_held(old)


async def test_connections_of_both_sides_are_the_pools_if_the_old_system_is_away(
    old: routers.Rig, new: routers.Rig
) -> None:
    await new.make_pool(**moving(old, percent=0, fallback="Both", url="http://127.0.0.1:9"))
    async with connecting(new) as socket:
        assert arm_of(socket) == "pool"
    assert await counted(new) == {("upstream", "cdp"): (1, 1), ("pool", "cdp"): (1, 0)}


async def test_an_idle_session_there_ends_as_one_of_the_pools_does(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0), sessions={"keepAlive": "1s"})
    async with connecting(new) as socket:
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert "idle" in message.extra
    await nothing_held(old)


async def test_a_session_that_is_connected_to_later_is_the_pools(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0))
    answer = await new.post("/devtools/browser")
    assert (answer.status, answer.headers[serving.ARM]) == (200, "pool")


async def test_what_is_bound_stays_with_the_pool(old: routers.Rig, new: routers.Rig) -> None:
    await new.make_pool(**moving(old, percent=0))
    bound = base64.urlsafe_b64encode(b'{"allowedDomains": ["example.com"]}').decode()
    headers = {**new.bearer(), "cf-brapi-guardrails": bound}
    async with new.client.ws_connect(f"{new.ws}/devtools/browser", headers=headers) as socket:
        assert arm_of(socket) == "pool"


async def test_a_router_that_stops_closes_connections_to_the_old_system(
    old: routers.Rig, dsn: str, database: connect.Database, secrets: str
) -> None:
    async with aiohttp.ClientSession() as client:
        async with routers.rig(dsn, database, secrets_dir=secrets) as new:
            await new.make_pool(**moving(old, percent=0))
            socket = await client.ws_connect(f"{new.ws}/devtools/browser", headers=new.bearer())
        assert await socket.receive() == (aiohttp.WSMsgType.CLOSE, 1001, "this router is stopping")
    await nothing_held(old)
