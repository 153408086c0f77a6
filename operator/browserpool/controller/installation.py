"""Nothing is decided on another installation's database: what it runs there would look like what a deleted pool has left."""

import asyncio
import logging

from browserpool.lib import clock
from browserpool.store import connect, installation

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


def _taken_by(owner: str, *, name: str) -> str:
    return (
        f"The database is installation {owner}'s, and this is {name}: give each installation a database of its own. "
        f"If {owner} is no more, {name} takes over by itself, some two minutes after the last sign of it or of its browsers."
    )
