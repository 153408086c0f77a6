"""Crawls in the store: the queue is nobody's twice, nothing in it is lost, hosts are left alone between two visits, counters hold."""

import asyncio
import dataclasses

import psycopg
import pytest

from browserpool.model import crawls as model
from browserpool.model import credentials, errors, tokens
from browserpool.model.names import HolderId, PoolName, RegionName, TokenName
from browserpool.model.pool import BrowserPool, Metadata
from browserpool.store import connect, crawls, pools
from browserpool.store import tokens as token_rows
from support import waiting

HERE = model.Place(pool=PoolName("p"), region=RegionName("eu"))
Kind, Page = model.Kind, model.PageStatus


def page(path, *, host="a.test", depth=1, rank=3, status=Page.QUEUED, kind=Kind.PAGE, **rest):
    origin = f"https://{host}"
    return model.Found(
        kind=kind, url=origin + path, origin=origin, domain=host, depth=depth, rank=rank, status=status, **rest
    )


class Crawl:
    """A job, and one worker at a time."""

    def __init__(self, db):
        self.db = db

    async def make(self, *found, name="job", limit=10, token="alice"):
        job = model.NewJob(
            crawl_id=name,
            token=TokenName(token),
            pool=HERE.pool,
            region=HERE.region,
            page_limit=limit,
            body={"url": "x"},
        )
        await crawls.create(self.db, job, found=found or [page("/", depth=0, rank=1)])
        return name

    async def claim(self, *, holder="w1", places=(HERE,), without=(), lease=60.0, delay=0.0):
        return await crawls.claim(
            self.db, places=places, without=without, holder=HolderId(holder), lease=lease, delay=delay
        )

    async def know(self, host="a.test", *, name="job", **what):
        await crawls.know_origin(self.db, crawl_id=name, origin=f"https://{host}", **what)

    async def known(self, **what):
        """The next site's robots.txt is fetched."""
        work = await self.claim()
        assert work.kind is Kind.ROBOTS
        await self.know(work.url.split("/")[2], name=work.lease.crawl_id, **what)
        return await self.settle(work)

    async def settle(self, work, status=Page.COMPLETED, *, found=(), copied=None, **what):
        return await crawls.settle(
            self.db, work.lease, model.Outcome(status=status, **what), found=found, copied=copied
        )

    async def counts(self, name="job"):
        job = await crawls.job(self.db, name)
        return str(job.status), job.total, job.finished, job.skipped

    async def records(self, name="job", *, after=0, limit=100, most=10_000_000, status=None):
        return await crawls.records(self.db, name, after=after, limit=limit, most=most, status=status)

    async def listed(self, name="job"):
        return [(one.url.removeprefix("https://"), str(one.status)) for one in await self.records(name)]


@pytest.fixture
def crawl(database):
    return Crawl(database)


# ---------------------------------------------------------------- the life of a job
async def test_a_job_runs_from_its_robots_to_its_last_page(crawl):
    await crawl.make()
    assert await crawl.counts() == ("running", 1, 0, 0)
    assert await crawl.known(robots="User-agent: *", delay=0.0) is model.JobStatus.RUNNING
    start = await crawl.claim()
    assert (start.url, start.depth, start.attempts, start.robots) == ("https://a.test/", 0, 1, "User-agent: *")
    assert await crawl.claim() is None, "there is nothing else"
    found = [page("/b"), page("/c", status=Page.SKIPPED, message="excluded"), page("/"), page("/b")]
    assert await crawl.settle(start, title="Start", html="<p>", http_status=200, found=found) == "running"
    assert await crawl.counts() == ("running", 2, 1, 1)
    assert await crawl.settle(await crawl.claim(), Page.ERRORED, message="no answer") == "completed"
    assert await crawl.counts() == ("completed", 2, 2, 1)
    assert await crawl.listed() == [("a.test/", "completed"), ("a.test/b", "errored"), ("a.test/c", "skipped")]
    job = await crawls.job(crawl.db, "job")
    assert job.body is None, "what may hold passwords is not kept for longer than it is of use"


