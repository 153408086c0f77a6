"""The manifest of a browser's pod: the default, with the pool's template laid over it.

The default passes Pod Security's level ``restricted``. What identifies the pod (its name, its labels) and where it may stand cannot be
overridden: the controller would lose sight of it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import orjson

from browserpool.controller.desired import labels, merge, shards
from browserpool.model import names
from browserpool.model.names import HOME, RegionName
from browserpool.model.pool import BrowserPool, Region

CONTAINER: Final = "browser"
API_PORT, OPS_PORT = 8082, 8083
USER: Final = 65532
"""The images' user; no account of any node has it."""
ANY_NODE: Final = RegionName("local")
"""The region of those who have no regions: its pods may stand anywhere."""
GRACE: Final = 40
"""Seconds: the agent lets what runs finish for 30, then closes Chromium."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What all browsers' pods of an installation have in common."""

    namespace: str
    image: str
    pull_policy: str
    router_url: str
    pull_secrets: tuple[str, ...] = ()
    owners: tuple[dict[str, Any], ...] = ()
    mark: str = ""
    """Differs when anything that pods are to be replaced for does, other than the image."""


def manifest(
    pool: BrowserPool, region: Region, *, ordinal: int, template_hash: str, defaults: Defaults
) -> dict[str, Any]:
    """The pod of this ordinal, complete."""
    region_name = RegionName(region.name)
    template = pool.spec.template
    given = template.get("metadata", {})
    noted = {name: value for name, value in given.get("annotations", {}).items() if name != labels.DATABASE}
    own = labels.of(pool=pool.name, region=region_name) | {labels.TEMPLATE: template_hash}
    spec = merge.merged(_spec(pool, region, ordinal=ordinal, defaults=defaults), template.get("spec", {}))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.browser_id(pool=pool.name, region=region_name, ordinal=ordinal),
            "namespace": defaults.namespace,
            "labels": {**given.get("labels", {}), **own},
            "annotations": {**noted, labels.ORDINAL: str(ordinal), **_database(region, labels.DATABASE)},
            "ownerReferences": list(defaults.owners),
        },
        "spec": spec | {"nodeSelector": spec.get("nodeSelector", {}) | node_selector(region)},
    }


def node_selector(region: Region) -> dict[str, str]:
    """The labels of the nodes that are this region."""
    if region.node_selector or region.name == ANY_NODE:
        return dict(region.node_selector)
    return {labels.NODE_REGION: region.name}


def _database(region: Region, name: str) -> dict[str, str]:
    """Where its browsers are registered, under this name; nothing of the installation's own."""
    present = region.databases[0]
    return {} if present == HOME else {name: present}


def _spec(pool: BrowserPool, region: Region, *, ordinal: int, defaults: Defaults) -> dict[str, Any]:
    spec = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": GRACE,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [_spread(pool, region, key) for key in (labels.NODE_ZONE, labels.NODE_NAME)],
        "containers": [_container(pool, region, ordinal=ordinal, defaults=defaults)],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        ],
    }
    secrets = [{"name": name} for name in defaults.pull_secrets]
    return spec | ({"imagePullSecrets": secrets} if secrets else {})


def _spread(pool: BrowserPool, region: Region, key: str) -> dict[str, Any]:
    """Evenly if that can be had: a claim finds a browser near it, and no node takes all of them with it."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {labels.POOL: pool.name, labels.REGION: region.name}},
    }


def _container(pool: BrowserPool, region: Region, *, ordinal: int, defaults: Defaults) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": pool.spec.chromium.image or defaults.image,
        "imagePullPolicy": defaults.pull_policy,
        "env": _environment(pool, region, ordinal=ordinal, defaults=defaults),
        "ports": [
            {"name": "api", "containerPort": API_PORT, "protocol": "TCP"},
            {"name": "ops", "containerPort": OPS_PORT, "protocol": "TCP"},
        ],
        # Ready after seconds; two minutes for a node that is very busy.
        "startupProbe": _probe("/readyz", every=1, failures=120),
        "readinessProbe": _probe("/readyz", every=5, failures=2),
        "livenessProbe": _probe("/healthz", every=10, failures=3),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a volume of the pod's own
        ],
    }


def _probe(path: str, *, every: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "ops"},
        "periodSeconds": every,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _environment(pool: BrowserPool, region: Region, *, ordinal: int, defaults: Defaults) -> list[dict[str, Any]]:
    """The agent's settings. Kubernetes fills in what is written as ``$(NAME)`` from what stands above it."""
    spec = pool.spec
    secret = shards.name(pool=pool.name, region=RegionName(region.name), number=shards.shard(ordinal))
    return [
        {"name": "BROWSERPOOL_POD_IP", "valueFrom": _field("status.podIP")},
        {"name": "BROWSERPOOL_BROWSER_ID", "valueFrom": _field("metadata.name")},
        {"name": "BROWSERPOOL_CLAIM_KEY", "valueFrom": _key(secret, shards.claim_key(ordinal))},
        {"name": "BROWSERPOOL_AGENT_TOKEN", "valueFrom": _key(secret, shards.agent_token(ordinal))},
        *_plain(
            {
                "ROUTER_URL": defaults.router_url,
                **_database(region, "DATABASE"),
                "HOST": "0.0.0.0",  # noqa: S104 - the pod's own network namespace
                "PORT": str(API_PORT),
                "OPS_PORT": str(OPS_PORT),
                "ADVERTISE": f"$(BROWSERPOOL_POD_IP):{API_PORT}",
                "DATA_DIR": "/data",
                "CHROMIUM_ARGS": _json(spec.chromium.args),
                "CHROMIUM_FEATURES": _json(spec.chromium.features),
                "EGRESS_ALLOW": _json(spec.egress.allow),
                "EGRESS_DENY": _json(spec.egress.deny),
                "RECYCLE": spec.sessions.recycle.value,
                "RECYCLE_AFTER": str(spec.sessions.recycle_after),
                # Chromium's own sandbox needs user namespaces, which RuntimeDefault gives to no container without
                # capabilities: the container is the sandbox. Where the pool's seccomp profile allows them: env, "on".
                "SANDBOX": "off",
                "LOG_FORMAT": "json",
            }
        ),
    ]


def _plain(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": f"BROWSERPOOL_{name}", "value": value} for name, value in values.items()]


def _json(texts: Sequence[str]) -> str:
    # A dollar sign doubled: Kubernetes would otherwise read $(NAME) in an argument of the manifest's.
    return orjson.dumps(list(texts)).decode().replace("$", "$$")


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}


def _key(secret: str, key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": secret, "key": key}}
