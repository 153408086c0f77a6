"""Heartbeats: what they may change, what they may never, and how they are written together."""

import asyncio
import dataclasses
import random

import pytest

from browserpool.model import errors, states
from browserpool.model.claims import Outcome
from browserpool.model.names import RegionName
from browserpool.model.states import BrowserState as S
from browserpool.store import browsers, heartbeats, leases, regions
from support import waiting

SLOW = heartbeats.BatchSettings(max_batch_timeout=30.0, max_news_timeout=30.0)
"""Nothing is written unless a batch is full, or the writer closes."""


async def test_the_first_heartbeat_makes_a_browser_ready(fleet):
    agent = await fleet.greet(await fleet.register(0))
    assert (await fleet.claim("s")).outcome is Outcome.EMPTY
    assert (await agent.beat()).known
    assert (await fleet.claim("s")).outcome is Outcome.CLAIMED


async def test_a_recycled_browser_is_ready_only_when_clean_after_its_own_fence(fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=False)
    reply = await agent.beat()  # clean after the fence before
    assert (reply.recycle, reply.fence) == (True, claim.fence)
    assert (await fleet.row(agent.browser_id)).state is S.RECYCLING
    assert not (await agent.beat(clean_fence=claim.fence)).recycle
    assert (await fleet.row(agent.browser_id)).state is S.READY


async def test_no_heartbeat_late_doubled_or_reordered_hands_out_a_claimed_browser(fleet):
    agent = await fleet.ready(0)
    words = [agent.word() for _ in range(6)]
    claim = (await fleet.claim("s")).claim
    shuffled = words * 2
    random.Random(7).shuffle(shuffled)
    for word in shuffled:
        await heartbeats.write(fleet.db, [word])
    row = await fleet.row(agent.browser_id)
    assert (row.state, row.session_id, row.fence) == (S.CLAIMED, "s", claim.fence)
    assert (await fleet.claim("t")).outcome is Outcome.EMPTY


async def test_a_late_heartbeat_does_not_make_a_recycling_browser_ready(fleet):
    agent = await fleet.ready(0)
    late = agent.word()
    claim = (await fleet.claim("s")).claim
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=False)
    await heartbeats.write(fleet.db, [late])
    assert (await fleet.row(agent.browser_id)).state is S.RECYCLING


async def test_an_older_incarnation_is_told_to_stop_and_changes_nothing(fleet):
    old = await fleet.ready(0)
    new = await fleet.greet(old.browser_id)
    reply = await old.beat()
    assert not reply.known
    assert (await fleet.row(old.browser_id)).state is S.RECYCLING
    await new.beat()
    assert (await fleet.row(old.browser_id)).state is S.READY


async def test_an_agent_that_restarts_under_a_session_loses_it(fleet):
    agent = await fleet.ready(0)
    await fleet.claim("s")
    await fleet.greet(agent.browser_id)
    assert (await fleet.row(agent.browser_id)).state is S.RECYCLING
    assert (await fleet.claim("s")).outcome is Outcome.ENDED


@pytest.mark.parametrize("state", list(S))
async def test_heartbeats_change_states_as_the_table_says(fleet, state):
    agent = await fleet.ready(0)
    match state:
        case S.CLAIMED:
            await fleet.claim("s")
        case S.GONE:
            await browsers.forget(fleet.db, [agent.browser_id])
        case S.DRAINING:
            await browsers.drain(fleet.db, [agent.browser_id])
        case S.STARTING | S.RECYCLING:
            await fleet.sql("update browsers set state = %s::browser_state", state)
    fence = (await fleet.row(agent.browser_id)).fence
    reply = await agent.beat(clean_fence=fence)
    now = (await fleet.row(agent.browser_id)).state
    assert now is state or (state, now) in states.MADE_BY_HEARTBEATS
    assert reply.known is (state is not S.GONE)
    assert reply.drain is (state is S.DRAINING)


async def test_heartbeats_are_hot_updates(fleet):
    agents = [await fleet.ready(ordinal) for ordinal in range(20)]
    await fleet.sql("select pg_stat_force_next_flush()")
    before = await _updates(fleet)
    for _ in range(5):
        await heartbeats.write(fleet.db, [agent.word() for agent in agents])
    await fleet.sql("select pg_stat_force_next_flush()")
    after = await _updates(fleet)
    assert after[0] - before[0] == 100
    assert after[1] - before[1] >= 95, "an index stands on what heartbeats write"


async def _updates(fleet):
    async with fleet.db.pool.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        query = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'browsers'"
        return await (await connection.execute(query)).fetchone()


