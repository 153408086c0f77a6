"""Evictions against a real store: what may go at once, what waits, and what happens while nobody can say."""

import asyncio

import pytest

from browserpool.controller.desired import labels
from browserpool.controller.webhooks import eviction, review
from browserpool.model import errors
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect, databases, leases
from support import controllers, postgres
from support import fleet as fleets

NAMESPACE = "browsers"
BROWSER = "default-eu-0"


class Pods:
    """The pods of the namespace: labels and annotations by name, or why nobody can say."""

    def __init__(self, **named):
        self.named = {name: {"labels": marks} for name, marks in named.items()}
        self.trouble = None

    async def metadata(self, name):
        if self.trouble is not None:
            raise self.trouble
        if name not in self.named:
            raise errors.NotFound(f"no pod {name}")
        return self.named[name]


@pytest.fixture
def fleet(database):
    return fleets.Fleet(database)


@pytest.fixture
def pods():
    return Pods(**{BROWSER: dict(labels.OURS), "browserpool-database-0": {labels.COMPONENT: "database"}})


@pytest.fixture
def guard(database, pods):
    return eviction.Guard(stores=lambda: databases.Databases(database), pods=pods, namespace=NAMESPACE)


def asked(name=BROWSER, *, namespace=NAMESPACE, dry_run=False, named_by_object=False, **object_):
    return review.asked(
        {
            "request": {
                "uid": "u1",
                "namespace": namespace,
                "name": "" if named_by_object else name,
                "operation": "CREATE",
                "dryRun": dry_run,
                "object": {"kind": "Eviction", "metadata": {"name": name, "namespace": namespace}, **object_},
            }
        }
    )


async def state(fleet):
    return (await fleet.row(BROWSER)).state


@pytest.mark.parametrize("named_by_object", [False, True])
async def test_a_free_browser_is_drained_and_may_go(fleet, guard, named_by_object):
    await fleet.ready()
    answer = await guard.decide(asked(named_by_object=named_by_object))
    assert (answer.allowed, answer.outcome) == (True, "drained")
    assert await state(fleet) is BrowserState.DRAINING
    assert (await fleet.claim("late")).claim is None


async def test_a_held_browser_stays_until_its_session_ends_and_takes_no_other(fleet, guard):
    await fleet.ready()
    claim = (await fleet.claim("s")).claim
    for _ in range(2):
        answer = await guard.decide(asked())
        assert (answer.allowed, answer.code, answer.reason) == (False, 429, "TooManyRequests")
        assert BROWSER in answer.message
        assert "held by a session" in answer.message
        row = await fleet.row(BROWSER)
        assert (row.state, row.drain_requested) == (BrowserState.CLAIMED, True)
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    assert (await guard.decide(asked())).allowed
    assert await state(fleet) is BrowserState.DRAINING


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("said", [{"dry_run": True}, {"deleteOptions": {"dryRun": ["All"]}}])
async def test_a_dry_run_says_the_same_and_drains_nothing(fleet, guard, claimed, said):
    await fleet.ready()
    if claimed:
        await fleet.claim("s")
    before = await fleet.row(BROWSER)
    assert (await guard.decide(asked(**said))).allowed is not claimed
    after = await fleet.row(BROWSER)
    assert (after.state, after.drain_requested) == (before.state, False)


async def test_claims_and_evictions_at_the_same_moment_never_both_win(fleet, guard):
    for ordinal in range(12):
        await fleet.ready(ordinal)
    names = [f"default-eu-{ordinal}" for ordinal in range(12)]
    claims, answers = await asyncio.gather(
        asyncio.gather(*(fleet.claim(f"s{n}") for n in range(12))),
        asyncio.gather(*(guard.decide(asked(name)) for name in names)),
    )
    held = {answer.claim.browser_id for answer in claims if answer.claim}
    gone = {name for name, answer in zip(names, answers, strict=True) if answer.allowed}
    assert held.isdisjoint(gone)
    assert held | gone == set(names)


@pytest.mark.parametrize(
    "request_", [asked("somebody-else"), asked(namespace="elsewhere"), asked("browserpool-database-0"), asked("")]
)
async def test_what_is_no_browser_of_ours_is_none_of_its_business(fleet, guard, request_):
    await fleet.ready()
    assert await guard.decide(request_) == review.Answer(outcome="not_ours")
    assert await state(fleet) is BrowserState.READY


async def test_the_pod_of_a_forgotten_browser_may_go(fleet, guard):
    await fleet.ready()
    await browsers.forget(fleet.db, [BROWSER])
    assert await guard.decide(asked()) == review.Answer(outcome="not_ours")


