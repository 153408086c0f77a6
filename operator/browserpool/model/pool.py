"""The ``BrowserPool`` manifest: one pydantic model that ``up`` reads from a file and the controller from the API server.

Field names are the manifest's (camelCase there, snake_case here). What one machine cannot do (a pod template, a node selector) is
accepted and kept, so that one manifest serves both.
"""

import enum
import ipaddress
from typing import Annotated, Any, Final, Literal, Self

import pydantic
from pydantic import Field
from pydantic.alias_generators import to_camel

from browserpool.model import names
from browserpool.model.names import PoolName, RegionName
from browserpool.model.quantities import Duration

API_VERSION: Final = "browserpool.dev/v1alpha1"
KIND: Final = "BrowserPool"

Label = Annotated[str, Field(pattern=rf"^{names.LABEL_PATTERN}$")]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


Cidr = Annotated[str, pydantic.AfterValidator(_network)]


class Recycle(enum.StrEnum):
    """What becomes of a browser after a CDP session."""

    RESTART = "Restart"
    DELETE = "Delete"


class OnEmptyMode(enum.StrEnum):
    """What a request meets when no browser is ready."""

    QUEUE = "Queue"
    FAIL = "Fail"


class Spillover(enum.StrEnum):
    """When claims may go to the backup region."""

    NEVER = "Never"
    WHEN_EMPTY = "WhenEmpty"
    WHEN_STALE = "WhenStale"
    WHEN_EMPTY_OR_STALE = "WhenEmptyOrStale"

    @property
    def when_empty(self) -> bool:
        return self in (Spillover.WHEN_EMPTY, Spillover.WHEN_EMPTY_OR_STALE)

    @property
    def when_stale(self) -> bool:
        return self in (Spillover.WHEN_STALE, Spillover.WHEN_EMPTY_OR_STALE)


class Region(_Part):
    """One region of a pool; ``None`` means the pool's own value."""

    name: Label
    replicas: int | None = Field(default=None, ge=0, le=500_000)
    max_replicas: int | None = Field(default=None, ge=0, le=500_000)
    backup: Label | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    database_secret_ref: str | None = None


class Chromium(_Part):
    """Which browser, and how it is started."""

    image: str | None = None
    version: str | None = None
    args: tuple[str, ...] = ()


class Sessions(_Part):
    """The rules of a session's life. Durations are in seconds."""

    keep_alive: Duration = 60.0
    max_lifetime: Duration | None = None
    recycle: Recycle = Recycle.RESTART
    recycle_after: int = Field(default=50, ge=1)


class OnEmpty(_Part):
    """What a request meets when no browser is ready."""

    mode: OnEmptyMode = OnEmptyMode.QUEUE
    queue_timeout: Duration = 30.0
    queue_limit: int = Field(default=1000, ge=0, description="requests that may wait at one router, for this pool")


class Refill(_Part):
    """How fast missing browsers are made."""

    max_batch: int = Field(default=10, ge=1, description="browsers created in one reconcile, a region")
    readiness_grace: Duration = 300.0


class Egress(_Part):
    """Private, loopback, link-local and metadata addresses are refused unless ``allow`` names them; ``deny`` beats ``allow``."""

    allow: tuple[Cidr, ...] = ()
    deny: tuple[Cidr, ...] = ()


class PoolSpec(_Part):
    """``spec`` of a BrowserPool."""

    replicas: int = Field(default=1, ge=0, le=500_000, description="warm browsers to keep ready in each region")
    max_replicas: int | None = Field(
        default=None, ge=0, le=500_000, description="of each region, claimed ones included; default: replicas"
    )
    regions: tuple[Region, ...] = Field(default=(Region(name="local"),), min_length=1)
    template: dict[str, Any] = Field(default_factory=dict)
    chromium: Chromium = Chromium()
    sessions: Sessions = Sessions()
    on_empty: OnEmpty = OnEmpty()
    spillover: Spillover = Spillover.WHEN_EMPTY_OR_STALE
    refill: Refill = Refill()
    egress: Egress = Egress()

    @pydantic.model_validator(mode="after")
    def _regions_agree(self) -> Self:
        known = [region.name for region in self.regions]
        if len(set(known)) != len(known):
            raise ValueError("regions: each name may stand once")
        for region in self.regions:
            if region.backup == region.name:
                raise ValueError(
                    f"regions: {region.name} cannot be its own backup; name another region or leave backup out"
                )
            if region.backup is not None and region.backup not in known:
                raise ValueError(
                    f"regions: {region.name} has backup {region.backup}, which is not among {', '.join(known)}"
                )
            if self.most(region) < self.wanted(region):
                raise ValueError(
                    f"regions: {region.name} has maxReplicas {self.most(region)} below replicas {self.wanted(region)}"
                )
        return self

    def wanted(self, region: Region) -> int:
        """Browsers to keep ready in ``region``."""
        return self.replicas if region.replicas is None else region.replicas

    def most(self, region: Region) -> int:
        """Browsers that ``region`` may have, claimed ones included."""
        if region.max_replicas is not None:
            return region.max_replicas
        return self.wanted(region) if self.max_replicas is None else self.max_replicas

    def region(self, name: RegionName) -> Region | None:
        """The region of that name."""
        return next((region for region in self.regions if region.name == name), None)


class Metadata(pydantic.BaseModel):
    """The part of Kubernetes' ObjectMeta that is ours to read; the rest is kept."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    # Pods are named pool-region-ordinal, and a pod's name becomes a host name: 63 characters for all three.
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
    generation: int = 1


class BrowserPool(_Part):
    """The whole manifest."""

    api_version: Literal["browserpool.dev/v1alpha1"] = API_VERSION
    kind: Literal["BrowserPool"] = KIND
    metadata: Metadata
    spec: PoolSpec = PoolSpec()
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def name(self) -> PoolName:
        return PoolName(self.metadata.name)
