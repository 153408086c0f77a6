"""Whose database this is: the first installation's that takes it, until nothing of that is heard any more."""

import asyncio

import pytest

from browserpool.store import installation


async def age(fleet, **columns):
    """Let what is named have happened so many seconds ago."""
    for column, seconds in columns.items():
        await fleet.sql(f"update installation set {column} = now() - interval '{seconds} seconds'")


async def test_a_fresh_database_is_the_firsts_and_stays_its(database):
    assert await installation.take(database, "one") is None
    assert await installation.take(database, "one") is None
    assert await installation.take(database, "two") == "one"


async def test_of_many_that_come_at_once_one_gets_it(database):
    names = [f"installation-{number}" for number in range(4)]
    answers = await asyncio.gather(*(installation.take(database, name) for name in names))
    assert answers.count(None) == 1
    assert set(answers) - {None} == {names[answers.index(None)]}


async def test_one_that_is_silent_is_inherited_when_it_still_is_a_while_later(database, fleet):
    await installation.take(database, "one")
    await age(fleet, renewed_at=61)
    assert await installation.take(database, "two") == "one"
    await age(fleet, silent_since=29)
    assert await installation.take(database, "two") == "one"
    await age(fleet, silent_since=31)
    assert await installation.take(database, "two") is None
    assert await installation.take(database, "one") == "two"


@pytest.mark.parametrize("heard", ["its controller", "a browser"])
async def test_one_that_is_heard_again_after_an_outage_keeps_it(database, fleet, heard):
    await installation.take(database, "one")
    agent = await fleet.ready()
    await fleet.sql("update browsers set last_seen = now() - interval '100 seconds'")
    await age(fleet, renewed_at=100)
    assert await installation.take(database, "two") == "one"
    await age(fleet, silent_since=100)
    if heard == "a browser":
        await agent.beat()
    else:
        assert await installation.take(database, "one") is None
    assert await installation.take(database, "two") == "one"
    await fleet.sql("update browsers set last_seen = now() - interval '100 seconds'")
    await age(fleet, renewed_at=100)
    assert await installation.take(database, "two") == "one", "silence is counted anew"


async def test_browsers_that_are_gone_or_were_never_heard_hold_nothing(database, fleet):
    await installation.take(database, "one")
    await fleet.ready()
    await fleet.register(1)
    await fleet.sql("update browsers set state = 'gone' where browser_id = 'default-eu-0'")
    await age(fleet, renewed_at=61)
    await installation.take(database, "two")
    await age(fleet, silent_since=31)
    assert await installation.take(database, "two") is None
