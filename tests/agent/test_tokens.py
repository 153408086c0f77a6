"""Claim tokens against the database's clock."""

import datetime

import pytest

from browserpool.agent import tokens
from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.names import BrowserId
from support import agents


class Steady:
    """A steady clock that moves when it is told to."""

    def __init__(self):
        self.seconds = 500.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def steady():
    return Steady()


@pytest.fixture
def checker(steady):
    database_clock = tokens.DatabaseClock(monotonic=steady)
    database_clock.learn(agents.DATABASE_NOW)
    return tokens.Checker(browser_id=agents.BROWSER, claim_key=agents.CLAIM_KEY, database_clock=database_clock)


def expiring(seconds):
    return agents.token(5, expires=agents.DATABASE_NOW + datetime.timedelta(seconds=seconds))


def test_a_good_token(checker):
    token = checker.check("Bearer " + agents.token(5, kind="cdp", session="s"))
    assert (token.fence, token.kind, token.session_id) == (5, "cdp", "s")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic abc",
        "Bearer nonsense",
        "Bearer a.b",
        "Bearer " + agents.token(5, key="another key"),
        "Bearer " + agents.token(5, browser=BrowserId("another-browser-1")),
        "Bearer " + agents.token(5)[:-2] + "xx",
        "Bearer " + expiring(0),
        "Bearer " + expiring(-1),
    ],
)
def test_refused(checker, authorization):
    with pytest.raises(errors.Unauthorized):
        checker.check(authorization)


def test_a_token_expires_on_the_databases_clock(checker, steady):
    token = "Bearer " + expiring(10)
    steady.seconds += 9.9
    checker.check(token)
    steady.seconds += 0.2
    with pytest.raises(errors.Unauthorized, match="expired"):
        checker.check(token)


def test_the_machines_wall_clock_is_never_asked(checker, monkeypatch):
    monkeypatch.setattr(clock, "wall", lambda: pytest.fail("the wall clock decides nothing"))
    checker.check("Bearer " + expiring(10))


def test_before_the_welcome_nothing_is_accepted():
    checker = tokens.Checker(
        browser_id=agents.BROWSER, claim_key=agents.CLAIM_KEY, database_clock=tokens.DatabaseClock()
    )
    with pytest.raises(errors.Unavailable):
        checker.check("Bearer " + agents.token(5))
