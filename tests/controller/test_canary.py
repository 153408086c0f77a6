"""A canary through the whole controller, an API server and a Postgres: its share, its pause by outcomes, another leader, promotion."""

import pytest

from browserpool.controller import canaries, kube, rights
from browserpool.controller.desired import canary, labels
from browserpool.model.names import PoolName
from browserpool.model.outcomes import Arm, Kind, Tally
from browserpool.store import browsers, leases, outcomes
from support import controllers, fleet
from support.controllers import pool
from support.waiting import until

OLD, NEW = "registry.example/browser:1", "registry.example/browser:2"
CANARY = {"image": NEW, "percent": 25}


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(canaries, "EVERY", 0.0)


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    server, site = api
    yield controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)
    given = {(verb, right.resource) for right in (*rights.NAMESPACE, *rights.CLUSTER) for verb in right.verbs}
    assert {one[:2] for one in server.served} <= given


def tried(**spec):
    return pool(replicas=4, maxReplicas=8, chromium={"image": OLD}, **spec)


def by_image(cluster, image):
    """The names and the templates of the pods that are made from ``image``."""
    return {
        name: pod["metadata"]["labels"][labels.TEMPLATE]
        for name, pod in cluster.server.raw(kube.PODS).items()
        if pod["spec"]["containers"][0]["image"] == image and "deletionTimestamp" not in pod["metadata"]
    }


def counts(cluster):
    return len(by_image(cluster, OLD)), len(by_image(cluster, NEW))


async def settled(cluster, stable, second):
    """Wait until there are so many of each, all run."""

    async def are():
        for name, state in (await cluster.states()).items():
            if state == "starting" and name in cluster.pods():
                await cluster.run(name)
        states = list((await cluster.states()).values())
        return counts(cluster) == (stable, second) and len(states) == len(cluster.pods()) == stable + second

    await until(are, deadline=30)


async def served(cluster, template, requests, failures):
    """What routers would write of so many requests to browsers of this template."""
    tally = Tally()
    for number in range(requests):
        tally.count(0.1, failed=number < failures)
    await outcomes.add(cluster.db, {Kind(pool=PoolName("shop"), arm=Arm.POOL, action="pdf", template=template): tally})


async def rounds(replica, number=5):
    await until(lambda: replica.round is not None, deadline=30)
    before = replica.round.rounds
    await until(lambda: replica.round.rounds >= before + number, deadline=30)


def shown(cluster):
    return cluster.status().get("canary") or {}


async def test_a_canary_gets_its_share_is_paused_and_stays_so_until_its_spec_changes(cluster):
    cluster.server.put(kube.POOLS, tried())
    async with cluster.controller("one") as replica:
        await settled(cluster, 4, 0)
        before = by_image(cluster, OLD)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"canary": CANARY}})
        await settled(cluster, 3, 1)
        assert len(before.items() & by_image(cluster, OLD).items()) == 3, "only as many as the share takes are replaced"
        (stable,), (second,) = {*by_image(cluster, OLD).values()}, {*by_image(cluster, NEW).values()}
        rows = {row.browser_id: row.template_hash for row in await browsers.listing(cluster.db) if row.state != "gone"}
        assert rows == by_image(cluster, OLD) | by_image(cluster, NEW)

        await served(cluster, stable, 100, 1)
        await served(cluster, second, 60, 1)
        # Counts are written every ten seconds.
        await until(lambda: shown(cluster).get("canary", {}).get("requests") == 60, deadline=30)
        assert (shown(cluster)["state"], shown(cluster)["shown"]) == ("Progressing", "25%")
        assert (shown(cluster)["replicas"], shown(cluster)["readyReplicas"]) == (1, 1)
        assert shown(cluster)["stable"] == {
            "requests": 100, "failures": 1, "errorRate": "1.0%", "p50Ms": 95, "p95Ms": 108,
        }  # fmt: skip
        assert cluster.condition("CanaryPaused")["status"] == "False"

        # Its browser is in use when it proves to be worse: it goes when the session ends, not before.
        claimed = [await leases.claim(cluster.db, fleet.request(f"s{n}", pool=PoolName("shop"))) for n in range(4)]
        [held] = [one.claim for one in claimed if one.claim.template_hash == second]
        await served(cluster, second, 40, 9)
        await until(lambda: cluster.condition("CanaryPaused").get("status") == "True", deadline=30)
        assert (shown(cluster)["state"], shown(cluster)["shown"]) == ("Paused", "Paused")
        assert cluster.condition("CanaryPaused")["reason"] == shown(cluster)["reason"] == "ErrorRate"
        assert shown(cluster)["message"].startswith("10.0% of the canary's 100 requests failed, 1.0% of the stable")
        await rounds(replica)
        assert held.browser_id in by_image(cluster, NEW)
        for one in claimed:
            await leases.release(cluster.db, session_id=one.claim.session_id, fence=one.claim.fence, clean=True)
        await settled(cluster, 4, 0)
        await until(lambda: len(cluster.events("CanaryPaused")) == 1, deadline=30)

    # Another leader, and nothing left in the store that would say so again.
    assert await outcomes.prune(cluster.db, older_than=-3600) >= 2
    async with cluster.controller("two") as replica:
        await rounds(replica, 20)
        assert counts(cluster) == (4, 0)
        assert shown(cluster)["state"] == "Paused"
        # A change elsewhere in the spec is no change of the canary.
        cluster.server.change(kube.POOLS, "shop", {"spec": {"onEmpty": {"queueLimit": 7}}})
        await until(lambda: cluster.status()["observedGeneration"] == 3, deadline=30)
        await rounds(replica)
        assert (counts(cluster), shown(cluster)["state"]) == ((4, 0), "Paused")
        cluster.server.change(kube.POOLS, "shop", {"spec": {"canary": {"percent": 50}}})
        await settled(cluster, 2, 2)
        await until(lambda: shown(cluster)["shown"] == "50%", deadline=30)
        assert cluster.condition("CanaryPaused")["reason"] == "Progressing"


