"""A pool's second version: which browsers are of it, when it is worse, and what becomes of it."""

import hypothesis
import pytest
from hypothesis import strategies as st

from browserpool.controller.desired import canary, notices, plan, pod, seen, status, template, versions
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.outcomes import Arm, Kind, Tally
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

READY, CLAIMED, STARTING, RECYCLING = (
    BrowserState.READY,
    BrowserState.CLAIMED,
    BrowserState.STARTING,
    BrowserState.RECYCLING,
)
EAST, SHOP = RegionName("east"), PoolName("shop")
NEW = {"image": "new:2", "percent": 20}
PAUSED = seen.Canary(reason="ErrorRate", message="worse")


def pool(replicas=10, most=None, *, image="old:1", canary=NEW, **spec):
    given = {"replicas": replicas, "maxReplicas": most or replicas, "regions": [{"name": "east"}], "canary": canary}
    return BrowserPool.model_validate(
        {"metadata": {"name": "shop"}, "spec": given | {"chromium": {"image": image}, **spec}}
    )


def hashes(manifest):
    known = versions.of(manifest.spec, manifest.spec.regions[0], paused=False)
    return known.stable, known.canary


OLD_HASH, NEW_HASH = hashes(pool())


def browser(ordinal, template_hash=OLD_HASH, state=READY, **values):
    return seen.Browser(
        browser_id=BrowserId(f"shop-east-{ordinal}"),
        region=EAST,
        ordinal=ordinal,
        state=state,
        pod=seen.Pod.RUNNING,
        template_hash=template_hash,
        **values,
    )


def world(*browsers, canary=None):
    settled = seen.Settled(short_for=1000.0, surplus_for=1000.0)
    return seen.World(pool=SHOP, browsers=browsers, settled=((EAST, settled),), canary=canary or seen.Canary())


def fleet(stable, canaries, state=READY):
    return [browser(n, OLD_HASH if n < stable else NEW_HASH, state) for n in range(stable + canaries)]


def done(manifest, seen_world):
    """What is drained, and of which template is what is created."""
    actions = plan.plan(manifest, seen_world)
    hashed = {b.browser_id: b.template_hash for b in seen_world.browsers}
    named = {OLD_HASH: "old", NEW_HASH: "new"}
    return (
        sorted(named[hashed[a.browser_id]] for a in actions if isinstance(a, plan.Drain)),
        sorted(named[a.template_hash] for a in actions if isinstance(a, plan.Create)),
    )


# ---------------------------------------------------------------- the share
@pytest.mark.parametrize(
    ("percent", "total", "few", "many", "best"),
    [
        (0, 10, 0, 0, 0),
        (100, 10, 10, 10, 10),
        (100, 1, 1, 1, 1),
        (50, 0, 0, 0, 0),
        (50, 1, 0, 0, 0),
        (99, 1, 0, 0, 0),
        (1, 2, 1, 1, 1),
        (99, 2, 1, 1, 1),
        (10, 5, 1, 1, 1),
        (10, 14, 1, 2, 1),
        (10, 15, 1, 2, 2),
        (10, 20, 2, 2, 2),
        (90, 4, 3, 3, 3),
        (95, 10, 9, 9, 9),
        (33, 100, 33, 33, 33),
    ],
)
def test_a_share_of_browsers(percent, total, few, many, best):
    assert versions.bounds(percent, total) == (few, many)
    assert versions.due(percent, total) == best


@hypothesis.given(percent=st.integers(0, 100), total=st.integers(0, 1000))
def test_a_share_is_kept_within_rounding(percent, total):
    low, high = versions.bounds(percent, total)
    assert 0 <= low <= versions.due(percent, total) <= high <= total
    if 0 < percent < 100 and total >= 2:
        assert 1 <= low <= high <= total - 1
        assert low == 1 or low > total * percent / 100 - 1
        assert high in (1, total - 1) or high < total * percent / 100 + 1


@hypothesis.given(
    percent=st.integers(0, 100), stable=st.integers(0, 30), canaries=st.integers(0, 30), more=st.integers(1, 50)
)
def test_new_browsers_bring_the_share_nearer_and_never_past_it(percent, stable, canaries, more):
    known = versions.Versions(stable=OLD_HASH, canary=NEW_HASH, percent=percent)
    made = versions.created(known, fleet(stable, canaries), more)
    best = versions.due(percent, stable + canaries + more)
    assert len(made) == more
    assert set(made) <= {OLD_HASH, NEW_HASH}
    after = canaries + made.count(NEW_HASH)
    assert after == min(max(best, canaries), canaries + more)


