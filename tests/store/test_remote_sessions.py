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


async def test_where_there_are_sessions_of_a_token_to_be_asked_about(fleet):
    other = dataclasses.replace(MINE, session_id=SessionId("t"), region=RegionName("us"), token=TokenName("theirs"))
    for one in (MINE, other):
        await remote_sessions.put(fleet.db, one)
    eu, us = (remote_sessions.Region(pool=PoolName("p"), region=RegionName(name)) for name in ("eu", "us"))

    async def found(token):
        return await remote_sessions.regions(fleet.db, token=token)

    assert [await found(token) for token in ("mine", "theirs", "nobody", None)] == [{eu}, {us}, set(), {eu, us}]
    async with fleet.db.pool.connection() as connection:
        await connection.execute(
            "update remote_sessions set expires_at = now() - interval '1 second' where token = 'mine'"
        )
    assert [await found(token) for token in ("mine", None)] == [set(), {us}]


async def test_which_of_many_are_remembered(fleet):
    await remote_sessions.put(fleet.db, MINE)
    assert await remote_sessions.among(fleet.db, [SessionId("other"), MINE.session_id]) == [MINE]
    assert await remote_sessions.among(fleet.db, []) == []
