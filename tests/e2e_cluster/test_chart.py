"""The chart on a real cluster, by real Helm: installing, testing, upgrading, a migration that fails, uninstalling."""

import json

import pytest

from browserpool.controller import rights
from cluster import shell
from support import charts
from support import release as releases

SECOND = "chart-second"
"""The namespace of a release whose database is not its own."""


def uids(pods):
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in pods}


def secrets(cluster, namespace):
    """What the chart generated there."""
    found = cluster.listing("secrets", namespace=namespace, selector="helm.sh/chart")
    return {one["metadata"]["name"]: one["data"] for one in found}


def helm(cluster, *arguments, namespace=releases.NAMESPACE, timeout=660):
    return cluster.helm(*arguments, "--namespace", namespace, timeout=timeout)


@pytest.fixture(scope="module")
def pool(release):
    with release.pool("charted", regions=[{"name": "eu", "replicas": 1, "maxReplicas": 2}]) as name:
        yield name


# ---------------------------------------------------------------- what stands
def test_helms_own_test_renders_a_page_in_each_pool(release, pool):
    helm(release.cluster, "test", "browserpool", "--timeout", "3m")
    said = release.cluster.logs("browserpool-test", namespace=releases.NAMESPACE)
    assert f"The pool {pool} renders pages." in said


def test_a_router_stands_on_each_node_and_the_service_keeps_to_it(release):
    nodes = {pod["spec"]["nodeName"] for pod in release.browserpool_pods("router")}
    assert nodes == {node.name for node in release.cluster.nodes()}
    service = release.cluster.get("service", "browserpool-router", namespace=releases.NAMESPACE)
    assert service["spec"]["trafficDistribution"] == "PreferSameNode"


def test_the_two_controllers_stand_on_two_nodes(release):
    assert len({pod["spec"]["nodeName"] for pod in release.browserpool_pods("controller")}) == 2


@pytest.mark.parametrize("component", ["router", "browser", "database"])
def test_no_pod_but_the_controllers_has_a_token_for_the_api_server(release, pool, component):
    pods = release.browserpool_pods(component)
    assert pods
    for pod in pods:
        mounts = [mount["mountPath"] for one in pod["spec"]["containers"] for mount in one["volumeMounts"]]
        assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts


# ---------------------------------------------------------------- rights
ACCOUNT = f"system:serviceaccount:{releases.NAMESPACE}:browserpool-controller"
NAMES = {rights.LEASE: "browserpool-controller", rights.DEPLOYMENT: "browserpool-controller"}
RIGHTS = rights.granted(rights.rules(rights.NAMESPACE, names=NAMES))
EVERYWHERE = rights.granted(rights.rules(rights.CLUSTER, names=NAMES))
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


def may(cluster, verb, resource, *, group="", name="", namespace=releases.NAMESPACE):
    """What the API server itself answers, of the controller's account."""
    kind, _, sub = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": kind, "subresource": sub, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": attributes | ({"namespace": namespace} if namespace else {})},
    }
    made = cluster.kubectl("create", "--filename", "-", "--output", "json", text=json.dumps(review))
    return json.loads(made)["status"]["allowed"]


def test_the_controller_may_do_what_it_needs(release):
    for group, resource, verb, name in RIGHTS:
        assert may(release.cluster, verb, resource, group=group, name=name), (group, resource, verb, name)
    for group, resource, verb, _ in EVERYWHERE:
        assert may(release.cluster, verb, resource, group=group, namespace=""), (group, resource, verb)


