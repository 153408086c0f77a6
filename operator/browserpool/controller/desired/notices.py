"""What a person would ask about, as sentences: from what was done, and from how one status differs from the last. Pure."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from browserpool.controller.desired import plan, status
from browserpool.model.names import RegionName

_NOISE = 0.2
"""The share by which a number that autoscaling finds changes without a word."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """``reason`` is one word for machines, ``message`` for people; ``warning``: somebody should look."""

    reason: str
    message: str
    warning: bool = False


def of_actions(actions: Iterable[tuple[RegionName, plan.Action]]) -> list[Notice]:
    """One sentence for what was done of each sort in each region, with numbers."""
    made: collections.Counter[RegionName] = collections.Counter()
    adopted: collections.Counter[RegionName] = collections.Counter()
    deleted: collections.Counter[tuple[RegionName, str]] = collections.Counter()
    drained: collections.Counter[tuple[RegionName, str]] = collections.Counter()
    forgotten: collections.Counter[tuple[RegionName, str]] = collections.Counter()
    for region, action in actions:
        match action:
            case plan.Create():
                made[region] += 1
            case plan.Adopt():
                adopted[region] += 1
            case plan.Drain(reason=reason):
                drained[region, reason] += 1
            case plan.Delete(reason=reason):
                deleted[region, reason] += 1
            case plan.Forget(reason=reason) if reason != plan.DELETED:
                forgotten[region, reason] += 1
    return [
        *(Notice(reason="Created", message=f"{_browsers(n)} created in {region}") for region, n in made.items()),
        *(Notice(reason="Adopted", message=f"{_browsers(n)} registered in {region}") for region, n in adopted.items()),
        *(Notice(reason="Drained", message=_told(n, "drained", *what)) for what, n in drained.items()),
        *(Notice(reason="Deleted", message=_told(n, "deleted", *what)) for what, n in deleted.items()),
        *(Notice(reason="Lost", message=_told(n, "lost", *what), warning=True) for what, n in forgotten.items()),
    ]


def _told(number: int, what: str, region: RegionName, why: str) -> str:
    return f"{_browsers(number)} {what} in {region}: {why}"


def _browsers(number: int) -> str:
    return "1 browser" if number == 1 else f"{number} browsers"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Complaints:
    """For a region, what the scheduler says of one of its pods, and what a kubelet says of one."""

    unplaced: Mapping[RegionName, str] = dataclasses.field(default_factory=dict)
    failing: Mapping[RegionName, str] = dataclasses.field(default_factory=dict)


def of_change(before: status.PoolStatus | None, now: status.PoolStatus, *, complaints: Complaints) -> list[Notice]:
    """What has become so since ``before``."""
    earlier = {region.name: region for region in before.regions} if before is not None else {}
    return [
        *(notice for one in now.regions for notice in _of_region(earlier.get(one.name), one, complaints)),
        *_of_conditions(before, now),
    ]


def is_scaled(before: status.RegionStatus, now: status.RegionStatus) -> bool:
    """Whether another number is wanted, so that somebody should know: where autoscaling finds it, small changes are its daily bread."""
    change = abs(now.wanted - before.wanted)
    return change > (0 if now.scaled is None else _NOISE * max(now.wanted, before.wanted))


def remembered(before: status.PoolStatus | None, now: status.PoolStatus) -> status.PoolStatus:
    """``now``, to compare the next status with: what was not told of yet is as it was ``before``, and small changes add up."""
    earlier = {region.name: region for region in before.regions} if before is not None else {}
    regions = tuple(
        region if (was := earlier.get(region.name)) is None or is_scaled(was, region) else _as_wanted(region, was)
        for region in now.regions
    )
    return dataclasses.replace(now, regions=regions)


def _as_wanted(region: status.RegionStatus, was: status.RegionStatus) -> status.RegionStatus:
    return dataclasses.replace(region, wanted=was.wanted)


def _of_region(
    before: status.RegionStatus | None, now: status.RegionStatus, complaints: Complaints
) -> Iterator[Notice]:
    if before is not None and is_scaled(before, now):
        why = "" if now.scaled is None else f": {now.scaled.message}"
        yield Notice(reason="Scaled", message=f"{now.name} is to keep {now.wanted} ready, {before.wanted} before{why}")
    if now.unschedulable and not (before is not None and before.unschedulable):
        message = f"no node for {_browsers(now.unschedulable)} in {now.name}{_because(complaints.unplaced, now.name)}"
        yield Notice(reason="Unschedulable", message=message, warning=True)
    if now.failing and not (before is not None and before.failing):
        message = f"{now.failure} of {_browsers(now.failing)} in {now.name}{_because(complaints.failing, now.name)}"
        yield Notice(reason="NotRunning", message=message, warning=True)
    if now.away and not (before is not None and before.away):
        yield Notice(reason=status.REGION_AWAY, message=f"nothing is changed in {now.name}: {now.away}", warning=True)
    if before is not None and before.away and not now.away:
        yield Notice(reason="RegionDatabaseBack", message=f"the database of {now.name} answers again")
    if now.moves_from and not (now.away or now.elsewhere) and (before is None or before.away or before.elsewhere):
        message = f"nothing of {now.name} is left in {now.moves_from}: take movingFrom out"
        yield Notice(reason="Moved", message=message)
    if now.stale and not (before is not None and before.stale):
        yield Notice(reason="HeartbeatsLate", message=f"heartbeats of {now.name} are not written in time", warning=True)


def _because(complaints: Mapping[RegionName, str], region: RegionName) -> str:
    return f": {complaints[region]}" if complaints.get(region) else ""


def _of_conditions(before: status.PoolStatus | None, now: status.PoolStatus) -> Iterator[Notice]:
    was = {one.type: one.status for one in before.conditions} if before is not None else {}
    for one in now.conditions:
        if one.type == "Ready" and one.status and was.get("Ready") is not True:
            yield Notice(reason="Ready", message=one.message)
        if one.type == "Ready" and one.status is False and was.get("Ready"):
            yield Notice(reason="NotReady", message=one.message, warning=True)
        if one.type == "CanaryPaused" and one.status and not was.get("CanaryPaused"):
            yield Notice(reason="CanaryPaused", message=one.message, warning=True)
