"""``refill.maxRate``: how many browsers may be made now, where so many were lately."""

import pytest

from browserpool.controller import observe
from browserpool.controller.desired import pace, plan, seen
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, Fence, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

SHOP, EU = PoolName("shop"), RegionName("eu")


@pytest.mark.parametrize(
    ("rate", "lately", "room"),
    [
        (None, 10_000, None),
        (2, 0, 10),
        (2, 7, 3),
        (2, 10, 0),
        (2, 11, 0),
        (0.2, 0, 1),
        (0.2, 1, 0),
        (0.01, 0, 1),
        (0.3, 0, 1),
        (0.7, 0, 3),
        (10_000, 0, 50_000),
    ],
)
def test_so_many_more_may_be_made(rate, lately, room):
    assert pace.room(rate, lately=lately) == room


@pytest.mark.parametrize(("rate", "counts"), [(2, 5), (100, 5), (0.2, 5), (0.1, 10), (0.01, 100)])
def test_for_so_long_a_browser_counts(rate, counts):
    assert pace.window(rate) == pytest.approx(counts)
    assert pace.kept([0.0], rate=rate, now=counts - 0.1) == (0.0,)
    assert pace.kept([0.0], rate=rate, now=counts + 0.1) == ()


def manifest(replicas=100, **refill):
    refill = {"maxBatch": 1000} | refill
    return BrowserPool.model_validate(
        {"metadata": {"name": SHOP}, "spec": {"replicas": replicas, "regions": [{"name": EU}], "refill": refill}}
    )


def row(number):
    return Browser(
        browser_id=BrowserId(f"shop-eu-{number}"), pool=SHOP, region=EU, zone=ZoneName(""), node=NodeName(""),
        state=BrowserState.STARTING, template_hash="", fence=Fence(1), incarnation=None, address=None, chromium=None,
        healthy=False, drain_requested=False, load=0, uses=0, restarts=0, memory_bytes=0, session_id=None,
        last_seen_age=None, state_age=0, age=0,
    )  # fmt: skip


class Making:
    """A pool whose plan is carried out at once, seen by an observer whose clock the test moves."""

    def __init__(self, pool, *, there=0):
        self.pool, self.now = pool, 100.0
        self.names = {row(number).browser_id: row(number) for number in range(there)}
        self.observer = observe.Observer(now=lambda: self.now)

    def round(self):
        """How many it makes."""
        pods = {name: observe.Pod(region=EU, phase=seen.Pod.RUNNING) for name in self.names}
        actions = plan.plan(self.pool, self.observer.world(SHOP, self.pool, self.names.values(), pods))
        made = [action for action in actions if isinstance(action, plan.Create)]
        self.names |= {action.browser_id: row(action.ordinal) for action in made}
        return len(made)


def test_a_region_is_filled_no_faster_than_its_rate():
    making, made = Making(manifest(maxRate=4)), []
    for _ in range(20):
        made.append(making.round())
        making.now += 1
    assert sum(made[:5]) <= 20
    assert all(sum(made[start : start + 5]) <= 20 for start in range(16))
    assert sum(made) >= 60, "nor much slower"


def test_less_than_one_a_second():
    making, made = Making(manifest(maxRate=0.1)), []
    for _ in range(40):
        made.append(making.round())
        making.now += 1
    assert sum(made) == 4


def test_without_a_rate_the_batch_is_the_bound():
    assert [Making(manifest(maxBatch=30)).round(), Making(manifest()).round()] == [30, 100]


def test_a_batch_bounds_a_round_and_a_rate_what_rounds_make_together():
    making = Making(manifest(maxBatch=3, maxRate=1))
    assert [making.round() for _ in range(4)] == [3, 2, 0, 0]


def test_what_was_there_at_the_first_look_is_not_counted():
    making = Making(manifest(maxRate=1), there=50)
    assert making.round() == 5


@pytest.mark.parametrize("rate", [0, -1, 0.001, 10_001, "fast"])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="maxRate"):
        manifest(maxRate=rate)
