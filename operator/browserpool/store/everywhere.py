"""What concerns all regions, asked of each of their databases: where a session is, what there is to list, to renew, to end.

A database that cannot be used now has no part in a list; who looks for one thing, and does not find it elsewhere, is told that it is away.
"""

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeVar

from browserpool.lib import tasks
from browserpool.model import errors, recordings, sessions
from browserpool.model.browsers import Browser, Count
from browserpool.model.names import HOME, DatabaseName, HolderId, PoolName, RegionName, SessionId, TokenName
from browserpool.model.regions import RegionStatus
from browserpool.model.tokens import Day
from browserpool.store import browsers, connect, databases, leases, regions, usage
from browserpool.store import recordings as stored_recordings
from browserpool.store import sessions as stored

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Seen = sessions.Session | sessions.Past


class Unseen(errors.Unavailable):
    """None of those that answer has what was looked for; another one may, and is away."""


# ---------------------------------------------------------------- leases


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The sessions that were renewed, and the databases whose sessions nobody could ask for."""

    sessions: frozenset[SessionId]
    away: dict[DatabaseName, errors.BrowserpoolError]


async def renew(all_: databases.Databases, *, holder: HolderId, leases_: Sequence[sessions.Held]) -> Renewed:
    """``leases.renew`` in each database that has some of them."""
    by_database: dict[DatabaseName, list[sessions.Held]] = {}
    for held in leases_:
        by_database.setdefault(held.database, []).append(held)

    async def one(name: DatabaseName) -> frozenset[SessionId] | errors.BrowserpoolError:
        try:
            return await leases.renew(all_.of(name), holder=holder, leases=by_database[name])
        except errors.BrowserpoolError as error:
            return error

    names = list(by_database)
    answers = await asyncio.gather(*map(one, names))
    renewed = frozenset[SessionId]().union(*(one for one in answers if isinstance(one, frozenset)))
    away = {name: one for name, one in zip(names, answers, strict=True) if isinstance(one, errors.BrowserpoolError)}
    return Renewed(sessions=renewed, away=away)


# ---------------------------------------------------------------- sessions


async def session(all_: databases.Databases, session_id: SessionId, *, background: tasks.Background) -> Seen | None:
    """The live session of this id, or what is remembered of an ended one, wherever it is.

    Whoever has it keeps nobody waiting for the others, which answer in ``background``.

    Raises:
        Unseen: it is not in those that answer.
        errors.Unavailable: nor in a region's, and the installation's own is away.
    """

    async def either(db: connect.Database) -> Seen | None:
        found = await stored.live(db, session_id)
        return found if found is not None else await stored.history(db, session_id)

    return await _found(all_, either, background=background)


async def listing(
    all_: databases.Databases,
    *,
    token: TokenName | None = None,
    pools: Collection[PoolName] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[sessions.Session]:
    """Live sessions, as of ``sessions.listing``."""

    def some(db: connect.Database) -> Awaitable[list[sessions.Session]]:
        return stored.listing(db, token=token, pools=pools, limit=limit + offset)

    return _page(await _each(all_, some), _started, limit=limit, offset=offset)


async def past(
    all_: databases.Databases,
    *,
    token: TokenName | None = None,
    pools: Collection[PoolName] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[sessions.Past]:
    """Ended sessions, as of ``sessions.past``."""

    def some(db: connect.Database) -> Awaitable[list[sessions.Past]]:
        return stored.past(db, token=token, pools=pools, limit=limit + offset)

    return _page(await _each(all_, some), _ended, limit=limit, offset=offset)


def _started(one: sessions.Session) -> datetime.datetime:
    return one.started_at


def _ended(one: sessions.Past) -> datetime.datetime:
    return one.ended_at


# ---------------------------------------------------------------- browsers, recordings, usage


async def counts(all_: databases.Databases) -> list[Count]:
    """``browsers.counts`` of all of them, added up."""
    sums: dict[tuple[str, str, str], Count] = {}
    for _, found in await _each(all_, browsers.counts):
        for one in found:
            key = (one.pool, one.region, one.state.value)
            before = sums.get(key)
            sums[key] = one if before is None else dataclasses.replace(one, number=one.number + before.number)
    return [sums[key] for key in sorted(sums)]


async def browsers_listing(all_: databases.Databases) -> list[Browser]:
    """All browsers, by name."""
    return sorted(_joined(await _each(all_, browsers.listing)), key=lambda one: one.browser_id)


async def browsers_found(all_: databases.Databases) -> dict[DatabaseName, list[Browser]]:
    """All browsers of each database that has answered, by name."""
    return {name: _joined([(name, rows)]) for name, rows in await _each(all_, browsers.listing)}


async def regions_listing(all_: databases.Databases) -> list[RegionStatus]:
    """All regions, by name; of one that is in several databases, while it moves, the worst of what they say."""
    found: dict[RegionName, RegionStatus] = {}
    for _, listed in await _each(all_, regions.listing):
        for one in listed:
            other = found.get(one.region, one)
            found[one.region] = RegionStatus(
                region=one.region,
                lag=max(one.lag, other.lag),
                stale=one.stale or other.stale,
                writers=max(one.writers, other.writers),
            )
    return [found[name] for name in sorted(found)]


async def product(all_: databases.Databases) -> str | None:
    """What some browser's Chromium calls itself."""
    return next((found for _, found in await _each(all_, browsers.product) if found), None)


