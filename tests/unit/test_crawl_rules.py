"""What a crawl fetches, and when its worker may: addresses, scopes, patterns, robots.txt, sitemaps, policy, sizes. Tables."""

import datetime
import gzip

import hypothesis
import orjson
import pytest
from hypothesis import strategies as st

from browserpool.model import crawls, errors, names
from browserpool.model.wire import crawl as wire
from browserpool.model.wire import wildcards
from browserpool.router import binding
from browserpool.router.crawl import frontier, plan, policy, results, robots, sitemaps

START = "https://example.com/docs/"
Page = crawls.PageStatus


def body(**changes):
    return wire.Crawl.model_validate({"url": START, **changes})


# ---------------------------------------------------------------- addresses
@pytest.mark.parametrize(
    ("text", "one_form"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A", "https://example.com/A"),
        ("http://example.com:80/a#part", "http://example.com/a"),
        ("http://example.com:8080/a", "http://example.com:8080/a"),
        ("https://user:secret@example.com/", "https://example.com/"),
        ("https://exämple.com/ü", "https://xn--exmple-cua.com/%C3%BC"),
        ("https://example.com/a/../b/./c", "https://example.com/b/c"),
        ("https://example.com/%7Euser", "https://example.com/~user"),
        ("  https://example.com/a b ", "https://example.com/a%20b"),
        ("https://example.com/?b=2&a=1", "https://example.com/?b=2&a=1"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("mailto:somebody@example.com", None),
        ("javascript:void(0)", None),
        ("file:///etc/passwd", None),
        ("//example.com/", None),
        ("/relative", None),
        ("", None),
        ("http://", None),
        ("http://[::1", None),
        ("http://example.com:port/", None),
        ("http://exam\0ple.com/", None),
        ("http://exam%00ple.com/", None),
        ("http://exam\x7fple.com/", None),
        ("http://exam ple.com/", None),
        ("http://[fe80::1%25a\x01b]/", None),
        ("http://example.com/\0a?\0b", "http://example.com/%00a?%00b"),
        ("https://example.com/" + "a" * wire.MAX_URL, None),
    ],
)
def test_an_address_has_one_form(text, one_form):
    assert frontier.normalised(text) == one_form
    if one_form is not None:
        assert frontier.normalised(one_form) == one_form


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        ("https://example.com/else", {}, None),
        ("http://example.com/else", {}, None),
        ("https://example.com:8443/", {}, "another site"),
        ("https://www.example.com/", {}, "subdomain"),
        ("https://www.example.com/", {"includeSubdomains": True}, None),
        ("https://a.b.example.com/", {"includeSubdomains": True}, None),
        ("https://badexample.com/", {"includeSubdomains": True}, "another site"),
        ("https://com/", {"includeSubdomains": True}, "another site"),
        ("https://elsewhere.test/", {"includeExternalLinks": True}, None),
        ("https://elsewhere.test/", {}, "another site"),
        ("https://example.com/docs/a", {"includePatterns": ["https://example.com/docs/**"]}, None),
        ("https://example.com/blog", {"includePatterns": ["https://example.com/docs/**"]}, "includePatterns"),
        ("https://example.com/docs/a", {"excludePatterns": ["**/a"]}, "excludePatterns"),
        ("https://example.com/docs/a", {"includePatterns": ["**"], "excludePatterns": ["**/a"]}, "excludePatterns"),
        (
            "https://elsewhere.test/x",
            {"includeExternalLinks": True, "includePatterns": ["https://example.com/**"]},
            "includePatterns",
        ),
    ],
)
def test_what_belongs_to_a_job(url, options, why):
    said = frontier.aside(url, start=START, options=body(options=options).options)
    assert (said is None) is (why is None)
    assert why is None or why in said


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        ("https://e.com/docs/*", ["https://e.com/docs/a", "https://e.com/docs/"], ["https://e.com/docs/a/b"]),
        ("https://e.com/docs/**", ["https://e.com/docs/a/b?c=/d"], ["https://e.com/docs", "https://e.com/x/docs/"]),
        ("https://e.com/*/x", ["https://e.com/a/x"], ["https://e.com/a/b/x", "https://e.com/x"]),
        ("**.pdf", ["https://e.com/a/b.pdf", "https://e.com/b.pdf?x=1"], ["https://e.com/pdf"]),
        ("/blog/*", ["https://e.com/blog/a", "https://e.com/blog/a?page=2"], ["https://e.com/x/blog/a"]),
        ("*/private/*", ["https://e.com/docs/private/x", "https://e.com/private/"], ["https://e.com/a/b/private/x"]),
        ("**/api/v1/*", ["https://e.com/api/v1/a", "https://e.com/x/y/api/v1/a"], ["https://e.com/api/v2/a"]),
        ("https://e.com/a.b?c", ["https://e.com/a.b?c"], ["https://e.com/axb?c", "https://e.com/a.bc"]),
        ("https://e.com/[a]+(b)", ["https://e.com/[a]+(b)"], ["https://e.com/aab"]),
        ("*", ["https://e.com/a", "https://e.com/"], ["https://e.com/a/b"]),
    ],
)
def test_a_star_stops_at_a_slash_and_two_do_not(pattern, matched, unmatched):
    compiled = wildcards.compiled(pattern)
    assert [url for url in matched if not compiled.matches(url)] == []
    assert [url for url in unmatched if compiled.matches(url)] == []