async def test_what_a_page_gave_is_what_is_read(crawl):
    await crawl.make()
    await crawl.known()
    what = {
        "http_status": 200, "final_url": "https://a.test/end", "title": "T\0", "html": "<p>\0\ud800", "markdown": "m",
        "extracted": {"price": 5}, "message": None,
    }  # fmt: skip
    await crawl.settle(await crawl.claim(), size=99, browser_ms=1234, **what)
    (record,) = await crawl.records()
    assert (record.http_status, record.final_url, record.title) == (200, "https://a.test/end", "T")
    assert (record.html, record.markdown, record.extracted) == ("<p>?", "m", {"price": 5})
    assert (await crawls.job(crawl.db, "job")).browser_ms == 1234


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("\\u0000", "\\u0000"),
        ("\\\\u0000", "\\\\u0000"),
        ("a\0b\0\0", "ab"),
        ("\\\0u0000", "\\u0000"),
        ('\n\0"\0', '\n"'),
        ("plain", "plain"),
    ],
)
async def test_a_body_is_kept_as_it_was_but_for_what_postgres_cannot_hold(crawl, sent, kept):
    job = model.NewJob(
        crawl_id="job",
        token=TokenName("alice"),
        pool=HERE.pool,
        region=HERE.region,
        page_limit=1,
        body={"pattern": [sent], sent: 1},
    )
    await crawls.create(crawl.db, job, found=[page("/")])
    assert (await crawls.job(crawl.db, "job")).body == {"pattern": [kept], kept: 1}


async def test_links_that_postgres_cannot_hold_lose_nothing_else(crawl):
    await crawl.make()
    await crawl.known()
    await crawl.settle(await crawl.claim(), links=["https://a.test/\0b", "https://a.test/\ud800"], cache_key=b"k")
    hit = await crawls.cached(crawl.db, cache_key=b"k", max_age=60)
    assert hit.links == ["https://a.test/b", "https://a.test/?"]


async def test_a_job_is_made_with_what_it_begins_with_or_not_at_all(crawl):
    with pytest.raises(errors.InvalidRequest):
        await crawl.make(page("/", kind="nothing"))
    assert await crawls.job(crawl.db, "job") is None


async def test_making_a_job_twice_makes_it_once(crawl):
    await crawl.make()
    await crawl.make()
    assert await crawl.counts() == ("running", 1, 0, 0)
    assert await crawls.running(crawl.db, TokenName("alice")) == 1
    assert await crawls.wanted(crawl.db) == [(HERE, "alice")]


async def test_a_limit_holds_for_pages_and_what_is_only_noted_is_bounded_too(crawl):
    await crawl.make(limit=3)
    await crawl.known()
    found = [page(f"/{number}") for number in range(20)]
    found += [page(f"/s{number}", status=Page.SKIPPED) for number in range(1500)]
    found += [page("/d", status=Page.DISALLOWED)]
    await crawl.settle(await crawl.claim(), found=found)
    assert await crawl.counts() == ("running", 3, 1, 1000)
    assert [one.url for one in await crawl.records(status=Page.QUEUED)] == ["https://a.test/0", "https://a.test/1"]


async def test_what_robots_forbids_counts_as_finished_and_takes_nobodys_place(crawl):
    await crawl.make(limit=2)
    await crawl.known()
    await crawl.settle(await crawl.claim(), found=[page("/d", status=Page.DISALLOWED), page("/b"), page("/c")])
    assert await crawl.counts() == ("running", 3, 2, 0)
    assert await crawl.settle(await crawl.claim(), Page.SKIPPED) == "completed"
    assert await crawl.counts() == ("completed", 2, 2, 1)


async def test_more_than_one_statement_takes(crawl):
    await crawl.make(limit=100_000)
    await crawl.known()
    found = [page(f"/{number}") for number in range(2 * crawls.CHUNK + 1)]
    await crawl.settle(await crawl.claim(), found=found)
    assert await crawl.counts() == ("running", len(found) + 1, 1, 0)


async def test_another_site_is_asked_for_its_robots_first(crawl):
    await crawl.make()
    await crawl.known()
    await crawl.settle(await crawl.claim(), found=[page("/x", host="b.test"), page("/y", host="b.test")])
    robots = await crawl.claim()
    assert (robots.kind, robots.url) == (Kind.ROBOTS, "https://b.test/robots.txt")
    assert await crawl.claim() is None
    await crawl.know("b.test", trouble="it is down")
    await crawl.settle(robots)
    assert (await crawl.claim()).trouble == "it is down"