async def sweep(all_: databases.Databases) -> None:
    """``browsers.sweep`` in all of them."""
    await _each(all_, browsers.sweep)


async def recording(
    all_: databases.Databases, session_id: SessionId
) -> tuple[DatabaseName, recordings.Recording] | None:
    """What is known of the session's recording, and where it is; raises as ``session``."""
    answers, failed = await _heard(all_, lambda _, db: stored_recordings.get(db, session_id))
    for name, found in answers:
        if found is not None:
            return name, found
    for error in failed:
        raise Unseen(error.message, retry_after=error.retry_after)
    _require_all(all_)
    return None


async def prune_recordings(all_: databases.Databases, *, older_than: float) -> None:
    """``recordings.prune`` in all of them."""
    await _each(all_, lambda db: stored_recordings.prune(db, older_than=older_than))


async def count_usage(all_: databases.Databases, *, every: float) -> None:
    """``usage.count`` in all of them."""
    await _each(all_, lambda db: usage.count(db, every=every))


class Days:
    """``usage.today`` of all of them, added up. Of one that is away counts what it said last, as long as that day lasts."""

    def __init__(self) -> None:
        self._last: dict[DatabaseName, Day] = {}

    async def today(self, all_: databases.Databases) -> Day:
        """The day is the installation's own database's.

        Raises:
            errors.Unavailable: that one is away.
        """
        answers = await _each(all_, usage.today)
        self._last |= answers
        (home, first), *_ = answers
        return _summed(first, (day for name, day in self._last.items() if name != home))


def _summed(first: Day, others: Iterable[Day]) -> Day:
    seconds = dict(first.seconds)
    for day in others:
        if day.ends_at == first.ends_at:
            for token, spent in day.seconds.items():
                seconds[token] = seconds.get(token, 0.0) + spent
    return dataclasses.replace(first, seconds=seconds)


# ---------------------------------------------------------------- how each is asked


Row = TypeVar("Row", sessions.Session, sessions.Past, Browser)
"""What says which database it is of."""
Listed = TypeVar("Listed", sessions.Session, sessions.Past)
"""What there are pages of."""


async def _each(
    all_: databases.Databases, ask: Callable[[connect.Database], Awaitable[Answer]]
) -> list[tuple[DatabaseName, Answer]]:
    return await each(all_, lambda _, db: ask(db))


async def each(
    all_: databases.Databases, ask: Callable[[DatabaseName, connect.Database], Awaitable[Answer]]
) -> list[tuple[DatabaseName, Answer]]:
    """The answers of those that can be used, the installation's own first. One that fails meanwhile has no part in it.

    Raises:
        errors.Unavailable: the installation's own is away.
    """
    answers, _ = await _heard(all_, ask)
    return answers


