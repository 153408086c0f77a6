"""The pool's policy, by examples: what exists and what is wanted, and what is done about it."""

import dataclasses

import pytest

from browserpool.controller.desired import blind, plan, rollout, seen, template
from browserpool.model.names import HOME, BrowserId, DatabaseName, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool, UpdateStrategy
from browserpool.model.states import BrowserState

STARTING, READY, CLAIMED = BrowserState.STARTING, BrowserState.READY, BrowserState.CLAIMED
RECYCLING, DRAINING, GONE = BrowserState.RECYCLING, BrowserState.DRAINING, BrowserState.GONE
RUNNING, ABSENT, DEAD, STOPPING = seen.Pod.RUNNING, seen.Pod.ABSENT, seen.Pod.DEAD, seen.Pod.STOPPING
LONG = 1000.0
LOST = {"node": seen.Node.LOST, "last_seen_age": LONG}


def pool(replicas, most=None, **spec):
    return BrowserPool.model_validate(
        {
            "metadata": {"name": "shop"},
            "spec": {"replicas": replicas, "maxReplicas": most or replicas, "regions": [{"name": "east"}], **spec},
        }
    )


def current(manifest):
    return template.hashed(manifest.spec, manifest.spec.regions[0])


def browser(ordinal, state=READY, pod=RUNNING, *, template_hash=None, region="east", **values):
    return seen.Browser(
        browser_id=BrowserId(f"shop-{region}-{ordinal}"),
        region=RegionName(region),
        ordinal=ordinal,
        state=state,
        pod=pod,
        template_hash=current(pool(1)) if template_hash is None else template_hash,
        **values,
    )


def world(*browsers, short_for=LONG, surplus_for=LONG, made_lately=0):
    settled = seen.Settled(short_for=short_for, surplus_for=surplus_for, made_lately=made_lately)
    return seen.World(pool=PoolName("shop"), browsers=browsers, settled=((RegionName("east"), settled),))


def done(manifest, seen_world):
    """The plan in short: ("create", 0), ("drain", 3), …"""
    return [
        (type(action).__name__.lower(), int(action.browser_id.rsplit("-", 1)[1]))
        for action in plan.plan(manifest, seen_world)
    ]


def test_an_empty_region_gets_its_replicas_from_ordinal_0():
    assert done(pool(3), world()) == [("create", 0), ("create", 1), ("create", 2)]


def test_a_create_names_the_pod_and_carries_the_template():
    (create,) = plan.plan(pool(1), world())
    assert create == plan.Create(
        browser_id=BrowserId("shop-east-0"), region=RegionName("east"), ordinal=0, template_hash=current(pool(1))
    )


@pytest.mark.parametrize(
    ("browsers", "expected"),
    [
        pytest.param([browser(0), browser(1)], [], id="as many as wanted"),
        pytest.param([browser(0, STARTING), browser(1, RECYCLING)], [], id="starting and recycling are on the way"),
        pytest.param([browser(1)], [("create", 0)], id="the smallest free ordinal"),
        pytest.param([browser(0), browser(1, GONE, ABSENT)], [("create", 1)], id="a gone row frees its name"),
        pytest.param([browser(0), browser(1, READY, ABSENT)], [("forget", 1), ("create", 2)], id="row without pod"),
        pytest.param([browser(0), browser(1, CLAIMED, DEAD)], [("forget", 1), ("create", 2)], id="claimed and dead"),
        pytest.param([browser(0), browser(1, GONE, DEAD)], [("delete", 1), ("create", 2)], id="a dead pod's object"),
        pytest.param([browser(0), browser(1, None)], [("adopt", 1), ("create", 2)], id="pod without row"),
        pytest.param([browser(0), browser(1, GONE)], [("delete", 1), ("create", 2)], id="a pod nobody can claim"),
        pytest.param([browser(0), browser(1, DRAINING)], [("delete", 1), ("create", 2)], id="drained"),
        pytest.param([browser(0), browser(1, DRAINING, STOPPING)], [("create", 2)], id="its deletion runs"),
        pytest.param([browser(0), browser(1, DRAINING, ABSENT)], [("forget", 1), ("create", 2)], id="drained, deleted"),
        pytest.param([browser(0), browser(1, READY, STOPPING)], [("drain", 1), ("create", 2)], id="deleted by others"),
        pytest.param(
            [browser(0), browser(1, CLAIMED, STOPPING, drain_requested=True)], [("create", 2)], id="already marked"
        ),
    ],
)
def test_row_and_pod(browsers, expected):
    assert done(pool(2, 9), world(*browsers)) == expected


