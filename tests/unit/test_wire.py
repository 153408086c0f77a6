"""The bodies of quick actions: what is accepted, what is refused, and that the refusal names the field."""

import contextlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browserpool.model import errors
from browserpool.model.wire import actions, envelope, patterns, pdf, shared

URL = {"url": "https://example.com/"}


def parse(action="screenshot", **body):
    return actions.parse(action, orjson.dumps(body))


def refusal(action="screenshot", /, **body):
    with pytest.raises(errors.InvalidRequest) as caught:
        parse(action, **body)
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (orjson.dumps(envelope.failure(errors.NotFound("nothing"))), "nothing"),
        (orjson.dumps(envelope.success("x")), None),
        (b'{"errors": [{"code": 1}]}', None),
        (b'{"errors": "no"}', None),
        (b"[1]", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_what_an_envelope_says_is_read_again(body, said):
    assert envelope.message(body) == said


# ---------------------------------------------------------------- defaults and forms


def test_defaults():
    body = parse(**URL)
    assert (body.viewport.width, body.viewport.height, body.viewport.device_scale_factor) == (1920, 1080, 1)
    assert (body.goto_options.timeout, body.goto_options.wait_until) == (30_000, ("domcontentloaded",))
    assert (body.set_java_script_enabled, body.best_attempt, body.cache_ttl) == (True, False, 5)
    assert body.screenshot_options.type == "png"
    assert parse("pdf", **URL).pdf_options.timeout == 30_000


@pytest.mark.parametrize("spelling", ["gotoOptions", "goToOptions"])
def test_both_spellings(spelling):
    body = parse(**URL, **{spelling: {"waitUntil": ["load", "networkidle0"]}})
    assert body.goto_options.wait_until == ("load", "networkidle0")


def test_null_is_the_same_as_absent():
    assert parse(**URL, viewport=None, screenshotOptions={"quality": None, "type": None}) == parse(
        **URL, screenshotOptions={}
    )


def test_whole_numbers_may_have_a_point():
    assert parse(**URL, viewport={"width": 1280.0, "height": 720.0}).viewport.width == 1280


@pytest.mark.parametrize(("query", "seconds"), [(None, 9), ("0", 0), ("60", 60)])
def test_cache_ttl_of_the_query_wins(query, seconds):
    assert actions.parse("content", orjson.dumps({**URL, "cacheTTL": 9}), cache_ttl=query).cache_ttl == seconds


@pytest.mark.parametrize("query", ["", "x", "-1", "86401", "nan", "inf"])
def test_a_cache_ttl_that_is_none(query):
    with pytest.raises(errors.InvalidRequest, match="cacheTTL"):
        actions.parse("content", orjson.dumps(URL), cache_ttl=query)


@pytest.mark.parametrize(
    ("length", "inches"),
    [
        (96, 1),
        (0, 0),
        ("96", 1),
        ("96px", 1),
        ("1in", 1),
        ("10cm", 3.9375),
        ("100mm", 3.9375),
        (" 2.5IN ", 2.5),
        (".5in", 0.5),
    ],
)
def test_lengths(length, inches):
    assert parse("pdf", **URL, pdfOptions={"margin": {"top": length}}).pdf_options.margin.top == pytest.approx(inches)


@pytest.mark.parametrize("length", ["", "cm", "10 furlongs", "-1in", -1, True, [], {}, "1e3px", "NaN", 1e9, "99999in"])
def test_what_is_no_length(length):
    assert "pdfOptions.margin.top" in refusal("pdf", **URL, pdfOptions={"margin": {"top": length}})


def test_format_beats_width_and_height():
    assert parse("pdf", **URL, pdfOptions={"format": "A4", "width": 10}).pdf_options.paper == pdf.PAPER["a4"]
    assert parse("pdf", **URL, pdfOptions={"width": "5in"}).pdf_options.paper == (5, 11)


@pytest.mark.parametrize("ranges", ["", "1", "1-5, 8, 11-13", "2-", "-3", " 1 - 2 "])
def test_page_ranges(ranges):
    assert parse("pdf", **URL, pdfOptions={"pageRanges": ranges}).pdf_options.page_ranges == ranges


# ---------------------------------------------------------------- refusals

REFUSED = [
    ({}, "url or html is required"),
    ({"url": "https://a.test", "html": "<p>"}, "url and html are both there"),
    ({"html": ""}, "html"),
    ({"url": ""}, "url must be an http"),
    ({"url": "example.com"}, "url must be an http"),
    ({"url": "file:///etc/passwd"}, "url must be an http"),
    ({"url": "chrome://crash"}, "url must be an http"),
    ({"url": "javascript:alert(1)"}, "url must be an http"),
    ({"url": "data:text/html,x"}, "url must be an http"),
    ({"url": "view-source:http://a.test"}, "url must be an http"),
    ({"url": "http://"}, "url names no host"),
    ({"url": "http://[::1"}, "url is no URL"),
    ({"url": "http://a.test:99999"}, "url is no URL"),
    ({"url": "http://a.test/" + "x" * 40_000}, "url"),
    ({"url": 5}, "url must be a valid string (given: 5)"),
    ({**URL, "gotoOptions": {"timeout": 60_001}}, "gotoOptions.timeout"),
    ({**URL, "gotoOptions": {"timeout": "5"}}, "gotoOptions.timeout"),
    ({**URL, "gotoOptions": {"waitUntil": "idle"}}, "gotoOptions.waitUntil[0]"),
    ({**URL, "gotoOptions": {"waitUntil": ["load", 1]}}, "gotoOptions.waitUntil[1]"),
    ({**URL, "gotoOptions": {}, "goToOptions": {}}, "both of its spellings"),
    ({**URL, "gotoOptions": {"referrerPolicy": "none"}}, "gotoOptions.referrerPolicy"),
    ({**URL, "actionTimeout": 120_001}, "actionTimeout"),
    ({**URL, "actionTimeout": -1}, "actionTimeout"),
    ({**URL, "waitForTimeout": 60_001}, "waitForTimeout"),
    ({**URL, "waitForTimeout": True}, "waitForTimeout"),
    ({**URL, "waitForSelector": {}}, "waitForSelector.selector is required"),
    ({**URL, "waitForSelector": "p"}, "waitForSelector must be an object"),
    ({**URL, "waitForSelector": {"selector": "p", "visible": True, "hidden": True}}, "visible and hidden"),
    ({**URL, "bestAttempt": 1}, "bestAttempt"),
    ({**URL, "bestAttempt": "true"}, "bestAttempt"),
    ({**URL, "viewport": {"width": 100}}, "viewport.height is required"),
    ({**URL, "viewport": {"width": 100.5, "height": 1}}, "viewport.width"),
    ({**URL, "viewport": {"width": 0, "height": 1}}, "viewport.width"),
    ({**URL, "viewport": {"width": 1e300, "height": 1}}, "viewport.width"),
    ({**URL, "viewport": {"width": 16_000, "height": 16_000}}, "viewport has 256000000 device pixels"),
    ({**URL, "cookies": {}}, "cookies must be an array"),
    ({**URL, "cookies": [{"name": "a", "value": "b"}, {"name": "a"}]}, "cookies[1].value is required"),
    ({**URL, "cookies": [{"name": "a", "value": "b", "sameSite": "lax"}]}, "cookies[0].sameSite"),
    ({"html": "<p>", "cookies": [{"name": "a", "value": "b"}]}, "cookies[0] needs url or domain"),
    ({**URL, "authenticate": {"username": "a"}}, "authenticate.password is required"),
    ({**URL, "setExtraHTTPHeaders": {"a": 1}}, "setExtraHTTPHeaders.a"),
    ({**URL, "setExtraHTTPHeaders": {"a b": "1"}}, "setExtraHTTPHeaders"),
    ({**URL, "setExtraHTTPHeaders": {"a": "1\r\nb: 2"}}, "line break"),
    ({**URL, "userAgent": "a\nb"}, "userAgent"),
    ({**URL, "addScriptTag": [{"content": "x"}], "setJavaScriptEnabled": False}, "addScriptTag cannot run"),
    ({**URL, "addScriptTag": [{}]}, "addScriptTag[0] needs url or content"),
    ({**URL, "addScriptTag": [{"url": "file:///x"}]}, "addScriptTag[0].url"),
    ({**URL, "addStyleTag": [{"url": "http://a.test", "content": "x"}]}, "addStyleTag[0] needs url or content"),
    ({**URL, "rejectResourceTypes": ["picture"]}, "rejectResourceTypes[0]"),
    ({**URL, "rejectRequestPattern": ["("]}, "rejectRequestPattern[0] does not compile"),
    ({**URL, "allowRequestPattern": ["/(?=x)/"]}, "look-around"),
    ({**URL, "allowRequestPattern": ["x" * 1001]}, "allowRequestPattern[0] has 1001 characters"),
    ({**URL, "allowRequestPattern": [7]}, "allowRequestPattern[0]"),
    (
        {**URL, "rejectRequestPattern": ["(((a{1,100}){1,100}){1,100}){1,100}"]},
        "rejectRequestPattern[0] does not compile",
    ),
    ({**URL, "screenshotOptions": {"type": "gif"}}, "screenshotOptions.type must be 'png', 'jpeg' or 'webp'"),
    ({**URL, "screenshotOptions": {"quality": 50}}, "quality with type png"),
    ({**URL, "screenshotOptions": {"type": "png", "quality": 50}}, "quality with type png"),
    ({**URL, "screenshotOptions": {"type": "jpeg", "quality": 101}}, "screenshotOptions.quality"),
    ({**URL, "screenshotOptions": {"clip": {"x": 0, "y": 0, "width": 0, "height": 1}}}, "screenshotOptions.clip.width"),
    (
        {**URL, "screenshotOptions": {"clip": {"x": 0, "y": 0, "width": 1, "height": 1}, "fullPage": True}},
        "fullPage and clip",
    ),
    ({**URL, "selector": "p", "screenshotOptions": {"fullPage": True}}, "selector and screenshotOptions.fullPage"),
    ({**URL, "viewPort": {}}, "viewPort is not a known field; did you mean viewport?"),
    (
        {**URL, "screenshotOptions": {"fullpage": True}},
        "screenshotOptions.fullpage is not a known field; did you mean fullPage?",
    ),
    ({**URL, "set_extra_http_headers": {}}, "did you mean setExtraHTTPHeaders?"),
    ({**URL, "zzz": 1}, "zzz is not a known field; known here: actionTimeout"),
    ({**URL, "cacheTTL": 86_401}, "cacheTTL"),
]


@pytest.mark.parametrize(("body", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_refused(body, said):
    assert said in refusal(**body)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "b5"}, "pdfOptions.format"),
        ({"scale": 0.05}, "pdfOptions.scale"),
        ({"scale": 2.1}, "pdfOptions.scale"),
        ({"timeout": 300_001}, "pdfOptions.timeout"),
        ({"pageRanges": "one"}, "pdfOptions.pageRanges"),
        ({"preferCssPageSize": True}, "did you mean preferCSSPageSize?"),
        ({"width": 0}, "pdfOptions.width"),
    ],
)
def test_refused_pdf_options(options, said):
    assert said in refusal("pdf", **URL, pdfOptions=options)


