"""Where a router stands: by its settings, or by what the cluster says of its node; and what it does until it knows."""

from typing import Any

import pytest

from browserpool.model.names import NodeName, RegionName, ZoneName
from browserpool.model.nodes import Node
from browserpool.router import place, settings, target
from browserpool.store import connect, nodes, pools, regions
from support import routers, waiting

OWN = {"dsn": "x", "signing_key": "k" * 16}


def node(name: str, region: str = "eu", zone: str = "eu-1") -> Node:
    return Node(name=NodeName(name), region=RegionName(region), zone=ZoneName(zone))


NODES = {one.name: one for one in (node("n1"), node("bare", "", ""))}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ("local", None, None)),
        ({"region": "us"}, ("us", None, None)),
        ({"region": "us", "zone": "us-1", "node": "n9"}, ("us", "us-1", "n9")),
        ({"node": "n1"}, ("eu", "eu-1", "n1")),
        ({"node": "n1", "region": ""}, ("eu", "eu-1", "n1")),
        ({"node": "n1", "zone": "z"}, ("eu", "z", "n1")),
        ({"node": "n1", "region": "us"}, ("us", "eu-1", "n1")),
        ({"node": "bare"}, ("local", None, "bare")),
        ({"node": "n9"}, None),
    ],
)
def test_home(own: dict[str, Any], expected: tuple[str | None, ...] | None) -> None:
    found = place.home(settings.RouterSettings(**OWN, **own), nodes=NODES)
    assert (None if found is None else (found.region, found.zone, found.node)) == expected


async def test_a_router_is_not_ready_until_its_node_is_known_and_serves_meanwhile(
    dsn: str, database: connect.Database
) -> None:
    async with routers.rig(dsn, database, region=None, node="n1") as rig:
        await rig.make_pool(regions=[{"name": "us"}, {"name": "eu"}])
        answer = await rig.request("GET", "/readyz")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "node n1 is not in the store" in answer.message
        assert (await rig.post("/v1/screenshot", {"html": "x"})).headers["X-Browserpool-Region"] == "us"

        await nodes.replace(database, [node("n0"), node("n1")])

        async def ready() -> bool:
            return (await rig.request("GET", "/readyz")).status == 200

        await waiting.until(ready)
        said = (await rig.request("GET", "/v1/status")).json["router"]
        assert (said["region"], said["zone"], said["node"]) == ("eu", "eu-1", "n1")
        assert "eu" in {one.region for one in await regions.listing(database)}

        async def lag_is_recorded() -> bool:
            return any(one.region == "eu" and one.writers == 1 for one in await regions.listing(database))

        await waiting.until(lag_is_recorded)


async def test_a_router_that_waited_long_enough_is_ready_all_the_same(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database, region=None, node="n1") as rig:
        parts = rig.running.services
        late = place.Place(
            parts.settings,
            catalog_=parts.catalog,
            db=database,
            writers_=parts.heartbeats,
            now=iter([0.0, place.PATIENCE - 1, place.PATIENCE]).__next__,
        )
        assert late.patient
        assert not late.patient
        assert late.home == target.Home(region=RegionName("local"))


async def test_a_request_from_a_node_gets_a_browser_of_that_nodes_region(dsn: str, database: connect.Database) -> None:
    await nodes.replace(database, [node("node-0", "eu"), node("far", "us", "us-1"), node("n1")])
    async with routers.rig(dsn, database, region=None, node="n1") as rig:
        spec = {"regions": [{"name": "eu"}, {"name": "us"}]}
        [agent] = await rig.make_pool(**spec)
        [manifest] = await pools.listing(database)
        await rig.make_agent(manifest, 1, region="us")
        await rig.until_ready(number=2)
        near = await rig.post("/v1/screenshot", {"html": "x"}, headers={"X-Browserpool-Node": "node-0"})
        assert near.headers["X-Browserpool-Browser"] == agent.browser_id
        assert near.headers["X-Browserpool-Locality"] == "node"
        far = await rig.post("/v1/screenshot", {"html": "x"}, headers={"X-Browserpool-Node": "far"})
        assert (far.headers["X-Browserpool-Region"], far.headers["X-Browserpool-Locality"]) == ("us", "region")
