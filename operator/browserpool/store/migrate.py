"""Brings a database to the schema of this version: all that is missing, in one transaction, under one lock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from browserpool.lib import clock
from browserpool.model import errors
from browserpool.store import connect, queries

Answer = TypeVar("Answer")

_SQL = queries.topic("migrations")
_TRY_EVERY = 1.0
"""Seconds between two attempts of ``patiently``."""


async def apply(dsn: str) -> list[str]:
    """Run the migrations that the database at ``dsn`` lacks; answers their names. Appliers at the same time wait for each other.

    Raises:
        errors.SchemaTooNew: a newer version of browserpool has migrated this database.
        errors.Unavailable: it cannot be reached.
    """
    with connect.mapped_errors():
        async with _connected(dsn) as connection, connection.transaction():
            await connection.execute(_SQL["lock"])
            missing = _missing(await _applied(connection))
            for name in missing:
                await connection.execute(queries.text(f"migrations/{name}.sql").encode())
                await connection.execute(_SQL["record"], {"version": _version(name), "name": name})
            return missing


async def lacking(dsn: str) -> list[str]:
    """The names of the migrations that the database at ``dsn`` lacks; raises as ``apply``."""
    with connect.mapped_errors():
        async with _connected(dsn) as connection:
            return _missing(await _applied(connection))


async def require(db: connect.Database) -> None:
    """Make sure, at the start of a process, that the database has the schema that this version needs.

    Raises:
        errors.Unavailable: it lacks migrations; they are to be run first.
        errors.SchemaTooNew: it is of a newer version.
    """
    with connect.mapped_errors():
        async with db.pool.connection() as connection:
            _refuse_old(await _applied(connection))


async def check(dsn: str) -> None:
    """The same, of a database that is not opened otherwise.

    Raises:
        errors.Unavailable: it cannot be reached, or lacks migrations.
        errors.SchemaTooNew: it is of a newer version.
    """
    with connect.mapped_errors():
        async with _connected(dsn) as connection:
            _refuse_old(await _applied(connection))


async def patiently(action: Callable[[], Awaitable[Answer]], *, wait: float) -> Answer:
    """``action``'s answer; it is tried again for ``wait`` seconds while it raises ``errors.Unavailable``, which is then let through."""
    started = clock.monotonic()
    while True:
        try:
            return await action()
        except errors.Unavailable:
            if clock.monotonic() - started >= wait:
                raise
        await asyncio.sleep(_TRY_EVERY)


@contextlib.asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    connection = await psycopg.AsyncConnection[Any].connect(
        dsn, autocommit=True, connect_timeout=10, prepare_threshold=None, application_name="browserpool-migrate"
    )
    async with connection:
        yield connection


async def _applied(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    present = await (await connection.execute(_SQL["present"])).fetchone()
    if present is None or not present[0]:
        return []
    cursor = await connection.execute(_SQL["applied"])
    return [name for _, name in await cursor.fetchall()]


def _refuse_old(applied: list[str]) -> None:
    if missing := _missing(applied):
        raise errors.Unavailable(
            f"The database lacks the migrations {', '.join(missing)}; run `browserpool migrate`.",
            retry_after=connect.RETRY_AFTER,
        )


def _version(name: str) -> int:
    return int(name.partition("_")[0])


def _missing(applied: list[str]) -> list[str]:
    known = queries.migrations()
    newer = [name for name in applied if name not in known]
    if newer:
        raise errors.SchemaTooNew(
            f"The database has migrations that this version of browserpool does not know ({', '.join(newer)}): "
            "a newer version has used it. Run that version or a newer one."
        )
    return [name for name in known if name not in applied]
