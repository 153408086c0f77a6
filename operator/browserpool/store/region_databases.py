"""The databases of regions in which there may be browsers, as routers are to see them."""

from collections.abc import Collection

from browserpool.model.names import DatabaseName
from browserpool.store import connect, queries

_SQL = queries.topic("region_databases")


async def replace(db: connect.Database, names: Collection[DatabaseName]) -> None:
    """These, and no others."""
    await connect.execute(db, _SQL["replace"], {"names": sorted(names)})


async def listing(db: connect.Database) -> list[DatabaseName]:
    """All of them, by name."""
    return await connect.fetch(db, _SQL["listing"], {}, into=_name)


def _name(*, name: str) -> DatabaseName:
    return DatabaseName(name)
