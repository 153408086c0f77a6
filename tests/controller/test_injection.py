"""The sidecar in a client's pod: the whole manifest that comes of it, and the pods that get none."""

import base64
import json

import jsonpatch
import pytest

from browserpool.controller.webhooks import injection, review, sidecar
from browserpool.lib import settings
from browserpool.router.sidecar import settings as sidecar_settings

DEFAULTS = sidecar.Defaults(
    image="registry.example/browserpool-router:1.2.3",
    pull_policy="IfNotPresent",
    router_url="http://browserpool-router.browsers:8080",
    token_secret="browserpool-token",
)
APP = {"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}


def pod(*, labels=None, annotations=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "client-",
            "labels": {"browserpool.dev/inject": "true"} if labels is None else labels,
            "annotations": annotations or {},
        },
        "spec": {"containers": [APP], **spec},
    }


def asked(of):
    return review.asked(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "u1", "namespace": "apps", "operation": "CREATE", "object": of},
        }
    )


def decided(of, defaults=DEFAULTS):
    return injection.decide(asked(of), defaults=defaults)


def patched(of):
    """The pod as the API server makes it of the answer."""
    response = review.answered(asked(of), decided(of))["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u1", True, "JSONPatch")
    return jsonpatch.apply_patch(of, json.loads(base64.b64decode(response["patch"])))


