"""The ``BrowserPool`` manifest: one pydantic model that ``up`` reads from a file and the controller from the API server.

Field names are the manifest's (camelCase there, snake_case here). What one machine cannot do (a pod template, a node selector) is
accepted and kept, so that one manifest serves both.
"""

import enum
from typing import Annotated, Any, Final, Literal, Self

import pydantic
from pydantic import Field

from browserpool.model import databases, elsewhere, names
from browserpool.model.autoscaling import Autoscaling
from browserpool.model.canary import Canary
from browserpool.model.databases import DatabaseSecretKey, Former
from browserpool.model.egress import Egress
from browserpool.model.manifests import Part
from browserpool.model.names import DatabaseName, PoolName, RegionName
from browserpool.model.quantities import Duration, IntOrPercent
from browserpool.model.refill import Refill

API_VERSION: Final = "browserpool.dev/v1alpha1"
KIND: Final = "BrowserPool"

NAMES_MOST: Final = 55
"""Characters of a pool's name and a region's together. A browser's name adds two hyphens and six digits, and is a host name."""

PLACES_MOST: Final = 256
"""Places in ``near`` of all regions together: what the API server can compare in its time."""

Label = Annotated[str, Field(pattern=rf"^{names.LABEL_PATTERN}$")]


Place = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-._A-Za-z0-9]{0,30}[A-Za-z0-9])?$", max_length=32)]


class Recycle(enum.StrEnum):
    """What becomes of a browser after a CDP session."""

    RESTART = "Restart"
    DELETE = "Delete"


class OnEmptyMode(enum.StrEnum):
    """What a request meets when no browser is ready."""

    QUEUE = "Queue"
    FAIL = "Fail"


class UpdateStrategyType(enum.StrEnum):
    """How a change of what browsers are started with reaches those that run. None of them cuts a session."""

    ROLLING_UPDATE = "RollingUpdate"
    ON_REPLENISH = "OnReplenish"
    RECREATE = "Recreate"


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


class Feature(enum.StrEnum):
    """What a browser can do besides what every browser can."""

    WEBGL = "WebGL"
    WEBMCP = "WebMCP"


class NetworkPolicy(enum.StrEnum):
    """Who says what a pool's pods may reach, and be reached by."""

    MANAGED = "Managed"
    UNMANAGED = "Unmanaged"


class Region(Part):
    """One region of a pool; what is left out is as the pool says."""

    name: Label = Field(
        description="The region's name; where nodeSelector is empty, the nodes' topology label as well."
    )
    replicas: int | None = Field(
        default=None, ge=0, le=500_000, description="Browsers to keep ready here. Default: the pool's replicas."
    )
    max_replicas: int | None = Field(
        default=None,
        ge=0,
        le=500_000,
        description="Browsers that may exist here, claimed ones included. Default: the pool's maxReplicas.",
    )
    backup: Label | None = Field(
        default=None, description="The region of this pool that serves when this one is empty or stale; see spillover."
    )
    backup_router: elsewhere.BackupRouter | None = Field(
        default=None,
        description="Another cluster's router that serves when this region is empty or stale, in place of backup; see spillover.",
    )
    near: tuple[Place, ...] = Field(
        default=(),
        max_length=32,
        description="Places whose requests come here if they name no region: what a proxy in front of the router says of where a client "
        "is, such as a country's code or another region's name. A place may stand in one region only; all regions may have 256 together.",
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict,
        description="Labels of the nodes that are this region. Default: topology.kubernetes.io/region with the region's "
        "name; for a region named local: any node.",
    )
    database_secret_ref: DatabaseSecretKey | None = Field(
        default=None,
        description="The Secret of the Postgres that has this region's browsers and sessions, so that a fault of it is this region's "
        "alone. Default: the installation's own database.",
    )
    moving_from: Former | None = Field(
        default=None,
        description="While the region moves to another database: the one where it was. What is there serves until it is replaced, as by "
        "an update. To be taken out when status says that nothing is left there.",
    )

    @property
    def databases(self) -> tuple[DatabaseName, ...]:
        """Where its browsers may be: where new ones are registered first, then where it moves away from."""
        present = databases.name(self.database_secret_ref)
        if self.moving_from is None:
            return (present,)
        return (present, databases.name(self.moving_from.database_secret_ref))