@pytest.mark.parametrize("state", [STARTING, READY, CLAIMED])
def test_where_a_pod_has_come_to_stand_is_written_into_its_row(state):
    place = seen.Place(zone=ZoneName("a"), node=NodeName("n1"))
    (located,) = plan.plan(pool(1), world(browser(0, state, moved=place), short_for=0))
    assert located == plan.Locate(browser_id=BrowserId("shop-east-0"), place=place)


@pytest.mark.parametrize(("state", "phase"), [(DRAINING, STOPPING), (READY, ABSENT), (None, RUNNING)])
def test_nothing_is_located_that_serves_nobody_any_more(state, phase):
    place = seen.Place(zone=ZoneName("a"), node=NodeName("n1"))
    assert "locate" not in dict(done(pool(1), world(browser(0, state, phase, moved=place))))


@pytest.mark.parametrize("pod", [RUNNING, STOPPING])
def test_what_is_heard_is_not_forced_out_of_the_records_of_a_cluster_that_lost_its_node(pod):
    heard = browser(0, DRAINING, pod, node=seen.Node.LOST, last_seen_age=plan.HEARD - 1)
    assert done(pool(0), world(heard)) == []
    silent = browser(0, DRAINING, pod, node=seen.Node.LOST, last_seen_age=None)
    assert done(pool(0), world(silent)) == [("delete", 0)]


def test_what_terminates_on_a_lost_node_is_deleted_once_more():
    stuck = browser(0, DRAINING, STOPPING, node=seen.Node.LOST, last_seen_age=plan.HEARD)
    assert done(pool(1), world(stuck)) == [("delete", 0)]
    assert done(pool(1), world(dataclasses.replace(stuck, forced=True))) == [], "a moment after that"
    assert done(pool(1), world(browser(0, CLAIMED, STOPPING, node=seen.Node.LOST, drain_requested=True))) == []


def test_claimed_browsers_come_on_top_up_to_the_most():
    claimed = [browser(0, CLAIMED), browser(1, CLAIMED)]
    assert done(pool(2, 9), world(*claimed)) == [("create", 2), ("create", 3)]
    assert done(pool(2, 3), world(*claimed)) == [("create", 2)]
    assert done(pool(2, 2), world(*claimed)) == []


def test_a_claim_of_a_moment_makes_no_browser():
    claimed = [browser(0, CLAIMED), browser(1)]
    assert done(pool(2, 9), world(*claimed, short_for=plan.SHORT_SETTLES - 0.1)) == []
    assert done(pool(2, 9), world(*claimed, short_for=plan.SHORT_SETTLES)) == [("create", 2)]


def test_a_batch_bounds_what_is_made_at_once():
    assert len(plan.plan(pool(50, refill={"maxBatch": 7}), world())) == 7


def test_scale_down_drains_the_highest_idle_ones_and_never_a_claimed_one():
    browsers = [browser(0), browser(1), browser(2, CLAIMED), browser(3, RECYCLING), browser(4, CLAIMED)]
    assert done(pool(1, 9), world(*browsers)) == [("drain", 3), ("drain", 1)]


def test_a_surplus_of_a_moment_is_kept():
    browsers = [browser(0), browser(1), browser(2)]
    assert done(pool(2, 9), world(*browsers, surplus_for=plan.SURPLUS_SETTLES - 0.1)) == []


