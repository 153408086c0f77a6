"""Sessions that another router has: whose they are, and when they are forgotten."""

import dataclasses

import pytest

from browserpool.model import errors
from browserpool.model.names import PoolName, RegionName, SessionId, TokenName
from browserpool.store import remote_sessions

MINE = remote_sessions.Remote(
    session_id=SessionId("s"), pool=PoolName("p"), region=RegionName("eu"), token=TokenName("mine")
)


@pytest.mark.parametrize(
    "other", [{"token": TokenName("theirs")}, {"token": None}, {"pool": PoolName("q")}, {"region": RegionName("us")}]
)
async def test_whose_a_session_is_does_not_change(fleet, other):
    await remote_sessions.put(fleet.db, MINE)
    await remote_sessions.put(fleet.db, MINE)
    with pytest.raises(errors.Conflict, match="another one"):
        await remote_sessions.put(fleet.db, dataclasses.replace(MINE, **other))
    assert await remote_sessions.get(fleet.db, MINE.session_id) == MINE


async def test_what_nobody_asks_about_is_forgotten_by_the_next(fleet):
    await remote_sessions.put(fleet.db, MINE)
    async with fleet.db.pool.connection() as connection:
        await connection.execute("update remote_sessions set expires_at = now() - interval '1 second'")
    await remote_sessions.put(fleet.db, dataclasses.replace(MINE, session_id=SessionId("t")))
    assert await remote_sessions.get(fleet.db, MINE.session_id) is None
