"""Databases of regions: one session id has one browser, and one that is in trouble disturbs nobody else."""

import asyncio
import contextlib
import dataclasses
import pathlib

import psycopg
import pytest

from browserpool.lib import clock, tasks
from browserpool.model import errors, sessions
from browserpool.model.claims import Outcome
from browserpool.model.names import HOME, DatabaseName
from browserpool.store import claims, connect, databases, everywhere, leases, migrate, pools
from browserpool.store import sessions as stored
from support import fleet as fleets
from support import postgres, waiting

EU = DatabaseName("eu-db/dsn")
AT_ONCE = 6.0
"""Seconds, generous, for an answer that is due in one; psycopg takes ten to call off a statement of a server that hangs."""


@dataclasses.dataclass(kw_only=True)
class Two:
    """The installation's own database and region eu's, which is on ``server``."""

    all: databases.Databases
    home: fleets.Fleet
    eu: fleets.Fleet
    dsn: str
    server: postgres.Server

    async def away(self) -> None:
        await waiting.until(self.all.away, deadline=20)

    async def back(self) -> None:
        await waiting.until(lambda: not self.all.away(), deadline=30)


@pytest.fixture(scope="module")
def eu_server():
    with postgres.server(**postgres.FAST) as server:
        postgres.make_template(server)
        yield server


def opening(directory: pathlib.Path, **more) -> databases.Opening:
    return databases.Opening(directory=str(directory), process="tests", **more)


@pytest.fixture
async def two(database, eu_server, tmp_path):
    with postgres.clone(eu_server) as dsn:
        (tmp_path / "eu-db").mkdir()
        (tmp_path / "eu-db" / "dsn").write_text(dsn)
        async with connect.opened(dsn, process="tests") as eu:
            stores = databases.Databases(database, opening(tmp_path))
            stores.follow([EU])
            await stores.tried(within=10)
            yield Two(all=stores, home=fleets.Fleet(database), eu=fleets.Fleet(eu), dsn=dsn, server=eu_server)
            await stores.close()


MOVING = {"databases": (HOME, EU), "backup_databases": (HOME,)}
SPILLS = {
    "backup": "us",
    "spill_when_empty": True,
    "spill_when_stale": True,
    "databases": (EU,),
    "backup_databases": (HOME,),
}


@pytest.fixture
def lost(monkeypatch):
    """The answer to the first claim in region eu's database is lost on its way; the claim is made."""
    real, done = leases.claim, []

    async def claim(db, request, **more):
        answer = await real(db, request, **more)
        if not done and request.region == "eu":
            done.append(answer)
            raise errors.Unavailable("the connection broke after the commit")
        return answer

    monkeypatch.setattr(leases, "claim", claim)


# ---------------------------------------------------------------- one id, one browser
async def test_an_id_has_one_browser_though_its_region_moves_and_has_no_backup(two):
    await two.eu.ready()
    request = fleets.request("bs-one", **MOVING)
    first = (await claims.claim(two.all, request)).answer
    assert (first.outcome, first.claim.database) == (Outcome.CLAIMED, EU)
    await two.home.ready(1)
    again = (await claims.claim(two.all, request)).answer
    assert (again.outcome, again.claim.database) == (Outcome.REPEATED, EU)
    assert again.claim.fence == first.claim.fence
    await leases.release(two.eu.db, session_id="bs-one", fence=first.claim.fence, clean=True)
    assert (await claims.claim(two.all, request)).answer.outcome is Outcome.ENDED


async def test_after_an_answer_was_lost_no_other_database_is_asked_while_that_one_is_away(two, lost):
    await two.eu.ready()
    await two.home.ready(region="us")
    request = fleets.request("bs-two", **SPILLS)
    with pytest.raises(claims.Unanswered) as unanswered:
        await claims.claim(two.all, request)
    assert unanswered.value.unsure == ((EU, "bs-two"),)
    # Suspected by the claim that it gave no answer to: it is away at this very moment.
    with pytest.raises(claims.Unanswered) as unanswered:
        await claims.claim(two.all, request, doubtful={EU})
    assert unanswered.value.unsure == ((EU, "bs-two"),)
    assert await stored.live(two.home.db, "bs-two") is None
    await two.back()
    answer = (await claims.claim(two.all, request, doubtful={EU})).answer
    assert (answer.outcome, answer.claim.database) == (Outcome.REPEATED, EU)
    assert await stored.live(two.home.db, "bs-two") is None


