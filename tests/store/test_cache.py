"""Answers that routers share: found while they are young, gone when they are old or too many."""

import asyncio

import psycopg
import pytest

from browserpool.store import cache

PNG = b"\x89PNG" + bytes(range(256)) * 4
HEADERS = {"Content-Type": "image/png"}
EVERYTHING = 10**9


async def kept(database, key, *, ttl=60.0, body=PNG):
    await cache.put(database, key, headers=HEADERS, body=body, ttl=ttl)


@pytest.fixture
def age(dsn):
    """Make what is kept under a key older by so many seconds, as if it had been stored then."""

    def by(key, seconds):
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "update cache set stored_at = stored_at - make_interval(secs => %s), expires_at = expires_at - make_interval(secs => %s)"
                " where key = %s",
                (seconds, seconds, key),
            )

    return by


async def test_what_is_kept_comes_back_as_it_was(database):
    await kept(database, b"a")
    found = await cache.get(database, b"a", ttl=60)
    assert (found.headers, found.body) == (HEADERS, PNG)
    assert 0 <= found.age < 30
    assert await cache.get(database, b"b", ttl=60) is None


@pytest.mark.parametrize(
    ("kept_for", "older_by", "asked_within", "there"),
    [(60, 10, 60, True), (60, 61, 3600, False), (60, 10, 5, False), (3600, 10, 15, True)],
)
async def test_it_is_given_while_neither_who_kept_it_nor_who_asks_finds_it_too_old(
    database, age, kept_for, older_by, asked_within, there
):
    await kept(database, b"a", ttl=kept_for)
    age(b"a", older_by)
    assert (await cache.get(database, b"a", ttl=asked_within) is not None) == there


async def test_what_is_kept_anew_is_young_again(database, age):
    await kept(database, b"a")
    age(b"a", 3600)
    await kept(database, b"a", body=b"new")
    assert (await cache.get(database, b"a", ttl=5)).body == b"new"


async def test_a_sweep_takes_what_has_expired_and_says_what_is_left(database, age):
    for key in (b"a", b"b", b"c"):
        await kept(database, key)
    age(b"b", 61)
    assert await cache.sweep(database, most=EVERYTHING) == 2 * (len(PNG) + cache.OVERHEAD)
    assert [await cache.get(database, key, ttl=60) is not None for key in (b"a", b"b", b"c")] == [True, False, True]


async def test_a_sweep_lets_the_oldest_go_until_the_rest_fits(database, age):
    for seconds, key in ((30, b"old"), (0, b"new"), (20, b"middle")):
        await kept(database, key)
        age(key, seconds)
    room = 2 * (len(PNG) + cache.OVERHEAD)
    assert await cache.sweep(database, most=room) == room
    there = [await cache.get(database, key, ttl=60) is not None for key in (b"old", b"middle", b"new")]
    assert there == [False, True, True]


async def test_sweeps_at_the_same_time_end_at_the_same_sum(database):
    for number in range(40):
        await kept(database, b"%d" % number)
    room = 10 * (len(PNG) + cache.OVERHEAD)
    await asyncio.gather(*(cache.sweep(database, most=room) for _ in range(4)))
    assert await cache.sweep(database, most=room) <= room


async def test_many_may_keep_the_same_answer_at_once(database):
    await asyncio.gather(*(kept(database, b"a", body=b"%d" % number) for number in range(20)))
    assert int((await cache.get(database, b"a", ttl=60)).body) in range(20)


def test_nothing_of_it_is_written_to_the_log(dsn):
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select relpersistence from pg_class where relname = 'cache'").fetchone() == ("u",)
