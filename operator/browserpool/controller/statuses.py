"""Writes pools' status: only what differs from what the object bears, and mere counts not too often."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from browserpool.controller import kube, mirror
from browserpool.controller.desired import status
from browserpool.controller.wanted import Wanted
from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.names import PoolName

log = logging.getLogger(__name__)

COUNTS_EVERY = 10.0
"""Seconds between two writes that only tell new counts: with every quick action some browser is claimed and free again."""


class Statuses:
    """Each method answers whether it wrote. The API server being away raises ``errors.ClusterUnavailable``."""

    def __init__(
        self, client: kube.Client, pools: mirror.Mirror[Wanted], *, now: clock.Monotonic = clock.monotonic
    ) -> None:
        self._client = client
        self._pools = pools
        self._now = now
        self._written: dict[PoolName, float] = {}

    async def show(self, one: Wanted, now: status.PoolStatus) -> bool:
        """The pool's whole status is this."""
        made = status.manifest(now, previous_conditions=_conditions(one), now=clock.wall())
        return await self._write(one, made)

    async def mark(self, one: Wanted, conditions: Sequence[status.Condition]) -> bool:
        """These conditions are so, whatever the rest is."""
        before = _conditions(one)
        kept = [found for found in before if found["type"] not in {condition.type for condition in conditions}]
        made = status.conditions(conditions, generation=one.generation, previous=before, now=clock.wall())
        ours = [found for found in made if found not in kept]
        return await self._write(one, {"conditions": sorted([*kept, *ours], key=_place_in(before))})

    async def _write(self, one: Wanted, made: Mapping[str, Any]) -> bool:
        if all(one.status.get(key) == value for key, value in made.items()):
            return False
        early = self._now() - self._written.get(one.name, float("-inf")) < COUNTS_EVERY
        if early and _essence(one.status) == _essence({**one.status, **made}):
            return False
        try:
            answer = await self._client.patch(kube.POOLS, one.name, {"status": made}, subresource="status")
        except errors.NotFound:
            return False
        except errors.ClusterUnavailable:
            raise
        except errors.BrowserpoolError as error:
            log.warning("the status was refused", extra={"pool": one.name, "why": error.message})
            return False
        self._written[one.name] = self._now()
        self._pools.put(answer)
        return True


def _conditions(one: Wanted) -> Sequence[Mapping[str, Any]]:
    return one.status.get("conditions") or ()


def _place_in(before: Sequence[Mapping[str, Any]]) -> Any:
    order = {found["type"]: index for index, found in enumerate(before)}
    return lambda found: order.get(found["type"], len(order))


def _essence(shown: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is told at once: which conditions hold and why, and that the spec was seen."""
    return (
        shown.get("observedGeneration"),
        {(one["type"], one["status"], one["reason"]) for one in shown.get("conditions") or ()},
    )
