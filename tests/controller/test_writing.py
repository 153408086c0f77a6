"""What is written, and how often: statuses, Events, and a plan's actions; by a clock that stands where the test says."""

import asyncio
import contextlib
import dataclasses

import pytest

from browserpool.controller import apply, chronicle, events, installation, kube, mirror, records, statuses, wanted
from browserpool.controller.desired import notices, plan, seen, status, template
from browserpool.model import errors
from browserpool.model.names import HOME, BrowserId, DatabaseName, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState
from browserpool.store import browsers, databases, everywhere, regions
from support import apiserver, controllers, postgres

EU = RegionName("eu")
SHOP = PoolName("shop")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


# ---------------------------------------------------------------- statuses
@pytest.fixture
async def shown(client, server, clock):
    """A pool's status as the API server has it, and how to show a new one."""
    pools = mirror.Mirror(client, kube.POOLS, seen=wanted.read, on_change=lambda *_: None)
    pools.put(server.put(kube.POOLS, controllers.pool(replicas=2)))
    writer = statuses.Statuses(client, pools, now=clock)

    async def show(*, ready, claimed=0, generation=1):
        manifest = controllers.pool(replicas=2)
        manifest["metadata"]["generation"] = generation
        pool = BrowserPool.model_validate(manifest)
        current = template.hashed(pool.spec, pool.spec.regions[0])
        states = [BrowserState.READY] * ready + [BrowserState.CLAIMED] * claimed
        found = tuple(
            seen.Browser(
                browser_id=BrowserId(f"shop-eu-{n}"),
                region=EU,
                ordinal=n,
                state=state,
                pod=seen.Pod.RUNNING,
                template_hash=current,
            )
            for n, state in enumerate(states)
        )
        return await writer.show(pools.objects["shop"], status.summary(pool, seen.World(pool=SHOP, browsers=found)))

    show.mark = lambda *conditions: writer.mark(pools.objects["shop"], conditions)
    return show


async def test_a_status_that_says_nothing_new_is_not_written(shown, server, clock):
    assert await shown(ready=1)
    clock.now += 60
    assert not await shown(ready=1)
    assert server.count("patch", kube.Resource(group="", version="", plural="browserpools/status")) == 1


async def test_mere_counts_are_written_now_and_then_and_conditions_at_once(shown, clock):
    assert await shown(ready=0)
    assert not await shown(ready=1)
    assert await shown(ready=2), "Ready holds now"
    assert not await shown(ready=2, claimed=1)
    assert await shown(ready=2, claimed=1, generation=2), "the new spec was seen"
    assert not await shown(ready=2, generation=2)
    clock.now += statuses.COUNTS_EVERY
    assert await shown(ready=2, generation=2)


async def test_a_condition_is_marked_and_the_rest_of_the_status_stays(shown, server, clock):
    await shown(ready=2)
    before = server.raw(kube.POOLS)["shop"]["status"]
    away = status.Condition(type="DatabaseFresh", status=False, reason="Unreachable", message="it is away")
    assert await shown.mark(away)
    after = server.raw(kube.POOLS)["shop"]["status"]
    assert {**after, "conditions": None} == {**before, "conditions": None}
    assert [one["type"] for one in after["conditions"]] == [one["type"] for one in before["conditions"]]
    changed = [one for one in after["conditions"] if one not in before["conditions"]]
    assert [(one["type"], one["status"], one["reason"]) for one in changed] == [
        ("DatabaseFresh", "False", "Unreachable")
    ]
    assert not await shown.mark(away)


async def test_a_status_of_a_pool_that_is_gone_or_refused_is_let_be(shown, server):
    with apiserver.failing(server, verb="patch", resource="browserpools/status", status=422):
        assert not await shown(ready=1)
    with (
        apiserver.failing(server, verb="patch", resource="browserpools/status", status=503),
        pytest.raises(errors.ClusterUnavailable),
    ):
        await shown(ready=1)
    server.finish(kube.POOLS, "shop")
    assert not await shown(ready=1)


