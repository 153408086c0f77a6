"""How many browsers a region keeps ready by ``spec.autoscaling``: the reckoning, the schedule, and what holds whatever comes."""

import dataclasses
import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserpool.controller.desired import hours, plan, scaling, seen, status, template
from browserpool.model.autoscaling import Autoscaling, Hours
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

EAST = RegionName("east")
MONDAY_NOON = datetime.datetime(2026, 3, 2, 12, 0, tzinfo=datetime.UTC)
Look, Span = scaling.Look, scaling.Span


def rules(**given_):
    return Autoscaling.model_validate({"maxReplicas": 100, "scaleDownDelay": "300s", **given_})


class Region:
    """A region that is looked at again and again, at moments that the test says."""

    def __init__(self, *, most=1000, before=0, first=None, **given_):
        self.rules, self.most = rules(**given_), most
        self.past = scaling.begun(first or Look(claimed=0, unclaimed=0), before=before, now=0.0)

    def look(self, now, *, claimed=0, unclaimed=0, claims=0, lead=None, moment=MONDAY_NOON):
        look = Look(claimed=claimed, unclaimed=unclaimed, claims=claims, lead=lead)
        self.past, scaled = scaling.looked(self.past, look, rules=self.rules, most=self.most, now=now, moment=moment)
        return scaled


# ---------------------------------------------------------------- the buffer, the bounds
@pytest.mark.parametrize(
    ("given_", "claimed", "wanted", "why"),
    [
        ({"buffer": 3}, 0, 3, "Demand"),
        ({"buffer": 3}, 40, 3, "Demand"),
        ({"buffer": "25%"}, 0, 1, "MinReplicas"),
        ({"buffer": "25%"}, 4, 1, "MinReplicas"),
        ({"buffer": "25%"}, 40, 10, "Demand"),
        ({"buffer": "25%"}, 41, 11, "Demand"),
        ({"buffer": "25%", "minReplicas": 5}, 8, 5, "MinReplicas"),
        ({"buffer": "100%", "maxReplicas": 30}, 40, 30, "MaxReplicas"),
        ({"buffer": 0, "minReplicas": 0}, 40, 0, "MinReplicas"),
        ({}, 40, 10, "Demand"),
    ],
)
def test_the_buffer_between_its_bounds(given_, claimed, wanted, why):
    scaled = Region(**given_).look(0.0, claimed=claimed)
    assert (scaled.wanted, scaled.reason) == (wanted, why)


def test_what_may_exist_at_most_binds_too():
    assert Region(buffer=20, most=8).look(0.0).wanted == 8
    assert Region(minReplicas=20, most=0).look(0.0).wanted == 0


# ---------------------------------------------------------------- the forecast
@pytest.mark.parametrize(
    ("spans", "lead", "expected"),
    [
        ([], 10, 0),
        ([(1, 60, 50)], 5, 5),  # one a second of the last minute, for five seconds
        ([(1, 30, 50), (20, 30, 50)], 5, 5),
        ([(1, 60, 50)], 0.4, 0),
        ([(1, 60, 50)], 0.5, 1),
        ([(55, 60, 50)], 5, 30),  # six a second of the last ten seconds
        ([(50, 60, 50)], 5, 5),
        ([(1, 60, 50), (55, 5, 50)], 6, 7),  # 65 in the minute are more than 5 in ten seconds
        ([(1, 6000, 12)], 10, 12),  # short actions: a hundred a second, twelve at a time
        ([(1, 6000, 2), (5, 0, 12)], 10, 12),
        ([(1, 60, 0)], 30, 0),  # none was ever seen held: each was back before the next look
    ],
)
def test_the_forecast(spans, lead, expected):
    made = tuple(Span(begin=float(begin), claims=claims, held=held) for begin, claims, held in spans)
    assert scaling.forecast(made, lead=lead, now=60.0) == expected