def test_and_nothing_else_here(release):
    resources = sorted({(group, resource) for group, resource, _, _ in RIGHTS})
    resources += [
        ("", "configmaps"),
        ("", "pods/exec"),
        ("", "pods/eviction"),
        ("", "serviceaccounts/token"),
        ("apps", "daemonsets"),
    ]
    resources += [("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "rolebindings")]
    granted = {(group, resource, verb) for group, resource, verb, _ in RIGHTS}
    more = [
        (group, resource, verb)
        for group, resource in resources
        for verb in VERBS
        if (group, resource, verb) not in granted and may(release.cluster, verb, resource, group=group, name="another")
    ]
    assert more == []


def test_a_right_to_one_object_is_none_to_another(release):
    held_to_a_name = [right for right in RIGHTS if right[3]]
    assert len(held_to_a_name) >= 3
    for group, resource, verb, _ in held_to_a_name:
        assert not may(release.cluster, verb, resource, group=group, name="another")


def test_in_other_namespaces_it_may_do_nothing(release):
    for group, resource, verb, name in RIGHTS:
        assert not may(release.cluster, verb, resource, group=group, name=name, namespace=releases.CLIENTS)
    for verb in VERBS:
        assert may(release.cluster, verb, "nodes", namespace="") == (verb in {"list", "watch"})
        assert not may(release.cluster, verb, "namespaces", namespace="")


# ---------------------------------------------------------------- upgrades
def test_an_upgrade_keeps_secrets_tokens_and_browsers(release, client, pool):
    cluster = release.cluster
    before, browsers = secrets(cluster, releases.NAMESPACE), uids(release.pods(pool))
    controllers = uids(release.browserpool_pods("controller"))
    assert len(before) >= 4
    helm(
        cluster,
        "upgrade",
        "browserpool",
        str(charts.CHART),
        "--reuse-values",
        "--set",
        "logLevel=DEBUG",
        "--wait",
        "--force-conflicts",
    )
    try:
        assert secrets(cluster, releases.NAMESPACE) == before
        assert not uids(release.browserpool_pods("controller")).items() & controllers.items(), "they were replaced"
        release.wait_ready(pool)
        assert uids(release.pods(pool)) == browsers
        assert release.act(client, pool).status == 200
    finally:
        helm(cluster, "rollback", "browserpool", "--wait", "--force-conflicts")


# ---------------------------------------------------------------- a database of one's own
@pytest.fixture(scope="module")
def second(release):
    """A namespace for another release, with a database of its own on the first one's server."""
    cluster = release.cluster
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SECOND, "labels": labels}})
    cluster.apply(_door(SECOND))
    sql = ["psql", "-h", "/var/run/postgresql", "-U", "browserpool", "postgres", "-c", "create database second"]
    cluster.exec("browserpool-database-0", *sql, namespace=releases.NAMESPACE)
    own = cluster.get("secret", "browserpool-database", namespace=releases.NAMESPACE)["data"]["dsn"]
    dsn = charts.decoded(own).decode().removesuffix("/browserpool")
    for name, value in {"right": f"{dsn}/second", "wrong": f"{dsn}/nothing-of-that-name"}.items():
        cluster.apply({**_secret(name, value), "metadata": {"name": name, "namespace": SECOND}})
    yield SECOND
    helm(cluster, "uninstall", "browserpool", "--ignore-not-found", "--wait", namespace=SECOND)
    cluster.delete("namespace", SECOND, timeout=180)


def _secret(name, value):
    return {"apiVersion": "v1", "kind": "Secret", "stringData": {"dsn": value}}


def _door(namespace):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "second", "namespace": releases.NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": "database"}},
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]}],
        },
    }


def _install(cluster, tmp_path, *, command, secret, **more):
    values = {
        "image": releases.VALUES["image"],
        "database": {"existingSecret": secret},
        # The first release keeps them current.
        "crds": {"install": False},
        "router": {"kind": "Deployment", "replicas": 1},
        "controller": {"replicas": 1},
        **more,
    }
    given = tmp_path / "values.json"
    given.write_text(json.dumps(values))
    helm(cluster, command, "browserpool", str(charts.CHART), "--values", str(given), "--wait", namespace=SECOND)


def test_with_a_database_of_ones_own_a_hook_migrates_first_and_a_failing_one_changes_nothing(release, second, tmp_path):
    cluster = release.cluster
    _install(cluster, tmp_path, command="install", secret="right")
    helm(cluster, "test", "browserpool", "--timeout", "3m", namespace=second)
    assert cluster.listing("jobs", namespace=second) == [], "it is deleted once it has succeeded"
    pods = uids(cluster.listing("pods", namespace=second, selector="pod-template-hash"))
    assert len(pods) == 2
    with pytest.raises(shell.Failed, match="pre-upgrade"):
        _install(
            cluster,
            tmp_path,
            command="upgrade",
            secret="wrong",
            logLevel="DEBUG",
            migrations={"wait": 0, "deadline": 30},
        )
    assert uids(cluster.listing("pods", namespace=second, selector="pod-template-hash")) == pods
    (job,) = cluster.listing("jobs", namespace=second)
    said = cluster.kubectl("logs", f"job/{job['metadata']['name']}", "--namespace", second, "--container", "migrate")
    assert "nothing-of-that-name" in said, "it says why"
    helm(cluster, "uninstall", "browserpool", "--wait", namespace=second)

    def gone():
        return not cluster.listing("pods", namespace=second, selector="pod-template-hash")

    shell.until(gone, what="the second release's pods gone", deadline=120, every=1)
    kept = {one["metadata"]["name"] for one in cluster.listing("crds", namespace="")}
    assert {"browserpools.browserpool.dev", "browsersessions.browserpool.dev"} <= kept