@pytest.mark.parametrize(
    ("action", "body", "said"),
    [
        ("scrape", {}, "elements is required"),
        ("scrape", {"elements": []}, "elements"),
        ("scrape", {"elements": [{}]}, "elements[0].selector is required"),
        ("scrape", {"elements": [{"selector": ""}]}, "elements[0].selector"),
        ("scrape", {"elements": [{"selector": "p"}] * 201}, "elements"),
        ("links", {"visibleLinksOnly": 1}, "visibleLinksOnly"),
        ("accessibilityTree", {"root": ""}, "root"),
        ("snapshot", {"formats": ["content"]}, "formats"),
        ("snapshot", {"formats": ["content", "content"]}, "names a format twice"),
        ("snapshot", {"formats": ["content", "pdf"]}, "formats[1]"),
        ("markdown", {"elements": []}, "elements is not a known field"),
    ],
)
def test_refused_by_what_reads_a_page(action, body, said):
    assert said in refusal(action, **URL, **body)


@pytest.mark.parametrize(
    ("body", "only"), [({}, True), ({"root": "p"}, False), ({"root": "p", "interestingOnly": True}, True)]
)
def test_what_is_of_interest_depends_on_the_root(body, only):
    assert parse("accessibilityTree", **URL, **body).only_interesting is only