def test_a_pattern_of_many_stars_takes_no_time_worth_naming():
    compiled = wildcards.compiled("**a" * 300)
    assert not compiled.matches("https://e.com/" + "a" * 8000 + "!" + "b" * 8000)


def linked(links, *, depth=0, rules="", **changes):
    found = frontier.linked(
        links, depth=depth, body=body(**changes), start=START, site="https://example.com", rules=robots.Rules(rules)
    )
    return [(one.url.removeprefix("https://example.com"), str(one.status), one.depth) for one in found]


@pytest.mark.parametrize(
    ("links", "how", "found"),
    [
        (["https://example.com/a", "https://example.com/a#x"], {}, [("/a", "queued", 1)]),
        (["https://example.com/a"], {"depth": 3}, [("/a", "queued", 4)]),
        (["https://elsewhere.test/"], {}, [("https://elsewhere.test/", "skipped", 1)]),
        (["mailto:x@example.com", "tel:1"], {}, []),
    ],
)
def test_links_become_entries(links, how, found):
    assert linked(links, **how) == found


@pytest.mark.parametrize(("depth", "most", "number"), [(0, 0, 0), (0, 1, 1), (1, 1, 0), (4, 5, 1), (5, 5, 0)])
def test_a_depth_is_kept(depth, most, number):
    found = frontier.linked(
        ["https://example.com/a"],
        depth=depth,
        body=body(depth=most),
        start=START,
        site="https://example.com",
        rules=robots.Rules(""),
    )
    assert len(found) == number


def test_robots_of_the_same_site_is_asked_at_once_and_anothers_later():
    links = ["https://example.com/secret", "https://other.test/secret"]
    rules = "User-agent: *\nDisallow: /secret"
    assert linked(links, rules=rules, options={"includeExternalLinks": True}) == [
        ("/secret", "disallowed", 1),
        ("https://other.test/secret", "queued", 1),
    ]


def test_the_order_is_robots_start_sitemaps_and_then_by_distance():
    def rank(kind, depth):
        return frontier.entry("https://example.com/", kind=kind, depth=depth).rank

    kinds = crawls.Kind
    order = [
        (kinds.ROBOTS, 0),
        (kinds.PAGE, 0),
        (kinds.SITEMAP, 1),
        (kinds.PAGE, 1),
        (kinds.PAGE, 2),
        (kinds.PAGE, 100_000),
    ]
    ranks = [rank(*one) for one in order]
    assert ranks == sorted(set(ranks))
    assert rank(kinds.SITEMAP, 1) == rank(kinds.SITEMAP, 3)


# ---------------------------------------------------------------- robots.txt
ROBOTS = """
User-agent: *
Disallow: /private
Allow: /private/open
Disallow: /*.pdf$
Crawl-delay: 4
User-agent: BrowserpoolCrawler
Disallow: /only-us
Crawl-delay: 2
Sitemap: https://example.com/map.xml
"""


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/anything", True),
        ("User-agent: *\nDisallow: /", "/", False),
        ("User-agent: *\nDisallow:", "/", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/x.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/x.pdf?a", True),
        ("User-agent: Another\nDisallow: /", "/", True),
        ("User-agent: browserpoolcrawler\nDisallow: /", "/", False),
        (ROBOTS, "/private/x", True),
        (ROBOTS, "/only-us", False),
        (robots.CLOSED, "/", False),
        ("<html>not found</html>", "/", True),
    ],
)
def test_robots_txt(text, path, allowed):
    assert (robots.Rules(text).forbids(f"https://example.com{path}") is None) is allowed


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("", None),
        (ROBOTS, 2.0),
        ("User-agent: *\nCrawl-delay: 0.25", 0.25),
        ("User-agent: *\nCrawl-delay: soon", None),
        ("User-agent: *\nCrawl-delay: -1", None),
        ("User-agent: *\nCrawl-delay: 1e300", robots.MAX_DELAY),
        ("User-agent: *\nRequest-rate: 10/1m", 6.0),
    ],
)
def test_how_long_a_site_wants_to_be_left_alone(text, delay):
    assert robots.Rules(text).delay == delay


