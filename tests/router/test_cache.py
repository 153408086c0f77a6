"""What was answered lately is answered again: to whom, for how long, and what it costs."""

import asyncio
import contextlib

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from browserpool.lib import tasks
from browserpool.model import agentapi, errors, names, tokens
from browserpool.router.cache import keeping, memory, policy
from browserpool.store import connect
from support import routers, waiting

SHOT = "/v1/screenshot"
BODY = {"html": "x"}
SECRET = "a-signing-key-of-sixteen"


# ---------------------------------------------------------------- policy
def scope(*, name="one", secret=b"\x01", pool="small", region="eu"):
    caller = tokens.Token(name=names.TokenName(name), hash=secret)
    return policy.Scope(caller=caller, pool=names.PoolName(pool), region=names.RegionName(region))


def key(body, *, whose=None, action="pdf", secret=SECRET):
    return policy.key(whose or scope(), action, body, secret=secret)


@pytest.mark.parametrize(
    "same",
    [
        b'{"html":"x","viewport":{"width":1,"height":2}}',
        b'{ "viewport": {"height": 2, "width": 1},\n "html": "x", "cacheTTL": 60}',
    ],
)
def test_the_order_of_fields_and_the_ttl_itself_make_no_difference(same):
    assert key(same) == key(b'{"html":"x","viewport":{"width":1,"height":2}}')


OTHERS = [
    {"body": b'{"html":"y"}'},
    {"body": b'{"html":"x","cookies":[{"name":"a","value":"b"}]}'},
    {"action": "screenshot"},
    {"secret": "another-signing-key-0"},
    {"whose": scope(name="two")},
    {"whose": scope(secret=b"\x02")},
    {"whose": scope(pool="large")},
    {"whose": scope(region="us")},
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_whatever_can_change_an_answer_makes_another_key(other):
    assert key(**{"body": b'{"html":"x"}', **other}) != key(b'{"html":"x"}')


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_two_bodies_share_a_key_only_if_they_are_equal(one, other):
    one, other = ({k: v for k, v in body.items() if k != "cacheTTL"} for body in (one, other))
    assert (key(orjson.dumps(one)) == key(orjson.dumps(other))) == (one == other)


@pytest.mark.parametrize(
    ("status", "body", "there"),
    [(200, b"1234", True), (200, b"12345", False), (200, None, False), (422, b"1", False), (206, b"1", False)],
)
def test_only_whole_answers_of_200_that_are_not_too_large_are_kept(status, body, there):
    made = policy.kept(status=status, headers={"Content-Type": "a/b", "X-Browserpool-Session": "s"}, body=body, most=4)
    assert made == (policy.Kept(headers={"Content-Type": "a/b"}, body=body) if there else None)


# ---------------------------------------------------------------- memory
def asked(name, ttl=60.0):
    return policy.Asked(key=name.encode(), ttl=ttl)


def answer(size=1000):
    return policy.Kept(headers={}, body=bytes(size))


class Hands:
    now = 0.0

    def __call__(self):
        return self.now


def test_an_answer_is_given_until_it_is_too_old_for_either():
    hands = Hands()
    kept = memory.Memory(most=10**6, now=hands)
    kept.put(asked("a", 60), answer())
    hands.now = 10
    assert kept.get(asked("a", 60)) == (answer(), 10)
    assert kept.get(asked("a", 10)) is None
    assert kept.get(asked("a", 11)) is not None
    hands.now = 60
    assert kept.get(asked("a", 3600)) is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_the_one_that_was_not_asked_for_the_longest_makes_room():
    kept = memory.Memory(most=3 * (1000 + memory.OVERHEAD), now=Hands())
    for name in "abc":
        kept.put(asked(name), answer())
    kept.get(asked("a"))
    kept.put(asked("d"), answer())
    assert [kept.get(asked(name)) is not None for name in "abcd"] == [True, False, True, True]


def test_a_sweep_frees_what_has_expired():
    hands = Hands()
    kept = memory.Memory(most=10**6, now=hands)
    kept.put(asked("short", 5), answer())
    kept.put(asked("long", 60), answer())
    hands.now = 5
    kept.sweep()
    assert (len(kept), kept.bytes) == (1, 1000 + memory.OVERHEAD)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9000), st.booleans()), max_size=60))
