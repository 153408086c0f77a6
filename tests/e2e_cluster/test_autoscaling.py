"""Pools that find their number by themselves, and pools that Kubernetes' own autoscaler scales: under load, and no session is cut."""

import contextlib
import json
import pathlib
import threading

import pytest
import yaml

from cluster import shell
from support import release as releases

ROOT = pathlib.Path(__file__).parents[2]
RULES = {"minReplicas": 1, "maxReplicas": 2, "buffer": "50%", "scaleDownDelay": "30s"}
SESSIONS = 4
MOST = 6


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


@contextlib.contextmanager
def load(release, client, pool):
    """Quick actions, one after another, while the block runs; yields their statuses."""
    statuses, enough = [], threading.Event()

    def act():
        while not enough.is_set():
            statuses.append(release.act(client, pool, query="&region=eu").status)

    thread = threading.Thread(target=act, name="load")
    thread.start()
    try:
        yield statuses
    finally:
        enough.set()
        thread.join(120)


def lives(release, client, name):
    answer = release.ask(client, f"/devtools/browser/{name}/json/version")
    return answer.status == 200 and "Chrome/" in answer.json["Browser"]


def uids(release, pool):
    """The uid of each pod that is not on its way out, by name."""
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in release.pods(pool)
        if "deletionTimestamp" not in pod["metadata"]
    }


def region(release, pool, name="eu"):
    return next((one for one in release.status(pool).get("regions", ()) if one["name"] == name), {})


def condition(release, pool, kind):
    return next((one for one in release.status(pool).get("conditions", ()) if one["type"] == kind), {})


@pytest.mark.timeout(900)
def test_a_pool_that_scales_down_under_load_cuts_no_session_and_no_action(release, client):
    spec = {"maxReplicas": MOST, "regions": [{"name": "eu"}], "autoscaling": RULES}
    with release.pool("scaling", **spec) as pool, contextlib.ExitStack() as others:
        assert region(release, pool)["desired"] == 1
        with session(release, client, pool) as (kept, browser):
            for _ in range(SESSIONS - 1):
                others.enter_context(session(release, client, pool))
            shell.until(
                lambda: region(release, pool).get("desired") == 2, what="two to be wanted", deadline=60, every=1
            )
            shell.until(lambda: len(uids(release, pool)) == MOST, what="two beside four", deadline=120, every=1)
            release.wait_ready(pool)
            uid, before = uids(release, pool)[browser], set(uids(release, pool).values())

            with load(release, client, pool) as statuses:
                others.close()
                # One session, at most one action, and what is kept ready beside them.
                shell.until(
                    lambda: len(uids(release, pool)) <= 2 + RULES["maxReplicas"],
                    what="fewer pods",
                    deadline=240,
                    every=1,
                )
                assert lives(release, client, kept)
                begun = len(statuses)
                shell.until(lambda: len(statuses) >= begun + 5, what="five more actions", deadline=120, every=0.2)
            assert set(statuses) == {200}

            shell.until(
                lambda: region(release, pool).get("desired") == 1, what="one to be wanted", deadline=180, every=1
            )
            shell.until(lambda: len(uids(release, pool)) == 2, what="one beside the session", deadline=180, every=1)
            assert uids(release, pool)[browser] == uid, "the same pod all the time"
            assert lives(release, client, kept)
            assert set(uids(release, pool).values()) <= before, "nothing was made on the way down"
        assert condition(release, pool, "Autoscaling")["status"] == "True"


def test_kubernetes_own_autoscaler_scales_a_pool(release):
    """Below its least it asks for no metric, of which a bare cluster has none."""
    document = yaml.safe_load((ROOT / "examples" / "hpa.yaml").read_text())
    with release.pool("hpa", replicas=1, maxReplicas=3, regions=[{"name": "eu"}, {"name": "us"}]) as pool:
        document["metadata"]["namespace"] = releases.NAMESPACE
        document["spec"]["scaleTargetRef"]["name"] = pool
        document["spec"]["maxReplicas"] = 3
        release.cluster.apply(document)
        try:
            path = f"/apis/browserpool.dev/v1alpha1/namespaces/{releases.NAMESPACE}/browserpools/{pool}/scale"

            def scale():
                found = json.loads(release.cluster.kubectl("get", "--raw", path))
                return found["spec"]["replicas"], found.get("status", {}).get("replicas")

            least = document["spec"]["minReplicas"]
            shell.until(lambda: scale()[0] == least, what="the autoscaler to write replicas", deadline=90, every=1)
            release.wait_ready(pool)
            shell.until(lambda: scale() == (least, least), what="the status to count alike", deadline=60, every=1)
            assert len(uids(release, pool)) == 2 * least, "in each of two regions"

            def able():
                name = document["metadata"]["name"]
                found = release.cluster.get("hpa", name, namespace=releases.NAMESPACE)
                said = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", ())}
                return said.get("AbleToScale") == "True"

            shell.until(able, what="the autoscaler to be able to scale", deadline=60, every=1)
        finally:
            release.cluster.delete("hpa", document["metadata"]["name"], namespace=releases.NAMESPACE)
