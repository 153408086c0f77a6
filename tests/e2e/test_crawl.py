"""``/crawl`` with a real Chromium and a site on loopback: what is fetched, what is not, and what a client is told of it."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import cloudflare
import pytest

from support import crawled, stack, waiting

ACCOUNT = "0123456789abcdef0123456789abcdef"
PREFIX = f"/client/v4/accounts/{ACCOUNT}/browser-rendering"
DEADLINE = 60.0


@pytest.fixture
async def site() -> AsyncIterator[crawled.Site]:
    async with crawled.running() as served:
        yield served


class Client:
    """Makes jobs and waits for them."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def make(self, url: str, **body: Any) -> str:
        async with self.http.post("/v1/crawl", json={"url": url, "maxAge": 0, **body}) as answer:
            said = await answer.json()
            assert answer.status == 200, said
            assert said["success"]
            return str(said["result"])

    async def read(self, job: str, **query: Any) -> dict[str, Any]:
        async with self.http.get(f"/v1/crawl/{job}", params=query) as answer:
            said = await answer.json()
            assert answer.status == 200, said
            result: dict[str, Any] = said["result"]
            return result

    async def over(self, job: str) -> dict[str, Any]:
        async def is_over() -> bool:
            return (await self.read(job, limit=1))["status"] != "running"

        await waiting.until(is_over, deadline=DEADLINE, every=0.1)
        return await self.read(job)

    async def run(self, url: str, **body: Any) -> dict[str, Any]:
        return await self.over(await self.make(url, **body))


@pytest.fixture
def client(http: aiohttp.ClientSession) -> Client:
    return Client(http)


def statuses(result: dict[str, Any], site: crawled.Site) -> dict[str, str]:
    return {one["url"].removeprefix(site.url("")): one["status"] for one in result["records"]}


def by_path(result: dict[str, Any], site: crawled.Site) -> dict[str, dict[str, Any]]:
    return {one["url"].removeprefix(site.url("")): one for one in result["records"]}


RENDER = pytest.mark.parametrize("render", [True, False], ids=["rendered", "fetched"])


@RENDER
async def test_a_site_is_fetched_page_by_page(
    up: stack.Stack, client: Client, site: crawled.Site, render: bool
) -> None:
    site.html("/", "/b", "/c#part", "/b?x=1", "mailto:somebody@example.com", title="Start")
    site.html("/b", "/", "/d")
    site.answer("/c", "<title>C</title><body><script>document.title = 'made by script'</script>c")
    site.html("/d")
    site.html("/b?x=1")
    result = await client.run(site.url("/"), render=render, formats=["html", "markdown"])
    records = by_path(result, site)
    assert (result["status"], result["total"], result["finished"], result["skipped"]) == ("completed", 5, 5, 0), str(
        result
    )
    assert set(statuses(result, site)) == {"/", "/b", "/c", "/d", "/b?x=1"}
    assert set(statuses(result, site).values()) == {"completed"}
    assert records["/"]["metadata"] == {"status": 200, "title": "Start", "url": site.url("/")}
    assert "<title>Start</title>" in records["/"]["html"]
    assert f"[to /b]({site.url('/b')})" in records["/"]["markdown"]
    assert records["/c"]["metadata"]["title"] == ("made by script" if render else "C")
    assert (result["browserSecondsUsed"] > 0) is render
    assert "json" not in records["/"]
    agents = {one.headers["User-Agent"] for one in site.seen}
    assert agents == {"Mozilla/5.0 (compatible; BrowserpoolCrawler/1.0)"}
    assert site.paths[0] == "/robots.txt"
    assert sorted(set(site.paths)) == sorted(["/robots.txt", "/sitemap.xml", "/", "/b", "/c", "/d", "/b?x=1"])


