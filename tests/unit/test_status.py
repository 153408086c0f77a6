"""What a pool's state is called."""

import datetime

import pytest

from browserpool.controller import observe
from browserpool.controller.desired import seen, status, template
from browserpool.local import nodes, show
from browserpool.model.browsers import Browser
from browserpool.model.names import HOME, BrowserId, DatabaseName, Fence, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool
from browserpool.model.regions import RegionStatus
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


NOON = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
LATER = NOON + datetime.timedelta(minutes=5)
IN_TIME = RegionStatus(region=EAST, lag=0.2, stale=False, writers=2)
LATE = RegionStatus(region=EAST, lag=7.9, stale=True, writers=2)
SILENT = RegionStatus(region=EAST, lag=0.0, stale=False, writers=0)


def summary(rows, found, *, heard=(), **spec):
    world = seen.World(pool=SHOP, browsers=observe.joined(rows, found, pool=SHOP))
    return status.summary(pool(**spec), world, heard=heard)


def conditions(of):
    shown = ("Ready", "Progressing", "Degraded")
    return {condition.type: condition.status for condition in of.conditions if condition.type in shown}


def condition(of, kind):
    return next(one for one in of.conditions if one.type == kind)


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


def test_a_pool_whose_browsers_are_not_made_yet_progresses():
    assert conditions(summary([row(0)], pods(0), replicas=2)) == {
        "Ready": False,
        "Progressing": True,
        "Degraded": False,
    }
    in_use = [row(0), row(1, BrowserState.CLAIMED), row(2, BrowserState.CLAIMED)]
    assert conditions(summary(in_use, pods(0, 1, 2), replicas=2, maxReplicas=5))["Progressing"]
    assert not conditions(summary(in_use, pods(0, 1, 2), replicas=2, maxReplicas=3))["Progressing"]


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


@pytest.mark.parametrize(
    ("heard", "fresh", "reason"),
    [
        ((), None, "NothingHeard"),
        ([SILENT], None, "NothingHeard"),
        ([IN_TIME], True, "Fresh"),
        ([LATE], False, "HeartbeatsLate"),
    ],
)
def test_late_heartbeats_show(heard, fresh, reason):
    found = condition(summary([row(0)], pods(0), heard=heard), "DatabaseFresh")
    assert (found.status, found.reason) == (fresh, reason)


EAST_AND_WEST = [{"name": "east", "backup": "west"}, {"name": "west"}]


@pytest.mark.parametrize(
    ("spillover", "ready", "heard", "spilling"),
    [
        ("WhenEmptyOrStale", 1, [IN_TIME], False),
        ("WhenEmptyOrStale", 0, [IN_TIME], True),
        ("WhenEmptyOrStale", 1, [LATE], True),
        ("WhenEmpty", 1, [LATE], False),
        ("WhenStale", 0, [IN_TIME], False),
        ("Never", 0, [LATE], False),
    ],
)
def test_a_region_that_its_backup_serves_shows(spillover, ready, heard, spilling):
    found = summary(
        [row(n) for n in range(ready)], pods(*range(ready)), heard=heard, spillover=spillover, regions=EAST_AND_WEST
    )
    assert condition(found, "SpilloverActive").status is spilling
    assert [region.spilling for region in found.regions] == [spilling, False]


def test_a_region_that_another_cluster_serves_shows():
    found = summary([], {}, heard=[IN_TIME], regions=[{"name": "east", "backupRouter": {"url": "https://far"}}])
    assert condition(found, "SpilloverActive").status is True


def test_a_region_without_a_backup_never_spills():
    assert condition(summary([], {}, heard=[LATE]), "SpilloverActive").status is False