async def test_sitemaps_come_before_links_and_are_no_records(crawl):
    await crawl.make()
    await crawl.known()
    maps = [page(f"/m{number}.xml", kind=Kind.SITEMAP, rank=2) for number in range(60)]
    await crawl.settle(await crawl.claim(), found=[page("/b"), *maps])
    kinds = [(await crawl.claim()).kind for _ in range(51)]
    assert kinds == [Kind.SITEMAP] * 50 + [Kind.PAGE], "fifty maps and no more"
    assert [one.url for one in await crawl.records()] == ["https://a.test/", "https://a.test/b"]


# ---------------------------------------------------------------- leases
async def test_two_workers_never_have_the_same_entry(crawl, dsn):
    await crawl.make(limit=200)
    await crawl.known()
    await crawl.settle(
        await crawl.claim(), found=[page(f"/{number}", host=f"h{number % 7}.test") for number in range(60)]
    )
    for host in range(7):
        await crawl.know(f"h{host}.test")
    async with connect.opened(dsn, process="another", max_size=4) as other:

        async def work(db, holder):
            mine, idle = [], 0
            while idle < 5:
                got = await crawls.claim(db, places=[HERE], without=[], holder=HolderId(holder), lease=60, delay=0)
                idle = 0 if got else idle + 1
                if got:
                    mine.append(got.lease.number)
            return mine

        shares = await asyncio.gather(*(work(db, f"w{n}") for n, db in enumerate([crawl.db, other] * 3)))
    taken = [number for share in shares for number in share]
    assert len(taken) == len(set(taken)) == 60 + 7
    assert sum(1 for share in shares if share) > 1, "the work was shared"


async def test_a_lease_that_runs_out_is_found_by_the_next_and_its_first_holder_is_not_heard(crawl):
    await crawl.make()
    await crawl.known()
    first = await crawl.claim(holder="dies", lease=0.2)
    again = await until_claimed(crawl, holder="lives")
    assert (again.lease.number, again.attempts) == (first.lease.number, 2)
    assert again.lease.fence > first.lease.fence
    assert not await crawls.renew(crawl.db, first.lease, seconds=60)
    assert await crawl.settle(first, title="late") is None
    assert await crawl.settle(again, title="right") is model.JobStatus.COMPLETED
    assert [one.title for one in await crawl.records()] == ["right"]


async def until_claimed(crawl, **how):
    got = []

    async def claimed():
        got.append(await crawl.claim(**how))
        return got[-1] is not None

    await waiting.until(claimed, deadline=10)
    return got[-1]


async def test_a_lease_that_is_renewed_is_kept(crawl):
    await crawl.make()
    await crawl.known()
    held = await crawl.claim(lease=0.2)
    assert await crawls.renew(crawl.db, held.lease, seconds=60)
    assert await crawl.claim() is None
    assert await crawl.settle(held) is model.JobStatus.COMPLETED


@pytest.mark.parametrize(("tried", "attempts"), [(False, 1), (True, 2)])
async def test_what_is_given_back_is_had_at_once(crawl, tried, attempts):
    await crawl.make()
    await crawl.known()
    first = await crawl.claim()
    await crawls.give_back(crawl.db, first.lease, tried=tried)
    again = await crawl.claim()
    assert again.attempts == attempts
    assert await crawl.settle(first) is None
    await crawls.give_back(crawl.db, first.lease, tried=True)  # once more, late: it is not his to give
    assert await crawl.settle(again) is model.JobStatus.COMPLETED


async def test_settling_twice_counts_once(crawl):
    await crawl.make()
    await crawl.known()
    start = await crawl.claim()
    await crawl.settle(start, found=[page("/b")])
    assert await crawl.settle(start, found=[page("/c")]) is None
    assert await crawl.counts() == ("running", 2, 1, 0)


