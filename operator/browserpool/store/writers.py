"""The batch writers of heartbeats, one for each database of the installation: one that is away holds up its own browsers only."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

from browserpool.model import databases as model
from browserpool.model import errors
from browserpool.model.names import HOME, DatabaseName, HolderId, PoolName, RegionName
from browserpool.model.pool import PoolSpec
from browserpool.store import connect, heartbeats, regions

log = logging.getLogger(__name__)

MAKE_KNOWN: Final = 1.0
"""Seconds for a database to hear of its regions: whoever reads pools and tokens waits for it, and says it again soon."""


def regions_in(
    database: DatabaseName, served: Collection[RegionName], pools: Mapping[PoolName, PoolSpec]
) -> list[RegionName]:
    """Those of the regions ``served`` whose browsers ``database`` has, of any pool; what no pool has is in the installation's own. Pure."""

    def has(region: RegionName) -> bool:
        users = [spec for spec in pools.values() if spec.region(region) is not None]
        return any(database in spec.databases(region) for spec in users) or (database == HOME and not users)

    return [region for region in served if has(region)]


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class _Open:
    """One database's writer, and the regions whose lag it records, once it was told. ``db``: none, of the installation's own."""

    writer: heartbeats.BatchWriter
    db: connect.Database | None = None
    served: list[RegionName] | None = None


class Writers:
    """``home`` writes into the installation's own database; ``serving`` adds those of others."""

    def __init__(self, settings: heartbeats.BatchSettings, home: heartbeats.BatchWriter, *, writer: HolderId) -> None:
        self._settings = settings
        self._writer = writer
        self._open: dict[DatabaseName, _Open] = {HOME: _Open(writer=home)}

    def of(self, name: DatabaseName) -> heartbeats.BatchWriter:
        """The one that writes into this database.

        Raises:
            errors.Unavailable: it is not open.
        """
        if (found := self._open.get(name)) is None:
            text = model.described(name)
            raise errors.Unavailable(
                f"{text[0].upper()}{text[1:]} is not open here; say it again.", retry_after=connect.RETRY_AFTER
            )
        return found.writer

    @contextlib.asynccontextmanager
    async def serving(self, name: DatabaseName, db: connect.Database) -> AsyncIterator[None]:
        """Write into that database too, while the block runs."""
        async with heartbeats.BatchWriter(db, self._settings, writer=self._writer) as writer:
            self._open[name] = _Open(writer=writer, db=db)
            try:
                yield
            finally:
                del self._open[name]

    async def serve(self, served: Collection[RegionName], pools: Mapping[PoolName, PoolSpec]) -> None:
        """From now on the lag is recorded for these regions, each where its browsers are; in one that is away, when this is said again."""
        wanted = [(name, one, regions_in(name, served, pools)) for name, one in self._open.items()]
        await asyncio.gather(*(_serve(name, one, here) for name, one, here in wanted if here != one.served))


async def _serve(name: DatabaseName, one: _Open, here: list[RegionName]) -> None:
    if one.db is not None:
        try:
            await regions.ensure(dataclasses.replace(one.db, deadline=MAKE_KNOWN, repeat=False), here)
        except errors.Unavailable as error:
            log.info("regions could not be made known", extra={"database": name, "why": error.message})
            return
    # Whichever database is open by now under that name has a record of its own.
    one.writer.serve(here)
    one.served = here