def test_several_problems_are_named_at_once():
    message = refusal(**URL, bestAttempt=1, userAgent=2, waitForTimeout="x")
    assert all(name in message for name in ("bestAttempt", "userAgent", "waitForTimeout"))
    many = refusal(**URL, cookies=[{}] * 50)
    assert many.count("is required") == 5
    assert "and 95 more" in many


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b'{"url":NaN}', b'{"waitForTimeout":Infinity}', b'{"a":1e999}',
     b'{"viewport":' * 3000, b"[" * 100_000, b'{"url":"\\ud800"}', b'{"waitForTimeout":' + b"9" * 5000 + b"}", b"{'url': 'x'}"],
)  # fmt: skip
def test_what_is_no_json_object(body):
    with pytest.raises(errors.InvalidRequest):
        actions.parse("screenshot", body)


def test_a_body_over_the_limit():
    with pytest.raises(errors.TooLarge) as caught:
        actions.parse("pdf", b" " * (actions.MAX_BODY + 1))
    assert caught.value.status == 413


def test_an_unknown_action():
    with pytest.raises(errors.NotFound, match="content, json, links, markdown, pdf, scrape, screenshot, snapshot"):
        actions.parse("dance", b"{}")


def test_a_secret_is_not_repeated():
    message = refusal(**URL, authenticate={"username": "me", "password": "hunter2", "realm": "x"})
    assert "hunter2" not in message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({str(field.alias) for model in actions.ACTIONS.values() for field in model.model_fields.values()})


