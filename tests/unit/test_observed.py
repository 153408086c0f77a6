"""What is read of pools, pods and nodes, and what a person is told: by examples."""

import dataclasses
import itertools

import pytest

from browserpool.controller import nodes, pods, podstate, wanted
from browserpool.controller.desired import labels, notices, plan, seen, status, template
from browserpool.model.names import BrowserId, NodeName, PoolName, RegionName
from browserpool.model.pool import BrowserPool

EU = RegionName("eu")
MARKS = {**labels.of(pool=PoolName("shop"), region=EU), labels.TEMPLATE: "t1"}


def pod(status=None, *, node="n1", **metadata):
    spec = {"nodeName": node} if node else {}
    return podstate.pod(
        {
            "metadata": {"name": "shop-eu-12", "uid": "u", "labels": MARKS, **metadata},
            "spec": spec,
            "status": status or {},
        }
    )


def waiting(reason, **more):
    return {"name": "browser", "restartCount": 2, "state": {"waiting": {"reason": reason, **more}}}


# ---------------------------------------------------------------- pods
def test_a_pod_says_whose_it_is():
    assert pod({"phase": "Running"}) == podstate.Pod(
        name=BrowserId("shop-eu-12"),
        uid="u",
        pool=PoolName("shop"),
        region=EU,
        ordinal=12,
        template_hash="t1",
        node=NodeName("n1"),
        phase=seen.Pod.RUNNING,
        schedulable=True,
        failing="",
        complaint="",
        restarts=0,
    )


