"""What screenshot, pdf and content make of a page: each option, measured on the picture or the PDF itself."""

import base64
import functools
import io

import pypdf
import pytest
import pytest_asyncio
from PIL import Image

from browserpool.model import errors
from support import pages, site

pytestmark = pytest.mark.asyncio(loop_scope="module")

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
WINDOW = {"width": 200, "height": 100}
TALL = """<!doctype html><body style="margin:0"><div style="height:100px;background:rgb(255,0,0)"></div>
  <div id=box style="height:400px;background:rgb(0,255,0);width:150px"></div><div style="height:100px;background:rgb(0,0,255)"></div>"""
TALL_HEIGHT = 600


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web():
    async with site.running() as made:
        yield made


def at(picture, x, y):
    return picture.convert("RGB").getpixel((x, y))


@pytest.fixture
def shoot(stand):
    async def shot(html=TALL, *, viewport=WINDOW, selector=None, scrollPage=False, **options):  # noqa: N803 - the wire's name
        body = {"html": html, "viewport": viewport, "screenshotOptions": options, "scrollPage": scrollPage}
        return await stand.picture(**body, **({"selector": selector} if selector else {}))

    return shot


@pytest.fixture
def printed(stand):
    async def pdf(html=TALL, **options):
        made = await stand.perform("pdf", html=html, pdfOptions=options)
        assert made.content_type == "application/pdf"
        return pypdf.PdfReader(io.BytesIO(made.body))

    return pdf


# ---------------------------------------------------------------- screenshot


async def test_the_window_by_default(stand):
    made = await stand.perform("screenshot", html=TALL)
    picture = Image.open(io.BytesIO(made.body))
    assert (made.content_type, picture.format, picture.size) == ("image/png", "PNG", (1920, 1080))


@pytest.mark.parametrize(
    ("kind", "quality"), [("png", None), ("jpeg", None), ("jpeg", 10), ("webp", None), ("webp", 10), ("jpeg", 0)]
)
async def test_type_and_quality(stand, web, kind, quality):
    options = {"type": kind} | ({} if quality is None else {"quality": quality})
    made = await stand.perform("screenshot", url=web.url("/small"), screenshotOptions=options)
    assert made.content_type == f"image/{kind}"
    assert Image.open(io.BytesIO(made.body)).format == kind.upper()
    if quality is not None:
        better = await stand.perform(
            "screenshot", url=web.url("/small"), screenshotOptions={"type": kind, "quality": 100}
        )
        assert len(made.body) < len(better.body) / 1.5


async def test_full_page(shoot):
    for options in ({}, {"captureBeyondViewport": True}, {"captureBeyondViewport": False}):
        picture = await shoot(fullPage=True, **options)
        assert picture.size == (200, TALL_HEIGHT), options
        assert [at(picture, 10, y) for y in (50, 300, 550)] == [RED, GREEN, BLUE]


async def test_full_page_at_two_device_pixels(shoot):
    picture = await shoot(viewport={**WINDOW, "deviceScaleFactor": 2}, fullPage=True)
    assert picture.size == (400, 2 * TALL_HEIGHT)
    assert at(picture, 20, 1150) == BLUE


async def test_a_page_beyond_all_measure_is_refused(stand):
    html = '<body style="margin:0"><div style="height:200000px">'
    with pytest.raises(errors.PageFailed, match="200000") as caught:
        await stand.perform("screenshot", html=html, screenshotOptions={"fullPage": True})
    assert caught.value.code == errors.Code.CAPTURE_FAILED


async def test_a_very_tall_page(shoot):
    html = '<body style="margin:0"><div style="height:30000px"></div><div style="height:100px;background:rgb(0,0,255)"></div>'
    picture = await shoot(html, fullPage=True)
    assert picture.size == (200, 30_100)
    assert at(picture, 50, 50) == WHITE
    assert at(picture, 50, 30_050) == BLUE


async def test_clip(shoot):
    picture = await shoot(clip={"x": 100, "y": 50, "width": 100, "height": 100})
    assert picture.size == (100, 100)
    assert (at(picture, 10, 10), at(picture, 10, 90), at(picture, 90, 90)) == (RED, GREEN, WHITE)
    assert (await shoot(clip={"x": 0, "y": 0, "width": 30, "height": 20, "scale": 3})).size == (90, 60)
    beyond = await shoot(clip={"x": 0, "y": 520, "width": 50, "height": 50})
    assert at(beyond, 25, 25) == BLUE


async def test_selector(shoot):
    picture = await shoot(selector="#box")
    assert picture.size == (150, 400)
    assert {at(picture, x, y) for x in (0, 149) for y in (0, 399)} == {GREEN}


async def test_a_selector_without_an_element(stand):
    for html in ("<p>x", "<p id=box style='display:none'>x"):
        with pytest.raises(errors.PageFailed, match="#box") as caught:
            await stand.perform("screenshot", html=html, selector="#box")
        assert caught.value.code == errors.Code.CAPTURE_FAILED


