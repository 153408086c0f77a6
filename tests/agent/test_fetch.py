"""A GET without a browser: what it gets, what it may not reach, how it ends, how a page is read that no browser has shown."""

import asyncio
import base64
import ipaddress

import orjson
import pytest

from browserpool.agent import documents, fetch
from browserpool.agent.egress import names, policy, proxy
from browserpool.model import errors
from support import crawled, site, waiting

LOOPBACK = policy.read(allow=["127.0.0.0/8"])
Code = errors.Code


async def asked(guard, url, **changes):
    body = {"url": url, "userAgent": "tester/1", **changes}
    return orjson.loads((await fetch.perform(orjson.dumps(body), guard=guard)).body)["result"]


async def failure(guard, url, **changes):
    with pytest.raises(errors.PageFailed) as raised:
        await asked(guard, url, **changes)
    return raised.value


def resolver(*answers):
    """A resolver that gives these answers, one after another, the last one for ever."""
    left = list(answers)
    resolver.asked = []

    async def resolve(host):
        resolver.asked.append(host)
        answer = left.pop(0) if len(left) > 1 else left[0]
        return tuple(ipaddress.ip_address(address) for address in answer.split())

    return resolve


# ---------------------------------------------------------------- what it gets
async def test_bytes_come_as_they_are():
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/a", b"\x00\xff", kind="application/x-thing", Last_Modified="Sun, 01 Nov 2026 00:00:00 GMT")
        got = await asked(guard, web.url("/a#part"))
        assert base64.b64decode(got.pop("body")) == b"\x00\xff"
        assert got == {
            "status": 200,
            "url": web.url("/a"),
            "contentType": "application/x-thing",
            "lastModified": "Sun, 01 Nov 2026 00:00:00 GMT",
            "truncated": False,
        }
        assert [one.headers["User-Agent"] for one in web.seen] == ["tester/1"]
        assert "Cookie" not in web.seen[0].headers


async def test_what_is_packed_for_the_way_is_unpacked_and_bounded():
    packed = documents_gzip(b"x" * 1_000_000)
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/a", packed, kind="text/plain", Content_Encoding="gzip")
        got = await asked(guard, web.url("/a"), maxBytes=1000)
        assert (base64.b64decode(got["body"]), got["truncated"]) == (b"x" * 1000, True)
        assert (await failure(guard, web.url("/a"), maxBytes=1000, page=True)).message.endswith("more than 1000 bytes.")


def documents_gzip(content):
    import gzip

    return gzip.compress(content)


async def test_redirects_are_followed_to_their_end_and_not_for_ever():
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/a", "", status=302, Location="b?x=1")
        web.answer("/b?x=1", "", status=308, Location=f"http://127.0.0.1:{web.port}/c")
        web.answer("/c", "there")
        assert (await asked(guard, web.url("/a")))["url"] == web.url("/c")
        web.answer("/loop", "", status=301, Location="/loop")
        assert (await failure(guard, web.url("/loop"))).code is Code.REDIRECTS
        assert len(web.times("/loop")) == fetch.MAX_REDIRECTS + 1
        web.answer("/nowhere", "", status=302)
        assert (await asked(guard, web.url("/nowhere")))["status"] == 302


async def test_an_error_status_is_an_answer_like_any_other():
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/gone", "<title>Gone</title>", status=410)
        got = await asked(guard, web.url("/gone"), page=True)
        assert (got["status"], got["title"]) == (410, "Gone")


# ---------------------------------------------------------------- what it may not reach
FORMS = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "LocalHost.",
]


@pytest.mark.parametrize("host", FORMS)
async def test_loopback_is_refused_in_every_form_and_nothing_arrives(host):
    async with crawled.running() as web, proxy.guard(policy.read()) as guard:
        error = await failure(guard, f"http://{host}:{web.port}/")
        assert error.code in (Code.INVALID_ADDRESS, Code.DNS)
        assert web.seen == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "http://10.1.2.3/",
        "http://[fd00::1]/",
        "http://100.100.100.200/",
        "//192.168.0.1/",
    ],
)
async def test_a_redirect_leads_nowhere_that_the_address_itself_could_not(target):
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/", "", status=302, Location=target)
        error = await failure(guard, web.url("/"))
        assert (error.code, "Pages may not reach" in error.message) == (Code.INVALID_ADDRESS, True)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:1", "http://[::1"])
async def test_a_redirect_to_what_is_no_address_fails(target):
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/", "", status=302, Location=target)
        assert (await failure(guard, web.url("/"))).code in (Code.INVALID_ADDRESS, Code.NETWORK)


async def test_a_name_is_asked_once_and_what_was_judged_is_what_is_connected():
    """An answer that is another the second time changes nothing: there is no second time."""
    async with crawled.running() as web:
        rebinding = resolver("127.0.0.1", "169.254.169.254")
        async with proxy.guard(LOOPBACK, resolve=rebinding) as guard:
            web.answer("/", "right")
            got = await asked(guard, f"http://rebind.test:{web.port}/")
            assert base64.b64decode(got["body"]) == b"right"
            assert resolver.asked == ["rebind.test"]
            assert web.seen[0].headers["Host"] == f"rebind.test:{web.port}"


@pytest.mark.parametrize("answer", ["169.254.169.254", "127.0.0.1 10.0.0.1", "10.0.0.1 127.0.0.1", "::1"])
async def test_a_name_of_which_one_address_is_forbidden_is_forbidden(answer):
    async with crawled.running() as web, proxy.guard(LOOPBACK, resolve=resolver(answer)) as guard:
        assert (await failure(guard, f"http://mixed.test:{web.port}/")).code is Code.INVALID_ADDRESS
        assert web.seen == []