@RENDER
async def test_what_fails_is_told_and_ends_nothing(
    up: stack.Stack, client: Client, site: crawled.Site, render: bool
) -> None:
    site.html("/", "/missing", "/broken", "/loop", "/moved", "/pdf", "http://127.0.0.1:1/", "/good")
    site.answer("/missing", "<p>no such page", status=404)
    site.answer("/broken", "<p>broken", status=500)
    site.answer("/loop", "", status=302, Location="/loop")
    site.answer("/moved", "", status=301, Location="/good")
    site.answer("/pdf", b"%PDF-1.4", kind="application/pdf", Content_Disposition="attachment")
    site.html("/good", title="Good")
    result = await client.run(site.url("/"), render=render)
    records = by_path(result, site)
    assert result["status"] == "completed"
    assert statuses(result, site) == {
        "/": "completed", "/missing": "errored", "/broken": "errored", "/loop": "errored", "/moved": "completed",
        "/pdf": "errored", "/good": "completed", "http://127.0.0.1:1/": "skipped",
    }  # fmt: skip
    assert (records["/missing"]["metadata"]["status"], records["/broken"]["metadata"]["status"]) == (404, 500)
    assert "no such page" in records["/missing"]["html"]
    assert "redirect" in records["/loop"]["error"].lower()
    assert records["/moved"]["metadata"] == {"status": 200, "title": "Good", "url": site.url("/good")}
    assert (result["total"], result["finished"], result["skipped"]) == (7, 7, 1)


async def test_a_start_that_cannot_be_reached_is_an_errored_record(up: stack.Stack, client: Client) -> None:
    result = await client.run("http://127.0.0.1:1/")
    (record,) = result["records"]
    assert (result["status"], record["status"]) == ("completed", "errored")
    assert "127.0.0.1:1" in record["error"]


@pytest.mark.parametrize("address", ["http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data"])
@RENDER
async def test_no_private_address_is_fetched(up: stack.Stack, client: Client, address: str, render: bool) -> None:
    result = await client.run(address, render=render)
    (record,) = result["records"]
    assert (record["status"], "html" in record) == ("errored", False)
    assert "Pages may not reach" in record["error"]


@RENDER
async def test_a_redirect_to_a_private_address_leads_nowhere(
    up: stack.Stack, client: Client, site: crawled.Site, render: bool
) -> None:
    site.answer("/", "", status=302, Location="http://169.254.169.254/latest/meta-data")
    result = await client.run(site.url("/"), render=render, options={"includeExternalLinks": True})
    (record,) = result["records"]
    assert (record["status"], "html" in record) == ("errored", False)
    assert "Pages may not reach" in record["error"]


async def test_robots_txt_is_kept_to(up: stack.Stack, client: Client, site: crawled.Site) -> None:
    rules = "User-agent: *\nDisallow: /secret\nAllow: /secret/not\nCrawl-delay: 0.01\n"
    site.answer("/robots.txt", rules, kind="text/plain")
    site.html("/", "/secret/a", "/secret/not", "/moved")
    site.html("/secret/not")
    site.answer("/moved", "", status=302, Location="/secret/b")
    site.html("/secret/a")
    site.html("/secret/b")
    result = await client.run(site.url("/"), render=False)
    assert statuses(result, site) == {
        "/": "completed", "/secret/a": "disallowed", "/secret/not": "completed", "/moved": "disallowed",
    }  # fmt: skip
    assert "/secret/a" not in site.paths
    assert (result["total"], result["finished"]) == (4, 4)


async def test_a_site_that_says_no_to_a_purpose_is_left_alone(
    up: stack.Stack, client: Client, site: crawled.Site
) -> None:
    site.answer("/robots.txt", "User-agent: *\nContent-Signal: search=yes, ai-train=no\n", kind="text/plain")
    site.html("/")
    (record,) = (await client.run(site.url("/")))["records"]
    assert record["status"] == "disallowed"
    assert "crawlPurposes" in record["error"]
    assert site.paths == ["/robots.txt", "/sitemap.xml"]
    (record,) = (await client.run(site.url("/"), crawlPurposes=["search"]))["records"]
    assert record["status"] == "completed"


@pytest.mark.parametrize(("rules", "least"), [("", 0.4), ("User-agent: *\nCrawl-delay: 1.2\n", 1.0)])
async def test_a_host_is_asked_no_faster_than_it_wants(
    up: stack.Stack, client: Client, site: crawled.Site, rules: str, least: float
) -> None:
    site.answer("/robots.txt", rules, kind="text/plain")
    site.html("/", "/b", "/c")
    site.html("/b")
    site.html("/c")
    await client.run(site.url("/"), render=False, source="links")
    assert site.paths == ["/robots.txt", "/", "/b", "/c"]
    # A turn is the database's; what is seen here comes a visit's own start later, which is not the same each time.
    (start,), (last,) = site.times("/"), site.times("/c")
    assert last - start >= 2 * least


