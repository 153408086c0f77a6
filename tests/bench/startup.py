"""An agent from exec to ready, against the browser's own start; what the agent itself keeps in memory."""

import asyncio
import pathlib
import statistics
import tempfile
import time

from bench import figures, rawcdp
from support import agents

RUNS = 15


def resident(pid):
    """The process's own resident memory in MB, its children not counted."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


async def measure(progress):
    browser, whole, served, memory = [], [], [], []
    for number in progress(range(RUNS + 1), "starts"):
        async with rawcdp.Chrome() as chrome:
            own = chrome.started * 1000
        with tempfile.TemporaryDirectory() as directory:
            began = time.perf_counter()
            async with agents.router() as router, agents.agent(router, pathlib.Path(directory)) as agent:
                # It has said hello to its router, and then that it is healthy.
                took = (time.perf_counter() - began) * 1000
                # It listens, but serves only when it has imported the rest, which its memory is to hold, too.
                async with agent.http.get(f"{agent.url}/readyz") as answer:
                    assert answer.status == 200, await answer.text()
                answered = (time.perf_counter() - began) * 1000
                rss = resident(agent.process.pid)
        if number:  # the first fills the file cache
            browser.append(own)
            whole.append(took)
            served.append(answered)
            memory.append(rss)
    floor, agent_start = statistics.median(browser), statistics.median(whole)
    return [
        figures.Figure(name="Chromium, exec until CDP answers", value=floor, unit="ms p50"),
        figures.Figure(
            name="agent, exec until its router has heard that it is ready",
            value=agent_start,
            unit="ms p50",
            floor_value=floor,
            ratio=agent_start / floor,
            target="≤ 3",
        ),
        figures.Figure(
            name="agent, exec until it has answered a request", value=statistics.median(served), unit="ms p50"
        ),
        figures.Figure(name="agent's own memory, idle", value=statistics.median(memory), unit="MB RSS", target="≤ 80"),
    ]


def run(progress):
    return asyncio.run(measure(progress))