@settings(max_examples=300, deadline=None)
@given(
    action=st.sampled_from(sorted(actions.ACTIONS)),
    body=st.dictionaries(st.sampled_from([*FIELDS, "url", "html"]), JSON, max_size=6),
)
def test_any_json_is_accepted_or_refused_with_400(action, body):
    with contextlib.suppress(errors.InvalidRequest):
        assert isinstance(actions.parse(action, orjson.dumps(body)), shared.QuickAction)


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("source", "text", "matches"),
    [
        ("png", "http://a.test/x.png", True),
        ("^png", "http://a.test/x.png", False),
        (r"/^.*\.(css)/", "http://a.test/a.css", True),
        (r"/\.CSS$/", "http://a.test/a.css", False),
        (r"/\.CSS$/i", "http://a.test/a.css", True),
        (r"/\.css$/gu", "http://a.test/a.css", True),
        ("/a.b/s", "a\nb", True),
        ("/a.b/", "a\nb", False),
        ("/^b/m", "a\nb", True),
        # An address with slashes is no pattern with flags.
        ("/api/v1", "http://a.test/api/v1", True),
        ("/api/", "http://a.test/rapid", True),
        (r"\/ads\/", "http://a.test/ads/1", True),
        ("(?<name>x)", "x", True),
    ],
)
def test_patterns(source, text, matches):
    assert patterns.compiled(source).matches(text) is matches


def test_a_pattern_that_would_stop_a_backtracking_engine():
    assert not patterns.compiled("^(a+)+$").matches("a" * 50_000 + "!")
