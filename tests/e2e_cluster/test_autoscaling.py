"""Pools that find their number by themselves, and pools that Kubernetes' own autoscaler scales: under load, and no session is cut."""

import contextlib
import json
import pathlib
import re
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


# ---------------------------------------------------------------- by a metric
_ADAPTER = "external-metrics"
_GROUP = "external.metrics.k8s.io"
_ANSWER = f"""
import datetime, http.server, json, os, pathlib, ssl

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        kinds = [{{"name": "externalmetrics", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}}]
        body = {{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "{_GROUP}/v1beta1", "resources": kinds}}
        if len(parts) == 6:
            value = pathlib.Path("/tmp/value").read_text().strip()
            item = {{"metricName": parts[5], "metricLabels": {{}}, "timestamp": now, "value": value}}
            body = {{"kind": "ExternalMetricValueList", "apiVersion": "{_GROUP}/v1beta1", "metadata": {{}}, "items": [item]}}
        known = parts[:3] == ["apis", "{_GROUP}", "v1beta1"]
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body if known else {{}}).encode())

pathlib.Path("/tmp/value").write_text("0")
pathlib.Path("/tmp/both.pem").write_text(os.environ["BOTH"])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/both.pem")
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
_METRICS = """
import os, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:%s/metrics" % os.environ.get("BROWSERPOOL_OPS_PORT", "8081")).read().decode())
"""


@contextlib.contextmanager
def adapter(release):
    """Answers the API server's questions for external metrics, as prometheus-adapter and KEDA do; yields what sets the answer."""
    labels = {"app": _ADAPTER}
    pem = (ROOT / "tests" / "support" / "self_signed.pem").read_text()
    metadata = {"name": _ADAPTER, "namespace": releases.CLIENTS}
    container = {
        "name": "adapter",
        "image": releases.image("router"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", _ANSWER],
        "env": [{"name": "BOTH", "value": pem}],
        "readinessProbe": {"tcpSocket": {"port": 8443}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [container]}
    service = {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]}
    served = {
        "group": _GROUP,
        "version": "v1beta1",
        "service": {"name": _ADAPTER, "namespace": releases.CLIENTS, "port": 443},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = f"v1beta1.{_GROUP}"
    release.cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"labels": labels}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": served},
    )

    def answers(value):
        script = f"import pathlib; pathlib.Path('/tmp/value').write_text('{value}')"
        release.cluster.kubectl("exec", "--namespace", releases.CLIENTS, _ADAPTER, "--", "python", "-c", script)

    try:
        release.cluster.kubectl(
            "wait", f"apiservice/{name}", "--for=condition=Available", "--timeout=120s", timeout=150
        )
        yield answers
    finally:
        release.cluster.kubectl("delete", "apiservice", name)
        for kind in ("service", "pod"):
            release.cluster.delete(kind, _ADAPTER, namespace=releases.CLIENTS)


def in_use(release, pool):
    """What the example's query makes of a router's metrics: browsers in use in the busiest region."""
    router = release.browserpool_pods("router")[0]["metadata"]["name"]
    text = release.cluster.kubectl("exec", "--namespace", releases.NAMESPACE, router, "--", "python", "-c", _METRICS)
    found = re.findall(r"^browserpool_browsers\{(.*)\} (\S+)$", text, flags=re.MULTILINE)
    return max((float(number) for of, number in found if f'pool="{pool}"' in of and 'state="claimed"' in of), default=0)


@pytest.mark.ours
def test_it_keeps_as_many_ready_as_the_metric_says_and_counts_as_the_pool_does(release, client):
    """One for each that is in use: with the browsers in use among them, its average would be half of the target."""
    document = yaml.safe_load((ROOT / "examples" / "hpa.yaml").read_text())
    spec, (metric,) = document["spec"], document["spec"]["metrics"]
    with (
        adapter(release) as answers,
        release.pool("metered", replicas=1, maxReplicas=5, regions=[{"name": "eu"}]) as pool,
        contextlib.ExitStack() as sessions,
    ):
        document["metadata"]["namespace"] = releases.NAMESPACE
        spec["scaleTargetRef"]["name"] = metric["external"]["metric"]["selector"]["matchLabels"]["pool"] = pool
        spec |= {"minReplicas": 1, "maxReplicas": 2}
        metric["external"]["target"]["averageValue"] = "1"
        for _ in range(2):
            sessions.enter_context(session(release, client, pool))
        shell.until(lambda: in_use(release, pool) == 2, what="the router's metric", deadline=30, every=1)
        answers(int(in_use(release, pool)))
        release.cluster.apply(document)
        try:

            def current():
                found = release.cluster.get("hpa", document["metadata"]["name"], namespace=releases.NAMESPACE)
                status = found.get("status", {})
                (one,) = status.get("currentMetrics") or [{}]
                return status.get("desiredReplicas"), one.get("external", {}).get("current", {}).get("averageValue")

            shell.until(lambda: current()[0] == 2, what="two to be wanted", deadline=120, every=1)
            shell.until(lambda: len(uids(release, pool)) == 4, what="two beside two", deadline=120, every=1)
            release.wait_ready(pool)
            assert release.status(pool)["replicas"] == 4
            shell.until(lambda: current() == (2, "1"), what="the average to be the target", deadline=90, every=1)
        finally:
            release.cluster.delete("hpa", document["metadata"]["name"], namespace=releases.NAMESPACE)
