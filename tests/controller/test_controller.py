"""The whole controller against an API server and a Postgres: pods come and go as pools say, and no session is cut."""

import contextlib

import psycopg
import pytest

from browserpool.controller import kube, reconciler, rights
from browserpool.controller.desired import labels, plan
from browserpool.model.claims import Locality
from browserpool.model.names import BrowserId, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.nodes import Node
from browserpool.model.sessions import Held
from browserpool.model.states import BrowserState
from browserpool.store import browsers, leases, nodes, pools
from support import apiserver, controllers, fleet
from support.controllers import node, pool
from support.waiting import until


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    """An API server with one node, and a store. At the end, nothing was asked for that the chart gives no right to."""
    server, site = api
    yield controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)
    given = {(verb, right.resource) for right in (*rights.NAMESPACE, *rights.CLUSTER) for verb in right.verbs}
    assert {one[:2] for one in server.served} <= given


async def claim(cluster, session, **more):
    answer = await leases.claim(cluster.db, fleet.request(session, pool=PoolName("shop"), **more))
    assert answer.claim is not None
    return answer.claim


async def release(cluster, claimed):
    await leases.release(cluster.db, session_id=claimed.session_id, fence=claimed.fence, clean=True)


async def settled(cluster, number, name="shop"):
    """The pool's pods run and it says that it is ready."""
    await cluster.run_all(number)
    await until(lambda: cluster.condition("Ready", name).get("status") == "True")


# ---------------------------------------------------------------- coming
async def test_a_pool_gets_its_pods_rows_secret_and_status(cluster):
    cluster.server.put(kube.POOLS, pool())
    async with cluster.controller():
        await settled(cluster, 2)
        await until(lambda: cluster.events("Created") == ["2 browsers created in eu"])
        await until(lambda: cluster.events("Ready"))
        status = cluster.status()
        assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert cluster.pods() == ["shop-eu-0", "shop-eu-1"]
    assert await cluster.states() == {"shop-eu-0": "ready", "shop-eu-1": "ready"}
    assert list(cluster.server.raw(kube.SECRETS)) == ["browserpool-browsers-shop-eu-0"]
    assert cluster.server.count("create", kube.PODS) == 2
    assert [one.name for one in await pools.listing(cluster.db)] == ["shop"]


async def test_a_pool_that_is_applied_later_is_seen_by_kopf_and_so_is_its_end(cluster):
    async with cluster.controller() as replica:
        await until(lambda: replica.round is not None and replica.round.rounds)
        await until(lambda: cluster.server.count("watch", kube.POOLS))
        cluster.server.put(kube.POOLS, pool(replicas=1))
        await settled(cluster, 1)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 2}})
        await settled(cluster, 2)
        cluster.server.finish(kube.POOLS, "shop")
        await until(lambda: not cluster.pods())
    assert cluster.server.count("list", kube.POOLS) <= 3, "it was told, it did not look"


async def test_kopf_writes_nothing_and_the_controller_only_status(cluster):
    cluster.server.put(kube.POOLS, pool())
    async with cluster.controller():
        await settled(cluster, 2)
        await until(lambda: cluster.events("Created"))
    written = {one[:2] for one in cluster.server.served if one[0] not in ("get", "list", "watch")}
    assert written == {
        ("create", "pods"),
        ("create", "secrets"),
        ("create", "events"),
        ("create", "leases"),
        ("update", "leases"),
        ("patch", "browserpools/status"),
    }
    for found in (*cluster.server.raw(kube.PODS).values(), *cluster.server.raw(kube.POOLS).values()):
        assert "finalizers" not in found["metadata"]
        assert not any("kopf" in name for name in found["metadata"].get("annotations", {}))


async def test_what_has_settled_costs_no_request(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=5))
    async with cluster.controller() as replica:
        await settled(cluster, 5)
        await until(lambda: cluster.condition("Progressing").get("status") == "False")
        await until(lambda: cluster.events("Created"))
        rounds = replica.round.rounds
        before = len(cluster.server.served)
        await until(lambda: replica.round.rounds >= rounds + 5)
        told = {one[:2] for one in cluster.server.served[before:]}
        assert told <= {("get", "leases"), ("update", "leases")}