def test_above_the_most_drains_at_once():
    browsers = [browser(0, CLAIMED), browser(1, CLAIMED), browser(2), browser(3)]
    assert done(pool(2, 3), world(*browsers, surplus_for=0)) == [("drain", 3)]


@pytest.mark.parametrize(
    ("failed", "why"),
    [
        (browser(1, STARTING, state_age=301), "never came up"),
        (browser(1, RECYCLING, state_age=301), "never came back"),
        (browser(1, READY, last_seen_age=301), "fell silent"),
    ],
)
def test_what_is_not_ready_in_time_is_replaced(failed, why):
    assert done(pool(2, 9), world(browser(0), failed)) == [("drain", 1), ("create", 2)], why


def test_when_nobody_is_heard_the_way_is_broken_not_the_browsers():
    assert done(pool(2), world(browser(0, last_seen_age=LONG), browser(1, last_seen_age=LONG))) == []


def test_a_new_browser_that_was_never_heard_does_not_make_the_others_broken():
    silent = [browser(n, last_seen_age=LONG) for n in range(4)]
    assert done(pool(5), world(*silent, browser(4, STARTING, last_seen_age=None))) == []


@pytest.mark.parametrize(
    ("heard", "others", "expected"),
    [
        pytest.param(1, [], [("drain", 1), ("drain", 2)], id="after an outage one is heard first: a quarter of 8"),
        pytest.param(6, [], [("drain", 6), ("drain", 7)], id="those that really fell silent"),
        pytest.param(1, [browser(8, DRAINING, STOPPING), browser(9, STARTING)], [], id="some are being replaced"),
        pytest.param(1, [browser(8, DRAINING, STOPPING)], [("drain", 1)], id="one is"),
        pytest.param(
            1,
            [browser(8, DRAINING, STOPPING, state_age=LONG), browser(9, DRAINING, STOPPING, state_age=LONG)],
            [("drain", 1), ("drain", 2)],
            id="what never ends holds up nobody",
        ),
        pytest.param(
            1,
            [browser(8, STARTING, last_seen_age=None, state_age=LONG, schedulable=False)],
            [("drain", 1), ("drain", 2)],
            id="nor what finds no node",
        ),
    ],
)
def test_the_silent_are_replaced_a_few_at_a_time(heard, others, expected):
    browsers = [browser(n, last_seen_age=0.0 if n < heard else 301) for n in range(8)]
    drained = [one for one in done(pool(8, 20), world(*browsers, *others, surplus_for=0)) if one[0] == "drain"]
    assert drained == expected


def test_what_never_came_up_is_replaced_before_what_fell_silent():
    late = browser(3, STARTING, state_age=301, last_seen_age=None)
    browsers = [browser(0), browser(1, last_seen_age=301), browser(2), late]
    assert done(pool(4), world(*browsers)) == [("drain", 3)]


def test_all_that_never_came_up_are_replaced_a_few_at_a_time():
    browsers = [browser(n, STARTING, state_age=301, last_seen_age=None) for n in range(4)]
    assert done(pool(4), world(*browsers)) == [("drain", 0)]


def test_a_silent_claimed_browser_is_left_to_its_session():
    assert done(pool(1), world(browser(0, CLAIMED, last_seen_age=LONG, state_age=LONG))) == []


@pytest.mark.parametrize(("deaths", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (500, 60)])
def test_backoff_doubles_up_to_a_minute(deaths, seconds):
    assert plan.backoff(deaths) == seconds


def test_a_name_in_backoff_is_neither_used_nor_passed_over():
    held = browser(1, GONE, ABSENT, deaths=3, death_age=3.9)
    assert done(pool(2), world(browser(0), held)) == []
    over = browser(1, GONE, ABSENT, deaths=3, death_age=4.0)
    assert done(pool(2), world(browser(0), over)) == [("create", 1)]


OLD = "0ldhash"


