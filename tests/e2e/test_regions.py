"""Where claims land: node, then zone, then region, then the backup region. Nodes are names here; what answers is real.

Pool ``pair`` keeps three browsers in ``eu`` (nodes 0 and 2 stand in zone a, node 1 in zone b), one in ``us``, and does not queue.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest

from support import stack

HEADERS = ("Node", "Zone", "Region", "Locality")


def placed(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Node, zone, region and locality of an answer."""
    return tuple(headers[f"X-Browserpool-{name}"] for name in HEADERS)


@pytest.fixture
async def pair(up: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with up.client() as client:
        client.headers["X-Browserpool-Pool"] = "pair"
        yield client


@contextlib.asynccontextmanager
async def held(client: aiohttp.ClientSession, **wishes: str) -> AsyncIterator[tuple[str, ...]]:
    """A browser that is taken while the block runs, and where it stands."""
    headers = {f"X-Browserpool-{name.capitalize()}": value for name, value in wishes.items()}
    async with client.ws_connect("/devtools/browser?keep_alive=60000", headers=headers) as socket:
        yield placed(socket._response.headers)
        await socket.send_json({"id": 1, "method": "Browser.close"})
        while not socket.closed:
            await socket.receive()


@pytest.mark.parametrize("node", ["eu-node-0", "eu-node-1", "eu-node-2"])
async def test_a_node_is_honoured(pair: aiohttp.ClientSession, node: str) -> None:
    async with pair.post("/v1/content", json={"html": "<p>"}, headers={"X-Browserpool-Node": node}) as answer:
        zone = "eu-b" if node == "eu-node-1" else "eu-a"
        assert (answer.status, *placed(answer.headers)) == (200, node, zone, "eu", "node")


@pytest.mark.parametrize("region", ["eu", "us"])
async def test_a_region_is_honoured(pair: aiohttp.ClientSession, region: str) -> None:
    async with pair.post(f"/v1/content?region={region}", json={"html": "<p>"}) as answer:
        assert placed(answer.headers)[2:] == (region, "region")


async def test_an_unknown_region_is_refused(pair: aiohttp.ClientSession) -> None:
    async with pair.post("/v1/content?region=mars", json={"html": "<p>"}) as answer:
        assert answer.status == 400
        assert "eu, us" in (await answer.json())["errors"][0]["message"]


async def test_node_then_zone_then_region_then_backup_then_no(pair: aiohttp.ClientSession) -> None:
    wish = {"node": "eu-node-0", "zone": "eu-a", "region": "eu"}
    async with contextlib.AsyncExitStack() as taken:
        found = [await taken.enter_async_context(held(pair, **wish)) for _ in range(4)]
        assert found == [
            ("eu-node-0", "eu-a", "eu", "node"),
            ("eu-node-2", "eu-a", "eu", "zone"),
            ("eu-node-1", "eu-b", "eu", "region"),
            ("us-node-0", "us-a", "us", "backup"),
        ]
        async with pair.post("/v1/content", json={"html": "<p>"}) as answer:
            assert answer.status == 503
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert (await answer.json())["errors"][0]["code"] == 1003
