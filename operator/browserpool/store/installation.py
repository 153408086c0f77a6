"""Whose database this is: one installation's, since each ends the browsers of pools that it does not know."""

from browserpool.store import connect, queries

_SQL = queries.topic("installation")

SILENCE = 60.0
"""Seconds after which an installation whose controller and browsers are not heard may lose its database to another."""
CONFIRMED = 30.0
"""Seconds for which whoever wants it must have seen that: an outage of the database silences everybody."""


async def take(db: connect.Database, name: str) -> str | None:
    """Take the database for the installation ``name``, or renew that it is its; None: it is. Otherwise answers whose it is.

    To be called well within ``SILENCE``. One that is not heard any more is inherited: whoever asks again and again gets it.
    """
    parameters = {"name": name, "silence": SILENCE, "confirmed": CONFIRMED}
    owner = await connect.fetch_one(db, _SQL["take"], parameters, into=_owner)
    return None if owner == name else owner


def _owner(*, name: str) -> str:
    return name