def test_it_never_holds_more_than_it_may(steps):
    kept = memory.Memory(most=20_000, now=Hands())
    for name, size, reads in steps:
        if reads:
            kept.get(asked(name))
        else:
            kept.put(asked(name), answer(size))
        assert kept.bytes <= 20_000
        assert kept.bytes == sum(entry.size for entry in kept._entries.values())


# ---------------------------------------------------------------- the door
@pytest.fixture(params=["memory", "postgres"])
async def rig(request, dsn, database):
    async with routers.rig(dsn, database, cache=request.param) as made:
        yield made


async def stored(rig, number=1):
    """Until so many answers can be given again. (Postgres is told after the client was.)"""
    cache = rig.running.services.cache
    await waiting.until(lambda: cache._pending == 0, deadline=5)


def served(rig):
    return sum(len(agent.served) for agent in rig.agents)


async def test_the_second_is_answered_without_a_browser(rig):
    [agent] = await rig.make_pool()
    first = await rig.post(SHOT, BODY)
    await stored(rig)
    rig.agents[0].gate.clear()  # nobody can be served by a browser any more
    again = await rig.post(SHOT, BODY)
    assert (again.status, again.body, served(rig)) == (200, routers.PNG, 1)
    assert (first.headers["X-Browserpool-Cache"], again.headers["X-Browserpool-Cache"]) == ("miss", "hit")
    assert (first.headers["X-Browser-Ms-Used"], again.headers["X-Browser-Ms-Used"]) == ("12", "0")
    assert again.headers["Content-Type"] == "image/png"
    assert 0 <= int(again.headers["Age"]) <= 5
    assert again.headers["X-Browserpool-Pool"] == "small"
    assert "Age" not in first.headers
    assert "X-Browserpool-Session" not in again.headers
    assert len(agent.sessions) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [(f"{SHOT}?cacheTTL=0", BODY), (SHOT, {**BODY, "cacheTTL": 0}), (f"{SHOT}?cacheTTL=0", {**BODY, "cacheTTL": 60})],
)
async def test_a_ttl_of_0_is_neither_looked_up_nor_kept(rig, path, body):
    await rig.make_pool()
    for number in (1, 2):
        answer = await rig.post(path, body)
        assert (answer.status, served(rig)) == (200, number)
        assert "X-Browserpool-Cache" not in answer.headers
    assert (await rig.post(SHOT, BODY)).headers["X-Browserpool-Cache"] == "miss"


async def test_the_querys_ttl_wins_over_the_bodys(rig):
    await rig.make_pool()
    await rig.post(f"{SHOT}?cacheTTL=60", {**BODY, "cacheTTL": 0})
    await stored(rig)
    assert (await rig.post(f"{SHOT}?cacheTTL=60", BODY)).headers["X-Browserpool-Cache"] == "hit"


async def test_another_token_finds_nothing_nor_does_the_name_given_out_anew(rig):
    await rig.make_pool()
    await rig.post(f"{SHOT}?cacheTTL=600", BODY)
    await stored(rig)
    other = await rig.make_token("other")
    assert (await rig.post(SHOT, BODY, secret=other)).headers["X-Browserpool-Cache"] == "miss"
    anew = await rig.make_token("tester")
    assert (await rig.post(SHOT, BODY, secret=anew)).headers["X-Browserpool-Cache"] == "miss"
    assert served(rig) == 3


async def test_another_pool_finds_nothing_and_a_pool_that_was_taken_from_the_token_neither(rig):
    await rig.make_pool("alpha")
    await rig.make_pool("beta")
    await rig.post(f"{SHOT}?pool=alpha", BODY)
    await stored(rig)
    assert (await rig.post(f"{SHOT}?pool=beta", BODY)).headers["X-Browserpool-Cache"] == "miss"
    narrow = await rig.make_token("narrow", pools=frozenset({names.PoolName("beta")}))
    assert (await rig.post(f"{SHOT}?pool=alpha", BODY, secret=narrow)).status == 403