SIDECAR = {
    "name": "browserpool-sidecar",
    "image": "registry.example/browserpool-router:1.2.3",
    "imagePullPolicy": "IfNotPresent",
    "restartPolicy": "Always",
    "command": ["python", "-m", "browserpool.router.sidecar"],
    "env": [
        {"name": "BROWSERPOOL_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "BROWSERPOOL_ROUTER_URL", "value": "http://browserpool-router.browsers:8080"},
        {"name": "BROWSERPOOL_TOKEN_FILE", "value": "/var/run/secrets/browserpool.dev/token"},
        {"name": "BROWSERPOOL_HOST", "value": "127.0.0.1"},
        {"name": "BROWSERPOOL_PORT", "value": "9222"},
        {"name": "BROWSERPOOL_LOG_FORMAT", "value": "json"},
    ],
    "startupProbe": {
        "exec": {
            "command": [
                "python",
                "-I",
                "-S",
                "-c",
                "import socket; socket.create_connection(('127.0.0.1', 9222), 2).close()",
            ]
        },
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": 60,
    },
    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "volumeMounts": [
        {"name": "browserpool-sidecar-token", "mountPath": "/var/run/secrets/browserpool.dev", "readOnly": True},
        {
            "name": "browserpool-sidecar-nothing",
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        },
    ],
}
VOLUMES = [
    {
        "name": "browserpool-sidecar-token",
        "secret": {
            "secretName": "browserpool-token",
            "items": [{"key": "token", "path": "token"}],
            "optional": True,
            "defaultMode": 0o444,
        },
    },
    {"name": "browserpool-sidecar-nothing", "emptyDir": {"sizeLimit": "1Mi"}},
]


def test_a_pod_that_asks_gets_the_sidecar_and_its_token_and_nothing_else():
    assert patched(pod()) == pod(initContainers=[SIDECAR], volumes=VOLUMES)


def test_it_starts_before_the_pods_own_init_containers_and_leaves_its_volumes():
    own, data = {"name": "migrate", "image": "app:1"}, {"name": "data", "emptyDir": {}}
    made = patched(pod(initContainers=[own], volumes=[data]))
    assert made == pod(initContainers=[SIDECAR, own], volumes=[data, *VOLUMES])


def test_annotations_choose_pool_and_port():
    made = patched(pod(annotations={"browserpool.dev/pool": "fast", "browserpool.dev/port": "9333"}))
    (container,) = made["spec"]["initContainers"]
    said = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (said["BROWSERPOOL_POOL"], said["BROWSERPOOL_PORT"]) == ("fast", "9333")
    assert "9333" in container["startupProbe"]["exec"]["command"][-1]


def test_the_sidecar_understands_what_it_is_told():
    made = patched(pod(annotations={"browserpool.dev/pool": "fast", "browserpool.dev/port": "9333"}))
    said = {entry["name"]: entry.get("value", "node-1") for entry in made["spec"]["initContainers"][0]["env"]}
    assert set(said) <= {settings.variable(field) for field in sidecar_settings.SidecarSettings.model_fields}
    read = settings.from_environment(sidecar_settings.SidecarSettings, said)
    assert (read.host, read.port, read.node, read.pool) == ("127.0.0.1", 9333, "node-1", "fast")
    assert read.token_file.startswith(made["spec"]["initContainers"][0]["volumeMounts"][0]["mountPath"] + "/")


def test_the_probe_knocks_and_no_more(tmp_path):
    """It is Python that is run as it stands: what it says must be a program."""
    compile(SIDECAR["startupProbe"]["exec"]["command"][-1], "probe", "exec")


@pytest.mark.parametrize(
    ("of", "outcome"),
    [
        (pod(labels={}), "not_asked"),
        (pod(labels={"browserpool.dev/inject": "false"}), "not_asked"),
        (pod(labels={"browserpool.dev/inject": "True"}), "not_asked"),
        ({"metadata": {}, "spec": {}}, "not_asked"),
        ({}, "not_asked"),
        (pod(initContainers=[SIDECAR], volumes=VOLUMES), "injected_before"),
        (pod(containers=[APP, SIDECAR]), "injected_before"),
    ],
)
def test_who_does_not_ask_or_has_one_is_left_alone(of, outcome):
    answer = decided(of)
    assert answer == review.Answer(outcome=outcome)
    assert review.answered(asked(of), answer)["response"] == {"uid": "u1", "allowed": True}


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (pod(annotations={"browserpool.dev/port": "nine"}), "browserpool.dev/port must be a number"),
        (pod(annotations={"browserpool.dev/port": "80"}), "from 1024 to 65535"),
        (pod(annotations={"browserpool.dev/port": "65536"}), "from 1024 to 65535"),
        (pod(annotations={"browserpool.dev/port": "-1"}), "must be a number"),
        (pod(annotations={"browserpool.dev/port": "٩٢٢٢"}), "must be a number"),
        (pod(annotations={"browserpool.dev/port": ""}), "must be a number"),
        (pod(annotations={"browserpool.dev/port": "9" * 5000}), "must be a number"),
        (pod(annotations={"browserpool.dev/pool": "No Such"}), "must be a pool's name"),
        (pod(annotations={"browserpool.dev/pool": ""}), "must be a pool's name"),
        (pod(hostNetwork=True), "hostNetwork"),
        (pod(os={"name": "windows"}), "Linux only"),
        (pod(volumes=[{"name": "browserpool-sidecar-token", "emptyDir": {}}]), "rename it"),
        (pod(volumes=[{"name": "browserpool-sidecar-nothing", "emptyDir": {}}]), "rename it"),
        (pod(containers=[{"name": "chrome", "ports": [{"containerPort": 9222}]}]), "chrome has port 9222 already"),
        (pod(initContainers=[{"name": "old", "ports": [{"containerPort": 9222}]}]), "old has port 9222 already"),
    ],
)
def test_what_cannot_have_one_is_created_without_and_told_why(of, said):
    response = review.answered(asked(of), decided(of))["response"]
    (warning,) = response.pop("warnings")
    assert response == {"uid": "u1", "allowed": True}
    assert said in warning
    assert warning.startswith("browserpool: no sidecar was added: ")
    assert len(warning) <= 250


def test_without_an_image_nothing_is_injected():
    answer = decided(pod(), sidecar.Defaults(image="", pull_policy="Always", router_url="http://r", token_secret="t"))
    assert (answer.allowed, answer.patch) == (True, ())
    assert "BROWSERPOOL_SIDECAR_IMAGE" in answer.warning


@pytest.mark.parametrize("nothing", ["initContainers", "volumes", "os"])
def test_an_explicit_null_is_as_left_out(nothing):
    assert patched(pod(**{nothing: None}))["spec"]["initContainers"] == [SIDECAR]
