"""Browser time by token and day: counted from what claims and releases write anyway."""

import asyncio
import datetime

from browserpool.model.names import TokenName
from browserpool.store import leases, usage

ALICE, BOB = TokenName("alice"), TokenName("bob")


async def counted(fleet):
    await usage.count(fleet.db, every=0)
    return {name: round(seconds) for name, seconds in (await usage.today(fleet.db)).seconds.items()}


async def began(fleet, session, ago):
    """The session's beginning set back; ``ago``: SQL for how long, or for the moment itself."""
    await fleet.sql(f"update browsers set state_since = {ago} where session_id = '{session}'")


async def end(fleet, answer):
    await leases.release(fleet.db, session_id=answer.claim.session_id, fence=answer.claim.fence, clean=True)


async def test_sessions_that_run_and_that_ended_count_each_once(fleet):
    await fleet.ready(0)
    await fleet.ready(1)
    begun = "greatest(now() - interval '100 s', date_trunc('day', now() at time zone 'UTC') at time zone 'UTC')"
    day = await usage.today(fleet.db)
    most = min(100, round((day.now - (day.ends_at - datetime.timedelta(days=1))).total_seconds()))
    first = await fleet.claim("a", token=ALICE)
    await began(fleet, "a", begun)
    await fleet.claim("b", token=BOB)
    assert (await counted(fleet))[ALICE] in range(most - 5, most + 6)
    await end(fleet, first)
    for _ in range(3):
        assert (await counted(fleet))[ALICE] in range(most - 5, most + 6)
    # Settled: from now on it stands in the sum, and is not looked at again.
    await usage.count(fleet.db, every=0, settle=0)
    for _ in range(3):
        assert (await counted(fleet))[ALICE] in range(most - 5, most + 6)


async def test_only_todays_part_of_a_long_session_counts_today_and_the_rest_stays_with_its_days(fleet):
    await fleet.ready(0)
    claim = await fleet.claim("a", token=ALICE)
    await began(fleet, "a", "(date_trunc('day', now() at time zone 'UTC') - interval '25 hours') at time zone 'UTC'")
    day = await usage.today(fleet.db)
    since_midnight = 86400 - (day.ends_at - day.now).total_seconds()
    assert abs((await counted(fleet))[ALICE] - since_midnight) <= 5
    await end(fleet, claim)
    await usage.count(fleet.db, every=0, settle=0)
    rows = await fleet.sql("select day, seconds, open_seconds from usage order by day")
    assert [round(seconds) for _, seconds, _ in rows[:2]] == [3600, 86400]
    assert abs(rows[2][1] - since_midnight) <= 5
    assert [still_open for _, _, still_open in rows] == [0, 0, 0]


async def test_what_ended_by_itself_counts_and_what_is_nobodys_does_not(fleet):
    await fleet.ready(0)
    await fleet.ready(1)
    await fleet.claim("a", token=ALICE, keep_alive=60.0)
    await fleet.claim("b")
    await fleet.sql("update browsers set lease_expires_at = now() - interval '1 s' where session_id is not null")
    assert len(await leases.expire(fleet.db)) == 2
    await usage.count(fleet.db, every=0, settle=0)
    assert list((await usage.today(fleet.db)).seconds) == [ALICE]


async def test_rounds_at_the_same_time_count_nothing_twice(fleet):
    await fleet.ready(0)
    for number in range(5):
        await end(fleet, await fleet.claim(f"s{number}", token=ALICE))
    await fleet.sql("update sessions set started_at = ended_at - interval '10 s'")
    await asyncio.gather(*(usage.count(fleet.db, every=0, settle=0) for _ in range(8)))
    total = await fleet.sql("select sum(seconds + open_seconds) from usage")
    assert round(total[0][0]) == 50


async def test_who_comes_too_early_leaves_the_count_alone(fleet):
    await fleet.ready(0)
    await end(fleet, await fleet.claim("a", token=ALICE))
    await usage.count(fleet.db, every=3600, settle=0)
    assert (await usage.today(fleet.db)).seconds == {}


async def test_the_day_is_the_databases_and_utcs(fleet):
    await fleet.sql("set timezone to 'Asia/Tokyo'")
    day = await usage.today(fleet.db)
    ends = day.ends_at.astimezone(datetime.UTC)
    assert (ends.hour, ends.minute, ends.second) == (0, 0, 0)
    assert 0 < (day.ends_at - day.now).total_seconds() <= 86400


async def test_days_long_past_are_forgotten(fleet):
    await fleet.sql(
        "insert into usage (token, day, seconds) select 'alice', (now() at time zone 'UTC')::date - n, 1 from generate_series(0, 3) n"
    )
    assert await usage.prune(fleet.db, older_than=2 * 86400) == 1
    assert len(await fleet.sql("select day from usage")) == 3