async def test_a_failure_is_not_kept(rig):
    [agent] = await rig.make_pool()
    agent.does = routers.refuses(errors.PageFailed("it failed", code=errors.Code.DNS))
    assert (await rig.post(SHOT, BODY)).status == 422
    agent.does = routers.answers_png
    assert (await rig.post(SHOT, BODY)).headers["X-Browserpool-Cache"] == "miss"
    assert served(rig) == 2


async def test_a_hit_spends_the_rate_and_not_the_concurrency(rig):
    await rig.make_pool(browsers_=2)
    lone = await rig.make_token("lone", concurrency=1)
    await rig.post(f"{SHOT}?cacheTTL=600", BODY, secret=lone)
    await stored(rig)
    for one in rig.agents:
        one.gate.clear()
    busy = rig.background.spawn(rig.post(SHOT, {"html": "other"}, secret=lone), name="busy")
    await waiting.until(lambda: any(one.running for one in rig.agents), deadline=5)
    assert (await rig.post(SHOT, BODY, secret=lone)).headers["X-Browserpool-Cache"] == "hit"
    assert (await rig.post(SHOT, {"html": "third"}, secret=lone)).status == 429
    for one in rig.agents:
        one.gate.set()
    assert (await busy).status == 200
    slow = await rig.make_token("slow", rate_per_second=0.01)
    assert (await rig.post(SHOT, BODY, secret=slow)).status == 200
    assert (await rig.post(SHOT, BODY, secret=slow)).status == 429


async def test_a_large_answer_passes_and_is_not_kept(rig):
    [agent] = await rig.make_pool()
    most = rig.running.services.settings.cache_answer_bytes
    for size, again in ((most, "hit"), (most + 1, "miss")):
        agent.does = routers.answers(bytes(size))
        body = {"html": str(size)}
        assert (await rig.post(f"{SHOT}?cacheTTL=600", body)).body == bytes(size)
        await stored(rig)
        answer = await rig.post(f"{SHOT}?cacheTTL=600", body)
        assert (answer.headers["X-Browserpool-Cache"], answer.body) == (again, bytes(size))


async def test_an_answer_that_broke_off_is_not_kept(rig):
    [agent] = await rig.make_pool()

    async def breaks_off(_, request):
        await request.read()
        response = web.StreamResponse(headers={"Content-Length": str(3 * 1024 * 1024), agentapi.BROWSER_MS_USED: "1"})
        await response.prepare(request)
        await response.write(bytes(2 * 1024 * 1024))
        request.transport.abort()
        return response

    agent.does = breaks_off
    with contextlib.suppress(Exception):
        await rig.post(SHOT, BODY)
    agent.does = routers.answers_png
    await rig.until_ready()
    assert (await rig.post(SHOT, BODY)).headers["X-Browserpool-Cache"] == "miss"


async def test_a_long_body_is_not_looked_up(rig):
    await rig.make_pool()
    body = {"html": "x" * policy.LONGEST_BODY}
    for _ in range(2):
        answer = await rig.post(SHOT, body)
        assert answer.status == 200
        assert "X-Browserpool-Cache" not in answer.headers
    assert served(rig) == 2


async def test_a_wrong_body_is_still_refused_with_its_reason(rig):
    await rig.make_pool()
    answer = await rig.post(SHOT, {**BODY, "cacheTTL": 86_401})
    assert (answer.status, "cacheTTL" in answer.message) == (400, True)


async def test_the_bytes_that_are_kept_are_counted_and_looked_up_ones_too(rig):
    await rig.make_pool()
    await rig.post(SHOT, BODY)
    await stored(rig)
    await rig.running.services.cache.sweep()
    await rig.post(SHOT, BODY)
    text = (await rig.request("GET", "/metrics")).body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("browserpool_cache"))
    assert float(lines["browserpool_cache_bytes"]) >= len(routers.PNG)
    assert float(lines['browserpool_cache_lookups_total{outcome="hit"}']) >= 1
    assert float(lines['browserpool_cache_lookups_total{outcome="miss"}']) >= 1


async def test_routers_that_share_it_find_what_the_other_has_made(dsn, database):
    async with (
        routers.rig(dsn, database, cache="postgres") as one,
        routers.rig(dsn, database, cache="postgres") as other,
    ):
        await one.make_pool()
        await other.running.services.catalog.reload()
        token = await one.make_token("shared")
        await other.running.services.catalog.reload()
        await one.post(SHOT, BODY, secret=token)
        await stored(one)
        assert (await other.post(SHOT, BODY, secret=token)).headers["X-Browserpool-Cache"] == "hit"


