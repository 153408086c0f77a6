"""Sessions' objects and webhooks in whole controllers: while leaders change, and on replicas that do not lead."""

import pathlib
import ssl

import aiohttp
import pytest

from browserpool.controller import kube
from browserpool.controller.desired import session
from browserpool.model.names import SessionId
from browserpool.store import sessions as stored
from support import controllers, waiting

PEM = pathlib.Path(waiting.__file__).with_name("webhooks_1.pem")
WEBHOOKS = {"webhook_port": 0, "webhook_cert": str(PEM), "webhook_key": str(PEM), "sidecar_image": "router:1"}


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    server, site = api
    server.put(kube.POOLS, controllers.pool(replicas=1))
    return controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)


def put(cluster, name="s"):
    made = cluster.server.put(kube.SESSIONS, {"metadata": {"name": name}, "spec": {"poolRef": {"name": "shop"}}})
    return SessionId(session.PREFIX + made["metadata"]["uid"])


def reason(cluster, name="s"):
    conditions = cluster.server.raw(kube.SESSIONS)[name].get("status", {}).get("conditions", ())
    return next((one["reason"] for one in conditions if one["type"] == "Ready"), None)


async def evicted(port, name):
    """The answer to an eviction: whether, and if not with which code."""
    request = {"uid": "u", "namespace": "pools", "name": name, "operation": "CREATE", "object": {"kind": "Eviction"}}
    trusted = ssl.create_default_context(cadata=PEM.read_text().partition("-----END PRIVATE KEY-----")[2])
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"https://127.0.0.1:{port}/evict", json={"request": request}, ssl=trusted) as answer,
    ):
        response = (await answer.json())["response"]
    return response["allowed"], response.get("status", {}).get("code")


async def test_a_session_goes_on_under_the_next_leader_and_ends_with_its_object(cluster):
    async with cluster.controller("one"):
        await cluster.run_all(1)
        session_id = put(cluster)
        await waiting.until(lambda: reason(cluster) == "Claimed")
        before = await stored.live(cluster.db, session_id)
    async with cluster.controller("two") as second:
        await waiting.until(lambda: second.round is not None and second.round.rounds > 3)
        after = await stored.live(cluster.db, session_id)
        assert (after.browser_id, after.fence) == (before.browser_id, before.fence)
        cluster.server.finish(kube.SESSIONS, "s")

        async def over():
            return await stored.live(cluster.db, session_id) is None

        await waiting.until(over)


async def test_a_replica_that_does_not_lead_holds_up_evictions_too(cluster):
    async with cluster.controller("one", **WEBHOOKS) as first:
        await cluster.run_all(1)
        put(cluster)
        await waiting.until(lambda: reason(cluster) == "Claimed")
        async with cluster.controller("two", **WEBHOOKS) as second:
            await waiting.until(lambda: second.db is not None)
            assert not second.election.leading
            for replica in (first, second):
                assert await evicted(replica.webhook_port, "shop-eu-0") == (False, 429)
            cluster.server.finish(kube.SESSIONS, "s")

            async def may_go():
                return (await evicted(second.webhook_port, "shop-eu-0"))[0]

            await waiting.until(may_go)


async def test_sessions_that_cannot_be_listed_hold_up_no_pool(cluster):
    cluster.server.fault = lambda verb, resource, _: 404 if resource == "browsersessions" else None
    async with cluster.controller("one"):
        await cluster.run_all(1)
        await waiting.until(lambda: cluster.condition("Ready").get("status") == "True")
