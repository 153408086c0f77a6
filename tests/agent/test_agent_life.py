"""A real agent with a real Chromium: it starts, loses it, gets it back, and ends without leaving anything."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from browserpool.model import agentapi
from support import agents, waiting

NOT_TO_BE_READY = {"aiohttp", "prometheus_client", "pydantic", "pyppeteer.launcher"}
"""What takes longer to import than Chromium takes to start, and is needed by requests alone."""
SLOW = {"html": "<p>slow</p>", "waitForTimeout": 30_000}


async def test_it_says_hello_and_then_that_it_is_healthy_and_clean(agent, router):
    [hello] = router.hellos
    assert hello["browser_id"] == agents.BROWSER
    assert hello["address"] == agent.address
    assert "Chrom" in hello["chromium"]
    assert router.newest["incarnation"] == router.incarnation
    assert router.newest["clean_fence"] == agents.FIRST_FENCE
    assert router.newest["memory_bytes"] > 10_000_000
    numbers = [beat["sequence"] for beat in router.heartbeats]
    assert numbers == sorted(set(numbers))


def test_what_only_requests_need_is_not_imported_before_it_is_ready():
    loaded = "import sys; from browserpool.agent import __main__, app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert NOT_TO_BE_READY & set(done.stdout.split()) == set()


async def test_probes_and_metrics(agent):
    async with agent.http.get(agent.url + agentapi.HEALTHZ) as answer:
        assert answer.status == 200
    async with agent.http.get(agent.url + agentapi.READYZ) as answer:
        assert answer.status == 200
    async with agent.http.get(agent.url + agentapi.METRICS) as answer:
        assert "browserpool_chromium_start_seconds_count 1.0" in await answer.text()


async def test_probes_and_metrics_on_a_port_of_their_own(router, tmp_path):
    async with agents.agent(router, tmp_path, ops_port=0) as agent:
        [line] = [line for line in agent.log.read_text().splitlines() if "probes and metrics" in line]
        ops = line.rpartition("address=")[2]
        async with agent.http.get(f"http://{ops}/readyz") as answer:
            assert answer.status == 200
        for path in (agentapi.HEALTHZ, agentapi.READYZ, agentapi.METRICS):
            async with agent.http.get(agent.url + path) as answer:
                assert answer.status == 404


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "wedged"])
async def test_a_chromium_that_dies_or_hangs_is_replaced_whole(agent, router, number):
    lost = agent.group
    await waiting.until(lambda: len(agents.group_members(lost)) > 1)
    before = len(router.heartbeats)
    os.kill(lost, number)
    await waiting.until(lambda: agent.group not in (0, lost), deadline=30)
    await agent.healthy(beyond=before)
    await waiting.until(lambda: router.newest["restarts"] == 1)
    assert agents.group_members(lost) == set()
    assert len(agents.homes(agent.base)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "wedged"])
async def test_an_action_that_runs_when_chromium_dies_or_hangs_fails_soon(agent, fences, number):
    token = agents.token(next(fences))
    async with asyncio.timeout(25), asyncio.TaskGroup() as group:
        action = group.create_task(agent.post("/v1/actions/content", token, SLOW))
        await waiting.until(lambda: agent.router.newest["load"] == 1)
        os.kill(agent.group, number)
        status, body = await action
    assert status in (502, 422)
    assert body["success"] is False
    assert body["errors"][0]["code"] in (6000, 6001)
    status, _ = await agent.post("/v1/actions/content", token, {"html": "<p>again</p>"})
    assert status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_leaves_nothing(agent, number):
    group = agent.group
    assert await asyncio.to_thread(agent.stop, number) == 0
    assert agents.group_members(group) == set()
    assert agents.chromiums(agent.base) == set()
    assert agents.homes(agent.base) == set()


async def test_told_to_stop_it_finishes_what_runs_and_takes_nothing_new(router, tmp_path, fences):
    async with agents.agent(router, tmp_path, grace=20) as agent, asyncio.TaskGroup() as group:
        token = agents.token(next(fences))
        body = {"html": "<p>finished</p>", "waitForTimeout": 2000}
        action = group.create_task(agent.post("/v1/actions/content", token, body))
        await waiting.until(lambda: router.newest["load"] == 1)
        agent.process.send_signal(signal.SIGTERM)
        await waiting.until(lambda: router.newest["healthy"] is False)
        status, answer = await action
        assert (status, "finished" in answer["result"]) == (200, True)
        assert await asyncio.to_thread(agent.process.wait, 20) == 0


async def test_killed_it_leaves_no_process_and_the_next_agent_sweeps_its_home(agent, router):
    group = agent.group
    assert agent.stop(signal.SIGKILL) == -signal.SIGKILL
    await waiting.until(lambda: not agents.group_members(group))
    left = agents.homes(agent.base)
    assert len(left) == 1
    async with agents.agent(router, agent.base) as following:
        await waiting.until(lambda: not left & agents.homes(agent.base))
        assert len(agents.homes(agent.base)) == 1
        assert following.group != group


async def test_forgotten_by_the_store_it_stops(agent, router):
    router.known = False
    assert await asyncio.to_thread(agent.process.wait, 20) == 3
    assert agents.homes(agent.base) == set()


@pytest.mark.parametrize("binary", ["/bin/false", "/bin/cat"], ids=["ends at once", "is no Chromium"])
async def test_without_a_chromium_that_stays_up_it_gives_up(router, tmp_path, binary):
    environment = agents.environment(router, base=tmp_path, chromium=binary)
    process = agents.spawn(environment, tmp_path / "agent.log")
    assert await asyncio.to_thread(process.wait, 60) == 4
    assert "gives up" in (tmp_path / "agent.log").read_text()
    assert agents.homes(tmp_path) == set()
    assert router.hellos == []


async def test_settings_that_cannot_be_used_are_named(router, tmp_path):
    environment = agents.environment(router, base=tmp_path, recycle_after="often", chromium_args="--not json")
    process = agents.spawn(environment, tmp_path / "agent.log")
    assert await asyncio.to_thread(process.wait, 20) == 2
    said = (tmp_path / "agent.log").read_text()
    assert "BROWSERPOOL_RECYCLE_AFTER" in said
    assert "BROWSERPOOL_CHROMIUM_ARGS" in said


async def test_it_waits_for_a_router_that_is_not_up_yet(router, tmp_path):
    router.status = 404
    process = agents.spawn(agents.environment(router, base=tmp_path), tmp_path / "agent.log")
    try:
        await waiting.until(lambda: "not welcomed yet" in (tmp_path / "agent.log").read_text(), deadline=30)
        router.status = 200
        await waiting.until(lambda: router.newest.get("healthy"), deadline=30)
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
