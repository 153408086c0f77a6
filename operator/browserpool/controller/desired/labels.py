"""The labels and annotations by which a cluster's objects say whose they are."""

from collections.abc import Mapping
from typing import Final

from browserpool.model.names import PoolName, RegionName

POOL: Final = "browserpool.dev/pool"
REGION: Final = "browserpool.dev/region"
TEMPLATE: Final = "browserpool.dev/template"
ORDINAL: Final = "browserpool.dev/ordinal"
INSTALLATION: Final = "browserpool.dev/installation"
"""What of the installation's settings reached the pod, as a hash."""
DATABASE: Final = "browserpool.dev/database"
"""On a browser's pod, an annotation: the database that it is registered in (``model.databases``); none: the installation's own."""
INJECT: Final = "browserpool.dev/inject"
"""On a client's pod: ``true`` asks for a sidecar."""
NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"

OURS: Final[Mapping[str, str]] = {NAME: "browserpool", COMPONENT: "browser", MANAGED_BY: "browserpool"}
"""On every pod and Secret that the controller makes."""
SELECTOR: Final = ",".join(f"{key}={value}" for key, value in OURS.items())

NODE_REGION: Final = "topology.kubernetes.io/region"
NODE_ZONE: Final = "topology.kubernetes.io/zone"
NODE_NAME: Final = "kubernetes.io/hostname"


def of(*, pool: PoolName, region: RegionName) -> dict[str, str]:
    """The labels of what belongs to one region of a pool."""
    return {**OURS, POOL: pool, REGION: region}
