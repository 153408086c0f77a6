"""BrowserSession objects: from what they ask for and what the store says to what is done, without either."""

import dataclasses
import datetime
import uuid

import pytest

from browserpool.controller.desired import session, session_status
from browserpool.model import claims, names, nodes, sessions, tokens
from browserpool.model.pool import PoolSpec

NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
URL = "http://router.browsers:8080"
UID = "0b5f2c6e-8d6c-4d0e-9f0a-0d6f0a1b2c3d"
EU, US = {"name": "eu", "backup": "us"}, {"name": "us"}


def after(seconds):
    return NOW + datetime.timedelta(seconds=seconds)


def spec_of(**pool):
    return PoolSpec.model_validate({"regions": [EU, US]} | pool)


def asked(name="s", *, uid=UID, created="2026-03-01T11:00:00Z", status=None, deleting=False, **spec):
    metadata = {"name": name, "uid": uid, "creationTimestamp": created, "generation": 1}
    if deleting:
        metadata["deletionTimestamp"] = "2026-03-01T11:59:00Z"
    return session.read({"metadata": metadata, "spec": {"poolRef": {"name": "default"}} | spec, "status": status or {}})


def live_of(one, **more):
    return sessions.Session(
        **{
            "session_id": one.session_id,
            "browser_id": "default-eu-0",
            "address": "10.0.0.1:8082",
            "fence": 7,
            "pool": "default",
            "region": "eu",
            "zone": "a",
            "node": "n1",
            "kind": claims.SessionKind.CDP,
            "token": None,
            "holder": "whoever",
            "started_at": NOW,
            "expires_at": after(60),
            "ends_at": None,
            "keep_alive": 60.0,
            "now": NOW,
        }
        | more
    )


def past_of(one, *, reason=claims.CloseReason.BROWSER_IDLE, ended_at=None):
    live = live_of(one)
    same = {
        "session_id",
        "browser_id",
        "fence",
        "pool",
        "region",
        "zone",
        "node",
        "kind",
        "token",
        "holder",
        "started_at",
    }
    return sessions.Past(**{name: getattr(live, name) for name in same}, ended_at=ended_at or after(90), reason=reason)


def world(*, live=(), past=(), pools=None, now=NOW, tokens_=()):
    return session.World(
        now=now,
        live={one.session_id: one for one in live},
        past={one.session_id: one for one in past},
        pools={"default": spec_of()} if pools is None else pools,
        nodes={
            "n1": nodes.Node(name="n1", region="eu", zone="a"),
            "n2": nodes.Node(name="n2", region="us", zone="b"),
            "n3": nodes.Node(name="n3", region="", zone=""),
        },
        tokens={one.name: one for one in tokens_},
    )


def planned(objects, seen, known=()):
    return session.plan(objects, seen, known=frozenset(known), url=URL)


def shown(one, seen):
    """The status that the plan gives the object; nothing else is planned."""
    (action,) = planned([one], seen)
    assert isinstance(action, session.Show)
    return dict(action.status)


def with_status(one, status):
    return dataclasses.replace(one, status=status)


def conditions(status):
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


# ---------------------------------------------------------------- identity
def test_the_session_id_is_the_objects_own_and_one_that_the_store_takes():
    uid = str(uuid.uuid4())
    assert asked(uid=uid).session_id == asked("other", uid=uid).session_id == f"bs-{uid}"
    assert names.is_session_id(asked(uid=uid).session_id)


# ---------------------------------------------------------------- what is claimed
def request(one, seen):
    (action,) = planned([one], seen)
    assert isinstance(action, session.Claim)
    return action.request


def test_a_bare_object_asks_for_the_pools_first_region_on_the_pools_terms():
    assert request(asked(), world()) == claims.ClaimRequest(
        session_id=f"bs-{UID}",
        pool="default",
        region="eu",
        kind=claims.SessionKind.CDP,
        keep_alive=60.0,
        holder="browsersessions",
        backup="us",
        spill_when_empty=True,
        spill_when_stale=True,
    )