async def test_a_pod_of_the_template_bears_what_the_manifest_says(cluster):
    template = {"metadata": {"labels": {"team": "x"}}, "spec": {"priorityClassName": "high"}}
    cluster.server.put(kube.POOLS, pool(replicas=1, template=template))
    async with cluster.controller():
        await until(cluster.pods)
    (made,) = cluster.server.raw(kube.PODS).values()
    assert made["metadata"]["labels"]["team"] == "x"
    assert made["spec"]["priorityClassName"] == "high"
    assert made["spec"]["nodeSelector"] == {labels.NODE_REGION: "eu"}
    assert made["spec"]["containers"][0]["image"] == controllers.IMAGE


async def test_pods_belong_to_the_controllers_deployment(cluster):
    owner = cluster.server.put(kube.DEPLOYMENTS, {"metadata": {"name": "browserpool"}})
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller(owner_deployment="browserpool"):
        await until(cluster.pods)
    for found in (*cluster.server.raw(kube.PODS).values(), *cluster.server.raw(kube.SECRETS).values()):
        (reference,) = found["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"]) == ("Deployment", owner["metadata"]["uid"])


# ---------------------------------------------------------------- where pods stand
async def test_rows_learn_where_their_pods_stand_and_routers_which_nodes_there_are(cluster):
    cluster.server.put(kube.NODES, node("n2", region="us", zone="us-b"))
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)

        async def located():
            (row,) = await browsers.listing(cluster.db)
            return (row.node, row.zone) == ("n1", "eu-a")

        await until(located)
        claimed = await claim(cluster, "s1", node=NodeName("n1"), zone=ZoneName("eu-a"))
        assert claimed.locality is Locality.NODE
        expected = [
            Node(name=NodeName("n1"), region=RegionName("eu"), zone=ZoneName("eu-a")),
            Node(name=NodeName("n2"), region=RegionName("us"), zone=ZoneName("us-b")),
        ]
        assert await nodes.listing(cluster.db) == expected


async def test_browsers_of_a_cordoned_node_leave_it_and_a_claimed_one_when_it_is_free(cluster):
    cluster.server.put(kube.NODES, node("n2"))
    cluster.server.put(kube.POOLS, pool(replicas=2, maxReplicas=4))
    async with cluster.controller():
        await settled(cluster, 2)
        claimed = await claim(cluster, "s1")
        cluster.server.change(kube.NODES, "n1", {"spec": {"unschedulable": True}})

        async def only_the_claimed_one_is_left_there():
            for name in cluster.pods():
                if name not in cluster.fleet.agents:
                    await cluster.run(name, on="n2")
            standing = {name: found["spec"].get("nodeName") for name, found in cluster.server.raw(kube.PODS).items()}
            return len(standing) == 3 and [name for name, on in standing.items() if on == "n1"] == [claimed.browser_id]

        await until(only_the_claimed_one_is_left_there, deadline=20)
        assert claimed.browser_id not in deleted(cluster)
        await release(cluster, claimed)
        await until(lambda: claimed.browser_id in deleted(cluster))


def deleted(cluster):
    return {name for verb, kind, name in cluster.server.served if (verb, kind) == ("delete", "pods")}


async def test_browsers_of_a_lost_node_are_replaced_and_nobody_waits_for_its_kubelet(cluster, monkeypatch):
    monkeypatch.setattr("browserpool.controller.nodes.UNREACHABLE_GRACE", 0.0)
    monkeypatch.setattr(plan, "HEARD", 0.0)  # its last heartbeat was long ago
    cluster.server.lingers = True
    cluster.server.put(kube.NODES, node("n2"))
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        cluster.server.change(kube.NODES, "n1", {"spec": {"taints": [taint]}})
        await until(lambda: cluster.pods() and cluster.server.count("create", kube.PODS) == 2)
        (name,) = cluster.pods()
        assert "deletionTimestamp" not in cluster.server.raw(kube.PODS)[name]["metadata"]
        await until(lambda: cluster.events("Drained") == ["1 browser drained in eu: its node cannot be reached"])