def test_claims_of_the_last_minute_count_and_those_before_do_not():
    region = Region(buffer=0, minReplicas=0, maxReplicas=500, scaleDownDelay=0)
    assert region.look(0.0, claimed=300, claims=60, lead=20.0).wanted == 120
    assert region.look(0.5, claimed=300, claims=60).wanted == 240, "the last lead that was seen holds"
    assert len(region.past.spans) == 1, "what is less than a second apart is remembered as one"
    assert region.look(9.9, claimed=300).wanted == 240
    assert region.look(10.0, claimed=300).wanted == 40
    assert region.look(59.9, claimed=300).wanted == 40
    assert region.look(60.0, claimed=300).wanted == 0
    assert [span.begin for span in region.past.spans] == [9.9, 59.9]


def test_a_lead_is_assumed_until_one_was_seen():
    region = Region(buffer=0, minReplicas=0)
    assert region.look(0.0, claimed=60, claims=10).wanted == scaling.FIRST_LEAD


# ---------------------------------------------------------------- up at once, down late
def test_more_at_once_and_fewer_only_after_the_delay():
    region = Region(buffer="50%", scaleDownDelay="300s")
    assert region.look(0.0, claimed=10).wanted == 5
    assert region.look(1.0, claimed=20).wanted == 10
    down = region.look(2.0, claimed=4)
    assert (down.wanted, down.reason) == (10, "ScaleDownDelay")
    assert region.look(100.0, claimed=12).wanted == 10
    assert region.look(300.9, claimed=4).wanted == 10
    assert region.look(301.0, claimed=4).wanted == 6, "the highest of the last 300 s is now that of second 100"
    assert region.look(400.0, claimed=4).wanted == 2


def test_what_comes_back_from_a_burst_is_kept_as_long():
    region = Region(buffer=2, scaleDownDelay="300s")
    assert region.look(0.0, claimed=0, unclaimed=2).kept == 2
    assert region.look(10.0, claimed=20, unclaimed=2).kept == 22
    back = region.look(30.0, claimed=0, unclaimed=22)
    assert (back.wanted, back.kept) == (2, 22)
    assert region.look(309.9, claimed=0, unclaimed=22).kept == 22
    assert region.look(310.0, claimed=0, unclaimed=22).kept == 2


def test_whoever_takes_over_takes_nothing_away_at_once():
    there = Look(claimed=3, unclaimed=9)
    region = Region(before=7, first=there, buffer=0, minReplicas=1)
    found = region.look(0.0, claimed=3, unclaimed=9)
    assert (found.wanted, found.kept, found.reason) == (7, 12, "ScaleDownDelay")
    later = region.look(300.0, claimed=3, unclaimed=9)
    assert (later.wanted, later.kept) == (1, 4)


def test_a_maximum_that_is_raised_meets_what_was_wanted_meanwhile():
    region = Region(buffer="100%", maxReplicas=10)
    limited = region.look(0.0, claimed=30)
    assert (limited.wanted, limited.message) == (10, "maxReplicas; 30 would be wanted")
    region.rules = rules(buffer="100%", maxReplicas=40)
    assert region.look(10.0, claimed=5).wanted == 30


def test_peaks_forget_what_a_later_one_exceeds():
    peaks = ()
    for now, number in enumerate([5, 3, 4, 4, 1]):
        peaks = scaling.highest(peaks, number, now=now, span=100)
    assert peaks == ((0, 5), (3, 4), (4, 1))


# ---------------------------------------------------------------- hours
BERLIN = "Europe/Berlin"


def local(text, *, zone=BERLIN, fold=0):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold)


def at(**given_):
    return Hours.model_validate({"minReplicas": 1, "timeZone": BERLIN, **given_})


OFFICE = at(**{"from": "08:00", "to": "18:00", "days": ["Mon", "Tue", "Wed", "Thu", "Fri"]})
NIGHT = at(**{"from": "22:00", "to": "06:00", "days": ["Fri"]})
DAILY_NIGHT = at(**{"from": "22:00", "to": "06:00"})
ALL_DAY = at(**{"from": "00:00", "to": "00:00", "days": ["Sun"]})