@pytest.mark.parametrize(
    ("replicas", "browsers", "expected"),
    [
        pytest.param(4, [browser(n, template_hash=OLD) for n in range(4)], [("drain", 0)], id="one of four"),
        pytest.param(
            8, [browser(n, template_hash=OLD) for n in range(8)], [("drain", 0), ("drain", 1)], id="a quarter"
        ),
        pytest.param(
            4,
            [browser(0, STARTING), *(browser(n, template_hash=OLD) for n in (1, 2, 3))],
            [],
            id="not before the last one is back",
        ),
        pytest.param(
            4,
            [browser(0), browser(1, STARTING, template_hash=OLD), browser(2), browser(3)],
            [("drain", 1)],
            id="one that never served goes at once",
        ),
        pytest.param(
            2,
            [browser(0, CLAIMED, template_hash=OLD), browser(1, template_hash=OLD)],
            [("drain", 1)],
            id="idle before claimed",
        ),
        pytest.param(
            2, [browser(0, CLAIMED, template_hash=OLD), browser(1)], [("drain", 0)], id="then a claimed one is marked"
        ),
        pytest.param(
            3,
            [
                browser(0, CLAIMED, template_hash=OLD, drain_requested=True),
                browser(1, CLAIMED, template_hash=OLD),
                browser(2),
            ],
            [],
            id="one marked at a time",
        ),
        pytest.param(
            3,
            [
                browser(0, CLAIMED, template_hash=OLD, drain_requested=True),
                browser(1, template_hash=OLD),
                browser(2),
            ],
            [("drain", 1)],
            id="a long session holds no idle one back",
        ),
    ],
)
def test_a_new_template_rolls(replicas, browsers, expected):
    assert done(pool(replicas), world(*browsers, short_for=0, surplus_for=0)) == expected


@pytest.mark.parametrize(
    ("wanted", "room", "strategy", "away"),
    [
        (0, 0, {}, 1),
        (4, 0, {}, 1),
        (7, 9, {}, 1),
        (8, 0, {}, 2),
        (100, 0, {"maxUnavailable": 3}, 3),
        (100, 0, {"maxUnavailable": "50%"}, 50),
        (4, 1, {"maxUnavailable": 0, "maxSurge": 1}, 0),
        (4, 0, {"maxUnavailable": 0, "maxSurge": 1}, 1),
        (3, 0, {"maxUnavailable": "10%"}, 1),
    ],
)
def test_how_many_a_rollout_may_take_away(wanted, room, strategy, away):
    assert rollout.allowed_away(UpdateStrategy.model_validate(strategy), wanted=wanted, room=room) == away


@pytest.mark.parametrize(
    ("browsers", "expected"),
    [
        pytest.param([browser(0, **LOST), browser(1)], [("drain", 0), ("create", 2)], id="lost node"),
        pytest.param([browser(0, node=seen.Node.LOST), browser(1)], [], id="lost node, yet heard"),
        pytest.param([browser(0, CLAIMED, **LOST), browser(1)], [("drain", 0), ("create", 2)], id="in use"),
        pytest.param([browser(n, node=seen.Node.LEAVING) for n in (0, 1)], [("drain", 0), ("create", 2)], id="leaving"),
        pytest.param(
            [browser(0, STARTING, state_age=LONG, last_seen_age=None, schedulable=False), browser(1)],
            [],
            id="another would only wait beside it",
        ),
        pytest.param(
            [browser(0, STARTING, state_age=LONG, node=seen.Node.LOST), browser(1)],
            [("drain", 0), ("create", 2)],
            id="lost to the cluster only, and late",
        ),
    ],
)
def test_nodes(browsers, expected):
    assert done(pool(2, 9), world(*browsers)) == expected


def outdated(*states):
    return [browser(n, state, template_hash=OLD) for n, state in enumerate(states)]


