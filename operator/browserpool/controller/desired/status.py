"""What a pool's state is called: counts and conditions, as values and as ``status`` of the object."""

import dataclasses
import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from browserpool.controller.desired import canary_status, plan, scaling, seen, template, versions
from browserpool.model import databases
from browserpool.model import regions as model_regions
from browserpool.model.names import RegionName
from browserpool.model.pool import BrowserPool, PoolSpec, Region
from browserpool.model.states import BrowserState

REGION_AWAY: Final = "RegionDatabaseUnreachable"
_SAID: Final = {True: "True", False: "False", None: "Unknown"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegionStatus:
    """Counts of one region.

    ``replicas`` are all pods, ``updated`` those of the present template, ``held`` names in backoff, ``unschedulable`` pods that wait
    for a node, ``failing`` pods whose container does not run; ``failure`` is why, of one of them. ``lag`` is in seconds (see
    ``model.regions``); None: nobody has written a heartbeat of it yet. ``spilling``: claims go to its backup at present. ``scaled``
    is what autoscaling says of it; None: the spec has its number. ``away`` says why a database of it cannot be asked, empty: each can;
    the counts are then what is known all the same. ``moves_from`` is the database that it moves away from, as a sentence has it, empty:
    it moves from none; ``elsewhere`` counts its browsers that are in another database than it is to be in.
    """

    name: RegionName
    wanted: int
    most: int
    replicas: int
    ready: int
    claimed: int
    starting: int
    recycling: int
    draining: int
    updated: int
    held: int
    unschedulable: int = 0
    failing: int = 0
    failure: str = ""
    lag: float | None = None
    stale: bool = False
    spilling: bool = False
    scaled: seen.Scaled | None = None
    away: str = ""
    moves_from: str = ""
    elsewhere: int = 0

    @property
    def due(self) -> int:
        """How many are to be ready: as many as are wanted, or as many as its claims leave room for."""
        return min(self.wanted, max(0, self.most - self.claimed))

    @property
    def whole(self) -> bool:
        """As many are ready as are to be."""
        return self.ready >= self.due

    @property
    def warm(self) -> int:
        """How many are ready or on the way to it."""
        return self.ready + self.starting + self.recycling

    @property
    def missing(self) -> int:
        """How many are still to be made."""
        return max(0, self.due - self.warm)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition. ``status`` None: nobody knows."""

    type: str
    status: bool | None
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """``status`` of a BrowserPool."""

    replicas: int
    desired_replicas: int
    ready_replicas: int
    claimed_replicas: int
    updated_replicas: int
    warm_replicas: int
    """As ``spec.replicas`` counts: of one region, without those that are in use."""
    observed_generation: int
    selector: str
    regions: tuple[RegionStatus, ...]
    conditions: tuple[Condition, ...]
    canary: canary_status.CanaryStatus | None = None

    @property
    def whole(self) -> bool:
        """Every region is."""
        return all(region.whole for region in self.regions)


def summary(pool: BrowserPool, world: seen.World, *, heard: Iterable[model_regions.RegionStatus] = ()) -> PoolStatus:
    """The pool's status, from the same values that the plan is made from, and from how late heartbeats are."""
    late = {one.region: one for one in heard if one.writers}
    regions = tuple(
        _region(pool, region, world, heard=late.get(RegionName(region.name))) for region in pool.spec.regions
    )
    return PoolStatus(
        replicas=sum(region.replicas for region in regions),
        desired_replicas=sum(region.wanted for region in regions),
        ready_replicas=sum(region.ready for region in regions),
        claimed_replicas=sum(region.claimed for region in regions),
        updated_replicas=sum(region.updated for region in regions),
        warm_replicas=_warm(pool.spec, regions),
        observed_generation=pool.metadata.generation,
        selector=f"browserpool.dev/pool={pool.name}",
        regions=regions,
        conditions=(
            _ready(regions),
            _progressing(regions),
            _degraded(regions),
            _fresh(regions),
            _spilling(regions),
            _scaling(regions),
            _paused(world.canary),
            _moving(regions),
        ),
        canary=_canary(pool.spec, world),
    )


def manifest(
    status: PoolStatus, *, previous_conditions: Sequence[Mapping[str, Any]], now: datetime.datetime
) -> dict[str, Any]:
    """``status`` as the object bears it.

    ``previous_conditions`` are those the object has at present: one whose status is as before keeps its lastTransitionTime, and one of
    a type that is not ours stays. So the answer equals what is there already unless something has changed.
    """
    return {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "desiredReplicas": status.desired_replicas,
        "readyReplicas": status.ready_replicas,
        "claimedReplicas": status.claimed_replicas,
        "updatedReplicas": status.updated_replicas,
        "warmReplicas": status.warm_replicas,
        "selector": status.selector,
        "regions": [_region_object(region) for region in status.regions],
        # None takes away what is there.
        "canary": None if status.canary is None else canary_status.manifest(status.canary),
        "conditions": conditions(
            status.conditions, generation=status.observed_generation, previous=previous_conditions, now=now
        ),
    }


def conditions(
    current: Iterable[Condition], *, generation: int, previous: Sequence[Mapping[str, Any]], now: datetime.datetime
) -> list[dict[str, Any]]:
    """``current`` as an object's ``status.conditions``; ``now``, aware, dates those whose status was another or is new."""
    before = {str(one["type"]): one for one in previous}
    ours = {one.type: one for one in current}
    return [
        *(_condition(one, generation=generation, before=before.get(one.type), now=now) for one in ours.values()),
        *(dict(one) for name, one in before.items() if name not in ours),
    ]


def _condition(
    condition: Condition, *, generation: int, before: Mapping[str, Any] | None, now: datetime.datetime
) -> dict[str, Any]:
    said = _SAID[condition.status]
    unmoved = before is not None and before["status"] == said
    return {
        "type": condition.type,
        "status": said,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before is not None and unmoved else timestamp(now),
        "reason": condition.reason,
        "message": condition.message,
    }


def timestamp(moment: datetime.datetime) -> str:
    """``moment``, which is aware, as Kubernetes writes times."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _region_object(region: RegionStatus) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": region.name,
        "desired": region.wanted,
        "maxReplicas": region.most,
        "replicas": region.replicas,
        "ready": region.ready,
        "claimed": region.claimed,
        "starting": region.starting,
        "recycling": region.recycling,
        "draining": region.draining,
        "updated": region.updated,
        "held": region.held,
        "unschedulable": region.unschedulable,
        "failing": region.failing,
        "stale": region.stale,
    }
    if region.scaled is not None:
        made["desiredReason"] = region.scaled.reason
    if region.away:
        made["database"] = "Away"
    elif region.moves_from or region.elsewhere:
        made |= {"database": "Moving", "elsewhere": region.elsewhere}
    if region.lag is not None:
        # Whole seconds: a healthy region's lag is then always 0, and does not make every status differ from the last.
        made["lagSeconds"] = int(region.lag)
    return made


def _region(
    pool: BrowserPool, region: Region, world: seen.World, *, heard: model_regions.RegionStatus | None
) -> RegionStatus:
    name = RegionName(region.name)
    blind = world.blind_in(name)
    browsers = world.of(name) if blind is None else blind.browsers
    running = [b for b in browsers if b.pod.serves]
    current = versions.of(pool.spec, region, paused=world.canary_paused)

    ready = sum(b.state is BrowserState.READY and b.healthy for b in running)
    stale = heard is not None and heard.stale

    def count(state: BrowserState) -> int:
        return sum(b.state is state for b in running)

    return RegionStatus(
        name=name,
        wanted=pool.spec.wanted(region),
        most=pool.spec.most(region),
        replicas=len(running),
        ready=ready,
        claimed=count(BrowserState.CLAIMED),
        starting=count(BrowserState.STARTING),
        recycling=count(BrowserState.RECYCLING),
        draining=count(BrowserState.DRAINING),
        updated=sum(b.template_hash in current.fresh for b in running),
        held=sum(plan.is_held(b) for b in browsers),
        unschedulable=sum(not b.schedulable for b in running),
        failing=sum(bool(b.failing) for b in running),
        failure=next((b.failing for b in running if b.failing), ""),
        lag=None if heard is None else heard.lag,
        stale=stale,
        # Routers take a region whose database is away for one that is stale.
        spilling=_spills(pool.spec, region, empty=blind is None and not ready, stale=stale or blind is not None),
        scaled=world.scaled_in(name),
        away="" if blind is None else blind.why,
        moves_from="" if region.moving_from is None else databases.described(region.databases[1]),
        elsewhere=sum(b.database != region.databases[0] and plan.occupies(b) for b in browsers),
    )


def _warm(spec: PoolSpec, regions: tuple[RegionStatus, ...]) -> int:
    """The mean of the regions whose number ``spec.replicas`` is, rounded up; where each has one of its own, of all."""
    following = {region.name for region in spec.regions if region.replicas is None}
    # What cannot be seen is taken to be as it should: whoever scales the pool must not take it for gone.
    warm = [
        region.wanted if region.away else region.warm for region in regions if not following or region.name in following
    ]
    return math.ceil(sum(warm) / len(warm))


def _spills(spec: PoolSpec, region: Region, *, empty: bool, stale: bool) -> bool:
    if region.backup is None and region.backup_router is None:
        return False
    return (empty and spec.spillover.when_empty) or (stale and spec.spillover.when_stale)


def _ready(regions: tuple[RegionStatus, ...]) -> Condition:
    short = [
        f"{r.name} cannot be seen" if r.away else f"{r.name} has {r.ready} of {r.wanted}"
        for r in regions
        if r.away or not r.whole
    ]
    if short:
        return Condition(type="Ready", status=False, reason="TooFewReady", message="; ".join(short))
    return Condition(type="Ready", status=True, reason="AllReady", message="Every region keeps its number ready.")


def _progressing(regions: tuple[RegionStatus, ...]) -> Condition:
    # Where nothing can be seen nothing is done.
    moving = sum(r.missing + r.starting + r.draining + (r.replicas - r.updated) for r in regions if not r.away)
    if moving:
        message = f"{moving} browsers are missing, starting, draining or of an older template."
        return Condition(type="Progressing", status=True, reason="Reconciling", message=message)
    return Condition(type="Progressing", status=False, reason="Settled", message="Nothing is being changed.")


def _degraded(regions: tuple[RegionStatus, ...]) -> Condition:
    held = sum(r.held for r in regions)
    failing = sum(r.failing for r in regions)
    waiting = sum(r.unschedulable for r in regions)
    if held or failing:
        why = next((r.failure for r in regions if r.failure), "they died soon after their start")
        message = f"{held + failing} browsers do not stay up ({why}); they are tried again, ever more rarely."
        return Condition(type="Degraded", status=True, reason="CrashLoop", message=message)
    if waiting:
        message = f"{waiting} browsers find no node with room for them; they are held, not replaced."
        return Condition(type="Degraded", status=True, reason="Unschedulable", message=message)
    return Condition(type="Degraded", status=False, reason="AsExpected", message="No browser keeps dying.")


def _fresh(regions: tuple[RegionStatus, ...]) -> Condition:
    away = [f"{r.name}: {r.away}" for r in regions if r.away]
    if away:
        message = f"Nothing is changed in regions whose database cannot be asked. {' '.join(away)}"
        return Condition(type="DatabaseFresh", status=False, reason=REGION_AWAY, message=message)
    stale = [f"{r.name} by {r.lag or 0:.0f} s" for r in regions if r.stale]
    if stale:
        message = f"Heartbeats wait to be written: {', '.join(stale)}. The database or its network is slow."
        return Condition(type="DatabaseFresh", status=False, reason="HeartbeatsLate", message=message)
    if all(r.lag is None for r in regions):
        message = "No router has written a heartbeat of this pool's regions yet."
        return Condition(type="DatabaseFresh", status=None, reason="NothingHeard", message=message)
    return Condition(type="DatabaseFresh", status=True, reason="Fresh", message="Heartbeats are written in time.")


def _spilling(regions: tuple[RegionStatus, ...]) -> Condition:
    spilling = [r.name for r in regions if r.spilling]
    if spilling:
        message = f"Claims of {', '.join(spilling)} go to the backup: none is ready there, or its heartbeats are late."
        return Condition(type="SpilloverActive", status=True, reason="BackupServes", message=message)
    message = "Every region serves its own claims."
    return Condition(type="SpilloverActive", status=False, reason="OwnRegionServes", message=message)


def _scaling(regions: tuple[RegionStatus, ...]) -> Condition:
    said = [f"{r.name} keeps {r.wanted} ready ({r.scaled.message})" for r in regions if r.scaled is not None]
    if not said:
        message = "The spec says how many each region keeps ready, or whoever scales the pool."
        return Condition(type="Autoscaling", status=False, reason="Off", message=message)
    limited = any(r.scaled is not None and r.scaled.reason == scaling.Why.MAXIMUM for r in regions)
    message = f"{'; '.join(said)}. Meanwhile spec.replicas, and an autoscaler that writes it, have no effect."
    return Condition(
        type="Autoscaling", status=True, reason="TooLimited" if limited else "WithinLimits", message=message
    )


def _paused(canary: seen.Canary | None) -> Condition:
    if canary is None:
        return Condition(type="CanaryPaused", status=False, reason="NoCanary", message="The pool has one version.")
    if canary.paused:
        message = f"{canary.message} Its browsers are replaced by stable ones; change spec.canary to try again."
        return Condition(type="CanaryPaused", status=True, reason=canary.reason, message=message)
    message = "The canary is not seen to be worse than the stable version."
    return Condition(type="CanaryPaused", status=False, reason="Progressing", message=message)


def _moving(regions: tuple[RegionStatus, ...]) -> Condition:
    moving = [r for r in regions if r.moves_from or r.elsewhere]
    if not moving:
        message = "Each region's browsers are in its database."
        return Condition(type="Moving", status=False, reason="Settled", message=message)
    if left := [f"{r.name} has {r.elsewhere}" for r in moving if r.elsewhere or r.away]:
        message = f"Browsers are left in another database than their region's; they are replaced, as by an update: {', '.join(left)}."
        return Condition(type="Moving", status=True, reason="BrowsersLeft", message=message)
    message = (
        f"Nothing is left where these regions were: {', '.join(r.name for r in moving)}. Take movingFrom out of them."
    )
    return Condition(type="Moving", status=True, reason="NothingLeft", message=message)


def _canary(spec: PoolSpec, world: seen.World) -> canary_status.CanaryStatus | None:
    if spec.canary is None or world.canary is None:
        return None
    return canary_status.CanaryStatus(spec=spec.canary, content=template.content(spec.canary), seen=world.canary)