@pytest.mark.parametrize(
    ("schedule", "moment", "expected"),
    [
        # 2026-03-02 is a Monday.
        (OFFICE, local("2026-03-02T07:59:59"), False),
        (OFFICE, local("2026-03-02T08:00:00"), True),
        (OFFICE, local("2026-03-02T17:59:59"), True),
        (OFFICE, local("2026-03-02T18:00:00"), False),
        (OFFICE, local("2026-03-07T12:00:00"), False),
        (OFFICE, datetime.datetime(2026, 3, 2, 7, 0, tzinfo=datetime.UTC), True),
        (OFFICE, datetime.datetime(2026, 7, 6, 5, 59, tzinfo=datetime.UTC), False),
        (OFFICE, datetime.datetime(2026, 7, 6, 6, 0, tzinfo=datetime.UTC), True),
        # Over midnight: the day is that on which the hours begin.
        (NIGHT, local("2026-03-06T21:59:00"), False),
        (NIGHT, local("2026-03-06T22:00:00"), True),
        (NIGHT, local("2026-03-07T05:59:00"), True),
        (NIGHT, local("2026-03-07T06:00:00"), False),
        (NIGHT, local("2026-03-07T23:00:00"), False),
        (NIGHT, local("2026-03-06T03:00:00"), False),
        (DAILY_NIGHT, local("2026-03-01T03:00:00"), True),
        (DAILY_NIGHT, local("2026-03-01T12:00:00"), False),
        (ALL_DAY, local("2026-03-07T23:59:59"), False),
        (ALL_DAY, local("2026-03-08T00:00:00"), True),
        (ALL_DAY, local("2026-03-08T23:59:59"), True),
        (ALL_DAY, local("2026-03-09T00:00:00"), False),
        # The night of 29 March is an hour short, that of 25 October an hour long.
        (NIGHT, datetime.datetime(2026, 3, 27, 21, 0, tzinfo=datetime.UTC), True),
        (DAILY_NIGHT, datetime.datetime(2026, 3, 29, 3, 59, tzinfo=datetime.UTC), True),
        (DAILY_NIGHT, datetime.datetime(2026, 3, 29, 4, 0, tzinfo=datetime.UTC), False),
        (DAILY_NIGHT, datetime.datetime(2026, 10, 25, 4, 59, tzinfo=datetime.UTC), True),
        (DAILY_NIGHT, datetime.datetime(2026, 10, 25, 5, 0, tzinfo=datetime.UTC), False),
        # 02:30 does not exist on 29 March: it may mean 01:30 or 03:30, and from begins early, to ends late.
        (at(**{"from": "02:30", "to": "05:00"}), local("2026-03-29T03:00:00"), True),
        (at(**{"from": "01:00", "to": "02:30"}), local("2026-03-29T03:29:00"), True),
        (at(**{"from": "01:00", "to": "02:30"}), local("2026-03-29T03:30:00"), False),
        # 02:30 exists twice on 25 October.
        (at(**{"from": "02:30", "to": "05:00"}), local("2026-10-25T02:30:00"), True),
        (at(**{"from": "02:30", "to": "05:00"}), local("2026-10-25T02:10:00", fold=1), True),
        (at(**{"from": "01:00", "to": "02:30"}), local("2026-10-25T02:29:00", fold=1), True),
        (at(**{"from": "01:00", "to": "02:30"}), local("2026-10-25T02:30:00", fold=1), False),
        # Clocks that are put forward at midnight: 26 April 2024 in Cairo has no 00:15.
        (
            at(**{"from": "00:15", "to": "01:30", "days": ["Fri"], "timeZone": "Africa/Cairo"}),
            local("2024-04-26T01:05:00", zone="Africa/Cairo"),
            True,
        ),
        # The other end of the world, where it is another day.
        (
            at(**{"from": "08:00", "to": "09:00", "days": ["Tue"], "timeZone": "Pacific/Auckland"}),
            datetime.datetime(2026, 3, 2, 19, 30, tzinfo=datetime.UTC),
            True,
        ),
    ],
)
def test_hours(schedule, moment, expected):
    assert hours.now_in(schedule, moment) is expected


@given(
    begin=st.times().map(lambda time: time.strftime("%H:%M")),
    end=st.times().map(lambda time: time.strftime("%H:%M")),
    moment=st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: MONDAY_NOON + datetime.timedelta(minutes=minutes)),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_each_moment_is_within_hours_or_within_those_that_complete_the_day(begin, end, moment, zone):
    one = at(**{"from": begin, "to": end, "timeZone": zone})
    other = at(**{"from": end, "to": begin, "timeZone": zone})
    assert hours.now_in(one, moment) or hours.now_in(other, moment)


