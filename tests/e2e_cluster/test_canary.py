"""A second version of the browser on a share of a pool: both serve side by side, promoted its pods stay, and a bad one is paused."""

import pytest

from cluster import shell
from support import release as releases

PERCENT, STABLE, TRIED = 25, 3, 1
WHOLE = STABLE + TRIED
SPEC = {
    "regions": [{"name": "eu"}],
    "replicas": WHOLE,
    "maxReplicas": WHOLE + 1,
    # What is promoted replaces the others two at a time.
    "updateStrategy": {"maxUnavailable": 2},
}
OLD = releases.image("browser")
# What is no browser: it ends at once, since nobody tells it of a database.
BAD = releases.image("router")


@pytest.fixture(scope="module")
def made(release):
    with release.pool("canary", **SPEC) as name:
        yield name


@pytest.fixture
def pool(release, made):
    """One that has one version, whatever an earlier test has made of it."""
    release.put(made, **SPEC)
    settled(release, made, {OLD: WHOLE})
    return made


def pods(release, pool):
    """The names and uids of the pods that are not on their way out, by image."""
    found = {}
    for pod in release.pods(pool):
        if "deletionTimestamp" not in pod["metadata"]:
            metadata, (container,) = pod["metadata"], pod["spec"]["containers"]
            found.setdefault(container["image"], {})[metadata["name"]] = metadata["uid"]
    return found


def settled(release, pool, wanted):
    """Wait until so many of each image are there, and no others, and all that should be ready are; answers ``pods``."""

    def are():
        return {image: len(named) for image, named in pods(release, pool).items()} == wanted

    shell.until(are, what=f"pods {wanted}", deadline=150, every=0.5)
    release.wait_ready(pool)
    return pods(release, pool)


def shown(release, pool):
    """What the pool's status says of its canary."""
    return release.status(pool).get("canary") or {}


def column(release, pool):
    """What ``kubectl get`` shows of it."""
    said = release.cluster.kubectl("get", "browserpool", pool, "--namespace", releases.NAMESPACE)
    head, row = said.strip().splitlines()
    # By place: it is empty where there is none.
    return row[head.index("CANARY") : head.index("AGE")].strip()


def paused(release, pool):
    (found,) = [one for one in release.status(pool)["conditions"] if one["type"] == "CanaryPaused"]
    return found["status"], found["reason"]


def told(release, pool):
    """The messages of the Events that say that it is paused."""
    events = release.cluster.listing("events", namespace=releases.NAMESPACE)
    return [
        one["message"] for one in events if (one["involvedObject"].get("name"), one["reason"]) == (pool, "CanaryPaused")
    ]


def served(release, client, pool, *, node=""):
    """The name of the browser that serves an action; on that node, if one is free there."""
    answer = release.act(client, pool, query=f"&region=eu&node={node}" if node else "&region=eu")
    assert answer.status == 200, answer.body
    return answer.headers["X-Browserpool-Browser"]


def test_a_canary_that_crashes_is_paused_and_the_stable_version_serves_on(release, client, pool):
    before = pods(release, pool)[OLD]
    release.put(pool, **SPEC, canary={"image": BAD, "percent": PERCENT})
    shell.until(lambda: column(release, pool) == "Paused", what="it to be paused", deadline=120, every=0.5)
    assert served(release, client, pool) in before
    message = f"{TRIED} of the canary's {TRIED} browsers do not become ready (CrashLoopBackOff)."
    assert (shown(release, pool)["state"], shown(release, pool)["message"]) == ("Paused", message)
    assert paused(release, pool) == ("True", "BrowsersNotReady")
    shell.until(lambda: told(release, pool), what="an Event", deadline=30, every=1)
    assert [one.startswith(message) for one in told(release, pool)] == [True]

    # Stable ones are made in its place, and it stays away.
    after = settled(release, pool, {OLD: WHOLE})[OLD]
    assert len(before.items() & after.items()) == STABLE, "none is replaced that was not for the canary"
    assert column(release, pool) == "Paused"
    assert served(release, client, pool) in after


def test_a_canary_serves_beside_the_stable_version_and_promoted_its_pods_stay(release, client, pool):
    new, before = release.again("browser"), pods(release, pool)[OLD]
    release.put(pool, **SPEC, canary={"image": new, "percent": PERCENT})
    both = settled(release, pool, {OLD: STABLE, new: TRIED})
    assert both[OLD].items() <= before.items(), "only as many as the share takes are replaced"
    assert column(release, pool) == f"{PERCENT}%"

    # A router claims what stands near it, and would leave out those of another node.
    by, nodes = set(), sorted({pod["spec"]["nodeName"] for pod in release.pods(pool)})

    def both_serve():
        by.update(served(release, client, pool, node=node) for node in nodes)
        return all(by & named.keys() for named in both.values())

    shell.until(both_serve, what="actions on both", deadline=60)

    def side_by_side():
        found = shown(release, pool)
        counted = [found[version]["requests"] for version in ("stable", "canary")]
        return all(counted) and found["readyReplicas"] == TRIED and found

    found = shell.until(side_by_side, what="both side by side", deadline=60, every=1)
    assert (found["image"], found["state"], found["replicas"]) == (new, "Progressing", TRIED)
    assert [found[version]["failures"] for version in ("stable", "canary")] == [0, 0]
    assert paused(release, pool) == ("False", "Progressing")

    release.put(pool, **SPEC, chromium={"image": new})
    promoted = settled(release, pool, {new: WHOLE})
    assert both[new].items() <= promoted[new].items()
    assert (shown(release, pool), column(release, pool), paused(release, pool)) == ({}, "", ("False", "NoCanary"))
    assert served(release, client, pool) in promoted[new]
