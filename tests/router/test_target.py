"""From a request to what is claimed for it."""

from typing import Any

import multidict
import pytest

from browserpool.model import claims, errors, nodes, pool
from browserpool.model.names import HolderId, NodeName, PoolName, RegionName, SessionId, TokenName, ZoneName
from browserpool.router import target

SPEC = pool.PoolSpec.model_validate(
    {
        "regions": [{"name": "eu", "backup": "us"}, {"name": "us"}],
        "sessions": {"keepAlive": "45s", "maxLifetime": "1h"},
        "spillover": "WhenStale",
    }
)
PLAIN = pool.PoolSpec()
POOLS = {PoolName("alpha"): SPEC, PoolName("beta"): PLAIN}
ANY = target.Grant(token=TokenName("any"))
BETA = target.Grant(token=TokenName("b"), pools=frozenset({PoolName("beta")}))
NODES = {
    NodeName(name): nodes.Node(name=NodeName(name), region=RegionName(region), zone=ZoneName(zone))
    for name, region, zone in (("n1", "eu", "eu-1"), ("n2", "us", "us-2"), ("bare", "", ""), ("moon", "moon", "m-1"))
}
HOME = target.Home(region=RegionName("eu"), zone=ZoneName("eu-1"), node=NodeName("n1"))


def resolve(
    wished: target.Wishes,
    *,
    grant: target.Grant = ANY,
    kind: claims.SessionKind = claims.SessionKind.CDP,
    home: target.Home = HOME,
) -> claims.ClaimRequest:
    return target.resolve(
        wished,
        pools=POOLS,
        grant=grant,
        home=target.standing(wished.node, home=home, nodes=NODES),
        kind=kind,
        session_id=SessionId("s"),
        holder=HolderId("h"),
        action_lease=10,
    ).request


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ({}, {}, target.Wishes()),
        ({"pool": "a"}, {"X-Browserpool-Pool": "b"}, target.Wishes(pool=PoolName("a"))),
        (
            {},
            {"x-browserpool-pool": "b", "X-BROWSERPOOL-NODE": "n"},
            target.Wishes(pool=PoolName("b"), node=NodeName("n")),
        ),
        ({"zone": "z", "region": "r"}, {}, target.Wishes(zone=ZoneName("z"), region=RegionName("r"))),
        ({"pool": ""}, {}, target.Wishes()),
        ({}, {"x-browserpool-from": "DE"}, target.Wishes(place="DE")),
        ({"keep_alive": "10000"}, {}, target.Wishes(keep_alive=10.0)),
        ({"keep_alive": "600000"}, {}, target.Wishes(keep_alive=600.0)),
    ],
)
def test_wishes(query: dict[str, str], headers: dict[str, str], expected: target.Wishes) -> None:
    found = target.wishes(query=query, headers=multidict.CIMultiDict(headers), place_header="X-Browserpool-From")
    assert found == expected


@pytest.mark.parametrize("text", ["9999", "600001", "abc", "", "nan", "inf", "-1"])
def test_a_keep_alive_outside_of_its_bounds_is_refused_by_name(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="keep_alive must be milliseconds from 10000 to 600000"):
        target.keep_alive(text)


def test_the_pool_that_is_named() -> None:
    assert resolve(target.Wishes(pool=PoolName("beta"))).pool == "beta"


def test_the_only_pool_that_the_token_can_mean() -> None:
    assert resolve(target.Wishes(), grant=BETA).pool == "beta"


