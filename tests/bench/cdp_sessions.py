"""CDP through the router: what a round trip costs more than to the browser itself, and claim and connect."""

import asyncio
import statistics
import time

from bench import figures, rawcdp, stack
from support import waiting

TRIPS = 2000
CLAIMS = 30


async def round_trips(cdp, number):
    taken = []
    for _ in range(number):
        began = time.perf_counter()
        await cdp.call("Browser.getVersion")
        taken.append((time.perf_counter() - began) * 1000)
    return taken


async def claim_and_connect(http, running):
    """Seconds from nothing to the first answer of the browser; the session is then ended and its browser waited for."""
    began = time.perf_counter()
    cdp = await rawcdp.Cdp.connect(http, f"{running.url}/devtools/browser?keep_alive=10000", headers=running.headers)
    await cdp.call("Browser.getVersion")
    took = time.perf_counter() - began
    await cdp.close()
    async with http.get(f"{running.url}/devtools/session", headers=running.headers) as answer:
        open_sessions = [
            one["sessionId"] for one in await answer.json() if "endTime" not in one or one["endTime"] is None
        ]
    for session in open_sessions:
        async with http.delete(f"{running.url}/devtools/browser/{session}", headers=running.headers) as answer:
            assert answer.status == 200, await answer.text()
    return took * 1000


async def whole_again(http, running, *, replicas):
    async def ready():
        async with http.get(f"{running.url}/v1/status", headers=running.headers) as answer:
            status = await answer.json()
        return sum(browser["state"] == "ready" for browser in status["browsers"]) >= replicas

    await waiting.until(ready, deadline=60, every=0.1)


async def measure(progress):
    async with stack.up(replicas=2) as running, rawcdp.Chrome() as chrome, stack.client() as http:
        connects = []
        for _ in progress(range(CLAIMS), "claim and connect"):
            connects.append(await claim_and_connect(http, running))
            await whole_again(http, running, replicas=2)
        cdp = await rawcdp.Cdp.connect(
            http, f"{running.url}/devtools/browser?keep_alive=60000", headers=running.headers
        )
        direct, routed = [], []
        for _ in progress(range(TRIPS // 100), "CDP round trips"):
            direct += await round_trips(chrome.cdp, 100)
            routed += await round_trips(cdp, 100)
        await cdp.close()
    return rows(connects, direct, routed)


def rows(connects, direct, routed):
    floor, through = statistics.median(direct), statistics.median(routed)
    return [
        figures.Figure(
            name="claim and connect, to the browser's first answer",
            value=statistics.median(connects),
            unit="ms p50",
            target="≤ 15",
        ),
        figures.Figure(name="CDP round trip: to Chromium itself", value=floor, unit="ms p50"),
        figures.Figure(
            name="CDP round trip: through router and agent",
            value=through,
            unit="ms p50",
            floor_value=floor,
            ratio=through / floor,
        ),
        figures.Figure(
            name="CDP round trip: what router and agent add", value=through - floor, unit="ms p50", target="≤ 0.3"
        ),
    ]


def run(progress):
    return asyncio.run(measure(progress))