@pytest.mark.parametrize(
    ("there", "spec", "drained", "created"),
    [
        ([], {}, [], ["new"] * 2 + ["old"] * 8),
        (fleet(10, 0), {}, ["old"] * 2, []),  # their names are free only when they are gone
        (fleet(10, 0), {"most": 12}, ["old"] * 2, ["new"] * 2),
        (fleet(8, 0), {}, [], ["new"] * 2),
        (fleet(8, 2), {}, [], []),
        (fleet(7, 3), {}, ["new"], []),
        (fleet(9, 1), {"updateStrategy": {"maxUnavailable": 1}}, ["old"], []),
        (fleet(10, 0), {"updateStrategy": {"type": "OnReplenish"}}, [], []),
        (fleet(10, 0, RECYCLING), {"updateStrategy": {"type": "OnReplenish"}}, ["old"] * 2, []),
        (fleet(10, 0), {"updateStrategy": {"type": "Recreate"}}, ["old"] * 2, []),
        (fleet(10, 0, CLAIMED), {}, [], []),
        (fleet(5, 5), {"canary": {"image": "new:2", "percent": 0}}, ["new"] * 2, []),  # a quarter at a time
        (fleet(0, 10), {"canary": {"image": "new:2", "percent": 100}}, [], []),
        (fleet(10, 2), {}, ["old"] * 2, []),  # two too many, and the share is there
        (fleet(8, 4), {}, ["new"] * 2, []),
        (fleet(0, 1), {"replicas": 1}, ["new"], []),
        (fleet(1, 0), {"replicas": 1}, [], []),
    ],
)
def test_a_region_comes_to_its_share(there, spec, drained, created):
    assert done(pool(**spec), world(*there)) == (drained, created)


def test_what_is_drained_already_is_not_drained_for_again():
    """While two of the ten leave, no others are taken for the same two canaries."""
    leaving = [browser(n, OLD_HASH, BrowserState.DRAINING) for n in (8, 9)]
    for kind in ("RollingUpdate", "Recreate"):
        drained, _ = done(pool(updateStrategy={"type": kind}), world(*fleet(8, 0), *leaving))
        assert drained == []


# ---------------------------------------------------------------- paused, promoted, given up
def test_paused_its_idle_browsers_are_replaced_by_stable_ones():
    for kind in ("RollingUpdate", "OnReplenish", "Recreate"):
        manifest = pool(most=12, updateStrategy={"type": kind})
        assert done(manifest, world(*fleet(8, 2), canary=PAUSED)) == (["new"] * 2, ["old"] * 2), kind
        assert done(manifest, world(*fleet(8, 0), canary=PAUSED)) == ([], ["old"] * 2), kind


def test_promotion_keeps_the_canarys_browsers():
    promoted = pool(image="new:2", canary=None)
    assert hashes(promoted) == (NEW_HASH, None)
    assert done(promoted, world(*fleet(8, 2))) == (["old"] * 2, [])
    # With the canary still there they are one and the same.
    both = pool(image="new:2")
    assert hashes(both) == (NEW_HASH, None)
    assert done(both, world(*fleet(0, 10))) == ([], [])


def test_given_up_its_browsers_are_out_of_date():
    assert done(pool(canary=None), world(*fleet(8, 2))) == (["new"] * 2, [])


browsers = st.lists(
    st.tuples(
        st.sampled_from([OLD_HASH, NEW_HASH, "older"]),
        st.sampled_from([READY, CLAIMED, STARTING, RECYCLING, BrowserState.DRAINING]),
        st.booleans(),
    ),
    max_size=14,
)


