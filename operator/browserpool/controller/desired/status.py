"""What a pool's state is called: counts, and conditions in Kubernetes' form."""

import dataclasses

from browserpool.controller.desired import plan, seen, template
from browserpool.model.names import RegionName
from browserpool.model.pool import BrowserPool, Region
from browserpool.model.states import BrowserState


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegionStatus:
    """Counts of one region.

    ``replicas`` are all pods, ``updated`` those of the present template, ``held`` names in backoff, ``unschedulable`` pods that wait
    for a node, ``failing`` pods whose container does not run; ``failure`` is why, of one of them.
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

    @property
    def whole(self) -> bool:
        """As many are ready as the region is to keep ready (or as many as its claims leave room for)."""
        return self.ready >= min(self.wanted, max(0, self.most - self.claimed))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition, as Kubernetes writes it."""

    type: str
    status: bool
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """``status`` of a BrowserPool."""

    replicas: int
    ready_replicas: int
    claimed_replicas: int
    updated_replicas: int
    observed_generation: int
    selector: str
    regions: tuple[RegionStatus, ...]
    conditions: tuple[Condition, ...]

    @property
    def whole(self) -> bool:
        """Every region is."""
        return all(region.whole for region in self.regions)


def summary(pool: BrowserPool, world: seen.World) -> PoolStatus:
    """The pool's status, from the same values that the plan is made from."""
    regions = tuple(_region(pool, region, world) for region in pool.spec.regions)
    return PoolStatus(
        replicas=sum(region.replicas for region in regions),
        ready_replicas=sum(region.ready for region in regions),
        claimed_replicas=sum(region.claimed for region in regions),
        updated_replicas=sum(region.updated for region in regions),
        observed_generation=pool.metadata.generation,
        selector=f"browserpool.dev/pool={pool.name}",
        regions=regions,
        conditions=(_ready(regions), _progressing(regions), _degraded(regions)),
    )


def _region(pool: BrowserPool, region: Region, world: seen.World) -> RegionStatus:
    name = RegionName(region.name)
    browsers = world.of(name)
    running = [b for b in browsers if b.pod.serves]
    current = template.hashed(pool.spec, region)

    def count(state: BrowserState) -> int:
        return sum(b.state is state for b in running)

    return RegionStatus(
        name=name,
        wanted=pool.spec.wanted(region),
        most=pool.spec.most(region),
        replicas=len(running),
        ready=sum(b.state is BrowserState.READY and b.healthy for b in running),
        claimed=count(BrowserState.CLAIMED),
        starting=count(BrowserState.STARTING),
        recycling=count(BrowserState.RECYCLING),
        draining=count(BrowserState.DRAINING),
        updated=sum(b.template_hash == current for b in running),
        held=sum(plan.is_held(b) for b in browsers),
        unschedulable=sum(not b.schedulable for b in running),
        failing=sum(bool(b.failing) for b in running),
        failure=next((b.failing for b in running if b.failing), ""),
    )


def _ready(regions: tuple[RegionStatus, ...]) -> Condition:
    short = [f"{r.name} has {r.ready} of {r.wanted}" for r in regions if not r.whole]
    if short:
        return Condition(type="Ready", status=False, reason="TooFewReady", message="; ".join(short))
    return Condition(type="Ready", status=True, reason="AllReady", message="Every region keeps its number ready.")


def _progressing(regions: tuple[RegionStatus, ...]) -> Condition:
    moving = sum(r.starting + r.draining + (r.replicas - r.updated) for r in regions)
    if moving:
        message = f"{moving} browsers are starting, draining or of an older template."
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
