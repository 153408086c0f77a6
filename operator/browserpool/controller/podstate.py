"""What of a pod or a node the plan needs, read from its object. Pure; what is equal before and after a change wakes nobody."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from browserpool.controller.desired import labels, seen
from browserpool.model.names import HOME, BrowserId, DatabaseName, NodeName, PoolName, RegionName, ZoneName

_BEGINNING = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons of a container that waits as each does in its first seconds."""
_ENDED = frozenset({"Failed", "Succeeded"})
_UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """``failing`` and ``schedulable`` as in ``seen.Browser``; ``complaint`` is the scheduler's or the kubelet's own sentence."""

    name: BrowserId
    uid: str
    pool: PoolName
    region: RegionName
    ordinal: int
    template_hash: str
    node: NodeName | None
    phase: seen.Pod
    schedulable: bool
    failing: str
    complaint: str
    restarts: int
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """``unreachable``: the control plane has not heard of it; ``unready``: it says itself that it cannot run pods."""

    name: NodeName
    labels: Mapping[str, str]
    cordoned: bool
    unreachable: bool
    unready: bool

    @property
    def zone(self) -> ZoneName:
        return ZoneName(self.labels.get(labels.NODE_ZONE, ""))


def pod(found: Mapping[str, Any]) -> Pod:
    """A browser's pod; it bears our labels, for it was chosen by them."""
    metadata, spec, status = found["metadata"], found.get("spec", {}), found.get("status", {})
    marked = metadata.get("labels") or {}
    unscheduled = _unscheduled(status) if not spec.get("nodeName") else None
    failing, complaint = _failing(status)
    return Pod(
        name=BrowserId(metadata["name"]),
        uid=metadata.get("uid", ""),
        pool=PoolName(marked.get(labels.POOL, "")),
        region=RegionName(marked.get(labels.REGION, "")),
        ordinal=_ordinal(metadata),
        template_hash=marked.get(labels.TEMPLATE, ""),
        node=NodeName(spec["nodeName"]) if spec.get("nodeName") else None,
        phase=_phase(metadata, status),
        schedulable=unscheduled is None,
        failing=failing,
        complaint=unscheduled or complaint,
        restarts=sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or ()),
        database=database(metadata),
    )


def database(metadata: Mapping[str, Any]) -> DatabaseName:
    """The database that the browser of a pod with this metadata is registered in."""
    return DatabaseName((metadata.get("annotations") or {}).get(labels.DATABASE) or HOME)


def is_of(found: Mapping[str, Any], *, pool: PoolName) -> bool:
    """Whether the pod bears the labels of a browser of that pool."""
    marked = found["metadata"].get("labels") or {}
    return marked.get(labels.POOL) == pool and labels.OURS.items() <= marked.items()


def node(found: Mapping[str, Any]) -> Node:
    """A node."""
    metadata, spec = found["metadata"], found.get("spec", {})
    ready = next(
        (one.get("status") for one in found.get("status", {}).get("conditions") or () if one["type"] == "Ready"), "True"
    )
    tainted = any(taint["key"] == _UNREACHABLE for taint in spec.get("taints") or ())
    return Node(
        name=NodeName(metadata["name"]),
        labels=dict(metadata.get("labels") or {}),
        cordoned=bool(spec.get("unschedulable")),
        unreachable=tainted or ready == "Unknown",
        unready=ready == "False",
    )


def _ordinal(metadata: Mapping[str, Any]) -> int:
    number = str(metadata["name"]).rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _phase(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> seen.Pod:
    if metadata.get("deletionTimestamp"):
        return seen.Pod.STOPPING
    return seen.Pod.DEAD if status.get("phase") in _ENDED else seen.Pod.RUNNING


def _unscheduled(status: Mapping[str, Any]) -> str | None:
    """The scheduler's reason why it found no node; None: it has not said so."""
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("status") == "False" and one.get("reason") == "Unschedulable":
            return str(one.get("message") or "no node has room for it")
    return None


def _failing(status: Mapping[str, Any]) -> tuple[str, str]:
    """Why a container waits, in one word and in a sentence; empty: none does for a reason of its own."""
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = one.get("state", {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason and reason not in _BEGINNING:
            return reason, str(waiting.get("message") or "")
    return "", ""
