"""The pod's manifest, whole; what a template can change of it, and what it cannot."""

import base64
import copy
from typing import Any

import pytest

from browserpool.agent import settings as agent_settings
from browserpool.controller.desired import labels, merge, pod, shards
from browserpool.lib import plain
from browserpool.model import credentials
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.pool import BrowserPool

OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "controller", "uid": "u1", "controller": True}
DEFAULTS = pod.Defaults(
    namespace="pools",
    image="registry.example/browser:1",
    pull_policy="IfNotPresent",
    router_url="http://router:8080",
    owners=(OWNER,),
)


def manifest(
    *, ordinal: int = 3, region: dict[str, Any] | None = None, defaults: pod.Defaults = DEFAULTS, **spec: Any
) -> dict[str, Any]:
    pool = BrowserPool.model_validate(
        {"metadata": {"name": "shop"}, "spec": {"regions": [region or {"name": "eu"}], **spec}}
    )
    return pod.manifest(pool, pool.spec.regions[0], ordinal=ordinal, template_hash="0123456789", defaults=defaults)


def spread(key: str) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"browserpool.dev/pool": "shop", "browserpool.dev/region": "eu"}},
    }


def secret(key: str, *, number: int = 0) -> dict[str, Any]:
    return {"secretKeyRef": {"name": f"browserpool-browsers-shop-eu-{number}", "key": key}}


def probe(path: str, *, every: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "ops"},
        "periodSeconds": every,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


WHOLE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "shop-eu-3",
        "namespace": "pools",
        "labels": {
            "app.kubernetes.io/name": "browserpool",
            "app.kubernetes.io/component": "browser",
            "app.kubernetes.io/managed-by": "browserpool",
            "browserpool.dev/pool": "shop",
            "browserpool.dev/region": "eu",
            "browserpool.dev/template": "0123456789",
        },
        "annotations": {"browserpool.dev/ordinal": "3"},
        "ownerReferences": [OWNER],
    },
    "spec": {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 40,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {"topology.kubernetes.io/region": "eu"},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")],
        "containers": [
            {
                "name": "browser",
                "image": "registry.example/browser:1",
                "imagePullPolicy": "IfNotPresent",
                "env": [
                    {"name": "BROWSERPOOL_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "BROWSERPOOL_BROWSER_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "BROWSERPOOL_CLAIM_KEY", "valueFrom": secret("3.claim-key")},
                    {"name": "BROWSERPOOL_AGENT_TOKEN", "valueFrom": secret("3.agent-token")},
                    {"name": "BROWSERPOOL_ROUTER_URL", "value": "http://router:8080"},
                    {"name": "BROWSERPOOL_HOST", "value": "0.0.0.0"},
                    {"name": "BROWSERPOOL_PORT", "value": "8082"},
                    {"name": "BROWSERPOOL_OPS_PORT", "value": "8083"},
                    {"name": "BROWSERPOOL_ADVERTISE", "value": "$(BROWSERPOOL_POD_IP):8082"},
                    {"name": "BROWSERPOOL_DATA_DIR", "value": "/data"},
                    {"name": "BROWSERPOOL_CHROMIUM_ARGS", "value": "[]"},
                    {"name": "BROWSERPOOL_CHROMIUM_FEATURES", "value": '["WebGL"]'},
                    {"name": "BROWSERPOOL_EGRESS_ALLOW", "value": "[]"},
                    {"name": "BROWSERPOOL_EGRESS_DENY", "value": "[]"},
                    {"name": "BROWSERPOOL_RECYCLE", "value": "Restart"},
                    {"name": "BROWSERPOOL_RECYCLE_AFTER", "value": "50"},
                    {"name": "BROWSERPOOL_SANDBOX", "value": "off"},
                    {"name": "BROWSERPOOL_LOG_FORMAT", "value": "json"},
                ],
                "ports": [
                    {"name": "api", "containerPort": 8082, "protocol": "TCP"},
                    {"name": "ops", "containerPort": 8083, "protocol": "TCP"},
                ],
                "startupProbe": probe("/readyz", every=1, failures=120),
                "readinessProbe": probe("/readyz", every=5, failures=2),
                "livenessProbe": probe("/healthz", every=10, failures=3),
                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "shm", "mountPath": "/dev/shm"},
                ],
            }
        ],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        ],
    },
}


