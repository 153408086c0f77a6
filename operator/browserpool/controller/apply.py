"""Carry a plan's actions out: rows in the store, pods through whatever hands the caller has.

Each action may be repeated, and none depends on another of the same plan: what fails is planned again from what then exists.
"""

import logging
from collections.abc import Iterable
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


async def carry_out(db: connect.Database, hands: Hands, pool: PoolName, actions: Iterable[plan.Action]) -> int:
    """Do what can be done of ``actions``; answers how many failed (each is logged).

    Raises:
        errors.Unavailable: the store cannot be reached; nothing of the rest was tried.
    """
    failed = 0
    for action in actions:
        log.info(type(action).__name__.lower(), extra=_described(action))
        try:
            await _do(db, hands, pool, action)
        except errors.Unavailable:
            raise
        except (errors.BrowserpoolError, OSError) as error:
            failed += 1
            log.warning("an action failed; it will be planned again", extra={**_described(action), "error": str(error)})
    return failed


async def _do(db: connect.Database, hands: Hands, pool: PoolName, action: plan.Action) -> None:
    match action:
        case plan.Create():
            place = hands.place(action)
            await browsers.register(db, _registration(pool, action, place))
            await hands.create(action, place)
        case plan.Adopt():
            await browsers.register(db, _registration(pool, action, hands.place(action)))
        case plan.Locate(browser_id=browser_id, place=place):
            await browsers.locate(db, [Location(browser_id=browser_id, zone=place.zone, node=place.node)])
        case plan.Drain():
            await browsers.drain(db, [action.browser_id])
        case plan.Delete():
            await hands.delete(action.browser_id)
        case plan.Forget():
            await browsers.forget(db, [action.browser_id])


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