# ---------------------------------------------------------------- events
ABOUT = events.About(kind="BrowserPool", name="shop", uid="u")
FULL = notices.Notice(reason="Unschedulable", message="no node", warning=True)


def written(server):
    return sorted((one["reason"], one["type"], one["count"]) for one in server.raw(kube.EVENTS).values())


async def test_the_same_sentence_again_raises_a_count_and_not_at_once(client, server, clock):
    recorder = events.Recorder(client, identity="one", now=clock)
    recorder.note(ABOUT, FULL)
    recorder.note(ABOUT, FULL)
    await recorder.flush()
    assert written(server) == [("Unschedulable", "Warning", 2)]
    for _ in range(3):
        recorder.note(ABOUT, FULL)
        await recorder.flush()
    assert written(server) == [("Unschedulable", "Warning", 2)]
    clock.now += 10
    await recorder.flush()
    assert written(server) == [("Unschedulable", "Warning", 5)]
    clock.now += 600
    recorder.note(ABOUT, FULL)
    await recorder.flush()
    assert written(server) == [("Unschedulable", "Warning", 1), ("Unschedulable", "Warning", 5)]


async def test_an_event_says_what_it_is_about(client, server, clock):
    recorder = events.Recorder(client, identity="one", now=clock)
    recorder.note(ABOUT, FULL)
    await recorder.flush()
    (made,) = server.raw(kube.EVENTS).values()
    assert made["involvedObject"] == {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "name": "shop",
        "namespace": apiserver.NAMESPACE,
        "uid": "u",
    }
    assert (made["source"]["component"], made["reportingInstance"]) == (events.COMPONENT, "one")


async def test_events_that_the_server_does_not_take_are_dropped(client, server, clock):
    recorder = events.Recorder(client, identity="one", now=clock)
    with apiserver.failing(server, verb="create", resource="events", status=503):
        recorder.note(ABOUT, FULL)
        await recorder.flush()
    await recorder.flush()
    assert written(server) == []


async def test_a_thousand_different_sentences_are_not_all_written(client, server, clock):
    recorder = events.Recorder(client, identity="one", now=clock)
    for number in range(100):
        recorder.note(ABOUT, notices.Notice(reason="Failed", message=str(number)))
    await recorder.flush()
    assert len(written(server)) == 20


async def test_what_was_done_within_some_seconds_is_one_sentence(client, server, clock):
    told = chronicle.Chronicle(events.Recorder(client, identity="one", now=clock), now=clock)
    one = wanted.read(server.put(kube.POOLS, controllers.pool()))
    world = seen.World(pool=SHOP)
    for number in range(3):
        told.did(one, world, [create(number)])
        await told.tell({SHOP: one})
        clock.now += 1
    assert written(server) == []
    await told.tell({SHOP: one})
    assert [made["message"] for made in server.raw(kube.EVENTS).values()] == ["3 browsers created in eu"]


# ---------------------------------------------------------------- a plan's actions
def create(number):
    return plan.Create(browser_id=BrowserId(f"shop-eu-{number}"), region=EU, ordinal=number, template_hash="t")


def delete(number):
    return plan.Delete(browser_id=BrowserId(f"shop-eu-{number}"), reason="drained")


class Hands:
    """Remembers; ``together`` is how many creations ran at once."""

    def __init__(self):
        self.created, self.deleted = [], []
        self.running = self.together = 0
        self.failing = {}

    def place(self, _):
        return seen.Place(zone=ZoneName(""), node=NodeName(""))

    async def create(self, action, _):
        self.running += 1
        self.together = max(self.together, self.running)
        await asyncio.sleep(0.02)
        self.running -= 1
        if action.ordinal in self.failing:
            raise self.failing[action.ordinal]
        self.created.append(action.ordinal)

    async def delete(self, browser_id):
        self.deleted.append(browser_id)


async def test_pods_are_made_some_at_a_time(database):
    hands = Hands()
    assert (
        await apply.carry_out(databases.Databases(database), hands, SHOP, [create(n) for n in range(9)], concurrency=3)
        == []
    )
    assert sorted(hands.created) == list(range(9))
    assert hands.together == 3


