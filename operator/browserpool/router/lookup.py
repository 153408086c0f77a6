"""A session by its id, for a caller whose own it is."""

from typing import Final

from browserpool.model import claims, errors, names
from browserpool.model.names import SessionId
from browserpool.router import holding, services
from browserpool.store import sessions

MOST_SESSIONS: Final = 100
"""Sessions that one request looks through."""


async def mine(call: services.Call) -> holding.Held:
    """The CDP session named in the address; raises as ``named``."""
    return await named(call, SessionId(call.request.match_info["session"]))


async def named(call: services.Call, session_id: SessionId) -> holding.Held:
    """The CDP session of that id.

    Raises:
        errors.NotFound: there is none, or it is not the caller's: which of the two is not told.
        errors.SessionOver: it has ended.
    """
    held = call.services.claiming.holding.get(session_id)
    if held is not None and not held.ending and held.kind is claims.SessionKind.CDP:
        if not call.may_use(held.pool, held.token):
            raise unknown(session_id)
        return held
    if not names.is_session_id(session_id):
        raise unknown(session_id)
    live = await sessions.live(call.services.db, session_id)
    if live is not None and live.kind is claims.SessionKind.CDP and call.may_use(live.pool, live.token):
        return call.services.claiming.adopt(live)
    past = None if live is not None else await sessions.history(call.services.db, session_id)
    if past is not None and call.may_use(past.pool, past.token):
        raise errors.SessionOver(
            f"Session {session_id} is over ({claims.CLOSE_REASON_TEXTS[past.reason]}); start another one."
        )
    raise unknown(session_id)


def unknown(session_id: str) -> errors.NotFound:
    """No such session, as far as this caller is concerned."""
    return errors.NotFound(f"There is no session {session_id[:64]!r} of yours.")


async def all_mine(call: services.Call) -> list[holding.Held]:
    """The caller's live CDP sessions, newest first."""
    found = await sessions.listing(call.services.db, token=call.token.name, limit=MOST_SESSIONS)
    return [call.services.claiming.adopt(live) for live in found if live.kind is claims.SessionKind.CDP]