async def test_nobody_gets_what_is_not_at_his_places(crawl):
    await crawl.make()
    elsewhere = dataclasses.replace(HERE, region=RegionName("us"))
    assert await crawl.claim(places=[elsewhere]) is None
    assert await crawl.claim(places=[]) is None
    assert (await crawl.claim(places=[elsewhere, HERE])).kind is Kind.ROBOTS


async def test_a_token_without_room_holds_up_nobody_elses_crawl_of_its_host(crawl):
    robots = page("/robots.txt", kind=Kind.ROBOTS, depth=0, rank=0)
    await crawl.make(robots, name="first", token="alice")
    await crawl.make(name="second", token="bob")
    assert await crawl.claim(without=["alice", "bob"]) is None
    assert (await crawl.claim(without=["alice"])).lease.crawl_id == "second"
    assert (await crawl.claim()).lease.crawl_id == "first"


# ---------------------------------------------------------------- politeness
async def test_a_host_is_left_alone_between_two_visits_whoever_makes_them(crawl, dsn):
    await crawl.make(page("/", depth=0, rank=1), page("/b"), name="one")
    await crawl.make(page("/c", depth=0, rank=1), name="two", token="bob")
    assert (await crawl.claim(delay=3600)).kind is Kind.ROBOTS
    assert await crawl.claim(delay=3600) is None, "another job, the same host"
    with psycopg.connect(dsn) as connection:
        (left,) = connection.execute("select extract(epoch from next_at - now()) from crawl_domains").fetchone()
    assert 3500 < left <= 3600


async def test_what_robots_asks_for_goes_before_the_default(crawl, dsn):
    await crawl.make(page("/", depth=0, rank=1), page("/b"))
    await crawl.known(delay=1800.0)
    assert (await crawl.claim(delay=0.0)).url == "https://a.test/"
    assert await crawl.claim(delay=0.0) is None
    with psycopg.connect(dsn) as connection:
        (left,) = connection.execute("select extract(epoch from next_at - now()) from crawl_domains").fetchone()
    assert 1700 < left <= 1800


async def test_hosts_take_turns(crawl):
    await crawl.make(page("/", depth=0, rank=1), page("/b"), page("/", host="b.test"), page("/b", host="b.test"))
    await crawl.known()
    await crawl.known()
    hosts = [(await crawl.claim()).url.split("/")[2] for _ in range(4)]
    assert hosts in (["a.test", "b.test"] * 2, ["b.test", "a.test"] * 2)


# ---------------------------------------------------------------- ends
async def test_a_job_that_is_cancelled_keeps_what_it_has_and_takes_nothing_more(crawl):
    await crawl.make()
    await crawl.known()
    start = await crawl.claim()
    await crawl.settle(start, title="kept", found=[page("/b"), page("/c")])
    running = await crawl.claim()
    end = {"status": model.JobStatus.CANCELLED_BY_USER, "message": "cancelled"}
    assert await crawls.end(crawl.db, "job", **end) == "cancelled_by_user"
    assert await crawl.counts() == ("cancelled_by_user", 3, 1, 0)
    assert await crawl.settle(running, title="late") is None
    assert not await crawls.renew(crawl.db, running.lease, seconds=60)
    assert await crawl.claim() is None
    assert [(one.title, str(one.status)) for one in await crawl.records()] == [
        ("kept", "completed"), (None, "cancelled"), (None, "cancelled"),
    ]  # fmt: skip
    again = {"status": model.JobStatus.ERRORED, "message": "again"}
    assert await crawls.end(crawl.db, "job", **again) == "cancelled_by_user", "it is over, and stays as it ended"
    assert await crawls.end(crawl.db, "none", **again) is None


async def test_a_job_ends_after_its_time(crawl):
    await crawl.make()
    assert await crawls.end_overdue(crawl.db, older_than=3600, message="too long") == []
    assert await crawls.end_overdue(crawl.db, older_than=0, message="too long") == ["job"]
    assert (await crawl.counts())[0] == "cancelled_due_to_timeout"
    assert [one.message for one in await crawl.records()] == ["too long"]