async def test_omit_background(shoot):
    html = '<body style="margin:0"><div style="height:50px;width:50px;background:rgb(255,0,0)">'
    assert (await shoot(html, omitBackground=True)).convert("RGBA").getpixel((150, 80)) == (0, 0, 0, 0)
    assert (await shoot(html)).convert("RGBA").getpixel((150, 80)) == (255, 255, 255, 255)


async def test_encoding_base64(stand):
    made = await stand.perform("screenshot", html=TALL, screenshotOptions={"encoding": "base64"})
    assert made.content_type == "text/plain"
    assert Image.open(io.BytesIO(base64.b64decode(made.body, validate=True))).size == (1920, 1080)


async def test_optimize_for_speed_is_the_same_picture(shoot):
    quick, small = await shoot(optimizeForSpeed=True), await shoot()
    assert quick.convert("RGB").tobytes() == small.convert("RGB").tobytes()


async def test_from_surface_off(shoot):
    assert (await shoot(fromSurface=False)).size == (200, 100)


@pytest.mark.parametrize("full", [False, True], ids=["window", "full page"])
@pytest.mark.parametrize("way", ["same site", "other site", "back"])
async def test_a_page_that_goes_elsewhere_under_its_picture(stand, web, way, full):
    """Chromium forgets a picture whose document is replaced while it is taken: of any page that redirects by script, if it does so then."""
    to = {"same site": web.url("/elsewhere"), "other site": web.url("/elsewhere", host="b.test"), "back": None}[way]
    web.page("/elsewhere", "<!doctype html><style>html { background: rgb(0, 255, 0) }</style>")
    go = "history.back()" if to is None else f"location = {to!r}"
    for later in (0, 5, 10, 15, 20, 30):
        leaves = f"""<!doctype html><style>html {{ background: rgb(255, 0, 0) }}</style><div style="height:4000px"></div>
            <script>onload = () => setTimeout(() => {{ {go} }}, {later})</script>"""
        picture = await stand.picture(
            url=web.page("/leaves", leaves),
            viewport={"width": 1280, "height": 720},
            screenshotOptions={"fullPage": full},
            actionTimeout=20_000,
        )
        shown = at(picture, 10, 10)
        assert shown in (RED, WHITE if way == "back" else GREEN)
        assert (picture.width, picture.height > 4000) == (1280, full and shown == RED)


async def test_scroll_page_loads_what_is_lazy(stand, web):
    page = web.page(
        "/lazy",
        f"""<body style="margin:0"><div style="height:9000px"></div><img loading=lazy src="{web.url("/picture/lazy")}" width=100 height=100>
            <script>addEventListener('scroll', () => document.title = Math.max(+document.title || 0, scrollY))</script>""",
    )
    body = {"url": page, "viewport": WINDOW, "screenshotOptions": {"type": "jpeg"}}
    web.seen.clear()
    await stand.perform("screenshot", **body)
    assert not web.requests("/picture/lazy")
    made = await stand.perform("screenshot", **body, scrollPage=True)
    assert web.requests("/picture/lazy")
    assert Image.open(io.BytesIO(made.body)).size == (200, 100)


async def test_scroll_page_without_scripts_and_on_a_page_that_grows_for_ever(stand, web):
    assert (await stand.picture(html=TALL, scrollPage=True, setJavaScriptEnabled=False, viewport=WINDOW)).size == (
        200,
        100,
    )
    growing = """<script>addEventListener('scroll', () =>
        document.body.append(Object.assign(document.createElement('div'), {style: 'height:500px'})))</script>"""
    assert (await stand.picture(html=TALL + growing, scrollPage=True, viewport=WINDOW)).size == (200, 100)


# ---------------------------------------------------------------- pdf

POINTS = 72


def size(page):
    return round(float(page.mediabox.width) / POINTS, 1), round(float(page.mediabox.height) / POINTS, 1)


@pytest.mark.parametrize(
    ("options", "inches"),
    [
        ({}, (8.5, 11.0)),
        ({"format": "letter"}, (8.5, 11.0)),
        ({"format": "legal"}, (8.5, 14.0)),
        ({"format": "tabloid"}, (11.0, 17.0)),
        ({"format": "ledger"}, (17.0, 11.0)),
        ({"format": "a0"}, (33.1, 46.8)),
        ({"format": "a1"}, (23.4, 33.1)),
        ({"format": "a2"}, (16.5, 23.4)),
        ({"format": "a3"}, (11.7, 16.5)),
        ({"format": "a4"}, (8.3, 11.7)),
        ({"format": "A4"}, (8.3, 11.7)),
        ({"format": "a5"}, (5.8, 8.3)),
        ({"format": "a6"}, (4.1, 5.8)),
        ({"format": "a4", "landscape": True}, (11.7, 8.3)),
        ({"format": "a4", "width": 100, "height": 100}, (8.3, 11.7)),
        ({"width": 480, "height": 960}, (5.0, 10.0)),
        ({"width": "480px", "height": "10in"}, (5.0, 10.0)),
        ({"width": "12.7cm", "height": "254mm"}, (5.0, 10.0)),
        ({"width": "5in"}, (5.0, 11.0)),
    ],
)
async def test_paper(printed, options, inches):
    page = (await printed("<p>x", **options)).pages[0]
    assert size(page) == pytest.approx(inches, abs=0.06)


