"""Redirects, endless and broken answers, statuses, TLS: what servers do."""

from typing import Final

from support.corpus.model import (
    SOON,
    Answer,
    Drip,
    Either,
    Fails,
    Hold,
    If,
    Page,
    Pause,
    Reset,
    Send,
    Shows,
    html,
    page,
)

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
_BEST = {"gotoOptions": {"timeout": 2500}, "bestAttempt": True}
"""Long enough for what there is to come, on a busy machine too."""
_CUT = Either(codes=(5009,), shows=Shows())
"""How much of it Chromium has read when the answer breaks off is a matter of luck."""
_FEW = ("content", "snapshot")
_START = html().removesuffix("</body></html>").encode()


def redirect(to: str, *, status: str = "302 Found", headers: tuple[str, ...] = ()) -> Answer:
    return Answer(status=status, headers=(f"Location: {to}", *headers))


def _redirects(name: str, to: str, expect: Fails | Shows) -> Page:
    return Page(name=f"redirect-{name}", routes={"/": (redirect(to),), "/there": (Answer(body=html()),)}, expect=expect)


REDIRECTS: Final[tuple[Page, ...]] = (
    _redirects("here", "there", Shows()),
    _redirects("to-itself", "./", Fails(code=5003)),
    _redirects("to-another-site", "@other@/there", Shows()),
    _redirects("to-file", "file:///etc/passwd", Fails(code=5010)),
    _redirects("to-data", "data:text/html,<p id=it>Here it is", Fails(code=5010)),
    _redirects("to-javascript", "javascript:alert(1)", Fails(code=5002)),
    _redirects("to-about", "about:blank", Fails(code=5010)),
    _redirects("to-chrome", "chrome://version", Fails(code=5010)),
    _redirects("to-nothing-known", "mailto:x@y.test", Fails(code=5002)),
    _redirects("to-private", "http://10.0.0.1/", Fails(code=5010, says="10.0.0.1")),
    _redirects("to-metadata", "http://169.254.169.254/latest", Fails(code=5010)),
    _redirects("to-private-in-ipv6", "http://[::ffff:10.0.0.1]/", Fails(code=5010)),
    _redirects("to-private-in-hex", "http://0x0a000001/", Fails(code=5010)),
    _redirects("to-a-bad-port", "http://127.0.0.1:25/", Fails(code=5010)),
    _redirects("to-nowhere", "http://no-such-host.invalid/", Fails(code=5005)),
    _redirects("to-rubbish", "http://[", Fails(code=5003)),
    Page(
        name="redirect-chain",
        routes={f"/{n}": (redirect(f"{n + 1}"),) for n in range(1, 10)}
        | {"/": (redirect("1"),), "/10": (Answer(body=html()),)},
    ),
    Page(
        name="redirect-for-ever-elsewhere",
        routes={"/": (redirect("@other@/"),)},
        expect=Fails(code=5003),
    ),
    Page(
        name="cookie-wall",
        routes={
            "/": (
                If(
                    has=b"Cookie: seen=1",
                    then=Answer(body=html()),
                    otherwise=redirect("./", headers=("Set-Cookie: seen=1",)),
                ),
            )
        },
    ),
    Page(
        name="cookie-wall-by-script",
        routes={
            "/": (
                If(
                    has=b"Cookie: seen=1",
                    then=Answer(body=html()),
                    otherwise=Answer(body="<script>document.cookie='seen=1'; location.reload()</script>"),
                ),
            )
        },
        body={"waitForSelector": {"selector": "#it"}},
    ),
    page(
        "refresh-by-meta",
        "",
        expect=Shows(text="Arrived", title="Other"),
        routes={
            "/": (Answer(body="<meta http-equiv=refresh content='0;url=other'><title>T</title>"),),
            "/other": (Answer(body="<title>Other</title><p id=it>Arrived"),),
        },
        body={"waitForSelector": {"selector": "#it"}},
    ),
    page(
        "refresh-to-file",
        head="<meta http-equiv=refresh content='0;url=file:///etc/passwd'>",
        expect=Shows(unseen="root:"),
        body={"waitForTimeout": 200},
    ),
)

