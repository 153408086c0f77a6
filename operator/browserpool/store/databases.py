"""The databases of an installation: its own, and those of regions that have one.

Each of the regions' is looked after by a task: opened as soon as it can be reached, asked now and then whether it answers, opened anew
when its connection string has changed. One that does not answer keeps nobody waiting: whoever wants it is told so at once.
"""

import asyncio
import contextlib
import dataclasses
import logging
import math
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

from browserpool import metrics
from browserpool.lib import chance, clock, tasks
from browserpool.model import databases, errors
from browserpool.model.names import HOME, DatabaseName
from browserpool.store import connect, migrate, sessions

log = logging.getLogger(__name__)

PROBE_EVERY: Final = 1.0
"""Seconds between two questions whether a database answers."""
PROBE_DEADLINE: Final = 1.0
"""Seconds for its answer."""
_ONCE_MORE: Final = 0.2
"""Seconds after which one that did not answer is asked once more, before it counts as away."""
PREPARE_DEADLINE: Final = 600.0
"""Seconds for what is done with one before it is used: a migration of a large one, and the wait for whoever migrates it already."""
_READ_EVERY: Final = 5.0
"""Seconds between two looks at its connection string."""
_TRY_FIRST, _TRY_MOST = 0.5, 2.0
"""Seconds between two attempts to open it."""

_READ_ONLY: Final = "takes no writes: it is a standby, or was set to be read-only."

Prepare = Callable[[str, connect.Database], Awaitable[object]]
"""Called with a database's connection string and itself before it is used; raises what keeps it from being used."""
Attach = Callable[[DatabaseName, connect.Database], AbstractAsyncContextManager[object]]
"""What is open as long as the database is."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Regional:
    """One region's database. ``why`` it cannot be used; empty: it can."""

    task: "asyncio.Task[None]"
    db: connect.Database | None = None
    why: str = "is being opened"
    tried: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How regions' databases are opened. ``directory`` has their connection strings: ``<Secret's name>/<key>``."""

    directory: str
    process: str
    max_size: int = 8
    deadline: float = 5.0


async def current(_: str, db: connect.Database) -> None:
    """A ``Prepare``: the database must have this version's schema already; raises as ``migrate.require``."""
    await migrate.require(db)


@contextlib.asynccontextmanager
async def _nothing(_: DatabaseName, __: connect.Database) -> AsyncIterator[None]:
    yield


