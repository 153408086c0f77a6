"""Regions with a database of their own: their browsers are in it, its outage is theirs alone, and they move from one to another."""

import contextlib

import psycopg
import pytest

from browserpool.controller import kube
from browserpool.controller.desired import labels
from browserpool.lib import chance
from browserpool.model.names import PoolName
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect, installation, leases, pools, region_databases, regions
from support import controllers, fleet, postgres
from support.controllers import node, pool, states_in
from support.waiting import until

OWN = "own/dsn"
EU, US = {"name": "eu", "databaseSecretRef": {"name": "own"}}, {"name": "us"}
HOME_REGION = {"name": "eu"}


def changed(*regions, replicas=2):
    """The pool as it is from now on."""
    return {"spec": {"replicas": replicas, "maxReplicas": 9, "regions": list(regions)}}


def shop(*regions, replicas=2):
    """A pool of these regions."""
    return pool() | changed(*regions, replicas=replicas)


class Own:
    """A second database, and the directory in which the first Secret's key leads to it."""

    def __init__(self, db, dsn, folder):
        self.db, self.dsn, self.folder = db, dsn, folder

    def mount(self, secret="own"):
        (self.folder / secret).mkdir(parents=True)
        (self.folder / secret / "dsn").write_text(self.dsn)


@pytest.fixture
async def own(postgres_server, tmp_path):
    with postgres.clone(postgres_server) as dsn:
        async with connect.opened(dsn, process="tests") as opened:
            made = Own(opened, dsn, tmp_path / "secrets")
            made.mount()
            yield made


class Cluster(controllers.Cluster):
    """With a node in each of two regions, and a controller that finds the second database."""

    def __init__(self, *given, own, **more):
        super().__init__(*given, **more)
        self.own = own
        self.regional = {OWN: own.db}
        self.started = {}
        self.server.put(kube.NODES, node("n2", region="us", zone="us-a"))

    def settings(self, identity, **more):
        return super().settings(identity, **({"secrets_dir": str(self.own.folder)} | more))

    def region(self, name="eu"):
        """What its status says of the region."""
        return next((one for one in self.status().get("regions", ()) if one["name"] == name), {})

    def of(self, name="eu"):
        """The names of the region's pods that are not being deleted."""
        return [one for one in self.pods() if one.startswith(f"shop-{name}-")]

    async def follow(self):
        """What is bound, and what has gone, is so on the nodes as well."""
        for name, found in self.server.raw(kube.PODS).items():
            uid, region = found["metadata"]["uid"], found["metadata"]["labels"][labels.REGION]
            if self.started.get(name) == uid:
                continue
            if await browsers.state(self.database_of(name), name) not in (None, BrowserState.DRAINING):
                await self.run(name, on={"eu": "n1", "us": "n2"}[region])
                self.started[name] = uid

    async def wait(self, condition, deadline=30):
        """Until it is so, while agents start in the pods that there are."""

        async def met():
            await self.follow()
            answer = condition()
            return await answer if hasattr(answer, "__await__") else answer

        await until(met, deadline=deadline)


@pytest.fixture
def cluster(api, database, dsn, own, tmp_path):
    server, site = api
    return Cluster(server, site, database, dsn=dsn, folder=tmp_path, own=own)


def is_whole(cluster):
    return cluster.condition("Ready").get("status") == "True"


async def claim(cluster, db, session, region="eu"):
    answer = await leases.claim(db, fleet.request(session, region=region, pool=PoolName("shop")))
    assert answer.claim is not None
    return answer.claim


def away(cluster):
    return cluster.condition("DatabaseFresh").get("reason") == "RegionDatabaseUnreachable"


# ---------------------------------------------------------------- two databases
async def test_browsers_are_registered_in_their_regions_database_and_routers_are_told_of_it(cluster):
    cluster.server.put(
        kube.POOLS,
        pool(
            replicas=1,
            regions=(),
        )
        | {"spec": {"replicas": 1, "regions": [EU, US]}},
    )
    async with cluster.controller():
        await cluster.wait(lambda: is_whole(cluster))
        assert await states_in(cluster.own.db) == {"shop-eu-0": "ready"}
        assert await states_in(cluster.db) == {"shop-us-0": "ready"}
        assert await region_databases.listing(cluster.db) == [OWN]
        assert [one.region for one in await regions.listing(cluster.own.db)] == ["eu"]
        assert [one.name for one in await pools.listing(cluster.db)] == ["shop"]
        assert await pools.listing(cluster.own.db) == []
        pods = cluster.server.raw(kube.PODS)
        assert pods["shop-eu-0"]["metadata"]["annotations"][labels.DATABASE] == OWN
        assert labels.DATABASE not in pods["shop-us-0"]["metadata"]["annotations"]
        cluster.server.finish(kube.POOLS, "shop")
        await cluster.wait(lambda: not cluster.pods())
        await until(lambda: _is_listed(cluster, []))
    assert await states_in(cluster.own.db) == {}