def test_the_highest_of_several_hours_is_the_least():
    schedule = [
        {"from": "08:00", "to": "18:00", "minReplicas": 10},
        {"from": "11:00", "to": "13:00", "minReplicas": 30},
        {"from": "20:00", "to": "21:00", "minReplicas": 50},
    ]
    region = Region(minReplicas=2, buffer=0, schedule=schedule, scaleDownDelay=0)
    noon = region.look(0.0)
    assert (noon.wanted, noon.reason) == (30, "Schedule")
    assert region.look(1.0, moment=MONDAY_NOON.replace(hour=14)).wanted == 10
    assert region.look(2.0, moment=MONDAY_NOON.replace(hour=19)).reason == "MinReplicas"
    assert region.look(3.0, moment=MONDAY_NOON, claimed=40).reason == "Schedule"


def test_after_its_hours_a_region_shrinks_as_late_as_after_a_burst():
    region = Region(minReplicas=1, buffer=0, schedule=[{"from": "08:00", "to": "18:00", "minReplicas": 9}])
    assert region.look(0.0).wanted == 9
    evening = MONDAY_NOON.replace(hour=18)
    assert region.look(299.0, moment=evening).wanted == 9
    assert region.look(300.0, moment=evening).wanted == 1


# ---------------------------------------------------------------- whatever comes
LOOKS = st.lists(
    st.tuples(
        st.floats(0, 200),
        st.integers(0, 60),
        st.integers(0, 60),
        st.integers(0, 500),
        st.none() | st.floats(0, 300),
    ),
    min_size=1,
    max_size=15,
)
RULES = st.builds(
    lambda least, more, buffer, delay: {
        "minReplicas": least,
        "maxReplicas": max(1, least + more),
        "buffer": buffer,
        "scaleDownDelay": delay,
    },
    st.integers(0, 20),
    st.integers(0, 40),
    st.integers(0, 30) | st.integers(0, 100).map(lambda number: f"{number}%"),
    st.integers(0, 400),
)


def walked(region, looks):
    now = 0.0
    for step, claimed, unclaimed, claims, lead in looks:
        now += step
        yield region.look(now, claimed=claimed, unclaimed=unclaimed, claims=claims, lead=lead)


@given(given_=RULES, looks=LOOKS, most=st.integers(0, 60))
def test_never_below_the_least_and_never_above_the_most(given_, looks, most):
    for scaled in walked(Region(most=most, **given_), looks):
        assert min(given_["minReplicas"], most) <= scaled.wanted <= min(given_["maxReplicas"], most)


@given(given_=RULES, looks=LOOKS, more=st.integers(1, 20))
def test_the_more_are_in_use_the_more_are_wanted(given_, looks, more):
    *before, (step, claimed, *rest) = looks
    fewer, many = Region(**given_), Region(**given_)
    few = list(walked(fewer, [*before, (step, claimed, *rest)]))[-1]
    lot = list(walked(many, [*before, (step, claimed + more, *rest)]))[-1]
    assert lot.wanted >= few.wanted
    assert lot.kept >= few.kept


@given(given_=RULES, looks=LOOKS)
def test_the_highest_of_the_delay_is_what_is_wanted(given_, looks):
    """What is reckoned at each moment is what a region without a delay wants."""
    now, told = 0.0, []
    slow, quick = walked(Region(**given_), looks), walked(Region(**(given_ | {"scaleDownDelay": 0})), looks)
    for (step, *_), scaled, reckoned in zip(looks, slow, quick, strict=True):
        now += step
        told.append((now, reckoned.wanted))
        lately = [wanted for then, wanted in told if now - then < given_["scaleDownDelay"]]
        assert scaled.wanted == max([reckoned.wanted, *lately])


# ---------------------------------------------------------------- what the plan makes of it
def pool(**spec):
    given_ = {"regions": [{"name": "east"}], "maxReplicas": 50, "autoscaling": {"maxReplicas": 20}, **spec}
    return BrowserPool.model_validate({"metadata": {"name": "shop"}, "spec": given_})


