"""A router that is told to stop while a database hangs: one that takes connections, and says nothing on any of them."""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from browserpool.lib import chance, clock, tasks
from browserpool.lib import settings as lib_settings
from browserpool.model import browsers, credentials, names, pool, tokens
from browserpool.store import browsers as browser_rows
from browserpool.store import connect, pools
from browserpool.store import tokens as token_rows
from support import postgres, routers, waiting

MOST = 20.0
"""Seconds for a stop under which nothing runs: the chart gives a pod 30 more than its drain, of which 5 pass before SIGTERM. A router on an
idle machine takes a third of it."""
EU = "eu-db/dsn"
BODY = {"html": "x"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A router as a process. What it says goes to a file: a pipe that nobody reads would fill up, and hold it."""

    process: asyncio.subprocess.Process
    log: pathlib.Path
    client: aiohttp.ClientSession
    secret: str

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"router serves.*address=(\S+)", self.said)
        return f"http://{found[1]}" if found else ""

    async def shot(self) -> int:
        headers = {"Authorization": f"Bearer {self.secret}"}
        async with self.client.post(f"{self.url}/v1/screenshot", json=BODY, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def stopped(self) -> float:
        """The seconds that it takes after SIGTERM, at most thrice ``MOST``."""
        began = clock.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), 3 * MOST)
        return clock.monotonic() - began


@contextlib.asynccontextmanager
async def process(
    dsn: str, database: connect.Database, tmp_path: pathlib.Path, **changes: Any
) -> AsyncIterator[Process]:
    secret = chance.secret()
    await token_rows.put(database, tokens.Token(name=names.TokenName("tester"), hash=credentials.hashed(secret)))
    config = routers.config(dsn, region="eu", ops_port=None, secrets_dir=str(tmp_path), **changes)
    with (tmp_path / "log").open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "browserpool.router",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": "operator", **lib_settings.to_environment(config)},
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as client:
            made = Process(process=started, log=tmp_path / "log", client=client, secret=secret)
            await waiting.until(lambda: made.url, deadline=60)
            yield made
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@contextlib.asynccontextmanager
async def agent(
    router: Process, home: connect.Database, at: connect.Database, *, database: str, background: tasks.Background
) -> AsyncIterator[routers.Agent]:
    """The one browser of a pool in region eu, which is registered in ``at``."""
    ref = {"databaseSecretRef": {"name": "eu-db"}} if database else {}
    spec = pool.PoolSpec.model_validate({"replicas": 1, "regions": [{"name": "eu", **ref}]})
    manifest = pool.BrowserPool(metadata=pool.Metadata(name="small"), spec=spec)
    await pools.put(home, manifest)
    browser_id = names.browser_id(pool=manifest.name, region=names.RegionName("eu"), ordinal=0)
    row = browsers.Registration(
        browser_id=browser_id,
        pool=manifest.name,
        region=names.RegionName("eu"),
        zone=names.ZoneName("zone"),
        node=names.NodeName("node"),
        template_hash="t",
    )
    await browser_rows.register(at, row)
    made = routers.Agent(browser_id=browser_id, router_url=router.url, client=router.client, database=database)

    try:
        if database:
            await waiting.until(lambda: "a region's database answers" in router.said, deadline=60)
        await made.start(background)
        yield made
    finally:
        await made.stop()


@pytest.mark.parametrize("which", ["home", "region"])
@pytest.mark.parametrize("release_on_exit", [False, True])
async def test_it_stops_in_time_and_says_what_it_could_not_write(
    hanging: postgres.Server, dsn: str, tmp_path: pathlib.Path, which: str, release_on_exit: bool
) -> None:
    with postgres.clone(hanging) as hung_dsn:
        home_dsn, database = (hung_dsn, "") if which == "home" else (dsn, EU)
        (tmp_path / "eu-db").mkdir()
        (tmp_path / "eu-db" / "dsn").write_text(hung_dsn)
        async with (
            connect.opened(home_dsn, process="tests") as home,
            connect.opened(hung_dsn, process="tests") as at,
            process(home_dsn, home, tmp_path, release_on_exit=release_on_exit) as router,
            tasks.Background(grace=0.1) as background,
            agent(router, home, at, database=database, background=background) as browser,
        ):
            await waiting.until(lambda: _served(router), deadline=60, every=0.2)
            browser.gate.clear()
            running = background.spawn(router.shot(), name="running")
            await waiting.until(lambda: browser.running == 1)
            with hanging.hung():
                stopping = background.spawn(router.stopped(), name="stop")
                await waiting.until(lambda: "router stops" in router.said, deadline=60)
                browser.gate.set()
                assert await running == 200, "what runs is finished"
                seconds = await stopping
                assert router.process.returncode == 0, router.said
                assert seconds < MOST, f"it took {seconds:.1f} s\n{router.said}"
        [line] = [line for line in router.said.splitlines() if "stopped without having written" in line]
        assert f"releases={{'{database or 'home'}': 1}}" in line
        assert ("requests=0" in line) == (which == "region")
        assert "Traceback" not in router.said.partition("router stops")[2]


async def _served(router: Process) -> bool:
    return await router.shot() == 200
