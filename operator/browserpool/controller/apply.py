"""Carry a plan's actions out: rows in the store, pods through whatever hands the caller has.

Each action may be repeated, and none depends on another of the same plan: what fails is planned again from what then exists. What
one statement can do for many browsers of one database, one statement does.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Collection, Iterable
from typing import Protocol

from browserpool.controller.desired import plan, seen
from browserpool.model import errors
from browserpool.model.browsers import Location, Registration
from browserpool.model.names import HOME, BrowserId, DatabaseName, PoolName
from browserpool.store import browsers, connect, databases

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
    stores: databases.Databases,
    hands: Hands,
    pool: PoolName,
    actions: Collection[plan.Action],
    *,
    concurrency: int = 1,
) -> list[Failure]:
    """Do what can be done of ``actions``, ``concurrency`` pods at a time; answers what failed (each is logged).

    Those in a region's database that cannot be reached fail, and nothing else does.

    Raises:
        errors.Unavailable: the installation's own database, or what makes pods, cannot be reached; some of the rest was not tried.
    """
    by_database: dict[DatabaseName, list[plan.Action]] = {}
    for action in actions:
        log.info(type(action).__name__.lower(), extra=_described(action))
        by_database.setdefault(action.database, []).append(action)
    failures = await _number(stores, by_database)
    work = _Work(stores=stores, hands=hands, pool=pool, gate=asyncio.Semaphore(concurrency))
    tasks = []
    away: errors.Unavailable | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_carry_out_in(name, some, work)) for name, some in by_database.items()]
    except* errors.Unavailable as unavailable:
        away = _first(unavailable)
    if away is not None:
        # Not within the clause: some releases of Python 3.11 put what is raised there back into its group.
        raise away
    return [*failures, *(failure for task in tasks for failure in task.result())]


async def _number(stores: databases.Databases, by_database: dict[DatabaseName, list[plan.Action]]) -> list[Failure]:
    """Take the numbers of registrations in regions' databases out of the installation's own, as many as are needed at most.

    So a name's fence is above all that it ever had, whichever database it was registered in before and is registered in next: what
    speaks for an older claim is refused there too. Answers what cannot be registered since its database does not answer, and takes it
    out of ``by_database``.
    """
    failures: list[Failure] = []
    for name, actions in by_database.items():
        registered = [action for action in actions if isinstance(action, plan.Create | plan.Adopt)]
        if name == HOME or not registered:
            continue
        last = await browsers.registrations(stores.home)
        try:
            db = stores.of(name)
            last = max(last, await browsers.registrations(db))
            await browsers.raise_registrations(db, above=last)
        except errors.Unavailable as error:
            stores.suspect(name, error)
            failures += [_failed(action, error) for action in registered]
            by_database[name] = [action for action in actions if action not in registered]
        else:
            # Twice as many: a statement whose connection broke is repeated.
            await browsers.raise_registrations(stores.home, above=last + 2 * len(registered))
    return failures


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    stores: databases.Databases
    hands: Hands
    pool: PoolName
    gate: asyncio.Semaphore


async def _carry_out_in(name: DatabaseName, actions: Collection[plan.Action], work: _Work) -> list[Failure]:
    """``actions``, which are all in this database."""
    try:
        db = work.stores.of(name)
        await _write_rows(db, actions)
        deletable = await _deletable(db, [action for action in actions if isinstance(action, plan.Delete)])
    except errors.Unavailable as error:
        if name == HOME:
            raise
        work.stores.suspect(name, error)
        return [_failed(action, error) for action in actions]
    singly = [action for action in actions if isinstance(action, plan.Create | plan.Adopt) or action in deletable]

    async def one(action: plan.Action) -> Failure | None:
        async with work.gate:
            return await _attempt(db, name, action, work)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(action)) for action in singly]
    return [failure for task in tasks if (failure := task.result()) is not None]


def _first(group: BaseExceptionGroup[errors.Unavailable]) -> errors.Unavailable:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


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


async def _attempt(db: connect.Database, name: DatabaseName, action: plan.Action, work: _Work) -> Failure | None:
    try:
        await _do(db, action, work)
    except errors.Unavailable as error:
        if name == HOME or isinstance(error, errors.ClusterUnavailable):
            raise
        work.stores.suspect(name, error)
        return _failed(action, error)
    except (errors.BrowserpoolError, OSError) as error:
        return _failed(action, error)
    return None


def _failed(action: plan.Action, error: Exception) -> Failure:
    log.warning("an action failed; it will be planned again", extra={**_described(action), "error": str(error)})
    return Failure(action=action, error=error)


async def _do(db: connect.Database, action: plan.Action, work: _Work) -> None:
    match action:
        case plan.Create():
            place = work.hands.place(action)
            await browsers.register(db, _registration(work.pool, action, place))
            await work.hands.create(action, place)
        case plan.Adopt():
            await browsers.register(db, _registration(work.pool, action, work.hands.place(action)))
        case plan.Delete():
            await work.hands.delete(action.browser_id)


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
    described = {"browser": action.browser_id} | ({} if reason is None else {"reason": reason})
    return described if action.database == HOME else described | {"database": action.database}
