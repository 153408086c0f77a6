"""What the controller may do at the API server: the least that works, each with its reason. The chart's roles are compared with this.

No other process of ours has a right, nor a token to use one with. Pure data: nothing here is imported by what runs.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

OWN_GROUP: Final = "browserpool.dev"
LEASE: Final = "lease"
"""Stands for the Lease's name in ``Right.only``; the installation chooses it."""
DEPLOYMENT: Final = "deployment"
"""Stands for the name of the controller's own Deployment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Some verbs on one resource, and ``why``. ``only``: the one object that it holds for; empty: all of the namespace."""

    group: str
    resource: str
    verbs: frozenset[str]
    why: str
    only: str = ""


def _right(resource: str, verbs: str, why: str, *, group: str = "", only: str = "") -> Right:
    return Right(group=group, resource=resource, verbs=frozenset(verbs.split()), why=why, only=only)


NAMESPACE: Final = (
    _right("browserpools", "list watch", "what is wanted", group=OWN_GROUP),
    _right("browserpools/status", "patch", "what is so; the pool itself is never written", group=OWN_GROUP),
    _right(
        "browsersessions",
        "list watch delete",
        "sessions, deleted ttlSecondsAfterFinished after their end",
        group=OWN_GROUP,
    ),
    _right("browsersessions/status", "patch", "where the session's browser is reached", group=OWN_GROUP),
    _right("pods", "get list watch create delete", "browsers; one is never changed once it is made"),
    _right(
        "secrets",
        "create patch delete",
        "the browsers' credentials, one Secret for 200 of them; a patch answers the whole object, and a create can be held to no "
        "name: what bounds this right is the namespace, which is the installation's own",
    ),
    _right(
        "networkpolicies",
        "list watch create update delete",
        "what each pool's browsers may reach, and be reached by; watched, so that one that is changed is put back",
        group="networking.k8s.io",
    ),
    _right("events", "create patch", "what a person would ask about"),
    _right(
        "leases",
        "create",
        "the first to lead makes the Lease; a right to create cannot be held to a name",
        group="coordination.k8s.io",
    ),
    _right("leases", "get update", "one leader among the replicas", group="coordination.k8s.io", only=LEASE),
    _right(
        "deployments",
        "get",
        "its own, which owns the browsers' pods: uninstalling removes them",
        group="apps",
        only=DEPLOYMENT,
    ),
)
"""In the installation's own namespace, and in no other: a Role."""
CLUSTER: Final = (
    _right("nodes", "list watch", "where a pod has come to stand: region, zone, and whether its node is being emptied"),
)
"""In the whole cluster: a ClusterRole, for what has no namespace."""


def rules(rights: Iterable[Right], *, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """``rights`` as the ``rules`` of a Role; ``names`` has the names that ``LEASE`` and ``DEPLOYMENT`` stand for."""
    return [
        {
            "apiGroups": [right.group],
            "resources": [right.resource],
            "verbs": sorted(right.verbs),
            **({"resourceNames": [names[right.only]]} if right.only else {}),
        }
        for right in rights
    ]


def granted(given: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str, str, str]]:
    """The rules of a Role one by one, as (group, resource, verb, name or ""): two Roles that grant the same are equal so."""
    return frozenset(
        (group, resource, verb, name)
        for rule in given
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or [""]
    )