@pytest.mark.parametrize(
    ("wished", "grant", "error", "words"),
    [
        (None, ANY, errors.InvalidRequest, "pool is required, because there are several: alpha, beta"),
        ("nope", ANY, errors.NotFound, "no pool nope; there are: alpha, beta"),
        ("alpha", BETA, errors.Forbidden, "may not use pool alpha; it may use: beta"),
        ("nope", BETA, errors.Forbidden, "may not use pool nope"),
        (None, target.Grant(token=TokenName("x"), pools=frozenset()), errors.NotFound, "no pool that token x may use"),
    ],
)
def test_no_pool(wished: str | None, grant: target.Grant, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        resolve(target.Wishes(pool=PoolName(wished) if wished else None), grant=grant)


def test_the_routers_own_place_is_wished_for_if_the_request_names_none() -> None:
    request = resolve(target.Wishes(pool=PoolName("alpha")))
    assert (request.region, request.zone, request.node) == ("eu", "eu-1", "n1")


def test_a_request_for_another_region_is_not_given_the_routers_node() -> None:
    request = resolve(target.Wishes(pool=PoolName("alpha"), region=RegionName("us")))
    assert (request.region, request.zone, request.node) == ("us", None, None)


def test_a_pool_that_is_not_in_the_routers_region_is_served_from_its_first() -> None:
    request = resolve(target.Wishes(pool=PoolName("beta")))
    assert (request.region, request.node) == ("local", None)


def test_the_requests_own_wishes_win() -> None:
    request = resolve(target.Wishes(pool=PoolName("alpha"), zone=ZoneName("z9"), node=NodeName("n9")))
    assert (request.zone, request.node) == ("z9", "n9")


STANDINGS: list[tuple[dict[str, Any], tuple[str | None, ...]]] = [
    # A node brings its region and zone.
    ({"node": "n2"}, ("us", "us-2", "n2")),
    # What the request says itself wins.
    ({"node": "n2", "zone": "z9"}, ("us", "z9", "n2")),
    # In another region than the node's there is no use in looking there, nor in its zone.
    ({"node": "n2", "region": "eu"}, ("eu", None, None)),
    # A node in a region that the pool is not in: the pool's first region.
    ({"node": "moon"}, ("eu", None, None)),
    # A cluster whose nodes bear no labels: the router's own region.
    ({"node": "bare"}, ("eu", None, "bare")),
    # A node that nobody knows may stand anywhere.
    ({"node": "n9"}, ("eu", "eu-1", "n9")),
    ({"node": "n9", "region": "us"}, ("us", None, "n9")),
]


@pytest.mark.parametrize(("wished", "expected"), STANDINGS)
def test_a_request_that_names_a_node_comes_from_there(wished: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    request = resolve(target.Wishes(pool=PoolName("alpha"), **wished))
    assert (request.region, request.zone, request.node) == expected


def test_a_region_that_the_pool_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(errors.InvalidRequest, match="region must be one of pool alpha's: eu, us"):
        resolve(target.Wishes(pool=PoolName("alpha"), region=RegionName("mars")))


NEAR = pool.PoolSpec.model_validate(
    {
        "regions": [
            {"name": "asia"},
            {"name": "eu", "near": ["DE", "FR"]},
            {"name": "us", "near": ["US", "canada-east-1"]},
        ]
    }
)


@pytest.mark.parametrize(
    ("place", "wished", "home", "expected"),
    [
        ("DE", None, "us", "eu"),
        ("canada-east-1", None, "eu", "us"),
        ("DE", "us", "asia", "us"),
        ("JP", None, "us", "us"),
        ("de", None, "us", "us"),
        ("", None, "us", "us"),
        (None, None, "us", "us"),
        (None, None, "moon", "asia"),
        ("us", None, "eu", "eu"),
    ],
)
def test_the_region_near_to_the_client(place: str | None, wished: str | None, home: str, expected: str) -> None:
    region = target.choose_region(
        RegionName(wished) if wished else None, name=PoolName("p"), spec=NEAR, home=RegionName(home), place=place
    )
    assert region.name == expected


def test_backup_and_spillover_are_the_pools() -> None:
    request = resolve(target.Wishes(pool=PoolName("alpha")))
    assert (request.backup, request.spill_when_empty, request.spill_when_stale) == ("us", False, True)
    assert resolve(target.Wishes(pool=PoolName("alpha"), region=RegionName("us"))).backup is None


CASES: list[tuple[Any, ...]] = [
    (claims.SessionKind.ACTION, None, 10.0, None),
    (claims.SessionKind.ACTION, 100.0, 10.0, None),
    (claims.SessionKind.CDP, None, 45.0, 3600.0),
    (claims.SessionKind.CDP, 100.0, 100.0, 3600.0),
]


@pytest.mark.parametrize(("kind", "keep_alive", "lease", "lifetime"), CASES)
def test_the_lease(kind: claims.SessionKind, keep_alive: float | None, lease: float, lifetime: float | None) -> None:
    request = resolve(target.Wishes(pool=PoolName("alpha"), keep_alive=keep_alive), kind=kind)
    assert (request.keep_alive, request.max_lifetime) == (lease, lifetime)
