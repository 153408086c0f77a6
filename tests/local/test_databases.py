"""Regions' databases on one machine: what a killed run left is forgotten, and nothing that is there."""

import asyncio
import dataclasses

from browserpool.controller import apply, installation
from browserpool.controller.desired import plan, seen
from browserpool.local import up
from browserpool.model.names import BrowserId, DatabaseName, NodeName, PoolName, RegionName, ZoneName
from browserpool.store import browsers, databases
from support import postgres, waiting

OWN = DatabaseName("own/dsn")


class Hands:
    """Remembers what it has started."""

    def __init__(self):
        self.started = set()

    def place(self, _):
        return seen.Place(zone=ZoneName(""), node=NodeName(""))

    async def create(self, action, _):
        self.started.add(action.browser_id)

    async def delete(self, browser_id):
        self.started.discard(browser_id)


def create(number):
    browser_id = BrowserId(f"shop-eu-{number}")
    made = plan.Create(browser_id=browser_id, region=RegionName("eu"), ordinal=number, template_hash="t")
    return dataclasses.replace(made, database=OWN)


async def test_what_is_made_while_its_database_is_opened_anew_stays(database, postgres_server, tmp_path, monkeypatch):
    """Its row is written, and its agent not yet started, when the database is closed."""
    monkeypatch.setattr(databases, "PROBE_EVERY", 0.1)
    monkeypatch.setattr(databases, "_READ_EVERY", 0.1)
    hands, pool = Hands(), PoolName("shop")
    options = up.Options(file=tmp_path / "pool.yaml", port=0, data=tmp_path, secrets=tmp_path)
    (tmp_path / "own").mkdir()
    with postgres.clone(postgres_server) as dsn:
        (tmp_path / "own" / "dsn").write_text(dsn)
        regional = installation.Regional("tests")
        async with up._databases(options, database, regional, living=lambda: frozenset(hands.started)) as stores:
            stores.follow([OWN])
            await stores.tried(within=10)
            assert await apply.carry_out(stores, hands, pool, [create(0)]) == []
            before = stores.of(OWN)
            async with asyncio.TaskGroup() as group, postgres.held(dsn, "browsers"):
                making = group.create_task(apply.carry_out(stores, hands, pool, [create(1)]))
                await waiting.until(lambda: before.use.taken)
                (tmp_path / "own" / "dsn").write_text(f"{dsn} connect_timeout=3")
                await waiting.until(stores.away)
                assert not hands.started & {"shop-eu-1"}, "its row is still being written"
            assert making.result() == []
            await waiting.until(lambda: not stores.away(), deadline=30)
            rows = await browsers.listing(stores.of(OWN))
            assert stores.of(OWN).pool is not before.pool
            assert [(row.browser_id, str(row.state)) for row in rows] == [
                ("shop-eu-0", "starting"),
                ("shop-eu-1", "starting"),
            ]