# ---------------------------------------------------------------- the object's status
def test_the_status_as_the_object_bears_it():
    rows = [row(0), row(1, BrowserState.CLAIMED), row(2, BrowserState.STARTING)]
    found = status.manifest(
        summary(rows, pods(0, 1, 2), heard=[IN_TIME], replicas=2, maxReplicas=4), previous_conditions=(), now=NOON
    )
    shown = [(one["type"], one["status"], one["reason"]) for one in found.pop("conditions")]
    assert found == {
        "observedGeneration": 7,
        "replicas": 3,
        "desiredReplicas": 2,
        "readyReplicas": 1,
        "claimedReplicas": 1,
        "updatedReplicas": 3,
        "warmReplicas": 2,
        "selector": "browserpool.dev/pool=shop",
        "regions": [
            {
                "name": "east",
                "desired": 2,
                "maxReplicas": 4,
                "replicas": 3,
                "ready": 1,
                "claimed": 1,
                "starting": 1,
                "recycling": 0,
                "draining": 0,
                "updated": 3,
                "held": 0,
                "unschedulable": 0,
                "failing": 0,
                "stale": False,
                "lagSeconds": 0,
            }
        ],
        "canary": None,
    }
    assert shown == [
        ("Ready", "False", "TooFewReady"),
        ("Progressing", "True", "Reconciling"),
        ("Degraded", "False", "AsExpected"),
        ("DatabaseFresh", "True", "Fresh"),
        ("SpilloverActive", "False", "OwnRegionServes"),
        ("Autoscaling", "False", "Off"),
        ("CanaryPaused", "False", "NoCanary"),
        ("Moving", "False", "Settled"),
    ]


@pytest.mark.parametrize(
    ("ready", "claimed", "regions", "warm"),
    [
        (3, 0, [{"name": "east"}], 3),
        (3, 2, [{"name": "east"}], 3),
        (3, 2, [{"name": "east"}, {"name": "west"}], 2),
        (3, 2, [{"name": "east"}, {"name": "west", "replicas": 7}], 3),
        (3, 2, [{"name": "east", "replicas": 9}, {"name": "west"}], 0),
        (3, 2, [{"name": "east", "replicas": 3}, {"name": "west", "replicas": 7}], 2),
    ],
)
def test_the_scale_subresource_counts_as_replicas_does(ready, claimed, regions, warm):
    """West has none; what is in use is not counted, nor is a region whose number another field has."""
    rows = [row(n) for n in range(ready)] + [row(ready + n, BrowserState.CLAIMED) for n in range(claimed)]
    found = summary(rows, pods(*range(ready + claimed)), replicas=3, maxReplicas=20, regions=regions)
    assert found.warm_replicas == warm


def test_a_condition_is_whole():
    found = status.manifest(summary([row(0)], pods(0)), previous_conditions=(), now=NOON)
    assert found["conditions"][0] == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 7,
        "lastTransitionTime": "2026-03-01T12:00:00Z",
        "reason": "AllReady",
        "message": "Every region keeps its number ready.",
    }


def test_nothing_to_write_when_nothing_changed():
    found = summary([row(0)], pods(0), heard=[IN_TIME])
    first = status.manifest(found, previous_conditions=(), now=NOON)
    assert status.manifest(found, previous_conditions=first["conditions"], now=LATER) == first


def test_only_a_change_of_status_moves_the_time():
    whole = status.manifest(summary([row(0)], pods(0)), previous_conditions=(), now=NOON)
    short = status.manifest(summary([], {}), previous_conditions=whole["conditions"], now=LATER)
    moved = {one["type"]: one["lastTransitionTime"] for one in short["conditions"]}
    assert moved["Ready"] == "2026-03-01T12:05:00Z"
    assert moved["Degraded"] == "2026-03-01T12:00:00Z"


def test_a_condition_that_somebody_else_wrote_stays():
    foreign = {
        "type": "Paused",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "r",
        "message": "",
    }
    found = status.manifest(summary([row(0)], pods(0)), previous_conditions=[foreign], now=NOON)
    assert found["conditions"][-1] == foreign


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


# ---------------------------------------------------------------- databases
OWN = DatabaseName("own/dsn")
IN_OWN = {"name": "east", "databaseSecretRef": {"name": "own"}}
READY, GONE = BrowserState.READY, BrowserState.GONE


