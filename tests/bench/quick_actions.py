"""Quick actions at the agent and through the router, against bare CDP on a page made ahead. Methods in turn, medians."""

import asyncio
import statistics
import time

from bench import figures, rawcdp, stack
from browserpool.model import credentials
from browserpool.model.claims import ClaimRequest, SessionKind
from browserpool.model.names import HolderId, PoolName, RegionName, SessionId
from browserpool.store import connect, leases
from support import waiting

RUNS = {"screenshot": 60, "content": 40, "pdf": 20}
PAIRS = 200
"""Runs of the smallest action, for what the router adds: that is less than what a page's own time varies by."""
VIEWPORT = {"width": 1280, "height": 720}
SETTLE = 0.12
"""Seconds between two measurements: the agent refills its spare page then, and must not do so on another method's time."""


def body(action, url):
    if url is None:
        return {"html": "<p>"}
    options = {"url": url, "viewport": VIEWPORT, "gotoOptions": {"waitUntil": "load"}}
    return options | ({"pdfOptions": {"printBackground": True}} if action == "pdf" else {})


class Agent:
    """The pool's one browser, claimed by hand, and asked without a router."""

    def __init__(self, claim, signing_key):
        self.claim = claim
        key = credentials.claim_key(signing_key=signing_key, browser_id=claim.browser_id)
        token = credentials.ClaimToken(
            browser_id=claim.browser_id,
            session_id=claim.session_id,
            fence=claim.fence,
            kind="action",
            expires=claim.expires_at.timestamp(),
        )
        self.headers = {"Authorization": f"Bearer {credentials.sign(token, key=key)}"}

    @classmethod
    async def claimed(cls, db, running):
        request = ClaimRequest(
            session_id=SessionId(f"bench-{time.monotonic_ns()}"),
            pool=PoolName("bench"),
            region=RegionName("local"),
            kind=SessionKind.ACTION,
            keep_alive=600,
            holder=HolderId("bench"),
        )
        answer = await waiting.until(lambda: claimed(db, request), deadline=30)
        return cls(answer, (running.data / "signing-key").read_text().strip())

    async def act(self, http, action, url):
        target = f"http://{self.claim.address}/v1/actions/{action}"
        async with http.post(target, json=body(action, url), headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def release(self, http, db):
        async with http.post(f"http://{self.claim.address}/v1/end", headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
        await leases.release(db, session_id=self.claim.session_id, fence=self.claim.fence, clean=True)


async def claimed(db, request):
    return (await leases.claim(db, request)).claim


async def floor(chrome, action, url):
    page = await rawcdp.Page.make(chrome.cdp, **VIEWPORT)
    await asyncio.sleep(SETTLE)
    began = time.perf_counter()
    await page.navigate(url)
    await getattr(page, action)()
    took = time.perf_counter() - began
    await page.dispose()
    return took


async def timed(work):
    await asyncio.sleep(SETTLE)
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def through_router(http, running, action, url):
    address = f"{running.url}/v1/{action}?cacheTTL=0"
    async with http.post(address, json=body(action, url), headers=running.headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def at_agent(http, db, running, action, url):
    """One action of a fresh claim; claim and release are not in the figure, as they are the router's."""
    agent = await Agent.claimed(db, running)
    try:
        return await timed(agent.act(http, action, url))
    finally:
        await agent.release(http, db)


async def measure(progress):
    found = []
    async with (
        stack.pages() as site,
        stack.up() as running,
        rawcdp.Chrome() as chrome,
        stack.client() as http,
        connect.opened(running.dsn, process="bench", max_size=2) as db,
    ):
        cases = [("screenshot", "small"), ("screenshot", "heavy"), ("content", "small"), ("pdf", "small")]
        for action, page in cases:
            url = f"{site}/{page}"
            seconds = {"floor": [], "agent": [], "router": []}
            for number in progress(range(RUNS[action] + 2), f"{action} of the {page} page"):
                sample = {
                    "floor": await floor(chrome, action, url),
                    "agent": await at_agent(http, db, running, action, url),
                    "router": await timed(through_router(http, running, action, url)),
                }
                if number >= 2:  # the first two warm the caches
                    for method, took in sample.items():
                        seconds[method].append(took * 1000)
            found += rows(action, page, seconds)
        found.append(await alone(http, db, running, progress))
    return found


async def alone(http, db, running, progress):
    """What the router adds where nearly nothing else is done; who is first takes turns."""
    ways = {
        "router": lambda: timed(through_router(http, running, "content", None)),
        "agent": lambda: at_agent(http, db, running, "content", None),
    }
    added = []
    for number in progress(range(PAIRS), "what the router adds"):
        order = ("router", "agent") if number % 2 else ("agent", "router")
        seconds = {way: await ways[way]() for way in order}
        added.append((seconds["router"] - seconds["agent"]) * 1000)
    value = statistics.median(added)
    return figures.Figure(
        name="content of one paragraph: what the router adds", value=value, unit="ms p50", target="≤ 3"
    )


def rows(action, page, seconds):
    median = {method: statistics.median(taken) for method, taken in seconds.items()}
    name = f"{action}, {page} page"
    targets = {"agent": "≤ 1.15", "router": "≤ 1.25"} if action == "screenshot" else {}
    added = statistics.median(r - a for r, a in zip(seconds["router"], seconds["agent"], strict=True))
    return [
        figures.Figure(name=f"{name}: bare CDP, made ahead", value=median["floor"], unit="ms p50"),
        *(
            figures.Figure(
                name=f"{name}: {where}",
                value=median[method],
                unit="ms p50",
                floor_value=median["floor"],
                ratio=median[method] / median["floor"],
                target=targets.get(method),
            )
            for method, where in (("agent", "at the agent"), ("router", "through the router"))
        ),
        figures.Figure(name=f"{name}: what the router adds", value=added, unit="ms p50", target="≤ 3"),
    ]


def run(progress):
    return asyncio.run(measure(progress))
