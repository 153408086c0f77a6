"""Two installations for the whole run: one that tests use side by side, one that they break. Each test must leave its own whole."""

import gc
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from support import site, stack

MAIN = stack.pool("main", replicas=4, maxReplicas=4, onEmpty={"queueTimeout": "90s"})
PAIR = stack.pool(
    "pair",
    regions=[{"name": "eu", "replicas": 3, "backup": "us"}, {"name": "us", "replicas": 1, "backup": "eu"}],
    onEmpty={"mode": "Fail"},
)
FRAGILE = stack.pool("fragile", replicas=1, sessions={"keepAlive": "30s"})


@pytest.fixture(scope="session")
def main_stack() -> Iterator[stack.Stack]:
    with stack.running(pools=[MAIN, PAIR], nodes=4) as started:
        yield started


@pytest.fixture(scope="session")
def fragile_stack() -> Iterator[stack.Stack]:
    with stack.running(pools=[FRAGILE]) as started:
        yield started


@pytest.fixture
async def up(main_stack: stack.Stack) -> AsyncIterator[stack.Stack]:
    """The shared installation: pool ``main`` with four browsers, ``pair`` in two regions. Whole again after the test."""
    yield main_stack
    gc.collect()  # what a client forgot to close warns now, in the test that it belongs to
    await main_stack.whole()


@pytest.fixture
async def fragile(fragile_stack: stack.Stack) -> AsyncIterator[stack.Stack]:
    """An installation with one browser, to be broken. Whole again after the test."""
    await fragile_stack.whole()
    yield fragile_stack
    await fragile_stack.whole()
    assert stack.overlaps(await fragile_stack.past()) == []


@pytest.fixture
async def http(main_stack: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    """The shared installation's client, which speaks to pool ``main`` unless it says otherwise."""
    async with main_stack.client() as client:
        client.headers["X-Browserpool-Pool"] = "main"
        yield client


@pytest.fixture
async def web() -> AsyncIterator[site.Site]:
    """Pages."""
    async with site.running() as served:
        yield served
