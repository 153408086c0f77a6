"""Fixtures of the store's tests."""

import pytest

from browserpool.store import connect
from support import fleet as fleets


@pytest.fixture
def fleet(database: connect.Database) -> fleets.Fleet:
    return fleets.Fleet(database)
