"""Whether a pod gets a sidecar, and the JSON patch that adds it. Pure. Nothing here refuses a pod: what cannot be done is a warning."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from browserpool.controller.desired import labels
from browserpool.controller.webhooks import review, sidecar
from browserpool.model import names
from browserpool.model.names import PoolName

POOL: Final = labels.POOL
PORT: Final = "browserpool.dev/port"
DEFAULT_PORT: Final = 9222
LOWEST_PORT: Final = 1024
"""The sidecar has no capability that opens a lower one."""
_NUMBER: Final = re.compile(r"[0-9]{1,5}")


class _CannotInject(Exception):
    """Why not, as a sentence."""


def decide(request: review.Request, *, defaults: sidecar.Defaults) -> review.Answer:
    """What becomes of the pod: always created, with a sidecar if it asks for one and can have it."""
    pod = request.object
    if _labels(pod).get(labels.INJECT) != "true":
        return review.Answer(outcome="not_asked")
    if _has_sidecar(pod):
        return review.Answer(outcome="injected_before")
    try:
        return review.Answer(outcome="injected", patch=_patch(pod, defaults=defaults))
    except _CannotInject as why:
        return review.Answer(outcome="cannot", warning=f"browserpool: no sidecar was added: {why}")


def _patch(pod: Mapping[str, Any], *, defaults: sidecar.Defaults) -> tuple[review.Operation, ...]:
    spec = pod.get("spec") or {}
    pool, port = _pool(pod), _port(pod)
    _check(spec, port=port, defaults=defaults)
    made = sidecar.container(defaults, pool=pool, port=port)
    # First, so that the pod's other init containers find a browser too.
    init = (
        {"op": "add", "path": "/spec/initContainers/0", "value": made}
        if spec.get("initContainers")
        else {"op": "add", "path": "/spec/initContainers", "value": [made]}
    )
    return init, *_volumes(spec, sidecar.volumes(defaults))


def _volumes(spec: Mapping[str, Any], more: list[dict[str, Any]]) -> list[review.Operation]:
    if not spec.get("volumes"):
        return [{"op": "add", "path": "/spec/volumes", "value": more}]
    return [{"op": "add", "path": "/spec/volumes/-", "value": one} for one in more]


def _check(spec: Mapping[str, Any], *, port: int, defaults: sidecar.Defaults) -> None:
    """Raise ``_CannotInject`` where a sidecar would break the pod or open a door that nobody asked for."""
    if not defaults.image:
        raise _CannotInject("the controller was not told its image; set sidecar_image (BROWSERPOOL_SIDECAR_IMAGE).")
    if spec.get("hostNetwork"):
        # Its loopback is the node's: the sidecar asks nobody for a token, so every process of the node could use this pod's.
        raise _CannotInject("with hostNetwork every process of the node could use its browsers; leave hostNetwork out.")
    if (spec.get("os") or {}).get("name") == "windows":
        raise _CannotInject("its image runs on Linux only.")
    for volume in spec.get("volumes") or ():
        if volume.get("name") in (sidecar.VOLUME, sidecar.NOTHING):
            raise _CannotInject(f"the pod has a volume {volume['name']} of its own; rename it.")
    for container in _containers(spec):
        if any(taken.get("containerPort") == port for taken in container.get("ports") or ()):
            raise _CannotInject(
                f"container {container.get('name')} has port {port} already; choose another by the annotation {PORT}."
            )


def _pool(pod: Mapping[str, Any]) -> PoolName | None:
    given = _annotations(pod).get(POOL)
    if given is None:
        return None
    if not names.is_label(given):
        raise _CannotInject(f"the annotation {POOL} must be a pool's name (given: {given[:63]!r}).")
    return PoolName(given)


def _port(pod: Mapping[str, Any]) -> int:
    given = _annotations(pod).get(PORT)
    if given is None:
        return DEFAULT_PORT
    if not _NUMBER.fullmatch(given) or not LOWEST_PORT <= int(given) <= 65535:
        raise _CannotInject(
            f"the annotation {PORT} must be a number from {LOWEST_PORT} to 65535 (given: {given[:20]!r})."
        )
    return int(given)


def _has_sidecar(pod: Mapping[str, Any]) -> bool:
    return any(container.get("name") == sidecar.CONTAINER for container in _containers(pod.get("spec") or {}))


def _containers(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _labels(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return (pod.get("metadata") or {}).get("labels") or {}


def _annotations(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return (pod.get("metadata") or {}).get("annotations") or {}