SITEMAP = '<?xml version="1.0" encoding="UTF-8"?><{tag}set xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</{tag}set>'


def sitemap(*entries: tuple[str, str]) -> str:
    body = "".join(f"<url><loc>{url}</loc><lastmod>{when}</lastmod></url>" for url, when in entries)
    return SITEMAP.format(tag="url", body=body)


async def test_sitemaps_are_followed(up: stack.Stack, client: Client, site: crawled.Site) -> None:
    index = f"<sitemapindex><sitemap><loc>{site.url('/one.xml.gz')}</loc></sitemap></sitemapindex>"
    site.answer("/robots.txt", f"{crawled.FAST}Sitemap: {site.url('/index.xml')}\n", kind="text/plain")
    site.answer("/index.xml", index, kind="application/xml")
    listed = sitemap((site.url("/mapped"), "2026-01-01"), ("http://elsewhere.test/", "2026-01-01"))
    site.answer("/one.xml.gz", gzip.compress(listed.encode()), kind="application/gzip")
    site.html("/", "/linked")
    site.html("/mapped", "/linked-from-mapped")
    for path in ("/linked", "/linked-from-mapped"):
        site.html(path)
    assert statuses(await client.run(site.url("/"), render=False, source="sitemaps"), site) == {"/mapped": "completed"}
    everything = await client.run(site.url("/"), render=False, source="all")
    assert set(statuses(everything, site)) == {"/", "/mapped", "/linked", "/linked-from-mapped"}
    site.seen.clear()
    links = await client.run(site.url("/"), render=False, source="links")
    assert set(statuses(links, site)) == {"/", "/linked"}
    assert not {"/index.xml", "/sitemap.xml"} & set(site.paths)


@RENDER
async def test_only_what_was_modified(up: stack.Stack, client: Client, site: crawled.Site, render: bool) -> None:
    old, new = "Mon, 01 Jun 2026 00:00:00 GMT", "Sun, 01 Nov 2026 00:00:00 GMT"
    site.answer("/robots.txt", f"{crawled.FAST}Sitemap: {site.url('/map.xml')}\n", kind="text/plain")
    site.answer("/map.xml", sitemap((site.url("/mapped-old"), "2026-06-01"), (site.url("/mapped-new"), "2026-11-01")))
    site.html("/", "/old", "/new", Last_Modified=old)
    site.html("/old", Last_Modified=old)
    site.html("/new", Last_Modified=new)
    site.html("/mapped-new")
    site.html("/mapped-old")
    result = await client.run(site.url("/"), render=render, modifiedSince=1_790_000_000)
    assert statuses(result, site) == {
        "/": "skipped", "/old": "skipped", "/new": "completed", "/mapped-new": "completed", "/mapped-old": "skipped",
    }  # fmt: skip
    assert (result["total"], result["finished"], result["skipped"]) == (2, 2, 3)


async def test_patterns_depth_and_limit(up: stack.Stack, client: Client, site: crawled.Site) -> None:
    site.html("/", "/docs/a", "/docs/private/b", "/blog", "http://docs.127.0.0.1.test/")
    site.html("/docs/a", "/docs/c")
    site.html("/docs/c", "/docs/d")
    site.html("/docs/d")
    rules = {"includePatterns": [site.url("/docs/**")], "excludePatterns": ["*/private/*"]}
    result = await client.run(site.url("/"), render=False, source="links", options=rules, depth=2)
    assert statuses(result, site) == {
        "/": "completed", "/docs/a": "completed", "/docs/private/b": "skipped", "/blog": "skipped",
        "http://docs.127.0.0.1.test/": "skipped", "/docs/c": "completed",
    }  # fmt: skip
    limited = await client.run(site.url("/"), render=False, source="links", options=rules, limit=2)
    assert (limited["total"], limited["finished"]) == (2, 2)


async def test_cookies_and_headers_and_waits_reach_every_page(
    up: stack.Stack, client: Client, site: crawled.Site
) -> None:
    site.html("/", "/b")
    site.html("/b")
    await client.run(
        site.url("/"),
        source="links",
        cookies=[{"name": "visitor", "value": "yes"}],
        setExtraHTTPHeaders={"X-Mine": "1"},
        gotoOptions={"waitUntil": "load"},
        waitForSelector={"selector": "body"},
    )
    pages = [one for one in site.seen if one.path in ("/", "/b")]
    assert [(one.headers["Cookie"], one.headers["X-Mine"]) for one in pages] == [("visitor=yes", "1")] * 2