async def test_a_pod_of_a_lost_node_that_a_finalizer_holds_is_asked_to_go_now_and_then_only(cluster, monkeypatch):
    monkeypatch.setattr("browserpool.controller.nodes.UNREACHABLE_GRACE", 0.0)
    monkeypatch.setattr(plan, "HEARD", 0.0)
    cluster.server.put(kube.NODES, node("n2"))
    cluster.server.put(kube.POOLS, pool(replicas=1, maxReplicas=1))
    async with cluster.controller() as replica:
        await settled(cluster, 1)
        cluster.server.change(kube.PODS, "shop-eu-0", {"metadata": {"finalizers": ["example.com/theirs"]}})
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        cluster.server.change(kube.NODES, "n1", {"spec": {"taints": [taint]}})
        await until(lambda: cluster.server.count("delete", kube.PODS))
        rounds = replica.round.rounds
        await until(lambda: replica.round.rounds >= rounds + 5)
        assert cluster.server.count("delete", kube.PODS) == 1
        monkeypatch.setattr("browserpool.controller.pods._FORCE_EVERY", 0.0)
        await until(lambda: cluster.server.count("delete", kube.PODS) >= 3)


# ---------------------------------------------------------------- mending
async def test_a_pod_without_a_row_is_adopted(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
    async with cluster.db.pool.connection() as connection:
        await connection.execute("delete from browsers")
    async with cluster.controller():
        await until(cluster.states)
        await cluster.greet("shop-eu-0")
        await until(lambda: cluster.events("Adopted"))
        assert await cluster.states() == {"shop-eu-0": "ready"}
        (row,) = await browsers.listing(cluster.db)
        assert row.node == "n1"
    assert cluster.server.count("create", kube.PODS) == 1
    assert cluster.server.count("delete", kube.PODS) == 0


async def test_a_row_without_a_pod_is_ended_and_its_session_with_it(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
        claimed = await claim(cluster, "s1")
        cluster.server.finish(kube.PODS, "shop-eu-0")
        await until(lambda: cluster.server.count("create", kube.PODS) == 2)
        await cluster.greet("shop-eu-0")
        again = await claim(cluster, "s2")
        assert again.fence > claimed.fence
        await until(lambda: cluster.events("Lost") == ["1 browser lost in eu: its pod is gone"])


async def test_a_pod_that_is_there_already_is_not_made_twice(cluster):
    """As when the answer to a create was lost: the pod is there, and neither row nor memory knows of it."""
    cluster.server.put(kube.POOLS, pool(replicas=2))

    def make_it_first(verb, kind, name):
        if (verb, kind) == ("create", "pods") and name == "shop-eu-0" and name not in cluster.server.raw(kube.PODS):
            marks = labels.of(pool=PoolName("shop"), region=RegionName("eu"))
            cluster.server.put(kube.PODS, {"metadata": {"name": name, "labels": marks}, "spec": {}})

    cluster.server.fault = make_it_first
    async with cluster.controller():
        await until(lambda: len(cluster.pods()) == 2)

        async def both_are_known():
            return await cluster.states() == {"shop-eu-0": "starting", "shop-eu-1": "starting"}

        await until(both_are_known)
    assert cluster.server.count("delete", kube.PODS) == 0


async def test_a_pod_of_somebody_elses_that_bears_the_name_is_left_alone_and_told_of(cluster):
    theirs = cluster.server.put(kube.PODS, {"metadata": {"name": "shop-eu-0"}, "spec": {}})
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with cluster.controller():
        await until(lambda: "shop-eu-1" in cluster.pods())
        await until(lambda: any("not this pool's" in message for message in cluster.events("Failed")))
        await until(lambda: cluster.condition("Degraded").get("status") == "True")
    assert cluster.server.raw(kube.PODS)["shop-eu-0"]["metadata"]["uid"] == theirs["metadata"]["uid"]


async def test_a_pod_that_ended_is_replaced_and_one_that_keeps_ending_is_tried_ever_more_rarely(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        for times in (1, 2):
            await until(lambda: len(cluster.pods()) == 1, deadline=20)
            cluster.server.change(kube.PODS, cluster.pods()[0], {"status": {"phase": "Failed"}})
            await until(lambda: cluster.server.count("delete", kube.PODS) == times)  # noqa: B023 - awaited here
        await until(lambda: cluster.condition("Degraded").get("status") == "True")
        assert cluster.condition("Degraded")["reason"] == "CrashLoop"


async def test_a_pod_that_ends_because_it_is_deleted_has_not_died(cluster):
    """A kubelet says Succeeded or Failed of each pod that it ends, also when it was told to."""
    cluster.server.lingers = True
    cluster.server.put(kube.POOLS, pool(replicas=2, maxReplicas=2))
    async with cluster.controller():
        await settled(cluster, 2)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 1}})
        await until(lambda: deleted(cluster) == {"shop-eu-1"}, deadline=20)
        cluster.server.change(kube.PODS, "shop-eu-1", {"status": {"phase": "Failed"}})
        cluster.server.finish(kube.PODS, "shop-eu-1")
        await until(lambda: cluster.status().get("replicas") == 1, deadline=20)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 2}})
        await until(lambda: len(cluster.pods()) == 2)
        assert cluster.pods() == ["shop-eu-0", "shop-eu-1"]
        assert [region["held"] for region in cluster.status()["regions"]] == [0]
        cluster.server.finish(kube.POOLS, "shop")
        await until(
            lambda: deleted(cluster) == {"shop-eu-0", "shop-eu-1"} and cluster.server.count("delete", kube.PODS) == 3
        )
        for name in cluster.pods():
            cluster.server.change(kube.PODS, name, {"status": {"phase": "Succeeded"}})
            cluster.server.finish(kube.PODS, name)
        await until(lambda: not cluster.server.raw(kube.SECRETS))


