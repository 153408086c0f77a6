"""A region whose browsers and sessions are in a database of its own, which stops, comes back, and is left behind."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import psycopg
import pytest
import yaml

from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect, sessions
from support import postgres, stack, waiting

OWN = {"databaseSecretRef": {"name": "eu-db"}}
US = {"name": "us", "replicas": 1, "maxReplicas": 2}
EU = {"name": "eu", "replicas": 2, "maxReplicas": 4, "backup": "us"}
LONG = 60.0
"""Seconds for what takes a few on an idle machine."""


def pools(**eu: Any) -> list[dict[str, Any]]:
    return [
        stack.pool(
            "pair",
            regions=[US, {**EU, **eu}],
            onEmpty={"queueTimeout": "60s"},
            updateStrategy={"maxUnavailable": 0, "maxSurge": 1},
        )
    ]


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    with postgres.server(fsync="off") as made:
        with psycopg.connect(made.dsn(), autocommit=True) as connection:
            connection.execute("create database eu")
        yield made


@pytest.fixture
async def up(server: postgres.Server, tmp_path: pathlib.Path) -> AsyncIterator[stack.Stack]:
    (tmp_path / "eu-db").mkdir()
    (tmp_path / "eu-db" / "dsn").write_text(server.dsn("eu"))
    with stack.running(pools=pools(**OWN), environment={"BROWSERPOOL_SECRETS_DIR": str(tmp_path)}) as started:
        yield started


async def served(http: aiohttp.ClientSession, region: str = "eu") -> tuple[int, str]:
    """Status and serving region of a quick action in that region."""
    async with http.post(f"/v1/content?region={region}", json={"html": "<p>here"}) as answer:
        assert "here" in await answer.text()
        return answer.status, answer.headers["X-Browserpool-Region"]


async def alive(db: connect.Database) -> dict[str, BrowserState]:
    return {
        one.browser_id: one.state
        for one in await browsers.listing(db)
        if one.region == "eu" and one.state is not BrowserState.GONE
    }


async def ready(db: connect.Database, number: int) -> None:
    async def are() -> bool:
        return list((await alive(db)).values()) == [BrowserState.READY] * number

    await waiting.until(are, deadline=LONG, every=0.1)


async def test_a_regions_database_stops_and_the_region_moves_away_from_it(
    up: stack.Stack, server: postgres.Server
) -> None:
    async with up.client() as http, up.store() as home, connect.opened(server.dsn("eu"), process="test") as eu:
        await ready(eu, 2)
        assert await alive(home) == {}
        assert await served(http) == (200, "eu")
        await ready(eu, 2)

        # It stops: nothing of its region is touched, and its requests are served by the backup.
        before = {one.pid for one in up.agents()}
        await asyncio.to_thread(server.stop, "immediate")
        for _ in range(5):
            assert await served(http) == (200, "us")
        assert await served(http, "us") == (200, "us")
        assert {one.pid for one in up.agents()} == before
        await asyncio.to_thread(server.start)

        async def back() -> bool:
            return await served(http) == (200, "eu")

        await waiting.until(back, deadline=LONG, every=0.2)
        await ready(eu, 2)
        assert {one.pid for one in up.agents()} == before

        # It moves to the installation's own, under load, with a session open.
        async with http.ws_connect("/devtools/browser?region=eu&keep_alive=60000") as socket:
            await socket.send_json({"id": 1, "method": "Browser.getVersion"})
            assert (await socket.receive_json(timeout=30))["id"] == 1
            up.manifest.write_text(yaml.safe_dump_all(pools(movingFrom=OWN)))
            answers: list[tuple[int, str]] = []
            moved = asyncio.Event()

            async def load() -> None:
                while not moved.is_set():
                    answers.append(await served(http))

            async with asyncio.TaskGroup() as group:
                group.create_task(load())
                try:
                    await waiting.until(lambda: has_moved(home, eu), deadline=2 * LONG, every=0.1)
                finally:
                    moved.set()
            assert len(answers) > 3
            assert {status for status, _ in answers} == {200}
            await socket.send_json({"id": 2, "method": "Browser.getVersion"})
            assert (await socket.receive_json(timeout=30))["id"] == 2
            await socket.send_json({"id": 3, "method": "Browser.close"})
            with contextlib.suppress(TypeError):
                while True:
                    await socket.receive_json(timeout=30)
        await waiting.until(lambda: _nothing(eu), deadline=LONG, every=0.1)
        await ready(home, 2)
        assert await sessions.listing(home) == []

        # Nobody needs it any more.
        up.manifest.write_text(yaml.safe_dump_all(pools()))
        await waiting.until(lambda: "pair keeps us 1, eu 2" in up.said(), deadline=LONG)
        await asyncio.to_thread(server.stop)
        assert await served(http) == (200, "eu")
        await asyncio.to_thread(server.start)
    await up.whole()


async def has_moved(home: connect.Database, eu: connect.Database) -> bool:
    """All that is left behind is the browser whose session goes on."""
    return BrowserState.READY in (await alive(home)).values() and list((await alive(eu)).values()) == [
        BrowserState.CLAIMED
    ]


async def _nothing(db: connect.Database) -> bool:
    return await alive(db) == {}


@pytest.mark.parametrize("name", ["eu", "another"])
async def test_a_regions_database_that_is_lost_for_good_is_replaced_by_an_empty_one(
    up: stack.Stack, server: postgres.Server, tmp_path: pathlib.Path, name: str
) -> None:
    """Behind the same address, or by another connection string."""
    async with up.client() as http:
        async with connect.opened(server.dsn("eu"), process="test") as eu:
            await ready(eu, 2)
            assert await served(http) == (200, "eu")
        before = {one.pid for one in up.agents()}
        await asyncio.to_thread(server.stop, "immediate")
        assert await served(http) == (200, "us")
        await asyncio.to_thread(server.start)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("drop database eu with (force)")
            connection.execute(f"create database {name}")
        (tmp_path / "eu-db" / "dsn").write_text(server.dsn(name))
        await waiting.until(lambda: _served_by_eu(http), deadline=LONG, every=0.5)
        async with connect.opened(server.dsn(name), process="test") as eu:
            await ready(eu, 2)
        assert len(before & {one.pid for one in up.agents()}) == 1, "all but that of region us are others"
    await up.whole()


async def _served_by_eu(http: aiohttp.ClientSession) -> bool:
    return await served(http) == (200, "eu")
