"""Autoscaling from the rows of browsers: claims are read off their fences, and the past is remembered."""

import datetime

import pytest

from browserpool.controller import autoscaler
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, Fence, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

SHOP = PoolName("shop")
NOON = datetime.datetime(2026, 3, 2, 12, 0, tzinfo=datetime.UTC)
READY, CLAIMED, GONE = BrowserState.READY, BrowserState.CLAIMED, BrowserState.GONE


def pool(*, regions=("eu",), **spec):
    named = [{"name": region} for region in regions]
    given = {"regions": named, "maxReplicas": 100, "autoscaling": {"maxReplicas": 50}, **spec}
    return BrowserPool.model_validate({"metadata": {"name": "shop"}, "spec": given})


def row(number, state=READY, *, claims=0, registration=1, region="eu", age=100.0, state_age=90.0):
    return Browser(
        browser_id=BrowserId(f"shop-{region}-{number}"),
        pool=SHOP,
        region=RegionName(region),
        zone=ZoneName("z"),
        node=NodeName("n"),
        template_hash="t",
        state=state,
        fence=Fence((registration << 32) + claims),
        incarnation=None,
        address=None,
        chromium=None,
        healthy=True,
        drain_requested=False,
        load=0.0,
        uses=0,
        restarts=0,
        memory_bytes=0,
        session_id=None,
        last_seen_age=1.0,
        state_age=state_age,
        age=age,
    )


class Watch:
    """An autoscaler whose clock stands where the test says."""

    def __init__(self):
        self.now = 1000.0
        self.made = autoscaler.Autoscaler(now=lambda: self.now, wall=lambda: NOON)

    def look(self, manifest, rows, *, blind=()):
        found = self.made.scaled({SHOP: manifest}, {SHOP: rows}, blind={SHOP: blind})[SHOP]
        spec = found.pool.spec
        return {region.name: spec.wanted(region) for region in spec.regions}


@pytest.mark.parametrize(
    ("before", "now", "claims"),
    [
        ((5, 2), (5, 2), 0),
        ((5, 2), (5, 4), 2),
        ((5, 2), (6, 0), 0),
        ((5, 2), (6, 3), 3),
        ((5, 4), (5, 2), 0),
        ((5, 4), (5, 1002), 998),
        ((5, 4), (5, 1004), 0),
        ((5, 4), (5, 1010), 0),
        (None, (5, 0), 0),
        (None, (5, 4), 4),
    ],
)
def test_how_often_a_browser_was_claimed_since(before, now, claims):
    fence = None if before is None else Fence((before[0] << 32) + before[1])
    assert row(0, registration=now[0], claims=now[1]).claims_since(fence) == claims


def test_a_pool_without_autoscaling_stays_as_it_is():
    manifest = pool(autoscaling=None, replicas=3)
    found = autoscaler.Autoscaler().scaled({SHOP: manifest}, {SHOP: [row(0)]})[SHOP]
    assert found.pool is manifest
    assert found.regions == ()


def test_each_region_for_itself():
    manifest = pool(regions=("eu", "us"), autoscaling={"maxReplicas": 50, "minReplicas": 2, "buffer": "50%"})
    rows = [*(row(n, CLAIMED) for n in range(20)), *(row(n, CLAIMED, region="us") for n in range(6))]
    rows += [row(n, region="elsewhere") for n in range(9)]
    assert Watch().look(manifest, rows) == {"eu": 10, "us": 3}


def test_claims_between_two_looks_are_forecast():
    """Twenty in ten seconds, and ten until another is ready."""
    watch, manifest = Watch(), pool(autoscaling={"maxReplicas": 50, "buffer": 0})
    assert watch.look(manifest, [row(n, CLAIMED, claims=100) for n in range(40)]) == {"eu": 1}
    watch.now += 1
    rows = [row(n, CLAIMED, claims=104 if n < 5 else 100) for n in range(40)]
    assert watch.look(manifest, rows) == {"eu": 20}


def test_short_actions_are_many_claims_of_few_browsers():
    watch, manifest = Watch(), pool(autoscaling={"maxReplicas": 50, "buffer": 0})
    for second in range(20):
        watch.now += 1
        found = watch.look(manifest, [row(0, CLAIMED, claims=50 * second), row(1, CLAIMED, claims=50 * second)])
    assert found == {"eu": 2}