async def test_who_was_never_asked_for_in_a_database_that_is_away_spills(two):
    await two.eu.ready()
    await two.home.ready(region="us")
    two.all.suspect(EU, errors.Unavailable("no answer"))
    answer = (await claims.claim(two.all, fleets.request("bs-three", **SPILLS))).answer
    assert (answer.outcome, answer.claim.database) == (Outcome.CLAIMED, HOME)


async def test_one_that_hangs_is_found_out_before_anything_is_claimed_in_it(two):
    await two.eu.ready()
    await two.home.ready(region="us")
    with two.server.hung():
        claimed = await claims.claim(two.all, fleets.request("bs-four", **SPILLS))
    assert (claimed.answer.claim.database, claimed.unsure) == (HOME, ())
    await two.back()
    assert await stored.live(two.eu.db, "bs-four") is None


# ---------------------------------------------------------------- lists
async def listed(two):
    """Ten live sessions, in turn of either database; some of either began at the same moment."""
    for number in range(10):
        of = (two.home, two.eu)[number % 2]
        await of.ready(number)
        await of.claim(f"s-{number}")
    for of in (two.home, two.eu):
        await of.sql(
            "update browsers set state_since = '2020-01-01'::timestamptz + interval '1 day' * (right(session_id, 1)::int / 4)"
        )
    return everywhere.listing


async def ended(two):
    """The same, which are over."""
    await listed(two)
    for of in (two.home, two.eu):
        await leases.release_all(of.db, holder=fleets.HOLDER)
        await of.sql(
            "update sessions set ended_at = '2020-01-01'::timestamptz + interval '1 day' * (right(session_id, 1)::int / 4)"
        )
    return everywhere.past


@pytest.mark.parametrize("prepared", [listed, ended])
@pytest.mark.parametrize("size", [1, 3, 4, 10])
async def test_pages_of_several_databases_are_one_list_in_the_order_of_one_databases(two, prepared, size):
    listing = await prepared(two)
    pages = [await listing(two.all, limit=size, offset=offset) for offset in range(0, 10, size)]
    found = [one.session_id for page in pages for one in page]
    assert found == [f"s-{number}" for number in (8, 9, 4, 5, 6, 7, 0, 1, 2, 3)]
    of_one = [one.session_id for one in await listing(databases.Databases(two.eu.db))]
    assert of_one == [one for one in found if one in of_one]


# ---------------------------------------------------------------- read-only
@contextlib.asynccontextmanager
async def read_only(two):
    """As after a failover that left this server behind: who connects from now on can write nothing."""
    name = psycopg.conninfo.conninfo_to_dict(two.dsn)["dbname"]

    async def to(verb, value=""):
        async with await psycopg.AsyncConnection.connect(two.server.dsn(), autocommit=True) as connection:
            await connection.execute(f"alter database {name} {verb} default_transaction_read_only{value}".encode())
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
            )

    await to("set", " = on")
    try:
        yield
    finally:
        await to("reset")


async def test_a_database_that_takes_no_writes_is_away_until_it_does(two):
    async with read_only(two):

        async def said():
            return "takes no writes" in two.all.away().get(EU, "")

        await waiting.until(said, deadline=20)
    await two.back()
    assert await stored.writable(two.all.of(EU))


async def test_a_claim_in_a_database_that_takes_no_writes_spills(two):
    await two.eu.ready()
    await two.home.ready(region="us")
    ids = iter(["anew"])
    async with read_only(two):
        request = fleets.request("s", **SPILLS)
        answer = (await claims.claim(two.all, request, fresh_id=lambda: next(ids))).answer
    assert (answer.outcome, answer.claim.database) == (Outcome.CLAIMED, HOME)


async def test_a_database_that_takes_no_writes_disturbs_no_other(two):
    await two.eu.ready()
    await two.home.ready(region="us")
    claimed = [(await two.eu.claim("there")).claim, (await two.home.claim("here", region="us")).claim]
    held = [
        sessions.Held(session_id=one.session_id, fence=one.fence, database=name)
        for one, name in zip(claimed, (EU, HOME), strict=True)
    ]
    async with read_only(two):
        renewed = await everywhere.renew(two.all, holder=fleets.HOLDER, leases_=held)
        assert (renewed.sessions, set(renewed.away)) == ({"here"}, {EU})
        ended = await everywhere.each(two.all, lambda _, db: leases.expire(db))
        assert HOME in dict(ended)


