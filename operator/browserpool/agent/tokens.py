"""Claim tokens: checked against the browser's claim key, and against the database's clock as the agent last heard it."""

import datetime

from browserpool.lib import clock
from browserpool.model import credentials, errors
from browserpool.model.names import BrowserId


class DatabaseClock:
    """The database's time, carried on by this process's steady clock: a step of the machine's wall clock changes nothing."""

    def __init__(self, *, monotonic: clock.Monotonic = clock.monotonic) -> None:
        self._monotonic = monotonic
        self._offset: float | None = None

    @property
    def known(self) -> bool:
        """Whether the database's time was ever heard."""
        return self._offset is not None

    def learn(self, now: datetime.datetime) -> None:
        """Take ``now``, just heard, as the present."""
        self._offset = now.timestamp() - self._monotonic()

    def now(self) -> float:
        """Seconds since 1970.

        Raises:
            errors.Unavailable: no router has answered this agent yet.
        """
        if self._offset is None:
            raise errors.Unavailable("This agent has not been welcomed by a router yet.", retry_after=1)
        return self._offset + self._monotonic()


class Checker:
    """Reads the claim token of a request."""

    def __init__(self, *, browser_id: BrowserId, claim_key: str, database_clock: DatabaseClock) -> None:
        self._browser_id = browser_id
        self._claim_key = claim_key
        self._clock = database_clock

    def check(self, authorization: str | None, query: str | None = None) -> credentials.ClaimToken:
        """The token of an ``Authorization`` header, or of ``?token=`` where there is no such header.

        Raises:
            errors.Unauthorized: none, or one that is not for this browser now.
            errors.Unavailable: the database's time is not known yet.
        """
        scheme, _, text = (f"Bearer {query or ''}" if authorization is None else authorization).partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise errors.Unauthorized("Send the claim token as Authorization: Bearer <token>, or as ?token=<token>.")
        return credentials.verify(text.strip(), key=self._claim_key, browser_id=self._browser_id, now=self._clock.now())