async def _is_listed(cluster, names):
    return await region_databases.listing(cluster.db) == names


async def test_a_database_without_a_schema_gets_one(cluster, postgres_server):
    name = f"bare_{chance.unique_id().replace('-', '')}"
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    cluster.own.dsn = postgres_server.dsn(name)
    cluster.own.mount("bare")
    bare = {"name": "eu", "databaseSecretRef": {"name": "bare"}}
    cluster.server.put(kube.POOLS, shop(bare, replicas=1))
    async with connect.opened(cluster.own.dsn, process="tests") as opened:
        cluster.regional["bare/dsn"] = opened
        async with cluster.controller():
            await cluster.wait(lambda: is_whole(cluster))
            assert await states_in(opened) == {"shop-eu-0": "ready"}
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


# ---------------------------------------------------------------- outages
async def test_an_outage_is_its_regions_alone(cluster):
    cluster.server.put(kube.POOLS, shop(EU, US))
    async with cluster.controller() as replica:
        await cluster.wait(lambda: is_whole(cluster))
        with controllers.locked_out(cluster.own.dsn):
            await until(lambda: away(cluster), deadline=30)
            assert "The database of Secret own (key dsn)" in cluster.condition("DatabaseFresh")["message"]
            cluster.server.change(kube.POOLS, "shop", changed(EU, US, replicas=3))
            cluster.server.finish(kube.PODS, "shop-eu-0")
            await cluster.wait(lambda: len(cluster.of("us")) == 3 and cluster.region("us").get("ready") == 3)
            cluster.server.change(kube.POOLS, "shop", changed(EU, US, replicas=1))
            await cluster.wait(lambda: len(cluster.of("us")) == 1)
            rounds = replica.round.rounds
            await until(lambda: replica.round.rounds >= rounds + 3)
            assert cluster.of("eu") == ["shop-eu-1"], "nothing is made for what is gone, nothing deleted"
            assert cluster.region("eu")["database"] == "Away"
            cluster.server.change(kube.POOLS, "shop", changed(EU, US, replicas=2))
        await cluster.wait(lambda: len(cluster.of("eu")) == 2 and is_whole(cluster), deadline=60)
        assert "database" not in cluster.region("eu")
        await until(lambda: cluster.events("RegionDatabaseUnreachable") and cluster.events("RegionDatabaseBack"))
    assert cluster.server.count("create", kube.PODS) == 2 + 1 + 2 + 1 + 1


@pytest.mark.parametrize("leader", ["the same leader", "another leader"])
async def test_pods_of_a_deleted_pool_stay_until_their_database_is_back(cluster, leader):
    cluster.server.put(kube.POOLS, shop(EU, US, replicas=1))
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(contextlib.AsyncExitStack())
        replica = await first.enter_async_context(cluster.controller())
        await cluster.wait(lambda: is_whole(cluster))
        held = await claim(cluster, cluster.own.db, "s1")
        with controllers.locked_out(cluster.own.dsn):
            if leader == "another leader":
                await first.aclose()
                replica = await stack.enter_async_context(cluster.controller("two"))
            else:
                await until(lambda: away(cluster), deadline=30)
            cluster.server.finish(kube.POOLS, "shop")
            await until(lambda: not cluster.of("us"), deadline=30)
            rounds = replica.round.rounds
            await until(lambda: replica.round.rounds >= rounds + 3)
            assert cluster.pods() == ["shop-eu-0"]
            assert await region_databases.listing(cluster.db) == [OWN]

        async def is_marked():
            return next(row for row in await browsers.listing(cluster.own.db)).drain_requested

        await until(is_marked, deadline=30)
        assert cluster.pods() == ["shop-eu-0"], "its session goes on"
        await leases.release(cluster.own.db, session_id=held.session_id, fence=held.fence, clean=True)
        await until(lambda: not cluster.pods(), deadline=20)
        await until(lambda: _is_listed(cluster, []), deadline=20)


async def test_a_regional_database_is_one_installations(cluster):
    assert await installation.take(cluster.own.db, "another") is None
    cluster.server.put(kube.POOLS, shop(EU, US, replicas=1))
    async with cluster.controller() as replica:
        await cluster.wait(lambda: cluster.region("us").get("ready") == 1 and away(cluster))
        assert "is installation another's, and this is pools" in cluster.condition("DatabaseFresh")["message"]
        rounds = replica.round.rounds
        await until(lambda: replica.round.rounds >= rounds + 3)
        assert cluster.pods() == ["shop-us-0"]
        assert await browsers.listing(cluster.own.db) == []
    assert await installation.take(cluster.own.db, "another") is None, "it was not taken away"


