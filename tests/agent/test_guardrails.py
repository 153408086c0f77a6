"""A real agent keeps a session's pages on the hosts that its claim token names, and no other session's."""

import pytest

from browserpool.model import terms
from support import agents, cdp, site, waiting

GOOD, BAD = "127.0.0.1", "127.0.0.2"
BOUND = terms.Terms(allowed_hosts=(GOOD,))


@pytest.fixture
async def agent(router, tmp_path):
    async with agents.agent(router, tmp_path, egress_allow=["127.0.0.0/8"]) as made:
        yield made


@pytest.fixture
async def good():
    async with site.running(host=GOOD) as served:
        yield served


@pytest.fixture
async def bad():
    async with site.running(host=BAD) as served:
        yield served


async def goto(client, session, url):
    """Navigate and wait for the end of it: the error's text, or nothing."""
    answer = await client.call("Page.navigate", session, url=url)
    return answer.get("errorText", "")


async def test_pages_reach_what_the_token_names_and_nothing_else(agent, fences, good, bad):
    token = agents.token(next(fences), kind="cdp", session="bound", terms=BOUND)
    good.page("/mixed", f'<title>Mixed</title><img src="{bad.url("/picture/1")}" onerror="document.title=\'refused\'">')
    async with agent.cdp(token) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        assert "ERR_SOCKS" in await goto(client, page, bad.url("/small"))
        assert "ERR_SOCKS" in await goto(client, page, good.url(f"/redirect?to={bad.url('/small')}"))
        assert await goto(client, page, good.url("/mixed")) == ""
        await waiting.until(lambda: client.evaluate(page, "document.title === 'refused'"))
        fetched = f"fetch('{bad.url('/small')}', {{mode: 'no-cors'}}).then(() => 'reached', () => 'refused')"
        assert await client.evaluate(page, fetched) == "refused"
        opened = f"new Promise(done => {{const w = new WebSocket('ws://{BAD}:{bad.port}/'); w.onerror = () => done('refused')}})"
        assert await client.evaluate(page, opened) == "refused"
    assert bad.seen == []

    # Another connection to the same session, by a token that says less, loosens nothing.
    async with agent.cdp(agents.token(agents.FIRST_FENCE + 1, kind="cdp", session="bound")) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        assert "ERR_SOCKS" in await goto(client, page, bad.url("/small"))

    assert (await agent.end(token)) == (200, {"clean": True, "gone": False})
    async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        assert await goto(client, page, bad.url("/small")) == ""


async def test_bounds_outlive_a_chromium_that_dies(agent, fences, good, bad):
    token = agents.token(next(fences), kind="cdp", session="bound", terms=BOUND)
    async with agent.cdp(token) as socket:
        client = cdp.Client(socket)
        first = agent.group
        await client.send("Browser.crash")
        await waiting.until(lambda: agent.group not in (0, first), deadline=30)
    async with agent.cdp(token) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        assert "ERR_SOCKS" in await goto(client, page, bad.url("/small"))
        assert await goto(client, page, good.url("/small")) == ""


async def test_a_session_that_supersedes_a_bound_one_is_not_bound(agent, fences, bad):
    async with agent.cdp(agents.token(next(fences), kind="cdp", session="bound", terms=BOUND)) as socket:
        await cdp.Client(socket).page()
    async with agent.cdp(agents.token(next(fences), kind="cdp", session="free")) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        assert await goto(client, page, bad.url("/small")) == ""


async def test_none_at_all(agent, fences, good):
    token = agents.token(next(fences), kind="cdp", terms=terms.Terms(allowed_hosts=()))
    async with agent.cdp(token) as socket:
        client = cdp.Client(socket)
        _, page = await client.page()
        assert "ERR_SOCKS" in await goto(client, page, good.url("/small"))
        await client.call("Page.setDocumentContent", page, frameId=await client.frame(page), html="<title>mine</title>")
        assert await client.evaluate(page, "document.title") == "mine"
