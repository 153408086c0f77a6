"""What routers are to see is written once, and again when the store has lost it."""

import pytest

from browserpool.controller import kube, records
from browserpool.model.names import NodeName, PoolName, RegionName, ZoneName
from browserpool.model.nodes import Node
from browserpool.model.pool import BrowserPool
from browserpool.store import connect, databases, nodes, pools, regions
from support import controllers
from support.waiting import until

NODE = Node(name=NodeName("n1"), region=RegionName("eu"), zone=ZoneName("eu-a"))
WANTED = {PoolName("shop"): BrowserPool.model_validate(controllers.pool())}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


async def seen(database):
    """What routers see."""
    return (
        [one.name for one in await pools.listing(database)],
        [one.region for one in await regions.listing(database)],
        await nodes.listing(database),
    )


async def empty(database):
    async with database.pool.connection() as connection:
        await connection.execute("truncate pools, regions, nodes")


@pytest.mark.parametrize("why", ["the store was away", "a minute has gone by"])
async def test_what_the_store_has_lost_is_written_again(database, why):
    clock = Clock()
    written = records.Records(databases.Databases(database), now=clock)

    async def publish():
        await written.publish(WANTED)
        await written.publish_nodes([NODE])

    await publish()
    expected = (["shop"], ["eu"], [NODE])
    assert await seen(database) == expected
    await empty(database)
    await publish()
    assert await seen(database) == ([], [], []), "it is not looked at in every round"
    if why == "the store was away":
        written.forget()
    else:
        clock.now += 60
    await publish()
    assert await seen(database) == expected


async def test_what_is_there_already_is_not_written_again(database, monkeypatch):
    await records.Records(databases.Databases(database)).publish(WANTED)

    async def put(*_):
        raise AssertionError("written again")

    monkeypatch.setattr(pools, "put", put)
    await records.Records(databases.Databases(database)).publish(WANTED)


async def test_what_is_wanted_no_more_is_removed(database):
    await records.Records(databases.Databases(database)).publish(WANTED)
    later = records.Records(databases.Databases(database))
    await later.publish({})
    assert await pools.listing(database) == []


async def test_a_database_that_comes_back_empty_is_filled_again(api, database, dsn, tmp_path):
    server, site = api
    cluster = controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)
    server.put(kube.POOLS, controllers.pool())
    async with cluster.controller() as replica:
        await until(lambda: replica.round is not None and replica.round.rounds)
        await empty(database)
        with controllers.locked_out(dsn):
            await until(lambda: cluster.condition("DatabaseFresh").get("reason") == "Unreachable", deadline=30)

        async def filled():
            async with connect.opened(dsn, process="tests") as again:
                return await seen(again) == (["shop"], ["eu"], [NODE])

        await until(filled, deadline=20)
