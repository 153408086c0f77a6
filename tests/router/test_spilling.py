"""Two clusters, each with a router and a store of its own: where one is empty or stale, the other serves.

The browsers behind them are stand-ins.
"""

import asyncio
import gzip
import pathlib
import uuid
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import multidict
import orjson
import pytest
import yarl
from aiohttp import web

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import errors, pool
from browserpool.model.names import HolderId, PoolName, RegionName, SessionId, TokenName
from browserpool.router import relay, worker_frames
from browserpool.router.spilling import breaker, rules
from browserpool.store import connect, regions, remote_sessions
from support import maker, postgres, refusing, routers, rude, sidecars, waiting

SHOT = "/v1/screenshot"
BODY = {"html": "x"}
THEIRS = b"\x89PNG\r\n\x1a\ntheirs"
WAITS = {"onEmpty": {"mode": "Queue", "queueTimeout": "100s"}}
FAILS = {"onEmpty": {"mode": "Fail"}}


@pytest.fixture
async def far(postgres_server: postgres.Server, tmp_path: pathlib.Path) -> AsyncIterator[routers.Rig]:
    """The other cluster, with one browser in a region of its own."""
    with postgres.clone(postgres_server) as dsn:
        async with (
            connect.opened(dsn, process="tests") as database,
            routers.rig(dsn, database, secrets_dir=str(tmp_path)) as made,
        ):
            [agent] = await made.make_pool("small", regions=[{"name": "us"}], **WAITS)
            agent.does = routers.answers(THEIRS, **{"X-Browser-Ms-Used": "7"})
            yield made


@pytest.fixture
async def near(
    dsn: str, database: connect.Database, far: routers.Rig, tmp_path: pathlib.Path
) -> AsyncIterator[routers.Rig]:
    """The one that is asked. Tokens for each lie in one directory, as they are mounted."""
    async with routers.rig(dsn, database, secrets_dir=str(tmp_path)) as made:
        for name, token in (("far", far.secret), ("near", made.secret), ("bad", "nobody's")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "token").write_text(token + "\n")
        yield made


def backed(url: str, *, secret: str = "far", region: str = "eu", **fields: Any) -> dict[str, Any]:
    """The spec's field."""
    router = {"url": url, "tokenSecretRef": {"name": secret}, **fields}
    return {"regions": [{"name": region, "backupRouter": router}]}


def forwarded(outcome: str) -> float:
    return metrics.FORWARDED.labels("small", outcome)._value.get()


