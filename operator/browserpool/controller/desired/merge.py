"""A pod template laid over the default pod, as Kubernetes' strategic merge does it: maps key by key, lists by their key."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
"""What tells the items of a list apart, by the field the list stands in. Any other list is replaced whole, as Kubernetes does."""


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``; neither is changed. A null takes the field away."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _value(key, result.get(key), value)
    return result


def _value(key: str, base: Any, over: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return merged(base, over)
    if isinstance(base, list) and isinstance(over, list) and key in KEYS:
        return _list(base, over, by=KEYS[key])
    return merged({}, over) if isinstance(over, Mapping) else over


def _list(base: Sequence[Any], over: Sequence[Any], *, by: str) -> list[Any]:
    """Items of ``base`` in their place, each under the one of ``over`` that has its key; then what only ``over`` has."""
    laid = {item[by]: item for item in over if isinstance(item, Mapping) and by in item}
    known = {item[by] for item in base}
    return [
        *(merged(item, laid[item[by]]) if item[by] in laid else item for item in base),
        *(item for item in over if not (isinstance(item, Mapping) and item.get(by) in known)),
    ]