class Databases:
    """``home`` is the installation's own; ``follow`` says which others there are to be."""

    def __init__(
        self,
        home: connect.Database,
        opening: Opening | None = None,
        *,
        prepare: Prepare = current,
        attach: Attach = _nothing,
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self.home = home
        self._opening = opening or Opening(directory="", process="")
        self._prepare = prepare
        self._attach = attach
        self._now = now
        self._regional: dict[DatabaseName, _Regional] = {}
        self._background = tasks.Background(grace=2 * self._opening.deadline + 2, budget=home.budget)

    # ------------------------------------------------------------ which there are

    def follow(self, wanted: Collection[DatabaseName]) -> None:
        """These are the installation's from now on; others are closed."""
        for name in set(self._regional) - set(wanted):
            self._regional.pop(name).task.cancel()
            with contextlib.suppress(KeyError):
                metrics.REGION_DATABASE_UP.remove(name)
            log.info("a region's database is closed", extra={"database": name})
        for name in sorted(set(wanted) - self._regional.keys() - {HOME}):
            keep = self._background.spawn(self._keep(name), name=f"database {name}")
            self._regional[name] = _Regional(task=keep)
            metrics.REGION_DATABASE_UP.labels(name).set(0)

    async def tried(self, *, within: float) -> None:
        """Wait until each was opened, or could not be; no longer than ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                for one in list(self._regional.values()):
                    await one.tried.wait()

    async def close(self) -> None:
        """Close all but ``home``."""
        self.follow(())
        await self._background.close()

    # ------------------------------------------------------------ which can be used

    def of(self, name: DatabaseName) -> connect.Database:
        """The database.

        Raises:
            errors.Unavailable: it cannot be used now, or is none of the installation's.
        """
        if name == HOME:
            return self.home
        one = self._regional.get(name)
        if one is None:
            raise _away(name, "no pool names it")
        if one.db is None or one.why:
            raise _away(name, one.why or "is being opened")
        return one.db

    def open(self) -> list[tuple[DatabaseName, connect.Database]]:
        """Those that can be used, ``home`` first; it counts as one."""
        regional = [
            (name, one.db) for name, one in sorted(self._regional.items()) if one.db is not None and not one.why
        ]
        return [(HOME, self.home), *regional]

    def away(self) -> Mapping[DatabaseName, str]:
        """Those of regions that cannot be used, and why, in a sentence."""
        return {name: _away(name, one.why).message for name, one in self._regional.items() if one.why}

    def suspect(self, name: DatabaseName, error: errors.Unavailable) -> None:
        """It has just given somebody ``error``: nobody else needs to wait for that until it answers. Not so if it is but contention."""
        one = self._regional.get(name)
        if one is not None and not one.why and not isinstance(error, errors.Contended):
            _lost(name, one, "did not answer")

    # ------------------------------------------------------------ while the process stops

    def given_up(self, name: DatabaseName) -> bool:
        """Whether the process stops, and nothing more is to be had of this one."""
        event, budget = self._given_up(name), self.home.budget
        return budget.begun and (event is None or event.is_set() or budget.left(math.inf) <= 0)

    async def pause(self, name: DatabaseName, seconds: float) -> None:
        """Sleep for so long before the next attempt, and no longer when it is given up."""
        event = self._given_up(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (event.wait() if event is not None else asyncio.sleep(seconds))

    def _given_up(self, name: DatabaseName) -> asyncio.Event | None:
        """``None``: it is not open."""
        one = self._regional.get(name)
        db = self.home if name == HOME else one.db if one is not None else None
        return db.use.given_up if db is not None else None

    # ------------------------------------------------------------ one of them

    async def _keep(self, name: DatabaseName) -> None:
        """Keep a region's database open, until cancelled."""
        delays = tasks.backoff(first=_TRY_FIRST, most=_TRY_MOST)
        while True:
            try:
                await self._while_unchanged(name)
                delays = tasks.backoff(first=_TRY_FIRST, most=_TRY_MOST)
            except errors.BrowserpoolError as error:
                self._not_opened(name, error.message)
            except (
                Exception
            ):  # a fault of ours, which may be over the next time, must not end what looks after the database
                log.exception("looking after a region's database failed", extra={"database": name})
                self._not_opened(name, "Something failed that should not; the log says what.")
            await asyncio.sleep(chance.jitter(next(delays)))

    def _not_opened(self, name: DatabaseName, why: str) -> None:
        if (one := self._regional.get(name)) is not None:
            _lost(name, one, f"cannot be opened: {why}")
            one.tried.set()

    async def _while_unchanged(self, name: DatabaseName) -> None:
        """Have it open until its connection string changes, or it takes no writes: another server may by then, or will to a new connection.

        Raises:
            errors.BrowserpoolError: it cannot be opened, or not be used.
        """
        dsn, settings = self._read(name), self._opening
        async with connect.opened(
            dsn,
            process=settings.process,
            max_size=settings.max_size,
            deadline=settings.deadline,
            budget=self.home.budget,
        ) as db:
            await self._prepared(dsn, db)
            async with self._attach(name, db):
                one = self._regional[name]
                one.db = db
                try:
                    await self._watch(name, one, db, dsn=dsn)
                finally:
                    one.db = None

    async def _prepared(self, dsn: str, db: connect.Database) -> None:
        if not await sessions.writable(db):
            raise errors.Unavailable(f"It {_READ_ONLY}", retry_after=connect.RETRY_AFTER)
        try:
            async with asyncio.timeout(PREPARE_DEADLINE):
                await self._prepare(dsn, db)
        except TimeoutError as error:
            raise errors.Unavailable(
                f"It was not made ready within {PREPARE_DEADLINE:g} s.", retry_after=connect.RETRY_AFTER
            ) from error

    async def _watch(self, name: DatabaseName, one: _Regional, db: connect.Database, *, dsn: str) -> None:
        read_at = self._now()
        while True:
            why = await _trouble(db, dsn)
            if not why and one.why and await _lacks_tables(dsn):
                log.warning("a region's database is another one now, behind the same address", extra={"database": name})
                one.why = "is being opened anew"
                return
            if not why and one.why:
                log.info("a region's database answers", extra={"database": name})
                one.why = ""
                metrics.REGION_DATABASE_UP.labels(name).set(1)
            elif why:
                _lost(name, one, why)
            one.tried.set()
            if why == _READ_ONLY:
                return
            if self._now() - read_at >= _READ_EVERY:
                read_at = self._now()
                # A file that cannot be read now is not another database.
                with contextlib.suppress(errors.Unavailable):
                    if self._read(name) != dsn:
                        log.info("a region's database is another one now", extra={"database": name})
                        one.why = "is being opened anew"
                        return
            await asyncio.sleep(chance.jitter(PROBE_EVERY))

    def _read(self, name: DatabaseName) -> str:
        return connection_string(name, self._opening.directory)


def connection_string(name: DatabaseName, directory: str) -> str:
    """That of a region's database, read from its file in ``directory``; empty: there is none, and so no file.

    Raises:
        errors.Unavailable: the file cannot be read, or is empty.
    """
    secret, _, key = name.partition("/")
    try:
        dsn = _text(directory, secret, key)
    except (OSError, ValueError) as error:
        raise errors.Unavailable(
            f"The key {key} of Secret {secret} is not mounted here: name the Secret in the chart's database.regions, or put the "
            f"connection string at {secret}/{key} in the directory that `browserpool up --secrets` or BROWSERPOOL_SECRETS_DIR names.",
            retry_after=connect.RETRY_AFTER,
        ) from error
    if not dsn:
        raise errors.Unavailable(
            f"The key {key} of Secret {secret} is empty: it is to hold a connection string of Postgres.",
            retry_after=connect.RETRY_AFTER,
        )
    return dsn


def _text(directory: str, secret: str, key: str) -> str:
    if not directory:
        # A path of nothing is the working directory's.
        raise FileNotFoundError("no directory is named")
    return (pathlib.Path(directory) / secret / key).read_text(encoding="utf-8").strip()


async def _lacks_tables(dsn: str) -> bool:
    """Whether it is to be made ready once more: an empty one, or one of a backup, in the place of one that was lost.

    Over a connection of its own, as all others may be in use. If it cannot be told now, it is when the next statement fails.
    """
    try:
        async with asyncio.timeout(PROBE_DEADLINE):
            return bool(await migrate.lacking(dsn))
    except (errors.BrowserpoolError, TimeoutError):
        return False


async def _trouble(db: connect.Database, dsn: str) -> str:
    """What is wrong with it; empty: it answers."""
    patient = dataclasses.replace(db, deadline=PROBE_DEADLINE)
    for attempt in range(2):
        if attempt:
            await asyncio.sleep(_ONCE_MORE)
        try:
            writable = await _writable(patient, dsn)
        except errors.BrowserpoolError as error:
            why = f"does not answer: {error.message}"
        else:
            return "" if writable else _READ_ONLY
    return why


async def _writable(db: connect.Database, dsn: str) -> bool:
    try:
        return await sessions.writable(db)
    except errors.AllInUse:
        # Their statements wait for one another, or for a server that hangs: which of the two, a new connection tells.
        asked = connect.once(dsn, sessions.writable, process="probe", deadline=db.deadline)
    try:
        async with asyncio.timeout(db.deadline):
            # One that hangs takes seconds to be let go of.
            return await db.background.let_go(asked, name="probe")
    except TimeoutError as error:
        raise errors.Unavailable("It gave no new connection in time.", retry_after=connect.RETRY_AFTER) from error


def _lost(name: DatabaseName, one: _Regional, why: str) -> None:
    if not (one.why and one.tried.is_set()):
        log.warning("a region's database is away", extra={"database": name, "why": why})
    one.why = why
    metrics.REGION_DATABASE_UP.labels(name).set(0)


def _away(name: DatabaseName, why: str) -> errors.Unavailable:
    text = databases.described(name)
    return errors.Unavailable(f"{text[0].upper()}{text[1:]} {why}", retry_after=connect.RETRY_AFTER)
