"""Where browsers and nodes stand: rows that learn it late, and the table of nodes."""

import psycopg
import pytest

from browserpool.model.browsers import Location
from browserpool.model.claims import Locality
from browserpool.model.names import BrowserId, NodeName, RegionName, ZoneName
from browserpool.model.nodes import Node
from browserpool.store import browsers, nodes
from support import fleet


def node(name, region="eu", zone="a"):
    return Node(name=NodeName(name), region=RegionName(region), zone=ZoneName(zone))


def location(browser_id, zone="b", node="n2"):
    return Location(browser_id=browser_id, zone=ZoneName(zone), node=NodeName(node))


# ---------------------------------------------------------------- nodes
async def test_the_nodes_are_those_that_were_named_last(database):
    assert await nodes.replace(database, [node("n1"), node("n2", zone="b")]) == 2
    assert await nodes.replace(database, [node("n2", region="us", zone="b"), node("n3")]) == 3
    assert await nodes.listing(database) == [node("n2", region="us", zone="b"), node("n3")]


async def test_naming_the_same_nodes_again_writes_nothing(database):
    await nodes.replace(database, [node("n1"), node("n2")])
    assert await nodes.replace(database, [node("n2"), node("n1")]) == 0


async def test_no_nodes_are_none(database):
    await nodes.replace(database, [node("n1")])
    assert await nodes.replace(database, []) == 1
    assert await nodes.listing(database) == []


# ---------------------------------------------------------------- locate
@pytest.fixture
async def made(database):
    """A fleet whose browser 0 was registered before its node was known."""
    fleet_ = fleet.Fleet(database)
    await fleet_.register(zone="", node="")
    return fleet_


BROWSER = BrowserId("default-eu-0")


async def test_a_browser_is_found_where_it_was_located(database, made):
    assert await browsers.locate(database, [location(BROWSER)]) == 1
    await (await made.greet(BROWSER)).beat()
    answer = await made.claim("s1", zone=ZoneName("b"), node=NodeName("n2"))
    assert answer.claim.locality is Locality.NODE
    assert (answer.claim.zone, answer.claim.node) == ("b", "n2")


async def test_its_shelves_are_those_that_it_would_have_got_at_registration(database, dsn, made):
    await browsers.locate(database, [location(BROWSER)])
    await made.register(1, zone="b", node="n2")
    with psycopg.connect(dsn) as connection:
        found = connection.execute("select region_shelf, zone_shelf, node_shelf from browsers").fetchall()
    assert len(found) == 2
    assert found[0] == found[1]


async def test_what_stands_there_already_or_is_gone_is_not_written(database, made):
    gone = await made.register(1)
    await browsers.forget(database, [gone])
    assert await browsers.locate(database, [location(BROWSER), location(gone)]) == 1
    assert await browsers.locate(database, [location(BROWSER), location(BrowserId("default-eu-9"))]) == 0


async def test_a_claimed_browser_keeps_its_session_when_it_is_located(database, made):
    await (await made.greet(BROWSER)).beat()
    before = await made.claim("s1")
    await browsers.locate(database, [location(BROWSER)])
    row = await made.row(BROWSER)
    assert (row.session_id, row.fence, row.node) == ("s1", before.claim.fence, "n2")
