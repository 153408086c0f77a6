"""Fixtures that several rooms' tests share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from browserpool.store import connect
from support import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One Postgres for the whole run, with the migrated template in it."""
    with postgres.server(**postgres.FAST) as made:
        postgres.make_template(made)
        yield made


@pytest.fixture
def dsn(postgres_server: postgres.Server) -> Iterator[str]:
    """A database of the test's own, migrated and empty."""
    with postgres.clone(postgres_server) as made:
        yield made


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[connect.Database]:
    """The same, as the store's functions take it."""
    async with connect.opened(dsn, process="tests") as opened:
        yield opened
