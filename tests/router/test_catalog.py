"""Pools and tokens in memory: what was written a moment ago counts, and guesses cost the store next to nothing."""

import asyncio

import pytest

from browserpool.lib import tasks
from browserpool.model import credentials, errors
from browserpool.model.names import PoolName, RegionName, TokenName
from browserpool.model.tokens import Token
from browserpool.router import catalog
from browserpool.store import tokens


async def test_a_token_that_was_made_right_after_a_reading_works(database):
    known = catalog.Catalog(database)
    await known.reload()
    await tokens.put(database, Token(name=TokenName("new"), hash=credentials.hashed("secret")))
    assert (await known.token("secret")).name == "new"


async def test_many_guesses_share_one_reading(database, monkeypatch):
    known = catalog.Catalog(database)
    await known.reload()
    readings = []
    read = known._read

    async def counted():
        readings.append(1)
        await read()

    monkeypatch.setattr(known, "_read", counted)
    guesses = [known.token(f"guess {number}") for number in range(50)]
    refused = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(error) for error in refused} == {errors.Unauthorized}
    assert len(readings) == 1


async def test_a_backup_that_is_gone_is_not_looked_for_again_and_again(database, monkeypatch):
    """A session is remembered for a day, whatever becomes of its region's backup."""
    now, readings = 1000.0, []
    known = catalog.Catalog(database, now=lambda: now)
    await known.reload()
    read = known._read

    async def counted():
        readings.append(1)
        await read()

    monkeypatch.setattr(known, "_read", counted)
    for later, expected in ((1.0, 1), (1.0, 1), (catalog.UNBACKED, 2)):
        now += later
        for _ in range(3):
            assert await known.backup_after_all(PoolName("gone"), RegionName("eu")) is None
        assert len(readings) == expected


async def test_who_leaves_while_he_reads_for_others_keeps_nothing_from_them(database, monkeypatch):
    known, reading = catalog.Catalog(database), asyncio.Event()
    await known.reload()
    listing = catalog.pools.listing

    async def slow(db):
        reading.set()
        await asyncio.sleep(0.1)
        return await listing(db)

    await asyncio.sleep(catalog.HURRY)
    await tokens.put(database, Token(name=TokenName("new"), hash=credentials.hashed("secret")))
    monkeypatch.setattr(catalog.pools, "listing", slow)
    async with tasks.Background() as background:
        leaver, stayer = (background.spawn(known.token("secret"), name="ask") for _ in range(2))
        await reading.wait()
        leaver.cancel()
        assert (await stayer).name == "new"


async def test_who_comes_and_goes_has_the_store_read_no_more_often(database, monkeypatch):
    known, readings = catalog.Catalog(database), 0
    await known.reload()

    async def stuck(_):
        nonlocal readings
        readings += 1
        await asyncio.sleep(60)

    monkeypatch.setattr(catalog.pools, "listing", stuck)
    async with tasks.Background() as background:
        for _ in range(10):
            guess = background.spawn(known.token("guess"), name="guess")
            await asyncio.sleep(0.01)
            guess.cancel()
    assert readings <= 1


async def test_before_the_first_reading_nobody_is_refused_for_good(database):
    known = catalog.Catalog(database)
    await database.pool.close()
    with pytest.raises(errors.Unavailable):
        await known.token("secret")
