"""The pool of connections, and the one way in which statements run.

Each statement runs alone, in autocommit, under a deadline. A connection that turns out to be broken (Postgres was restarted) is
replaced and the statement is run once more: all of the store's statements may be repeated.

A process that stops does not wait for one statement after the other of a server that hangs: when it was silent for as long as one
statement may take, it is given up, and whoever wants something of it is told so at once.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import psycopg
import psycopg_pool
from psycopg import rows

from browserpool.lib import clock, tasks
from browserpool.model import errors, silence

log = logging.getLogger(__name__)

Row = TypeVar("Row")
Answer = TypeVar("Answer")
Connection = psycopg.AsyncConnection[Any]

RETRY_AFTER: Final = 1
"""Seconds: a restart of Postgres takes about as long, and clients that come back sooner would only queue."""
_RECONNECT_EVERY: Final = 0.25
"""Seconds between attempts while Postgres is away. The pool's own backoff doubles up to minutes, and an outage would outlive itself."""
_TCP_TIMEOUT_MS: Final = 10_000
"""A peer that vanished without a word is noticed after this long."""
_LET_GO: Final = 1.0
"""Seconds for a server to hear that it need not go on with a statement that nobody waits for, before its connection is simply closed."""
_CLOSING: Final = 5.0
"""Seconds for a pool's own workers to end."""
_CLOSING_GIVEN_UP: Final = 0.2
"""The same, where the server was given up: those that wait for it end with the process."""
_SHARE: Final = 0.9
"""Of a deadline, what a wait for a connection may take, or a statement at the server: whoever gives up then says why."""
_KEPT_FROM_IT: Final = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)
"""What a server that is well says when others were in a statement's way, or when it took too long."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Use:
    """Of a pool's connections: how many have a statement now, and how often one came back that goes on.

    ``heard``: when the server spoke last, and since when it is silent. ``asked``: the deadlines of those that wait. ``given_up``: nobody
    waits for the server any more.
    """

    taken: int = 0
    returned: int = 0
    heard: silence.Heard = dataclasses.field(default_factory=silence.Heard)
    asked: set[asyncio.Timeout] = dataclasses.field(default_factory=set)
    given_up: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """An open pool. ``deadline`` is what one statement may take in seconds, the wait for a connection included.

    ``repeat``: a statement whose connection breaks is run once more, and waits for the server to be back. ``background`` has what is left
    to do of one that nobody waits for any more: a server that hangs takes seconds to be told that it need not go on. ``budget`` is that of
    the process's stop.
    """

    pool: psycopg_pool.AsyncConnectionPool[Connection]
    background: tasks.Background
    use: Use = dataclasses.field(default_factory=Use)
    budget: tasks.Budget = dataclasses.field(default_factory=tasks.Budget)
    deadline: float = 5.0
    repeat: bool = True


@contextlib.asynccontextmanager
async def opened(
    dsn: str,
    *,
    process: str,
    max_size: int = 8,
    prepare: bool = True,
    deadline: float = 5.0,
    budget: tasks.Budget | None = None,
) -> AsyncIterator[Database]:
    """A pool of at most ``max_size`` connections, named ``process`` in pg_stat_activity.

    ``prepare=False`` where a transaction pooler stands between: nothing is then prepared, and nothing set at the start of a connection.

    Raises:
        errors.Unavailable: no connection within ``deadline`` seconds.
    """
    pool = psycopg_pool.AsyncConnectionPool[Connection](
        dsn,
        kwargs=_connection_settings(process=process, prepare=prepare, deadline=deadline),
        min_size=1,
        max_size=max_size,
        open=False,
        timeout=deadline,
        reconnect_timeout=_RECONNECT_EVERY,
        reconnect_failed=_try_again,
        name=process,
    )
    budget = budget or tasks.Budget()
    # Nobody waits for a statement longer than that, so that none is cancelled under a caller.
    background = tasks.Background(grace=deadline, budget=budget)
    db = Database(pool=pool, background=background, budget=budget, deadline=deadline)
    try:
        with mapped_errors():
            await pool.open(wait=True, timeout=deadline)
        yield db
    finally:
        given_up = db.use.given_up.is_set()
        await background.close(grace=0 if given_up else None if db.use.asked else _LET_GO)
        await pool.close(timeout=_CLOSING_GIVEN_UP if given_up else max(budget.left(_CLOSING), _CLOSING_GIVEN_UP))


async def once(
    dsn: str, action: Callable[[Database], Awaitable[Answer]], *, process: str, deadline: float = 5.0
) -> Answer:
    """``action``'s answer, over a connection of its own: for a command that asks one thing.

    Raises:
        errors.Unavailable: no connection.
    """
    async with opened(dsn, process=process, max_size=1, deadline=deadline) as db:
        return await action(db)


def _connection_settings(*, process: str, prepare: bool, deadline: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "autocommit": True,
        "application_name": f"browserpool-{process}",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "tcp_user_timeout": _TCP_TIMEOUT_MS,
        "prepare_threshold": 0 if prepare else None,
    }
    if prepare:
        # The server gives up a little before the caller does, so that the caller need not break the connection.
        settings["options"] = f"-c statement_timeout={int(deadline * _SHARE * 1000)} -c timezone=UTC"
    return settings


async def _try_again(pool: psycopg_pool.AsyncConnectionPool[Any]) -> None:
    """Called when the pool has given up a connection: without this it would stay short of one until somebody asks."""
    await asyncio.sleep(_RECONNECT_EVERY)
    if not pool.closed:
        await pool.check()


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn what psycopg raises in the block into the errors of ``model``; for the store's own modules."""
    try:
        yield
    except (psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed, TimeoutError) as error:
        raise errors.Unavailable(
            "The database gave no connection or no answer in time; it is down, unreachable or overloaded.",
            retry_after=RETRY_AFTER,
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedColumn) as error:
        raise errors.Unavailable(
            f"The database lacks what this version needs ({error.diag.message_primary}); run `browserpool migrate`.",
            retry_after=RETRY_AFTER,
        ) from error
    except _KEPT_FROM_IT as error:
        raise errors.Contended(
            f"The database did not get done with a statement ({_reason(error)}); try again.",
            retry_after=RETRY_AFTER,
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise errors.Unavailable(
            f"The database cannot answer now ({_reason(error)}); try again.", retry_after=RETRY_AFTER
        ) from error
    except (psycopg.DataError, UnicodeEncodeError) as error:
        raise errors.InvalidRequest(f"The database cannot hold a value of this request: {_reason(error)}.") from error
    except psycopg.errors.UniqueViolation as error:
        raise errors.Conflict(f"The database has this already: {_reason(error)}.") from error
    except psycopg.Error as error:
        raise errors.BrowserpoolError(
            f"The database refused a statement, which is a fault of browserpool's: {_reason(error)}."
        ) from error


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


async def fetch(
    db: Database, statement: bytes, parameters: Mapping[str, object], *, into: Callable[..., Row]
) -> list[Row]:
    """All rows of ``statement``, each made by ``into(**columns)``.

    Raises:
        errors.Unavailable: the database is away, overloaded, or of another version.
        errors.InvalidRequest: it cannot hold one of ``parameters``.
    """
    with mapped_errors():
        found, _ = await _run(db, statement, parameters, rows.kwargs_row(into))
    return found


async def fetch_one(
    db: Database, statement: bytes, parameters: Mapping[str, object], *, into: Callable[..., Row]
) -> Row | None:
    """The first row of ``statement``, or ``None``; errors as of ``fetch``."""
    found = await fetch(db, statement, parameters, into=into)
    return found[0] if found else None


async def execute(db: Database, statement: bytes, parameters: Mapping[str, object]) -> int:
    """Run ``statement``; answers how many rows it touched; errors as of ``fetch``."""
    with mapped_errors():
        _, touched = await _run(db, statement, parameters, rows.tuple_row)
    return touched


async def _run(
    db: Database, statement: bytes, parameters: Mapping[str, object], row_factory: rows.BaseRowFactory[Row]
) -> tuple[list[Row], int]:
    began = clock.monotonic()
    if db.use.given_up.is_set() or db.budget.left(db.deadline) <= 0:
        raise errors.Unavailable("This process stops, and waits for the database no longer.", retry_after=RETRY_AFTER)
    try:
        async with asyncio.timeout(db.budget.left(db.deadline)) as scope:
            db.use.asked.add(scope)
            try:
                answer = await db.background.let_go(_attempts(db, statement, parameters, row_factory), name="statement")
            finally:
                db.use.asked.discard(scope)
    except (TimeoutError, psycopg_pool.PoolTimeout, errors.AllInUse):
        _unanswered(db, began)
        raise
    except psycopg.Error as error:
        # With a SQLSTATE it was the server that spoke.
        if error.sqlstate is not None:
            _answered(db)
        raise
    _answered(db)
    return answer


def _answered(db: Database) -> None:
    db.use.heard = silence.Heard(answered_at=clock.monotonic())


def _unanswered(db: Database, began: float) -> None:
    """A statement that began then was given no answer: with the stop under way, the server may have had its time with that."""
    use = db.use
    use.heard = silence.unanswered(use.heard, began=began)
    patience = db.pool.timeout * _SHARE
    if silence.gives_up(use.heard, now=clock.monotonic(), stopping=db.budget.begun, patience=patience):
        _give_up(db)


def _give_up(db: Database) -> None:
    """Whoever waits for the server is told so now, and nobody waits for it from now on."""
    use = db.use
    if use.given_up.is_set():
        return
    log.info("a database does not answer and is given up", extra={"pool": db.pool.name})
    use.given_up.set()
    now = asyncio.get_running_loop().time()
    for scope in use.asked:
        if not scope.expired():
            scope.reschedule(now)


async def _attempts(
    db: Database, statement: bytes, parameters: Mapping[str, object], row_factory: rows.BaseRowFactory[Row]
) -> tuple[list[Row], int]:
    try:
        return await _attempt(db, statement, parameters, row_factory)
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if not (db.repeat and _may_repeat(error)):
            raise
        log.info("statement repeated", extra={"reason": _reason(error)})
    # The other idle connections broke with this one; the repetition must not meet them.
    await db.pool.check()
    return await _attempt(db, statement, parameters, row_factory)


async def _attempt(
    db: Database, statement: bytes, parameters: Mapping[str, object], row_factory: rows.BaseRowFactory[Row]
) -> tuple[list[Row], int]:
    async with _connection(db) as connection, connection.cursor(row_factory=row_factory) as cursor:
        try:
            await cursor.execute(statement, parameters)
        except psycopg.errors.ReadOnlySqlTransaction:
            # The next one may be to the server that takes writes now, or be opened after a setting was taken back.
            await connection.close()
            raise
        # Not ``description``, which makes an object of each column.
        has_rows = cursor.pgresult is not None and cursor.pgresult.nfields > 0
        return (await cursor.fetchall() if has_rows else []), cursor.rowcount


@contextlib.asynccontextmanager
async def _connection(db: Database) -> AsyncIterator[Connection]:
    """One of the pool's.

    Raises:
        errors.AllInUse: others had them all, for longer than this one may wait.
        psycopg_pool.PoolTimeout: the server gave none.
    """
    before = db.use.returned
    try:
        connection = await db.pool.getconn(timeout=db.deadline * _SHARE)
    except psycopg_pool.PoolTimeout as error:
        # One that came back meanwhile, and went to somebody else, may not be counted as taken yet.
        if db.use.taken < db.pool.max_size and db.use.returned == before:
            raise
        raise errors.AllInUse(
            f"All {db.pool.max_size} connections of this process to the database are in use; try again, or let it have more "
            "(BROWSERPOOL_DB_CONNECTIONS).",
            retry_after=RETRY_AFTER,
        ) from error
    # No transaction is ever left open, so that there is nothing to end before it goes back.
    db.use.taken += 1
    try:
        yield connection
    finally:
        db.use.taken -= 1
        db.use.returned += not connection.closed
        await db.pool.putconn(connection)


def _may_repeat(error: psycopg.Error) -> bool:
    """Whether the statement failed for its connection's sake, or by a deadlock, so that another try may do."""
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg.errors.QueryCanceled):
        return False
    # Without a SQLSTATE no server spoke: the connection broke.
    return error.sqlstate is None or isinstance(
        error, psycopg.errors.AdminShutdown | psycopg.errors.CrashShutdown | psycopg.errors.DeadlockDetected
    )