@pytest.mark.parametrize(
    ("strategy", "browsers", "expected"),
    [
        pytest.param(
            {"maxUnavailable": 0, "maxSurge": 1},
            outdated(READY, READY),
            [("create", 2)],
            id="surge makes one more first",
        ),
        pytest.param(
            {"maxUnavailable": 0, "maxSurge": 1}, [*outdated(READY, READY), browser(2, STARTING)], [], id="waits for it"
        ),
        pytest.param(
            {"maxUnavailable": 0, "maxSurge": 1},
            [*outdated(READY, READY), browser(2)],
            [("drain", 0), ("create", 3)],
            id="then an old one goes",
        ),
        pytest.param(
            {"type": "Recreate"},
            outdated(READY, RECYCLING, CLAIMED),
            [("drain", 0), ("drain", 1), ("drain", 2), ("create", 3), ("create", 4)],
            id="Recreate takes all, the claimed when they are done",
        ),
        pytest.param(
            {"type": "OnReplenish"},
            outdated(READY, READY, CLAIMED),
            [("drain", 2)],
            id="OnReplenish waits for each one's next session",
        ),
        pytest.param(
            {"type": "OnReplenish"},
            outdated(READY, RECYCLING),
            [("drain", 1), ("create", 2)],
            id="OnReplenish takes one whose session has just ended",
        ),
    ],
)
def test_update_strategies(strategy, browsers, expected):
    assert done(pool(2, 9, updateStrategy=strategy), world(*browsers, surplus_for=0)) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"chromium": {"args": ["--lang=de"]}},
        {"sessions": {"recycleAfter": 3}},
        {"sessions": {"recycle": "Delete"}},
        {"egress": {"allow": ["10.0.0.0/8"]}},
        {"template": {"spec": {"priorityClassName": "high"}}},
    ],
)
def test_what_a_browser_is_started_with_changes_the_hash(changed):
    assert current(pool(1, **changed)) != current(pool(1))


@pytest.mark.parametrize("changed", [{"sessions": {"keepAlive": "5s"}}, {"refill": {"maxBatch": 1}}])
def test_what_it_is_not_started_with_does_not(changed):
    assert current(pool(7, 9, **changed)) == current(pool(1))


@pytest.mark.parametrize("manifest", [None, pool(1, regions=[{"name": "west"}])])
def test_a_region_that_is_wanted_no_more_is_emptied(manifest):
    browsers = [browser(0), browser(1, CLAIMED), browser(2, DRAINING), browser(3, None), browser(4, STARTING)]
    actions = [action for action in plan.plan(manifest, world(*browsers)) if "east" in action.browser_id]
    assert [(type(a).__name__, a.browser_id[-1]) for a in actions] == [
        ("Drain", "0"),
        ("Drain", "1"),
        ("Delete", "2"),
        ("Delete", "3"),
        ("Drain", "4"),
    ]


def test_each_region_is_kept_by_its_own_numbers():
    manifest = pool(1, 5, regions=[{"name": "east"}, {"name": "west", "replicas": 2}])
    assert [action.browser_id for action in plan.plan(manifest, world())] == [
        "shop-east-0",
        "shop-west-0",
        "shop-west-1",
    ]


# ---------------------------------------------------------------- databases
OWN, OLD = DatabaseName("own/dsn"), DatabaseName("old/dsn")
IN_OWN = {"name": "east", "databaseSecretRef": {"name": "own"}}
FROM_HOME, FROM_OLD = {**IN_OWN, "movingFrom": {}}, {**IN_OWN, "movingFrom": {"databaseSecretRef": {"name": "old"}}}


@pytest.mark.parametrize(("region", "database"), [({"name": "east"}, HOME), (IN_OWN, OWN), (FROM_OLD, OWN)])
def test_a_browser_is_made_in_its_regions_database(region, database):
    manifest = pool(1, regions=[region])
    (create,) = plan.plan(manifest, world(browser(0, GONE, ABSENT, database=OLD)))
    assert create == plan.Create(
        browser_id=BrowserId("shop-east-0"), region=RegionName("east"), ordinal=0, template_hash=current(manifest),
        database=database,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (browser(0, READY, ABSENT, database=OLD), plan.Forget),
        (browser(0, DRAINING, ABSENT, database=OLD), plan.Forget),
        (browser(0, DRAINING, database=OLD), plan.Delete),
        (browser(0, GONE, DEAD, database=OLD), plan.Delete),
        (browser(0, READY, STOPPING, database=OLD), plan.Drain),
        (browser(0, None, database=OLD), plan.Adopt),
        (browser(0, moved=seen.Place(zone=ZoneName("a"), node=NodeName("n1")), database=OLD), plan.Locate),
    ],
)
def test_what_follows_from_a_row_is_done_where_the_row_is(found, kind):
    manifest = pool(0, 9, regions=[FROM_OLD], updateStrategy={"type": "OnReplenish"})
    (action,) = plan.plan(manifest, world(found, surplus_for=0))
    assert (type(action), action.database) == (kind, OLD)