async def test_a_refusal_of_the_api_server_is_told_and_not_asked_for_again_at_once(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=3))
    with apiserver.failing(cluster.server, verb="create", resource="pods", status=403):
        async with cluster.controller() as replica:
            await until(lambda: cluster.events("Failed"))
            rounds = replica.round.rounds
            await until(lambda: replica.round.rounds >= rounds + 3)
            assert cluster.server.count("create", kube.PODS) <= 6
    assert cluster.events("Failed")[0] == "The API server refused (403): create pods is made to fail"


# ---------------------------------------------------------------- going
def watch_deletions(cluster, dsn):
    """The state that each row had when its pod's deletion was asked for."""
    states = {}

    def look(verb, kind, name):
        if (verb, kind) == ("delete", "pods"):
            with psycopg.connect(dsn) as connection:
                found = connection.execute("select state::text from browsers where browser_id = %s", [name]).fetchone()
            states[name] = found[0]

    cluster.server.fault = look
    return states


async def test_scaling_down_drains_before_it_deletes_and_cuts_no_session(cluster, dsn):
    cluster.server.put(kube.POOLS, pool(replicas=4))
    async with cluster.controller():
        await settled(cluster, 4)
        states = watch_deletions(cluster, dsn)
        claimed = [await claim(cluster, f"s{number}") for number in range(2)]
        held = {one.browser_id for one in claimed}
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 1, "maxReplicas": 1}})
        await until(lambda: set(cluster.pods()) == held, deadline=20)
        assert set(states.values()) == {"draining"}
        kept = [Held(session_id=one.session_id, fence=one.fence) for one in claimed]
        assert len(await leases.renew(cluster.db, holder=fleet.HOLDER, leases=kept)) == 2
        await release(cluster, claimed[0])
        await release(cluster, claimed[1])
        await until(lambda: len(cluster.pods()) == 1, deadline=20)

        async def one_is_left():
            return await cluster.states() == {cluster.pods()[0]: "ready"}

        await until(one_is_left)
    assert set(states.values()) == {"draining"}