async def test_a_statement_that_may_not_write_is_unavailable_and_its_connection_is_not_kept(dsn):
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    async with connect.opened(f"{dsn} options='-c default_transaction_read_only=on'", process="t", prepare=False) as db:
        assert not await stored.writable(db)
        with pytest.raises(errors.Unavailable, match="read-only"):
            await connect.execute(db, b"delete from sessions", {})
    async with connect.opened(dsn, process="tests", max_size=1) as db, postgres.connected(dsn) as other:
        assert await stored.writable(db)
        await connect.execute(db, b"set default_transaction_read_only = on", {})
        assert not await stored.writable(db)
        with pytest.raises(errors.Unavailable, match="read-only"):
            await connect.execute(db, b"delete from sessions", {})
        assert await stored.writable(db), "this is another connection"
        await other.execute(f"comment on database {name} is 'still there'".encode())


@pytest.mark.parametrize("where", ["home", "region"])
async def test_a_fault_of_one_databases_is_told_of_the_installations_own_alone(two, where):
    async def ask(name, _):
        if (name == HOME) == (where == "home"):
            raise errors.BrowserpoolError("refused")
        return 7

    if where == "home":
        with pytest.raises(errors.BrowserpoolError, match="refused"):
            await everywhere.each(two.all, ask)
    else:
        assert await everywhere.each(two.all, ask) == [(HOME, 7)]
    assert not two.all.away(), "that was no outage"


# ---------------------------------------------------------------- one that hangs
async def test_one_that_hangs_holds_up_nobody_longer_than_the_deadline(two):
    await two.eu.ready()
    await two.home.ready(region="us")
    with two.server.hung():
        began = clock.monotonic()
        ids = iter(["anew"])
        claimed = await claims.claim(two.all, fleets.request("s", **SPILLS), fresh_id=lambda: next(ids))
        assert claimed.answer.claim.database == HOME
        assert clock.monotonic() - began < AT_ONCE
    await two.back()


async def test_a_lookup_waits_for_one_that_hangs_no_longer_than_the_deadline(two):
    db = dataclasses.replace(two.all.of(EU), deadline=1.0)
    with two.server.hung():
        began = clock.monotonic()
        with pytest.raises(errors.Unavailable):
            await stored.live(db, "s")
        assert clock.monotonic() - began < AT_ONCE
    await two.back()


async def test_a_server_that_hung_leaves_no_connection_of_the_pool_behind(eu_server):
    with postgres.clone(eu_server) as dsn:
        async with connect.opened(dsn, process="tests", max_size=1, deadline=30.0) as opened:
            hurried = dataclasses.replace(opened, deadline=1.0, repeat=False)
            for _ in range(2):
                with eu_server.hung(), pytest.raises(errors.Unavailable):
                    await stored.moment(hurried)
            await stored.moment(opened)
            await waiting.until(lambda: not len(opened.background), deadline=20)
            assert opened.pool.get_stats()["pool_size"] == 1


# ---------------------------------------------------------------- suspicion
async def test_contention_makes_no_database_suspect(two, monkeypatch, tmp_path):
    await two.eu.ready()

    async def conflict(*_, **__):
        raise errors.Conflict("another claim of this id has won")

    with monkeypatch.context() as patched:
        patched.setattr(connect, "fetch_one", conflict)
        with pytest.raises(errors.Unavailable, match="claimed and released by others"):
            await claims.claim(two.all, fleets.request("s", databases=(EU,)), fresh_id=lambda: "anew")
    assert not two.all.away()
    async with hurried(two, tmp_path) as stores:
        assert await everywhere.each(stores, _slow) == [(HOME, None)]
        assert not stores.away()


async def _slow(name, db):
    """What a server gives up by itself."""
    if name != HOME:
        with pytest.raises(errors.Contended):
            await connect.execute(db, b"select pg_sleep(60)", {})
        await connect.execute(db, b"select pg_sleep(60)", {})


@contextlib.asynccontextmanager
async def hurried(two, tmp_path, **more):
    """The same databases once more; statements in region eu's may take a second, if nothing else is said."""
    stores = databases.Databases(two.home.db, opening(tmp_path, **{"deadline": 1.0} | more))
    stores.follow([EU])
    try:
        await stores.tried(within=10)
        yield stores
    finally:
        await stores.close()


async def test_a_lookup_that_others_hold_up_makes_no_database_suspect(two, tmp_path):
    async with hurried(two, tmp_path) as stores, tasks.Background() as background, postgres.held(two.dsn, "browsers"):
        with pytest.raises(everywhere.Unseen):
            await everywhere.session(stores, "s", background=background)
        assert not stores.away()