@hypothesis.given(
    there=browsers,
    percent=st.integers(0, 100),
    paused=st.booleans(),
    promoted=st.booleans(),
    kind=st.sampled_from(["RollingUpdate", "OnReplenish", "Recreate"]),
)
def test_no_claimed_browser_is_ever_cut(there, percent, paused, promoted, kind):
    found = [
        browser(n, of, state, drain_requested=marked and state is CLAIMED)
        for n, (of, state, marked) in enumerate(there)
    ]
    manifest = pool(
        most=14,
        updateStrategy={"type": kind},
        **({"image": "new:2", "canary": None} if promoted else {"canary": NEW | {"percent": percent}}),
    )
    actions = plan.plan(manifest, world(*found, canary=PAUSED if paused else None))
    claimed = {b.browser_id for b in found if b.state is CLAIMED}
    assert not [a for a in actions if isinstance(a, plan.Delete | plan.Forget) and a.browser_id in claimed]
    made = {a.template_hash for a in actions if isinstance(a, plan.Create)}
    assert made <= ({NEW_HASH} if promoted else {OLD_HASH} if paused else {OLD_HASH, NEW_HASH})


# ---------------------------------------------------------------- what its pods are made from
def test_a_canarys_pod_is_made_from_its_template():
    manifest = pool(canary=NEW | {"args": ["--mute-audio"], "version": "150"})
    region = manifest.spec.regions[0]
    stable, second = hashes(manifest)
    assert stable == OLD_HASH
    defaults = pod.Defaults(namespace="n", image="default", pull_policy="Always", router_url="http://r")

    def container(template_hash):
        chosen = template.chosen(manifest, region, template_hash)
        body = pod.manifest(chosen, region, ordinal=0, template_hash=template_hash, defaults=defaults)
        assert body["metadata"]["labels"]["browserpool.dev/template"] == template_hash
        (one,) = body["spec"]["containers"]
        return one["image"], {e["name"]: e.get("value") for e in one["env"]}["BROWSERPOOL_CHROMIUM_ARGS"]

    assert container(stable) == ("old:1", "[]")
    assert container(second) == ("new:2", '["--mute-audio"]')


# ---------------------------------------------------------------- worse or not
def figures(requests=100, failures=0, p95=1.0, **more):
    return seen.Figures(requests=requests, failures=failures, p95=p95, **more)


@pytest.mark.parametrize(
    ("stable", "tried", "why"),
    [
        (figures(), figures(), ""),
        (figures(), figures(failures=3), "ErrorRate"),
        (figures(), figures(failures=2), ""),  # not by more than 2 points
        (figures(failures=10), figures(failures=15), ""),  # not twice it
        (figures(failures=10), figures(failures=21), "ErrorRate"),
        (figures(failures=10), figures(failures=20), ""),
        (figures(), figures(requests=49, failures=49), ""),
        (figures(requests=49), figures(failures=100), ""),
        (figures(requests=50), figures(requests=50, failures=50), "ErrorRate"),
        (figures(p95=1.0), figures(p95=1.5), ""),
        (figures(p95=1.0), figures(p95=1.6), "Latency"),
        (figures(p95=0.1), figures(p95=0.34), ""),  # less than 250 ms more
        (figures(p95=0.1), figures(p95=0.36), "Latency"),
        (figures(p95=1.0), figures(requests=10, p95=9.0), ""),
        (figures(replicas=8), figures(0, replicas=2, failing=1), "BrowsersNotReady"),
        (figures(replicas=8), figures(0, replicas=3, failing=1), ""),
        (figures(replicas=8, failing=8), figures(0, replicas=2, failing=2), ""),
        (figures(0), figures(0), ""),
    ],
)
def test_when_a_canary_is_worse(stable, tried, why):
    reason, message = canary.judged(stable, tried)
    assert reason == why
    assert bool(message) == bool(why)


def tally(requests, failures, seconds=0.1):
    made = Tally()
    for number in range(requests):
        made.count(seconds, failed=number < failures)
    return made