async def test_promoted_its_pods_stay_and_given_up_they_go(cluster):
    cluster.server.put(kube.POOLS, tried(canary=CANARY))
    async with cluster.controller() as replica:
        await settled(cluster, 3, 1)
        (kept,) = by_image(cluster, NEW).items()
        cluster.server.change(kube.POOLS, "shop", {"spec": {"chromium": {"image": NEW}, "canary": None}})
        await settled(cluster, 0, 4)
        assert kept in by_image(cluster, NEW).items()
        await until(lambda: shown(cluster) == {}, deadline=30)
        assert cluster.condition("CanaryPaused")["reason"] == "NoCanary"

        third = "registry.example/browser:3"
        cluster.server.change(kube.POOLS, "shop", {"spec": {"canary": {"image": third, "percent": 25}}})
        await until(lambda: len(by_image(cluster, third)) == 1, deadline=30)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"canary": None}})
        await settled(cluster, 0, 4)
        await rounds(replica)
        assert by_image(cluster, third) == {}


async def test_a_canary_whose_pods_do_not_start_is_paused(cluster):
    cluster.server.put(kube.POOLS, tried(canary=CANARY, refill={"readinessGrace": "3s"}))
    async with cluster.controller():

        async def stable_ones_run():
            for name, state in (await cluster.states()).items():
                if name in by_image(cluster, OLD) and state == "starting":
                    await cluster.run(name)
                elif name in by_image(cluster, OLD) and state == "ready":
                    await cluster.fleet.agents[name].beat()
            return cluster.condition("CanaryPaused").get("status") == "True"

        async def replaced():
            return await stable_ones_run() and counts(cluster) == (4, 0)

        await until(stable_ones_run, deadline=30)
        assert cluster.condition("CanaryPaused")["reason"] == "BrowsersNotReady"
        assert shown(cluster)["message"] == "1 of the canary's 1 browsers do not become ready."
        await until(replaced, deadline=30)


async def test_a_canary_whose_image_cannot_be_had_is_paused_before_the_grace_that_others_have(cluster, monkeypatch):
    monkeypatch.setattr(canary, "PATIENCE", 1.0)
    lacking = {"name": "browser", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    cluster.server.put(kube.POOLS, tried(canary=CANARY))
    async with cluster.controller():
        await until(lambda: counts(cluster) == (3, 1), deadline=30)
        for name in by_image(cluster, OLD):
            await cluster.run(name)
        (name,) = by_image(cluster, NEW)
        cluster.server.change(kube.PODS, name, {"status": {"containerStatuses": [lacking]}})
        await until(lambda: cluster.condition("CanaryPaused").get("status") == "True", deadline=30)
        assert cluster.condition("CanaryPaused")["reason"] == "BrowsersNotReady"
        assert shown(cluster)["message"] == "1 of the canary's 1 browsers do not become ready (ImagePullBackOff)."
        await settled(cluster, 4, 0)