def queued(outcome: str) -> float:
    labels = {"pool": "small", "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("browserpool_queue_seconds_count", labels) or 0.0


async def launched(rig: routers.Rig, path: str = "/devtools/browser") -> aiohttp.ClientWebSocketResponse:
    return await rig.client.ws_connect(rig.ws + path, headers=rig.bearer(), max_msg_size=0)


async def echoes(socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
    await socket.send_str(text)
    frame = await socket.receive(timeout=10)
    assert frame.data in (text, text.encode())


# ---------------------------------------------------------------- quick actions
@pytest.mark.parametrize("path", [SHOT, "/screenshot"])
async def test_an_empty_region_is_served_by_the_other_cluster_at_once(
    near: routers.Rig, far: routers.Rig, path: str
) -> None:
    await near.make_pool(browsers_=0, **WAITS, **backed(far.url))
    served = forwarded("served")
    answer = await near.post(path, BODY, headers={"X-Browserpool-Region": "eu", "X-Browserpool-Node": "n1"})
    assert (answer.status, answer.body) == (200, THEIRS)
    said = {name: answer.headers[f"X-Browserpool-{name}"] for name in ("Region", "Locality", "Pool")}
    assert said == {"Region": "us", "Locality": "remote", "Pool": "small"}
    assert answer.headers["X-Browser-Ms-Used"] == "7"
    assert forwarded("served") == served + 1
    await far.until_ready()


@pytest.mark.parametrize("path", [SHOT, "/devtools/browser"])
async def test_a_region_whose_own_database_is_away_is_served_by_the_other_cluster(
    near: routers.Rig, far: routers.Rig, path: str
) -> None:
    [region] = backed(far.url)["regions"]
    away = {"databaseSecretRef": {"name": "not-mounted"}}
    await near.make_pool(browsers_=0, **WAITS, regions=[{**region, **away}])
    parts = near.running.services
    await waiting.until(parts.databases.away)
    answer = await near.post(path, BODY if path == SHOT else None)
    assert answer.status == 200
    await near.respec(regions=[{**region, **away}], spillover="Never")
    answer = await near.post(path, BODY if path == SHOT else None)
    assert (answer.status, "Secret not-mounted" in answer.message) == (503, True)


async def test_a_region_that_has_a_browser_serves_itself(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(**backed(far.url))
    assert (await near.post(SHOT, BODY)).headers["X-Browserpool-Locality"] != "remote"
    assert far.agents[0].served == []


@pytest.mark.parametrize(
    ("spillover", "stale", "status"),
    [
        ("Never", False, 503),
        ("Never", True, 503),
        ("WhenEmpty", False, 200),
        ("WhenEmpty", True, 503),
        ("WhenStale", False, 503),
        ("WhenStale", True, 200),
        ("WhenEmptyOrStale", False, 200),
        ("WhenEmptyOrStale", True, 200),
    ],
)
async def test_spillover_says_when(
    near: routers.Rig, far: routers.Rig, spillover: str, stale: bool, status: int
) -> None:
    await near.make_pool(browsers_=0, spillover=spillover, **FAILS, **backed(far.url))
    if stale:
        await lag(near, 3.0)
    answer = await near.post(SHOT, BODY)
    assert (answer.status, len(far.agents[0].served)) == (status, int(status == 200))
    assert ("Retry-After" in answer.headers) == (status == 503)


async def lag(rig: routers.Rig, seconds: float) -> None:
    """As a batch writer that falls behind, or catches up, says."""
    await regions.record_lag(rig.database, writer=HolderId("slow"), lags={RegionName("eu"): seconds})


async def test_a_stale_region_comes_back_once_its_lag_is_under_half(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(**backed(far.url))
    where = []
    for seconds in (0.0, 2.5, 1.5, 0.5):
        await lag(near, seconds)
        where.append((await near.post(SHOT, BODY)).headers["X-Browserpool-Region"])
        await near.until_ready()
        await far.until_ready()
    assert where == ["eu", "us", "us", "eu"]


async def test_if_both_are_full_the_region_is_waited_for(near: routers.Rig, far: routers.Rig) -> None:
    [agent] = await near.make_pool(**WAITS, **backed(far.url))
    agent.gate.clear()
    far.agents[0].gate.clear()
    full = forwarded("full")
    busy = [near.background.spawn(near.post(SHOT, BODY), name="busy") for _ in range(2)]
    await waiting.until(lambda: agent.running == 1 and far.agents[0].running == 1)
    third = near.background.spawn(near.post(SHOT, BODY), name="third")
    await waiting.until(lambda: near.running.services.claiming.waiting.depth(PoolName("small")) == 1)
    assert far.running.services.claiming.waiting.depth(PoolName("small")) == 0, "it waits where it came in"
    assert forwarded("full") >= full + 1
    agent.gate.set()
    assert (await third).headers["X-Browserpool-Region"] == "eu"
    far.agents[0].gate.set()
    assert {(await one).headers["X-Browserpool-Region"] for one in busy} == {"eu", "us"}


async def test_who_waits_gets_the_first_that_is_free_in_either(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **WAITS, **backed(far.url))
    far.agents[0].gate.clear()
    busy = near.background.spawn(near.post(SHOT, BODY), name="busy")
    await waiting.until(lambda: far.agents[0].running == 1)
    later = near.background.spawn(near.post(SHOT, BODY), name="later")
    await waiting.until(lambda: near.running.services.claiming.waiting.depth(PoolName("small")) == 1)
    far.agents[0].gate.set()
    assert [(await one).status for one in (busy, later)] == [200, 200]


async def test_a_router_that_refuses_is_asked_once(near: routers.Rig, far: routers.Rig) -> None:
    """Its owner must mend that: a request that waits does not ask for the same again and again."""
    await near.make_pool(browsers_=0, onEmpty={"queueTimeout": "2s"}, **backed(far.url, pool="nothing"))
    before = forwarded("refused")
    assert (await near.post(SHOT, BODY)).status == 503
    assert forwarded("refused") == before + 1


async def test_the_wait_ends_when_the_pool_says(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, onEmpty={"queueTimeout": "500ms"}, **backed(far.url))
    far.agents[0].gate.clear()
    busy = near.background.spawn(near.post(SHOT, BODY), name="busy")
    await waiting.until(lambda: far.agents[0].running == 1)
    answer = await near.post(SHOT, BODY)
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    far.agents[0].gate.set()
    assert (await busy).status == 200


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 1), (0, 0), (1, 1), (60, 60), (86400, 60)])
def test_the_pause_between_two_questions(retry_after: int | None, seconds: float) -> None:
    assert rules.pause(retry_after) == seconds


# ---------------------------------------------------------------- those who wait
class Waiters:
    """Requests that come one after another, each in the line before the next one comes."""

    def __init__(self, rig: routers.Rig) -> None:
        self.rig = rig
        self.tasks: dict[str, asyncio.Task[routers.Answer]] = {}

    @property
    def depth(self) -> int:
        return self.rig.running.services.claiming.waiting.depth(PoolName("small"))

    async def come(self, *names: str) -> None:
        for name in names:
            before = self.depth
            self.tasks[name] = self.rig.background.spawn(self.rig.post(SHOT, {"html": name}), name=name)
            await waiting.until(lambda before=before: self.depth == before + 1)

    async def leave(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await waiting.until(lambda: self.depth == 0)


async def test_one_asks_for_all_who_wait(near: routers.Rig) -> None:
    async with refusing.serving() as other:
        await near.make_pool(browsers_=0, **WAITS, **backed(other.url))
        waiters = Waiters(near)
        await waiters.come("a", "b", "c", "d", "e")
        assert other.asked == ["a"]
        await waiters.leave()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_router_is_asked_when_it_wants_to_be_and_those_who_wait_in_their_order(
    near: routers.Rig, status: int
) -> None:
    async with refusing.serving() as other:
        other.status, other.retry_after, elsewhere = status, "2", queued("elsewhere")
        await near.make_pool(browsers_=0, **WAITS, **backed(other.url))
        waiters = Waiters(near)
        await waiters.come("a")
        other.gate.clear()
        await waiters.come("b", "c")
        other.free = 3
        other.gate.set()
        assert [(await task).body for task in waiters.tasks.values()] == [b"theirs"] * 3
        assert other.asked == ["a", "a", "b", "c"]
        assert other.at[1] - other.at[0] >= 2
        assert queued("elsewhere") == elsewhere + 3


async def test_who_asks_keeps_his_place_and_holds_up_nobody(near: routers.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is served meanwhile; when he comes back he is the first again."""
    monkeypatch.setattr("browserpool.router.spilling.turns.PRESUMED", 3600.0)
    let_go = {name: asyncio.Event() for name in ("busy", "a", "b", "c")}

    async def does(agent: routers.Agent, request: web.Request) -> web.StreamResponse:
        await let_go[(await request.json())["html"]].wait()
        return await routers.answers_png(agent, request)

    async with refusing.serving() as other:
        [agent] = await near.make_pool(**WAITS, **backed(other.url))
        agent.does = does
        busy = near.background.spawn(near.post(SHOT, {"html": "busy"}), name="busy")
        await waiting.until(lambda: agent.running == 1)
        other.retry_after, full = "2", forwarded("full")
        waiters = Waiters(near)
        await waiters.come("a")
        other.gate.clear()
        await waiters.come("b", "c")
        await waiting.until(lambda: other.asked == ["a", "a"])
        let_go["busy"].set()
        await waiting.until(lambda: len(agent.served) == 2)
        other.retry_after = "100"
        other.gate.set()
        await waiting.until(lambda: forwarded("full") == full + 2)
        for go in let_go.values():
            go.set()
        assert [(await task).status for task in (busy, *waiters.tasks.values())] == [200] * 4
        assert other.asked == ["a", "a"]
    assert [orjson.loads(body)["html"] for _, body in agent.served] == ["busy", "b", "a", "c"]


async def test_who_is_at_work_there_keeps_nobody_from_asking(near: routers.Rig) -> None:
    async with refusing.serving() as other:
        other.retry_after = "1"
        await near.make_pool(browsers_=0, **WAITS, **backed(other.url))
        waiters = Waiters(near)
        await waiters.come("a")
        other.gate.clear()
        other.free = 3
        await waiters.come("b", "c")
        await waiting.until(lambda: other.asked == ["a", "a", "b", "c"])
        other.gate.set()
        assert {(await task).status for task in waiters.tasks.values()} == {200}


async def test_one_whose_own_request_is_refused_asks_no_more_and_the_others_do(near: routers.Rig) -> None:
    async with refusing.serving() as other:
        other.retry_after = "1"
        await near.make_pool(browsers_=0, **WAITS, **backed(other.url))
        waiters = Waiters(near)
        await waiters.come("a", "b")
        other.status = 400
        await waiting.until(lambda: other.asked[-1] == "b")
        assert set(other.asked[1:-1]) == {"a"}, "he was the first"
        await waiters.leave()


async def test_who_leaves_while_he_waits_leaves_both_lines(near: routers.Rig) -> None:
    async with refusing.serving() as other:
        other.retry_after = "1"
        await near.make_pool(browsers_=0, **WAITS, **backed(other.url))
        waiters = Waiters(near)
        await waiters.come("a")
        await waiters.leave()
        other.free = 1
        await waiting.until(lambda: near.running.services.turns.is_free((other.url, "small")))
        assert (await near.post(SHOT, {"html": "b"})).status == 200
        assert other.asked[-1] == "b"


async def test_a_router_is_told_to_ask_again_soon(far: routers.Rig) -> None:
    """It has a line of its own, and asks for all who stand in it."""
    far.agents[0].gate.clear()
    busy = far.background.spawn(far.post(SHOT, BODY), name="busy")
    await waiting.until(lambda: far.agents[0].running == 1)
    answer = await far.post(SHOT, BODY, headers={"X-Browserpool-Wait": "0"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    far.agents[0].gate.set()
    assert (await busy).status == 200


async def test_two_that_back_each_other_send_nothing_round(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **FAILS, **backed(far.url))
    await far.respec(**FAILS, **backed(near.url, secret="near", region="us"))
    far.agents[0].gate.clear()
    busy = far.background.spawn(far.post(SHOT, BODY), name="busy")
    await waiting.until(lambda: far.agents[0].running == 1)
    before = {outcome: forwarded(outcome) for outcome in ("served", "full")}
    started = clock.monotonic()
    answers = await asyncio.gather(*(rig.post(SHOT, BODY) for rig in (near, far) for _ in range(5)))
    assert {answer.status for answer in answers} == {503}
    assert all("Retry-After" in answer.headers for answer in answers)
    assert clock.monotonic() - started < 20
    assert forwarded("full") == before["full"] + 10, "each was sent on once, by the router that it came to"
    assert forwarded("served") == before["served"]
    far.agents[0].gate.set()
    assert (await busy).status == 200


@pytest.mark.parametrize("wrong", ["nobody there", "no such token", "no file", "no such pool"])
async def test_a_backup_that_cannot_serve_leaves_the_regions_own_answer(
    near: routers.Rig, far: routers.Rig, wrong: str
) -> None:
    fields: dict[str, Any] = {
        "nobody there": {"url": "http://127.0.0.1:9"},
        "no such token": {"url": far.url, "secret": "bad"},
        "no file": {"url": far.url, "secret": "absent"},
        "no such pool": {"url": far.url, "pool": "large"},
    }[wrong]
    outcome = "away" if wrong == "nobody there" else "refused"
    await near.make_pool(browsers_=0, **FAILS, **backed(**fields))
    before = forwarded(outcome)
    answer = await near.post(SHOT, BODY)
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    assert far.secret not in answer.message
    assert forwarded(outcome) == before + 1


async def test_a_refusal_is_logged_whole_in_however_many_pieces_it_comes(
    near: routers.Rig, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\n\r\n"
    async with rude.serving(rude.saying(head + b"not ", b"for ", b"you.")) as port:
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        assert (await near.post(SHOT, BODY)).status == 503
    assert [vars(one)["said"] for one in caplog.records if "said" in vars(one)] == ["not for you."]


async def test_a_refusal_that_breaks_off_is_one(near: routers.Rig) -> None:
    """Nothing was done there: it is not as if a browser had been lost."""
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\n"
    full = forwarded("full")
    async with rude.serving(rude.saying(head)) as port:
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        assert (await near.post(SHOT, BODY)).status == 503
    assert forwarded("full") == full + 1


LATIN = b"Content-Disposition: attachment; filename=caf\xe9.png\r\nX-Browserpool-Node: n\x01\xe9\r\n"


@pytest.mark.parametrize("path", [SHOT, "/screenshot"])
@pytest.mark.parametrize("head", [b"", b"Content-Length: %d\r\n"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
async def test_odd_headers_and_a_body_that_is_compressed_unasked_are_made_plain(
    near: routers.Rig, path: str, head: bytes, encoding: str
) -> None:
    body = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[encoding](THEIRS)
    length = head % len(body) if head else b""
    said = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Encoding: %s\r\n" % encoding.encode()
    async with rude.serving(rude.saying(said + length + LATIN + b"\r\n" + body)) as port:
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        answer = await near.post(path, BODY)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, THEIRS, "image/png")
    assert answer.headers["X-Browserpool-Node"] == "n \xe9"
    assert answer.headers["Content-Disposition"] == "attachment; filename=caf\xe9.png"
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("encoding", "body"), [("br", b"x"), ("gzip, br", b"x"), ("nonsense", b"x"), ("gzip", b"no gzip")]
)
async def test_a_body_that_cannot_be_read_is_not_passed_on(near: routers.Rig, encoding: str, body: bytes) -> None:
    said = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with rude.serving(rude.saying(said + body)) as port:
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        for path in (SHOT, "/screenshot"):
            assert (await near.post(path, BODY)).status == 502
        assert (await near.post("/devtools/browser")).status == 502


async def test_a_small_body_that_becomes_a_large_one_passes_in_pieces(near: routers.Rig) -> None:
    large = bytes(50_000_000)
    body = gzip.compress(large)
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert len(body) < relay.WHOLE
    async with rude.serving(rude.saying(said + body)) as port:
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        answer = await near.post(SHOT, BODY)
    assert (answer.status, answer.body == large, "Content-Length" in answer.headers) == (200, True, False)


async def test_odd_headers_of_a_session_there_reach_its_client(near: routers.Rig) -> None:
    body = gzip.compress(b'{"sessionId": "00000000-0000-4000-8000-000000000001"}')
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n" % len(body)
    async with rude.serving(rude.saying(said + LATIN + b"\r\n" + body)) as port:
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        made = await near.post("/devtools/browser", headers={"Accept": "caf\udce9"})
        assert (made.status, made.headers["X-Browserpool-Node"]) == (200, "n \xe9")
        answer = await near.request("GET", f"/devtools/browser/{made.json['sessionId']}/json")
        assert (answer.status, answer.json) == (200, {"sessionId": made.json["sessionId"]})
        assert (answer.headers["X-Browserpool-Node"], "Content-Encoding" in answer.headers) == ("n \xe9", False)


async def test_who_leaves_ends_the_request_at_the_other_cluster(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    far.agents[0].gate.clear()
    request = near.background.spawn(near.post(SHOT, BODY), name="leaves")
    await waiting.until(lambda: far.agents[0].running == 1)
    request.cancel()
    await waiting.until(lambda: far.agents[0].running == 0)
    await far.until_ready()


async def test_a_router_that_dies_at_work_is_not_asked_twice(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **WAITS, **backed(far.url))
    far.agents[0].does = routers.dies
    answer = await near.post(SHOT, BODY)
    assert (answer.status, len(far.agents[0].served)) == (502, 1)


async def test_the_callers_own_limits_hold(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    secret = await near.make_token("one", concurrency=1)
    far.agents[0].gate.clear()
    first = near.background.spawn(near.post(SHOT, BODY, secret=secret), name="first")
    await waiting.until(lambda: far.agents[0].running == 1)
    assert (await near.post(SHOT, BODY, secret=secret)).status == 429
    far.agents[0].gate.set()
    assert (await first).status == 200


# ---------------------------------------------------------------- CDP
async def test_a_session_by_websocket_lives_in_the_other_cluster(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **WAITS, **backed(far.url))
    socket = await launched(near)
    assert (sidecars.said(socket, "Region"), sidecars.said(socket, "Locality")) == ("us", "remote")
    session_id = sidecars.said(socket, "Session")
    await echoes(socket, "first")
    await socket.close()
    again = await launched(near, f"/devtools/browser/{session_id}")
    await echoes(again, "again")
    page = await launched(near, f"/devtools/browser/{session_id}/page/{far.agents[0].targets[0]}")
    await echoes(page, "page")
    await again.send_str('{"id":1,"method":"Browser.close"}')
    await far.until_ready()
    await page.close()


async def test_a_session_over_http_and_all_that_belongs_to_it(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    made = await near.post("/v1/devtools/browser?targets=true")
    assert (made.status, made.headers["X-Browserpool-Region"]) == (200, "us")
    session_id = made.json["sessionId"]
    assert made.json["webSocketDebuggerUrl"] == f"{near.ws}/v1/devtools/browser/{session_id}"
    assert far.ws not in made.body.decode()
    listed = await near.request("GET", f"/devtools/browser/{session_id}/json/list")
    assert listed.json[0]["webSocketDebuggerUrl"].startswith(f"{near.ws}/devtools/browser/{session_id}/page/")
    opened = await near.request("PUT", f"/devtools/browser/{session_id}/json/new?https://example.com/a%20b")
    assert (opened.status, len(far.agents[0].targets)) == (200, len(listed.json) + 1)
    assert (await near.request("GET", f"/devtools/session/{session_id}")).json["region"] == "us"
    assert (await near.request("POST", f"/v1/sessions/{session_id}/renew?direct=true")).status == 200
    assert (await near.request("DELETE", f"/devtools/browser/{session_id}")).json["status"] == "closed"
    await far.until_ready()
    assert await remote_sessions.get(near.database, SessionId(session_id)) is None
    assert (await near.request("GET", f"/devtools/browser/{session_id}/json")).status == 404


@pytest.mark.parametrize("part", ["..%2f..%2fanother", "%2e%2e", "a%5cb"])
async def test_a_path_that_leads_out_of_the_session_goes_nowhere(
    near: routers.Rig, far: routers.Rig, part: str
) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = (await near.post("/devtools/browser")).json["sessionId"]
    asked: list[str] = []
    ask, far_away = near.running.services.remote.websocket, near.running.services.remote

    async def seen(url: str, **more: Any) -> Any:
        asked.append(url)
        return await ask(url, **more)

    far_away.websocket = seen  # type: ignore[method-assign]
    url = yarl.URL(f"{near.ws}/devtools/browser/{session_id}/page/{part}", encoded=True)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await near.client.ws_connect(url, headers=near.bearer())
    assert (refused.value.status, asked) == (404, [])


async def test_any_router_of_the_cluster_finds_the_session(near: routers.Rig, far: routers.Rig, dsn: str) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = (await near.post("/devtools/browser")).json["sessionId"]
    async with routers.rig(dsn, near.database, secrets_dir=near.running.services.settings.secrets_dir) as other:
        # Its token has the same name.
        socket = await launched(other, f"/devtools/browser/{session_id}")
        await echoes(socket, "x")
        await socket.close()


@pytest.fixture
async def late(near: routers.Rig, dsn: str) -> AsyncIterator[routers.Rig]:
    """Another router of the near cluster, which reads the pools again only if it is given a reason; ``near`` has its token."""
    secrets = near.running.services.settings.secrets_dir
    async with routers.rig(dsn, near.database, secrets_dir=secrets, catalog_reload=3600.0) as made:
        near.secret = made.secret
        await near.running.services.catalog.reload()
        yield made


async def known_late(near: routers.Rig, late: routers.Rig, far: routers.Rig, knows: str) -> str:
    """A session in the other cluster, of which the late router ``knows`` but so much when its pool is given the backup."""
    if knows == "no pool":
        await late.running.services.catalog.reload()
    else:
        await near.make_pool(browsers_=0, **FAILS)
        if knows == "another pool's backup":
            await near.make_pool("another", browsers_=0, **FAILS, **backed(far.url))
        await late.running.services.catalog.reload()
    if knows == "no pool":
        await near.make_pool(browsers_=0, **FAILS, **backed(far.url))
    else:
        await near.respec(**FAILS, **backed(far.url))
    return str((await near.post("/devtools/browser?pool=small")).json["sessionId"])


KNOWN_LATE = pytest.mark.parametrize("knows", ["no pool", "no backup", "another pool's backup"])


@KNOWN_LATE
async def test_a_router_finds_a_session_whose_pool_it_has_yet_to_read(
    near: routers.Rig, far: routers.Rig, late: routers.Rig, knows: str
) -> None:
    session_id = await known_late(near, late, far, knows)
    answer = await late.request("GET", f"/devtools/browser/{session_id}/json/list")
    assert (answer.status, [one["type"] for one in answer.json]) == (200, ["page"])


@KNOWN_LATE
@pytest.mark.parametrize("path", ["/devtools/browser/{}", "/v1/connectDevtools?browser_session={}"])
async def test_a_router_connects_to_a_session_whose_pool_it_has_yet_to_read(
    near: routers.Rig, far: routers.Rig, late: routers.Rig, knows: str, path: str
) -> None:
    session_id = await known_late(near, late, far, knows)
    socket = await launched(late, path.format(session_id))
    await socket.close()


@KNOWN_LATE
async def test_a_router_lists_a_session_whose_pool_it_has_yet_to_read(
    near: routers.Rig, far: routers.Rig, late: routers.Rig, knows: str
) -> None:
    session_id = await known_late(near, late, far, knows)
    assert [one["sessionId"] for one in await listed(late)] == [session_id]


async def test_guesses_at_sessions_cause_no_reading_of_the_pools(
    near: routers.Rig, late: routers.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, book = 0, late.running.services.catalog
    read = book._read

    async def counted() -> None:
        nonlocal readings
        readings += 1
        await read()

    guesses = [f"/devtools/session/{uuid.uuid4()}" for _ in range(50)]
    for backed_ in (False, True):
        if backed_:
            await near.make_pool(browsers_=0, **FAILS, **backed("http://127.0.0.1:9"))
            await book.reload()
        with monkeypatch.context() as patched:
            patched.setattr(book, "_read", counted)
            answers = await asyncio.gather(*(late.request("GET", path) for path in guesses))
        assert {answer.status for answer in answers} == {404}
        assert readings == 0, "what is elsewhere is remembered, and these are not"


async def test_a_session_there_is_its_makers_alone(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = (await near.post("/devtools/browser")).json["sessionId"]
    other = await near.make_token("other")
    for method, path in (("GET", "/json"), ("DELETE", ""), ("GET", "/downloads")):
        answer = await near.request(method, f"/devtools/browser/{session_id}{path}", secret=other)
        assert answer.status == 404
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await near.client.ws_connect(f"{near.ws}/devtools/browser/{session_id}", headers=near.bearer(other))
    assert refused.value.status == 404
    assert (await near.request("GET", f"/devtools/browser/{session_id}/json")).status == 200


async def test_a_session_whose_router_is_away_is_told_so(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = (await near.post("/devtools/browser")).json["sessionId"]
    await near.respec(**backed("http://127.0.0.1:9"))
    answer = await near.request("GET", f"/devtools/browser/{session_id}/json")
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)


@pytest.mark.parametrize("status", [401, 302])
async def test_a_router_that_does_not_let_this_one_in_is_not_the_clients_to_answer_for(
    near: routers.Rig, far: routers.Rig, status: int
) -> None:
    """The token there is this installation's: a client that is told 401 would look for what is wrong with its own."""
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = (await near.post("/devtools/browser")).json["sessionId"]
    if status == 401:
        await near.respec(**backed(far.url, secret="bad"))
        answer = await near.request("GET", f"/devtools/browser/{session_id}/json")
    else:
        head = b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n"
        async with rude.serving(rude.saying(head)) as port:
            await near.respec(**backed(f"http://127.0.0.1:{port}"))
            answer = await near.request("GET", f"/devtools/browser/{session_id}/json", allow_redirects=False)
    assert (answer.status, answer.headers.get("Retry-After"), "Location" in answer.headers) == (503, "1", False)


async def test_a_session_is_not_forgotten_for_a_404_of_whatever_answers(near: routers.Rig, far: routers.Rig) -> None:
    """It may be of a proxy whose router starts anew, or of a router that has yet to read where its sessions are."""
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = (await near.post("/devtools/browser")).json["sessionId"]
    async with rude.serving(rude.saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as port:
        await near.respec(**backed(f"http://127.0.0.1:{port}"))
        assert (await near.request("GET", f"/devtools/session/{session_id}")).status == 404
    await near.respec(**backed(far.url))
    assert (await near.request("GET", f"/devtools/session/{session_id}")).status == 200


async def test_a_connection_that_is_a_session_ends_it(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    socket = await launched(near, "/")
    await echoes(socket, "x")
    await socket.close()
    await far.until_ready()


@pytest.mark.parametrize(("query", "lifetime"), [("?timeout=300", "10m"), ("?timeout=60000", "1s"), ("", "1s")])
async def test_such_a_connection_lives_no_longer_than_it_may_here(
    near: routers.Rig, far: routers.Rig, query: str, lifetime: str
) -> None:
    await near.make_pool(browsers_=0, sessions={"maxLifetime": lifetime}, **backed(far.url))
    socket = await launched(near, f"/chromium{query}")
    assert sidecars.said(socket, "Locality") == "remote"
    talking = near.background.spawn(talk(socket), name="talk")
    try:
        async with asyncio.timeout(20):
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
    finally:
        talking.cancel()
    assert (message.data, message.extra) == (1001, "the session's time is over")
    await far.until_ready()


async def talk(socket: aiohttp.ClientWebSocketResponse) -> None:
    """So that it is not idle."""
    while not socket.closed:
        await socket.send_str("still here")
        await asyncio.sleep(0.02)


async def test_a_sidecars_session_goes_through_both_routers(
    near: routers.Rig, far: routers.Rig, tmp_path: pathlib.Path
) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    async with sidecars.inside(near.url, tmp_path, secret=near.secret) as sidecar:
        socket = await sidecar.connect()
        assert (sidecars.said(socket, "Way"), sidecars.said(socket, "Region")) == ("proxied", "us")
        await echoes(socket, "x")
        await socket.close()
        again = await sidecar.connect(f"/devtools/browser/{sidecars.said(socket, 'Session')}")
        await echoes(again, "again")
        await again.close()


async def test_a_session_that_cannot_be_connected_to_is_not_left_behind(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **FAILS, **backed(far.url))
    remote = near.running.services.remote

    async def fails(*_: Any, **__: Any) -> Any:
        raise errors.UpstreamFailed("nobody answers")

    remote.websocket = fails  # type: ignore[method-assign]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await launched(near)
    assert refused.value.status == 503
    await far.until_ready()


@pytest.mark.parametrize("by_websocket", [False, True])
async def test_a_session_whose_client_left_before_it_was_made_is_ended(near: routers.Rig, by_websocket: bool) -> None:
    async with maker.serving() as other:
        await near.make_pool(browsers_=0, **backed(other.url))
        asks = launched(near) if by_websocket else near.post("/devtools/browser")
        client = near.background.spawn(asks, name="leaves")
        await waiting.until(lambda: other.asked == 1)
        client.cancel()
        await waiting.until(lambda: near.running.services.quotas.running(TokenName("tester")) == 0)
        other.gate.set()
        await waiting.until(lambda: other.ended == other.made)
        assert await remote_sessions.get(near.database, SessionId(other.made[0])) is None


# ---------------------------------------------------------------- a Worker's binding
async def acquired(rig: routers.Rig, *, secret: str | None = None, **query: str) -> str:
    answer = await rig.request("GET", "/v1/acquire", params=query, secret=secret)
    assert (answer.status, answer.headers["X-Browserpool-Locality"]) == (200, "remote")
    return str(answer.json["sessionId"])


async def speaks(socket: aiohttp.ClientWebSocketResponse, message: bytes) -> None:
    """In chunks, as older clients do, and with their pings in between."""
    for frame in worker_frames.chunks(message):
        await socket.send_str("ping")
        await socket.send_bytes(frame)


async def hears(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    assembly = worker_frames.Assembly()
    while (message := assembly.add(await socket.receive_bytes(timeout=10))) is None:
        pass
    return message


async def test_an_older_client_acquires_and_connects_in_the_other_cluster(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = await acquired(near, keep_alive="45000")
    [held] = far.running.services.claiming.holding.all()
    assert (held.session_id, held.keep_alive) == (session_id, 45.0)
    for message in (b'{"id":1}', "é".encode() * 800_000):
        socket = await launched(near, f"/v1/connectDevtools?browser_session={session_id}")
        await speaks(socket, message)
        assert await hears(socket) == message
        await socket.close()
    socket = await launched(near, f"/v1/connectDevtools?browser_session={session_id}")
    await speaks(socket, b'{"id":2,"method":"Browser.close"}')
    assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    await far.until_ready()


@pytest.mark.parametrize("said", ["{theirs}", "{mine}&browser_session={theirs}", "{theirs}&browser_session={mine}"])
async def test_whatever_an_older_client_names_it_gets_its_own_session_alone(
    near: routers.Rig, far: routers.Rig, said: str
) -> None:
    """All tokens of this cluster are one to the other, which would let any of them in."""
    await near.make_pool(browsers_=0, **backed(far.url))
    theirs = await acquired(near, secret=await near.make_token("other"))
    [held] = far.running.services.claiming.holding.all()
    mine = "00000000-0000-4000-8000-000000000001"
    owner = remote_sessions.Remote(
        session_id=SessionId(mine), pool=PoolName("small"), region=RegionName("eu"), token=TokenName("tester")
    )
    await remote_sessions.put(near.database, owner)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await launched(near, f"/v1/connectDevtools?browser_session={said.format(mine=mine, theirs=theirs)}")
    assert (refused.value.status, held.connections, far.agents[0].sockets) == (404, 0, set())


async def test_an_older_client_is_told_what_its_frames_lack(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    socket = await launched(near, f"/v1/connectDevtools?browser_session={await acquired(near)}")
    await socket.send_bytes(b"{}")
    closed = await socket.receive(timeout=10)
    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("gone", "headers", "status"),
    [("over", {}, 410), ("away", {}, 503), ("nothing", {"X-Browserpool-Via": "another"}, 404)],
)
async def test_an_older_client_that_cannot_connect_there_is_told_why(
    near: routers.Rig, far: routers.Rig, gone: str, headers: dict[str, str], status: int
) -> None:
    await near.make_pool(browsers_=0, **backed(far.url))
    session_id = await acquired(near)
    if gone == "over":
        assert (await far.request("DELETE", f"/devtools/browser/{session_id}")).status == 200
    if gone == "away":
        await near.respec(**backed("http://127.0.0.1:9"))
    url = f"{near.ws}/v1/connectDevtools?browser_session={session_id}"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await near.client.ws_connect(url, headers=near.bearer() | headers)
    assert refused.value.status == status


# ---------------------------------------------------------------- lists of sessions
async def listed(rig: routers.Rig, path: str = "/v1/sessions", **more: Any) -> list[dict[str, Any]]:
    answer = await rig.request("GET", path, **more)
    assert answer.status == 200, answer.body
    found = answer.json
    return list(found if isinstance(found, list) else found.get("sessions", found.get("history")))


async def test_a_client_lists_its_sessions_in_the_other_cluster_and_ends_them(
    near: routers.Rig, far: routers.Rig
) -> None:
    await far.make_pool("more", browsers_=2, regions=[{"name": "us"}])
    await near.make_pool(browsers_=0, **backed(far.url, pool="more"))
    mine, other = await acquired(near), await near.make_token("other")
    theirs = await acquired(near, secret=other)
    for path, prefix in (("/v1/sessions", ""), ("/v1/history", ""), ("/v1/devtools/session", "/v1")):
        [one] = await listed(near, path)
        assert (one["sessionId"], one["pool"], one["region"], one["kind"]) == (mine, "small", "us", "cdp")
        assert one["webSocketDebuggerUrl"] == f"{near.ws}{prefix}/devtools/browser/{mine}"
        assert "connectionId" not in one, "it is free to be connected to"
    assert [one["sessionId"] for one in await listed(near, secret=other)] == [theirs]
    admin = await near.make_token("admin", admin=True)
    assert {one["sessionId"] for one in await listed(near, secret=admin)} == {mine, theirs}
    socket = await launched(near, f"/v1/connectDevtools?browser_session={mine}")

    async def is_taken() -> bool:
        return "connectionId" in (await listed(near))[0]

    await waiting.until(is_taken)
    await socket.close()
    assert (await near.request("DELETE", f"/v1/devtools/browser/{mine}")).status == 200
    assert await listed(near) == []
    socket = await near.client.ws_connect(
        f"{near.ws}/v1/connectDevtools?browser_session={theirs}", headers=near.bearer(other)
    )
    await speaks(socket, b'{"id":1,"method":"Browser.close"}')
    await far.until_ready("more", 2)
    assert await listed(near, secret=other) == []


@pytest.fixture
async def other(near: routers.Rig) -> AsyncIterator[maker.Maker]:
    """Another cluster that has made a session for this one, and whose list the test writes."""
    async with maker.serving() as made:
        made.gate.set()
        await near.make_pool(browsers_=0, **FAILS, **backed(made.url))
        assert (await near.post("/devtools/browser")).json["sessionId"] == made.made[0]
        yield made


def shown(session_id: str, at: int, **more: Any) -> dict[str, Any]:
    return {"sessionId": session_id, "startTime": at, "region": "us", **more}


async def test_lists_are_in_the_order_of_their_beginnings_wherever_they_are(
    near: routers.Rig, other: maker.Maker
) -> None:
    await near.post("/devtools/browser")
    old, new = other.made
    await near.respec(**FAILS, **backed(other.url))
    manifest = pool.BrowserPool(
        metadata=pool.Metadata(name="small"), spec=near.running.services.catalog.pools[PoolName("small")]
    )
    await near.make_agent(manifest, 0)
    await near.until_ready()
    here = (await near.post("/devtools/browser")).json["sessionId"]
    other.shown = [shown(new, 10**15), shown(old, 1)]
    whole = [one["sessionId"] for one in await listed(near)]
    assert whole == [new, here, old]
    pages = [await listed(near, f"/devtools/session?limit=1&offset={offset}") for offset in range(4)]
    assert [[one["sessionId"] for one in page] for page in pages] == [[new], [here], [old], []]


async def test_what_the_other_router_shows_is_listed_for_whom_it_was_made(
    near: routers.Rig, other: maker.Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows what it has made for anybody in this cluster, and may show what it never made for it; page by page."""
    monkeypatch.setattr("browserpool.router.spilling.listing.PAGE", 2)
    another = await near.make_token("another")
    await near.post("/devtools/browser", secret=another)
    mine, theirs = other.made
    elsewhere = remote_sessions.Remote(
        session_id=SessionId("00000000-0000-4000-8000-000000000001"),
        pool=PoolName("small"),
        region=RegionName("with-another-backup"),
        token=TokenName("tester"),
    )
    await remote_sessions.put(near.database, elsewhere)
    nobodys = "00000000-0000-4000-8000-000000000002"
    other.shown = [shown(one, 1) for one in (nobodys, theirs, elsewhere.session_id, mine)]
    assert [one["sessionId"] for one in await listed(near)] == [mine]
    assert other.pages == [(0, 2), (2, 2), (4, 2)]
    assert [one["sessionId"] for one in await listed(near, secret=another)] == [theirs]


async def test_nobody_is_kept_waiting_for_a_list_who_has_nothing_there(near: routers.Rig, other: maker.Maker) -> None:
    stranger = await near.make_token("stranger")
    assert await listed(near, secret=stranger) == []
    assert await listed(near, headers={"X-Browserpool-Via": "another"}) == []
    assert other.pages == []


@pytest.mark.parametrize(
    "says",
    [
        web.Response(status=503),
        web.Response(status=401),
        web.Response(body=b"<html>"),
        web.json_response({"sessions": []}),
        web.json_response([{"sessionId": 1, "startTime": 1}]),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
    ],
    ids=["full", "refuses", "no JSON", "no list", "no sessions", "leads elsewhere"],
)
async def test_a_router_that_shows_nothing_has_no_part_in_a_list(
    near: routers.Rig, other: maker.Maker, says: web.Response
) -> None:
    other.says = says
    assert await listed(near) == []
    assert len(other.pages) == 1


async def test_what_a_session_has_no_room_for_has_no_part_in_a_list(near: routers.Rig, other: maker.Maker) -> None:
    """Nested more deeply than can be written again, it would keep those here out of the list, too."""
    deep = b"[" * 300 + b"]" * 300
    session = b'{"sessionId": "%s", "startTime": 1, "region": "us", "deep": %s}' % (other.made[0].encode(), deep)
    other.says = web.Response(body=b"[%s]" % session, content_type="application/json")
    [one] = await listed(near)
    assert (one["region"], "deep" in one) == ("us", False)


async def test_a_list_does_not_wait_for_a_router_that_hangs(
    near: routers.Rig, other: maker.Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserpool.router.spilling.listing.DEADLINE", 0.1)
    other.gate.clear()
    assert await listed(near) == []
    assert near.running.services.breakers.enter(other.url), "it may have been that list alone"


async def test_a_router_that_could_not_be_asked_for_a_list_is_left_alone(near: routers.Rig, other: maker.Maker) -> None:
    away = "http://127.0.0.1:9"
    await near.respec(**FAILS, **backed(away))
    assert await listed(near) == []
    assert not near.running.services.breakers.enter(away)


HEADERS: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"Authorization": "Bearer mine", "Cookie": "a=b", "Accept-Encoding": "gzip"}, {}),
    ({"X-Browserpool-Pool": "p", "X-Browserpool-Node": "n", "X-Browserpool-Via": "x", "X-Browserpool-Wait": "1"}, {}),
    ({"Connection": "Upgrade, X-Mine", "Upgrade": "websocket", "Sec-WebSocket-Key": "k", "X-Mine": "1"}, {}),
    ({"cf-brapi-guardrails": "e30"}, {"cf-brapi-guardrails": "e30"}),
    ({"Content-Type": "application/json", "Accept": "*/*"}, {"Content-Type": "application/json", "Accept": "*/*"}),
    ({"X-Auth-Email": "a@b", "X-Auth-Key": "mine", "X-Api-Key": "mine"}, {}),
    ({"Referer": "https://router/devtools?token=mine", "Origin": "https://app", "X-Forwarded-For": "10.0.0.1"}, {}),
    ({"Content-Encoding": "gzip", "Content-Length": "7"}, {}),
]


@pytest.mark.parametrize(("sent", "kept"), HEADERS)
def test_what_the_other_router_is_told_of_a_request(sent: dict[str, str], kept: dict[str, str]) -> None:
    headers = multidict.CIMultiDictProxy(multidict.CIMultiDict(sent))
    onward = rules.onward(headers, token="theirs", holder="h", base="http://here:1")
    own = {"X-Browserpool-Via": "h", "X-Browserpool-Wait": "0", "X-Browserpool-Base": "http://here:1"}
    assert onward == {**kept, **own, "Authorization": "Bearer theirs"}


# ---------------------------------------------------------------- where to
async def test_a_request_goes_to_the_region_near_to_its_client(near: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **FAILS, regions=[{"name": "eu"}, {"name": "us", "near": ["US", "CA"]}])
    for header, region, expected in (("CA", None, "us"), ("DE", None, "eu"), ("CA", "eu", "eu"), (None, None, "eu")):
        headers = {"X-Browserpool-From": header} if header else {}
        headers |= {"X-Browserpool-Region": region} if region else {}
        before = claims_of(expected)
        assert (await near.post(SHOT, BODY, headers=headers)).status == 503
        assert claims_of(expected) == before + 1


def claims_of(region: str) -> float:
    return metrics.CLAIMS.labels("small", region, "empty", "none")._value.get()


# ---------------------------------------------------------------- a router that is away
class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_router_that_is_away_is_tried_by_one_request_in_a_while() -> None:
    now = Clock()
    breakers = breaker.Breakers(now=now)
    assert [breakers.enter("a") for _ in range(3)] == [True] * 3, "nobody knows yet"
    for _ in range(3):
        breakers.failed("a")
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert not breakers.enter("a")
        assert breakers.enter("b")
        now.now += pause - 0.01
        assert not breakers.enter("a")
        now.now += 0.02
        assert [breakers.enter("a") for _ in range(3)] == [True, False, False]
        breakers.failed("a")
    now.now += 31
    assert breakers.enter("a")
    breakers.worked("a")
    assert [breakers.enter("a") for _ in range(3)] == [True] * 3


def test_a_trial_that_nobody_ended_is_followed_by_another() -> None:
    now = Clock()
    breakers = breaker.Breakers(now=now)
    breakers.failed("a")
    now.now += 1
    assert breakers.enter("a")
    assert not breakers.enter("a")
    now.now += 1
    assert breakers.enter("a")


async def test_a_dead_router_costs_one_request_its_timeout(near: routers.Rig, far: routers.Rig) -> None:
    await near.make_pool(browsers_=0, **FAILS, **backed("http://127.0.0.1:9"))
    asked = 0
    remote = near.running.services.remote
    ask = remote.ask

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        return ask(*arguments, **named)

    remote.ask = counting  # type: ignore[method-assign]
    for _ in range(5):
        assert (await near.post(SHOT, BODY)).status == 503
    assert asked == 1


async def test_a_router_that_is_gone_before_its_session_is_connected_to_is_shut_out(near: routers.Rig) -> None:
    asked = 0

    async def makes_one_and_goes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        server.close()
        body = b'{"sessionId": "00000000-0000-4000-8000-000000000001"}'
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(makes_one_and_goes, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await near.make_pool(browsers_=0, **FAILS, **backed(url))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await launched(near)
    assert (refused.value.status, asked) == (503, 1)
    assert not near.running.services.breakers.enter(url)


async def test_an_action_that_broke_off_there_does_not_shut_the_router_out(near: routers.Rig) -> None:
    asked = 0

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hangs_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await near.make_pool(browsers_=0, **FAILS, **backed(f"http://127.0.0.1:{port}"))
        assert [(await near.post(SHOT, BODY)).status for _ in range(2)] == [502, 502]
    assert asked == 2
