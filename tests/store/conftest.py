"""Fixtures of the store's tests."""

import psycopg
import pytest

from browserpool.store import connect
from support import fleet as fleets


@pytest.fixture
def fleet(database: connect.Database) -> fleets.Fleet:
    return fleets.Fleet(database)


@pytest.fixture
def empty(postgres_server):
    """An empty database."""
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        connection.execute("drop database if exists empty")
        connection.execute("create database empty template template0")
    yield postgres_server.dsn("empty")
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        connection.execute("drop database empty with (force)")