@pytest.mark.parametrize(
    ("text", "signals"),
    [
        ("", {}),
        ("Content-Signal: search=yes, ai-train=no", {"search": "yes", "ai-train": "no"}),
        ("User-agent: *\nContent-Signal: ai-train=no\nAllow: /", {"ai-train": "no"}),
        ("User-agent: Another\nContent-Signal: search=no", {}),
        ("User-agent: Another\nUser-agent: *\nContent-Signal: search=no", {"search": "no"}),
        ("User-agent: *\nAllow: /\nUser-agent: Another\nContent-Signal: search=no", {}),
        (
            "User-agent: *\nContent-Signal: search=no\n\nUser-agent: BrowserpoolCrawler\nContent-Signal: search=yes",
            {"search": "yes"},
        ),
        ("user-agent: *\ncontent-signal: SEARCH=No # a comment\n", {"search": "no"}),
    ],
)
def test_content_signals(text, signals):
    assert robots.signals(text) == signals


@pytest.mark.parametrize(
    ("signal", "purposes", "use", "allowed"),
    [
        ("ai-train=no", ("search",), "full", True),
        ("ai-train=no", ("search", "ai-train"), "full", False),
        ("search=yes, ai-train=yes", ("search", "ai-train"), "full", True),
        ("use=reference", ("search",), "full", False),
        ("use=reference", ("search",), "reference", True),
        ("use=immediate", ("search",), "reference", False),
        ("use=full", ("search",), "full", True),
        ("use=whatever", ("search",), "full", True),
    ],
)
def test_what_a_site_may_be_crawled_for(signal, purposes, use, allowed):
    rules = robots.Rules(f"User-agent: *\nContent-Signal: {signal}", purposes=purposes, use=use)
    assert (rules.forbids("https://example.com/") is None) is allowed


def test_the_sitemaps_that_robots_txt_names():
    assert robots.Rules(ROBOTS).sitemaps == ["https://example.com/map.xml"]


# ---------------------------------------------------------------- sitemaps
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def urlset(*urls, head=""):
    return f"{head}<urlset {NAMESPACE}>{''.join(f'<url><loc>{url}</loc></url>' for url in urls)}</urlset>".encode()


@pytest.mark.parametrize(
    ("content", "pages", "maps"),
    [
        (urlset("https://e.com/a", "https://e.com/b"), ["https://e.com/a", "https://e.com/b"], []),
        (gzip.compress(urlset("https://e.com/a")), ["https://e.com/a"], []),
        (urlset(" https://e.com/a?x=1&amp;y=2\n"), ["https://e.com/a?x=1&y=2"], []),
        (b"\xef\xbb\xbf<?xml version='1.0'?>" + urlset("https://e.com/a"), ["https://e.com/a"], []),
        (b"<urlset><url><loc>https://e.com/a</loc></url></urlset>", ["https://e.com/a"], []),
        (b"<urlset><url><lastmod>2026-01-01</lastmod></url></urlset>", [], []),
        (b"<urlset/>", [], []),
        (f"<sitemapindex {NAMESPACE}><sitemap><loc>https://e.com/m.xml</loc></sitemap></sitemapindex>".encode(), [], ["https://e.com/m.xml"]),
        (b"https://e.com/a\n\nnot an address\nhttps://e.com/b\n", ["https://e.com/a", "https://e.com/b"], []),
        (b"", [], []),
        (urlset("https://e.com/a")[:-5], ["https://e.com/a"], []),
    ],
)  # fmt: skip
def test_a_sitemap_is_read(content, pages, maps):
    read = sitemaps.read(content)
    assert ([url for url, _ in read.pages], list(read.maps)) == (pages, maps)


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>"""
EXTERNAL = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>"""


@pytest.mark.parametrize(
    "content",
    [
        urlset("&b;", head=BOMB),
        urlset("&file;", head=EXTERNAL),
        b"<urlset><url>",
        b"<html><p>not <b>found</p></html>",
        b"\x1f\x8bbroken",
    ],
)
def test_what_is_no_sitemap_is_refused(content):
    with pytest.raises(sitemaps.Unreadable):
        sitemaps.read(content)


