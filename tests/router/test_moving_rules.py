"""Who serves whom while traffic moves, and how one system's words become another's: tables of examples."""

import orjson
import pytest

from browserpool.model import errors
from browserpool.model.elsewhere import Fallback, Upstream
from browserpool.model.names import PoolName, TokenName
from browserpool.model.outcomes import Arm
from browserpool.model.wire import actions as wire
from browserpool.router.moving import addresses, arms, browserless

POOL = PoolName("default")
CALLERS = [TokenName(f"caller-{number}") for number in range(2000)]


def upstream(**fields):
    return Upstream.model_validate({"url": "http://old:3000", "kind": "cloudflare", **fields})


def side(caller, percent, *, pool=POOL, **fields):
    return arms.first(upstream(percent=percent, **fields), token=caller, pool=pool, draw=50.0)


# ---------------------------------------------------------------- who serves
@pytest.mark.parametrize("percent", [0, 0.5, 1, 10, 50, 99, 100])
def test_about_as_many_callers_as_the_percentage_says_are_the_pools(percent):
    share = sum(side(caller, percent) is Arm.POOL for caller in CALLERS) / len(CALLERS) * 100
    assert share == pytest.approx(percent, abs=3)
    assert percent not in (0, 100) or share == percent


def test_raising_the_percentage_moves_callers_one_way_only():
    sides = [[side(caller, percent) is Arm.POOL for percent in range(0, 101, 5)] for caller in CALLERS]
    assert all(of_one == sorted(of_one) for of_one in sides)


def test_a_caller_stands_elsewhere_in_another_pool():
    here = [side(caller, 50) for caller in CALLERS]
    there = [side(caller, 50, pool=PoolName("another")) for caller in CALLERS]
    assert 0.4 < sum(one is another for one, another in zip(here, there, strict=True)) / len(CALLERS) < 0.6


@pytest.mark.parametrize(
    ("draw", "arm"), [(0.0, Arm.POOL), (9.9, Arm.POOL), (10.0, Arm.UPSTREAM), (99.9, Arm.UPSTREAM)]
)
def test_without_stickiness_each_request_is_drawn(draw, arm):
    for caller in CALLERS[:50]:
        assert arms.first(upstream(percent=10, sticky=False), token=caller, pool=POOL, draw=draw) is arm


NOW, WAITING, OLD = arms.Try(arm=Arm.POOL, at_once=True), arms.Try(arm=Arm.POOL), arms.Try(arm=Arm.UPSTREAM)


@pytest.mark.parametrize(
    ("arm", "fallback", "plan"),
    [
        (Arm.POOL, Fallback.TO_UPSTREAM, (NOW, OLD, WAITING)),
        (Arm.POOL, Fallback.BOTH, (NOW, OLD, WAITING)),
        (Arm.POOL, Fallback.NEVER, (WAITING,)),
        (Arm.UPSTREAM, Fallback.TO_UPSTREAM, (OLD,)),
        (Arm.UPSTREAM, Fallback.BOTH, (OLD, WAITING)),
        (Arm.UPSTREAM, Fallback.NEVER, (OLD,)),
    ],
)
def test_who_comes_next(arm, fallback, plan):
    assert arms.plan(arm, fallback) == plan


# ---------------------------------------------------------------- addresses
@pytest.mark.parametrize(
    ("url", "query", "wanted"),
    [
        ("http://old:3000", {}, "http://old:3000/pdf"),
        ("http://old:3000/", {}, "http://old:3000/pdf"),
        (
            "https://h/client/v4/accounts/a/browser-rendering",
            {},
            "https://h/client/v4/accounts/a/browser-rendering/pdf",
        ),
        ("http://h/v1?pool=mine", {"cacheTTL": "5"}, "http://h/v1/pdf?cacheTTL=5&pool=mine"),
        ("ws://old:3000", {"token": "t"}, "http://old:3000/pdf?token=t"),
        ("wss://old/?blockAds=true", {}, "https://old/pdf?blockAds=true"),
    ],
)
def test_where_an_action_is_asked_for(url, query, wanted):
    assert addresses.action(url, "pdf", query=query) == wanted


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (addresses.sessions("http://h/v1?pool=mine", query={}), "http://h/v1/devtools/browser?pool=mine"),
        (addresses.session("http://h/v1?pool=mine", "a/b"), "http://h/v1/devtools/browser/a%2Fb?pool=mine"),
        (addresses.connection("https://h/run/", "a"), "wss://h/run/devtools/browser/a"),
        (addresses.launch("http://old:3000", query={"timeout": "5"}), "ws://old:3000/?timeout=5"),
        (addresses.launch("wss://old/chromium", query={}), "wss://old/chromium/"),
    ],
)
def test_where_browsers_are_launched(made, wanted):
    assert made == wanted


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h:9222", "http://h:9222/json/version"),
        ("https://h/chrome/", "https://h/chrome/json/version"),
        ("ws://h:9222/devtools/browser/x", None),
    ],
)
def test_where_chrome_is_asked_for_its_address(url, asked):
    assert addresses.version(url) == asked


@pytest.mark.parametrize(
    ("url", "said", "wanted"),
    [
        ("http://h:9222", "ws://localhost/devtools/browser/x", "ws://h:9222/devtools/browser/x"),
        ("https://h", "ws://127.0.0.1:9222/devtools/browser/x?a=b", "wss://h/devtools/browser/x?a=b"),
    ],
)
def test_chromes_own_address_is_at_the_host_that_it_was_asked_at(url, said, wanted):
    assert addresses.browser(url, said) == wanted


def test_what_is_no_address_is_the_upstreams_failure():
    with pytest.raises(errors.UpstreamFailed, match="at no address"):
        addresses.browser("http://h:9222", "ws://[x")


