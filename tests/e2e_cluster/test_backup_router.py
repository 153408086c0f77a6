"""Another cluster as a region's backup: a second release in a namespace of its own, which shares nothing with the first."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import access
from support import charts
from support import release as releases

FAR = "backup-far"
URL = f"http://browserpool-router.{FAR}.svc.cluster.local:8080"
POOL = "spilling"


def _helm(cluster: access.Cluster, *arguments: str, namespace: str) -> None:
    cluster.helm(*arguments, "--namespace", namespace, "--wait", timeout=660)


def _pool(namespace: str, **spec: Any) -> access.Object:
    return {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "metadata": {"name": POOL, "namespace": namespace},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def far(release: releases.Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The other release, with one browser in us; yields its token."""
    cluster = release.cluster
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FAR, "labels": labels}})
    values = {
        **releases.VALUES,
        "sidecar": {"namespaces": []},
        # The first release keeps them current.
        "crds": {"install": False},
        "router": {"kind": "Deployment", "replicas": 1},
        "controller": {"replicas": 1},
    }
    given = tmp_path_factory.mktemp("far") / "values.json"
    given.write_text(json.dumps(values))
    try:
        _helm(cluster, "install", "browserpool", str(charts.CHART), "--values", str(given), namespace=FAR)
        cluster.apply(_pool(FAR, regions=[{"name": "us", "replicas": 1}]))
        cluster.wait(f"browserpool/{POOL}", "condition=Ready", namespace=FAR, timeout=240)
        token = cluster.get("secret", "browserpool-token", namespace=FAR)["data"]["token"]
        yield charts.decoded(token).decode()
    finally:
        cluster.delete("browserpool", POOL, namespace=FAR)
        _helm(cluster, "uninstall", "browserpool", "--ignore-not-found", namespace=FAR)
        cluster.delete("namespace", FAR, timeout=180)


@pytest.fixture(scope="module")
def pool(release: releases.Release, far: str) -> Iterator[str]:
    """The first release's pool, without a browser; its routers have the token and the way."""
    cluster, namespace = release.cluster, releases.NAMESPACE
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"token": far}}
    cluster.apply({**secret, "metadata": {"name": "far", "namespace": namespace}})
    opened = {"router": {"secrets": ["far"]}, "networkPolicy": {"elsewhere": {"ports": [8080]}}}
    words = [f"--set-json={name}={json.dumps(value)}" for name, value in opened.items()]
    _helm(cluster, "upgrade", "browserpool", str(charts.CHART), "--reuse-values", *words, namespace=namespace)
    backup = {"url": URL, "tokenSecretRef": {"name": "far"}}
    regions = [{"name": "eu", "replicas": 0, "backupRouter": backup}]
    try:
        with release.pool(POOL, regions=regions, onEmpty={"mode": "Fail"}) as name:
            yield name
    finally:
        _helm(cluster, "rollback", "browserpool", "--force-conflicts", namespace=namespace)
        cluster.delete("secret", "far", namespace=namespace)


def test_the_other_cluster_serves_quick_actions(release: releases.Release, client: str, pool: str) -> None:
    answer = release.act(client, pool, html="<h1>hello</h1>")
    assert (answer.status, b"hello" in answer.body) == (200, True), answer.body
    said = {name: answer.headers[f"X-Browserpool-{name}"] for name in ("Region", "Locality", "Node")}
    assert said == {"Region": "us", "Locality": "remote", "Node": "us-a1"}


def test_a_session_there_is_found_by_every_router_here(release: releases.Release, client: str, pool: str) -> None:
    made = release.ask(client, f"/devtools/browser?pool={pool}", {})
    assert made.status == 200, made.body
    path = f"/devtools/browser/{made.json['sessionId']}"
    try:
        for router in release.browserpool_pods("router"):
            base = f"http://{router['status']['podIP']}:8080"
            listed = release.ask(client, f"{path}/json/list", base=base)
            assert listed.status == 200, listed.body
            assert [one["type"] for one in listed.json] == ["page"]
    finally:
        assert release.ask(client, path, method="DELETE").status == 200
    assert release.ask(client, f"{path}/json/list").status == 404