async def test_what_is_refused_does_not_keep_the_rest_from_being_done(database):
    hands = Hands()
    hands.failing = {1: errors.Forbidden("a quota")}
    (failure,) = await apply.carry_out(
        databases.Databases(database), hands, SHOP, [create(n) for n in range(3)], concurrency=2
    )
    assert (failure.action, str(failure.error)) == (create(1), "a quota")
    assert sorted(hands.created) == [0, 2]


async def test_when_the_api_server_goes_away_the_rest_is_not_tried(database):
    hands = Hands()
    hands.failing = {0: errors.ClusterUnavailable("away")}
    with pytest.raises(errors.ClusterUnavailable, match="away"):
        await apply.carry_out(databases.Databases(database), hands, SHOP, [create(n) for n in range(50)], concurrency=1)
    assert hands.created == []


@pytest.mark.parametrize(
    ("prepared", "expected"), [("starting", []), ("draining", [0]), ("gone", [0]), ("unknown", [0])]
)
async def test_a_pod_is_deleted_only_if_nobody_can_claim_it(database, prepared, expected):
    hands = Hands()
    if prepared != "unknown":
        await apply.carry_out(databases.Databases(database), hands, SHOP, [create(0)])
    with contextlib.suppress(KeyError):
        await {"draining": browsers.drain, "gone": browsers.forget}[prepared](database, [BrowserId("shop-eu-0")])
    await apply.carry_out(databases.Databases(database), hands, SHOP, [delete(0)])
    assert hands.deleted == [f"shop-eu-{n}" for n in expected]


async def test_rows_are_written_by_one_statement_for_many(database, monkeypatch):
    await apply.carry_out(databases.Databases(database), Hands(), SHOP, [create(n) for n in range(4)])
    statements = []
    for name in ("drain", "forget", "locate"):
        asked = getattr(browsers, name)

        async def counted(db, given, asked=asked, name=name):
            statements.append((name, len(given)))
            return await asked(db, given)

        monkeypatch.setattr(browsers, name, counted)
    place = seen.Place(zone=ZoneName("a"), node=NodeName("n1"))
    ids = [BrowserId(f"shop-eu-{n}") for n in range(4)]
    await apply.carry_out(
        databases.Databases(database),
        Hands(),
        SHOP,
        [
            plan.Drain(browser_id=ids[0], reason="x"),
            plan.Locate(browser_id=ids[2], place=place),
            plan.Drain(browser_id=ids[1], reason="y"),
            plan.Locate(browser_id=ids[3], place=place),
        ],
    )
    assert sorted(statements) == [("drain", 2), ("locate", 2)]
    rows = {row.browser_id: row for row in await browsers.listing(database)}
    assert [str(rows[one].state) for one in ids] == ["draining", "draining", "starting", "starting"]
    assert [rows[one].node for one in ids] == ["", "", "n1", "n1"]


# ---------------------------------------------------------------- several databases
OWN = DatabaseName("own/dsn")


@pytest.fixture
async def stores(database, postgres_server, tmp_path):
    (tmp_path / "own").mkdir()
    with postgres.clone(postgres_server) as dsn:
        (tmp_path / "own" / "dsn").write_text(dsn)
        made = databases.Databases(database, databases.Opening(directory=str(tmp_path), process="tests"))
        made.follow([OWN])
        await made.tried(within=10)
        yield made
        await made.close()


def there(action):
    return dataclasses.replace(action, database=OWN)


async def test_each_action_is_one_in_its_database(stores):
    hands = Hands()
    assert await apply.carry_out(stores, hands, SHOP, [create(0), there(create(1)), there(create(2))]) == []
    drains = [plan.Drain(browser_id=BrowserId(f"shop-eu-{n}"), reason="x") for n in range(3)]
    await apply.carry_out(stores, hands, SHOP, [drains[0], drains[2], there(drains[1])])
    found = await everywhere.browsers_found(stores)
    assert {name: [(row.browser_id, str(row.state)) for row in rows] for name, rows in found.items()} == {
        HOME: [("shop-eu-0", "draining")],
        OWN: [("shop-eu-1", "draining"), ("shop-eu-2", "starting")],
    }
    await apply.carry_out(stores, hands, SHOP, [there(delete(1)), there(delete(2)), delete(0)])
    assert sorted(hands.deleted) == ["shop-eu-0", "shop-eu-1"]