class TestWithoutTheStore:
    """Its Postgres is stopped under the guard."""

    @pytest.fixture
    async def stopped(self, dsn, fleet, pods):
        await fleet.ready()
        async with connect.opened(dsn, process="guard", deadline=1.0) as db:
            await db.pool.close()
            yield eviction.Guard(stores=lambda: databases.Databases(db), pods=pods, namespace=NAMESPACE)

    async def test_a_browser_stays(self, stopped):
        answer = await stopped.decide(asked())
        assert (answer.allowed, answer.code, answer.outcome) == (False, 429, "store_unavailable")
        assert "database cannot say" in answer.message

    async def test_the_databases_own_pod_may_go(self, stopped):
        assert (await stopped.decide(asked("browserpool-database-0"))).allowed

    async def test_a_pod_that_is_gone_may_go(self, stopped):
        assert (await stopped.decide(asked("default-eu-7"))).allowed

    async def test_what_nobody_can_say_stays(self, stopped, pods):
        pods.trouble = errors.ClusterUnavailable("no answer")
        assert (await stopped.decide(asked("browserpool-database-0"))).code == 429


async def test_an_answer_that_takes_too_long_is_as_none(fleet, guard, monkeypatch):
    await fleet.ready()
    monkeypatch.setattr(eviction, "STORE_WITHIN", 0.05)
    async with fleet.db.pool.connection() as connection, connection.transaction():
        await connection.execute("select from browsers where browser_id = %s for update", (BROWSER,))
        assert (await guard.decide(asked())).outcome == "store_unavailable"


async def test_before_the_store_was_ever_reached_a_browser_stays(pods):
    guard = eviction.Guard(stores=lambda: None, pods=pods, namespace=NAMESPACE)
    assert (await guard.decide(asked())).outcome == "store_unavailable"
    assert (await guard.decide(asked("browserpool-database-0"))).allowed


class TestInARegionsDatabase:
    """The browser's row is in another database than the installation's own, as its pod says."""

    @pytest.fixture
    async def regional(self, postgres_server, tmp_path, pods):
        (tmp_path / "own").mkdir()
        pods.named[BROWSER]["annotations"] = {labels.DATABASE: "own/dsn"}
        with postgres.clone(postgres_server) as dsn:
            (tmp_path / "own" / "dsn").write_text(dsn)
            async with connect.opened(dsn, process="tests") as opened:
                yield fleets.Fleet(opened), dsn

    @pytest.fixture
    async def stores(self, database, tmp_path):
        made = databases.Databases(database, databases.Opening(directory=str(tmp_path), process="guard"))
        yield made
        await made.close()

    @pytest.fixture
    def guard(self, stores, pods):
        return eviction.Guard(stores=lambda: stores, pods=pods, namespace=NAMESPACE)

    @pytest.mark.parametrize("claimed", [False, True])
    async def test_it_is_asked_there(self, regional, guard, stores, claimed):
        there, _ = regional
        await there.ready()
        if claimed:
            await there.claim("s")
        stores.follow(["own/dsn"])
        await stores.tried(within=10)
        answer = await guard.decide(asked())
        assert (answer.allowed, answer.outcome) == ((False, "claimed") if claimed else (True, "drained"))
        assert (await there.row(BROWSER)).drain_requested

    async def test_it_stays_while_that_database_cannot_say(self, regional, guard, stores):
        there, dsn = regional
        await there.ready()
        assert (await guard.decide(asked())).outcome == "store_unavailable", "nobody has heard of it yet"
        stores.follow(["own/dsn"])
        await stores.tried(within=10)
        with controllers.locked_out(dsn):
            assert (await guard.decide(asked())).outcome == "store_unavailable"

    async def test_it_is_asked_there_while_the_installations_own_cannot_say(self, regional, dsn, pods, tmp_path):
        there, _ = regional
        await there.ready()
        async with connect.opened(dsn, process="guard", deadline=1.0) as home:
            await home.pool.close()
            stores = databases.Databases(home, databases.Opening(directory=str(tmp_path), process="guard"))
            stores.follow(["own/dsn"])
            await stores.tried(within=10)
            guard = eviction.Guard(stores=lambda: stores, pods=pods, namespace=NAMESPACE)
            assert (await guard.decide(asked())).outcome == "drained"
            await stores.close()

    async def test_the_same_name_of_before_it_moved_says_nothing(self, regional, guard, stores, fleet):
        there, _ = regional
        await fleet.ready()
        await browsers.forget(fleet.db, [BROWSER])
        await there.ready()
        await there.claim("s")
        stores.follow(["own/dsn"])
        await stores.tried(within=10)
        assert (await guard.decide(asked())).outcome == "claimed"
