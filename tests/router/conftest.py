from collections.abc import AsyncIterator, Iterator

import pytest

from browserpool.store import connect
from support import postgres, routers


@pytest.fixture
async def rig(dsn: str, database: connect.Database) -> AsyncIterator[routers.Rig]:
    async with routers.rig(dsn, database) as made:
        yield made


@pytest.fixture
def own_postgres() -> Iterator[tuple[postgres.Server, str]]:
    """A server that the test may stop and start, and the dsn of a database on it."""
    # What it said is committed must be there after a crash; postgres.FAST would lose the last moment.
    with postgres.server(fsync="off") as server:
        postgres.make_template(server)
        with postgres.clone(server) as dsn:
            yield server, dsn