def test_a_region_that_moves_is_replaced_as_by_an_update():
    manifest = pool(4, 9, regions=[FROM_HOME])
    there = [browser(0, CLAIMED), *(browser(n) for n in range(1, 5))]
    planned = plan.plan(manifest, world(*there, short_for=0))
    assert [(type(a).__name__, a.database) for a in planned] == [("Drain", HOME)]
    moved = [dataclasses.replace(b, database=OWN, template_hash=current(manifest)) for b in there]
    assert plan.plan(manifest, world(*moved, short_for=0)) == ()


@pytest.mark.parametrize(
    ("strategy", "drained"),
    [({"type": "OnReplenish"}, [2, 0]), ({"type": "Recreate"}, [1, 2, 3, 0]), ({"maxUnavailable": 1}, [1])],
)
def test_each_strategy_moves_in_its_own_way(strategy, drained):
    """The claimed one is marked at most, and serves its session to the end."""
    manifest = pool(3, 9, regions=[FROM_HOME], updateStrategy={"type": "RollingUpdate", **strategy})
    there = [browser(0, CLAIMED), browser(1), browser(2, RECYCLING), browser(3)]
    planned = plan.plan(manifest, world(*there, short_for=0))
    assert [a.browser_id for a in planned if isinstance(a, plan.Drain)] == [f"shop-east-{n}" for n in drained]
    assert not any(isinstance(a, plan.Delete | plan.Forget) for a in planned)
    assert {a.database for a in planned if isinstance(a, plan.Create)} <= {OWN}


def dark(*browsers, region="east"):
    return (seen.Blind(region=RegionName(region), why="It is away.", browsers=browsers),)


def test_in_a_blind_region_nothing_is_done_and_in_others_all_is():
    manifest = pool(1, regions=[IN_OWN, {"name": "west"}])
    unseen = seen.World(pool=PoolName("shop"), blind=dark(browser(0, None), browser(1, GONE), browser(2, DRAINING)))
    assert done(manifest, unseen) == [("create", 0)]
    assert done(None, unseen) == [], "nor if the pool is deleted meanwhile"
    assert done(pool(1, regions=[{"name": "west"}]), unseen) == [("create", 0)], "nor if the region is taken out"


@pytest.mark.parametrize(
    ("regions", "pods", "expected"),
    [
        ([{"name": "east"}], [], {}),
        ([IN_OWN, {"name": "west"}], [], {"east"}),
        ([FROM_HOME], [], {"east"}),
        ([{"name": "east", "movingFrom": {"databaseSecretRef": {"name": "own"}}}], [], {"east"}),
        ([{"name": "east"}, {"name": "west"}], [("west", OWN)], {"west"}),
        (None, [("east", HOME), ("west", OWN)], {"west"}),
        ([{"name": "east"}], [("east", HOME), ("east", OLD)], {}),
    ],
)
def test_a_region_is_blind_if_a_database_that_it_names_or_that_its_pods_are_in_has_not_answered(
    regions, pods, expected
):
    answers = blind.Answers(answered=frozenset({HOME, OLD}), away={OWN: "It is away."})
    manifest = None if regions is None else pool(1, regions=regions)
    found = blind.regions(manifest, [(RegionName(region), database) for region, database in pods], answers)
    assert found == dict.fromkeys(expected, "It is away.")


def test_one_that_was_never_asked_has_not_answered():
    assert blind.Answers().trouble(OWN) == "The database of Secret own (key dsn) has not answered yet."