def test_the_default_pod_is_this():
    assert manifest() == WHOLE


def test_a_template_is_laid_over_it():
    template = {
        "metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}},
        "spec": {
            "priorityClassName": "high",
            "terminationGracePeriodSeconds": None,
            "nodeSelector": {"pool": "browsers"},
            "tolerations": [{"operator": "Exists"}],
            "topologySpreadConstraints": [
                {"topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "containers": [
                {
                    "name": "browser",
                    "resources": {"limits": {"memory": "2Gi", "cpu": "1"}},
                    "env": [{"name": "BROWSERPOOL_SANDBOX", "value": "on"}, {"name": "TZ", "value": "UTC"}],
                    "volumeMounts": [{"name": "fonts", "mountPath": "/fonts"}],
                },
                {"name": "log", "image": "registry.example/log:1"},
            ],
            "volumes": [{"name": "fonts", "configMap": {"name": "fonts"}}],
        },
    }
    expected = copy.deepcopy(WHOLE)
    spec, container = expected["spec"], expected["spec"]["containers"][0]
    expected["metadata"]["labels"]["team"] = "x"
    expected["metadata"]["annotations"]["note"] = "y"
    del spec["terminationGracePeriodSeconds"]
    spec["priorityClassName"] = "high"
    spec["nodeSelector"]["pool"] = "browsers"
    spec["tolerations"] = [{"operator": "Exists"}]
    spec["topologySpreadConstraints"][1]["whenUnsatisfiable"] = "DoNotSchedule"
    container["resources"]["limits"] = {"memory": "2Gi", "cpu": "1"}
    next(one for one in container["env"] if one["name"] == "BROWSERPOOL_SANDBOX")["value"] = "on"
    container["env"].append({"name": "TZ", "value": "UTC"})
    container["volumeMounts"].append({"name": "fonts", "mountPath": "/fonts"})
    spec["containers"].append({"name": "log", "image": "registry.example/log:1"})
    spec["volumes"].append({"name": "fonts", "configMap": {"name": "fonts"}})
    assert manifest(template=template) == expected


def test_a_template_cannot_take_away_what_the_controller_knows_its_pods_by():
    stolen = dict.fromkeys(WHOLE["metadata"]["labels"], "x")
    template = {
        "metadata": {"labels": stolen, "annotations": {labels.ORDINAL: "9"}, "name": "other"},
        "spec": {"nodeSelector": {labels.NODE_REGION: "us"}},
    }
    assert manifest(template=template) == WHOLE


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ({"name": "eu"}, {"topology.kubernetes.io/region": "eu"}),
        ({"name": "eu", "nodeSelector": {"example.com/site": "1"}}, {"example.com/site": "1"}),
        ({"name": "local"}, {}),
        ({"name": "local", "nodeSelector": {"a": "b"}}, {"a": "b"}),
    ],
)
def test_a_regions_nodes(region, expected):
    assert manifest(region=region)["spec"]["nodeSelector"] == expected


def environment(made: dict[str, Any]) -> dict[str, str]:
    """What the container sees, with what Kubernetes fills in."""
    given: dict[str, str] = {"BROWSERPOOL_POD_IP": "10.0.0.7", "BROWSERPOOL_BROWSER_ID": made["metadata"]["name"]}
    for one in made["spec"]["containers"][0]["env"]:
        if "secretKeyRef" in one.get("valueFrom", {}):
            given[one["name"]] = "a secret"
        elif "value" in one:
            value = one["value"].replace("$(BROWSERPOOL_POD_IP)", given["BROWSERPOOL_POD_IP"])
            given[one["name"]] = value.replace("$$", "$")
    return given


def test_an_agent_reads_the_environment_as_the_pool_meant_it():
    made = manifest(
        chromium={"image": "registry.example/own:1", "args": ["--lang=de", "--flag=$(HOME)"], "features": ["WebMCP"]},
        sessions={"recycle": "Delete", "recycleAfter": 7},
        egress={"allow": ["10.0.0.0/8"], "deny": ["1.1.1.1/32"]},
    )
    assert made["spec"]["containers"][0]["image"] == "registry.example/own:1"
    read = plain.from_environment(agent_settings.AgentSettings, environment(made))
    assert (read.browser_id, read.advertise, read.port, read.ops_port) == ("shop-eu-3", "10.0.0.7:8082", 8082, 8083)
    assert tuple(read.chromium_args) == ("--lang=de", "--flag=$(HOME)")
    assert read.chromium_features == ("WebMCP",)
    assert (tuple(read.egress_allow), tuple(read.egress_deny)) == (("10.0.0.0/8",), ("1.1.1.1/32",))
    assert (read.recycle, read.recycle_after, read.sandbox, read.data_dir) == ("Delete", 7, "off", "/data")


