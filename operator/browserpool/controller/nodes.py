"""The cluster's nodes: what becomes of each, and which region it is of."""

import logging
from collections.abc import Callable, Iterable

from browserpool.controller import kube, mirror, podstate
from browserpool.controller.desired import labels, pod, seen
from browserpool.lib import clock
from browserpool.model.names import NodeName, RegionName
from browserpool.model.nodes import Node
from browserpool.model.pool import BrowserPool

log = logging.getLogger(__name__)

UNREADY_GRACE = 30.0
"""Seconds that a node may say it is not ready before it counts as lost: a kubelet that restarts says so for some."""
UNREACHABLE_GRACE = 15.0
"""Seconds that the control plane may not have heard of a node. It has waited itself, but after an outage of its own it takes every node for
silent until that node's next word, and these come one by one: kubelets renew their leases every 10 s."""

MISSING_GRACE = 10.0
"""Seconds that a pod's node may be unknown before it counts as lost: of a node that has just joined, the pod may be heard of first."""


class Nodes:
    """Mirrors the nodes; ``on_change`` is called when one has changed in what the plan looks at."""

    def __init__(
        self, client: kube.Client, *, on_change: Callable[[], None], now: clock.Monotonic = clock.monotonic
    ) -> None:
        self._on_change = on_change
        self._now = now
        self._unready_since: dict[str, float] = {}
        self._unreachable_since: dict[str, float] = {}
        self._missing_since: dict[str, float] = {}
        self.mirror = mirror.Mirror(client, kube.NODES, seen=podstate.node, on_change=self._changed)

    def _changed(self, name: str, before: podstate.Node | None, after: podstate.Node | None) -> None:  # noqa: ARG002 - mirror's
        if after is not None:
            self._missing_since.pop(name, None)
        for since, is_so in (
            (self._unready_since, after is not None and after.unready),
            (self._unreachable_since, after is not None and after.unreachable),
        ):
            if is_so:
                since.setdefault(name, self._now())
            else:
                since.pop(name, None)
        self._on_change()

    def state(self, name: NodeName | None) -> seen.Node:
        """What becomes of the node; a pod that has none yet is not leaving it."""
        if name is None:
            return seen.Node.STAYS
        node = self.mirror.objects.get(name)
        if node is None:
            missing = self._now() - self._missing_since.setdefault(name, self._now())
            return seen.Node.LOST if missing >= MISSING_GRACE else seen.Node.STAYS
        if self._is_lost(node) and not self._all_are_lost():
            return seen.Node.LOST
        return seen.Node.LEAVING if node.cordoned else seen.Node.STAYS

    def place(self, name: NodeName | None) -> seen.Place | None:
        """Where a pod on that node stands; None: nowhere yet, or the node is not known (any more)."""
        node = self.mirror.objects.get(name) if name is not None else None
        return None if node is None else seen.Place(zone=node.zone, node=node.name)

    def published(self, pools: Iterable[BrowserPool]) -> list[Node]:
        """The nodes as routers are to see them."""
        selectors = _selectors(pools)
        return [
            Node(name=node.name, region=region_of(node, selectors), zone=node.zone)
            for node in sorted(self.mirror.objects.values(), key=lambda node: node.name)
        ]

    def _is_lost(self, node: podstate.Node) -> bool:
        now = self._now()
        unready = now - self._unready_since.get(node.name, now)
        unreachable = now - self._unreachable_since.get(node.name, now)
        return (node.unready and unready >= UNREADY_GRACE) or (node.unreachable and unreachable >= UNREACHABLE_GRACE)

    def _all_are_lost(self) -> bool:
        """Then it is the control plane that hears nobody, and to replace every browser would mend nothing."""
        return all(self._is_lost(node) for node in self.mirror.objects.values())


Selector = tuple[RegionName, dict[str, str]]


def _selectors(pools: Iterable[BrowserPool]) -> list[Selector]:
    """The regions that choose their nodes by labels of their own, in the order of the pools' names."""
    return [
        (RegionName(region.name), region.node_selector)
        for pool in sorted(pools, key=lambda pool: pool.name)
        for region in pool.spec.regions
        if region.node_selector
    ]


def region_of(node: podstate.Node, selectors: Iterable[Selector]) -> RegionName:
    """The first region that chooses the node; else what its label says; else the region of those who have none."""
    for region, wanted in selectors:
        if wanted.items() <= node.labels.items():
            return region
    return RegionName(node.labels.get(labels.NODE_REGION, pod.ANY_NODE))