async def _heard(
    all_: databases.Databases, ask: Callable[[DatabaseName, connect.Database], Awaitable[Answer]]
) -> tuple[list[tuple[DatabaseName, Answer]], list[errors.BrowserpoolError]]:
    """The answers of ``each``, and why others gave none; raises as it does."""
    (home, own), *regional = all_.open()
    if not regional:
        return [(home, await ask(home, own))], []

    async def one(name: DatabaseName, db: connect.Database) -> tuple[DatabaseName, Answer] | errors.BrowserpoolError:
        try:
            return name, await ask(name, db)
        except errors.Unavailable as error:
            all_.suspect(name, error)
            return error
        except errors.BrowserpoolError as error:
            log.warning("a region's database refused", extra={"database": name, "why": error.message})
            return error

    async def first() -> Answer | errors.BrowserpoolError:
        try:
            return await ask(home, own)
        except errors.BrowserpoolError as error:
            return error

    async with asyncio.TaskGroup() as group:
        others = [group.create_task(one(name, db)) for name, db in regional]
        asked = group.create_task(first())
    kept = asked.result()
    if isinstance(kept, errors.BrowserpoolError):
        raise kept
    found = [task.result() for task in others]
    answers = [(home, kept), *(one for one in found if not isinstance(one, errors.BrowserpoolError))]
    return answers, [one for one in found if isinstance(one, errors.BrowserpoolError)]


async def _kept(asked: Awaitable[Answer]) -> Answer | errors.Unavailable:
    try:
        return await asked
    except errors.Unavailable as error:
        return error


async def _found(
    all_: databases.Databases,
    ask: Callable[[connect.Database], Awaitable[Seen | None]],
    *,
    background: tasks.Background,
) -> Seen | None:
    """What one of them has; raises as ``session``."""
    opened = all_.open()
    if len(opened) == 1:
        found = await ask(all_.home)
    else:
        asked = [background.spawn(_asked(all_, name, db, ask), name=f"look in {name}") for name, db in opened]
        found = await _first(asked)
    if found is None:
        _require_all(all_)
    return found


async def _asked(
    all_: databases.Databases,
    name: DatabaseName,
    db: connect.Database,
    ask: Callable[[connect.Database], Awaitable[Seen | None]],
) -> tuple[DatabaseName, Seen | errors.Unavailable | None]:
    answer = await _kept(ask(db))
    if isinstance(answer, errors.Unavailable):
        all_.suspect(name, answer)
    return name, answer


async def _first(
    asked: Iterable["asyncio.Task[tuple[DatabaseName, Seen | errors.Unavailable | None]]"],
) -> Seen | None:
    """What the first of them has that has anything. The others are not stopped: that would cost them their connections."""
    waiting, trouble = set(asked), None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for name, answer in (task.result() for task in done):
            if isinstance(answer, errors.Unavailable):
                if trouble is None or name == HOME:
                    trouble = answer if name == HOME else Unseen(answer.message, retry_after=answer.retry_after)
            elif answer is not None:
                return dataclasses.replace(answer, database=name)
    if trouble is not None:
        raise trouble
    return None


def _require_all(all_: databases.Databases) -> None:
    for why in all_.away().values():
        raise Unseen(why, retry_after=connect.RETRY_AFTER)


def _joined(answers: Iterable[tuple[DatabaseName, Iterable[Row]]]) -> list[Row]:
    """All their rows, each with the database that it is of."""
    return [
        row if row.database == name else dataclasses.replace(row, database=name)
        for name, rows in answers
        for row in rows
    ]


def _page(
    answers: Sequence[tuple[DatabaseName, list[Listed]]],
    when: Callable[[Listed], datetime.datetime],
    *,
    limit: int,
    offset: int,
) -> list[Listed]:
    """A page of all their rows, in the order in which each has its own: the newest first, those of one moment by id."""
    rows = _joined(answers)
    if len(answers) > 1:
        rows.sort(key=lambda one: one.session_id)
        rows.sort(key=when, reverse=True)
    return rows[offset : offset + limit]