@pytest.mark.parametrize(
    ("state", "metadata", "phase"),
    [
        ({"phase": "Pending"}, {}, seen.Pod.RUNNING),
        ({"phase": "Running"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, seen.Pod.STOPPING),
        ({"phase": "Failed"}, {}, seen.Pod.DEAD),
        ({"phase": "Succeeded"}, {}, seen.Pod.DEAD),
        ({"phase": "Failed"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, seen.Pod.STOPPING),
        ({}, {}, seen.Pod.RUNNING),
    ],
)
def test_a_pods_phase(state, metadata, phase):
    assert pod(state, **metadata).phase is phase


@pytest.mark.parametrize(
    ("reason", "failing"),
    [
        ("ContainerCreating", ""),
        ("PodInitializing", ""),
        ("CrashLoopBackOff", "CrashLoopBackOff"),
        ("ImagePullBackOff", "ImagePullBackOff"),
        ("CreateContainerConfigError", "CreateContainerConfigError"),
    ],
)
def test_why_a_container_does_not_run(reason, failing):
    read = pod({"phase": "Pending", "containerStatuses": [waiting(reason, message="because")]})
    assert (read.failing, read.complaint, read.restarts) == (failing, "because" if failing else "", 2)


def test_a_pod_without_a_node_is_unschedulable_when_the_scheduler_says_so():
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert not pod({"conditions": [said]}, node=None).schedulable
    assert pod({"conditions": [said]}, node=None).complaint == "0/3 nodes"
    assert pod({}, node=None).schedulable
    assert pod({"conditions": [said]}).schedulable, "it was bound since"
    assert pod({"conditions": [{**said, "reason": "SchedulingGated"}]}, node=None).schedulable


def test_a_pod_says_in_which_database_it_is():
    assert pod({}).database == ""
    assert pod({}, annotations={labels.DATABASE: "own/dsn"}).database == "own/dsn"


def test_a_probes_verdict_or_a_new_version_is_no_change():
    before = pod({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, resourceVersion="1")
    assert before == pod({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, resourceVersion="2")


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (MARKS, True),
        ({}, False),
        (None, False),
        ({**MARKS, labels.POOL: "other"}, False),
        ({labels.POOL: "shop"}, False),
    ],
)
def test_whose_pod_it_is(marks, expected):
    assert podstate.is_of({"metadata": {"name": "x", "labels": marks}}, pool=PoolName("shop")) is expected


class Pods:
    """One pod, whose clock stands where the test says."""

    def __init__(self):
        self.now = 100.0
        self.versions = itertools.count(1)
        standing = nodes.Nodes(None, on_change=lambda: None)
        self.pods = pods.Pods(None, standing, signing_key="k", on_change=lambda: None, now=lambda: self.now)

    def says(self, *containers, after=0.0, uid="u"):
        """``after`` so many seconds its containers are in this state; answers what is observed of it."""
        self.now += after
        marked = {"name": "shop-eu-12", "uid": uid, "labels": MARKS, "resourceVersion": str(next(self.versions))}
        self.pods.mirror.put({"metadata": marked, "spec": {}, "status": {"containerStatuses": list(containers)}})
        return self.looked_at()

    def looked_at(self, *, after=0.0):
        self.now += after
        (one,) = self.pods.by_pool()[PoolName("shop")].values()
        return one.failing, one.failing_for


def test_for_how_long_a_container_has_not_run_whatever_it_is_said_to_fail_of():
    watched = Pods()
    assert watched.says(waiting("ContainerCreating")) == ("", 0.0)
    assert watched.says(waiting("ErrImagePull"), after=30.0) == ("ErrImagePull", 0.0)
    assert watched.looked_at(after=4.0) == ("ErrImagePull", 4.0)
    assert watched.says(waiting("ImagePullBackOff"), after=6.0) == ("ImagePullBackOff", 10.0)
    assert watched.says(waiting("ErrImagePull"), after=5.0) == ("ErrImagePull", 15.0)
    assert watched.says({"name": "browser", "state": {"running": {}}}, after=5.0) == ("", 0.0)
    assert watched.says(waiting("CrashLoopBackOff"), after=5.0) == ("CrashLoopBackOff", 0.0)


def test_another_pod_of_the_same_name_begins_anew():
    watched = Pods()
    watched.says(waiting("ErrImagePull"))
    assert watched.says(waiting("ErrImagePull"), after=9.0, uid="v") == ("ErrImagePull", 0.0)
    watched.pods.mirror.drop("shop-eu-12")
    assert watched.says(waiting("ErrImagePull"), after=9.0, uid="v") == ("ErrImagePull", 0.0)


# ---------------------------------------------------------------- nodes
def node(name="n1", *, ready="True", taints=(), cordoned=False, **marks):
    return {
        "metadata": {"name": name, "labels": marks},
        "spec": {"taints": [{"key": key} for key in taints], "unschedulable": cordoned},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


class Watched:
    """Nodes whose clock stands where the test says."""

    def __init__(self, *found):
        self.now = 0.0
        self.versions = itertools.count(1)
        self.nodes = nodes.Nodes(None, on_change=lambda: None, now=lambda: self.now)
        self.put(*found)

    def put(self, *found):
        for one in found:
            one["metadata"]["resourceVersion"] = str(next(self.versions))
            self.nodes.mirror.put(one)

    def state(self, name="n1"):
        return self.nodes.state(NodeName(name))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (node(), seen.Node.STAYS),
        (node(cordoned=True), seen.Node.LEAVING),
        (node(ready="Unknown"), seen.Node.LOST),
        (node(taints=["node.kubernetes.io/unreachable"]), seen.Node.LOST),
        (node(taints=["node.kubernetes.io/unreachable"], cordoned=True), seen.Node.LOST),
        (node(taints=["dedicated"]), seen.Node.STAYS),
    ],
)
def test_what_becomes_of_a_node(found, expected):
    watched = Watched(found, node("n2"))
    watched.now += nodes.UNREACHABLE_GRACE
    assert watched.state() is expected


def test_after_an_outage_of_the_control_plane_nodes_are_heard_again_one_by_one():
    watched = Watched(node(ready="Unknown"), node("n2", ready="Unknown"))
    watched.put(node("n2"))
    watched.now = nodes.UNREACHABLE_GRACE - 1
    assert watched.state() is seen.Node.STAYS
    watched.put(node())
    watched.now += 2
    assert watched.state() is seen.Node.STAYS


def test_a_node_that_is_gone_is_lost_after_a_moment_and_a_pod_without_one_is_not():
    watched = Watched(node("n2"))
    assert watched.state() is seen.Node.STAYS, "perhaps it has only just joined"
    watched.now += nodes.MISSING_GRACE
    assert watched.state() is seen.Node.LOST
    assert watched.nodes.state(None) is seen.Node.STAYS
    watched.put(node("n1"))
    assert watched.state() is seen.Node.STAYS


def test_a_kubelet_that_restarts_is_waited_for():
    watched = Watched(node(ready="False"), node("n2"))
    watched.now = nodes.UNREADY_GRACE - 1
    assert watched.state() is seen.Node.STAYS
    watched.put(node(ready="True"))
    watched.put(node(ready="False"))
    watched.now += 2
    assert watched.state() is seen.Node.STAYS
    watched.now += nodes.UNREADY_GRACE
    assert watched.state() is seen.Node.LOST


def test_when_no_node_is_heard_it_is_the_control_plane_that_is_deaf():
    watched = Watched(node(ready="Unknown"), node("n2", ready="Unknown"))
    watched.now += nodes.UNREACHABLE_GRACE
    assert watched.state() is seen.Node.STAYS


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({labels.NODE_REGION: "eu"}, "eu"),
        ({}, "local"),
        ({labels.NODE_REGION: "eu", "site": "1"}, "one"),
        ({"site": "2"}, "local"),
    ],
)
def test_a_nodes_region(marks, expected):
    pool = BrowserPool.model_validate(
        {
            "metadata": {"name": "a"},
            "spec": {"regions": [{"name": "one", "nodeSelector": {"site": "1"}}, {"name": "eu"}]},
        }
    )
    (published,) = Watched(node(**{labels.NODE_ZONE: "z"}, **marks)).nodes.published([pool])
    assert (published.name, published.region, published.zone) == ("n1", expected, "z")