def test_what_unpacks_to_too_much_is_refused():
    with pytest.raises(sitemaps.Unreadable, match="50 MB"):
        sitemaps.read(gzip.compress(b"<" + b" " * (sitemaps.MAX_UNPACKED + 1)))


def test_a_sitemap_of_too_many_is_cut():
    many = urlset(*(f"https://e.com/{number}" for number in range(sitemaps.MAX_URLS + 10)))
    assert len(sitemaps.read(many).pages) == sitemaps.MAX_URLS


@pytest.mark.parametrize(
    ("lastmod", "when"),
    [
        ("2026-01-15T10:00:00+02:00", "2026-01-15T08:00:00+00:00"),
        ("2026-01-15T10:00:00Z", "2026-01-15T10:00:00+00:00"),
        ("2026-01-15T10:00:00", "2026-01-15T10:00:00+00:00"),
        ("2026-01-15", "2026-01-15T23:59:59+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ("0001-01-01T00:00:00+02:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("9001-01-01", None),
        ("1969-12-31", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_when_a_page_was_modified(lastmod, when):
    content = f"<urlset><url><loc>https://e.com/</loc><lastmod>{lastmod}</lastmod></url></urlset>".encode()
    ((_, modified),) = sitemaps.read(content).pages
    assert (modified.astimezone(datetime.UTC).isoformat() if modified else None) == when


def test_what_a_sitemap_lists_elsewhere_is_passed_over():
    listed = [("https://example.com/a", None), ("https://elsewhere.test/", None), ("no address", None)]
    assert [one.url for one in frontier.mapped(listed, body=body(), start=START)] == ["https://example.com/a"]
    assert frontier.mapped(listed, body=body(depth=0), start=START) == []


# ---------------------------------------------------------------- when a worker may
@pytest.mark.parametrize(
    ("replicas", "ready", "waiting", "rested", "may"),
    [
        (4, 2, 0, 99, True),
        (4, 1, 0, 99, False),
        (4, 0, 0, 99, False),
        (4, 2, 1, 99, False),
        (4, 2, 0, 0, True),
        (1, 1, 0, 99, True),
        (1, 1, 0, 0.5, False),
        (1, 1, 1, 99, False),
        (1, 0, 0, 99, False),
        (0, 1, 0, 99, True),
    ],
)
def test_a_worker_takes_a_browser_only_where_nobody_misses_it(replicas, ready, waiting, rested, may):
    pool = policy.Pool(replicas=replicas, ready=ready, waiting=waiting, rested=rested)
    assert policy.may_take(pool, pause=1.0) is may


@pytest.mark.parametrize(
    ("running", "concurrency", "may"), [(0, None, True), (9, None, True), (0, 1, True), (1, 1, False)]
)
def test_a_worker_waits_until_its_token_has_room(running, concurrency, may):
    assert policy.may_work_for(running=running, concurrency=concurrency) is may


# ---------------------------------------------------------------- plans
def test_results_serve_again_only_for_the_same_token_address_and_way():
    def key(url="https://example.com/", token="alice", pool="p", region="eu", **changes):
        place = crawls.Place(pool=names.PoolName(pool), region=names.RegionName(region))
        return plan.read({"url": START, **changes}).cache_key(url, token=token, place=place)

    same = [
        key(),
        key(limit=50),
        key(depth=1),
        key(maxAge=5),
        key(options={"excludePatterns": ["*"]}),
        key(source="links"),
    ]
    other = [
        key(url="https://example.com/b"), key(token="bob"), key(pool="q"), key(region="us"), key(formats=["markdown"]), key(render=False),
        key(setExtraHTTPHeaders={"X": "1"}), key(cookies=[{"name": "a", "value": "b"}]),
        key(formats=["json"], jsonOptions={"prompt": "a"}), key(formats=["json"], jsonOptions={"prompt": "b"}),
    ]  # fmt: skip
    assert len(set(same)) == 1
    assert len({*same, *other}) == 1 + len(other)
    assert key(modifiedSince=1) is None


NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("since", "good"),
    [(None, True), (1_795_000_000, True), (0, False), (1_700_000_000, False), (1_999_999_999, False)],
)
def test_modified_since_lies_within_the_last_year(since, good):
    made = plan.read({"url": START} if since is None else {"url": START, "modifiedSince": since})
    if good:
        plan.check_time(made, now=NOW)
    else:
        with pytest.raises(errors.InvalidRequest, match="modifiedSince"):
            plan.check_time(made, now=NOW)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b'"x"'])
def test_what_is_no_object_is_refused(content):
    with pytest.raises(errors.InvalidRequest):
        plan.raw(content)


def test_a_large_body_is_refused():
    with pytest.raises(errors.TooLarge):
        plan.raw(b" " * (wire.MAX_BODY + 1))


def test_a_job_begins_with_its_page_or_with_robots_txt():
    def begun(**changes):
        return [(str(one.kind), one.url, one.depth) for one in plan.beginning(plan.read({"url": START, **changes}))]

    assert begun() == [("page", START, 0)]
    assert begun(source="links") == [("page", START, 0)]
    assert begun(source="sitemaps") == [("robots", "https://example.com/robots.txt", 0)]


def test_what_goes_to_the_browser_is_what_is_its_own():
    sent = {
        "url": START, "limit": 5, "formats": ["html"], "maxAge": 5, "options": {}, "browser": "kitesurf", "cacheTTL": 5,
        "goToOptions": {"timeout": 5}, "cookies": [], "viewport": {"width": 10, "height": 10},
    }  # fmt: skip
    assert set(plan.read(sent).visiting) == {"goToOptions", "cookies", "viewport"}


# ---------------------------------------------------------------- results
def record(**what):
    empty = dict.fromkeys(("message", "http_status", "final_url", "title", "html", "markdown", "extracted"))
    return crawls.Record(**{"number": 1, "url": "https://e.com/", "status": Page.COMPLETED, **empty, **what})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (record(status=Page.QUEUED), {"url": "https://e.com/", "status": "queued"}),
        (
            record(http_status=200, title="T", final_url="https://e.com/x", html="<p>"),
            {
                "url": "https://e.com/",
                "status": "completed",
                "html": "<p>",
                "metadata": {"status": 200, "title": "T", "url": "https://e.com/x"},
            },
        ),
        (
            record(status=Page.ERRORED, message="why", http_status=404),
            {
                "url": "https://e.com/",
                "status": "errored",
                "error": "why",
                "metadata": {"status": 404, "url": "https://e.com/"},
            },
        ),
        (record(extracted={"a": 1}), {"url": "https://e.com/", "status": "completed", "json": {"a": 1}}),
    ],
)  # fmt: skip
def test_a_record_as_the_wire_has_it(made, said):
    assert results.record(made) == said


