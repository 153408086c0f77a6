"""What is kept beside the browsers: sessions live and past, regions, pools, tokens."""

import dataclasses

import pytest

from browserpool.model import credentials, errors
from browserpool.model.claims import CloseReason
from browserpool.model.names import HolderId, PoolName, RegionName, TokenName
from browserpool.model.pool import BrowserPool
from browserpool.model.regions import RegionStatus
from browserpool.model.states import BrowserState
from browserpool.model.tokens import Token
from browserpool.store import browsers, leases, pools, regions, sessions, tokens

HERE, THERE = RegionName("eu"), RegionName("us")


async def test_a_session_is_read_as_it_was_claimed(fleet):
    await fleet.ready()
    claim = (await fleet.claim("s", token="alice", keep_alive=90.0, max_lifetime=60.0)).claim
    live = await sessions.live(fleet.db, claim.session_id)
    assert (live.browser_id, live.fence, live.address) == (claim.browser_id, claim.fence, claim.address)
    assert (live.token, live.keep_alive, live.expires_at) == ("alice", 90.0, claim.expires_at)
    assert live.expires_at == live.ends_at, "the hard end comes before the first keep-alive is over"
    assert (live.ends_at - live.started_at).total_seconds() == 60
    assert await sessions.history(fleet.db, claim.session_id) is None


@pytest.mark.parametrize("reason", list(CloseReason))
async def test_an_ended_session_is_remembered_with_its_reason(fleet, reason):
    await fleet.ready()
    claim = (await fleet.claim("s", token="alice")).claim
    live = await sessions.live(fleet.db, claim.session_id)
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True, reason=reason)
    past = await sessions.history(fleet.db, claim.session_id)
    assert (past.reason, past.fence, past.browser_id, past.token) == (reason, claim.fence, claim.browser_id, "alice")
    assert (past.started_at, past.kind) == (live.started_at, live.kind)
    assert past.ended_at >= past.started_at
    assert await sessions.live(fleet.db, claim.session_id) is None


async def test_sessions_are_listed_newest_first_by_token_and_pool(fleet):
    for ordinal, (name, token) in enumerate([("a", "alice"), ("b", "bob"), ("c", "alice")]):
        await fleet.ready(ordinal)
        await fleet.claim(name, token=token)
    assert [live.session_id for live in await sessions.listing(fleet.db)] == ["c", "b", "a"]
    assert [live.session_id for live in await sessions.listing(fleet.db, limit=1, offset=1)] == ["b"]
    assert [live.session_id for live in await sessions.listing(fleet.db, token=TokenName("alice"))] == ["c", "a"]
    assert await sessions.listing(fleet.db, pools=[PoolName("another")]) == []
    await leases.release_all(fleet.db, holder=HolderId("router-1"))
    assert await sessions.listing(fleet.db) == []
    assert {past.session_id for past in await sessions.past(fleet.db, token=TokenName("alice"))} == {"a", "c"}
    assert len(await sessions.past(fleet.db, pools=[PoolName("default")], limit=2)) == 2


async def test_sessions_are_found_by_the_beginning_of_their_ids(fleet):
    for ordinal, name in enumerate(["bs-b", "bs-a", "bs", "bt-a", "Bs-a", "bs.a", "bs-"]):
        await fleet.ready(ordinal)
        await fleet.claim(name)
    assert [live.session_id for live in await sessions.prefixed(fleet.db, "bs-")] == ["bs-", "bs-a", "bs-b"]
    live = (await sessions.prefixed(fleet.db, "bs-b"))[0]
    assert dataclasses.replace(live, now=None) == dataclasses.replace(
        await sessions.live(fleet.db, live.session_id), now=None
    )
    assert live.started_at <= await sessions.moment(fleet.db)


async def test_a_forgotten_session_frees_its_id(fleet):
    await fleet.ready()
    claim = (await fleet.claim("s")).claim
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    assert await sessions.prune(fleet.db, older_than=60) == 0
    await fleet.sql("update sessions set ended_at = now() - interval '2 minutes'")
    assert await sessions.prune(fleet.db, older_than=60) == 1
    assert (await fleet.claim("s")).claim.fence == claim.fence + 1


async def test_browsers_are_counted_by_region_and_state(fleet):
    for ordinal in range(3):
        await fleet.ready(ordinal)
    await fleet.register(7, region="us")
    await fleet.claim("s")
    counted = {(count.region, count.state): count.number for count in await browsers.counts(fleet.db)}
    assert counted == {("eu", BrowserState.READY): 2, ("eu", BrowserState.CLAIMED): 1, ("us", BrowserState.STARTING): 1}
    assert await browsers.listing(fleet.db, pool=PoolName("another")) == []


async def test_a_region_lags_as_its_slowest_writer(database):
    await regions.ensure(database, [HERE, THERE])
    await regions.ensure(database, [HERE])
    await regions.record_lag(database, writer=HolderId("one"), lags={HERE: 0.25, THERE: 3.0})
    await regions.record_lag(database, writer=HolderId("two"), lags={HERE: 1.5})
    assert await regions.listing(database) == [
        RegionStatus(region=HERE, lag=1.5, stale=False, writers=2),
        RegionStatus(region=THERE, lag=3.0, stale=True, writers=1),
    ]
    await regions.withdraw(database, writer=HolderId("one"))
    assert [status.writers for status in await regions.listing(database)] == [1, 0]
    assert await regions.prune(database, older_than=-1) == 1


async def test_pools_come_back_as_they_were_put(database):
    manifest = {
        "metadata": {"name": "default", "generation": 3},
        "spec": {"replicas": 2, "sessions": {"keepAlive": "90s"}},
    }
    pool = BrowserPool.model_validate(manifest)
    await pools.put(database, pool)
    await pools.put(database, pool)
    assert [(kept.name, kept.spec, kept.metadata.generation) for kept in await pools.listing(database)] == [
        ("default", pool.spec, 3)
    ]
    assert await pools.remove(database, pool.name)
    assert not await pools.remove(database, pool.name)


async def test_a_pool_that_cannot_be_read_hides_no_other(fleet, caplog):
    await pools.put(fleet.db, BrowserPool.model_validate({"metadata": {"name": "good"}}))
    await fleet.sql("insert into pools (pool, generation, spec) values ('newer', 1, '{\"unheardOf\": 1}')")
    assert [pool.name for pool in await pools.listing(fleet.db)] == ["good"]
    assert "newer" in [record.pool for record in caplog.records if hasattr(record, "pool")]


@pytest.mark.parametrize("allowed", [None, frozenset(), frozenset({PoolName("a"), PoolName("b")})])
async def test_tokens_come_back_as_they_were_put(database, allowed):
    token = Token(
        name=TokenName("alice"),
        hash=credentials.hashed("secret"),
        pools=allowed,
        concurrency=3,
        rate_per_second=0.5,
        daily_seconds=600,
    )
    await tokens.put(database, token)
    assert await tokens.listing(database) == [token]
    assert await tokens.remove(database, token.name)
    assert await tokens.listing(database) == []


async def test_one_secret_cannot_be_two_tokens(database):
    await tokens.put(database, Token(name=TokenName("alice"), hash=b"same"))
    with pytest.raises(errors.Conflict):
        await tokens.put(database, Token(name=TokenName("bob"), hash=b"same"))
