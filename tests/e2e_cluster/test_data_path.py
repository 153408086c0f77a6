"""Requests from clients' pods through the Service, and where their browsers stand: own node, then zone, then region, then the backup."""

import collections
import contextlib
import io
import json

import pytest
from PIL import Image

from cluster import shell
from support import release as releases

EU = {"name": "eu", "replicas": 2, "backup": "us"}
US = {"name": "us", "replicas": 1}
QUEUE_SECONDS = 6


@pytest.fixture(scope="module")
def pool(release, client):
    """Two browsers in eu, one on each of its nodes, and one in us; never more."""
    spec = {"regions": [EU, US], "onEmpty": {"queueTimeout": f"{QUEUE_SECONDS}s"}}
    with release.pool("data-path", **spec) as name:
        shell.until(
            lambda: (
                {(one["node"], one["state"]) for one in browsers(release, client, name)}
                == {("eu-a1", "ready"), ("eu-b1", "ready"), ("us-a1", "ready")}
            ),
            what="a ready browser on each node",
            deadline=120,
            every=1,
        )
        yield name


@pytest.fixture(scope="module", params=["eu-a1", "eu-b1", "us-a1"])
def client_of(release, request):
    """A client's pod on each node, and the node."""
    with release.client(f"client-{request.param}", node=request.param) as name:
        yield name, request.param


def browsers(release, client, pool):
    """What the store knows of the pool's browsers, as a router's status tells it."""
    return [one for one in release.ask(client, "/v1/status").json["browsers"] if one["pool"] == pool]


def place(answer):
    """Where the browser of an answer stood, and how near that was."""
    assert answer.status == 200, answer.body
    return answer.headers["X-Browserpool-Node"], answer.headers["X-Browserpool-Locality"]


@contextlib.contextmanager
def held(release, client, pool, *, query=""):
    """A CDP session; answers the answer that opened it. Closed at the end."""
    made = release.ask(client, f"/devtools/browser?pool={pool}&keep_alive=600000{query}", {})
    assert made.status == 200, made.body
    try:
        yield made
    finally:
        release.ask(client, f"/devtools/browser/{made.json['sessionId']}", method="DELETE")


@pytest.fixture
def all_ready(release, client, pool):
    """Whatever a test claimed is given back before the next."""
    yield
    shell.until(
        lambda: collections.Counter(one["state"] for one in browsers(release, client, pool)) == {"ready": 3},
        what="three ready browsers",
        deadline=60,
        every=0.5,
    )


def test_the_pool_is_ready_in_both_regions(release, pool):
    status = release.status(pool)
    assert {region["name"]: region["ready"] for region in status["regions"]} == {"eu": 2, "us": 1}
    regions = {node.name: node.region for node in release.cluster.nodes()}
    assert collections.Counter(regions[pod["spec"]["nodeName"]] for pod in release.pods(pool)) == {"eu": 2, "us": 1}


def test_a_clients_browser_stands_on_its_own_node(release, pool, client_of, all_ready):
    client, node = client_of
    assert [place(release.act(client, pool)) for _ in range(3)] == [(node, "node")] * 3


def test_a_clients_picture_comes_through_the_service(release, pool, client):
    html = '<body style="margin:0;background:rgb(0,128,0)"><h1>漢字</h1>'
    answer = release.ask(
        client, f"/v1/screenshot?pool={pool}", {"html": html, "viewport": {"width": 320, "height": 200}}
    )
    assert answer.status == 200, answer.body
    picture = Image.open(io.BytesIO(answer.body)).convert("RGB")
    assert picture.size == (320, 200)
    assert picture.getpixel((319, 199)) == (0, 128, 0)
    assert (0, 0, 0) in {colour for _, colour in picture.getcolors(maxcolors=100_000)}


_CDP = """
import asyncio, json, sys, aiohttp

async def main():
    url, token = sys.argv[1:]
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer " + token}) as http:
        async with http.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=5)) as ws:
            await ws.send_json({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}})
            while True:
                message = json.loads(await asyncio.wait_for(ws.receive_str(), 20))
                if message.get("id") == 1:
                    print(message["result"]["targetId"])
                    return

asyncio.run(main())
"""


def test_a_client_speaks_cdp_through_the_service(release, pool, client, all_ready):
    with held(release, client, pool) as session:
        url = session.json["webSocketDebuggerUrl"]
        said = release.cluster.exec(
            client, "python", "-c", _CDP, url, release.token, namespace=releases.CLIENTS, container="client"
        )
        assert len(said.strip()) == 32


def test_without_a_token_nothing_is_claimed(release, pool, client):
    assert release.act(client, pool, token="").status == 401
    assert release.act(client, pool, token="another").status == 401


def test_when_the_own_nodes_browser_is_claimed_the_region_serves_then_its_backup_then_nobody(
    release, pool, client, all_ready
):
    with contextlib.ExitStack() as sessions:
        near = sessions.enter_context(held(release, client, pool))
        assert place(near) == ("eu-a1", "node")
        assert place(release.act(client, pool)) == ("eu-b1", "region")
        assert place(sessions.enter_context(held(release, client, pool))) == ("eu-b1", "region")
        assert place(release.act(client, pool)) == ("us-a1", "backup")
        assert place(sessions.enter_context(held(release, client, pool))) == ("us-a1", "backup")
        nobody = release.act(client, pool)
        assert nobody.status == 503, nobody.body
        assert int(nobody.headers["Retry-After"]) >= 1


def test_a_zone_comes_before_the_rest_of_its_region(release, pool, client, all_ready):
    query = "&node=none-of-these&zone=eu-b"
    with held(release, client, pool, query=query) as session:
        assert place(session) == ("eu-b1", "zone")
        assert place(release.act(client, pool, query=query)) == ("eu-a1", "region")


def test_who_waits_gets_the_browser_that_is_given_back(release, pool, client, all_ready):
    with (
        held(release, client, pool, query="&region=us") as last,
        held(release, client, pool, query="&region=eu"),
        held(release, client, pool, query="&region=eu"),
    ):
        said = release.cluster.exec(
            client, "python", "-c", _WAITS, json.dumps({
                "act": f"{releases.SERVICE}/v1/content?pool={pool}&region=us&cacheTTL=0",
                "close": f"{releases.SERVICE}/devtools/browser/{last.json['sessionId']}",
                "token": release.token,
            }), namespace=releases.CLIENTS, container="client",
        )  # fmt: skip
    assert said.split() == ["waiting", "closed", "200", "us-a1"]


_WAITS = """
import asyncio, json, sys, aiohttp

async def main():
    given = json.loads(sys.argv[1])
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer " + given["token"]}) as http:
        acting = asyncio.create_task(http.post(given["act"], json={"html": "<p>x"}))
        done, _ = await asyncio.wait([acting], timeout=1)
        print("answered" if done else "waiting")
        async with http.delete(given["close"]) as closed:
            print("closed" if closed.status == 200 else closed.status)
        async with await acting as answer:
            print(answer.status, answer.headers.get("X-Browserpool-Node"))

asyncio.run(main())
"""


def test_a_region_without_browsers_is_served_by_its_backup_if_the_pool_lets_it(release, client):
    empty = [EU | {"replicas": 0}, US]
    with release.pool("spill", regions=empty) as pool:
        assert place(release.act(client, pool)) == ("us-a1", "backup")
        release.put(pool, regions=empty, spillover="Never", onEmpty={"mode": "Fail"})
        shell.until(lambda: release.act(client, pool).status == 503, what="no spilling over", deadline=30, every=0.5)
        assert place(release.act(client, pool, query="&region=us")) == ("us-a1", "region")
