from collections.abc import AsyncIterator

import pytest

from browserpool.store import connect
from support import routers


@pytest.fixture
async def rig(dsn: str, database: connect.Database) -> AsyncIterator[routers.Rig]:
    async with routers.rig(dsn, database) as made:
        yield made