def test_sizes_are_what_an_answer_takes():
    outcome = crawls.Outcome(
        status=Page.COMPLETED, html='"\n' * 1000, http_status=200, title="T", final_url="https://e.com/"
    )
    size = results.size("https://e.com/", outcome)
    sent = record(html=outcome.html, http_status=200, title="T", final_url="https://e.com/")
    assert size == len(orjson.dumps(results.record(sent))) + 1
    assert results.MAX_RECORD <= results.MOST_BYTES


BAD = [
    "0",
    "11",
    "x",
    "1.5",
    "nan",
    "inf",
    "-1",
    "",
    "1e0",
    " 5",
    "1_0",
    "\u0665",
    "5.",
    f"{'0' * 20}5",
    f"{'0' * 5000}5",
]


@pytest.mark.parametrize(
    ("text", "number"),
    [(None, 7), ("5", 5), ("10.0", 10), *((bad, None) for bad in BAD)],
    ids=lambda value: repr(value)[:20],
)
def test_numbers_of_the_query(text, number):
    query = {} if text is None else {"limit": text}
    if number is None:
        with pytest.raises(errors.InvalidRequest, match="limit"):
            binding.whole(query, "limit", least=1, most=10, absent=7)
    else:
        assert binding.whole(query, "limit", least=1, most=10, absent=7) == number


@hypothesis.given(
    st.one_of(
        st.text(), st.from_regex(r"https?://[a-z0-9.%:\[\]@-]{1,30}(/[^\s]{0,20})?(\?[^\s]{0,20})?", fullmatch=True)
    )
)
def test_whatever_stands_in_a_link_has_one_form_or_none(text):
    one_form = frontier.normalised(text)
    if one_form is not None:
        assert frontier.normalised(one_form) == one_form
        assert frontier.origin(one_form).startswith(("http://", "https://"))
        assert frontier.host(one_form)
        frontier.aside(one_form, start=START, options=body(options={"excludePatterns": ["*/a/*"]}).options)
