"""Outcomes by minutes: routers add to the same rows, and what they added is read as sums."""

import asyncio

from browserpool.model.names import PoolName
from browserpool.model.outcomes import Arm, Kind, Tally
from browserpool.store import outcomes

POOL = PoolName("default")


def kind(action="screenshot", *, arm=Arm.POOL, template="t1", pool=POOL):
    return Kind(pool=pool, arm=arm, action=action, template=template)


def tally(*seconds, failures=0):
    counted = Tally()
    for number, one in enumerate(seconds):
        counted.count(one, failed=number < failures)
    return counted


async def test_what_was_added_is_read_by_kind(database):
    wanted = {
        kind(): tally(0.1, 0.2, failures=1),
        kind("pdf"): tally(3.0),
        kind(arm=Arm.UPSTREAM, template=""): tally(500.0),
        kind(template="t2"): tally(0.3),
    }
    await outcomes.add(database, wanted | {kind(pool=PoolName("another")): tally(1.0)})
    assert await outcomes.sums(database, POOL, since=60) == wanted
    assert await outcomes.sums(database, PoolName("unknown"), since=60) == {}


async def test_additions_of_many_routers_at_the_same_time_are_all_there(database):
    kinds = [kind(action) for action in ("pdf", "screenshot", "content", "cdp")]
    await asyncio.gather(
        *(
            outcomes.add(
                database, {one: tally(0.125, 9.0, failures=1) for one in (kinds if number % 2 else kinds[::-1])}
            )
            for number in range(20)
        )
    )
    found = await outcomes.sums(database, POOL, since=60)
    assert found == {one: tally(*[0.125] * 20, *[9.0] * 20, failures=20) for one in kinds}


async def test_sums_go_over_minutes_as_far_back_as_is_asked(fleet):
    for minutes in (90, 30, 0):
        await outcomes.add(fleet.db, {kind(): tally(0.125)})
        new = "minute > now() - interval '10 minutes'"
        await fleet.sql(f"update outcomes set minute = minute - interval '{minutes} minutes' where {new}")
    for since, number in ((600, 1), (3600, 2), (7200, 3)):
        assert await outcomes.sums(fleet.db, POOL, since=since) == {kind(): tally(*[0.125] * number)}


async def test_minutes_long_past_are_forgotten(fleet):
    await outcomes.add(fleet.db, {kind(): tally(0.1)})
    assert await outcomes.prune(fleet.db, older_than=86400) == 0
    await fleet.sql("update outcomes set minute = minute - interval '2 days'")
    assert await outcomes.prune(fleet.db, older_than=86400) == 1
    assert await fleet.sql("select * from outcomes") == []