async def test_a_result_serves_again_until_it_is_too_old(up: stack.Stack, client: Client, site: crawled.Site) -> None:
    site.html("/", "/b", title="First")
    site.html("/b")
    first = await client.run(site.url("/"), source="links", maxAge=3600)
    site.seen.clear()
    site.html("/", "/b", title="Second")
    again = await client.run(site.url("/"), source="links", maxAge=3600)
    assert site.paths == ["/robots.txt"], "that is asked for by each job"
    assert again["records"] == first["records"]
    fresh = await client.run(site.url("/"), source="links", maxAge=0)
    assert by_path(fresh, site)["/"]["metadata"]["title"] == "Second"
    other = await client.run(site.url("/"), source="links", maxAge=3600, setExtraHTTPHeaders={"X-Other": "1"})
    assert by_path(other, site)["/"]["metadata"]["title"] == "Second", "what is asked for otherwise is another result"


async def test_results_in_pages_and_by_status(up: stack.Stack, client: Client, site: crawled.Site) -> None:
    site.html("/", *(f"/{number}" for number in range(6)), "http://elsewhere.test/")
    for number in range(5):
        site.html(f"/{number}")
    job = await client.make(site.url("/"), render=False, source="links")
    await client.over(job)
    pages, cursor = [], None
    while True:
        query = {"limit": 3} if cursor is None else {"limit": "3.0", "cursor": cursor}
        page = await client.read(job, **query)
        pages.append([one["url"] for one in page["records"]])
        if (cursor := page.get("cursor")) is None:
            break
    assert list(map(len, pages)) == [3, 3, 2]
    assert len({url for page in pages for url in page}) == 8
    for status, number in {"completed": 6, "errored": 1, "skipped": 1, "queued": 0, "disallowed": 0}.items():
        assert len((await client.read(job, status=status))["records"]) == number


async def test_a_crawl_is_cancelled(up: stack.Stack, client: Client, site: crawled.Site) -> None:
    site.html("/", "/held", "/never")
    site.html("/held")
    site.gates["/held"] = asyncio.Event()
    job = await client.make(site.url("/"), source="links")

    async def held() -> bool:
        return bool(site.times("/held"))

    await waiting.until(held, deadline=DEADLINE)
    async with client.http.delete(f"/v1/crawl/{job}") as answer:
        said = (await answer.json())["result"]
        assert (answer.status, said) == (200, {"job_id": job, "message": "The crawl is cancelled."})
    result = await client.read(job)
    assert (result["status"], result["total"], result["finished"]) == ("cancelled_by_user", 3, 1)
    assert statuses(result, site) == {"/": "completed", "/held": "cancelled", "/never": "cancelled"}
    async with client.http.delete(f"/v1/crawl/{job}") as answer:
        assert "already" in (await answer.json())["result"]["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "url"),
        ({"url": "https://a.test/", "html": "<p>"}, "html"),
        ({"url": "https://a.test/", "userAgent": "me"}, "userAgent"),
        ({"url": "https://a.test/", "render": False, "cookies": []}, "cookies"),
        ({"url": "https://a.test/", "formats": ["json"]}, "jsonOptions"),
        ({"url": "https://a.test/", "limit": 100_001}, "limit"),
        ({"url": "https://a.test/", "modifiedSince": 1}, "modifiedSince"),
        ({"url": "https://a.test/", "modifiedSince": 99_999_999_999}, "modifiedSince"),
        ({"url": "https://a.test/", "options": {"includePattern": []}}, "includePatterns"),
        ({"url": "file:///etc/passwd"}, "url"),
    ],
)
async def test_a_body_that_cannot_be_used_names_the_field(
    up: stack.Stack, client: Client, body: dict[str, Any], named: str
) -> None:
    async with client.http.post("/v1/crawl", json=body) as answer:
        assert answer.status == 400
        assert named in (await answer.json())["errors"][0]["message"]


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"limit": "0"}, {"limit": "1.5"}, {"status": "done"}])
async def test_a_query_that_cannot_be_used_names_the_field(
    up: stack.Stack, client: Client, query: dict[str, str]
) -> None:
    async with client.http.get("/v1/crawl/any", params=query) as answer:
        assert answer.status == 400
        assert next(iter(query)) in (await answer.json())["errors"][0]["message"]


