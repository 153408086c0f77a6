"""A node of the cluster, as far as claims need it."""

import dataclasses

from browserpool.model.names import NodeName, RegionName, ZoneName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Which region and zone a node is of; empty where the cluster does not say."""

    name: NodeName
    region: RegionName
    zone: ZoneName