@pytest.mark.parametrize(
    ("spec", "pool", "wanted"),
    [
        ({"region": "us"}, {}, {"region": "us", "backup": None, "node": None}),
        ({"nodeName": "n1"}, {}, {"region": "eu", "zone": "a", "node": "n1"}),
        ({"nodeName": "n2"}, {}, {"region": "us", "zone": "b", "node": "n2"}),
        ({"nodeName": "n2", "region": "eu"}, {}, {"region": "eu", "zone": None, "node": None}),
        ({"nodeName": "unknown"}, {}, {"region": "eu", "zone": None, "node": "unknown"}),
        ({"nodeName": "n3"}, {}, {"region": "eu", "zone": None, "node": None}),
        ({"keepAlive": "5m"}, {}, {"keep_alive": 300.0}),
        ({"keepAlive": "1s"}, {}, {"keep_alive": 10.0}),
        ({"keepAlive": 0}, {}, {"keep_alive": 60.0}),
        ({}, {"sessions": {"keepAlive": "90s"}}, {"keep_alive": 90.0}),
        ({"ttl": "1h"}, {}, {"max_lifetime": 3600.0}),
        ({}, {"sessions": {"maxLifetime": "2h"}}, {"max_lifetime": 7200.0}),
        ({"ttl": "1h"}, {"sessions": {"maxLifetime": "2h"}}, {"max_lifetime": 3600.0}),
        ({"ttl": "3h"}, {"sessions": {"maxLifetime": "2h"}}, {"max_lifetime": 7200.0}),
        ({}, {"spillover": "Never"}, {"spill_when_empty": False, "spill_when_stale": False}),
        ({"tokenName": "ci"}, {}, {"token": "ci"}),
    ],
)
def test_wishes_become_a_claim(spec, pool, wanted):
    made = request(
        asked(**spec), world(pools={"default": spec_of(**pool)}, tokens_=[tokens.Token(name="ci", hash=b"")])
    )
    assert {name: getattr(made, name) for name in wanted} == wanted


def test_those_that_wait_claim_in_the_order_in_which_they_were_made():
    objects = [
        asked("young", uid="3", created="2026-03-01T11:00:02Z"),
        asked("same-b", uid="2", created="2026-03-01T11:00:01Z"),
        asked("same-a", uid="1", created="2026-03-01T11:00:01Z"),
        asked("old", uid="4", created="2026-03-01T11:00:00Z"),
    ]
    assert [action.asked.name for action in planned(objects, world())] == ["old", "same-a", "same-b", "young"]


# ---------------------------------------------------------------- what is shown
def test_a_claimed_session_shows_where_it_is_reached():
    one = asked(ttl="1h")
    status = shown(one, world(live=[live_of(one, ends_at=after(3600))]))
    assert [(c["type"], c["status"]) for c in status.pop("conditions")] == [
        ("Claimed", "True"),
        ("Ready", "True"),
        ("Finished", "False"),
    ]
    assert status == {
        "observedGeneration": 1,
        "sessionId": f"bs-{UID}",
        "webSocketDebuggerUrl": f"ws://router.browsers:8080/devtools/browser/bs-{UID}",
        "podName": "default-eu-0",
        "nodeName": "n1",
        "zone": "a",
        "region": "eu",
        "spilled": False,
        "startedAt": "2026-03-01T12:00:00Z",
        "expiresAt": "2026-03-01T13:00:00Z",
    }


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://r:8080", "ws://r:8080/devtools/browser/"),
        ("https://r/", "wss://r/devtools/browser/"),
        ("https://r/browsers", "wss://r/browsers/devtools/browser/"),
    ],
)
def test_the_address_is_the_routers(url, address):
    one = asked()
    assert session_status.address(url, live_of(one)) == address + one.session_id


def test_without_a_hard_end_no_time_is_promised():
    one = asked()
    assert "expiresAt" not in shown(one, world(live=[live_of(one)]))


def test_what_has_been_said_is_not_said_again_and_renewals_change_nothing():
    one = asked()
    said = with_status(one, shown(one, world(live=[live_of(one)])))
    renewed = live_of(one, expires_at=after(600), holder="router-2", now=after(500))
    assert planned([said], world(live=[renewed], now=after(500))) == []


def test_a_session_of_the_backup_region_says_so_and_goes_on_saying_so():
    one = asked()
    spilled = live_of(one, region="us", browser_id="default-us-0")
    status = shown(one, world(live=[spilled]))
    assert (status["spilled"], status["region"]) == (True, "us")
    changed = world(live=[spilled], pools={"default": spec_of(regions=[US])})
    assert planned([with_status(one, status)], changed) == []


@pytest.mark.parametrize(
    ("spec", "seen", "reason", "said"),
    [
        ({}, world(pools={}), "PoolNotFound", "no pool default"),
        ({"region": "mars"}, world(), "RegionNotFound", "it has: eu, us"),
        ({"tokenName": "ci"}, world(), "TokenNotFound", "no client token ci"),
        (
            {"tokenName": "ci"},
            world(tokens_=[tokens.Token(name="ci", hash=b"", pools=frozenset({"other"}))]),
            "TokenNotAllowed",
            "may not use pool default",
        ),
        ({"keepAlive": "soon"}, world(), "InvalidSpec", "keepAlive"),
        ({"surprise": 1}, world(), "InvalidSpec", "surprise"),
    ],
)
def test_what_cannot_be_claimed_says_why_and_waits(spec, seen, reason, said):
    status = shown(asked(**spec), seen)
    assert conditions(status) == {
        "Claimed": ("False", reason),
        "Ready": ("False", reason),
        "Finished": ("False", reason),
    }
    assert said in status["conditions"][0]["message"]
    assert "webSocketDebuggerUrl" not in status


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(claims.Outcome.EMPTY, "NoBrowserReady"), (claims.Outcome.STALE, "HeartbeatsLate")],
)
def test_an_empty_pool_is_said_once_and_then_waited_for(outcome, reason):
    one = asked()
    first = session.empty(one, request(one, world()), outcome, now=NOW)
    assert conditions(first.status)["Claimed"] == ("False", reason)
    assert session.empty(with_status(one, first.status), request(one, world()), outcome, now=after(9)) is None


