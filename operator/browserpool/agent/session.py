"""Whose the browser is, as values: fences, what a claim token may do, and what must be recycled. Pure.

A fence is raised by each claim, so the highest that the agent has seen tells who holds the browser now. Whatever comes with a lower
one has lost it; whatever comes with a higher one takes it, after what the lower one left is cleaned away.
"""

import dataclasses
import enum
from typing import Literal

from browserpool.model import claims, errors
from browserpool.model.credentials import ClaimToken
from browserpool.model.names import Fence, SessionId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What the agent knows of its claims.

    ``fence`` is the newest seen, ``session_id`` its session once that has shown itself, ``over`` whether that has ended. ``before`` is
    the fence that was the newest before it. ``clean`` is the newest fence after which nothing is left in the browser.
    """

    fence: Fence
    over: bool
    clean: Fence
    before: Fence
    session_id: SessionId | None = None


def opened(fence: Fence) -> Book:
    """The book of an agent that was just welcomed with ``fence``: that session, if there was one, died with the agent before."""
    return Book(fence=fence, over=True, clean=fence, before=fence)


def admit(book: Book, token: ClaimToken) -> Book:
    """The book after ``token`` was shown for work.

    What was left by fences up to its ``before`` must be cleaned away first.

    Raises:
        errors.StaleFence: the token's claim has lost the browser, or has ended.
    """
    _check_newest(book, token)
    if token.fence > book.fence:
        return _turned(book, fence=token.fence, session_id=token.session_id, over=False)
    if book.over:
        raise errors.StaleFence(f"Session {token.session_id} has ended; claim again.")
    return dataclasses.replace(book, session_id=token.session_id)


def end(book: Book, token: ClaimToken) -> Book:
    """The book after the session of ``token`` was ended; ending it again changes nothing.

    Raises:
        errors.StaleFence: the browser is somebody else's already.
    """
    _check_newest(book, token)
    if token.fence > book.fence:
        return _turned(book, fence=token.fence, session_id=token.session_id, over=True)
    return dataclasses.replace(book, over=True)


def ended_by_store(book: Book, fence: Fence) -> Book:
    """The book after the store said that the session of ``fence`` is over."""
    if fence > book.fence:
        return _turned(book, fence=fence, session_id=None, over=True)
    return dataclasses.replace(book, over=True) if fence == book.fence else book


def cleaned(book: Book, fence: Fence) -> Book:
    """The book after everything that sessions up to ``fence`` left was cleaned away."""
    return dataclasses.replace(book, clean=max(book.clean, fence))


def _turned(book: Book, *, fence: Fence, session_id: SessionId | None, over: bool) -> Book:
    return Book(fence=fence, over=over, clean=book.clean, before=book.fence, session_id=session_id)


def _check_newest(book: Book, token: ClaimToken) -> None:
    if token.fence < book.fence:
        raise errors.StaleFence(
            f"Session {token.session_id} has lost this browser: its fence is {token.fence}, and {book.fence} was given out since."
        )
    if token.fence == book.fence and book.session_id not in (None, token.session_id):
        raise errors.StaleFence(f"Fence {token.fence} is another session's than {token.session_id}.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What sessions have done to a Chromium since it started. ``profile`` is true once a CDP client could touch everything."""

    sessions: int = 0
    newest: Fence | None = None
    profile: bool = False


NO_TRACES = Traces()


def served(traces: Traces, token: ClaimToken, *, profile: bool) -> Traces:
    """The traces after a request with ``token``. Each quick action counts, though several may be in one session."""
    counts = token.kind == claims.SessionKind.ACTION or token.fence != traces.newest
    return Traces(sessions=traces.sessions + counts, newest=token.fence, profile=traces.profile or profile)


def needs_spare(traces: Traces) -> bool:
    """Whether the next Chromium is best given a page ahead: what came last tells what comes next.

    A quick action would wait for one. A CDP client must see none, and would wait until it is gone.
    """
    return not traces.profile


def must_be_bare(traces: Traces, *, profile: bool) -> bool:
    """Whether nothing of earlier sessions may be listed in a Chromium that is about to be used: by the first who sees all of it."""
    return profile and not traces.profile and traces.sessions > 0


class Verdict(enum.Enum):
    """What must become of a Chromium before the browser is clean."""

    KEEP = "keep"
    RESTART = "restart"
    DELETE = "delete"


def verdict(traces: Traces, *, suspect: bool, recycle: Literal["Restart", "Delete"], recycle_after: int) -> Verdict:
    """What must follow a session. Quick actions leave nothing, as their contexts are disposed of; a CDP client may leave anything."""
    if traces.profile:
        return Verdict.DELETE if recycle == "Delete" else Verdict.RESTART
    return Verdict.RESTART if suspect or traces.sessions >= recycle_after else Verdict.KEEP