def test_both_versions_side_by_side():
    def kind(of, arm=Arm.POOL, action="pdf"):
        return Kind(pool=SHOP, arm=arm, action=action, template=of)

    sums = {
        kind(OLD_HASH): tally(60, 0),
        kind(NEW_HASH): tally(40, 1),
        kind(NEW_HASH, action="cdp"): tally(10, 1),
        kind(NEW_HASH, arm=Arm.UPSTREAM): tally(500, 500),
        kind("older"): tally(500, 500),
        kind(""): tally(500, 500),
    }
    found = canary.looked(pool(), world(*fleet(8, 1), browser(9, NEW_HASH, STARTING)), sums)
    assert (found.stable.requests, found.stable.failures, found.stable.replicas) == (60, 0, 8)
    assert (found.canary.requests, found.canary.failures) == (50, 2)
    assert (found.canary.replicas, found.canary.ready, found.canary.failing) == (2, 1, 0)
    assert found.stable.p50 == pytest.approx(0.095)
    assert found.reason == "ErrorRate"
    assert found.message == "4.0% of the canary's 50 requests failed, 0.0% of the stable version's 60."


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        ({"state": STARTING, "state_age": 301.0, "last_seen_age": None}, 1),
        ({"state": STARTING, "state_age": 299.0, "last_seen_age": None}, 0),
        ({"state": STARTING, "state_age": 301.0, "last_seen_age": None, "schedulable": False}, 0),
        ({"state": READY, "last_seen_age": 301.0}, 1),
        ({"state": STARTING, "state_age": 9.0, "last_seen_age": None, "failing": "CrashLoopBackOff"}, 1),
        ({"state": STARTING, "state_age": 9.0, "last_seen_age": None, "failing": "InvalidImageName"}, 1),
        ({"state": STARTING, "state_age": 9.0, "last_seen_age": None, "failing": "ImagePullBackOff"}, 0),
        # Its registry may only have blinked, however long the pod waited for a node before.
        (
            {
                "state": STARTING,
                "state_age": 280.0,
                "last_seen_age": None,
                "failing": "ErrImagePull",
                "failing_for": 89.0,
            },
            0,
        ),
        (
            {
                "state": STARTING,
                "state_age": 91.0,
                "last_seen_age": None,
                "failing": "ErrImagePull",
                "failing_for": 91.0,
            },
            1,
        ),
        ({"state": STARTING, "state_age": 91.0, "last_seen_age": None, "failing": "", "failing_for": 0.0}, 0),
        ({"state": CLAIMED, "failing": "CrashLoopBackOff", "failing_for": 91.0}, 0),
    ],
)
def test_a_canary_whose_browsers_do_not_become_ready_is_worse(broken, failing):
    found = canary.looked(pool(), world(*fleet(8, 1), browser(9, NEW_HASH, **broken)), {})
    assert (found.canary.failing, found.stable.failing) == (failing, 0)
    assert found.reason == ("BrowsersNotReady" if failing else "")


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (("ErrImagePull", 91.0), "1 of the canary's 2 browsers do not become ready (ErrImagePull)."),
        (("CrashLoopBackOff", 0.0), "1 of the canary's 2 browsers do not become ready (CrashLoopBackOff)."),
        (("", 0.0), "1 of the canary's 2 browsers do not become ready."),
    ],
)
def test_it_is_said_what_keeps_its_browsers_from_becoming_ready(why, said):
    """In the cluster's word, if it has one; a canary that is only beginning says nothing of another's."""
    failing, since = why
    late = browser(9, NEW_HASH, STARTING, state_age=301.0, last_seen_age=None, failing=failing, failing_for=since)
    begun = browser(8, NEW_HASH, STARTING, last_seen_age=None, failing="ContainerStatusUnknown")
    assert canary.looked(pool(), world(*fleet(8, 0), begun, late), {}).message == said


def test_a_registry_that_both_versions_lack_is_not_the_canarys_fault():
    lacking = {"state": STARTING, "last_seen_age": None, "failing": "ImagePullBackOff", "failing_for": 91.0}
    found = canary.looked(pool(), world(browser(0, OLD_HASH, **lacking), browser(1, NEW_HASH, **lacking)), {})
    assert (found.canary.failing, found.stable.failing, found.reason) == (1, 1, "")


# ---------------------------------------------------------------- what is said
def test_it_is_said_that_it_is_paused_and_why():
    manifest = pool()
    before = status.summary(manifest, world(*fleet(8, 2)))
    now = status.summary(manifest, world(*fleet(8, 2), canary=PAUSED))
    [told] = [n for n in notices.of_change(before, now, complaints=notices.Complaints()) if n.reason == "CanaryPaused"]
    assert told.warning
    assert told.message == "worse Its browsers are replaced by stable ones; change spec.canary to try again."
    assert not notices.of_change(now, now, complaints=notices.Complaints())
    assert (before.updated_replicas, now.updated_replicas) == (10, 8)
