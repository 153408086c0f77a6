"""Sessions: live ones in their browsers' rows, past ones in the history; who is connected to them."""

import datetime
from collections.abc import Collection
from typing import Any

from browserpool.model import terms as model_terms
from browserpool.model.claims import CloseReason, SessionKind
from browserpool.model.names import Fence, PoolName, SessionId, TokenName
from browserpool.model.sessions import Connection, Past, Session
from browserpool.store import connect, queries

_SQL = queries.topic("sessions")


async def live(db: connect.Database, session_id: SessionId) -> Session | None:
    """The live session of this id."""
    return await connect.fetch_one(db, _SQL["live"], {"session_id": session_id}, into=_session)


async def listing(
    db: connect.Database,
    *,
    token: TokenName | None = None,
    pools: Collection[PoolName] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Session]:
    """Live sessions, newest first; only those of ``token`` and of ``pools`` where these are given."""
    return await connect.fetch(db, _SQL["listing"], _page(token, pools, limit, offset), into=_session)


async def prefixed(db: connect.Database, prefix: str) -> list[Session]:
    """All live sessions whose ids begin with ``prefix``, by id."""
    bounds = {"first": prefix, "after": prefix[:-1] + chr(ord(prefix[-1]) + 1)}
    return await connect.fetch(db, _SQL["prefixed"], bounds, into=_session)


async def moment(db: connect.Database) -> datetime.datetime:
    """The database's time: what sessions' beginnings and ends are measured by."""
    found = await connect.fetch_one(db, _SQL["moment"], {}, into=_moment)
    assert found is not None, "it always answers"
    return found


async def writable(db: connect.Database) -> bool:
    """Whether sessions can be written: a standby's cannot, nor those of a server that was set to be read-only."""
    return bool(await connect.fetch_one(db, _SQL["writable"], {}, into=_writable))


async def connected(db: connect.Database, session_id: SessionId, *, fence: Fence, connection_id: str) -> None:
    """A client has opened this CDP connection to the session."""
    parameters = {"session_id": session_id, "fence": fence, "connection_id": connection_id}
    await connect.execute(db, _SQL["connected"], parameters)


async def disconnected(db: connect.Database, session_id: SessionId, *, fence: Fence, connection_id: str) -> None:
    """It is closed."""
    parameters = {"session_id": session_id, "fence": fence, "connection_id": connection_id}
    await connect.execute(db, _SQL["disconnected"], parameters)


async def history(db: connect.Database, session_id: SessionId) -> Past | None:
    """The ended session of this id, if it is still remembered."""
    return await connect.fetch_one(db, _SQL["history"], {"session_id": session_id}, into=_past)


async def past(
    db: connect.Database,
    *,
    token: TokenName | None = None,
    pools: Collection[PoolName] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Past]:
    """Ended sessions, the one that ended last first; only those of ``token`` and of ``pools`` where these are given."""
    return await connect.fetch(db, _SQL["past"], _page(token, pools, limit, offset), into=_past)


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Forget sessions that ended more than ``older_than`` seconds ago: their ids may then be used again. Answers how many."""
    return await connect.execute(db, _SQL["prune"], {"older_than": older_than})


def _page(token: TokenName | None, pools: Collection[PoolName] | None, limit: int, offset: int) -> dict[str, object]:
    return {"token": token, "pools": None if pools is None else list(pools), "limit": limit, "offset": offset}


def _session(*, kind: str, terms: dict[str, Any] | None, **columns: Any) -> Session:
    connection = _connection(columns)
    return Session(kind=SessionKind(kind), terms=model_terms.from_plain(terms), connection=connection, **columns)


def _connection(columns: dict[str, Any]) -> Connection | None:
    """Take the connection's columns out of a row."""
    found = {name: columns.pop(f"connection_{name}") for name in ("id", "started_at", "ended_at")}
    connection_id = found.pop("id")
    return None if connection_id is None else Connection(connection_id=connection_id, **found)


def _moment(*, now: datetime.datetime) -> datetime.datetime:
    return now


def _writable(*, writable: bool) -> bool:
    return writable


def _past(*, kind: str, reason: int, **columns: Any) -> Past:
    connection = _connection(columns)
    return Past(kind=SessionKind(kind), reason=CloseReason(reason), connection=connection, **columns)
