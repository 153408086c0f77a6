"""The pool of connections: faults become errors of ours, in bounded time, and leave the pool as good as before."""

import asyncio
import contextlib
import dataclasses
import pathlib
import re

import pytest

from browserpool.lib import clock, tasks
from browserpool.model import errors
from browserpool.store import browsers, connect, leases, migrate, pools, queries, sessions
from support import fleet as fleets
from support import postgres, waiting

TOPICS = ("browsers", "leases", "sessions", "heartbeats", "regions", "pools", "tokens", "migrations")
SLEEP = b"select pg_sleep(%(seconds)s)::text as slept"


def slept(*, slept: str) -> str:
    return slept


async def test_a_statement_over_its_deadline_is_unavailable_and_the_pool_stays_good(dsn):
    async with connect.opened(dsn, process="tests", max_size=1, deadline=0.3) as db:
        for _ in range(3):
            with pytest.raises(errors.Unavailable) as refusal:
                await connect.fetch(db, SLEEP, {"seconds": 30}, into=slept)
            assert 1 <= refusal.value.retry_after <= 60
        assert await browsers.listing(db) == []


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57014"])
async def test_what_others_keep_a_statement_from_is_contention(database, sqlstate):
    raised = f"do $$ begin raise exception 'others' using errcode = '{sqlstate}'; end $$"
    with pytest.raises(errors.Contended, match="others"):
        await connect.execute(database, raised.encode(), {})


async def test_a_cancelled_statement_leaves_the_pool_good(dsn):
    async with connect.opened(dsn, process="tests", max_size=1) as db:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connect.fetch(db, SLEEP, {"seconds": 30}, into=slept)
            assert await browsers.listing(db) == []


async def test_a_server_ends_a_statement_that_nobody_waits_for(dsn):
    asleep = b"select count(*) as asleep from pg_stat_activity where query = %(query)s and state = 'active'"

    async def sleepers():
        found = await connect.fetch_one(db, asleep, {"query": "select pg_sleep(600)"}, into=dict)
        return found["asleep"]

    async with connect.opened(dsn, process="tests", deadline=600) as db, tasks.Background() as background:
        work = background.spawn(connect.execute(db, b"select pg_sleep(600)", {}), name="sleep")
        await waiting.until(lambda: is_(sleepers, 1))
        work.cancel()
        await waiting.until(lambda: is_(sleepers, 0))


async def is_(ask, wanted):
    return await ask() == wanted


async def test_more_statements_than_connections_wait_their_turn(dsn):
    async with connect.opened(dsn, process="tests", max_size=2) as db:
        answers = await asyncio.gather(*(connect.fetch(db, SLEEP, {"seconds": 0.01}, into=slept) for _ in range(40)))
    assert len(answers) == 40


async def test_who_gets_none_of_the_connections_in_time_is_told_that_all_are_in_use(dsn):
    async with connect.opened(dsn, process="tests", max_size=2, deadline=60) as opened, postgres.held(dsn, "pools"):
        hurried = dataclasses.replace(opened, deadline=0.5)
        async with tasks.Background() as background:
            waiting_ = [background.spawn(pools.listing(opened), name="waits") for _ in range(2)]
            await waiting.until(lambda: opened.use.taken == 2)
            with pytest.raises(errors.AllInUse, match="All 2 connections") as refusal:
                await browsers.listing(hurried)
            assert 1 <= refusal.value.retry_after <= 60
            for one in waiting_:
                one.cancel()
            await asyncio.wait(waiting_)
        assert await browsers.listing(hurried) == []


@pytest.mark.parametrize("how", ["away", "hung"])
async def test_connections_that_a_server_does_not_give_are_not_in_use(postgres_server, dsn, how):
    async with connect.opened(dsn, process="tests", max_size=2, deadline=1.0) as opened, opened.pool.connection():
        hurried = dataclasses.replace(opened, repeat=False)
        with postgres_server.hung() if how == "hung" else stopped(postgres_server):
            for _ in range(3):
                with pytest.raises(errors.Unavailable) as refusal:
                    await browsers.listing(hurried)
                assert not isinstance(refusal.value, errors.Contended)


async def test_a_server_that_hangs_holds_up_nobody_longer_than_the_deadline(hanging):
    with postgres.clone(hanging) as dsn:
        async with connect.opened(dsn, process="tests", deadline=1.0) as db:
            await browsers.listing(db)
            with hanging.hung():
                began = clock.monotonic()
                with pytest.raises(errors.Unavailable):
                    await browsers.listing(db)
                assert clock.monotonic() - began < 5.0, "telling it that it need not go on would have taken ten seconds"


async def test_a_process_that_stops_waits_once_for_a_server_that_hangs(hanging):
    budget = tasks.Budget()
    with postgres.clone(hanging) as dsn:
        async with (
            connect.opened(dsn, process="tests", budget=budget, deadline=1.0) as db,
            tasks.Background() as background,
        ):
            await browsers.listing(db)
            patient = dataclasses.replace(db, deadline=600)
            with hanging.hung():
                budget.begin(600)
                waits = background.spawn(errors_of(browsers.listing(patient)), name="waits")
                await waiting.until(lambda: db.use.taken == 1)
                assert isinstance(await errors_of(browsers.listing(db)), errors.Unavailable)
                # Whoever waited beside it, and whoever asks now: neither waits for a deadline of his own.
                assert isinstance(await waits, errors.Unavailable)
                with pytest.raises(errors.Unavailable, match="waits for the database no longer"):
                    await browsers.listing(patient)