async def test_the_browsers_own_ports_are_refused_whatever_is_allowed():
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        guard.protect(web.port)
        assert "control port" in (await failure(guard, web.url("/"))).message
        assert web.seen == []


async def test_a_socket_is_opened_to_what_was_judged_and_to_nothing_else():
    pinned = fetch._Pinned([ipaddress.ip_address("127.0.0.1")])
    with pytest.raises(OSError, match="judged"):
        pinned.open((2, 1, 6, "", ("127.0.0.2", 80)))


# ---------------------------------------------------------------- how it ends
async def test_nobody_listens():
    async with proxy.guard(LOOPBACK) as guard:
        error = await failure(guard, "http://127.0.0.1:1/")
        assert (error.code, "nothing listens" in error.message) == (Code.REFUSED, True)


async def test_a_name_that_is_not_there():
    async def nowhere(_host):
        raise names.NotFound("no such name")

    async with proxy.guard(LOOPBACK, resolve=nowhere) as guard:
        assert (await failure(guard, "http://nowhere.test/")).code is Code.DNS


async def test_a_certificate_that_nobody_knows():
    async with site.running() as web, proxy.guard(LOOPBACK) as guard:
        assert (await failure(guard, web.url("/small", scheme="https"))).code is Code.CERTIFICATE


async def test_a_server_that_hangs_up():
    async with site.running() as web, proxy.guard(LOOPBACK) as guard:
        assert (await failure(guard, web.url("/reset"))).code is Code.CONNECTION_CLOSED


async def test_a_server_that_never_answers_is_left_in_time():
    async with site.running() as web, proxy.guard(LOOPBACK) as guard:
        error = await failure(guard, web.url("/never"), timeout=0.3)
        assert (error.code, "0.3 s" in error.message) == (Code.TIMEOUT, True)
        await waiting.until(lambda: web.dropped, deadline=10)


async def test_what_is_no_http_at_all():
    async def babble(_reader, writer):
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server, proxy.guard(LOOPBACK) as guard:
        port = server.sockets[0].getsockname()[1]
        assert (await failure(guard, f"http://127.0.0.1:{port}/")).code in (Code.NETWORK, Code.CONNECTION_CLOSED)


@pytest.mark.parametrize(
    "body",
    [{}, {"url": "file:///x", "userAgent": "x"}, {"url": "http://x", "userAgent": "x", "timeout": 0}, {"url": 5}],
)
async def test_what_cannot_be_asked_is_refused(body):
    async with proxy.guard(LOOPBACK) as guard:
        with pytest.raises(errors.InvalidRequest):
            await fetch.perform(orjson.dumps(body), guard=guard)


# ---------------------------------------------------------------- pages
PAGE = """<!doctype html><html><head><title>T &amp; T</title><base href="/base/"></head><body>
<nav><a href="one?a=1&amp;b=2#x">one</a></nav><p><a href="https://e.test/">two</a> <a href="mailto:x@e.test">m</a>
<a>nothing</a> <a href="one?a=1&amp;b=2#x">again</a><script>"<a href='no'>"</script></body></html>"""


async def test_a_page_is_read_as_a_browser_would_without_scripts():
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/x/y", PAGE)
        got = await asked(guard, web.url("/x/y"), page=True, markdown=True)
        one = web.url("/base/one?a=1&b=2#x")
        assert [link for link in got["links"] if link.startswith("http")] == [one, "https://e.test/", one]
        assert (got["title"], got["html"]) == ("T & T", PAGE)
        assert f"[one]({one})" in got["markdown"]
        assert "markdown" not in await asked(guard, web.url("/x/y"), page=True)


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("text/html", True), ("application/xhtml+xml", True), ("text/plain", True), ("application/json", True),
        ("application/ld+json", True), ("image/svg+xml", True), ("application/pdf", False), ("image/png", False),
        ("application/octet-stream", False),
    ],
)  # fmt: skip
async def test_only_texts_are_pages(kind, page):
    async with crawled.running() as web, proxy.guard(LOOPBACK) as guard:
        web.answer("/", "<p>text</p>", kind=kind)
        if page:
            assert (await asked(guard, web.url("/"), page=True))["html"] == "<p>text</p>"
        else:
            assert kind in (await failure(guard, web.url("/"), page=True)).message


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("größe".encode(), None, "größe"),
        ("größe".encode("latin-1"), "iso-8859-1", "größe"),
        ("“x”".encode("windows-1252"), "latin-1", "“x”"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (b'<meta charset="shift_jis">' + "日本".encode("shift_jis"), None, '<meta charset="shift_jis">日本'),
        (b"\xef\xbb\xbfx", "latin-1", "x"),
        ("x".encode("utf-16"), None, "x"),
        (b'<meta charset="utf-16">x', None, '<meta charset="utf-16">x'),
        (b"x\\ud800", "unicode_escape", "x\\ud800"),
        (b"x", "undefined", "x"),
        (b"\xff..", "idna", "\ufffd.."),
        (b"\xff", None, "\ufffd"),
        (b"x", "no-such-thing", "x"),
        (b"x", "rot13", "x"),
        (b"x", "hex", "x"),
    ],
)  # fmt: skip
def test_encodings(body, charset, text):
    assert documents.text(body, content_type="text/html", charset=charset) == text
