"""Fences: what a claim token may do, by table."""

import pytest

from browserpool.agent import session
from browserpool.model import errors
from browserpool.model.credentials import ClaimToken
from browserpool.model.names import BrowserId, Fence, SessionId


def token(fence, name="a", *, kind="action"):
    return ClaimToken(browser_id=BrowserId("b"), session_id=SessionId(name), fence=Fence(fence), kind=kind, expires=0.0)


def book(fence=10, *, over=False, clean=9, before=9, name: str | None = "a"):
    return session.Book(
        fence=Fence(fence),
        over=over,
        clean=Fence(clean),
        before=Fence(before),
        session_id=None if name is None else SessionId(name),
    )


WELCOMED = session.opened(Fence(10))


@pytest.mark.parametrize(
    ("before", "shown", "after"),
    [
        pytest.param(book(), token(10), book(), id="the session goes on"),
        pytest.param(book(name=None), token(10), book(), id="it shows itself for the first time"),
        pytest.param(WELCOMED, token(11), book(11, clean=10, before=10), id="the first after the welcome"),
        pytest.param(
            book(10, over=True, clean=10), token(11), book(11, clean=10, before=10), id="the next, after a clean one"
        ),
        pytest.param(book(10), token(11, "z"), book(11, clean=9, before=10, name="z"), id="one that supersedes"),
        pytest.param(book(10), token(17), book(17, clean=9, before=10), id="fences between were never seen"),
    ],
)
def test_admitted(before, shown, after):
    assert session.admit(before, shown) == after


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        pytest.param(book(10), token(9), id="older"),
        pytest.param(book(10, over=True, clean=10), token(9), id="older than an ended one"),
        pytest.param(book(10, over=True), token(10), id="ended"),
        pytest.param(WELCOMED, token(10), id="died with the agent before"),
        pytest.param(book(10, name="a"), token(10, "z"), id="another session of the same fence"),
    ],
)
def test_refused(before, shown):
    with pytest.raises(errors.StaleFence) as refused:
        session.admit(before, shown)
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("before", "shown", "after"),
    [
        pytest.param(book(10), token(10), book(10, over=True), id="its own"),
        pytest.param(book(10, over=True), token(10), book(10, over=True), id="again"),
        pytest.param(book(10, over=True, clean=10), token(10), book(10, over=True, clean=10), id="again, and clean"),
        pytest.param(WELCOMED, token(11), book(11, over=True, clean=10, before=10), id="never used here"),
    ],
)
def test_ended(before, shown, after):
    assert session.end(before, shown) == after


def test_nobody_ends_a_newer_session():
    with pytest.raises(errors.StaleFence):
        session.end(book(10), token(9))


@pytest.mark.parametrize(
    ("before", "fence", "after"),
    [
        pytest.param(book(10), 10, book(10, over=True), id="the present one"),
        pytest.param(book(10), 9, book(10), id="a late word of an older one changes nothing"),
        pytest.param(WELCOMED, 12, book(12, over=True, clean=10, before=10, name=None), id="one never seen here"),
    ],
)
def test_ended_by_the_store(before, fence, after):
    assert session.ended_by_store(before, Fence(fence)) == after


@pytest.mark.parametrize(("fence", "clean"), [(9, 9), (8, 9), (10, 10)])
def test_clean_never_goes_back(fence, clean):
    assert session.cleaned(book(10, clean=9), Fence(fence)).clean == clean


@pytest.mark.parametrize(
    ("requests", "sessions", "profile"),
    [
        ([], 0, False),
        ([(1, "action")], 1, False),
        ([(1, "cdp"), (1, "cdp")], 1, True),
        ([(1, "action"), (1, "action")], 2, False),
        ([(1, "action"), (2, "cdp"), (3, "action")], 3, True),
    ],
)
def test_traces_count_sessions_and_each_quick_action(requests, sessions, profile):
    traces = session.NO_TRACES
    for fence, kind in requests:
        traces = session.served(traces, token(fence, kind=kind), profile=kind == "cdp")
    assert (traces.sessions, traces.profile) == (sessions, profile)


KEEP, RESTART, DELETE = session.Verdict.KEEP, session.Verdict.RESTART, session.Verdict.DELETE


@pytest.mark.parametrize(
    ("sessions", "profile", "suspect", "recycle", "verdict"),
    [
        (1, False, False, "Restart", KEEP),
        (49, False, False, "Delete", KEEP),
        (50, False, False, "Restart", RESTART),
        (50, False, False, "Delete", RESTART),
        (1, True, False, "Restart", RESTART),
        (1, True, False, "Delete", DELETE),
        (1, False, True, "Restart", RESTART),
        (0, False, False, "Restart", KEEP),
    ],
)
def test_what_follows_a_session(sessions, profile, suspect, recycle, verdict):
    traces = session.Traces(sessions=sessions, newest=Fence(1), profile=profile)
    assert session.verdict(traces, suspect=suspect, recycle=recycle, recycle_after=50) is verdict


@pytest.mark.parametrize(("profile", "needed"), [(False, True), (True, False)])
def test_what_came_last_says_whether_a_page_is_made_ahead(profile, needed):
    assert session.needs_spare(session.Traces(sessions=1, newest=Fence(1), profile=profile)) is needed