async def test_one_that_another_installation_has_got_meanwhile_is_left_to_it(cluster, monkeypatch):
    monkeypatch.setattr("browserpool.controller.installation._RENEW_EVERY", 0.2)
    cluster.server.put(kube.POOLS, shop(EU, US, replicas=1))
    async with cluster.controller():
        await cluster.wait(lambda: is_whole(cluster))
        await fleet.Fleet(cluster.own.db).sql("update installation set name = 'another'")
        await until(lambda: away(cluster), deadline=30)
        cluster.server.finish(kube.POOLS, "shop")
        await until(lambda: not cluster.of("us"), deadline=30)
        assert await states_in(cluster.own.db) == {"shop-eu-0": "ready"}


# ---------------------------------------------------------------- moves
async def test_a_region_moves_there_and_back_and_cuts_no_session(cluster):
    def is_moved(to, *, but=()):
        async def moved():
            found = await states_in(to)
            return sorted(found.values()).count("ready") == 3 and cluster.region()["elsewhere"] == len(but)

        return moved

    async def move(region, to, away_from, session):
        held = await claim(cluster, away_from, session)
        cluster.server.change(kube.POOLS, "shop", changed(region, replicas=3))
        await cluster.wait(is_moved(to, but=[held]), deadline=60)
        assert await states_in(away_from) == {held.browser_id: "claimed"}
        assert cluster.condition("Moving")["reason"] == "BrowsersLeft"
        await leases.release(away_from, session_id=held.session_id, fence=held.fence, clean=True)
        await cluster.wait(is_moved(to), deadline=60)
        await until(lambda: cluster.condition("Moving")["reason"] == "NothingLeft")
        assert await states_in(away_from) == {}
        return held

    cluster.server.put(kube.POOLS, shop(HOME_REGION, replicas=3))
    async with cluster.controller():
        await cluster.wait(lambda: is_whole(cluster))
        await move({**EU, "movingFrom": {}}, cluster.own.db, cluster.db, "s1")
        gone = {row.browser_id: row.fence for row in await browsers.listing(cluster.db)}
        here = {row.browser_id: row.fence for row in await browsers.listing(cluster.own.db)}
        assert gone.keys() & here.keys(), "some name was used again"
        assert all(here[name] > gone[name] for name in gone.keys() & here.keys())

        back = {**HOME_REGION, "movingFrom": {"databaseSecretRef": {"name": "own"}}}
        await move(back, cluster.db, cluster.own.db, "s2")
        again = {
            row.browser_id: row.fence for row in await browsers.listing(cluster.db) if row.state is BrowserState.READY
        }
        was = {row.browser_id: row.fence for row in await browsers.listing(cluster.own.db)}
        assert again.keys() & was.keys()
        assert all(again[name] > was[name] for name in again.keys() & was.keys())
        cluster.server.change(kube.POOLS, "shop", changed(HOME_REGION, replicas=3))
        await until(lambda: cluster.condition("Moving").get("reason") == "Settled", deadline=20)
        await until(lambda: _is_listed(cluster, []), deadline=20)
        assert cluster.events("Moved")


async def test_a_region_that_is_moved_without_saying_from_where_leaves_nothing_behind(cluster):
    cluster.server.put(kube.POOLS, shop(EU, replicas=1))
    async with cluster.controller():
        await cluster.wait(lambda: is_whole(cluster))
        cluster.server.change(kube.POOLS, "shop", changed(HOME_REGION, replicas=1))
        await cluster.wait(lambda: _has_moved(cluster), deadline=60)
        await until(lambda: _is_listed(cluster, []), deadline=20)


async def _has_moved(cluster):
    return await states_in(cluster.own.db) == {} and list((await states_in(cluster.db)).values()) == ["ready"]


async def test_while_the_database_that_a_region_is_to_move_to_is_away_it_stays_as_it_is(cluster):
    cluster.server.put(kube.POOLS, shop(HOME_REGION, replicas=1))
    async with cluster.controller() as replica:
        await cluster.wait(lambda: is_whole(cluster))
        nowhere = {"name": "eu", "databaseSecretRef": {"name": "nowhere"}, "movingFrom": {}}
        cluster.server.change(kube.POOLS, "shop", changed(nowhere))
        await until(lambda: away(cluster), deadline=30)
        assert "The key dsn of Secret nowhere is not mounted here" in cluster.condition("DatabaseFresh")["message"]
        rounds = replica.round.rounds
        await until(lambda: replica.round.rounds >= rounds + 3)
        assert await states_in(cluster.db) == {"shop-eu-0": "ready"}