def test_browsers_that_come_and_go_between_looks_are_counted_by_their_claims():
    watch, manifest = Watch(), pool(autoscaling={"maxReplicas": 50, "buffer": 0})
    held = [row(n, CLAIMED, claims=1) for n in range(30)]
    watch.look(manifest, held)
    watch.now += 1
    anew = [row(n, CLAIMED, claims=1) for n in range(30, 40)]
    again = [row(n, GONE, claims=1, registration=2) for n in range(10)]
    assert watch.look(manifest, [*again, *anew]) == {"eu": 20}


def test_how_long_a_browser_takes_is_learnt_from_the_newest_that_nobody_claimed():
    watch, manifest = Watch(), pool(autoscaling={"maxReplicas": 50, "buffer": 0})
    watch.look(manifest, [row(n, CLAIMED) for n in range(40)])
    watch.now += 1
    slow = [row(100 + n, age=60.0, state_age=15.0) for n in range(5)]  # 45 s each
    others = [row(200, age=9.0, state_age=1.0, claims=1), row(201, BrowserState.STARTING, age=3.0, state_age=3.0)]
    held = [row(n, CLAIMED, claims=1 if n < 4 else 0) for n in range(40)]
    assert watch.look(manifest, [*held, *slow, *others]) == {"eu": 23}, "five in ten seconds, for 45"
    watch.now += 1
    assert watch.look(manifest, held) == {"eu": 23}


def test_a_new_leader_keeps_what_the_one_before_wanted_for_the_delay():
    manifest = pool(autoscaling={"maxReplicas": 50, "buffer": 0})
    first = Watch()
    first.look(manifest, [row(n, CLAIMED) for n in range(40)])
    first.now += 1
    held = [row(n, CLAIMED, claims=n % 2) for n in range(40)]
    wanted = first.made.scaled({SHOP: manifest}, {SHOP: held})[SHOP].pool
    second = Watch()
    second.made.follow([wanted])
    assert second.look(manifest, [row(0)]) == {"eu": 20}
    second.now += 299
    assert second.look(manifest, [row(0)]) == {"eu": 20}
    second.now += 1
    assert second.look(manifest, [row(0)]) == {"eu": 1}


def test_when_autoscaling_is_turned_on_the_spec_held_until_then():
    watch = Watch()
    watch.look(pool(autoscaling=None, replicas=12), [])
    assert watch.look(pool(replicas=12), []) == {"eu": 12}
    watch.now += 300
    assert watch.look(pool(replicas=12), []) == {"eu": 1}


def test_what_is_no_longer_there_is_forgotten():
    watch, manifest = Watch(), pool(regions=("eu", "us"))
    watch.look(manifest, [row(n, CLAIMED, region="us") for n in range(20)])
    watch.look(pool(), [])
    assert watch.look(manifest, []) == {"eu": 1, "us": 1}


def test_a_blind_region_keeps_what_it_had_and_is_remembered():
    watch, manifest = Watch(), pool(regions=("eu", "us"), autoscaling={"maxReplicas": 50, "buffer": 4})
    busy = [row(n, CLAIMED, claims=1) for n in range(6)]
    watch.look(manifest, busy)
    watch.now += 1
    again = [row(n, CLAIMED, claims=2) for n in range(6)]
    before = watch.look(manifest, again)
    assert before["eu"] > before["us"] == 4
    watch.now += 3600
    assert watch.look(manifest, [], blind=["eu"]) == before
    watch.now += 1
    more = watch.look(manifest, [row(n, CLAIMED, claims=9) for n in range(6)])
    assert more["eu"] > 4, "its claims are counted from where it was seen last"


def test_a_region_that_a_new_leader_finds_blind_keeps_what_the_one_before_wanted():
    manifest = pool(autoscaling={"maxReplicas": 50, "buffer": 4})
    watch = Watch()
    watch.made.follow([pool(replicas=17)])
    assert watch.look(manifest, [], blind=["eu"]) == {"eu": 17}
    watch.now += 3600
    assert watch.look(manifest, [], blind=["eu"]) == {"eu": 17}
    assert watch.look(manifest, []) == {"eu": 17}, "for the delay"


@pytest.mark.parametrize("older_first", [True, False])
def test_of_a_name_in_two_databases_the_row_that_came_last_counts(older_first):
    watch, manifest = Watch(), pool(autoscaling={"maxReplicas": 50, "buffer": 0})
    rows = [row(n, GONE, registration=5, claims=9) for n in range(20)]
    rows += [row(n, CLAIMED, registration=6, claims=1) for n in range(20)]
    watch.look(manifest, rows if older_first else rows[::-1])
    watch.now += 1
    assert watch.look(manifest, rows if older_first else rows[::-1]) == {"eu": 1}, "nobody claimed anything"