async def test_a_job_that_is_not_there(up: stack.Stack, client: Client) -> None:
    for method in ("get", "delete"):
        for job in ("none", "x" * 300, "%00"):
            async with client.http.request(method, f"/v1/crawl/{job}") as answer:
                assert answer.status == 404


# ---------------------------------------------------------------- what outlives a router
async def test_a_router_that_is_killed_takes_nothing_with_it(site: crawled.Site) -> None:
    """It dies in the middle of a page: what it had is there, what it was at is fetched again, and nothing else is."""
    paths = [f"/{number}" for number in range(6)]
    site.html("/", *paths)
    for path in paths:
        site.html(path)
    site.gates["/2"] = asyncio.Event()
    with stack.prepared(pools=[stack.pool("main", replicas=2)], environment={"BROWSERPOOL_CRAWL_LEASE": "2"}) as up:
        up.start()
        async with up.client() as http:
            client = Client(http)
            job = await client.make(site.url("/"), source="links")
            await waiting.until(lambda: site.times("/2"), deadline=DEADLINE)
            dead = up.router()
            dead.kill()
            site.gates["/2"].set()

            async def is_back() -> bool:
                with contextlib.suppress(aiohttp.ClientError, ValueError):
                    async with http.get(f"/v1/crawl/{job}") as answer:
                        return answer.status == 200 and up.router().pid != dead.pid
                return False

            await waiting.until(is_back, deadline=DEADLINE, every=0.05)
            result = await client.over(job)
        await up.whole()
        assert stack.overlaps(await up.past()) == []
        assert up.stop() == 0
        assert up.leftovers() == []
    assert set(statuses(result, site)) == {"/", *paths}
    assert set(statuses(result, site).values()) == {"completed"}
    assert {path: len(site.times(path)) for path in ["/", *paths]} == {**dict.fromkeys(["/", *paths], 1), "/2": 2}
    assert site.paths.count("/robots.txt") == 1


# ---------------------------------------------------------------- the SDK
@pytest.fixture
def sdk(main_stack: stack.Stack) -> Iterator[cloudflare.Cloudflare]:
    with cloudflare.Cloudflare(
        api_token=main_stack.token,
        base_url=f"{main_stack.url}/client/v4",
        default_headers={"X-Browserpool-Pool": "main"},
    ) as made:
        yield made


async def test_the_sdk(up: stack.Stack, sdk: cloudflare.Cloudflare, client: Client, site: crawled.Site) -> None:
    site.html("/", "/b", title="Start")
    site.html("/b")
    crawl = sdk.browser_rendering.crawl
    job = await asyncio.to_thread(
        crawl.create,
        account_id=ACCOUNT,
        url=site.url("/"),
        formats=["html", "markdown"],
        limit=5,
        source="links",
        max_age=0,
    )
    await client.over(job)
    result = await asyncio.to_thread(crawl.get, job, account_id=ACCOUNT)
    assert (result.id, result.status, result.total, result.finished, result.skipped) == (job, "completed", 2, 2, 0)
    assert result.browser_seconds_used > 0
    start = next(one for one in result.records if one.url == site.url("/"))
    assert (start.status, start.metadata.status, start.metadata.title) == ("completed", 200, "Start")
    assert start.html.startswith("<!DOCTYPE html>")
    assert "to /b" in start.markdown
    page = await asyncio.to_thread(crawl.get, job, account_id=ACCOUNT, limit=1)
    rest = await asyncio.to_thread(crawl.get, job, account_id=ACCOUNT, cursor=float(page.cursor), status="completed")
    assert [one.url for one in page.records + rest.records] == [site.url("/"), site.url("/b")]
    ended = await asyncio.to_thread(crawl.delete, job, account_id=ACCOUNT)
    assert (ended.job_id, "already" in ended.message) == (job, True)
    with pytest.raises(cloudflare.NotFoundError):
        await asyncio.to_thread(crawl.get, "another", account_id=ACCOUNT)
