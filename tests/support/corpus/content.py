"""What is no HTML, downloads; character sets and scripts of the world; sizes."""

import io
from typing import Final

from PIL import Image

from support.corpus.model import Answer, Either, Fails, Page, Send, Shows, html, page

_DOWNLOAD = ("Content-Disposition: attachment; filename=a.bin",)


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (400, 300), "blue").save(file, kind)
    return file.getvalue()


def _kind(name: str, kind: str | None, body: str | bytes, expect: Shows | Fails, **more: object) -> Page:
    return Page(name=f"kind-{name}", routes={"/": (Answer(body=body, kind=kind),)}, expect=expect, **more)


def _text(text: str) -> Shows:
    """Text that Chromium shows in a document of its own, which has no ``#it``."""
    return Shows(text=None, html=text, title="", tree=text)


_BLANK = Shows(text=None, title="", blank=True)
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"

KINDS: Final[tuple[Page, ...]] = (
    *(
        _kind(
            kind,
            f"image/{kind}",
            _picture(kind),
            Shows(text=None, title=None, html="<img", colours=((400, 300, (0, 0, 255)),)),
        )
        for kind in ("png", "webp", "bmp", "gif")
    ),
    _kind(
        "svg",
        "image/svg+xml",
        '<svg xmlns="http://www.w3.org/2000/svg"><title>T</title><text id="it" y="20">Here it is</text></svg>',
        Shows(tree=None),
    ),
    _kind("json", "application/json", '{"here": "it is"}', _text("it is")),
    _kind("text", "text/plain", "here it is", _text("here it is")),
    _kind("script", "text/javascript", "let here = 'it is'", _text("it is")),
    _kind("style", "text/css", "b { color: red }", _text("color")),
    _kind("xml", "application/xml", '<a><b id="it">Here it is</b></a>', Shows(title="")),
    _kind(
        "xhtml",
        "application/xhtml+xml",
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head><body><p id="it">Here it is</p></body></html>',
        Shows(),
    ),
    _kind(
        "xhtml-broken",
        "application/xhtml+xml",
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head><body><p id="it">Here it is<br></body></html>',
        Shows(text=None),
    ),
    _kind("pdf", "application/pdf", _PDF, Fails(code=5002)),
    _kind("bytes", "application/octet-stream", b"\0\1\2" * 100, Fails(code=5002, says="download")),
    _kind("zip", "application/zip", b"PK\3\4" + b"\0" * 100, Fails(code=5002, says="download")),
    _kind("unknown", "x-nobody/knows", "here", Fails(code=5002, says="download")),
    _kind("none-html", None, html(), Shows()),
    _kind("none-bytes", None, b"\0\1\2" * 100, Fails(code=5002, says="download")),
    _kind(
        "video", "video/mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 100, Shows(text=None, title="", html="<video", blank=True)
    ),
    _kind("audio", "audio/mpeg", b"ID3" + b"\0" * 100, Shows(text=None, title="", html="<video", blank=True)),
    _kind("wasm", "application/wasm", b"\0asm\1\0\0\0", Fails(code=5002, says="download")),
    _kind("empty-html", "text/html", "", _BLANK),
    _kind("empty-text", "text/plain", "", _BLANK),
    _kind("empty-json", "application/json", "", _BLANK),
    _kind("empty-nothing", None, "", _BLANK),
    _kind("broken-picture", "image/png", b"\x89PNG\r\n\x1a\n", Shows(text=None, title=None, blank=True)),
    Page(
        name="kind-parts",
        routes={
            "/": (
                Send(
                    data=b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n"
                    b"--x\r\nContent-Type: text/html\r\n\r\n" + html().encode() + b"\r\n--x--"
                ),
            )
        },
        expect=Shows(text=None, title="", blank=True),
    ),
    Page(
        name="download",
        routes={"/": (Answer(body=html(), headers=_DOWNLOAD),)},
        expect=Fails(code=5002, says="download"),
    ),
    Page(
        name="download-endless",
        routes={
            "/": (
                Send(data=b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n\r\nPK"),
                Send(data=b"x" * 65536, times=200),
            )
        },
        expect=Fails(code=5002, says="download"),
    ),
    page(
        "download-by-script",
        "<script>location.href = 'a'</script>",
        routes={"/a": (Answer(body=b"x" * 1000, kind="application/zip", headers=_DOWNLOAD),)},
    ),
    page(
        "download-by-link",
        "<a id=a href=a download>a</a><script>for (let i = 0; i < 20; i++) a.click()</script>",
        routes={"/a": (Answer(body=b"x" * 1000, kind="application/zip"),)},
        expect=Shows(links=("@origin@/a",)),
    ),
    page(
        "download-by-frame",
        "<iframe src=a></iframe>" * 5,
        routes={"/a": (Answer(body=b"x" * 1000, kind="application/zip", headers=_DOWNLOAD),)},
    ),
    page(
        "download-by-refresh",
        head="<meta http-equiv=refresh content='0;url=a'>",
        routes={"/a": (Answer(body=b"x", kind="application/zip"),)},
        body={"waitForTimeout": 200},
    ),
)


_READ = ("snapshot", "scrape", "pdf")


def _charset(
    name: str,
    encoding: str,
    text: str,
    *,
    header: str | None = None,
    meta: str | None = None,
    mark: bytes = b"",
    shows: str | None = None,
) -> Page:
    head = f"<meta charset={meta}>" if meta else ""
    body = mark + f"<!doctype html>{head}<title>T</title><p id=it>{text}".encode(encoding)
    kind = f"text/html; charset={header}" if header else "text/html"
    return Page(
        name=f"charset-{name}",
        routes={"/": (Answer(body=body, kind=kind),)},
        expect=Shows(text=shows or text),
        actions=_READ,
    )


CHARSETS: Final[tuple[Page, ...]] = (
    _charset("latin-1", "latin-1", "Übergröße café", header="iso-8859-1"),
    _charset("windows-1252", "windows-1252", "“quotes” €5", meta="windows-1252"),
    _charset("windows-1251", "windows-1251", "Привет, мир", header="windows-1251"),
    _charset("shift-jis", "shift_jis", "日本語の文章", meta="shift_jis"),
    _charset("euc-jp", "euc_jp", "日本語の文章", header="euc-jp"),
    _charset("iso-2022-jp", "iso2022_jp", "日本語の文章", header="iso-2022-jp"),
    _charset("gb18030", "gb18030", "汉字很难", meta="gb18030"),
    _charset("big5", "big5", "漢字很難", meta="big5"),
    _charset("euc-kr", "euc_kr", "안녕하세요", header="euc-kr"),
    _charset("utf-16-le", "utf-16-le", "Grüße 日本", mark=b"\xff\xfe"),
    _charset("utf-16-be", "utf-16-be", "Grüße 日本", mark=b"\xfe\xff"),
    _charset("utf-16-by-header", "utf-16-le", "Grüße 日本", header="utf-16le"),
    _charset("header-beats-meta", "utf-8", "Grüße", header="utf-8", meta="iso-8859-1"),
    _charset("mark-beats-header", "utf-8", "Grüße", header="iso-8859-1", mark=b"\xef\xbb\xbf"),
    _charset("meta-of-utf-16-is-utf-8", "utf-8", "Grüße", meta="utf-16"),
    _charset("unknown", "utf-8", "plain", header="x-nobody-knows"),
    _charset("utf-7-is-none", "ascii", "+AGc-", header="utf-7", shows="+AGc-"),
    Page(
        name="charset-broken",
        routes={"/": (Answer(body=b"<title>T</title><p id=it>a\xff\xfeb\xc3(c\xed\xa0\x80d"),)},
        expect=Shows(text="a\ufffd\ufffdb\ufffd(c\ufffd\ufffd\ufffdd"),
    ),
    Page(name="charset-nul", routes={"/": (Answer(body=b"<title>T</title><p id=it>a\0b"),)}, expect=Shows(text="ab")),
    page(
        "charset-half-an-emoji",
        "<script>it.textContent = 'cut\\ud83d'; it.title = '\\ude00'; document.title = 'T\\ud83d'</script>",
        expect=Shows(text="cut\ufffd", title="T\ufffd"),
    ),
)

_SCRIPTS = {
    "arabic": ("ar", "rtl", "مرحبا بالعالم"),
    "hebrew": ("he", "rtl", "שלום עולם"),
    "chinese": ("zh", "ltr", "你好,世界"),
    "japanese": ("ja", "ltr", "こんにちは世界"),
    "korean": ("ko", "ltr", "안녕하세요 세계"),
    "thai": ("th", "ltr", "สวัสดีชาวโลก"),
    "hindi": ("hi", "ltr", "नमस्ते दुनिया"),
    "emoji": ("en", "ltr", "😀👩‍👩‍👧‍👦🇩🇪👍🏽"),
    "mixed": ("he", "rtl", "abc שלום 123"),
}
WORLD: Final[tuple[Page, ...]] = tuple(
    Page(
        name=f"world-{name}",
        routes={
            "/": (
                Answer(
                    body=f"<!doctype html><html lang={language} dir={way}><title>{text}</title><p id=it style='font-size:60px'>{text}"
                ),
            )
        },
        expect=Shows(text=text, title=text, tree=None),
    )
    for name, (language, way, text) in _SCRIPTS.items()
)

_LINE = b"<p>The quick brown fox jumps over the lazy dog, and then once more for good measure.</p>\n"

_SLOW = Either(codes=(6002,), shows=Shows(links=None))
_PRINTED_SOON = {"pdf": {"pdfOptions": {"timeout": 1500}}}

SIZES: Final[tuple[Page, ...]] = (
    Page(
        name="size-50-mb",
        routes={
            "/": (
                Send(
                    data=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
                    + html("<template><pre>").encode()
                ),
                Send(data=_LINE * 100, times=5800),
            )
        },
        actions=("content", "screenshot", "pdf", "links"),
    ),
    page(
        "size-200000-nodes",
        "<script>for (let i = 0; i < 200000; i++) document.body.append(document.createElement('i'))</script>",
        actions=("content", "screenshot", "scrape", "accessibilityTree"),
    ),
    page(
        "size-10000-levels",
        "<script>let at = document.body; for (let i = 0; i < 10000; i++) "
        "at = at.appendChild(document.createElement('div')); at.append('deepest')</script>",
        expect=Either(codes=(6000,), statuses=(422, 502), shows=Shows(html="deepest")),
        actions=("content", "markdown", "accessibilityTree"),
    ),
    page("size-10000-levels-written", "<b>" * 10000 + "deepest", expect=Shows(html="deepest")),
    page("size-one-word", "<p>" + "x" * 500_000 + "</p>", but={"pdf": _SLOW}, bodies=_PRINTED_SOON),
    page("size-one-attribute", f"<p title='{'x' * 5_000_000}'>"),
    page(
        "size-5000-links",
        "".join(f"<a href=/{n}>{n}</a> " for n in range(5_000)),
        expect=Shows(links=None),
        but={"pdf": _SLOW},
        bodies=_PRINTED_SOON,
    ),
)

PAGES: Final = (*KINDS, *CHARSETS, *WORLD, *SIZES)