# ---------------------------------------------------------------- pools
def found(name="shop", *, created="1", status=None, **spec):
    return {
        "metadata": {"name": name, "uid": name, "generation": 3, "creationTimestamp": created},
        "spec": spec,
        "status": status or {},
    }


def test_a_change_of_the_status_alone_is_no_change():
    assert wanted.read(found(status={"replicas": 1})) == wanted.read(found(status={"replicas": 2}))
    assert wanted.read(found(replicas=1)) != wanted.read(found(replicas=2))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"replicas": -1}, "spec.replicas: Input should be greater than or equal to 0"),
        ({"replcas": 1}, "spec.replcas: Extra inputs are not permitted"),
        ({"regions": [{"name": "eu", "backup": "eu"}]}, "spec: Value error, regions: eu cannot be its own backup"),
    ],
)
def test_why_a_pool_is_invalid(spec, complaint):
    read = wanted.read(found(**spec))
    assert read.pool is None
    assert read.problem.startswith(complaint)


def test_what_the_installation_adds_makes_browsers_out_of_date():
    named = BrowserPool.model_validate(
        {"metadata": {"name": "a"}, "spec": {"chromium": {"image": "own", "args": ["--x"]}}}
    )
    plain = BrowserPool.model_validate({"metadata": {"name": "a"}, "spec": {"chromium": {"args": ["--x"]}}})

    def hashed(pool, *, image="ours:1", mark="m1"):
        made = wanted.installed(pool, image=image, mark=mark)
        return template.hashed(made.spec, made.spec.regions[0])

    assert hashed(plain) == hashed(plain)
    assert hashed(plain) != hashed(plain, image="ours:2")
    assert hashed(named) == hashed(named, image="ours:2")
    assert hashed(named) != hashed(named, mark="m2")


def test_the_installation_adds_an_image_and_an_annotation_and_changes_nothing_else():
    given = {"metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}}, "spec": {"priorityClassName": "high"}}
    pool = BrowserPool.model_validate(
        {"metadata": {"name": "a"}, "spec": {"template": given, "chromium": {"args": ["--x"]}}}
    )
    made = wanted.installed(pool, image="ours", mark="m")
    assert (made.spec.chromium.image, made.spec.chromium.args) == ("ours", ("--x",))
    assert made.spec.template["metadata"]["annotations"] == {"note": "y", labels.INSTALLATION: "m"}
    assert {**made.spec.template, "metadata": {**made.spec.template["metadata"], "annotations": {"note": "y"}}} == given
    assert pool.spec.template == given


def test_of_two_pools_with_one_name_for_their_browsers_the_younger_is_refused():
    old = wanted.read(found("a-b", created="1", regions=[{"name": "c"}]))
    young = wanted.read(found("a", created="2", regions=[{"name": "x"}, {"name": "b-c"}]))
    other = wanted.read(found("b", created="3", regions=[{"name": "c"}]))
    refused = wanted.colliding([young, other, old])
    assert list(refused) == ["a"]
    assert refused[PoolName("a")] == (
        "Browsers of region b-c would bear the names of pool a-b's (a-b-c-0, ...); rename the pool or the region."
    )


# ---------------------------------------------------------------- what is told
def create(number):
    return EU, plan.Create(browser_id=BrowserId(f"shop-eu-{number}"), region=EU, ordinal=number, template_hash="t")


def drain(number, reason="spare"):
    return EU, plan.Drain(browser_id=BrowserId(f"shop-eu-{number}"), reason=reason)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([create(0)], [("Created", "1 browser created in eu", False)]),
        ([create(0), create(1)], [("Created", "2 browsers created in eu", False)]),
        (
            [drain(0), drain(1), drain(2, "old")],
            [("Drained", "2 browsers drained in eu: spare", False), ("Drained", "1 browser drained in eu: old", False)],
        ),
        (
            [(EU, plan.Forget(browser_id=BrowserId("shop-eu-0"), reason="its pod is gone"))],
            [("Lost", "1 browser lost in eu: its pod is gone", True)],
        ),
        ([(EU, plan.Forget(browser_id=BrowserId("shop-eu-0"), reason=plan.DELETED))], []),
        ([(EU, plan.Locate(browser_id=BrowserId("shop-eu-0"), place=seen.Place(zone="z", node="n")))], []),
    ],
)
def test_what_was_done_in_sentences(actions, expected):
    assert [(one.reason, one.message, one.warning) for one in notices.of_actions(actions)] == expected