class Chromium(Part):
    """Which browser, and how it is started."""

    image: str | None = Field(
        default=None, min_length=1, description="The image of agent and Chromium. Default: the controller's."
    )
    version: str | None = Field(
        default=None, description="A label for people; changing it replaces browsers as an image would."
    )
    args: tuple[str, ...] = Field(default=(), description="Further arguments of Chromium.")
    features: tuple[Feature, ...] = Field(
        default=(Feature.WEBGL,),
        max_length=8,
        description="What pages may use besides. WebGL: 3D drawing, by the processor, with code made at run time (an attacker's "
        "way in that a pool without it shuts). WebMCP: document.modelContext, tools that a page offers to agents.",
    )

    @pydantic.field_validator("features")
    @classmethod
    def _each_once(cls, value: tuple[Feature, ...]) -> tuple[Feature, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each feature may stand once")
        return value


class Sessions(Part):
    """The rules of a session's life. Durations are in seconds."""

    keep_alive: Duration = Field(default=60.0, description="A session ends when nothing happens on it for this long.")
    max_lifetime: Duration | None = Field(
        default=None, description="A session ends this long after its claim whatever happens on it. Default: never."
    )
    recycle: Recycle = Field(
        default=Recycle.RESTART,
        description="What follows a CDP session: Restart starts Chromium anew with an empty profile, Delete replaces "
        "the whole pod.",
    )
    recycle_after: int = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="Chromium starts anew after this many sessions in any case; each quick action counts as one.",
    )
    actions_per_browser: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Quick actions of one token that may be at work in one browser at the same time, each in a context of its "
        "own, when no other browser is ready. CDP sessions always have a browser to themselves.",
    )


class OnEmpty(Part):
    """What a request meets when no browser is ready."""

    mode: OnEmptyMode = Field(default=OnEmptyMode.QUEUE, description="Queue lets requests wait, Fail answers 503.")
    queue_timeout: Duration = Field(default=30.0, description="How long a request waits at most.")
    queue_limit: int = Field(
        default=1000, ge=0, le=1_000_000, description="Requests that may wait at one router, for this pool."
    )


class UpdateStrategy(Part):
    """How a change of template, image or the like reaches the browsers that run. A claimed one is never cut."""

    type: UpdateStrategyType = Field(
        default=UpdateStrategyType.ROLLING_UPDATE,
        description="RollingUpdate replaces a few at a time, OnReplenish each one when its next session ends, Recreate "
        "all idle ones at once.",
    )
    max_unavailable: IntOrPercent = Field(
        default="25%",
        description="For RollingUpdate: browsers of a region that may be missing meanwhile; a percentage of replicas is "
        "rounded down, but one is allowed where no surge is.",
    )
    max_surge: IntOrPercent = Field(
        default=0,
        description="For RollingUpdate: browsers of a region that may exist above replicas meanwhile, never above "
        "maxReplicas; a percentage of replicas is rounded up.",
    )

    @pydantic.model_validator(mode="after")
    def _moves(self) -> Self:
        if self.type is UpdateStrategyType.ROLLING_UPDATE and {self.max_unavailable, self.max_surge} <= {0, "0%"}:
            raise ValueError("updateStrategy: maxUnavailable and maxSurge cannot both be 0; nothing could be replaced")
        return self


