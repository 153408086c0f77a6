"""The chart on a real cluster, by real Helm: installing, testing, upgrading, a migration that fails, uninstalling."""

import json
import pathlib
import shutil

import pytest
import yaml

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


def test_a_token_made_in_a_routers_pod_is_good_for_its_pools_until_it_is_removed(release, client, pool):
    router = release.browserpool_pods("router")[0]["metadata"]["name"]

    def command(*arguments):
        words = ["python", "-m", "browserpool", "token", *arguments]
        return release.cluster.exec(router, *words, namespace=releases.NAMESPACE).strip()

    assert release.act(client, pool, token=command("put", "elsewhere", "--pool", "another")).status == 403
    secret = command("put", "ci", "--pool", pool, "--rate", "100")
    assert release.act(client, pool, token=secret).status == 200
    assert f"ci\t{pool}\t100 requests/s" in command("list")
    command("remove", "ci")

    def refused():
        return release.act(client, pool, token=secret).status == 401

    shell.until(refused, what="the removed token refused", deadline=30, every=0.5)


# ---------------------------------------------------------------- rights
ACCOUNT = f"system:serviceaccount:{releases.NAMESPACE}:browserpool-controller"
NAMES = {rights.LEASE: "browserpool-controller", rights.DEPLOYMENT: "browserpool-controller"}
RIGHTS = rights.granted(rights.rules(rights.NAMESPACE, names=NAMES))
EVERYWHERE = rights.granted(rights.rules(rights.CLUSTER, names=NAMES))
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


def allowed(cluster, questions, *, namespace=releases.NAMESPACE):
    """Those of (group, resource, verb, name) that the API server itself allows to the controller's account; all in one request."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [_review(*one, namespace=namespace) for one in questions]}
    said = cluster.kubectl("create", "--filename", "-", "--output", "json", text=json.dumps(listed))
    # One object after the other where there are several.
    decoder, answers = json.JSONDecoder(), []
    while said := said.strip():
        answer, end = decoder.raw_decode(said)
        answers += answer.get("items", [answer])
        said = said[end:]
    assert len(answers) == len(questions)
    return {one for one, answer in zip(questions, answers, strict=True) if answer["status"]["allowed"]}


def _review(group, resource, verb, name, *, namespace):
    kind, _, sub = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": kind, "subresource": sub, "name": name}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": attributes | ({"namespace": namespace} if namespace else {})},
    }


def test_the_controller_may_do_what_it_needs(release):
    assert allowed(release.cluster, sorted(RIGHTS)) == RIGHTS
    assert allowed(release.cluster, sorted(EVERYWHERE), namespace="") == EVERYWHERE


def test_and_nothing_else_here(release):
    resources = {(group, resource) for group, resource, _, _ in RIGHTS}
    resources |= {("", name) for name in ("configmaps", "pods/exec", "pods/eviction", "serviceaccounts/token")}
    resources |= {("apps", "daemonsets")} | {("rbac.authorization.k8s.io", name) for name in ("roles", "rolebindings")}
    granted = {right[:3] for right in RIGHTS}
    asked = [
        (group, resource, verb, "another")
        for group, resource in sorted(resources)
        for verb in VERBS
        if (group, resource, verb) not in granted
    ]
    assert len(asked) > 80
    assert allowed(release.cluster, asked) == set()


def test_a_right_to_one_object_is_none_to_another(release):
    held_to_a_name = [(group, resource, verb, "another") for group, resource, verb, name in sorted(RIGHTS) if name]
    assert len(held_to_a_name) >= 3
    assert allowed(release.cluster, held_to_a_name) == set()


def test_in_other_namespaces_it_may_do_nothing(release):
    assert allowed(release.cluster, sorted(RIGHTS), namespace=releases.CLIENTS) == set()
    everywhere = [("", kind, verb, "") for kind in ("nodes", "namespaces", "secrets", "pods") for verb in VERBS]
    assert allowed(release.cluster, everywhere, namespace="") == EVERYWHERE


# ---------------------------------------------------------------- upgrades
COLUMN = {"name": "Newer", "type": "string", "jsonPath": ".spec.spillover"}


@pytest.fixture
def newer(tmp_path):
    """The chart of a next version, whose pools have one more column."""
    copied = pathlib.Path(shutil.copytree(charts.CHART, tmp_path / "browserpool"))
    (path,) = (copied / "files" / "crds").glob("*_browserpools.yaml")
    definition = yaml.safe_load(path.read_text())
    definition["spec"]["versions"][0]["additionalPrinterColumns"].append(COLUMN)
    path.write_text(yaml.safe_dump(definition))
    return copied


def columns(cluster):
    definition = cluster.get("crd", "browserpools.browserpool.dev", namespace="")
    return {one["name"] for one in definition["spec"]["versions"][0]["additionalPrinterColumns"]}


def test_an_upgrade_keeps_secrets_tokens_and_browsers_and_carries_the_definitions(release, client, pool, newer):
    cluster = release.cluster
    before, browsers = secrets(cluster, releases.NAMESPACE), uids(release.pods(pool))
    controllers = uids(release.browserpool_pods("controller"))
    assert len(before) >= 4
    assert "Newer" not in columns(cluster)
    # Forced, since others of the run have written the definitions by kubectl.
    how = ["--reuse-values", "--set", "logLevel=DEBUG", "--wait", "--force-conflicts"]
    helm(cluster, "upgrade", "browserpool", str(newer), *how)
    try:
        assert "Newer" in columns(cluster)
        assert secrets(cluster, releases.NAMESPACE) == before
        assert not uids(release.browserpool_pods("controller")).items() & controllers.items(), "they were replaced"
        release.wait_ready(pool)
        assert uids(release.pods(pool)) == browsers
        assert release.act(client, pool).status == 200
    finally:
        helm(cluster, "rollback", "browserpool", "--wait", "--force-conflicts")
    assert "Newer" not in columns(cluster)


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