def shown(*, wanted_=1, ready=1, unschedulable=0, failing=0):
    pool = BrowserPool.model_validate(
        {"metadata": {"name": "shop"}, "spec": {"replicas": wanted_, "regions": [{"name": "eu"}]}}
    )

    def browser(number, **more):
        return seen.Browser(
            browser_id=BrowserId(f"shop-eu-{number}"), region=EU, ordinal=number, pod=seen.Pod.RUNNING,
            **({"state": status.BrowserState.STARTING} | more),
        )  # fmt: skip

    browsers = [browser(number, state=status.BrowserState.READY) for number in range(ready)]
    browsers += [browser(10 + number, schedulable=False) for number in range(unschedulable)]
    browsers += [browser(20 + number, failing="ImagePullBackOff") for number in range(failing)]
    return status.summary(pool, seen.World(pool=PoolName("shop"), browsers=tuple(browsers)))


COMPLAINTS = notices.Complaints(unplaced={EU: "0/3 nodes"}, failing={EU: "no such image"})


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, shown(ready=0), []),
        (None, shown(), ["Ready"]),
        (shown(), shown(), []),
        (shown(), shown(ready=0), ["NotReady"]),
        (shown(ready=0), shown(), ["Ready"]),
        (shown(), shown(wanted_=2, ready=2), ["Scaled"]),
        (shown(), shown(unschedulable=1), ["Unschedulable"]),
        (shown(unschedulable=1), shown(unschedulable=2), []),
        (shown(), shown(failing=1), ["NotRunning"]),
    ],
)
def test_what_changed_is_told_once(before, now, expected):
    assert [one.reason for one in notices.of_change(before, now, complaints=COMPLAINTS)] == expected


def autoscaled(number):
    status_ = shown(wanted_=number, ready=number)
    scaled = seen.Scaled(wanted=number, kept=number, reason="Demand", message="so it is")
    return dataclasses.replace(status_, regions=(dataclasses.replace(status_.regions[0], scaled=scaled),))


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ([2, 3], ["eu is to keep 3 ready, 2 before: so it is"]),
        ([20, 24, 20, 16, 20], []),
        ([20, 26], ["eu is to keep 26 ready, 20 before: so it is"]),
        ([20, 22, 24, 26, 28], ["eu is to keep 26 ready, 20 before: so it is"]),
        ([20, 17, 15], ["eu is to keep 15 ready, 20 before: so it is"]),
        ([0, 1, 0], ["eu is to keep 1 ready, 0 before: so it is", "eu is to keep 0 ready, 1 before: so it is"]),
    ],
)
def test_of_what_autoscaling_does_small_changes_are_told_when_they_have_added_up(numbers, told):
    before, said = None, []
    for number in numbers:
        now = autoscaled(number)
        said += [one.message for one in notices.of_change(before, now, complaints=COMPLAINTS) if one.reason == "Scaled"]
        before = notices.remembered(before, now)
    assert said == told


def test_scheduler_and_kubelet_are_quoted_each_where_it_belongs():
    told = notices.of_change(shown(), shown(unschedulable=1, failing=2), complaints=COMPLAINTS)
    assert [one.message for one in told] == [
        "no node for 1 browser in eu: 0/3 nodes",
        "ImagePullBackOff of 2 browsers in eu: no such image",
    ]
