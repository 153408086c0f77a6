"""The installation's name in its database: found in the cluster, and kept. A server on loopback answers Helm as the API server would."""

import contextlib
import http.server
import json
import threading

import helm_python
import pytest
import yaml

from support import charts

NAMESPACE = f"/api/v1/namespaces/{charts.NAMESPACE}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{charts.NAMESPACE}/deployments/browserpool-controller"
EXISTING = {"database": {"existingSecret": "dsn"}}
NAMED = {**EXISTING, "controller": {"installation": "mine"}}


def resources(version, **kinds):
    """What an API server says of a group's version: its kinds, by the plural."""
    found = [
        {"name": plural, "kind": kind, "namespaced": kind != "Namespace", "singularName": "", "verbs": ["get"]}
        for plural, kind in kinds.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": found}


KNOWN = {
    "/api/v1": resources("v1", namespaces="Namespace", secrets="Secret"),
    "/apis/apps/v1": resources("apps/v1", deployments="Deployment"),
}


@contextlib.contextmanager
def cluster(objects):
    """A server that has these objects by their paths; yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            found = (KNOWN | objects).get(path)
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(found or missing).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


def name(documents):
    (container,) = charts.one(documents, "Deployment", "browserpool-controller")["spec"]["template"]["spec"][
        "containers"
    ]
    (found,) = [one["value"] for one in container["env"] if one["name"] == "BROWSERPOOL_INSTALLATION"]
    return found


def named_in(objects, values):
    with cluster(objects) as url, helm_python.Chart.load(charts.CHART) as chart:
        config = helm_python.Config(kube_apiserver=url, namespace=charts.NAMESPACE)
        try:
            texts = config.render(chart, values, name="browserpool", namespace=charts.NAMESPACE, is_install=True)
        finally:
            config.close()
    text = next(text for path, text in texts.items() if path.endswith("controller/deployment.yaml"))
    return name([one for one in yaml.safe_load_all(text) if one])


def namespace(uid):
    return {NAMESPACE: {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": charts.NAMESPACE, "uid": uid}}}


def deployment(*env):
    containers = [{"name": "controller", "env": [{"name": "BROWSERPOOL_HOST", "value": "::"}, *env]}]
    return {
        DEPLOYMENT: {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": "browserpool-controller"},
            "spec": {"template": {"spec": {"containers": containers}}},
        }
    }


def had(**value):
    return deployment({"name": "BROWSERPOOL_INSTALLATION", **value})


CASES = {
    "a new one takes its namespace's uid": ({**namespace("u-1")}, EXISTING, "u-1"),
    "its namespace is made with it": ({}, EXISTING, ""),
    "it keeps what it had": ({**namespace("u-1"), **had(value="u-0")}, EXISTING, "u-0"),
    "it keeps that it had none": ({**namespace("u-1"), **had()}, EXISTING, ""),
    "it is older than names": ({**namespace("u-1"), **deployment()}, EXISTING, "u-1"),
    "the values say it": ({**namespace("u-1"), **had(value="u-0")}, NAMED, "mine"),
}


@pytest.mark.parametrize(("objects", "values", "expected"), CASES.values(), ids=CASES.keys())
def test_an_installation_has_one_name_and_keeps_it(objects, values, expected):
    assert named_in(objects, values) == expected


@pytest.mark.parametrize(("values", "expected"), [(EXISTING, ""), (NAMED, "mine")])
def test_without_a_cluster_it_is_the_values_or_the_namespaces(values, expected):
    assert name(charts.rendered(values)) == expected
