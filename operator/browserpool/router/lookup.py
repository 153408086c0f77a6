"""A session by its id, for a caller whose own it is."""

from collections.abc import Callable
from typing import Final

from browserpool.model import claims, errors, names, sessions
from browserpool.model.names import PoolName, SessionId, TokenName
from browserpool.router import holding, services
from browserpool.store import everywhere

MOST_SESSIONS: Final = 100
"""Sessions that one request looks through."""

MayUse = Callable[[PoolName, TokenName | None], bool]
"""Whether somebody may touch a session of that pool and owner."""


async def mine(call: services.Call) -> holding.Held:
    """The CDP session named in the address; raises as ``named``."""
    return await named(call, SessionId(call.request.match_info["session"]))


async def named(call: services.Call, session_id: SessionId) -> holding.Held:
    """The CDP session of that id.

    Raises:
        errors.NotFound: there is none, or it is not the caller's: which of the two is not told.
        errors.SessionOver: it has ended.
        everywhere.Unseen: it may be in a database that is away.
    """
    return await found(call.services, session_id, may_use=call.may_use)


async def found(
    parts: services.Services, session_id: SessionId, *, may_use: MayUse, then: str = "start another one"
) -> holding.Held:
    """The CDP session of that id, for whoever ``may_use`` it; ``then``: what can be done when it is over. Raises as ``named``."""
    held = parts.claiming.holding.get(session_id)
    if held is not None and not held.ending and held.kind is claims.SessionKind.CDP:
        if not may_use(held.pool, held.token):
            raise unknown(session_id)
        return held
    if not names.is_session_id(session_id):
        raise unknown(session_id)
    seen = await everywhere.session(parts.databases, session_id, background=parts.background)
    if seen is None or not may_use(seen.pool, seen.token):
        raise unknown(session_id)
    if isinstance(seen, sessions.Past):
        raise errors.SessionOver(f"Session {session_id} is over ({claims.CLOSE_REASON_TEXTS[seen.reason]}); {then}.")
    if seen.kind is not claims.SessionKind.CDP:
        raise unknown(session_id)
    return parts.claiming.adopt(seen)


def unknown(session_id: str) -> errors.NotFound:
    """No such session, as far as this caller is concerned."""
    return errors.NotFound(f"There is no session {session_id[:64]!r} of yours.")


async def all_mine(call: services.Call) -> list[holding.Held]:
    """The caller's live CDP sessions, newest first."""
    found = await everywhere.listing(call.services.databases, token=call.token.name, limit=MOST_SESSIONS)
    return [call.services.claiming.adopt(live) for live in found if live.kind is claims.SessionKind.CDP]