async def test_a_recording_that_others_hold_up_is_not_told_to_be_none(two, tmp_path):
    async with hurried(two, tmp_path) as stores, postgres.held(two.dsn, "recordings"):
        with pytest.raises(everywhere.Unseen):
            await everywhere.recording(stores, "s")
        assert not stores.away()


@contextlib.asynccontextmanager
async def all_in_use(two, tmp_path):
    """Region eu's has one connection, and a statement on it that waits for somebody else."""
    async with (
        hurried(two, tmp_path, max_size=1, deadline=60.0) as stores,
        tasks.Background() as background,
        postgres.held(two.dsn, "pools"),
    ):
        db = stores.of(EU)
        statement = background.spawn(pools.listing(db), name="waits")
        await waiting.until(lambda: db.use.taken)
        try:
            yield stores
        finally:
            statement.cancel()
            await asyncio.wait({statement})


async def test_a_database_is_not_away_while_all_connections_to_it_are_in_use(two, tmp_path, monkeypatch):
    await two.home.ready(region="us")
    real, found = databases._trouble, []

    async def trouble(db, dsn):
        found.append((db.pool, await real(db, dsn)))
        return found[-1][1]

    monkeypatch.setattr(databases, "_trouble", trouble)
    monkeypatch.setattr(databases, "PROBE_EVERY", 0.1)
    async with all_in_use(two, tmp_path) as stores:
        pool = stores.of(EU).pool
        began = clock.monotonic()
        claimed = await claims.claim(stores, fleets.request("s", **SPILLS), fresh_id=lambda: "anew")
        assert clock.monotonic() - began < AT_ONCE
        assert not stores.away()
        assert (claimed.answer.claim.database, claimed.unsure) == (HOME, ((EU, "s"),))
        found.clear()
        # The first may have begun before.
        await waiting.until(lambda: len([why for of, why in found if of is pool]) > 2, deadline=30)
        assert not [why for of, why in found if of is pool and why]


async def test_one_that_hangs_is_found_out_though_all_connections_to_it_are_in_use(two, tmp_path):
    async with all_in_use(two, tmp_path) as stores:
        with two.server.hung():
            await waiting.until(stores.away, deadline=30)
        await waiting.until(lambda: not stores.away(), deadline=30)
    await two.back()


async def test_a_database_that_broke_under_a_claim_is_suspect(two):
    await asyncio.to_thread(two.server.stop, "immediate")
    try:
        with pytest.raises(claims.Unanswered):
            await claims.claim(two.all, fleets.request("s", databases=(EU,)), fresh_id=lambda: "anew")
        assert EU in two.all.away()
    finally:
        await asyncio.to_thread(two.server.start)
    await two.back()


# ---------------------------------------------------------------- looking after them
@contextlib.asynccontextmanager
async def looked_after(database, dsn, tmp_path, prepare):
    (tmp_path / "eu-db").mkdir()
    (tmp_path / "eu-db" / "dsn").write_text(dsn)
    stores = databases.Databases(database, opening(tmp_path), prepare=prepare)
    stores.follow([EU])
    try:
        yield stores
    finally:
        await stores.close()


async def test_a_fault_in_making_one_ready_is_not_its_last_attempt(database, dsn, tmp_path, caplog):
    attempts = []

    async def prepare(dsn, db):
        attempts.append(dsn)
        if len(attempts) == 1:
            raise ValueError("a fault of ours")
        await migrate.require(db)

    async with looked_after(database, dsn, tmp_path, prepare) as stores:
        await stores.tried(within=20)
        assert "the log says what" in stores.away()[EU]
        await waiting.until(lambda: not stores.away(), deadline=20)
    assert "a fault of ours" in caplog.text


async def test_one_that_cannot_be_made_ready_in_time_is_tried_again(database, dsn, tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "PREPARE_DEADLINE", 0.5)
    attempts = []

    async def prepare(dsn, _):
        attempts.append(dsn)
        if len(attempts) == 1:
            await asyncio.Event().wait()

    async with looked_after(database, dsn, tmp_path, prepare) as stores:
        await stores.tried(within=20)
        assert "within 0.5 s" in stores.away()[EU]
        await waiting.until(lambda: not stores.away(), deadline=20)


def test_without_a_directory_no_file_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eu-db").mkdir()
    (tmp_path / "eu-db" / "dsn").write_text("host=somewhere")
    assert databases.connection_string(EU, str(tmp_path)) == "host=somewhere"
    with pytest.raises(errors.Unavailable, match="BROWSERPOOL_SECRETS_DIR"):
        databases.connection_string(EU, "")
