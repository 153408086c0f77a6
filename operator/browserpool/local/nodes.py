"""Simulated nodes: on one machine a node is a name, dealt out by ordinal. Pure."""

from browserpool.controller.desired import seen
from browserpool.model.names import NodeName, RegionName, ZoneName

ZONES = "ab"


def place(*, region: RegionName, ordinal: int, nodes: int) -> seen.Place:
    """Where the browser of this ordinal stands, in a region of ``nodes`` nodes in two zones: 0 on node 0, 1 on node 1 and so on."""
    node = ordinal % nodes
    return seen.Place(
        node=NodeName(f"{region}-node-{node}"),
        zone=ZoneName(f"{region}-{ZONES[node % len(ZONES)]}"),
    )