async def test_each_router_has_its_own_in_memory(dsn, database):
    async with routers.rig(dsn, database, cache="memory") as one, routers.rig(dsn, database, cache="memory") as other:
        await one.make_pool()
        token = await one.make_token("shared")
        await other.running.services.catalog.reload()
        await one.post(SHOT, BODY, secret=token)
        assert (await other.post(SHOT, BODY, secret=token)).headers["X-Browserpool-Cache"] == "miss"


async def test_a_store_that_is_away_makes_every_lookup_a_miss_and_keeps_nothing(own_postgres):
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests", deadline=0.5) as db, tasks.Background(grace=1) as background:
        rules = keeping.Rules(where="postgres", most=10**6, most_each=10**6, secret=SECRET)
        cache = keeping.Cache(rules, db=db, background=background)
        server.stop()
        assert await cache.get(asked("a")) is None
        cache.put(asked("a"), status=200, headers={}, body=b"x")
        await waiting.until(lambda: cache._pending == 0, deadline=10)
        with pytest.raises(errors.Unavailable):
            await cache.sweep()
        server.start()


async def test_what_a_crash_of_postgres_loses_is_looked_for_and_made_anew(own_postgres):
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests", deadline=5) as db, tasks.Background(grace=1) as background:
        rules = keeping.Rules(where="postgres", most=10**6, most_each=10**6, secret=SECRET)
        cache = keeping.Cache(rules, db=db, background=background)

        async def kept():
            cache.put(asked("a"), status=200, headers={}, body=b"x")
            await waiting.until(lambda: cache._pending == 0, deadline=10)
            return await cache.get(asked("a"))

        assert (await kept()).answer.body == b"x"
        server.stop("immediate")
        server.start()
        assert await cache.get(asked("a")) is None
        assert (await kept()).answer.body == b"x"


async def test_what_comes_while_the_store_is_slow_does_not_pile_up(database):
    async with tasks.Background(grace=1) as background:
        most = 100 * keeping.MOST_PENDING
        rules = keeping.Rules(where="postgres", most=most, most_each=most, secret=SECRET)
        cache = keeping.Cache(rules, db=database, background=background)
        for number in range(40):
            cache.put(asked(str(number)), status=200, headers={}, body=bytes(1024 * 1024))
        assert 0 < cache._pending <= keeping.MOST_PENDING
        await waiting.until(lambda: cache._pending == 0, deadline=30)
        found = [await cache.get(asked(str(number))) for number in range(40)]
        assert 10 <= sum(hit is not None for hit in found) <= 16


async def test_a_full_store_takes_nothing_until_it_is_swept_and_then_what_is_new(database):
    async with tasks.Background(grace=1) as background:
        rules = keeping.Rules(where="postgres", most=40_000, most_each=10**6, secret=SECRET)
        cache = keeping.Cache(rules, db=database, background=background)
        for number in range(6):
            cache.put(asked(str(number)), status=200, headers={}, body=bytes(9_000))
            await waiting.until(lambda: cache._pending == 0, deadline=5)
        assert [await cache.get(asked(str(number))) is not None for number in range(6)] == [True] * 3 + [False] * 3
        await cache.sweep()
        cache.put(asked("new"), status=200, headers={}, body=bytes(9_000))
        await waiting.until(lambda: cache._pending == 0, deadline=5)
        assert await cache.get(asked("new")) is not None


async def test_off_is_off(dsn, database):
    async with routers.rig(dsn, database, cache="off") as rig:
        await rig.make_pool()
        for number in (1, 2):
            answer = await rig.post(f"{SHOT}?cacheTTL=600", BODY)
            assert (answer.status, served(rig), "X-Browserpool-Cache" in answer.headers) == (200, number, False)


async def test_the_same_at_once_is_done_as_often_as_it_comes_and_each_is_whole(rig):
    await rig.make_pool(browsers_=3)
    answers = await asyncio.gather(*(rig.post(SHOT, BODY) for _ in range(12)))
    assert {one.body for one in answers} == {routers.PNG}
    assert {one.status for one in answers} == {200}