ENDLESS: Final[tuple[Page, ...]] = (
    Page(name="silent", routes={"/": (Hold(),)}, expect=Fails(code=6002), body=SOON),
    Page(name="headers-endless", routes={"/": (Send(data=_HEAD), Hold())}, expect=Fails(code=6002), body=SOON),
    Page(
        name="headers-dripping",
        routes={"/": (Send(data=_HEAD), Drip(data=b"X-More: 1\r\n"))},
        expect=Fails(code=6002),
        body=SOON,
    ),
    Page(
        name="headers-slow",
        routes={"/": (Send(data=_HEAD[:20]), Pause(seconds=0.3), Send(data=_HEAD[20:] + b"\r\n" + _START))},
    ),
    Page(
        name="document-endless",
        routes={"/": (Send(data=_HEAD + b"\r\n" + _START), Hold())},
        expect=Fails(code=6002),
        body=SOON,
    ),
    Page(
        name="document-dripping",
        routes={"/": (Send(data=_HEAD + b"\r\n" + _START), Drip(data=b"<p>more"))},
        expect=Fails(code=6002),
        body=SOON,
    ),
    Page(
        name="document-endless-best-attempt",
        routes={"/": (Send(data=_HEAD + b"\r\n" + _START), Hold())},
        body=_BEST,
        actions=_FEW,
    ),
    Page(
        name="silent-best-attempt",
        routes={"/": (Hold(),)},
        expect=Shows(text=None, title="", blank=True),
        body={**SOON, "bestAttempt": True},
    ),
    page(
        "scripts-endless",
        "<script src=never></script>",
        routes={"/never": (Hold(),)},
        expect=Fails(code=6002),
        body=SOON,
    ),
    page(
        "scripts-endless-best-attempt",
        "<script src=never></script>",
        routes={"/never": (Hold(),)},
        body=_BEST,
        actions=_FEW,
    ),
    page(
        "fetch-endless",
        "<script>fetch('never')</script>",
        routes={"/never": (Hold(),)},
        expect=Fails(code=6002),
        body={"gotoOptions": {"timeout": 1200, "waitUntil": "networkidle0"}},
        actions=_FEW,
    ),
    page(
        "fetch-endless-almost",
        "<script>fetch('never')</script>",
        routes={"/never": (Hold(),)},
        body={"gotoOptions": {"waitUntil": "networkidle2"}},
        actions=_FEW,
    ),
    page(
        "events-endless",
        "<script>new EventSource('events')</script>",
        routes={
            "/events": (
                Send(data=b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
                Drip(data=b"data: x\n\n"),
            )
        },
    ),
)

BROKEN: Final[tuple[Page, ...]] = (
    Page(name="empty", routes={"/": (Pause(seconds=0),)}, expect=Fails(code=5011)),
    Page(name="reset-at-once", routes={"/": (Reset(),)}, expect=Fails(code=5011)),
    Page(
        name="reset-in-the-body", routes={"/": (Send(data=_HEAD + b"Content-Length: 9999\r\n\r\n" + _START), Reset())}
    ),
    Page(name="closed-in-the-body", routes={"/": (Answer(body=html(), promised=9999),)}, expect=_CUT),
    Page(
        name="chunks-cut",
        routes={"/": (Send(data=_HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(_START), _START)),)},
        expect=_CUT,
    ),
    Page(
        name="chunks-broken",
        routes={"/": (Send(data=_HEAD + b"Transfer-Encoding: chunked\r\n\r\nrubbish"),)},
        expect=Fails(code=5009),
        actions=_FEW,
    ),
    Page(name="http-1.0", routes={"/": (Answer(body=html(), version="HTTP/1.0", promised=-1),)}),
    Page(name="http-0.9", routes={"/": (Send(data=html().encode()),)}, expect=Fails(code=5009)),
    Page(name="no-http", routes={"/": (Send(data=b"SSH-2.0-OpenSSH_9.2\r\n"),)}, expect=Fails(code=5009)),
    Page(
        name="headers-huge",
        routes={
            "/": (Send(data=_HEAD), Send(data=b"X-Filler: " + b"x" * 1000 + b"\r\n", times=600), Send(data=b"\r\n"))
        },
        expect=Fails(code=5009),
    ),
    Page(
        name="gzip-bomb",
        routes={"/": (Answer(body=html("<!--" + " " * 20_000_000 + "-->"), gzipped=True),)},
        actions=_FEW,
    ),
    Page(
        name="gzip-broken",
        routes={"/": (Answer(body=html(), headers=("Content-Encoding: gzip",)),)},
        expect=Fails(code=5009),
        actions=_FEW,
    ),
    Page(
        name="two-lengths",
        routes={"/": (Answer(body=html(), headers=("Content-Length: 7",)),)},
        expect=Fails(code=5009),
    ),
)

