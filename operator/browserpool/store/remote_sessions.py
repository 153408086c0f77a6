"""Sessions that another cluster's router has, so that every router of this installation finds them there."""

import dataclasses
from collections.abc import Collection
from typing import Final

from browserpool.model import errors
from browserpool.model.names import PoolName, RegionName, SessionId, TokenName
from browserpool.store import connect, queries

_SQL = queries.topic("remote_sessions")

KEEP: Final = 86400.0
"""Seconds for which one is remembered that nobody asks about: longer than any keeps alive."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One of them; where it is stands in the pool's spec, at the region. ``token``: whose it is here."""

    session_id: SessionId
    pool: PoolName
    region: RegionName
    token: TokenName | None


async def put(db: connect.Database, session: Remote) -> None:
    """Remember it.

    Raises:
        errors.Conflict: one of that id is remembered as somebody else's, which it stays.
    """
    if not await connect.execute(db, _SQL["put"], dataclasses.asdict(session) | {"keep": KEEP}):
        raise errors.Conflict(f"Session {session.session_id} is another one already; ask for a new session.")


async def get(db: connect.Database, session_id: SessionId) -> Remote | None:
    """It, if it is remembered."""
    return await connect.fetch_one(db, _SQL["get"], {"session_id": session_id, "keep": KEEP}, into=Remote)


async def among(db: connect.Database, session_ids: Collection[SessionId]) -> list[Remote]:
    """Those of ``session_ids`` that are remembered."""
    return await connect.fetch(db, _SQL["among"], {"session_ids": list(session_ids)}, into=Remote)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A pool's region, in whose stead another cluster has made sessions."""

    pool: PoolName
    region: RegionName


async def regions(db: connect.Database, *, token: TokenName | None) -> set[Region]:
    """Those for which sessions of ``token`` are remembered; ``None``: anybody's."""
    return set(await connect.fetch(db, _SQL["regions"], {"token": token}, into=Region))


async def remove(db: connect.Database, session_id: SessionId) -> None:
    """Forget it: it is over."""
    await connect.execute(db, _SQL["remove"], {"session_id": session_id})