@pytest.mark.parametrize("fault", [{"browser_id": "nul\0byte"}, {"browser_id": "half \ud83d"}, {"memory_bytes": 2**63}])
async def test_a_row_that_cannot_be_held_does_not_fail_its_batch(fleet, fault):
    agents = [await fleet.ready(ordinal) for ordinal in range(7)]
    async with heartbeats.BatchWriter(fleet.db) as writer:
        bad = dataclasses.replace(agents[3].word(), **fault)
        words = [bad if agent is agents[3] else agent.word(load=4.0) for agent in agents]
        replies = await asyncio.gather(*(writer.submit(word) for word in words), return_exceptions=True)
    assert isinstance(replies[3], errors.InvalidRequest)
    assert all(reply.known for reply in replies[:3] + replies[4:])
    assert [row.load for row in await browsers.listing(fleet.db)] == [4, 4, 4, 0, 4, 4, 4]


ODD = ('a"b', '","', "a\\b", '\\"', "a,b", "{a}", "null", "", " a ", "a\nb", "\u00e9\U0001f600")


async def test_names_of_any_letters_are_told_apart(fleet):
    agents = [await fleet.ready(n) for n in range(2)]
    odd = [dataclasses.replace(agents[0].word(), browser_id=name) for name in ODD]
    for batch in ([*odd, *(agent.word(load=3.0) for agent in agents)], [agents[0].word(load=5.0)]):
        replies = await heartbeats.write(fleet.db, batch)
        known = {browser_id for (browser_id, _), reply in replies.items() if reply.known}
        assert replies.keys() == {(word.browser_id, word.incarnation) for word in batch}
        assert known == {word.browser_id for word in batch if word.browser_id not in ODD}
    assert [(await fleet.row(agent.browser_id)).load for agent in agents] == [5.0, 3.0]


async def test_a_full_batch_is_written_at_once(fleet):
    agents = [await fleet.ready(ordinal) for ordinal in range(4)]
    settings = heartbeats.BatchSettings(max_batch_size=4, max_batch_timeout=30.0, max_news_timeout=30.0)
    async with heartbeats.BatchWriter(fleet.db, settings) as writer, asyncio.timeout(10):
        replies = await asyncio.gather(*(writer.submit(agent.word()) for agent in agents))
    assert all(reply.known for reply in replies)


async def test_the_newest_of_one_sender_wins_and_all_its_senders_hear(fleet):
    agent = await fleet.ready(0)
    words = [agent.word(load=float(load)) for load in range(5)]
    async with heartbeats.BatchWriter(fleet.db, SLOW) as writer:
        waiting_for = [asyncio.get_running_loop().create_task(writer.submit(word)) for word in (*words[3:], *words[:3])]
        await asyncio.sleep(0)
    assert all(reply.known for reply in await asyncio.gather(*waiting_for))
    assert (await fleet.row(agent.browser_id)).load == 4


async def test_the_queue_is_bounded(fleet):
    agents = [await fleet.ready(ordinal) for ordinal in range(3)]
    settings = heartbeats.BatchSettings(max_batch_timeout=30.0, max_news_timeout=30.0, queue_limit=2)
    async with heartbeats.BatchWriter(fleet.db, settings) as writer:
        accepted = [asyncio.get_running_loop().create_task(writer.submit(agent.word())) for agent in agents[:2]]
        await asyncio.sleep(0)
        with pytest.raises(errors.TooManyRequests) as refusal:
            await writer.submit(agents[2].word())
        assert 1 <= refusal.value.retry_after <= 60
    assert all(reply.known for reply in await asyncio.gather(*accepted))


async def test_lag_is_the_age_of_the_oldest_unwritten_heartbeat_and_makes_the_region_stale(fleet):
    agent = await fleet.ready(0)
    now = 100.0
    settings = heartbeats.BatchSettings(max_batch_timeout=60.0, max_news_timeout=60.0, lag_interval=0.02)
    region = RegionName("eu")
    await regions.ensure(fleet.db, [region])

    async def stale():
        return (await regions.listing(fleet.db))[0].stale

    async with heartbeats.BatchWriter(fleet.db, settings, regions=[region], monotonic=lambda: now) as writer:
        assert writer.lag() == 0
        task = asyncio.get_running_loop().create_task(writer.submit(agent.word()))
        await asyncio.sleep(0)
        now += 2.5
        assert writer.lag() == 2.5
        await waiting.until(stale)
        assert (await fleet.claim("s")).outcome is Outcome.STALE
    assert (await task).known
    assert not await stale(), "a writer that stopped no longer counts"


async def test_a_writer_outlives_a_restart_of_postgres(postgres_server, fleet):
    agent = await fleet.ready(0)
    async with heartbeats.BatchWriter(fleet.db) as writer:
        assert (await writer.submit(agent.word())).known
        await asyncio.to_thread(postgres_server.restart, "fast")

        async def written():
            try:
                return (await writer.submit(agent.word())).known
            except errors.Unavailable:
                return False

        assert await waiting.until(written, deadline=30)
