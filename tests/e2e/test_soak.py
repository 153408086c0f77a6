"""A thousand actions of every kind, many of whose clients go away: afterwards the installation is as it was."""

import asyncio
import collections
import random

import aiohttp
import pytest

from support import browsers, stack, waiting

ACTIONS = 1000
WARM = 80
AT_ONCE = 8
SEED = 20_261_125
GROWTH_OF_PROCESS = 64 * 1024**2
"""Bytes by which the router or an agent may have grown: buffers and caches that fill once. A leak of each answer would be more."""
GROWTH_OF_TREE = 192 * 1024**2
"""Bytes by which an agent and its Chromium may have: that has anything from none to fifty callers behind it at either moment."""

PAGE = "<!doctype html><title>Soak</title><a href=http://a.test/>a</a><h1>Here</h1>" + "<p>it is</p>" * 20
SMALL = {"html": PAGE, "viewport": {"width": 200, "height": 150}}
TROUBLES = {
    "alerts": "<script>for (let i = 0; i < 5; i++) alert(i)</script>",
    "windows": "<script>open('about:blank'); open('about:blank')</script>",
    "worker": "<script>new Worker(URL.createObjectURL(new Blob(['postMessage(1)'])))</script>",
    "frames": "<iframe srcdoc=x></iframe>" * 3,
}
BODIES = {
    "content": {},
    "markdown": {},
    "links": {},
    "scrape": {"elements": [{"selector": "h1"}]},
    "accessibilityTree": {},
    "screenshot": {},
    "snapshot": {},
    "pdf": {},
}
WEIGHTS = (6, 4, 4, 4, 3, 4, 1, 1)
LEAVERS = 0.25


def job(dice: random.Random) -> tuple[str, dict[str, object], float | None, int]:
    """One action: its name, its body, the seconds after which its client goes away, and the status that it must get if he does not."""
    (name,) = dice.choices(list(BODIES), WEIGHTS)
    body = {**SMALL, **BODIES[name]}
    expected = 200
    if dice.random() < 0.2:
        body["html"] = PAGE + dice.choice(list(TROUBLES.values()))
    if dice.random() < 0.05:
        body, expected = {**body, "waitForSelector": {"selector": "#never", "timeout": 50}}, 422
    return name, body, dice.uniform(0.0, 0.4) if dice.random() < LEAVERS else None, expected


async def act(
    client: aiohttp.ClientSession,
    seen: collections.Counter[str],
    wanted: tuple[str, dict[str, object], float | None, int],
) -> None:
    name, body, patience, expected = wanted
    try:
        async with asyncio.timeout(patience), client.post(f"/v1/{name}?cacheTTL=0", json=body) as answer:
            said = await answer.read()
    except TimeoutError:
        seen["left"] += 1
        return
    seen["answered" if answer.status == expected else f"{name} {answer.status} {said[:300]!r}"] += 1


async def run(client: aiohttp.ClientSession, dice: random.Random, number: int) -> collections.Counter[str]:
    """``number`` actions, ``AT_ONCE`` at a time."""
    seen: collections.Counter[str] = collections.Counter()
    jobs = iter([job(dice) for _ in range(number)])

    async def worker() -> None:
        for wanted in jobs:
            await act(client, seen, wanted)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return seen


def sizes(up: stack.Stack) -> dict[str, tuple[int, int]]:
    """By process id, of the router and each agent: its own proportional memory, and that of its tree."""
    everybody = up.processes()
    return {
        f"{one.pid} {one.command}": (
            one.proportional_bytes(),
            sum(each.proportional_bytes() for each in below(one, everybody)),
        )
        for one in (up.router(), *up.agents())
    }


def below(top: stack.Process, everybody: list[stack.Process]) -> list[stack.Process]:
    """``top`` and all that descends from it."""
    found = [top]
    for one in found:
        found += [child for child in everybody if child.parent == one.pid]
    return found


@pytest.mark.timeout(600)
async def test_a_thousand_actions_whose_clients_come_and_go(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    dice = random.Random(SEED)
    await run(http, dice, WARM)
    await up.whole()
    before, then = len(await up.past()), sizes(up)

    seen = await run(http, dice, ACTIONS)
    assert set(seen) == {"answered", "left"}, seen
    assert seen["left"] > ACTIONS * LEAVERS / 4, "too few have left for this to say anything"

    await up.whole()
    past = (await up.past())[before:]
    assert seen["answered"] <= len(past) <= ACTIONS
    assert {int(one.reason) for one in past} == {1}
    assert stack.overlaps(past) == []
    for chromium in up.chromiums():
        await browsers.clean(chromium)
    await waiting.until(lambda: not [one for one in up.processes() if one.state == "Z"], deadline=10)
    # A directory for each Chromium, and not one more.
    await waiting.until(lambda: len(list(up.temporary.iterdir())) == len(up.chromiums()), deadline=20)
    now = sizes(up)
    assert set(now) == set(then), "a process is another one"
    for name, (own, tree) in now.items():
        assert own < then[name][0] + GROWTH_OF_PROCESS, f"{name}: {then[name]} to {now[name]}"
        assert tree < then[name][1] + GROWTH_OF_TREE, f"{name}: {then[name]} to {now[name]}"
