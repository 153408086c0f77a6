"""Recordings of sessions: how an agent hands them to a router, and what is kept of them. Pure."""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from browserpool.lib import surrogates
from browserpool.model import errors
from browserpool.model.names import PoolName, SessionId, TokenName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event of a page, as JSON."""

    target_id: str
    event: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some events, in order. ``number``: repeated, the part is kept once. ``final``: nothing more comes, as far as is known."""

    number: int
    final: bool
    events: tuple[Told, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The events of one page in one part: JSON values with commas between them."""

    target_id: str
    events: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A part that was found good. ``first`` and ``last`` are its events' times, in milliseconds since 1970 as the pages count; 0: none."""

    number: int
    final: bool
    pieces: tuple[Piece, ...]
    first: float
    last: float

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(piece.events) for piece in self.pieces)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is known of a recording. ``ended_at``: when its session ended; ``finished``: its last part is here."""

    session_id: SessionId
    token: TokenName | None
    pool: PoolName
    first: float
    last: float
    finished: bool
    ended_at: datetime.datetime | None
    now: datetime.datetime

    @property
    def duration(self) -> int:
        """Milliseconds from its first event to its last."""
        return max(0, round(self.last - self.first))


def plain(part: Part) -> dict[str, Any]:
    """The part as JSON."""
    events = [[told.target_id, told.event] for told in part.events]
    return {"number": part.number, "final": part.final, "events": events}


def checked(said: Mapping[str, Any]) -> Checked:
    """The part that ``plain`` wrote. Events that are none are left out: who drives a browser may make its pages say anything.

    Raises:
        errors.InvalidRequest: it is no part.
    """
    number, final, events = said.get("number"), said.get("final"), said.get("events")
    if (
        not isinstance(number, int)
        or not 0 <= number < 2**31
        or not isinstance(final, bool)
        or not isinstance(events, list)
    ):
        raise errors.InvalidRequest("This is no part of a recording.")
    pieces: dict[str, list[bytes]] = {}
    times: list[float] = []
    for target_id, event, time in _good(events):
        pieces.setdefault(target_id, []).append(event)
        times.append(time)
    return Checked(
        number=number,
        final=final,
        pieces=tuple(Piece(target_id=target_id, events=b",".join(found)) for target_id, found in pieces.items()),
        first=min(times, default=0.0),
        last=max(times, default=0.0),
    )


def _good(events: list[Any]) -> Iterator[tuple[str, bytes, float]]:
    for told in events:
        match told:
            case [str(target_id), str(text)] if 0 < len(target_id) <= 64 and target_id.isascii():
                event = _event(text) or _event(text := surrogates.mended(text))
                if event is not None:
                    # As it was written: an event may be nested deeper than orjson writes.
                    yield target_id, text.encode(), float(event["timestamp"])


def _event(text: str) -> dict[str, Any] | None:
    try:
        event = orjson.loads(text)
    except ValueError:
        return None
    time = event.get("timestamp") if isinstance(event, dict) else None
    good = isinstance(time, int | float) and not isinstance(time, bool) and abs(time) < 1e15
    return event if good else None
