"""What the database says of its own size, for ``browserpool bench``."""

import dataclasses

from browserpool.store import connect, queries

_SQL = queries.topic("measures")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """In bytes; ``ended`` is the number of sessions in the history."""

    wal: int
    browsers: int
    sessions: int
    ended: int


async def sizes(db: connect.Database) -> Sizes:
    """As of now; ``wal`` counts from the database's beginning."""
    found = await connect.fetch_one(db, _SQL["sizes"], {}, into=Sizes)
    assert found is not None, "a select without a table has one row"
    return found