def kept_at(manifest, wanted):
    """``manifest`` as it is to be where ``wanted`` are to be ready."""
    regions = tuple(region.model_copy(update={"replicas": wanted}) for region in manifest.spec.regions)
    return manifest.model_copy(update={"spec": manifest.spec.model_copy(update={"regions": regions})})


def browser(number, state):
    return seen.Browser(
        browser_id=BrowserId(f"shop-east-{number}"),
        region=EAST,
        ordinal=number,
        state=state,
        pod=seen.Pod.RUNNING,
        template_hash=template.hashed(pool().spec, pool().spec.regions[0]),
    )


def world(*, ready, claimed, kept):
    states = [BrowserState.CLAIMED] * claimed + [BrowserState.READY] * ready
    scaled = seen.Scaled(wanted=0, kept=kept, reason="Demand", message="")
    return seen.World(
        pool=PoolName("shop"),
        browsers=tuple(browser(number, state) for number, state in enumerate(states)),
        settled=((EAST, seen.Settled(short_for=1000.0, surplus_for=1000.0)),),
        scaled=((EAST, scaled),),
    )


@pytest.mark.parametrize(
    ("wanted", "ready", "claimed", "kept", "drained"),
    [
        (2, 22, 0, 22, 0),
        (2, 22, 0, 10, 12),
        (2, 12, 10, 22, 0),
        (2, 12, 10, 15, 7),
        (2, 12, 10, 3, 10),
        (5, 5, 10, 0, 0),
    ],
)
def test_what_autoscaling_keeps_is_not_too_many(wanted, ready, claimed, kept, drained):
    actions = plan.plan(kept_at(pool(), wanted), world(ready=ready, claimed=claimed, kept=kept))
    assert [type(action) for action in actions] == [plan.Drain] * drained


@given(
    wanted=st.integers(0, 20),
    ready=st.integers(0, 40),
    claimed=st.integers(0, 40),
    kept=st.integers(0, 80),
    most=st.integers(1, 60),
)
def test_no_claimed_browser_is_ever_drained(wanted, ready, claimed, kept, most):
    manifest = kept_at(pool(maxReplicas=most), min(wanted, most))
    actions = plan.plan(manifest, world(ready=ready, claimed=claimed, kept=kept))
    held = {f"shop-east-{number}" for number in range(claimed)}
    gone = {one.browser_id for one in actions if isinstance(one, plan.Drain | plan.Delete | plan.Forget)}
    assert held.isdisjoint(gone)


# ---------------------------------------------------------------- what is said of it
def test_status_says_how_many_and_why():
    manifest = kept_at(pool(), 2)
    found = status.summary(manifest, world(ready=2, claimed=3, kept=5))
    said = next(one for one in found.conditions if one.type == "Autoscaling")
    assert (said.status, said.reason) == (True, "WithinLimits")
    assert said.message.startswith("east keeps 2 ready ().")
    assert "an autoscaler that writes it, have no effect" in said.message
    made = status.manifest(found, previous_conditions=(), now=MONDAY_NOON)
    assert (made["regions"][0]["desired"], made["regions"][0]["desiredReason"]) == (2, "Demand")


def test_status_says_that_the_most_is_too_few():
    seen_world = world(ready=20, claimed=30, kept=50)
    limited = seen.Scaled(wanted=20, kept=50, reason="MaxReplicas", message="maxReplicas; 30 would be wanted")
    found = status.summary(kept_at(pool(), 20), dataclasses.replace(seen_world, scaled=((EAST, limited),)))
    said = next(one for one in found.conditions if one.type == "Autoscaling")
    assert (said.status, said.reason) == (True, "TooLimited")
    assert "east keeps 20 ready (maxReplicas; 30 would be wanted)" in said.message


def test_a_pool_whose_spec_has_the_number_says_that():
    found = status.summary(pool(autoscaling=None, replicas=2), seen.World(pool=PoolName("shop")))
    said = next(one for one in found.conditions if one.type == "Autoscaling")
    assert (said.status, said.reason) == (False, "Off")
