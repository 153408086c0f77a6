"""The batch writers of heartbeats, one for each database of the installation: one that is away holds up its own browsers only."""

import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping

from browserpool.model import databases as model
from browserpool.model import errors
from browserpool.model.databases import HOME, DatabaseName
from browserpool.model.names import HolderId, PoolName, RegionName
from browserpool.model.pool import PoolSpec
from browserpool.store import connect, heartbeats, regions

log = logging.getLogger(__name__)


def regions_in(
    database: DatabaseName, served: Collection[RegionName], pools: Mapping[PoolName, PoolSpec]
) -> list[RegionName]:
    """Those of the regions ``served`` whose browsers ``database`` has, of any pool; what no pool has is in the installation's own. Pure."""

    def has(region: RegionName) -> bool:
        users = [spec for spec in pools.values() if spec.region(region) is not None]
        return any(database in spec.databases(region) for spec in users) or (database == HOME and not users)

    return [region for region in served if has(region)]


class Writers:
    """``home`` writes into the installation's own database; ``serving`` adds those of others."""

    def __init__(self, settings: heartbeats.BatchSettings, home: heartbeats.BatchWriter, *, writer: HolderId) -> None:
        self._settings = settings
        self._writer = writer
        self._writers: dict[DatabaseName, heartbeats.BatchWriter] = {HOME: home}
        self._databases: dict[DatabaseName, connect.Database] = {}
        self._served: dict[DatabaseName, list[RegionName]] = {}

    def of(self, name: DatabaseName) -> heartbeats.BatchWriter:
        """The one that writes into this database.

        Raises:
            errors.Unavailable: it is not open.
        """
        if (found := self._writers.get(name)) is None:
            text = model.described(name)
            raise errors.Unavailable(
                f"{text[0].upper()}{text[1:]} is not open here; say it again.", retry_after=connect.RETRY_AFTER
            )
        return found

    @contextlib.asynccontextmanager
    async def serving(self, name: DatabaseName, db: connect.Database) -> AsyncIterator[None]:
        """Write into that database too, while the block runs."""
        async with heartbeats.BatchWriter(db, self._settings, writer=self._writer) as writer:
            self._writers[name], self._databases[name] = writer, db
            try:
                yield
            finally:
                del self._writers[name], self._databases[name]
                self._served.pop(name, None)

    async def serve(self, served: Collection[RegionName], pools: Mapping[PoolName, PoolSpec]) -> None:
        """From now on the lag is recorded for these regions, each where its browsers are."""
        for name, writer in list(self._writers.items()):
            here = regions_in(name, served, pools)
            if here == self._served.get(name):
                continue
            if (db := self._databases.get(name)) is not None:
                try:
                    await regions.ensure(db, here)
                except errors.Unavailable as error:
                    log.info("regions could not be made known", extra={"database": name, "why": error.message})
                    continue
            writer.serve(here)
            self._served[name] = here