class PoolSpec(Part):
    """What the pool is to be."""

    replicas: int = Field(
        default=1,
        ge=0,
        le=500_000,
        description="Warm browsers to keep ready in each region. Without effect where autoscaling is set.",
    )
    max_replicas: int | None = Field(
        default=None,
        ge=0,
        le=500_000,
        description="Browsers that may exist in each region, claimed ones included. Default: replicas, or autoscaling's "
        "maxReplicas.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Finds how many browsers each region keeps ready, between two numbers. Default: as many as replicas says.",
    )
    regions: tuple[Region, ...] = Field(
        default=(Region(name="local"),), min_length=1, max_length=64, description="Where browsers stand."
    )
    template: dict[str, Any] = Field(
        default_factory=dict,
        description="Pod metadata (labels, annotations) and a pod spec, merged over the default pod: maps key by key, "
        "lists by name; the browser's container is named browser.",
    )
    chromium: Chromium = Field(default=Chromium(), description="Which browser, and how it is started.")
    canary: Canary | None = Field(
        default=None,
        description="A second version of the browser, tried on a share of them. It is paused when it is worse: with 50 requests "
        "or more of each version in 10 minutes, an error rate above the stable version's by over 2 percentage points and over "
        "twice it, or a 95th percentile of times above 1.5 times the stable version's and 250 ms over it; or half of its browsers "
        "or more not becoming ready. Paused, its browsers are replaced by stable ones, until this field changes.",
    )
    sessions: Sessions = Field(default=Sessions(), description="The rules of a session's life.")
    on_empty: OnEmpty = Field(default=OnEmpty(), description="What a request meets when no browser is ready.")
    spillover: Spillover = Field(
        default=Spillover.WHEN_EMPTY_OR_STALE, description="When claims may go to a region's backup."
    )
    update_strategy: UpdateStrategy = Field(
        default=UpdateStrategy(), description="How changes reach browsers that run. No session is cut."
    )
    refill: Refill = Field(default=Refill(), description="How fast missing browsers are made.")
    egress: Egress = Field(
        default=Egress(),
        description="What pages may reach: private, loopback, link-local and metadata addresses are refused unless "
        "allowed.",
    )
    network_policy: NetworkPolicy = Field(
        default=NetworkPolicy.MANAGED,
        description="Managed: the pods have a NetworkPolicy, in from routers and sidecars, out to public addresses, DNS, "
        "routers and egress.allow, without egress.deny. Unmanaged: they have none of ours.",
    )

    upstream: elsewhere.Upstream | None = Field(
        default=None,
        description="Another system that serves a part of the callers while they move to this pool. Default: none.",
    )

    @pydantic.model_validator(mode="after")
    def _regions_agree(self) -> Self:
        known = [region.name for region in self.regions]
        if len(set(known)) != len(known):
            raise ValueError("regions: each name may stand once")
        if sum(len(region.near) for region in self.regions) > PLACES_MOST:
            raise ValueError(f"regions: near has more than {PLACES_MOST} places in all regions together")
        places = [place for region in self.regions for place in set(region.near)]
        if twice := sorted({place for place in places if places.count(place) > 1}):
            raise ValueError(f"regions: near has {twice[0]} twice; a place may stand in one region only")
        for region in self.regions:
            if region.backup is not None and region.backup_router is not None:
                raise ValueError(f"regions: {region.name} has backup and backupRouter; leave out one of them")
            if region.backup == region.name:
                raise ValueError(
                    f"regions: {region.name} cannot be its own backup; name another region or leave backup out"
                )
            if region.backup is not None and region.backup not in known:
                raise ValueError(
                    f"regions: {region.name} has backup {region.backup}, which is not among {', '.join(known)}"
                )
            if len(set(region.databases)) != len(region.databases):
                raise ValueError(
                    f"regions: {region.name} has movingFrom with the database that it is in; name the one where it was, or leave it out"
                )
            # Where autoscaling finds the number, maxReplicas merely bounds it, and what others write into replicas means nothing.
            wanted = (region.replicas or 0) if self.autoscaling is not None else self.wanted(region)
            most = region.max_replicas if self.autoscaling is not None else self.most(region)
            if most is not None and most < wanted:
                raise ValueError(f"regions: {region.name} has maxReplicas {most} below replicas {wanted}")
        return self

    def wanted(self, region: Region) -> int:
        """Browsers to keep ready in ``region``."""
        return self.replicas if region.replicas is None else region.replicas

    def most(self, region: Region) -> int:
        """Browsers that ``region`` may have, claimed ones included."""
        if region.max_replicas is not None:
            return region.max_replicas
        if self.max_replicas is not None:
            return self.max_replicas
        return self.wanted(region) if self.autoscaling is None else self.autoscaling.max_replicas

    @property
    def most_anywhere(self) -> int:
        """Browsers that all its regions together may have."""
        return sum(self.most(region) for region in self.regions)

    def databases(self, name: RegionName) -> tuple[DatabaseName, ...]:
        """Where browsers of the region of that name may be; of one that the pool does not have: in the installation's own database."""
        found = self.region(name)
        return (names.HOME,) if found is None else found.databases

    def region(self, name: RegionName) -> Region | None:
        """The region of that name."""
        return next((region for region in self.regions if region.name == name), None)


class Metadata(pydantic.BaseModel):
    """The part of Kubernetes' ObjectMeta that is ours to read; the rest is kept."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    # Pods are named pool-region-ordinal, and a pod's name becomes a host name: 63 characters for all three.
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
    generation: int = 1


class BrowserPool(Part):
    """The whole manifest."""

    api_version: Literal["browserpool.dev/v1alpha1"] = API_VERSION
    kind: Literal["BrowserPool"] = KIND
    metadata: Metadata
    spec: PoolSpec = PoolSpec()
    status: dict[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> Self:
        for region in self.spec.regions:
            if len(self.metadata.name) + len(region.name) > NAMES_MOST:
                raise ValueError(
                    f"regions: {region.name} is too long for pool {self.metadata.name}: the two names may have {NAMES_MOST} "
                    "characters together, since browsers are named pool-region-number, in 63"
                )
        return self

    @property
    def name(self) -> PoolName:
        return PoolName(self.metadata.name)
