"""Quick actions a second of one browser, for one and for four at a time (``sessions.actionsPerBrowser``), eight callers asking."""

import asyncio
import time

from bench import figures, stack

CALLERS = 8
ROUNDS = 3
SECONDS = 6.0
"""Of each measurement; the two kinds of pool take turns."""
AT_ONCE = (1, 4)
WAIT = 500
"""Milliseconds that a page that waits (for its own scripts, for a slow server) keeps a browser without work for it."""


def bodies(site):
    small = {"url": f"{site}/small", "viewport": {"width": 1280, "height": 720}}
    return {
        "screenshot of the small page": ("screenshot", small),
        "content of the small page": ("content", small),
        f"content of a page that waits {WAIT} ms": ("content", small | {"waitForTimeout": WAIT}),
    }


async def rate(http, running, action, body):
    """Answers a second."""
    ends, done = time.perf_counter() + SECONDS, 0

    async def caller():
        nonlocal done
        while time.perf_counter() < ends:
            async with http.post(f"{running.url}/v1/{action}?cacheTTL=0", json=body, headers=running.headers) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            done += time.perf_counter() < ends

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return done / SECONDS


async def measure(progress):
    found = []
    async with stack.pages() as site, stack.client() as http:
        cases, rates = bodies(site), {}
        for number in progress(range(ROUNDS * len(AT_ONCE)), "actions that share a browser"):
            at_once = AT_ONCE[number % len(AT_ONCE)]
            async with stack.up(sessions={"actionsPerBrowser": at_once}) as running:
                for name, (action, body) in cases.items():
                    rates.setdefault((name, at_once), []).append(await rate(http, running, action, body))
    for name in cases:
        one, several = (sorted(rates[name, at_once])[ROUNDS // 2] for at_once in AT_ONCE)
        found += [
            figures.Figure(name=f"{name}: one browser, {AT_ONCE[0]} at a time", value=one, unit="a second"),
            figures.Figure(
                name=f"{name}: one browser, {AT_ONCE[1]} at a time", value=several, unit="a second", floor_value=one,
                ratio=several / one,
            ),
        ]  # fmt: skip
    return found


def run(progress):
    return asyncio.run(measure(progress))
