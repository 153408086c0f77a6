"""What a token may still do, told and kept to at every router."""

import asyncio
import datetime
import math

import psycopg
import pytest

from browserpool.model import pool, tokens
from browserpool.model.names import PoolName, TokenName
from browserpool.router import limits
from support import routers, waiting

STATE = limits.State(open=1, most=4, rate_left=math.inf, rate_wait=0, day_wait=0, slot_wait=7.5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (3, 0)),
        ({"open": 4}, (0, 7500)),
        ({"open": 9}, (0, 7500)),
        ({"rate_left": 2.9}, (2, 0)),
        ({"rate_left": 0.99999}, (1, 0)),
        ({"rate_left": 0.2, "rate_wait": 0.0301}, (0, 31)),
        ({"rate_left": 0, "rate_wait": math.inf}, (0, 60_000)),
        ({"day_wait": 3600.0}, (0, 3_600_000)),
        ({"open": 4, "day_wait": 3600.0, "rate_wait": 1.0}, (0, 3_600_000)),
    ],
)
def test_how_many_more_and_when(changes: dict[str, float], expected: tuple[int, int]) -> None:
    state = limits.State(**{**{name: getattr(STATE, name) for name in STATE.__slots__}, **changes})
    assert limits.allowed(state) == expected


def test_a_token_without_a_limit_may_have_what_its_pools_have() -> None:
    specs = {
        PoolName("a"): pool.PoolSpec.model_validate({"regions": [{"name": "eu", "replicas": 2, "maxReplicas": 5}]}),
        PoolName("b"): pool.PoolSpec.model_validate({"regions": [{"name": "eu", "replicas": 3, "maxReplicas": 3}]}),
    }
    everywhere = tokens.Token(name=TokenName("t"), hash=b"")
    only_b = tokens.Token(name=TokenName("t"), hash=b"", pools=frozenset({PoolName("b")}))
    narrow = tokens.Token(name=TokenName("t"), hash=b"", concurrency=2)
    assert [limits.capacity(one, pools=specs) for one in (everywhere, only_b, narrow)] == [8, 3, 2]


@pytest.mark.parametrize(
    "prefix", ["/v1", "/client/v4/accounts/a/browser-rendering", "/client/v4/accounts/a/browser-run"]
)
async def test_limits_are_the_tokens_own_and_of_all_routers(prefix: str, rig: routers.Rig, dsn: str) -> None:
    await rig.make_pool(browsers_=3)
    mine = await rig.make_token("mine", concurrency=2)
    assert (await rig.request("GET", prefix + "/limits", secret=mine)).json == {
        "activeSessions": [],
        "maxConcurrentSessions": 2,
        "allowedBrowserAcquisitions": 2,
        "timeUntilNextAllowedBrowserAcquisition": 0,
        "usedBrowserTimeSeconds": 0,
    }
    made = (await rig.post("/devtools/browser?keep_alive=30000", secret=mine)).json
    await rig.post("/devtools/browser")
    async with routers.rig(dsn, rig.database) as other:
        for router in (rig, other):
            found = (await router.request("GET", prefix + "/limits", secret=mine)).json
            assert found["activeSessions"] == [{"id": made["sessionId"]}]
            assert found["allowedBrowserAcquisitions"] == 1
        await rig.post("/devtools/browser?keep_alive=20000", secret=mine)
        found = (await other.request("GET", prefix + "/limits", secret=mine)).json
        assert (len(found["activeSessions"]), found["allowedBrowserAcquisitions"]) == (2, 0)
        assert 15_000 < found["timeUntilNextAllowedBrowserAcquisition"] <= 22_001


async def test_limits_want_a_token(rig: routers.Rig) -> None:
    async with rig.client.get(rig.url + "/v1/limits") as answer:
        assert answer.status == 401


async def test_the_days_browser_time_is_a_429_that_says_when_the_next_day_begins(rig: routers.Rig, dsn: str) -> None:
    await rig.make_pool(browsers_=2)
    short = await rig.make_token("short", daily_seconds=100)
    assert (await rig.post("/v1/screenshot", {"html": "x"}, secret=short)).status == 200
    with psycopg.connect(dsn) as connection:
        connection.execute("update sessions set started_at = ended_at - interval '1 day' where token = 'short'")
        now, midnight = connection.execute(
            "select now(), (date_trunc('day', now() at time zone 'UTC') + interval '1 day') at time zone 'UTC'"
        ).fetchone() or (None, None)
        assert isinstance(now, datetime.datetime)
        assert isinstance(midnight, datetime.datetime)
        # If the day has just begun, the session's part of it is too short.
        connection.execute(
            "insert into usage (token, day, seconds) values ('short', (now() at time zone 'UTC')::date, 100) "
            "on conflict (token, day) do update set seconds = 100"
        )

    async def refused() -> bool:
        return (await rig.post("/v1/screenshot", {"html": "x"}, secret=short)).status == 429

    await waiting.until(refused, deadline=10)
    answers = [await rig.post(path, {"html": "x"}, secret=short) for path in ("/v1/screenshot", "/devtools/browser")]
    left = (midnight - now).total_seconds()
    for answer in answers:
        assert answer.status == 429
        assert answer.json["errors"][0]["code"] == 1004
        assert "browser time" in answer.message
        if left > 120:
            assert answer.headers["Retry-After"] == "60"
            assert left - 60 < int(answer.headers["X-Browserpool-Retry-After"]) <= left + 1
            assert answer.headers["x-should-retry"] == "false"
    found = (await rig.request("GET", "/v1/limits", secret=short)).json
    assert (found["allowedBrowserAcquisitions"], found["maxBrowserTimeSeconds"]) == (0, 100)
    assert found["usedBrowserTimeSeconds"] >= 100
    assert abs(found["timeUntilNextAllowedBrowserAcquisition"] / 1000 - left) < 60
    assert (await rig.post("/v1/screenshot", {"html": "x"})).status == 200, "another token is not meant"


async def test_concurrencys_retry_after_is_when_an_idle_session_has_ended(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2, sessions={"keepAlive": "1s"})
    narrow = await rig.make_token("narrow", concurrency=1)
    assert (await rig.post("/devtools/browser", secret=narrow)).status == 200
    refused = await rig.post("/devtools/browser", secret=narrow)
    assert refused.status == 429
    await asyncio.sleep(int(refused.headers["Retry-After"]))  # the header's own promise is what is tested
    assert (await rig.post("/devtools/browser", secret=narrow)).status == 200
