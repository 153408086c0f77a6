"""What a pool's state is called."""

import pytest

from browserpool.controller import observe
from browserpool.controller.desired import seen, status, template
from browserpool.local import nodes, show
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, Fence, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

SHOP = PoolName("shop")
EAST = RegionName("east")


def pool(**spec):
    return BrowserPool.model_validate(
        {"metadata": {"name": "shop", "generation": 7}, "spec": {"regions": [{"name": "east"}], **spec}}
    )


def row(ordinal, state=BrowserState.READY, **values):
    manifest = pool()
    return Browser(
        **{
            "browser_id": BrowserId(f"shop-east-{ordinal}"),
            "pool": SHOP,
            "region": EAST,
            "zone": ZoneName("east-a"),
            "node": NodeName("east-node-0"),
            "template_hash": template.hashed(manifest.spec, manifest.spec.regions[0]),
            "state": state,
            "fence": Fence(1),
            "incarnation": None,
            "address": None,
            "chromium": None,
            "healthy": state in (BrowserState.READY, BrowserState.CLAIMED),
            "drain_requested": False,
            "load": 0.0,
            "uses": 0,
            "restarts": 0,
            "memory_bytes": 0,
            "session_id": None,
            "last_seen_age": 1.0,
            "state_age": 2.0,
            "age": 3.0,
            **values,
        }
    )


def pods(*ordinals, phase=seen.Pod.RUNNING, **values):
    return {BrowserId(f"shop-east-{n}"): observe.Pod(region=EAST, phase=phase, **values) for n in ordinals}


def summary(rows, found, **spec):
    world = seen.World(pool=SHOP, browsers=observe.joined(rows, found, pool=SHOP))
    return status.summary(pool(**spec), world)


def conditions(of):
    return {condition.type: condition.status for condition in of.conditions}


def test_rows_and_pods_are_joined_by_name():
    found = observe.joined(
        [row(0), row(1, BrowserState.GONE), row(2, BrowserState.STARTING, healthy=False)],
        pods(0, 2, 3) | pods(4, phase=seen.Pod.ABSENT, deaths=2, death_age=5.0),
        pool=SHOP,
    )
    assert [(b.ordinal, b.state, b.pod, b.deaths) for b in found] == [
        (0, BrowserState.READY, seen.Pod.RUNNING, 0),
        (1, BrowserState.GONE, seen.Pod.ABSENT, 0),
        (2, BrowserState.STARTING, seen.Pod.RUNNING, 0),
        (3, None, seen.Pod.RUNNING, 0),
        (4, None, seen.Pod.ABSENT, 2),
    ]


@pytest.mark.parametrize(
    ("name", "ordinal"),
    [("shop-east-12", 12), ("shop-east-1", 1), ("shop-east", None), ("press-east-1", None), ("shop-east--x", None)],
)
def test_the_ordinal_is_read_from_names_of_our_own_making(name, ordinal):
    assert observe.ordinal(BrowserId(name), pool=SHOP) == ordinal


def test_a_whole_pool():
    found = summary([row(0), row(1)], pods(0, 1), replicas=2)
    assert found.whole
    assert (found.replicas, found.ready_replicas, found.claimed_replicas, found.updated_replicas) == (2, 2, 0, 2)
    assert (found.observed_generation, found.selector) == (7, "browserpool.dev/pool=shop")
    assert conditions(found) == {"Ready": True, "Progressing": False, "Degraded": False}


def test_a_pool_that_warms():
    found = summary([row(0), row(1, BrowserState.STARTING)], pods(0, 1), replicas=2)
    assert not found.whole
    assert conditions(found) == {"Ready": False, "Progressing": True, "Degraded": False}
    assert found.conditions[0].message == "east has 1 of 2"


def test_a_pool_that_is_all_in_use_is_whole():
    rows = [row(0, BrowserState.CLAIMED), row(1, BrowserState.CLAIMED)]
    assert summary(rows, pods(0, 1), replicas=2).whole
    assert not summary(rows, pods(0, 1), replicas=2, maxReplicas=4).whole


def test_ready_but_unwell_is_not_ready():
    assert summary([row(0, healthy=False)], pods(0)).ready_replicas == 0


def test_a_crash_loop_shows():
    found = summary([row(0)], pods(0) | pods(1, phase=seen.Pod.ABSENT, deaths=3, death_age=0.5), replicas=2)
    assert conditions(found)["Degraded"]
    assert found.regions[0].held == 1


def test_nodes_and_zones_are_dealt_out_in_turn():
    placed = [nodes.place(region=EAST, ordinal=n, nodes=3) for n in range(4)]
    assert [(p.node, p.zone) for p in placed] == [
        ("east-node-0", "east-a"),
        ("east-node-1", "east-b"),
        ("east-node-2", "east-a"),
        ("east-node-0", "east-a"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0s"), (59.94, "59.9s"), (61, "1m01s"), (3599, "59m59s"), (7384, "2h03m")],
)
def test_ages_are_short(seconds, text):
    assert show.duration(seconds) == text
