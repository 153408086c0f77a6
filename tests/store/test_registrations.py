"""Fences of names that are registered in another database than before."""

import pytest

from browserpool.store import browsers, connect
from support import fleet as fleets
from support import postgres


@pytest.fixture
async def other(postgres_server):
    """A second database, which was never used."""
    with postgres.clone(postgres_server) as dsn:
        async with connect.opened(dsn, process="tests") as opened:
            yield fleets.Fleet(opened)


async def move(of, to):
    await browsers.raise_registrations(to.db, above=await browsers.registrations(of.db))


async def fence(of, ordinal=0):
    name = await of.register(ordinal)
    return (await of.row(name)).fence


@pytest.mark.parametrize("before", [1, 2, 7])
async def test_a_name_gets_a_higher_fence_where_it_is_registered_next(fleet, other, before):
    for ordinal in range(before):
        last = await fence(fleet, ordinal)
    await move(fleet, other)
    assert await fence(other, before - 1) > last


async def test_what_is_above_already_is_not_lowered(fleet, other):
    for ordinal in range(5):
        last = await fence(other, ordinal)
    await fence(fleet)
    await move(fleet, other)
    assert await fence(other, 5) > last


async def test_repeating_it_changes_nothing(fleet, other):
    await fence(fleet)
    for _ in range(3):
        await move(fleet, other)
    assert await browsers.registrations(other.db) == await browsers.registrations(fleet.db)


async def test_there_and_back_again(fleet, other):
    fences = []
    here, there = fleet, other
    for _ in range(4):
        await move(there, here)
        name = await here.register()
        fences.append((await here.row(name)).fence)
        await browsers.forget(here.db, [name])
        here, there = there, here
    assert fences == sorted(set(fences))
