"""Browsers come and go as pools say, whatever happens to pods and to the controller, and no session is cut by it."""

import contextlib

import pytest

from browserpool.lib import clock
from cluster import shell
from support import release as releases

EU = {"name": "eu", "replicas": 2, "maxReplicas": 4}


@pytest.fixture
def pool(release, request):
    name = request.node.name.removeprefix("test_").replace("_", "-")[:20].strip("-")
    with release.pool(name, regions=[EU]) as made:
        yield made


@contextlib.contextmanager
def session(release, client, pool):
    """A CDP session, open while the block runs; yields its id and its browser."""
    made = release.ask(client, f"/devtools/browser?pool={pool}&region=eu&keep_alive=600000", {})
    assert made.status == 200, made.body
    name = made.json["sessionId"]
    try:
        browsers = release.ask(client, "/v1/status").json["browsers"]
        (browser,) = [one["browser_id"] for one in browsers if one["session_id"] == name]
        yield name, browser
    finally:
        release.ask(client, f"/devtools/browser/{name}", method="DELETE")


def lives(release, client, name):
    """Whether the session's browser answers, asked through a router."""
    answer = release.ask(client, f"/devtools/browser/{name}/json/version")
    return answer.status == 200 and "Chrome/" in answer.json["Browser"]


def uids(release, pool):
    """The uid of each pod that is not on its way out, by name."""
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in release.pods(pool)
        if "deletionTimestamp" not in pod["metadata"]
    }


def told(release, pool, reason):
    """The messages of the Events about the pool with this reason."""
    events = release.cluster.listing("events", namespace=releases.NAMESPACE)
    return [
        one["message"]
        for one in events
        if one["involvedObject"].get("name") == pool
        and one["involvedObject"]["kind"] == "BrowserPool"
        and one["reason"] == reason
    ]


def test_a_pod_that_is_deleted_is_replaced(release, client, pool):
    before = uids(release, pool)
    victim = min(before)
    release.cluster.kubectl("delete", "pod", victim, "--namespace", releases.NAMESPACE, "--wait=false")

    def replaced():
        now = uids(release, pool)
        return len(now) == 2 and set(now.values()) - set(before.values())

    shell.until(replaced, what="another pod", deadline=90, every=1)
    release.wait_ready(pool)
    assert release.act(client, pool, query="&region=eu").status == 200
    assert told(release, pool, "Created")


def test_a_claimed_browser_outlives_a_scale_down(release, client, pool):
    with session(release, client, pool) as (name, browser):
        uid = uids(release, pool)[browser]
        release.put(pool, regions=[EU | {"replicas": 1, "maxReplicas": 1}])
        shell.until(lambda: list(uids(release, pool)) == [browser], what="the others gone", deadline=120, every=1)
        assert lives(release, client, name)
        assert uids(release, pool)[browser] == uid
    release.wait_ready(pool)
    assert len(uids(release, pool)) == 1


def test_an_update_reaches_idle_browsers_and_cuts_no_session(release, client, pool):
    with session(release, client, pool) as (name, browser):
        before = uids(release, pool)
        release.put(pool, regions=[EU], chromium={"args": ["--lang=de"]})

        def idle_ones_are_new():
            now = uids(release, pool)
            return len(now) >= 2 and set(now.values()) & set(before.values()) == {before[browser]}

        shell.until(idle_ones_are_new, what="new pods in place of idle ones", deadline=180, every=1)
        assert lives(release, client, name)
    shell.until(
        lambda: not set(uids(release, pool).values()) & set(before.values()), what="all pods new", deadline=180, every=1
    )
    release.wait_ready(pool)
    status = release.status(pool)
    assert status["updatedReplicas"] == status["replicas"]


def test_a_pool_that_is_deleted_waits_for_its_sessions(release, client, pool):
    with session(release, client, pool) as (name, browser):
        release.cluster.kubectl("delete", "browserpool", pool, "--namespace", releases.NAMESPACE)
        shell.until(lambda: list(uids(release, pool)) == [browser], what="the others gone", deadline=120, every=1)
        assert lives(release, client, name)
    shell.until(lambda: not release.pods(pool), what="its last pod gone", deadline=120, every=1)

    def secrets():
        found = release.cluster.listing(
            "secrets", namespace=releases.NAMESPACE, selector=f"browserpool.dev/pool={pool}"
        )
        return [one["metadata"]["name"] for one in found]

    shell.until(lambda: not secrets(), what="its Secrets gone", deadline=30, every=1)


def holder(release):
    """The controller's pod that holds the Lease."""
    (lease,) = [
        one
        for one in release.cluster.listing("leases", namespace=releases.NAMESPACE)
        if "controller" in one["metadata"]["name"]
    ]
    return lease["spec"].get("holderIdentity", "")


def test_the_other_replica_takes_over_and_makes_nothing_twice(release, client, pool):
    with session(release, client, pool) as (name, _):
        before, first = uids(release, pool), holder(release)
        release.cluster.kubectl(
            "delete", "pod", first, "--namespace", releases.NAMESPACE, "--grace-period=0", "--force", timeout=60
        )
        began = clock.monotonic()
        release.put(pool, regions=[EU | {"replicas": 3, "maxReplicas": 5}])
        shell.until(lambda: holder(release) not in ("", first), what="another leader", deadline=40, every=0.5)
        took = clock.monotonic() - began
        shell.until(
            lambda: len(uids(release, pool)) >= 4, what="the pods that were wanted meanwhile", deadline=60, every=1
        )
        assert lives(release, client, name)
        assert set(before.values()) <= set(uids(release, pool).values()), "nothing was made again"
        assert took < 20, took
    release.wait_ready(pool)
