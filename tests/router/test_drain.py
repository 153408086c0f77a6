"""How a router stops: in this process for the order of things, as a real process for the signal and the exit code."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from browserpool.lib import settings as lib_settings
from browserpool.model import claims
from browserpool.model.names import SessionId
from browserpool.router import app
from browserpool.store import connect, sessions
from support import routers, waiting

BODY = {"html": "x"}


async def test_it_refuses_what_is_new_finishes_what_runs_and_leaves_sessions_to_other_routers(
    dsn: str, database: connect.Database
) -> None:
    async with routers.rig(dsn, database) as rig:
        busy, _ = await rig.make_pool(browsers_=2)
        busy.gate.clear()
        running = rig.background.spawn(rig.post("/v1/screenshot?node=node-0", BODY), name="running")
        await waiting.until(lambda: busy.running == 1)
        socket = await rig.client.ws_connect(f"{rig.ws}/devtools/browser", headers=rig.bearer())
        session_id = socket._response.headers["X-Browserpool-Session"]
        queued = rig.background.spawn(rig.post("/v1/screenshot", BODY), name="queued")
        await waiting.until(lambda: rig.running.services.claiming.waiting.depth("small") == 1)

        draining = rig.background.spawn(app.drain(rig.running.services), name="drain")
        await waiting.until(rig.running.services.stopping.is_set)
        for method, path in (("POST", "/v1/screenshot"), ("POST", "/devtools/browser"), ("GET", "/readyz")):
            refused = await rig.request(method, path, json=BODY)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert (await rig.request("GET", "/healthz")).status == 200
        assert (await queued).status == 503
        closing = await socket.receive(timeout=10)
        assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert "reconnect" in closing.extra
        assert not draining.done()
        busy.gate.set()
        assert (await running).status == 200
        await draining
    live = await sessions.live(database, SessionId(session_id))
    assert live is not None
    async with routers.rig(dsn, database) as other:
        secret = await other.make_token("tester")
        answer = await other.request("GET", f"/devtools/session/{session_id}", secret=secret)
        assert answer.status == 200
        assert len(await sessions.listing(database)) == 1


async def test_it_ends_its_sessions_if_it_is_told_to(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database, release_on_exit=True) as rig:
        await rig.make_pool(browsers_=2)
        session_ids = [(await rig.post("/devtools/browser")).json["sessionId"] for _ in range(2)]
    assert await sessions.listing(database) == []
    for session_id in session_ids:
        past = await sessions.history(database, SessionId(session_id))
        assert past is not None
        assert past.reason is claims.CloseReason.SHUTDOWN


async def test_an_action_that_does_not_finish_in_time_does_not_hold_it(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database, drain_timeout=0.2) as rig:
        [agent] = await rig.make_pool()
        agent.gate.clear()
        running = rig.background.spawn(rig.post("/v1/screenshot", BODY), name="running")
        await waiting.until(lambda: agent.running == 1)
    with contextlib.suppress(aiohttp.ClientError, asyncio.CancelledError):
        await running
    assert await sessions.listing(database) == []


# ---------------------------------------------------------------- the process


@contextlib.asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "browserpool.router",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "operator", **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def address_of(started: asyncio.subprocess.Process) -> str:
    assert started.stderr is not None
    async with asyncio.timeout(60):
        async for line in started.stderr:
            if found := re.search(rb"router serves.*address=(\S+)", line):
                return found[1].decode()
    raise AssertionError("it never served")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_0(dsn: str, number: signal.Signals) -> None:
    config = routers.config(dsn, ops_port=None, region="eu", regions=("eu", "us"))
    environment = lib_settings.to_environment(config.model_copy(update={"regions": ()}))
    environment.update(BROWSERPOOL_REGIONS="eu,us")
    async with process(environment) as started:
        address = await address_of(started)
        async with aiohttp.ClientSession() as client, client.get(f"http://{address}/readyz") as answer:
            assert answer.status == 200
        started.send_signal(number)
        # communicate, not wait: nobody else reads what it still says, and a full pipe would hold it.
        _, said = await asyncio.wait_for(started.communicate(), 60)
        assert started.returncode == 0, said.decode()


async def test_settings_that_cannot_be_used_are_told_by_name() -> None:
    async with process({"BROWSERPOOL_PORT": "many", "BROWSERPOOL_DSN": "x"}) as started:
        _, said = await asyncio.wait_for(started.communicate(), 60)
        assert started.returncode == 2
        assert b"BROWSERPOOL_PORT" in said
        assert b"BROWSERPOOL_SIGNING_KEY" in said
        assert b"Traceback" not in said


async def test_a_store_that_cannot_be_reached_is_told_in_one_sentence() -> None:
    environment = {
        "BROWSERPOOL_DSN": "host=/nowhere-at-all",
        "BROWSERPOOL_SIGNING_KEY": "k" * 32,
        "BROWSERPOOL_PORT": "0",
    }
    async with process(environment) as started:
        _, said = await asyncio.wait_for(started.communicate(), 60)
        assert started.returncode == 1
        assert b"The router cannot start" in said
        assert b"Traceback" not in said
