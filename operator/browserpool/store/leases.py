"""Claims and what becomes of them. A lease lives in its browser's row, so a browser has one at most."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import orjson

from browserpool import metrics
from browserpool.lib import chance
from browserpool.model import errors, terms
from browserpool.model.claims import Claim, ClaimAnswer, ClaimRequest, CloseReason, Locality, Outcome
from browserpool.model.names import BrowserId, Fence, HolderId, SessionId
from browserpool.model.sessions import Ended, Held
from browserpool.model.states import BrowserState
from browserpool.store import connect, queries

_SQL = queries.topic("leases")
_REQUEST: Final = tuple(field.name for field in dataclasses.fields(ClaimRequest))


async def claim(db: connect.Database, request: ClaimRequest, *, freshness: float = 15.0) -> ClaimAnswer:
    """Take one ready, healthy browser, heard from within ``freshness`` seconds. The same session id gives the same answer.

    One round trip if a browser is ready where the caller is; another one to look further.

    A caller that is cancelled while this runs may have a browser and not know it: shield it and release, or the lease runs out.
    """
    parameters = {name: getattr(request, name) for name in _REQUEST}
    written = orjson.dumps(terms.plain(request.terms)).decode() if request.terms else None
    parameters |= {"freshness": freshness, "slot": chance.below(2**31), "terms": written}
    usual = "claim_on_node" if request.node is not None else "claim_in_region" if request.zone is None else "claim"
    for statement in (usual, "claim", "claim"):
        # A conflict: another claim of this very id has just won, or had won before; the function finds it.
        with contextlib.suppress(errors.Conflict):
            answer = await connect.fetch_one(db, _SQL[statement], parameters, into=_answer)
            if answer is not None:
                return answer
    raise errors.Contended(
        f"Session {request.session_id} is claimed and released by others at this very moment.", retry_after=1
    )


async def renew(db: connect.Database, *, holder: HolderId, leases: Sequence[Held]) -> frozenset[SessionId]:
    """Give each lease its keep-alive again, from now, never past its hard end, and make ``holder`` its holder.

    Answers the sessions that were renewed: the others are over.
    """
    parameters = {
        "holder": holder,
        "session_ids": [lease.session_id for lease in leases],
        "fences": [lease.fence for lease in leases],
    }
    return frozenset(await connect.fetch(db, _SQL["renew"], parameters, into=_session_id))


async def release(
    db: connect.Database,
    *,
    session_id: SessionId,
    fence: Fence,
    clean: bool,
    give_up: bool = False,
    reason: CloseReason = CloseReason.NORMAL_CLOSURE,
) -> BrowserState | None:
    """End a session; answers what its browser became, ``None`` if the session was over already.

    ``clean`` is the agent's word that nothing of this fence's session is left: the browser is ready at once. ``give_up`` is its word
    that it will exit instead: the browser drains.
    """
    parameters = {"session_id": session_id, "fence": fence, "clean": clean, "give_up": give_up, "reason": reason}
    return await connect.fetch_one(db, _SQL["release"], parameters, into=_state)


async def expire(db: connect.Database, *, limit: int = 100) -> list[Ended]:
    """End up to ``limit`` sessions whose lease ran out; several may do so at once and none waits. Their agents are to be told."""
    ended = await connect.fetch(db, _SQL["expire"], {"limit": limit, "reason": CloseReason.BROWSER_IDLE}, into=Ended)
    for over in ended:
        metrics.LEASES_EXPIRED.labels(pool=over.pool).inc()
    return ended


async def release_all(
    db: connect.Database, *, holder: HolderId, reason: CloseReason = CloseReason.SHUTDOWN
) -> list[Ended]:
    """End all sessions of ``holder``, which is about to stop."""
    return await connect.fetch(db, _SQL["release_all"], {"holder": holder, "reason": reason}, into=Ended)


def _answer(*, outcome: str, locality: str | None, browser_id: BrowserId | None, **columns: Any) -> ClaimAnswer:
    if browser_id is None or locality is None:
        return ClaimAnswer(outcome=Outcome(outcome))
    claim = Claim(browser_id=browser_id, locality=Locality(locality), **columns)
    return ClaimAnswer(outcome=Outcome(outcome), claim=claim)


def _session_id(*, session_id: str) -> SessionId:
    return SessionId(session_id)


def _state(*, state: str) -> BrowserState:
    return BrowserState(state)
