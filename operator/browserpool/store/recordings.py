"""Recordings of sessions: parts as they come, whole ones to be read, old ones pruned."""

import asyncio
import zlib
from typing import Final

from browserpool.model.names import BrowserId, SessionId
from browserpool.model.recordings import Checked, Piece, Recording
from browserpool.store import connect, queries

_SQL = queries.topic("recordings")
_LEVEL: Final = 1
"""zlib's fastest: events are repetitive enough."""


async def add(db: connect.Database, part: Checked, *, browser_id: BrowserId, session_id: SessionId, most: int) -> bool:
    """Keep a part of the recording of a session of that browser; whether more is wanted: no more than ``most`` bytes are kept."""
    deflated = await asyncio.to_thread(lambda: [zlib.compress(piece.events, _LEVEL) for piece in part.pieces])
    parameters = {
        "session_id": session_id,
        "browser_id": browser_id,
        "number": part.number,
        "final": part.final,
        "size": part.size,
        "first": part.first,
        "last": part.last,
        "most": most,
        "targets": [piece.target_id for piece in part.pieces],
        "events": deflated,
    }
    return await connect.fetch_one(db, _SQL["add"], parameters, into=_session_id) is not None


async def get(db: connect.Database, session_id: SessionId) -> Recording | None:
    """What is known of the session's recording."""
    return await connect.fetch_one(db, _SQL["get"], {"session_id": session_id}, into=Recording)


async def pieces(db: connect.Database, session_id: SessionId) -> list[Piece]:
    """Its events, page by page, each page's in their order; still deflated: see ``inflated``."""
    return await connect.fetch(db, _SQL["pieces"], {"session_id": session_id}, into=Piece)


def inflated(piece: Piece) -> bytes:
    """JSON values with commas between them."""
    return zlib.decompress(piece.events)


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Forget recordings that were begun more than ``older_than`` seconds ago. Answers how many."""
    return await connect.execute(db, _SQL["prune"], {"older_than": older_than})


def _session_id(*, session_id: str) -> SessionId:
    return SessionId(session_id)
