"""The pools' NetworkPolicies, by the whole controller at an API server: there before the first pod, gone after the last."""

import json

import pytest

from browserpool.controller import kube, rights
from browserpool.controller.desired import labels, network
from support import apiserver, controllers
from support.controllers import pool
from support.waiting import until

DOORS = json.dumps({"dns": [{"namespaceSelector": {}}]})
POLICY = "browserpool-browsers-shop"


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    """An API server with one node, and a store. At the end, nothing was asked for that the chart gives no right to."""
    server, site = api
    yield controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)
    given = {(verb, right.resource) for right in (*rights.NAMESPACE, *rights.CLUSTER) for verb in right.verbs}
    assert {one[:2] for one in server.served} <= given


def policies(cluster):
    return cluster.server.raw(kube.NETWORK_POLICIES)


def writes(cluster):
    return [one[0] for one in cluster.server.served if one[1] == "networkpolicies" and one[0] not in ("list", "watch")]


def reached(cluster):
    """The addresses that the policy lets browsers reach."""
    blocks = [
        peer["ipBlock"]
        for rule in policies(cluster)[POLICY]["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    return {block["cidr"]: block.get("except", []) for block in blocks}


async def rounds(replica, number):
    """So many rounds more have ended."""
    await until(lambda: replica.round is not None)
    before = replica.round.rounds
    await until(lambda: replica.round.rounds >= before + number)


async def test_a_pool_has_its_policy_before_its_first_pod(cluster):
    cluster.server.put(kube.POOLS, pool())
    async with cluster.controller(network_policy=DOORS) as replica:
        await cluster.run_all(2)
        await rounds(replica, 5)
    made = [one[:2] for one in cluster.server.served if one[0] == "create"]
    assert made.index(("create", "networkpolicies")) < made.index(("create", "pods"))
    assert list(policies(cluster)) == [POLICY]
    assert policies(cluster)[POLICY]["metadata"]["labels"] == {**labels.OURS, labels.POOL: "shop"}
    assert writes(cluster) == ["create"], "what is there is not written again"


async def test_one_that_is_there_as_it_is_to_be_is_left_by_the_next_leader(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=0))
    for identity in ("one", "two"):
        async with cluster.controller(identity, network_policy=DOORS) as replica:
            await rounds(replica, 2)
    assert writes(cluster) == ["create"]


async def test_it_follows_the_pools_egress(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=0))
    async with cluster.controller(network_policy=DOORS):
        await until(lambda: POLICY in policies(cluster))
        assert "10.1.0.0/16" not in reached(cluster)
        egress = {"allow": ["10.1.0.0/16"], "deny": ["10.1.2.0/24"]}
        cluster.server.change(kube.POOLS, "shop", {"spec": {"egress": egress}})
        await until(lambda: reached(cluster).get("10.1.0.0/16") == ["10.1.2.0/24"])
    assert writes(cluster) == ["create", "update"]


async def test_unmanaged_takes_it_away_and_managed_brings_it_back(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller(network_policy=DOORS) as replica:
        await cluster.run_all(1)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"networkPolicy": "Unmanaged"}})
        await until(lambda: not policies(cluster))
        await rounds(replica, 3)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"networkPolicy": "Managed"}})
        await until(lambda: POLICY in policies(cluster))
        assert cluster.pods() == ["shop-eu-0"]
        assert cluster.server.count("create", kube.PODS) == 1, "no pod is replaced for it"
    assert writes(cluster) == ["create", "delete", "create"]


async def test_somebody_elses_hand_is_undone(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=0))
    async with cluster.controller(network_policy=DOORS) as replica:
        await until(lambda: POLICY in policies(cluster))
        wanted = policies(cluster)[POLICY]["spec"]
        cluster.server.change(kube.NETWORK_POLICIES, POLICY, {"spec": {"egress": [{}]}})
        await until(lambda: policies(cluster)[POLICY]["spec"] == wanted)
        cluster.server.finish(kube.NETWORK_POLICIES, POLICY)
        await until(lambda: POLICY in policies(cluster))
        await rounds(replica, 3)
    assert writes(cluster) == ["create", "update", "create"]


