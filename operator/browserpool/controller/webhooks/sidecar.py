"""The sidecar as it stands in a client's pod: its container and the volume that holds its token. Pure.

It passes Pod Security's level ``restricted`` by itself, whatever the pod says: a sidecar must not be what a namespace refuses a pod for.
"""

import dataclasses
from typing import Any, Final

from browserpool.model.names import PoolName

CONTAINER: Final = "browserpool-sidecar"
VOLUME: Final = "browserpool-sidecar-token"
NOTHING: Final = "browserpool-sidecar-nothing"
TOKENS: Final = "/var/run/secrets/browserpool.dev"
ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_KEY: Final = "token"  # noqa: S105 - a key's name
HOST: Final = "127.0.0.1"
USER: Final = 65532
"""The images' user."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What all sidecars of an installation have in common. ``token_secret`` is looked for in the client's own namespace."""

    image: str
    pull_policy: str
    router_url: str
    token_secret: str


def container(defaults: Defaults, *, pool: PoolName | None, port: int) -> dict[str, Any]:
    """The native sidecar. ``pool`` None: the only one there is, or the token's only one."""
    return {
        "name": CONTAINER,
        "image": defaults.image,
        "imagePullPolicy": defaults.pull_policy,
        # What makes an init container a sidecar: it runs on beside the others, and does not keep a Job from ending.
        "restartPolicy": "Always",
        "command": ["python", "-m", "browserpool.router.sidecar"],
        "env": _environment(defaults, pool=pool, port=port),
        "startupProbe": _startup(port),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": VOLUME, "mountPath": TOKENS, "readOnly": True},
            # The API server gives each container the pod's service account, unless something else is there already.
            {"name": NOTHING, "mountPath": ACCOUNT, "readOnly": True},
        ],
    }


def volumes(defaults: Defaults) -> list[dict[str, Any]]:
    """The token, and nothing where the client's service account would be.

    A Secret that is not there must not keep the pod from starting; the sidecar then says how to mend it.
    """
    items = [{"key": TOKEN_KEY, "path": TOKEN_KEY}]
    # Readable by the sidecar's user, who is not root and may not be in a group of the pod's; no other container mounts it.
    secret = {"secretName": defaults.token_secret, "items": items, "optional": True, "defaultMode": 0o444}
    return [{"name": VOLUME, "secret": secret}, {"name": NOTHING, "emptyDir": {"sizeLimit": "1Mi"}}]


def _environment(defaults: Defaults, *, pool: PoolName | None, port: int) -> list[dict[str, Any]]:
    values = {
        "ROUTER_URL": defaults.router_url,
        "TOKEN_FILE": f"{TOKENS}/{TOKEN_KEY}",
        "HOST": HOST,
        "PORT": str(port),
        "LOG_FORMAT": "json",
    }
    return [
        {"name": "BROWSERPOOL_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        *({"name": f"BROWSERPOOL_{name}", "value": value} for name, value in values.items()),
        *([{"name": "BROWSERPOOL_POOL", "value": pool}] if pool else []),
    ]


def _startup(port: int) -> dict[str, Any]:
    """The pod's own containers start when the sidecar listens, which does not wait for a router, a token or a browser.

    The port is the pod's loopback, which kubelet's own probes do not reach; hence a command, without site-packages: 15 ms.
    """
    knock = f"import socket; socket.create_connection(('{HOST}', {port}), 2).close()"
    return {
        "exec": {"command": ["python", "-I", "-S", "-c", knock]},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": 60,
    }