async def test_css_page_size(printed):
    html = "<style>@page { size: 3in 4in }</style><p>x"
    assert size((await printed(html, preferCSSPageSize=True)).pages[0]) == (3.0, 4.0)
    assert size((await printed(html)).pages[0]) == (8.5, 11.0)


PAGES = "".join(f"<p style='break-after:page'>Sheet{number}</p>" for number in range(1, 5)) + "<p>Sheet5</p>"


async def test_page_ranges(printed):
    assert len((await printed(PAGES)).pages) == 5
    picked = await printed(PAGES, pageRanges="1-2, 4")
    assert [page.extract_text().strip() for page in picked.pages] == ["Sheet1", "Sheet2", "Sheet4"]


async def test_a_page_range_beyond_the_end(stand):
    with pytest.raises(errors.PageFailed, match="range"):
        await stand.perform("pdf", html="<p>x", pdfOptions={"pageRanges": "7"})


async def test_scale_and_margin_change_the_number_of_pages(printed):
    html = '<div style="height:900px">x</div>'
    assert len((await printed(html)).pages) == 1
    assert len((await printed(html, scale=2)).pages) == 2
    assert len((await printed(html, margin={"top": "3in", "bottom": "3in"})).pages) > 1


async def test_header_and_footer(printed):
    margin = {"top": "1in", "bottom": 96}
    template = '<span style="font-size:12px">{}</span>'
    body = {
        "displayHeaderFooter": True,
        "headerTemplate": template.format("HEAD"),
        "footerTemplate": template.format("FOOT"),
        "margin": margin,
    }
    text = (await printed("<p>x", **body)).pages[0].extract_text()
    assert "HEAD" in text
    assert "FOOT" in text
    off = (await printed("<p>x", **{**body, "displayHeaderFooter": False})).pages[0].extract_text()
    assert "HEAD" not in off


def fills(document):
    """Whether something red is painted on the first page."""
    content = document.pages[0].get_contents()
    return content is not None and b"1 0 0 rg" in content.get_data()


async def test_print_background(printed):
    html = "<body style='background:rgb(255,0,0)'><p>x"
    assert fills(await printed(html, printBackground=True))
    assert not fills(await printed(html))


async def test_omit_background_is_accepted(printed):
    assert len((await printed("<p>x", omitBackground=True, printBackground=True)).pages) == 1


async def test_outline_and_tags(printed):
    html = "<!doctype html><html lang=en><title>T</title><h1>One</h1><h2>Two</h2>"
    outlined = await printed(html, outline=True)
    assert [entry.title for entry in outlined.outline if not isinstance(entry, list)] == ["One"]
    assert (await printed(html)).outline == []
    assert "/StructTreeRoot" in (await printed(html)).trailer["/Root"]
    assert "/StructTreeRoot" not in (await printed(html, tagged=False)).trailer["/Root"]


async def test_pdf_timeout(stand):
    # 40,000 paragraphs take Chromium a second to lay out on paper.
    html = "<script>for (let i = 0; i < 40000; i++) document.write('<p>' + i)</script>"
    with pytest.raises(errors.PageFailed, match=r"pdfOptions\.timeout") as caught:
        await stand.perform("pdf", html=html, pdfOptions={"timeout": 50}, gotoOptions={"timeout": 60_000})
    assert caught.value.code == errors.Code.TIMEOUT


async def test_media_of_a_pdf(stand):
    html = "<style>@media screen { p { display: none } }</style><p>Paper</p>"
    read = functools.partial(_text, stand)
    assert "Paper" in await read(html=html)
    assert "Paper" not in await read(html=html, emulateMediaType="screen")


async def _text(stand, **body):
    made = await stand.perform("pdf", **body)
    return pypdf.PdfReader(io.BytesIO(made.body)).pages[0].extract_text()


# ---------------------------------------------------------------- content


async def test_content_is_the_document_as_it_is_now(stand):
    html = "<!DOCTYPE html><!--note--><title>A</title><script>document.body.append('added')</script><body>"
    content = await stand.content(
        html="<!DOCTYPE html><!--note--><html><body><script>document.body.append('added')</script></body></html>"
    )
    assert content.startswith("<!DOCTYPE html><!--note--><html>")
    assert "added</body></html>" in content
    assert (await stand.meta(html=html)) == {"status": 200, "title": "A"}


async def test_the_envelope(stand):
    made = await stand.perform("content", html="<title>A</title>é")
    assert made.content_type == "application/json"
    assert made.body.decode().startswith('{"success":true,"result":"<html>')


async def test_content_of_what_is_no_html(stand, web):
    assert "cached</pre>" in await stand.content(url=web.url("/cached"))
    assert "<img" in await stand.content(url=web.url("/picture/alone"))


async def test_a_large_document(stand):
    content = await stand.content(html=f"<p>{'x' * 5_000_000}</p>")
    assert len(content) > 5_000_000
