"""Links to look at a running session in one's own browser: what may be asked for, what a link says, how it is signed. Pure.

A link is a credential: whoever has it needs no token. So it names one session, holds for minutes, and is signed with a key of its own.
"""

import dataclasses
import enum
import re
from collections.abc import Mapping
from typing import Any, Final

from browserpool.model import credentials, errors
from browserpool.model.names import SessionId

DEFAULT_MS: Final = 300_000
SHORTEST_MS: Final = 60_000
LONGEST_MS: Final = 3_600_000
READ_ONLY: Final = "readonly"

_TARGET: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Mode(enum.StrEnum):
    """What the link opens."""

    DEVTOOLS = "devtools"
    """Chromium's own DevTools on one page."""
    TAB = "tab"
    """One page, and nothing else."""
    FULL = "full"
    """All pages, as tabs, with an address bar."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A link that is asked for. ``target_id``: none means the page that was opened first. ``milliseconds``: within which it is opened."""

    mode: Mode = Mode.DEVTOOLS
    target_id: str | None = None
    milliseconds: int = DEFAULT_MS
    read_only: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link says. ``expires`` is in seconds since 1970 on the database's clock: the time until which a connection may begin."""

    session_id: SessionId
    target_id: str
    mode: Mode
    read_only: bool
    expires: float


def wish(body: Mapping[str, Any]) -> Wish:
    """What a body asks for.

    Raises:
        errors.InvalidRequest: it asks for something else. A bound is never dropped.
    """
    guardrails = body.get("guardrails")
    if guardrails not in (None, {}, {"mode": READ_ONLY}):
        raise errors.InvalidRequest('guardrails of a live view must be {"mode": "readonly"}, or be left out.')
    return Wish(
        mode=_mode(body.get("mode")),
        target_id=_target(body.get("targetId")),
        milliseconds=milliseconds(body.get("expiresInMs"), "expiresInMs"),
        read_only=bool(guardrails),
    )


def milliseconds(value: object, field: str) -> int:
    """How long a link may be opened, from a body or a query."""
    if value is None:
        return DEFAULT_MS
    try:
        number = float(str(value)) if not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not SHORTEST_MS <= number <= LONGEST_MS:
        raise errors.InvalidRequest(f"{field} must be milliseconds from {SHORTEST_MS} to {LONGEST_MS}.")
    return round(number)


def _mode(value: object) -> Mode:
    try:
        return Mode.DEVTOOLS if value is None else Mode(str(value))
    except ValueError:
        raise errors.InvalidRequest(f"mode must be one of {', '.join(Mode)} (given: {str(value)[:40]!r}).") from None


def _target(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise errors.InvalidRequest("targetId must be the id of one of the session's pages, as json/list has it.")
    return value


def sign(link: Link, *, signing_key: str) -> str:
    """The link as text that may stand in a path."""
    fields = [link.session_id, link.target_id, link.mode, link.read_only, link.expires]
    return credentials.sealed(fields, key=credentials.live_view_key(signing_key=signing_key))


def verify(text: str, *, signing_key: str, now: float) -> Link:
    """The link in ``text``, if this installation signed it and a connection may begin at ``now``.

    Raises:
        errors.Unauthorized: it did not, or it is too late.
    """
    fields = credentials.unsealed(text, key=credentials.live_view_key(signing_key=signing_key))
    if fields is None:
        raise errors.Unauthorized("This is no live view link of this installation.")
    session_id, target_id, mode, read_only, expires = fields
    if expires <= now:
        raise errors.Unauthorized("This live view link has expired; ask for another one.")
    return Link(
        session_id=SessionId(session_id),
        target_id=target_id,
        mode=Mode(mode),
        read_only=read_only,
        expires=expires,
    )
