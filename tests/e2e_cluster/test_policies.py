"""The NetworkPolicy of a pool's pods, on a cluster that enforces it: what enters them and what they reach, Managed and Unmanaged."""

import pytest

from cluster import shell
from support import release as releases

POOL, POLICY = "walls", "browserpool-browsers-walls"
REGIONS = [{"name": "eu", "replicas": 2}]

_SERVE = "cd /tmp && echo '<title>inside</title>' >index.html && nohup python -m http.server 8000 >/dev/null 2>&1 &"


@pytest.fixture(scope="module", autouse=True)
def pool(release):
    with release.pool(POOL, regions=REGIONS) as name:
        yield name


def policies(release):
    return [one["metadata"]["name"] for one in release.cluster.listing("networkpolicies", namespace=releases.NAMESPACE)]


def from_a_browser(release, *asked):
    """Whether a browser's pod reaches these hosts and ports."""
    pod = release.pods(POOL)[0]["metadata"]["name"]
    return release.browser_reaches(pod, asked)


def from_a_client(release, client, *asked):
    """Whether a client's pod, which has no sidecar, reaches them."""
    return release.client_reaches(client, asked)


def agent(release, number=0):
    """Where an agent of the pool listens."""
    return [release.pods(POOL)[number]["status"]["podIP"], 8082]


def api_server(release):
    return [release.cluster.get("service", "kubernetes")["spec"]["clusterIP"], 443]


def uids(release):
    return {pod["metadata"]["uid"] for pod in release.pods(POOL)}


def settled(release):
    """Wait until the pool has its pods, all of them as its manifest says, and no others."""
    release.wait_ready(POOL)

    def is_so():
        status = release.status(POOL)
        return (
            status["replicas"] == status["updatedReplicas"] == status["readyReplicas"] == len(release.pods(POOL)) == 2
        )

    shell.until(is_so, what="two pods as they are to be", deadline=180, every=1)


def becomes(check, expected):
    """Wait until the nodes enforce what has been written."""
    shell.until(lambda: check() == expected, what=f"{expected}", deadline=60, every=1)


def test_a_pool_has_its_policy(release):
    found = release.cluster.get("networkpolicy", POLICY, namespace=releases.NAMESPACE)
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Deployment", "browserpool-controller")
    assert found["spec"]["podSelector"]["matchLabels"]["browserpool.dev/pool"] == POOL
    assert found["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_nobody_enters_and_nothing_is_reached_but_routers(release, client):
    router = release.cluster.get("service", "browserpool-router", namespace=releases.NAMESPACE)["spec"]["clusterIP"]
    assert from_a_client(release, client, agent(release)) == ["shut"]
    asked = [[router, 8080], api_server(release), agent(release, 1)]
    assert from_a_browser(release, *asked) == ["open", "shut", "shut"]
    assert release.act(client, POOL).status == 200


def test_what_the_pool_allows_pages_reach_and_nothing_else(release, client):
    """A site inside of the cluster, at a client's pod."""
    release.cluster.exec(client, "sh", "-c", _SERVE, namespace=releases.CLIENTS, container="client")
    site = release.cluster.get("pod", client, namespace=releases.CLIENTS)["status"]["podIP"]
    shut = release.ask(client, f"/v1/content?pool={POOL}", {"url": f"http://{site}:8000/"})
    assert (shut.status, shut.json["errors"][0]["code"]) == (422, 5010)
    release.put(POOL, regions=REGIONS, egress={"allow": [f"{site}/32"]})
    settled(release)
    opened = release.ask(client, f"/v1/content?pool={POOL}", {"url": f"http://{site}:8000/"})
    assert opened.status == 200, opened.body
    assert "inside" in opened.json["result"]
    assert from_a_browser(release, [site, 8000], api_server(release)) == ["open", "shut"]
    # Shut again at once, before any pod is replaced.
    release.put(POOL, regions=REGIONS, egress={"allow": []}, updateStrategy={"type": "OnReplenish"})
    becomes(lambda: from_a_browser(release, [site, 8000]), ["shut"])


def test_one_that_is_deleted_by_hand_is_put_back(release):
    release.cluster.delete("networkpolicy", POLICY, namespace=releases.NAMESPACE)
    shell.until(lambda: POLICY in policies(release), what="the policy again", deadline=30, every=1)


def test_unmanaged_means_that_nothing_of_ours_stands_in_the_way(release, client):
    release.put(POOL, regions=REGIONS)
    settled(release)
    release.put(POOL, regions=REGIONS, networkPolicy="Unmanaged")
    shell.until(lambda: POLICY not in policies(release), what="no policy", deadline=30, every=1)
    before = uids(release)
    becomes(lambda: from_a_client(release, client, agent(release)), ["open"])
    becomes(lambda: from_a_browser(release, api_server(release), agent(release, 1)), ["open", "open"])
    # The agent's guard is no policy: a page reaches no more than before.
    answer = release.ask(client, f"/v1/content?pool={POOL}", {"url": f"http://{agent(release, 1)[0]}:8082/"})
    assert (answer.status, answer.json["errors"][0]["code"]) == (422, 5010)
    release.put(POOL, regions=REGIONS, networkPolicy="Managed")
    becomes(lambda: from_a_client(release, client, agent(release)), ["shut"])
    becomes(lambda: from_a_browser(release, api_server(release)), ["shut"])
    assert uids(release) == before, "no pod was replaced for it"


def test_it_goes_with_its_pool(release):
    with release.pool("walls-b", replicas=1, regions=[{"name": "us"}]):
        assert "browserpool-browsers-walls-b" in policies(release)
    shell.until(lambda: "browserpool-browsers-walls-b" not in policies(release), what="no policy", deadline=30, every=1)
    assert POLICY in policies(release)
