"""Carry a plan's actions out: rows in the store, pods through whatever hands the caller has.

Each action may be repeated, and none depends on another of the same plan: what fails is planned again from what then exists. What
one statement can do for many browsers, one statement does.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Collection, Iterable
from typing import Protocol

from browserpool.controller.desired import plan, seen
from browserpool.model import errors
from browserpool.model.browsers import Location, Registration
from browserpool.model.names import BrowserId, PoolName
from browserpool.store import browsers, connect

log = logging.getLogger(__name__)


class Hands(Protocol):
    """What makes and deletes pods."""

    def place(self, action: plan.Create | plan.Adopt) -> seen.Place:
        """Where the pod is, or will be."""

    async def create(self, action: plan.Create, place: seen.Place) -> None:
        """Make the pod; one of that name that is there already is no error."""

    async def delete(self, browser_id: BrowserId) -> None:
        """Begin to delete the pod; none of that name is no error."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An action that could not be carried out."""

    action: plan.Action
    error: Exception


async def carry_out(
    db: connect.Database, hands: Hands, pool: PoolName, actions: Collection[plan.Action], *, concurrency: int = 1
) -> list[Failure]:
    """Do what can be done of ``actions``, ``concurrency`` pods at a time; answers what failed (each is logged).

    Raises:
        errors.Unavailable: the store, or what makes pods, cannot be reached; some of the rest was not tried.
    """
    for action in actions:
        log.info(type(action).__name__.lower(), extra=_described(action))
    await _write_rows(db, actions)
    deletable = await _deletable(db, [action for action in actions if isinstance(action, plan.Delete)])
    singly = [action for action in actions if isinstance(action, plan.Create | plan.Adopt) or action in deletable]
    gate = asyncio.Semaphore(concurrency)

    async def one(action: plan.Action) -> Failure | None:
        async with gate:
            return await _attempt(db, hands, pool, action)

    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(action)) for action in singly]
    except* errors.Unavailable as unavailable:
        raise unavailable.exceptions[0] from None
    return [failure for task in tasks if (failure := task.result()) is not None]


async def _write_rows(db: connect.Database, actions: Iterable[plan.Action]) -> None:
    drained, forgotten, located = [], [], []
    for action in actions:
        match action:
            case plan.Drain(browser_id=browser_id):
                drained.append(browser_id)
            case plan.Forget(browser_id=browser_id):
                forgotten.append(browser_id)
            case plan.Locate(browser_id=browser_id, place=place):
                located.append(Location(browser_id=browser_id, zone=place.zone, node=place.node))
    if drained:
        await browsers.drain(db, drained)
    if forgotten:
        await browsers.forget(db, forgotten)
    if located:
        await browsers.locate(db, located)


async def _deletable(db: connect.Database, deletions: list[plan.Delete]) -> list[plan.Delete]:
    """Those whose rows the store, asked once more, does not let anybody claim."""
    if not deletions:
        return []
    claimable = await browsers.claimable(db, [action.browser_id for action in deletions])
    for browser_id in claimable:
        log.warning("its row came to life; its pod stays", extra={"browser": browser_id})
    return [action for action in deletions if action.browser_id not in claimable]


async def _attempt(db: connect.Database, hands: Hands, pool: PoolName, action: plan.Action) -> Failure | None:
    try:
        await _do(db, hands, pool, action)
    except errors.Unavailable:
        raise
    except (errors.BrowserpoolError, OSError) as error:
        log.warning("an action failed; it will be planned again", extra={**_described(action), "error": str(error)})
        return Failure(action=action, error=error)
    return None


async def _do(db: connect.Database, hands: Hands, pool: PoolName, action: plan.Action) -> None:
    match action:
        case plan.Create():
            place = hands.place(action)
            await browsers.register(db, _registration(pool, action, place))
            await hands.create(action, place)
        case plan.Adopt():
            await browsers.register(db, _registration(pool, action, hands.place(action)))
        case plan.Delete():
            await hands.delete(action.browser_id)


def _registration(pool: PoolName, action: plan.Create | plan.Adopt, place: seen.Place) -> Registration:
    return Registration(
        browser_id=action.browser_id,
        pool=pool,
        region=action.region,
        zone=place.zone,
        node=place.node,
        template_hash=action.template_hash,
    )


def _described(action: plan.Action) -> dict[str, str]:
    reason = getattr(action, "reason", None)
    return {"browser": action.browser_id} | ({} if reason is None else {"reason": reason})