async def test_a_process_that_stops_gives_up_no_server_that_answers(dsn):
    budget = tasks.Budget()
    async with connect.opened(dsn, process="tests", budget=budget) as db:
        budget.begin(600)
        for _ in range(3):
            with pytest.raises(errors.Unavailable):
                await connect.fetch(dataclasses.replace(db, deadline=0.3), SLEEP, {"seconds": 30}, into=slept)
            assert await browsers.listing(db) == []


async def test_a_process_that_stops_gives_up_no_server_for_one_statement_that_waits_for_others(dsn):
    budget = tasks.Budget()
    # Without a word of the server's own on what takes too long.
    async with (
        connect.opened(dsn, process="tests", budget=budget, prepare=False) as db,
        tasks.Background() as background,
    ):
        budget.begin(600)
        async with postgres.held(dsn, "pools"):
            waits = background.spawn(errors_of(pools.listing(db)), name="waits")
            while not waits.done():
                assert await browsers.listing(db) == []
            assert isinstance(waits.result(), errors.Unavailable)
            assert await browsers.listing(db) == []


async def test_a_process_whose_time_is_up_asks_no_more(dsn):
    budget = tasks.Budget()
    async with connect.opened(dsn, process="tests", budget=budget) as db:
        budget.begin(0)
        with pytest.raises(errors.Unavailable, match="stops"):
            await browsers.listing(db)


async def errors_of(asked):
    try:
        await asked
    except errors.BrowserpoolError as error:
        return error
    return None


@contextlib.contextmanager
def stopped(server):
    server.stop()
    try:
        yield
    finally:
        server.start()


async def test_behind_a_transaction_pooler_nothing_is_prepared(dsn):
    async with connect.opened(dsn, process="tests", prepare=False) as db:
        fleet = fleets.Fleet(db)
        await fleet.ready()
        claim = (await fleet.claim("s")).claim
        await leases.release(db, session_id=claim.session_id, fence=claim.fence, clean=True)
        async with db.pool.connection() as connection:
            cursor = await connection.execute("select count(*) from pg_prepared_statements")
            assert await cursor.fetchone() == (0,)


async def test_a_postgres_that_restarts_is_no_fault_if_it_is_back_within_the_deadline(postgres_server, dsn):
    async with connect.opened(dsn, process="tests", max_size=4, deadline=20) as db:
        fleet = fleets.Fleet(db)
        await fleet.ready()
        claim = (await fleet.claim("s")).claim
        for mode in ("fast", "immediate"):
            # The pool holds several connections, and all of them break.
            await asyncio.gather(*(connect.fetch(db, SLEEP, {"seconds": 0.1}, into=slept) for _ in range(4)))
            await asyncio.to_thread(postgres_server.restart, mode)
            alive = await asyncio.gather(*(sessions.live(db, claim.session_id) for _ in range(8)))
            assert {session.fence for session in alive} == {claim.fence}, "no lease was lost"


async def test_who_has_an_alternative_is_told_of_a_broken_connection_at_once(postgres_server, dsn):
    async with connect.opened(dsn, process="tests", max_size=1, deadline=60) as db:
        hurried = dataclasses.replace(db, repeat=False)
        assert await browsers.listing(hurried) == []
        await asyncio.to_thread(postgres_server.restart, "immediate")
        with pytest.raises(errors.Unavailable, match="cannot answer now"):
            await browsers.listing(hurried)
        assert await browsers.listing(db) == []


async def test_a_postgres_that_is_away_is_unavailable_until_it_is_back(postgres_server, dsn):
    async with connect.opened(dsn, process="tests", deadline=0.5) as db:
        await browsers.listing(db)
        await asyncio.to_thread(postgres_server.stop)
        try:
            start = clock.monotonic()
            for _ in range(3):
                with pytest.raises(errors.Unavailable) as refusal:
                    await browsers.listing(db)
                assert 1 <= refusal.value.retry_after <= 60
            assert clock.monotonic() - start < 30
        finally:
            await asyncio.to_thread(postgres_server.start)

        async def answers():
            try:
                return await browsers.listing(db) == []
            except errors.Unavailable:
                return False

        await waiting.until(answers, deadline=20)


async def test_the_clock_of_this_process_decides_nothing(fleet, monkeypatch):
    def stopped():
        raise AssertionError("the store asked this process for the time of day")

    monkeypatch.setattr(clock, "wall", stopped)
    agent = await fleet.ready()
    claim = (await fleet.claim("s", keep_alive=60.0)).claim
    assert (claim.expires_at - claim.now).total_seconds() == 60
    assert await leases.expire(fleet.db) == []
    await fleet.sql("update browsers set lease_expires_at = now() - interval '1 millisecond'")
    assert [ended.browser_id for ended in await leases.expire(fleet.db)] == [agent.browser_id]


async def test_a_process_may_require_the_schema(database):
    await migrate.require(database)


def test_every_statement_has_its_own_name_and_one_end():
    for topic in TOPICS:
        statements = queries.topic(topic)
        text = queries.text(f"{topic}.sql")
        assert statements, topic
        assert text.count("-- name: ") == len(statements), f"{topic}: a name stands twice"
        for name, statement in statements.items():
            code = re.sub(rb"--.*", b"", statement).strip()
            assert code.count(b";") == 1, f"{topic}.{name}"
            assert code.endswith(b";"), f"{topic}.{name}"


def test_every_statement_is_used():
    folder = pathlib.Path(queries.__file__).parent
    for topic in TOPICS:
        module = folder / ("migrate.py" if topic == "migrations" else f"{topic}.py")
        unused = [name for name in queries.topic(topic) if f'"{name}"' not in module.read_text()]
        assert not unused, topic