async def test_one_whose_labels_were_taken_away_is_found_again(cluster):
    """The watch sees it go, and its name is still taken: no pod would be made without it."""
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller(network_policy=DOORS) as replica:
        await cluster.run_all(1)
        wanted = dict(policies(cluster)[POLICY]["metadata"]["labels"])
        cluster.server.change(kube.NETWORK_POLICIES, POLICY, {"metadata": {"labels": dict.fromkeys(wanted)}})
        await until(lambda: policies(cluster)[POLICY]["metadata"].get("labels") == wanted)
        await rounds(replica, 3)
    assert writes(cluster) == ["create", "create", "update"]


async def test_what_the_api_server_fills_in_is_not_fought_over(cluster, monkeypatch):
    """It may answer a policy that is written otherwise than it was asked for."""
    cluster.server.put(kube.POOLS, pool(replicas=0))
    stamped = cluster.server._stamp_new

    def filled_in(body, namespaced):
        if body.get("kind") == "NetworkPolicy":
            body["spec"]["filledIn"] = True
        stamped(body, namespaced)

    monkeypatch.setattr(cluster.server, "_stamp_new", filled_in)
    async with cluster.controller(network_policy=DOORS) as replica:
        await until(lambda: POLICY in policies(cluster))
        await rounds(replica, 5)
    assert writes(cluster) == ["create"]


async def test_a_deleted_pools_policy_stands_until_its_last_pod_is_gone(cluster):
    cluster.server.lingers = True
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller(network_policy=DOORS) as replica:
        await cluster.run_all(1)
        cluster.server.finish(kube.POOLS, "shop")
        await until(lambda: cluster.server.raw(kube.PODS)["shop-eu-0"]["metadata"].get("deletionTimestamp"))
        await rounds(replica, 3)
        assert POLICY in policies(cluster)
        cluster.server.finish(kube.PODS, "shop-eu-0")
        await until(lambda: not policies(cluster))
    assert writes(cluster) == ["create", "delete"]


async def test_a_pool_that_went_while_nobody_led_leaves_none(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=0))
    async with cluster.controller(network_policy=DOORS):
        await until(lambda: POLICY in policies(cluster))
    cluster.server.finish(kube.POOLS, "shop")
    async with cluster.controller("two", network_policy=DOORS):
        await until(lambda: not policies(cluster))


async def test_none_is_made_and_none_is_left_where_the_installation_makes_none(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=0))
    async with cluster.controller(network_policy=DOORS):
        await until(lambda: POLICY in policies(cluster))
    async with cluster.controller("two") as replica:
        await until(lambda: not policies(cluster))
        await rounds(replica, 2)
    assert writes(cluster) == ["create", "delete"]


async def test_somebody_elses_policy_is_left_alone(cluster):
    own = {"metadata": {"name": "mine", "labels": {**labels.OURS, labels.POOL: "gone"}}, "spec": {"podSelector": {}}}
    cluster.server.put(kube.NETWORK_POLICIES, own)
    async with cluster.controller(network_policy=DOORS) as replica:
        await rounds(replica, 3)
    assert list(policies(cluster)) == ["mine"]


async def test_without_its_policy_a_pool_gets_no_pod_but_loses_none_and_says_why(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller(network_policy=DOORS) as replica:
        await cluster.run_all(1)
        with apiserver.failing(cluster.server, verb="update", resource="networkpolicies", status=403):
            cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 2, "egress": {"deny": ["8.8.8.8"]}}})
            await until(lambda: cluster.events("Failed"))
            await rounds(replica, 5)
            assert cluster.pods() == ["shop-eu-0"]
            assert cluster.server.count("update", kube.NETWORK_POLICIES) == 1, (
                "what is refused is not asked for at once"
            )
    assert "network policy cannot be written" in cluster.events("Failed")[0]


def test_its_name_is_one_that_no_secret_or_pod_has():
    assert network.name("shop") == POLICY
