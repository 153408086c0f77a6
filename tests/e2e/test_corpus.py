"""Hard pages: what each action makes of each of them, through a router and agents; the pool is whole after each page."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio

from support import browsers, stack
from support.corpus import judge, model, server, table

# One loop and one server of pages for all of them.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

AT_ONCE = 2
BOUND = 100.0
"""Seconds for any answer. Bodies bound what pages may take; this holds where the machine is busy elsewhere, too."""
POOL = stack.pool(
    "corpus",
    replicas=AT_ONCE,
    # A page that eats all memory has it eaten soon.
    chromium={"args": ["--js-flags=--max-old-space-size=256"]},
    onEmpty={"queueTimeout": "90s"},
    sessions={"recycleAfter": 10_000},
)


@pytest.fixture(scope="module")
def up() -> Iterator[stack.Stack]:
    with stack.running(pools=[POOL], nodes=1) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[server.Server]:
    async with server.running(table.PAGES) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(up: stack.Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with up.client() as client:
        yield client


async def complaint(http: aiohttp.ClientSession, web: server.Server, page: model.Page, action: str) -> str | None:
    """What is wrong with the answer; ``None``: nothing."""
    expected = page.expected(action)
    links = expected.links if isinstance(expected, model.Shows) else None
    body = {"url": web.url(page), **page.wanted(action)}
    try:
        async with asyncio.timeout(BOUND), http.post(f"/v1/{action}?cacheTTL=0", json=body) as answer:
            wrong = judge.complaint(
                page,
                action,
                status=answer.status,
                body=await answer.read(),
                links=None if links is None else tuple(web.filled(link, page) for link in links),
            )
    except TimeoutError:
        wrong = f"no answer within {BOUND} s"
    return wrong and f"{action}: {wrong}"


@pytest.mark.parametrize("page", table.PAGES, ids=lambda page: page.name)
async def test_a_hard_page(up: stack.Stack, http: aiohttp.ClientSession, web: server.Server, page: model.Page) -> None:
    free = asyncio.Semaphore(AT_ONCE)

    async def judged(action: str) -> str | None:
        async with free:
            return await complaint(http, web, page, action)

    found = await asyncio.gather(*(judged(action) for action in page.actions))
    assert not any(found), "\n".join(filter(None, found))
    await up.whole()


async def test_nothing_is_left_in_any_browser(up: stack.Stack) -> None:
    """Last: of all those pages, their windows, frames and workers, no context and no target remains, and no directory."""
    await up.whole()
    for chromium in up.chromiums():
        await browsers.clean(chromium)
    assert len(list(up.temporary.iterdir())) == AT_ONCE