async def test_a_names_fence_rises_wherever_it_is_registered(stores):
    fences = []
    for number in range(6):
        where = there if number % 2 else lambda action: action
        # Others that are registered between make the two sequences differ.
        more = [there(create(100 + 10 * number + n)) for n in range(3)] + [
            create(100 + 10 * number + n) for n in range(5, 6)
        ]
        await apply.carry_out(stores, Hands(), SHOP, [where(create(1)), *more])
        rows = await everywhere.browsers_listing(stores)
        fences += [row.fence for row in rows if row.browser_id == "shop-eu-1" and str(row.state) != "gone"]
        await apply.carry_out(stores, Hands(), SHOP, [where(plan.Forget(browser_id=BrowserId("shop-eu-1"), reason=""))])
    assert len(fences) == 6
    assert fences == sorted(set(fences))


async def test_what_is_to_be_done_in_a_database_that_is_away_fails_and_the_rest_is_done(stores, tmp_path):
    hands = Hands()
    dsn = (tmp_path / "own" / "dsn").read_text()
    await apply.carry_out(stores, hands, SHOP, [there(create(0))])
    drain = there(plan.Drain(browser_id=BrowserId("shop-eu-0"), reason="x"))
    with controllers.locked_out(dsn):
        for _ in range(2):
            failures = await apply.carry_out(stores, hands, SHOP, [there(create(1)), drain, create(2)])
            assert {failure.action.browser_id for failure in failures} == {"shop-eu-0", "shop-eu-1"}
        assert OWN in stores.away()
    assert set(hands.created) == {0, 2}


@pytest.fixture
async def hurried(database, postgres_server, tmp_path):
    """As ``stores``, with the other one's connection string; statements in it may take a second."""
    (tmp_path / "own").mkdir()
    with postgres.clone(postgres_server) as dsn:
        (tmp_path / "own" / "dsn").write_text(dsn)
        opening = databases.Opening(directory=str(tmp_path), process="tests", deadline=1.0)
        made = databases.Databases(database, opening)
        made.follow([OWN])
        await made.tried(within=10)
        yield made, dsn
        await made.close()


@pytest.mark.parametrize(
    "action",
    [create(0), plan.Drain(browser_id=BrowserId("shop-eu-0"), reason="x")],
    ids=["one pod's", "many rows"],
)
async def test_what_others_hold_up_in_a_database_fails_and_the_database_is_not_blamed(hurried, action):
    stores, dsn = hurried
    async with postgres.held(dsn, "browsers"):
        (failure,) = await apply.carry_out(stores, Hands(), SHOP, [there(action)])
        assert not stores.away()
    assert isinstance(failure.error, errors.Contended)
    assert await apply.carry_out(stores, Hands(), SHOP, [there(action)]) == []


async def test_what_others_hold_up_in_a_database_is_written_later_and_the_database_is_not_blamed(hurried):
    stores, dsn = hurried
    own = {"name": "eu", "databaseSecretRef": {"name": "own"}}
    manifest = controllers.pool() | {"spec": {"replicas": 1, "maxReplicas": 9, "regions": [own]}}
    written, wanted_ = records.Records(stores), {SHOP: BrowserPool.model_validate(manifest)}
    ours = installation.Regional("tests")
    async with postgres.held(dsn, "regions"), postgres.held(dsn, "installation"):
        await written.publish(wanted_)
        assert await ours.refused(stores) == {}
        assert not stores.away()
    await written.publish(wanted_)
    assert [one.region for one in await regions.listing(stores.of(OWN))] == [EU]


async def test_when_the_api_server_goes_away_regions_databases_are_not_blamed(stores):
    hands = Hands()
    hands.failing = {0: errors.ClusterUnavailable("away")}
    with pytest.raises(errors.ClusterUnavailable, match="away"):
        await apply.carry_out(stores, hands, SHOP, [there(create(0))])
    assert not stores.away()