def test_what_is_ours_is_not_told_to_an_upstream():
    query = {"token": "secret", "pool": "p", "region": "eu", "zone": "z", "node": "n", "keep_alive": "10000"}
    assert addresses.passed_on(query) == {"keep_alive": "10000"}
    assert addresses.passed_on(query, only=frozenset({"cacheTTL"})) == {}
    assert addresses.shown("https://user:secret@h:1/path?token=secret") == "https://h:1"


# ---------------------------------------------------------------- browserless
GOTO = {"timeout": 30000.0, "waitUntil": ["domcontentloaded"]}
LOAD = {"waitUntil": "load", "timeout": 5}
BARE = {"gotoOptions": GOTO, "viewport": {"width": 1920, "height": 1080}, "rejectRequestPattern": []}


@pytest.mark.parametrize(
    ("action", "given", "asked"),
    [
        ("content", {"url": "http://a"}, {"url": "http://a"}),
        ("content", {"html": "x", "cacheTTL": 5, "actionTimeout": 1000}, {"html": "x"}),
        ("screenshot", {"html": "x", "screenshotOptions": {"fullPage": True}}, {"html": "x", "options": {"fullPage": True}}),
        ("screenshot", {"html": "x", "scrollPage": True, "selector": "p"}, {"html": "x", "scrollPage": True, "selector": "p"}),
        ("pdf", {"html": "x", "pdfOptions": {"format": "a4"}}, {"html": "x", "options": {"format": "a4"}}),
        ("scrape", {"html": "x", "elements": [{"selector": "h1"}]}, {"html": "x", "elements": [{"selector": "h1"}]}),
        ("content", {"html": "x", "goToOptions": LOAD}, {"html": "x", "gotoOptions": {"waitUntil": ["load"], "timeout": 5.0}}),
        ("content", {"url": "http://a", "gotoOptions": {"referer": "http://b"}}, {"url": "http://a", "gotoOptions": GOTO | {"referer": "http://b"}}),
        ("content", {"html": "x", "viewport": {"width": 1, "height": 2}}, {"html": "x", "viewport": {"width": 1, "height": 2}}),
        ("content", {"html": "x", "rejectRequestPattern": ["a/b", "/c\\/d/"]}, {"html": "x", "rejectRequestPattern": ["a/b", "c\\/d"]}),
        ("content", {"html": "x", "userAgent": None}, {"html": "x"}),
        # What it cannot do, or would not do as it is asked to, is the pool's.
        ("markdown", {"html": "x"}, None),
        ("snapshot", {"html": "x"}, None),
        ("links", {"html": "x"}, None),
        ("accessibilityTree", {"html": "x"}, None),
        ("content", {"html": "x", "setJavaScriptEnabled": False}, None),
        ("content", {"html": "x", "userAgent": "me"}, None),
        ("content", {"html": "x", "allowResourceTypes": ["document"]}, None),
        ("content", {"html": "x", "allowRequestPattern": ["a"]}, None),
        ("content", {"html": "x", "rejectRequestPattern": ["/a/i"]}, None),
    ],
)  # fmt: skip
def test_a_body_for_browserless(action, given, asked):
    sent = orjson.dumps(given)
    found = browserless.body(action, sent, wire.parse(action, sent))
    assert (found and orjson.loads(found)) == (asked if asked is None else BARE | asked)


@pytest.mark.parametrize(
    ("action", "given", "media"),
    [
        ("screenshot", {"html": "x"}, "image/png"),
        ("screenshot", {"html": "x", "screenshotOptions": {"type": "webp"}}, "image/webp"),
        ("screenshot", {"html": "x", "screenshotOptions": {"encoding": "base64"}}, "text/plain"),
        ("pdf", {"html": "x"}, None),
    ],
)
def test_a_picture_is_called_what_it_is(action, given, media):
    assert browserless.media(wire.parse(action, orjson.dumps(given))) == media


@pytest.mark.parametrize(
    ("action", "said", "headers", "result", "meta"),
    [
        ("content", b"<p>x", {"X-Response-Code": "\u00b2"}, "<p>x", {"status": 200, "title": ""}),
        ("content", b"<p>\xc3\xa4", {"X-Response-Code": "404"}, "<p>ä", {"status": 404, "title": ""}),
        ("content", b"<title>a &lt; b</title>", {}, "<title>a &lt; b</title>", {"status": 200, "title": "a < b"}),
        ("scrape", b'{"data": [{"selector": "h1", "results": []}], "debug": null}', {}, [{"selector": "h1", "results": []}], None),
    ],
)  # fmt: skip
def test_an_answer_of_browserless(action, said, headers, result, meta):
    found = orjson.loads(browserless.REWRITTEN[action](said, headers))
    assert (found["success"], found["result"], found.get("meta")) == (True, result, meta)


def test_an_answer_that_is_not_browserless_is_the_upstreams_failure():
    with pytest.raises(errors.UpstreamFailed):
        browserless.scrape(b"<html>", {})


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "POST Body validation failed", errors.InvalidRequest),
        (401, "Bad or missing authentication.", errors.UpstreamFailed),
        (403, "", errors.UpstreamFailed),
        (404, "Not Found", errors.UpstreamFailed),
        (408, "Request has timed out", errors.PageFailed),
        (429, "Too many requests", errors.QueueFull),
        (500, "net::ERR_NAME_NOT_RESOLVED at http://nowhere/", errors.PageFailed),
        (500, "Navigation timeout of 30000 ms exceeded", errors.PageFailed),
        (500, "Internal Server Error", errors.UpstreamFailed),
        (502, "", errors.UpstreamFailed),
        (503, "", errors.NoBrowser),
    ],
)
def test_whose_fault_a_refusal_is(status, text, kind):
    assert type(browserless.complaint(status, text)) is kind