STATUSES: Final[tuple[Page, ...]] = (
    Page(name="status-404", routes={"/": (Answer(body=html(), status="404 Not Found"),)}, expect=Shows(status=404)),
    Page(name="status-500", routes={"/": (Answer(body=html(), status="500 Oops"),)}, expect=Shows(status=500)),
    Page(
        name="status-503-empty",
        routes={"/": (Answer(status="503 Busy"),)},
        expect=Shows(text=None, title="", status=503, blank=True),
    ),
    Page(name="status-204", routes={"/": (Answer(status="204 No Content"),)}, expect=Fails(code=5002)),
    Page(name="status-205", routes={"/": (Answer(status="205 Reset Content"),)}, expect=Fails(code=5002)),
    Page(
        name="status-304",
        routes={"/": (Answer(status="304 Not Modified"),)},
        expect=Fails(code=5002),
    ),
    Page(
        name="status-999", routes={"/": (Answer(body=html(), status="999 Request denied"),)}, expect=Shows(status=999)
    ),
    Page(
        name="basic-auth",
        routes={"/": (Answer(body=html(), status="401 No", headers=('WWW-Authenticate: Basic realm="x"',)),)},
        expect=Shows(status=401),
    ),
    Page(
        name="basic-auth-given",
        routes={
            "/": (
                If(
                    has=b"Authorization: Basic dTpw",
                    then=Answer(body=html()),
                    otherwise=Answer(status="401 No", headers=('WWW-Authenticate: Basic realm="x"',)),
                ),
            )
        },
        body={"authenticate": {"username": "u", "password": "p"}},
    ),
    Page(
        name="basic-auth-wrong",
        routes={"/": (Answer(body=html(), status="401 No", headers=('WWW-Authenticate: Basic realm="x"',)),)},
        body={"authenticate": {"username": "u", "password": "wrong"}},
        expect=Shows(status=401),
    ),
    Page(
        name="proxy-auth",
        routes={"/": (Answer(body=html(), status="407 No", headers=('Proxy-Authenticate: Basic realm="x"',)),)},
        expect=Fails(code=5009),
    ),
    Page(
        name="early-hints",
        routes={
            "/": (
                Send(data=b"HTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload; as=style\r\n\r\n"),
                Answer(body=html()),
            )
        },
    ),
)

TLS: Final[tuple[Page, ...]] = (
    *(
        Page(name=f"tls-{kind}", url=f"@{kind}@/", expect=Fails(code=5000, says="CERT"))
        for kind in ("self_signed", "expired", "wrong_host")
    ),
    Page(name="tls-none", url="https://127.0.0.1:@port@/", expect=Fails(code=5000, says="SSL")),
    page("tls-mixed", "<img src=@self_signed@/x><script src=@expired@/x></script>"),
)

PAGES: Final = (*REDIRECTS, *ENDLESS, *BROKEN, *STATUSES, *TLS)