def test_a_condition_keeps_the_time_at_which_it_became_so():
    one = asked()
    waits = session.empty(one, request(one, world()), claims.Outcome.EMPTY, now=NOW).status
    ready = shown(with_status(one, waits), world(live=[live_of(one)], now=after(30)))
    times = {c["type"]: c["lastTransitionTime"] for c in ready["conditions"]}
    assert times == {
        "Claimed": "2026-03-01T12:00:30Z",
        "Ready": "2026-03-01T12:00:30Z",
        "Finished": "2026-03-01T12:00:00Z",
    }


# ---------------------------------------------------------------- the end
@pytest.mark.parametrize(
    ("reason", "hard_end", "said"),
    [
        (claims.CloseReason.NORMAL_CLOSURE, None, "NormalClosure"),
        (claims.CloseReason.BROWSER_IDLE, None, "BrowserIdle"),
        (claims.CloseReason.BROWSER_IDLE, after(600), "BrowserIdle"),
        (claims.CloseReason.BROWSER_IDLE, after(90), "LifetimeOver"),
        (claims.CloseReason.NORMAL_CLOSURE, after(90), "NormalClosure"),
        (claims.CloseReason.BROWSER_LOST, None, "BrowserLost"),
        (claims.CloseReason.SHUTDOWN, None, "Shutdown"),
    ],
)
def test_a_session_that_is_over_says_why_and_when_and_is_no_longer_reached(reason, hard_end, said):
    one = asked()
    was = with_status(one, shown(one, world(live=[live_of(one, ends_at=hard_end)])))
    assert session.unheard_of([was], {}) == [one.session_id]
    status = shown(was, world(past=[past_of(one, reason=reason)], now=after(95)))
    assert conditions(status) == {"Claimed": ("False", said), "Ready": ("False", said), "Finished": ("True", said)}
    assert status["finishedAt"] == "2026-03-01T12:01:30Z"
    assert (status["podName"], status["startedAt"]) == ("default-eu-0", "2026-03-01T12:00:00Z")
    assert "webSocketDebuggerUrl" not in status
    over = with_status(one, status)
    assert planned([over], world(now=after(10**6))) == []
    assert session.unheard_of([over], {}) == []


def test_a_session_whose_end_is_forgotten_does_not_begin_again():
    one = asked()
    was = with_status(one, shown(one, world(live=[live_of(one)])))
    status = shown(was, world(now=after(10**6)))
    assert conditions(status)["Finished"] == ("True", "Forgotten")


def test_a_session_that_ended_before_anybody_could_say_that_it_began():
    one = asked()
    status = dict(session.over(one, past_of(one), now=NOW).status)
    assert (status["podName"], status["sessionId"]) == ("default-eu-0", one.session_id)
    assert session_status.is_finished(status)


@pytest.mark.parametrize(
    ("ttl", "at", "gone"), [(None, 10**7, False), (60, 149, False), (60, 150, True), (0, 90, True)]
)
def test_the_object_is_deleted_when_it_was_to_be_kept_no_longer(ttl, at, gone):
    one = asked(**({} if ttl is None else {"ttlSecondsAfterFinished": ttl}))
    over = with_status(one, session.over(one, past_of(one), now=after(90)).status)
    assert planned([over], world(now=after(at))) == ([session.Delete(asked=over)] if gone else [])


# ---------------------------------------------------------------- objects that are gone
def test_the_session_of_an_object_that_was_seen_and_is_gone_is_released_at_once():
    one = asked()
    live = live_of(one)
    assert planned([], world(live=[live]), known=[one.session_id]) == [session.Release(session=live)]


def test_one_that_was_never_seen_is_given_time_to_appear():
    live = live_of(asked())
    assert planned([], world(live=[live], now=after(29))) == []
    assert planned([], world(live=[live], now=after(31))) == [session.Release(session=live)]


def test_an_object_that_is_being_deleted_holds_nothing_and_claims_nothing():
    one = asked(deleting=True)
    assert planned([one], world()) == []
    live = live_of(one)
    assert planned([one], world(live=[live]), known=[one.session_id]) == [session.Release(session=live)]


def test_an_object_of_the_same_name_is_another_session():
    old, new = asked(uid="1"), asked(uid="2")
    seen = world(live=[live_of(old)])
    release, claim = planned([new], seen, known=[old.session_id, new.session_id])
    assert (release.session.session_id, claim.request.session_id) == ("bs-1", "bs-2")
