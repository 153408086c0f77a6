"""When the batch writer writes, and what it answers when it cannot."""

import asyncio

import pytest

from browserpool import metrics
from browserpool.model import errors
from browserpool.model.heartbeats import Heartbeat
from browserpool.model.names import HolderId
from browserpool.model.sessions import Held
from browserpool.store import connect, heartbeats, leases

PATIENT = heartbeats.BatchSettings(max_batch_timeout=60.0, max_news_timeout=0.01)
"""Routine waits for the end of the test; news does not."""


async def test_news_does_not_wait_for_a_whole_batch(fleet):
    agent = await fleet.ready()
    async with heartbeats.BatchWriter(fleet.db, PATIENT) as writer, asyncio.timeout(30):
        assert (await writer.submit(agent.word())).known  # a sender that this writer had not heard of
        assert (await writer.submit(agent.word(healthy=False))).known
        assert (await writer.submit(agent.word(healthy=True))).known
        assert (await writer.submit(agent.word(clean_fence=agent.clean_fence + 1))).known


async def test_routine_waits_for_news_or_for_the_end(fleet):
    agent, another = await fleet.ready(0), await fleet.ready(1)
    async with heartbeats.BatchWriter(fleet.db, PATIENT) as writer:
        await writer.submit(agent.word())
        routine = asyncio.get_running_loop().create_task(writer.submit(agent.word()))
        await asyncio.sleep(0.1)
        assert not routine.done()
        await writer.submit(another.word())
        assert (await routine).known, "it went along with the other's news"
        last = asyncio.get_running_loop().create_task(writer.submit(agent.word()))
        await asyncio.sleep(0)
    assert (await last).known, "what waits is written when the writer closes"
    with pytest.raises(errors.Unavailable):
        await writer.submit(agent.word())


async def test_all_hear_of_a_store_that_is_away_and_the_lag_is_over(dsn):
    async with connect.opened(dsn, process="tests", deadline=0.3) as db:
        failed = metrics.BATCH_FAILED_ROWS._value.get()
        async with (
            db.pool.connection() as connection,
            connection.transaction(),
        ):  # somebody keeps the whole table to himself
            await connection.execute("lock table browsers in access exclusive mode")
            async with heartbeats.BatchWriter(db) as writer:
                word = {"incarnation": 1, "sequence": 1, "healthy": True, "clean_fence": 0}
                beats = [Heartbeat(browser_id=f"b{number}", **word) for number in range(3)]
                answers = await asyncio.gather(*(writer.submit(beat) for beat in beats), return_exceptions=True)
                assert [isinstance(answer, errors.Unavailable) for answer in answers] == [True] * 3, answers
                assert writer.lag() == 0
        assert metrics.BATCH_FAILED_ROWS._value.get() - failed == 3


async def test_a_client_that_leaves_takes_no_other_answer_with_it(fleet):
    agent = await fleet.ready()
    async with heartbeats.BatchWriter(fleet.db, PATIENT) as writer:
        await writer.submit(agent.word())
        loop = asyncio.get_running_loop()
        leaving, staying = (loop.create_task(writer.submit(agent.word())) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
    assert (await staying).known


async def test_writers_renewals_and_claims_on_the_same_rows_never_wait_in_a_circle(fleet):
    agents = [await fleet.ready(ordinal) for ordinal in range(40)]
    held = [(await fleet.claim(f"s{number}")).claim for number in range(20)]
    wanted = [Held(session_id=claim.session_id, fence=claim.fence) for claim in held]

    async def write(order):
        for _ in range(15):
            await heartbeats.write(fleet.db, [agent.word() for agent in order])

    async def renew(order):
        for _ in range(15):
            renewed = await leases.renew(fleet.db, holder=HolderId("router-1"), leases=order)
            assert renewed == {lease.session_id for lease in wanted}

    async def expire():
        for _ in range(15):
            assert await leases.expire(fleet.db) == []

    await asyncio.gather(
        write(agents), write(agents[::-1]), write(agents[::2]), renew(wanted), renew(wanted[::-1]), expire()
    )
    async with fleet.db.pool.connection() as connection:
        cursor = await connection.execute("select deadlocks from pg_stat_database where datname = current_database()")
        assert await cursor.fetchone() == (0,)
