"""Many at once on few browsers: each gets his own answer, nobody shares a browser, and afterwards all is as it was."""

import asyncio
import collections
import io
import random

import aiohttp
import pytest
from PIL import Image

from browserpool.model import credentials, tokens
from browserpool.model.names import TokenName
from browserpool.store import tokens as rows
from support import site, stack, waiting

CALLERS = 100
MIXED = 200
GROWTH = 64 * 1024 * 1024
"""Bytes by which a router or an agent may have grown after some hundred actions: buffers and caches, no leak of each answer."""


def numbered(number: int) -> str:
    """A page whose colour is its number, in two digits of base 16 for each of red and green; it has the number in big letters too."""
    colour = f"#{(number // 16) * 16:02x}{(number % 16) * 16:02x}80"
    return (
        f"<body style='margin:0;background:{colour}'><p style='font:90px sans-serif;margin:60px 0 0 60px'>{number}</p>"
    )


def number_of(picture: bytes) -> int:
    """The number that a picture of a numbered page shows."""
    red, green, blue = Image.open(io.BytesIO(picture)).convert("RGB").getpixel((5, 5))
    assert blue == 0x80
    return red // 16 * 16 + green // 16


def processes(up: stack.Stack) -> dict[str, stack.Process]:
    """The router and the agents, by pid."""
    return {str(one.pid): one for one in (up.router(), *up.agents())}


@pytest.mark.timeout(300)
async def test_a_hundred_at_once_on_four_browsers(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    before = len(await up.past())
    used: collections.Counter[str] = collections.Counter()

    async def shoot(number: int) -> tuple[int, int]:
        body = {"html": numbered(number), "viewport": {"width": 240, "height": 200}}
        async with http.post("/v1/screenshot", json=body) as answer:
            assert answer.status == 200, await answer.text()
            used[answer.headers["X-Browserpool-Browser"]] += 1
            return number, number_of(await answer.read())

    found = await asyncio.gather(*(shoot(number) for number in range(CALLERS)))
    assert [shown for _, shown in found] == [number for number, _ in found]
    assert set(used) == {f"main-local-{ordinal}" for ordinal in range(4)}
    await up.whole()
    past = (await up.past())[before:]
    assert collections.Counter(one.browser_id for one in past) == used
    assert {int(one.reason) for one in past} == {1}
    assert stack.overlaps(past) == []


@pytest.mark.timeout(300)
async def test_the_line_is_fair_between_tokens(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    """Who asks for little is not kept waiting by who asks for much, though he came later."""
    secret = "the-token-of-a-modest-client"
    done: list[str] = []

    async def ask(client: aiohttp.ClientSession, name: str) -> None:
        async with client.post("/v1/content?pool=main", json={"html": "<p>"}) as answer:
            assert answer.status == 200, await answer.text()
            done.append(name)

    async def in_line() -> int:
        return next(int(one["queue"]) for one in (await up.status())["pools"] if one["name"] == "main")

    async with up.store() as db, up.client(token=secret) as modest:
        await rows.put(db, tokens.Token(name=TokenName("modest"), hash=credentials.hashed(secret)))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(60):
                    group.create_task(ask(http, "greedy"))

                async def many_wait() -> bool:
                    return await in_line() > 30

                await waiting.until(many_wait, deadline=20)
                for _ in range(4):
                    group.create_task(ask(modest, "modest"))
        finally:
            await rows.remove(db, TokenName("modest"))
    assert done[-1] == "greedy"
    last = max(place for place, name in enumerate(done) if name == "modest")
    assert last < 50, done


@pytest.mark.timeout(300)
async def test_actions_of_all_kinds_whose_clients_come_and_go(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site
) -> None:
    """Some leave while they wait, some while their page loads, some while the answer is on its way."""
    dice = random.Random(20_261_124)
    before, sizes = len(await up.past()), {pid: one.resident_bytes() for pid, one in processes(up).items()}
    seen: collections.Counter[str] = collections.Counter()
    bodies = {
        "screenshot": {"url": web.url("/heavy"), "gotoOptions": {"waitUntil": "load"}},
        "pdf": {"url": web.url("/small")},
        "content": {"html": "<p>mixed"},
    }

    async def act(kind: str, patience: float | None) -> None:
        try:
            async with asyncio.timeout(patience), http.post(f"/v1/{kind}", json=bodies[kind]) as answer:
                await answer.read()
                seen[str(answer.status)] += 1
        except TimeoutError:
            seen["left"] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(MIXED):
            patience = dice.uniform(0.0, 2.0) if dice.random() < 0.4 else None
            group.create_task(act(dice.choice(list(bodies)), patience))
            await asyncio.sleep(dice.uniform(0.0, 0.02))
    assert set(seen) == {"200", "left"}, seen
    await up.whole()
    past = (await up.past())[before:]
    assert {int(one.reason) for one in past} == {1}
    assert len(past) >= seen["200"]
    assert stack.overlaps(past) == []
    for pid, one in processes(up).items():
        assert one.resident_bytes() < sizes[pid] + GROWTH, f"{one.command} grew"
    await waiting.until(lambda: not [one for one in up.processes() if one.state == "Z"], deadline=10)
    # A directory for each Chromium, and not one more.
    assert len(list(up.temporary.iterdir())) == len(up.chromiums())