async def test_a_new_image_reaches_idle_browsers_at_once_and_claimed_ones_after_their_session(cluster, dsn):
    cluster.server.put(kube.POOLS, pool(replicas=2, updateStrategy={"type": "Recreate"}))
    async with cluster.controller():
        await settled(cluster, 2)
        states = watch_deletions(cluster, dsn)
        claimed = await claim(cluster, "s1")
        cluster.server.change(kube.POOLS, "shop", {"spec": {"chromium": {"image": "registry.example/browser:2"}}})

        def images():
            return {
                name: found["spec"]["containers"][0]["image"][-1]
                for name, found in cluster.server.raw(kube.PODS).items()
            }

        await until(lambda: sorted(images().values()) == ["1", "2"])
        assert images()[claimed.browser_id] == "1"
        await release(cluster, claimed)
        await until(lambda: sorted(images().values()) == ["2", "2"])
    assert set(states.values()) == {"draining"}


async def test_a_newer_installation_replaces_the_browsers_of_its_old_image(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
    async with cluster.controller(browser_image="registry.example/browser:2"):
        await until(
            lambda: (
                [one["spec"]["containers"][0]["image"] for one in cluster.server.raw(kube.PODS).values()]
                == ["registry.example/browser:2"]
            )
        )


async def test_a_new_signing_key_replaces_the_browsers_and_their_secret(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
    (before,) = cluster.server.raw(kube.PODS).values()
    (old,) = cluster.server.raw(kube.SECRETS).values()
    async with cluster.controller(signing_key="another key of the tests"):
        await until(
            lambda: (
                [one["metadata"]["uid"] for one in cluster.server.raw(kube.PODS).values()]
                not in ([], [before["metadata"]["uid"]])
            )
        )
    (new,) = cluster.server.raw(kube.SECRETS).values()
    assert new["data"].keys() == old["data"].keys()
    assert not set(new["data"].values()) & set(old["data"].values())


async def test_a_deleted_pool_drains_and_leaves_nothing(cluster, dsn):
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with cluster.controller():
        await settled(cluster, 2)
        states = watch_deletions(cluster, dsn)
        claimed = await claim(cluster, "s1")
        cluster.server.finish(kube.POOLS, "shop")
        await until(lambda: cluster.pods() == [claimed.browser_id])
        assert await pools.listing(cluster.db) == []
        await release(cluster, claimed)
        await until(lambda: not cluster.pods())
        await until(lambda: not cluster.server.raw(kube.SECRETS))
    assert set(states.values()) == {"draining"}
    assert await cluster.states() == {}


async def test_a_pool_deleted_while_nobody_led_is_cleaned_up_too(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
    cluster.server.finish(kube.POOLS, "shop")
    async with cluster.controller():
        await until(lambda: not cluster.pods() and not cluster.server.raw(kube.SECRETS))


async def test_a_huge_deleted_pool_holds_up_no_other(cluster, monkeypatch):
    monkeypatch.setattr("browserpool.controller.reconciler._AT_ONCE", 3)
    for number in range(10):
        marks = labels.of(pool=PoolName("a"), region=RegionName("eu"))
        cluster.server.put(kube.PODS, {"metadata": {"name": f"a-eu-{number}", "labels": marks}, "spec": {}})
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await until(lambda: cluster.pods() == ["shop-eu-0"])
    pods = [one for one in cluster.server.served if one[:2] in {("delete", "pods"), ("create", "pods")}]
    assert pods[3] == ("create", "pods", "shop-eu-0"), "after three of ten"


async def test_a_round_that_gets_through_with_pools_is_alive(cluster, monkeypatch):
    cluster.server.put(kube.POOLS, pool("a", replicas=0))
    cluster.server.put(kube.POOLS, pool("b", replicas=0))
    async with cluster.controller() as replica:
        await until(lambda: replica.round is not None and replica.round.rounds)
        round_, apart = replica.round, replica.round._apart
        marks = []

        async def noted(look):
            marks.append((look.name, round_.last))
            return await apart(look)

        monkeypatch.setattr(round_, "_apart", noted)
        await until(lambda: [name for name, _ in marks][:2] == ["a", "b"])
        assert marks[0][1] < marks[1][1]


@pytest.mark.parametrize("number", [1, 200])
def test_a_few_actions_are_carried_out_together(number):
    deletions = [plan.Delete(browser_id=BrowserId(f"a-eu-{n}"), reason="") for n in range(number)]
    assert reconciler.portion(deletions, turn=5) == tuple(deletions)


def test_of_very_many_actions_all_get_their_turn():
    deletions = [plan.Delete(browser_id=BrowserId(f"a-eu-{n}"), reason="") for n in range(450)]
    drains = [plan.Drain(browser_id=BrowserId(f"a-us-{n}"), reason="") for n in range(450)]
    turns = [reconciler.portion([*deletions, *drains], turn=turn) for turn in range(3)]
    assert [len(turn) for turn in turns] == [650, 650, 650]
    assert {action for turn in turns for action in turn} == {*deletions, *drains}


async def test_a_deleted_pool_whose_rows_were_lost_leaves_nothing_either(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
    async with cluster.db.pool.connection() as connection:
        await connection.execute("delete from browsers")
    cluster.server.finish(kube.POOLS, "shop")
    async with cluster.controller():
        await until(lambda: not cluster.pods() and not cluster.server.raw(kube.SECRETS))


async def test_no_pod_is_deleted_whose_row_came_to_life_after_the_look(cluster, monkeypatch):
    """A plan may be older than the store: the store is asked once more."""
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
        listed, asked = browsers.listing, browsers.claimable
        answers = []

        async def as_if_gone(db, **more):
            return [controllers.with_state(row, BrowserState.GONE) for row in await listed(db, **more)]

        async def noted(db, names):
            answers.append(await asked(db, names))
            return answers[-1]

        monkeypatch.setattr(browsers, "claimable", noted)
        monkeypatch.setattr(browsers, "listing", as_if_gone)
        await until(lambda: len(answers) >= 3)
        monkeypatch.setattr(browsers, "listing", listed)
        assert answers[0] == {"shop-eu-0"}
        assert cluster.pods() == ["shop-eu-0"]
        assert cluster.server.count("delete", kube.PODS) == 0


# ---------------------------------------------------------------- what is wrong with a pool
async def test_an_invalid_pool_says_so_and_others_go_on(cluster):
    cluster.server.put(kube.POOLS, pool("bad", backup="x", regions=("eu",), replicas=-1))
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
        await until(lambda: cluster.condition("Ready", "bad").get("reason") == "InvalidSpec")
        assert "spec.replicas" in cluster.condition("Ready", "bad")["message"]
        await until(lambda: any("spec.replicas" in message for message in cluster.events("InvalidSpec")))
    assert cluster.pods() == ["shop-eu-0"]


async def test_a_template_that_is_no_part_of_a_pod_says_so_and_others_go_on(cluster):
    cluster.server.put(
        kube.POOLS, pool("bad", template={"spec": {"containers": "browser"}, "metadata": {"labels": "x"}})
    )
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
        await until(lambda: any("template is no part of a pod" in message for message in cluster.events("Failed")))
    assert cluster.pods() == ["shop-eu-0"]


async def test_a_pool_that_becomes_invalid_is_kept_as_it_last_made_sense_even_by_the_next_leader(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller():
        await settled(cluster, 1)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": -1}})
        await until(lambda: cluster.condition("Ready").get("reason") == "InvalidSpec")
    async with cluster.controller("two"):
        cluster.server.finish(kube.PODS, "shop-eu-0")
        await until(lambda: cluster.server.count("create", kube.PODS) == 2)
        assert cluster.condition("Ready")["reason"] == "InvalidSpec"
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 1}})
        await until(lambda: cluster.condition("Ready").get("reason") != "InvalidSpec")


async def test_a_pool_whose_browsers_would_bear_anothers_names_is_refused(cluster):
    cluster.server.put(kube.POOLS, pool("a", regions=("b-c",), replicas=1))
    cluster.server.put(kube.POOLS, pool("a-b", regions=("c",), replicas=1))
    async with cluster.controller():
        await until(lambda: cluster.pods() == ["a-b-c-0"])
        await until(lambda: cluster.condition("Ready", "a-b").get("reason") == "NameConflict")
        assert "pool a's" in cluster.condition("Ready", "a-b")["message"]
    (made,) = cluster.server.raw(kube.PODS).values()
    assert made["metadata"]["labels"][labels.POOL] == "a"


async def test_a_pool_that_is_refused_after_it_was_taken_keeps_what_it_has(cluster):
    cluster.server.put(kube.POOLS, pool("a", regions=("x",), replicas=1))
    cluster.server.put(kube.POOLS, pool("a-b", regions=("c",), replicas=1))
    async with cluster.controller():
        await until(lambda: cluster.pods() == ["a-b-c-0", "a-x-0"])
        cluster.server.change(kube.POOLS, "a", {"spec": {"regions": [{"name": "x"}, {"name": "b-c"}]}})
        await until(lambda: cluster.condition("Ready", "a-b").get("reason") == "NameConflict")
        await until(lambda: any("not this pool's" in message for message in cluster.events("Failed")))
        assert [one.name for one in await pools.listing(cluster.db)] == ["a", "a-b"]
    assert cluster.server.raw(kube.PODS)["a-b-c-0"]["metadata"]["labels"][labels.POOL] == "a-b"
    assert cluster.server.count("delete", kube.PODS) == 0


async def test_pods_that_find_no_node_and_pods_that_do_not_run_are_told_of(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with cluster.controller():
        await until(lambda: len(cluster.pods()) == 2)
        waiting = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available",
        }
        cluster.server.change(kube.PODS, "shop-eu-0", {"status": {"phase": "Pending", "conditions": [waiting]}})
        await until(lambda: cluster.condition("Degraded").get("reason") == "Unschedulable")
        await until(lambda: cluster.events("Unschedulable") == ["no node for 1 browser in eu: 0/1 nodes are available"])
        stuck = {
            "name": "browser",
            "restartCount": 3,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        }
        cluster.server.change(
            kube.PODS,
            "shop-eu-1",
            {"spec": {"nodeName": "n1"}, "status": {"phase": "Pending", "containerStatuses": [stuck]}},
        )
        await until(lambda: cluster.condition("Degraded").get("reason") == "CrashLoop")
        await until(lambda: cluster.events("NotRunning") == ["ImagePullBackOff of 1 browser in eu: no such image"])
    assert cluster.server.count("delete", kube.PODS) == 0


# ---------------------------------------------------------------- one database
async def test_a_second_installation_on_the_same_database_touches_nothing_of_the_first(
    cluster, dsn, monkeypatch, tmp_path
):
    monkeypatch.setattr("browserpool.controller.installation._RETRY_EVERY", 0.1)
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(cluster.controller())
        await settled(cluster, 2)
        claimed = await claim(cluster, "s1")
        elsewhere, site = await stack.enter_async_context(apiserver.running())
        (tmp_path / "elsewhere").mkdir()
        other = controllers.Cluster(elsewhere, site, cluster.db, dsn=dsn, folder=tmp_path / "elsewhere")
        elsewhere.put(kube.POOLS, pool("market", replicas=1))
        second = await stack.enter_async_context(other.controller("two", installation="second"))
        await until(lambda: second.round is not None and "a database of its own" in second.ready())
        kept = [Held(session_id=claimed.session_id, fence=claimed.fence)]
        assert len(await leases.renew(cluster.db, holder=fleet.HOLDER, leases=kept)) == 1
        assert second.round.rounds == 0
        assert other.pods() == []
        assert [one.name for one in await pools.listing(cluster.db)] == ["shop"]
        async with cluster.db.pool.connection() as connection:
            await connection.execute("update installation set renewed_at = '-infinity', silent_since = '-infinity'")
            await connection.execute("update browsers set last_seen = null")
        await until(other.pods)
        assert second.ready() == ""


# ---------------------------------------------------------------- outages
async def test_two_replicas_make_each_pod_once_and_the_second_takes_over(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=3))
    async with contextlib.AsyncExitStack() as second:
        async with cluster.controller("one") as one:
            await until(lambda: one.election.leading)
            two = await second.enter_async_context(cluster.controller("two"))
            await cluster.run_all(3)
            await until(lambda: not two.ready())
            assert two.round is None
        await until(lambda: two.election.leading)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 5}})
        await settled(cluster, 5)
    created = [name for verb, kind, name in cluster.server.served if (verb, kind) == ("create", "pods")]
    assert sorted(created) == sorted(set(created))
    assert cluster.server.count("delete", kube.PODS) == 0