def test_no_secret_stands_in_the_pod():
    assert "a signing key" not in str(manifest())
    assert not [one for one in manifest()["spec"]["containers"][0]["env"] if "KEY" in one["name"] and "value" in one]


def test_pull_secrets_are_named():
    made = manifest(
        defaults=pod.Defaults(namespace="n", image="i", pull_policy="Always", router_url="u", pull_secrets=("a", "b"))
    )
    assert made["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


# ---------------------------------------------------------------- merge
@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="what only one has"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}, id="maps key by key"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}, id="null takes away"),
        pytest.param({}, {"a": {"b": None}}, {"a": {}}, id="null where there is nothing"),
        pytest.param({"tolerations": [1]}, {"tolerations": [2]}, {"tolerations": [2]}, id="other lists whole"),
        pytest.param({"volumes": [{"name": "a"}]}, {"volumes": None}, {}, id="a list taken away"),
        pytest.param(
            {"ports": [{"containerPort": 1, "name": "x"}]},
            {"ports": [{"containerPort": 2}, {"containerPort": 1, "name": "y"}]},
            {"ports": [{"containerPort": 1, "name": "y"}, {"containerPort": 2}]},
            id="lists by their key, in the order of the first",
        ),
    ],
)
def test_merging(base, over, expected):
    before = copy.deepcopy((base, over))
    assert merge.merged(base, over) == expected
    assert (base, over) == before


# ---------------------------------------------------------------- secrets
def test_a_shard_holds_the_credentials_of_its_ordinals():
    made = shards.secret(
        pool=PoolName("shop"),
        region=RegionName("eu"),
        number=1,
        namespace="pools",
        signing_key="k" * 16,
        owners=[OWNER],
    )
    assert made["metadata"]["name"] == "browserpool-browsers-shop-eu-1"
    assert len(made["data"]) == 2 * shards.ORDINALS
    browser_id = BrowserId("shop-eu-399")
    assert base64.b64decode(made["data"]["399.claim-key"]).decode() == credentials.claim_key(
        signing_key="k" * 16, browser_id=browser_id
    )
    assert base64.b64decode(made["data"]["399.agent-token"]).decode() == credentials.agent_token(
        signing_key="k" * 16, browser_id=browser_id
    )


@pytest.mark.parametrize("ordinal", [0, 199, 200, 399, 400])
def test_a_pod_takes_its_credentials_from_the_shard_that_holds_them(ordinal):
    made = manifest(ordinal=ordinal)
    number = shards.shard(ordinal)
    held = shards.secret(
        pool=PoolName("shop"),
        region=RegionName("eu"),
        number=number,
        namespace="pools",
        signing_key="k" * 16,
        owners=[],
    )
    for one in made["spec"]["containers"][0]["env"][2:4]:
        assert one["valueFrom"]["secretKeyRef"]["name"] == held["metadata"]["name"]
        assert one["valueFrom"]["secretKeyRef"]["key"] in held["data"]


def test_a_pod_is_told_which_database_it_is_registered_in_and_says_so():
    region = {"name": "eu", "databaseSecretRef": {"name": "own", "key": "url"}}
    made = manifest(region=region)
    (told,) = [one for one in made["spec"]["containers"][0]["env"] if one["name"] == "BROWSERPOOL_DATABASE"]
    assert told["value"] == made["metadata"]["annotations"][labels.DATABASE] == "own/url"


def test_a_template_cannot_say_that_it_is_in_another():
    template = {"metadata": {"annotations": {labels.DATABASE: "false/dsn", "note": "x"}}}
    assert manifest(template=template)["metadata"]["annotations"] == {"note": "x", labels.ORDINAL: "3"}
    moved = manifest(template=template, region={"name": "eu", "databaseSecretRef": {"name": "own"}})
    assert moved["metadata"]["annotations"][labels.DATABASE] == "own/dsn"
