"""The whole controller against an API server and a Postgres: pods come and go as pools say, and no session is cut."""

import asyncio

import pytest

from browserpool.controller import kube
from browserpool.controller.desired import labels
from browserpool.model.names import NodeName, PoolName, RegionName
from browserpool.store import browsers, leases, nodes, pools
from support import controllers, fleet
from support.controllers import node, pool
from support.waiting import until


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    """An API server with one node, and a store."""
    server, site = api
    return controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)


def claim(cluster, session, **more):
    return leases.claim(cluster.db, fleet.request(session, pool=PoolName("shop"), **more))


# ---------------------------------------------------------------- coming
async def test_a_pool_gets_its_pods_rows_secret_and_status(cluster):
    cluster.server.put(kube.POOLS, pool())
    async with cluster.controller():
        assert await cluster.run_all(2) == ["shop-eu-0", "shop-eu-1"]
        await until(lambda: cluster.condition("Ready").get("status") == "True")
        await until(lambda: cluster.status()["readyReplicas"] == 2)
        await until(lambda: cluster.events("Created") == ["2 browsers created in eu"])
    assert await cluster.states() == {"shop-eu-0": "ready", "shop-eu-1": "ready"}
    assert list(cluster.server.raw(kube.SECRETS)) == ["browserpool-browsers-shop-eu-0"]
    assert cluster.server.count("create", kube.PODS) == 2
    assert [one.name for one in await pools.listing(cluster.db)] == ["shop"]