async def test_while_the_api_server_is_away_all_stays_and_afterwards_all_is_caught_up(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with cluster.controller(lease_duration=3.0, renew_deadline=2.0) as replica:
        await settled(cluster, 2)
        await cluster.site.stop()
        await until(lambda: not replica.election.leading)
        # The data path does not notice.
        claimed = await claim(cluster, "s1")
        await release(cluster, claimed)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 3}})
        cluster.server.finish(kube.PODS, "shop-eu-0")
        before = await cluster.states()
        await cluster.site.start()
        await until(lambda: cluster.server.count("create", kube.PODS) == 4, deadline=20)
        assert set(before.values()) == {"ready"}
    assert cluster.pods() == ["shop-eu-0", "shop-eu-1", "shop-eu-2"]


async def test_a_watch_that_has_expired_is_made_good_by_a_list(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with cluster.controller():
        await settled(cluster, 2)
        del cluster.server.objects[apiserver.reference(kube.PODS), apiserver.NAMESPACE, "shop-eu-1"]
        cluster.server.forget_history()
        await until(lambda: cluster.server.count("create", kube.PODS) == 3)
    assert cluster.pods() == ["shop-eu-0", "shop-eu-1"]


async def test_a_store_that_is_away_is_told_of_and_nothing_is_done_meanwhile(cluster, dsn, monkeypatch):
    cluster.server.put(kube.POOLS, pool(replicas=2))
    async with cluster.controller():
        await settled(cluster, 2)
        cluster.server.finish(kube.PODS, "shop-eu-0")
        await until(lambda: cluster.server.count("create", kube.PODS) == 3)
        with controllers.locked_out(dsn):
            await until(lambda: cluster.condition("DatabaseFresh").get("reason") == "Unreachable", deadline=30)
            assert cluster.condition("DatabaseFresh")["status"] == "False"
            cluster.server.finish(kube.PODS, "shop-eu-1")
            assert cluster.server.count("create", kube.PODS) == 3
        await until(lambda: cluster.server.count("create", kube.PODS) == 4, deadline=20)
        await until(lambda: cluster.condition("DatabaseFresh").get("reason") != "Unreachable", deadline=20)


async def test_who_leads_no_more_begins_no_round_even_if_nobody_cancels_him(cluster):
    cluster.server.put(kube.POOLS, pool(replicas=1))
    async with cluster.controller() as replica:
        await settled(cluster, 1)
        leading, round_ = replica.election, replica.round
        leading.leading = False
        await until(lambda: replica.round is None)
        rounds = round_.rounds
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 2}})
        await until(lambda: replica.round is not None, deadline=20)
        assert round_.rounds == rounds
        await until(lambda: len(cluster.pods()) == 2)
