"""Crawls at a router with stand-in agents: whose they are, when a worker takes a browser, what outlives a router, what is tried again."""

import asyncio
import base64
import collections
import contextlib
from typing import Any

import orjson
import pytest
from aiohttp import web

from browserpool.lib import chance
from browserpool.lib import web as lib_web
from browserpool.model import agentapi, errors, names
from browserpool.model import crawls as model
from browserpool.model.wire import crawl as wire
from browserpool.model.wire import envelope
from browserpool.router.crawl import plan, worker
from browserpool.store import crawls
from support import models, routers, waiting

DEADLINE = 30.0
START = "https://site.test/"


class Site:
    """What the agents see: pages by path, each with its links; ``troubles``: what a path does the first so many times."""

    def __init__(self) -> None:
        self.robots = "User-agent: *\nCrawl-delay: 0\n"
        self.pages: dict[str, list[str]] = {"/": []}
        self.leads: dict[str, str] = {}
        self.asked: collections.Counter[str] = collections.Counter()
        self.troubles: dict[str, list[errors.BrowserpoolError]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.running: collections.Counter[str] = collections.Counter()

    async def answer(self, agent: routers.Agent, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if "url" not in body:  # a screenshot of somebody else's
            return web.Response(body=routers.PNG, content_type="image/png")
        path = body["url"].removeprefix("https://site.test")
        if request.match_info["action"] == wire.FETCH and path == "/robots.txt":
            return self._said(
                {"status": 200, "url": body["url"], "body": base64.b64encode(self.robots.encode()).decode()}
            )
        self.asked[path] += 1
        self.running[path] += 1
        try:
            if (gate := self.gates.get(path)) is not None:
                await gate.wait()
        finally:
            self.running[path] -= 1
        if self.troubles.get(path):
            error = self.troubles[path].pop(0)
            return lib_web.json_response(envelope.failure(error), status=error.status)
        if path not in self.pages:
            return self._said({"status": 404, "url": body["url"], "title": "", "html": "none", "links": [], "body": ""})
        links = [f"https://site.test{link}" for link in self.pages[path]]
        url = self.leads.get(path, body["url"])
        page = {"status": 200, "url": url, "title": path, "html": f"<p>{path}", "markdown": f"# {path}"}
        return self._said({**page, "links": links})

    @staticmethod
    def _said(result: dict[str, Any]) -> web.Response:
        headers = {agentapi.BROWSER_MS_USED: "100"}
        return lib_web.json_response(envelope.success(result), headers=headers)


@pytest.fixture
def site() -> Site:
    return Site()


async def agents_show(rig: routers.Rig, site: Site, **pool: Any) -> list[routers.Agent]:
    made = await rig.make_pool(**pool)
    for agent in made:
        agent.does = site.answer
    return made


async def start(rig: routers.Rig, *, secret: str | None = None, **body: Any) -> str:
    answer = await rig.post("/v1/crawl", {"url": START, "source": "links", **body}, secret=secret)
    assert answer.status == 200, answer.message
    return str(answer.json["result"])


async def read(rig: routers.Rig, job: str, *, secret: str | None = None) -> dict[str, Any]:
    result: dict[str, Any] = (await rig.request("GET", f"/v1/crawl/{job}", secret=secret)).json["result"]
    return result


async def over(rig: routers.Rig, job: str, *, secret: str | None = None) -> dict[str, Any]:
    async def is_over() -> bool:
        return (await read(rig, job, secret=secret))["status"] != "running"

    await waiting.until(is_over, deadline=DEADLINE)
    return await read(rig, job, secret=secret)


def told(result: dict[str, Any]) -> dict[str, str]:
    return {one["url"].removeprefix("https://site.test"): one["status"] for one in result["records"]}


# ---------------------------------------------------------------- whose they are
async def test_a_job_is_its_makers_and_an_admins(rig: routers.Rig, site: Site) -> None:
    await agents_show(rig, site)
    stranger, admin = await rig.make_token("stranger"), await rig.make_token("boss", admin=True)
    job = await start(rig)
    await over(rig, job)
    for method in ("GET", "DELETE"):
        assert (await rig.request(method, f"/v1/crawl/{job}", secret=stranger)).status == 404
        assert (await rig.request(method, f"/v1/crawl/{job}", secret=admin)).status == 200


async def test_a_job_wants_a_pool_that_its_maker_may_use(rig: routers.Rig, site: Site) -> None:
    await agents_show(rig, site)
    other = await rig.make_token("other", pools=frozenset({names.PoolName("another")}))
    assert (await rig.post("/v1/crawl?pool=small", {"url": START}, secret=other)).status == 403
    assert (await rig.post("/v1/crawl?pool=none", {"url": START})).status == 404


async def test_a_token_may_make_only_so_many(rig: routers.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("browserpool.router.crawl.doors.MOST_RUNNING", 2)
    await rig.make_pool(browsers_=0)
    for _ in range(2):
        await start(rig)
    answer = await rig.post("/v1/crawl", {"url": START})
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")


async def test_its_rate_counts(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=0)
    slow = await rig.make_token("slow", rate_per_second=0.01)
    await start(rig, secret=slow)
    assert (await rig.post("/v1/crawl", {"url": START}, secret=slow)).status == 429


async def test_the_day_of_its_token_ends_a_job(rig: routers.Rig, site: Site) -> None:
    await agents_show(rig, site)
    site.gates["/"] = asyncio.Event()
    day = await rig.make_token("day", daily_seconds=0.3)
    job = await start(rig, secret=day)
    await waiting.until(lambda: site.running["/"], deadline=DEADLINE)
    site.pages["/"] = ["/b"]

    def spent() -> bool:
        return rig.running.services.quotas.spent(names.TokenName("day")) > 0.3

    await waiting.until(spent, deadline=DEADLINE)
    site.gates["/"].set()
    result = await over(rig, job, secret=day)
    assert (result["status"], told(result)) == ("cancelled_due_to_limits", {"/": "completed", "/b": "cancelled"})


async def test_a_job_whose_token_is_gone_is_ended_and_waits_for_nobody(rig: routers.Rig, site: Site) -> None:
    await rig.make_pool(browsers_=0)
    gone = await rig.make_token("gone")
    job = await start(rig, secret=gone)
    await routers.token_rows.remove(rig.database, names.TokenName("gone"))
    await worker.Crawler(rig.running.services).tidy()
    found = await crawls.job(rig.database, job)
    assert found is not None
    assert found.status == "errored"


async def test_however_many_are_orphaned_are_ended_at_once(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=0)
    gone = await rig.make_token("gone")
    jobs = [await start(rig, secret=gone) for _ in range(12)]
    await routers.token_rows.remove(rig.database, names.TokenName("gone"))
    await worker.Crawler(rig.running.services).tidy()
    found = [await crawls.job(rig.database, job) for job in jobs]
    assert {None if one is None else one.status for one in found} == {"errored"}


# ---------------------------------------------------------------- the last in every line
async def test_the_last_ready_browser_is_left_to_whoever_comes(rig: routers.Rig, site: Site) -> None:
    agents = await agents_show(rig, site, browsers_=2)
    for agent in agents:
        agent.gate.clear()
    mine = rig.background.spawn(rig.post("/v1/screenshot", {"html": "<p>"}), name="a caller")
    await waiting.until(lambda: sum(agent.running for agent in agents) == 1, deadline=DEADLINE)
    job = await start(rig)
    # Somebody else is served at once, because the crawl has not taken the browser: it has looked for one at least that often.
    looks = asyncio.Event()
    seen = 0

    async def counted(*_: Any, **__: Any) -> int:
        nonlocal seen
        seen += 1
        if seen > 5:
            looks.set()
        return await ready(*_, **__)

    ready = worker.browsers.ready
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker.browsers, "ready", counted)
        async with asyncio.timeout(DEADLINE):
            await looks.wait()
    assert await rig.states() == {"ready": 1, "claimed": 1}
    for agent in agents:
        agent.gate.set()
    assert (await mine).status == 200
    assert (await over(rig, job))["status"] == "completed"


async def test_a_crawl_waits_for_those_who_wait(rig: routers.Rig, site: Site) -> None:
    """One browser, a long crawl, and a caller: he waits for one page at most."""
    await agents_show(rig, site)
    site.pages["/"] = [f"/{number}" for number in range(30)]
    site.gates["/"] = asyncio.Event()
    job = await start(rig, limit=100)
    await waiting.until(lambda: site.running["/"], deadline=DEADLINE)
    caller = rig.background.spawn(rig.post("/v1/screenshot", {"html": "<p>"}), name="a caller")
    await waiting.until(lambda: rig.running.services.claiming.waiting.depth(names.PoolName("small")), deadline=DEADLINE)
    site.gates["/"].set()
    assert (await caller).status == 200
    assert sum(site.asked.values()) == 1, "no other page came before him"
    await rig.request("DELETE", f"/v1/crawl/{job}")


async def test_a_crawl_leaves_its_token_its_turns(rig: routers.Rig, site: Site) -> None:
    agents = await agents_show(rig, site, browsers_=4)
    one = await rig.make_token("one", concurrency=1)
    site.gates["/"] = asyncio.Event()
    job = await start(rig, secret=one)
    await waiting.until(lambda: site.running["/"], deadline=DEADLINE)
    # The crawl has a browser, and the token still its one turn.
    assert (await rig.post("/v1/screenshot", {"html": "<p>"}, secret=one)).status == 200
    site.gates["/"].set()
    assert (await over(rig, job, secret=one))["status"] == "completed"
    assert not any(agent.overlapping for agent in agents)


async def test_a_token_without_room_holds_up_nobody_elses_crawl(rig: routers.Rig, site: Site) -> None:
    agents = await agents_show(rig, site, browsers_=4)
    one, other = await rig.make_token("one", concurrency=1), await rig.make_token("other")
    for agent in agents:
        agent.gate.clear()
    mine = rig.background.spawn(rig.post("/v1/screenshot", {"html": "<p>"}, secret=one), name="a caller")
    await waiting.until(lambda: sum(agent.running for agent in agents) == 1, deadline=DEADLINE)
    for agent in agents:
        if not agent.running:
            agent.gate.set()
    # Its first entry goes before the other's, of one host.
    waits = await start(rig, secret=one, source="sitemaps")
    try:
        assert told(await over(rig, await start(rig, secret=other), secret=other)) == {"/": "completed"}
        assert (await read(rig, waits, secret=one))["status"] == "running"
    finally:
        for agent in agents:
            agent.gate.set()
    assert (await mine).status == 200
    assert (await over(rig, waits, secret=one))["status"] == "completed"


async def test_a_job_whose_token_no_router_knows_holds_up_nobody_elses(
    rig: routers.Rig, database: Any, site: Site
) -> None:
    await agents_show(rig, site)
    ((pool, spec),) = rig.running.services.catalog.pools.items()
    body = {"url": START, "source": "sitemaps"}
    unknown = model.NewJob(
        crawl_id=chance.unique_id(),
        token=names.TokenName("gone"),
        pool=pool,
        region=spec.regions[0].name,
        page_limit=1,
        body=body,
    )
    await crawls.create(database, unknown, found=plan.beginning(plan.read(body)))
    assert told(await over(rig, await start(rig))) == {"/": "completed"}
    found = await crawls.job(database, unknown.crawl_id)
    assert found is not None
    assert found.status == "running", "until it is tidied away"


async def test_a_router_with_no_workers_leaves_the_work_to_others(dsn: str, database: Any, site: Site) -> None:
    async with routers.rig(dsn, database, crawl_pages=0) as rig:
        await agents_show(rig, site)
        job = await start(rig)
        async with other_router(rig, dsn):
            assert told(await over(rig, job)) == {"/": "completed"}


# ---------------------------------------------------------------- what outlives a router
@contextlib.asynccontextmanager
async def other_router(rig: routers.Rig, dsn: str, **changes: Any) -> Any:
    async with routers.app.running(routers.config(dsn, **changes)) as running:
        yield running


async def test_what_a_stopping_router_has_begun_is_gone_on_with_by_another(
    dsn: str, database: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STOP_GRACE", 0.2)
    site.pages = {"/": ["/b", "/c"], "/b": [], "/c": []}
    async with routers.rig(dsn, database, crawl_pages=0) as rig:
        await agents_show(rig, site, browsers_=2)
        job = await start(rig)
        site.gates["/b"] = asyncio.Event()
        async with other_router(rig, dsn):
            await waiting.until(lambda: site.running["/b"], deadline=DEADLINE)
        # It was told to stop in the middle of a page: it gave that back, and its browser too.
        await rig.until_ready(number=2)
        assert told(await read(rig, job)) == {"/": "completed", "/b": "queued", "/c": "queued"}
        site.gates["/b"].set()
        async with other_router(rig, dsn):
            result = await over(rig, job)
    assert told(result) == {"/": "completed", "/b": "completed", "/c": "completed"}
    assert (site.asked["/"], site.asked["/b"], site.asked["/c"]) == (1, 2, 1)


async def test_two_routers_share_a_crawl_and_fetch_nothing_twice(dsn: str, database: Any, site: Site) -> None:
    site.pages = {"/": [f"/{number}" for number in range(20)], **{f"/{number}": [] for number in range(20)}}
    async with routers.rig(dsn, database, crawl_pages=2) as rig:
        await agents_show(rig, site, browsers_=6)
        async with other_router(rig, dsn, crawl_pages=2):
            result = await over(rig, await start(rig, limit=100))
    assert set(told(result).values()) == {"completed"}
    assert set(site.asked.values()) == {1}
    assert result["total"] == result["finished"] == 21


# ---------------------------------------------------------------- what is tried again
LOST = errors.BrowserLost("Chromium died", code=errors.Code.CONTEXT_LOST)


@pytest.mark.parametrize(("times", "status", "asked"), [(1, "completed", 2), (2, "completed", 3), (3, "errored", 3)])
async def test_a_lost_browser_is_no_end_but_three_are(
    rig: routers.Rig, site: Site, times: int, status: str, asked: int
) -> None:
    await agents_show(rig, site)
    site.pages = {"/": ["/b"], "/b": []}
    site.troubles["/b"] = [LOST] * times
    result = await over(rig, await start(rig))
    assert (result["status"], told(result)) == ("completed", {"/": "completed", "/b": status})
    assert site.asked["/b"] == asked


async def test_an_agent_that_vanishes_is_no_end(rig: routers.Rig, site: Site) -> None:
    await agents_show(rig, site, browsers_=3)
    died = asyncio.Event()

    async def dies_once(agent: routers.Agent, request: web.Request) -> web.StreamResponse:
        if not died.is_set() and request.match_info["action"] == wire.VISIT:
            died.set()
            return await routers.dies(agent, request)
        return await site.answer(agent, request)

    for agent in rig.agents:
        agent.does = dies_once
    result = await over(rig, await start(rig))
    assert died.is_set()
    assert told(result) == {"/": "completed"}


async def test_a_page_that_fails_is_not_tried_again(rig: routers.Rig, site: Site) -> None:
    await agents_show(rig, site)
    site.troubles["/"] = [errors.PageFailed("net::ERR_NAME_NOT_RESOLVED", code=errors.Code.DNS)] * 3
    result = await over(rig, await start(rig))
    assert [(one["status"], one["error"]) for one in result["records"]] == [("errored", "net::ERR_NAME_NOT_RESOLVED")]
    assert site.asked["/"] == 1


async def test_what_fails_before_it_is_visited_does_not_live_for_ever(dsn: str, database: Any, site: Site) -> None:
    """As a body that was good to an earlier version, and is not to this one."""
    async with routers.rig(dsn, database, crawl_pages=0) as rig:
        await agents_show(rig, site)
        job = await start(rig)
        async with database.pool.connection() as connection:
            await connection.execute("update crawls set body = '{}'")
        async with other_router(rig, dsn):
            result = await over(rig, job)
    (record,) = result["records"]
    assert (result["status"], record["status"]) == ("completed", "errored")
    assert "3 times" in record["error"]


async def are_counted(database: Any, records: list[dict[str, Any]]) -> None:
    """Each record takes as many bytes of an answer as the store has of it: answers are cut by that."""
    async with database.pool.connection() as connection:
        found = await (await connection.execute("select url, size from crawl_pages where kind = 'page'")).fetchall()
    assert dict(found) == {one["url"]: len(orjson.dumps(one)) + 1 for one in records}


async def test_robots_that_fail_for_the_servers_sake_forbid_all(rig: routers.Rig, database: Any, site: Site) -> None:
    async def unwell(agent: routers.Agent, request: web.Request) -> web.StreamResponse:
        url = orjson.loads(await request.read())["url"]
        return site._said({"status": 503, "url": url, "body": "", "title": "", "html": "", "links": []})

    (agent,) = await agents_show(rig, site)
    agent.does = unwell
    result = await over(rig, await start(rig))
    assert told(result) == {"/": "disallowed"}
    await are_counted(database, result["records"])


async def test_what_led_elsewhere_is_told_in_so_many_bytes(rig: routers.Rig, database: Any, site: Site) -> None:
    await agents_show(rig, site)
    site.leads["/"] = "https://elsewhere.test/"
    result = await over(rig, await start(rig))
    assert told(result) == {"/": "skipped"}
    await are_counted(database, result["records"])


async def test_an_earlier_result_serves_again_where_it_led_is_allowed_too(rig: routers.Rig, site: Site) -> None:
    """Each job's rules are its own: what led elsewhere was another's to keep."""
    await agents_show(rig, site)
    site.leads["/"] = "https://elsewhere.test/"
    wide = {"includeExternalLinks": True}
    for options, status, asked in ((wide, "completed", 1), (wide, "completed", 1), ({}, "skipped", 2)):
        result = await over(rig, await start(rig, maxAge=3600, options=options))
        assert (told(result), site.asked["/"]) == ({"/": status}, asked)


async def test_a_crawl_is_ended_while_a_page_is_at_work(rig: routers.Rig, site: Site) -> None:
    """What came too late is not kept, and the browser comes back."""
    await agents_show(rig, site)
    site.gates["/"] = asyncio.Event()
    job = await start(rig)
    await waiting.until(lambda: site.running["/"], deadline=DEADLINE)
    assert (await rig.request("DELETE", f"/v1/crawl/{job}")).status == 200
    site.gates["/"].set()
    await rig.until_ready()
    assert told(await read(rig, job)) == {"/": "cancelled"}


# ---------------------------------------------------------------- json
PRICE = {"prompt": "What does it cost?"}


async def test_json_is_made_of_every_page(dsn: str, database: Any, site: Site) -> None:
    async with models.world(own=models.says('{"price": 5}')) as world:
        ai = {"ai_url": world.base("own"), "ai_model": "house-1"}
        async with routers.rig(dsn, database, **ai) as rig:
            await agents_show(rig, site)
            site.pages = {"/": ["/b"], "/b": []}
            result = await over(rig, await start(rig, formats=["json", "markdown"], jsonOptions=PRICE))
    assert [(one["json"], one["markdown"]) for one in result["records"]] == [
        ({"price": 5}, "# /"),
        ({"price": 5}, "# /b"),
    ]
    assert "html" not in result["records"][0]
    assert ["# /" in one.words for one in world.asked] == [True, True]


async def test_a_model_that_fails_is_told_on_the_record(dsn: str, database: Any, site: Site) -> None:
    async with models.world(own=models.refuses(503, "busy")) as world:
        ai = {"ai_url": world.base("own"), "ai_model": "house-1"}
        async with routers.rig(dsn, database, **ai) as rig:
            await agents_show(rig, site)
            result = await over(rig, await start(rig, formats=["json", "markdown"], jsonOptions=PRICE))
    (record,) = result["records"]
    assert (record["status"], record["markdown"]) == ("errored", "# /")
    assert "503" in record["error"]
    assert site.asked["/"] == 3, "a model that may answer later is asked again"


async def test_without_a_model_no_json_is_promised(rig: routers.Rig, site: Site) -> None:
    await agents_show(rig, site)
    answer = await rig.post("/v1/crawl", {"url": START, "formats": ["json"], "jsonOptions": PRICE})
    assert answer.status == 501
    assert "BROWSERPOOL_AI_URL" in answer.message