@pytest.mark.parametrize(
    ("rows", "found", "expected"),
    [
        pytest.param([row(0, GONE), row(0, database=OWN)], pods(0, database=OWN), [(READY, True, OWN)], id="it moved"),
        pytest.param([row(0), row(0, GONE, database=OWN)], pods(0), [(READY, True, HOME)], id="it was there once"),
        pytest.param([row(0, database=OWN)], pods(0), [(None, True, HOME), (READY, False, OWN)], id="its namesake runs"),
        pytest.param(
            [row(0), row(0, database=OWN)], pods(0, database=OWN), [(READY, True, OWN), (READY, False, HOME)], id="both"
        ),
        pytest.param([row(0), row(0, database=OWN)], {}, [(READY, False, HOME), (READY, False, OWN)], id="neither runs"),
        pytest.param(
            [row(0, GONE, fence=Fence(1)), row(0, GONE, fence=Fence(2), database=OWN)], {}, [(GONE, False, OWN)],
            id="the last that is gone",
        ),
        pytest.param([row(0, GONE)], pods(0, database=OWN), [(None, True, OWN)], id="a pod without a row"),
    ],
)  # fmt: skip
def test_a_row_and_a_pod_are_one_browser_if_they_are_of_one_database(rows, found, expected):
    joined = observe.joined(rows, found, pool=SHOP)
    assert [(one.state, one.pod.exists, one.database) for one in joined] == expected


def test_of_a_blind_region_it_says_what_is_known_and_why_no_more():
    regions = [{**IN_OWN, "backup": "west"}, {"name": "west"}]
    world = observe.Observer().world(SHOP, pool(regions=regions), [], pods(0, 1, database=OWN), blind={EAST: "Away."})
    assert world.browsers == ()
    found = status.summary(pool(regions=regions), world)
    east = status.manifest(found, previous_conditions=(), now=NOON)["regions"][0]
    assert (east["database"], east["replicas"], east["ready"]) == ("Away", 2, 0)
    assert condition(found, "DatabaseFresh") == status.Condition(
        type="DatabaseFresh",
        status=False,
        reason="RegionDatabaseUnreachable",
        message="Nothing is changed in regions whose database cannot be asked. east: Away.",
    )
    assert "east cannot be seen" in condition(found, "Ready").message
    assert condition(found, "SpilloverActive").status is True
    assert found.warm_replicas == 1, "it counts as whole for whoever scales the pool"


@pytest.mark.parametrize(
    ("region", "rows", "expected"),
    [
        (IN_OWN, [row(0, database=OWN)], (False, "Settled", None)),
        (IN_OWN, [row(0, database=OWN), row(1)], (True, "BrowsersLeft", 1)),
        ({**IN_OWN, "movingFrom": {}}, [row(0, database=OWN), row(1), row(2, GONE)], (True, "BrowsersLeft", 1)),
        ({**IN_OWN, "movingFrom": {}}, [row(0, database=OWN), row(2, GONE)], (True, "NothingLeft", 0)),
    ],
)
def test_a_region_that_moves_says_how_many_are_left(region, rows, expected):
    found = {name: pod for one in rows if one.state is not GONE for name, pod in _pod_of(one).items()}
    said = summary(rows, found, regions=[region])
    (shown,) = status.manifest(said, previous_conditions=(), now=NOON)["regions"]
    moving = condition(said, "Moving")
    assert (moving.status, moving.reason, shown.get("elsewhere")) == expected
    assert (shown.get("database") == "Moving") is expected[0]


def _pod_of(one):
    return {one.browser_id: observe.Pod(region=EAST, phase=seen.Pod.RUNNING, database=one.database)}


def test_a_region_that_is_seen_again_is_seen_for_the_first_time():
    clock = iter([0.0, 100.0, 200.0, 203.0])
    observer = observe.Observer(now=clock.__next__)
    manifest = pool(replicas=2)

    def settled(**more):
        return observer.world(SHOP, manifest, [row(0)], pods(0), **more).settled_in(EAST).short_for

    assert settled() == 0
    assert settled(blind={EAST: "Away."}) == 0
    assert settled() == 0, "what it was short of before it was blind is long ago"
    assert settled() == 3
