"""Recordings of sessions: parts come from agents while a session runs, the whole is given when it is over."""

from typing import Final

import orjson
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import errors, names
from browserpool.model import recordings as model
from browserpool.model.names import BrowserId, SessionId
from browserpool.model.wire import envelope
from browserpool.router import binding, door, intake, services
from browserpool.store import connect, everywhere, recordings, sessions

FINALIZING: Final = 30.0
"""Seconds after a session's end for which its last part may still be on its way."""
PRUNE_EVERY: Final = 600.0


async def part(call: services.Call) -> web.StreamResponse:
    """POST /internal/v1/recording: an agent hands over a part of its session's recording."""
    said = binding.json_object(await call.request.read())
    browser_id, session_id = BrowserId(str(said.get("browser_id"))), SessionId(str(said.get("session_id")))
    config = call.services.settings
    door.enter_agent(browser_id, signing_key=config.signing_key, headers=call.request.headers)
    more = config.recordings and await recordings.add(
        call.services.databases.of(intake.database(call)),
        model.checked(said),
        browser_id=browser_id,
        session_id=session_id,
        most=config.recording_bytes,
    )
    return lib_web.json_response({"more": more})


async def get(call: services.Call) -> web.StreamResponse:
    """GET …/recording/{session}: what a session that is over was recorded as: rrweb's events, by page."""
    session_id = SessionId(call.request.match_info["session"])
    parts = call.services
    placed = await everywhere.recording(parts.databases, session_id) if names.is_session_id(session_id) else None
    if placed is None or not call.may_use(placed[1].pool, placed[1].token):
        raise errors.NotFound(f"There is no recording of a session {session_id[:64]!r} of yours.")
    db, found = parts.databases.of(placed[0]), placed[1]
    if await _is_under_way(db, found):
        raise errors.NotFound(
            f"The recording of session {session_id} is not finished; ask again when the session is over."
        )
    return await _written(call, found, await recordings.pieces(db, session_id))


async def _is_under_way(db: connect.Database, found: model.Recording) -> bool:
    if found.ended_at is None:
        return await sessions.live(db, found.session_id) is not None
    return not found.finished and (found.now - found.ended_at).total_seconds() < FINALIZING


async def _written(call: services.Call, found: model.Recording, pieces: list[model.Piece]) -> web.StreamResponse:
    """The whole as the wire has it, written piece by piece: it is deflated in memory, and nowhere else at once."""
    result = {"sessionId": found.session_id, "duration": found.duration, "events": {}}
    head, tail = orjson.dumps(envelope.success(result)).split(b'"events":{}')
    response = web.StreamResponse(headers={"Content-Type": lib_web.JSON})
    await response.prepare(call.request)
    await response.write(head + b'"events":{')
    page: str | None = None
    for piece in pieces:
        await response.write(_before(piece, page) + recordings.inflated(piece))
        page = piece.target_id
    await response.write((b"" if page is None else b"]") + b"}" + tail)
    await response.write_eof()
    return response


def _before(piece: model.Piece, page: str | None) -> bytes:
    """What stands between a piece and the one before it, which was of ``page``."""
    if piece.target_id == page:
        return b","
    return (b"" if page is None else b"],") + orjson.dumps(piece.target_id) + b":["


async def prune(parts: services.Services) -> None:
    """Forget what was kept for long enough."""
    await everywhere.prune_recordings(parts.databases, older_than=parts.settings.recording_days * 86_400)
