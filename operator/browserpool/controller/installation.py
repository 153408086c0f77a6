"""Nothing is decided on another installation's database: what it runs there would look like what a deleted pool has left."""

import asyncio
import logging

from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.names import HOME, DatabaseName
from browserpool.store import connect, databases, installation, migrate

log = logging.getLogger(__name__)

_RENEW_EVERY = 30.0
"""Seconds between two renewals; well within ``store.installation.SILENCE``."""
_RETRY_EVERY = 10.0


class Installation:
    """``name`` wants the database; ``problem`` says why it does not have it, empty: it does, or has not asked yet."""

    def __init__(self, db: connect.Database, name: str, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._name = name
        self._now = now
        self._asked = float("-inf")
        self.problem = ""
        self.taken = asyncio.Event()
        """Set once it has got it for the first time."""

    async def holds(self) -> bool:
        """Whether the database is this installation's; asked for now and then only.

        Raises:
            errors.Unavailable: the store is away.
        """
        if self._now() - self._asked >= (_RETRY_EVERY if self.problem else _RENEW_EVERY):
            started = self._now()
            self._answered(await installation.take(self._db, self._name))
            self._asked = started
        return not self.problem

    def _answered(self, owner: str | None) -> None:
        before, self.problem = self.problem, "" if owner is None else _taken_by(owner, name=self._name)
        if self.problem and self.problem != before:
            log.warning("nothing is done", extra={"why": self.problem})
        elif owner is None:
            self.taken.set()
            if before:
                log.info("the database is this installation's now", extra={"installation": self._name})


class Regional:
    """The same for regions' databases: each is used as long as it is this installation's, and kept up to date by nobody else."""

    def __init__(self, name: str, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._name = name
        self._now = now
        self._ours: dict[DatabaseName, tuple[connect.Database, Installation]] = {}
        self.others: frozenset[DatabaseName] = frozenset()
        """Those that were last found to be another's."""

    async def prepare(self, dsn: str, db: connect.Database) -> None:
        """Take the database, then bring it to this version's schema: a ``databases.Prepare``.

        Raises:
            errors.Unavailable: it is another installation's, or cannot be reached.
            errors.SchemaTooNew: it is of a newer version.
        """
        try:
            owner = await installation.take(db, self._name)
        except errors.Unavailable:
            # It is away, or has no schema at all and so no owner: the migration tells which.
            owner = None
        if owner is None:
            await migrate.apply(dsn)
            owner = await installation.take(db, self._name)
        if owner is not None:
            raise errors.Unavailable(_taken_by(owner, name=self._name), retry_after=connect.RETRY_AFTER)

    async def refused(self, stores: databases.Databases) -> dict[DatabaseName, str]:
        """Of those that are open the ones that are another's by now, and why; the others are renewed, now and then."""
        found: dict[DatabaseName, str] = {}
        async with asyncio.TaskGroup() as group:
            for name, db in stores.open():
                if name != HOME:
                    group.create_task(self._renew(stores, name, db, found))
        self.others = frozenset(found)
        return found

    async def _renew(
        self, stores: databases.Databases, name: DatabaseName, db: connect.Database, found: dict[DatabaseName, str]
    ) -> None:
        known, ours = self._ours.get(name, (None, None))
        if ours is None or known is not db:
            ours = Installation(db, self._name, now=self._now)
            self._ours[name] = db, ours
        try:
            if not await ours.holds():
                found[name] = ours.problem
        except errors.Unavailable as error:
            stores.suspect(name, error)


def _taken_by(owner: str, *, name: str) -> str:
    return (
        f"The database is installation {owner}'s, and this is {name}: give each installation a database of its own. "
        f"If {owner} is no more, {name} takes over by itself, some two minutes after the last sign of it or of its browsers."
    )