async def test_a_job_without_token_or_pool_ends(crawl):
    async def token(name, allowed):
        made = tokens.Token(name=TokenName(name), hash=credentials.hashed(name), pools=allowed)
        await token_rows.put(crawl.db, made)

    for name in ("all", "one", "other", "nobody"):
        await crawl.make(name=name, token=name)
    assert sorted(await crawls.end_orphaned(crawl.db, message="gone")) == ["all", "nobody", "one", "other"]
    await pools.put(crawl.db, BrowserPool(metadata=Metadata(name="p")))
    for name, allowed in (("all", None), ("one", frozenset({"p"})), ("other", frozenset({"q"}))):
        await token(name, allowed)
        await crawl.make(name=f"{name}-2", token=name)
    await crawl.make(name="nobody-2", token="nobody")
    assert sorted(await crawls.end_orphaned(crawl.db, message="gone")) == ["nobody-2", "other-2"]


async def test_what_is_over_is_forgotten_after_its_time_and_nothing_else(crawl):
    await crawl.make(name="old")
    await crawl.make(name="running")
    await crawls.end(crawl.db, "old", status=model.JobStatus.ERRORED, message="")
    assert await crawls.prune(crawl.db, older_than=3600) == 0
    assert await crawls.prune(crawl.db, older_than=0) == 3
    assert await crawls.job(crawl.db, "old") is None
    assert (await crawl.counts("running"))[0] == "running"


async def test_hosts_are_forgotten_only_when_no_job_has_use_for_them(crawl, dsn):
    await crawl.make()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into crawl_domains (domain, next_at) values ('old.test', now() - interval '2 days')")
        connection.execute("update crawl_domains set next_at = now() - interval '2 days'")
        await crawls.tidy_domains(crawl.db)
        assert connection.execute("select domain from crawl_domains").fetchall() == [("a.test",)]
        connection.execute("delete from crawl_domains")
        assert await crawl.claim() is None
        await crawls.tidy_domains(crawl.db)
    assert (await crawl.claim()).kind is Kind.ROBOTS


# ---------------------------------------------------------------- results
async def test_results_come_in_pages_of_bounded_size(crawl):
    await crawl.make(page("/", depth=0, rank=1), *(page(f"/{number}") for number in range(5)))
    await crawl.known()
    for size in (10, 60, 30, 30, 200, 1):
        await crawl.settle(await crawl.claim(), size=size)
    pages, after = [], 0
    while got := await crawl.records(after=after, most=100):
        pages.append(len(got))
        after = got[-1].number
        assert await crawls.more(crawl.db, "job", after=after) is (sum(pages) < 6)
    assert pages == [3, 1, 1, 1]
    assert [len(await crawl.records(after=0, limit=limit)) for limit in (1, 4, 100)] == [1, 4, 6]


async def test_what_was_never_fetched_takes_its_place_in_a_page_of_results_too(crawl):
    why = "x" * 200
    await crawl.make(page("/", depth=0, rank=1), *(page(f"/{n}", status=Page.SKIPPED, message=why) for n in range(9)))
    assert 1 <= len(await crawl.records(most=1000)) <= 4
    await crawl.make(page("/", depth=0, rank=1), *(page(f"/{n}") for n in range(9)), name="ended")
    await crawls.end(crawl.db, "ended", status=model.JobStatus.CANCELLED_BY_USER, message=why)
    assert 1 <= len(await crawl.records("ended", most=1000)) <= 4


async def test_an_earlier_result_serves_again(crawl):
    await crawl.make()
    await crawl.known()
    what = {"title": "T", "html": "<p>", "final_url": "https://a.test/end"}
    await crawl.settle(await crawl.claim(), size=7, links=["https://a.test/b"], cache_key=b"k", **what)
    await crawl.make(name="later")
    await crawl.known()
    assert await crawls.cached(crawl.db, cache_key=b"other", max_age=60) is None
    assert await crawls.cached(crawl.db, cache_key=b"k", max_age=0) is None
    hit = await crawls.cached(crawl.db, cache_key=b"k", max_age=60)
    assert (hit.crawl_id, hit.links, hit.final_url) == ("job", ["https://a.test/b"], "https://a.test/end")
    await crawl.settle(await crawl.claim(), copied=(hit.crawl_id, hit.number))
    (record,) = await crawl.records("later")
    assert (record.title, record.html, str(record.status)) == ("T", "<p>", "completed")
