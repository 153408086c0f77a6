"""The official ``cloudflare`` SDK by a change of address. It is called as its users call it, from threads: it blocks."""

import asyncio
import base64
import io
from collections.abc import Iterator

import cloudflare
import pypdf
import pytest
from PIL import Image

from support import site, stack

ACCOUNT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def sdk(main_stack: stack.Stack) -> Iterator[cloudflare.Cloudflare]:
    headers = {"X-Browserpool-Pool": "main"}
    with cloudflare.Cloudflare(
        api_token=main_stack.token, base_url=f"{main_stack.url}/client/v4", default_headers=headers
    ) as made:
        yield made


async def test_screenshot(up: stack.Stack, sdk: cloudflare.Cloudflare, web: site.Site) -> None:
    web.page("/blue", "<body style='margin:0;background:#0000ff'>")
    answer = await asyncio.to_thread(
        sdk.browser_rendering.screenshot.with_raw_response.create,
        account_id=ACCOUNT,
        url=web.url("/blue"),
        viewport={"width": 300, "height": 200},
        screenshot_options={"type": "png"},
    )
    picture = Image.open(io.BytesIO(answer.http_response.content))
    assert (picture.size, picture.convert("RGB").getpixel((150, 100))) == ((300, 200), (0, 0, 255))
    assert int(answer.headers["X-Browser-Ms-Used"]) > 0


async def test_pdf(up: stack.Stack, sdk: cloudflare.Cloudflare) -> None:
    made = await asyncio.to_thread(
        sdk.browser_rendering.pdf.create,
        account_id=ACCOUNT,
        html="<h1>Printed by the SDK</h1>",
        pdf_options={"format": "a5"},
    )
    (page,) = pypdf.PdfReader(io.BytesIO(made.read())).pages
    assert "Printed by the SDK" in page.extract_text()
    assert [round(float(side) / 72 * 25.4) for side in page.mediabox[2:]] == [148, 210]


async def test_content(up: stack.Stack, sdk: cloudflare.Cloudflare, web: site.Site) -> None:
    web.page("/made", "<body><script>document.body.append('made by ' + 'script')</script>")
    html = await asyncio.to_thread(
        sdk.browser_rendering.content.create, account_id=ACCOUNT, url=web.url("/made"), user_agent="tester/1"
    )
    assert "made by script" in html
    assert [seen.headers["User-Agent"] for seen in web.requests("/made")] == ["tester/1"]


READ = """<!doctype html><title>Read</title><h1>Read</h1><p>me <a href="/next">next</a></p>"""


async def test_what_reads_a_page(up: stack.Stack, sdk: cloudflare.Cloudflare, web: site.Site) -> None:
    address, run = web.page("/read", READ), sdk.browser_rendering
    markdown = await asyncio.to_thread(run.markdown.create, account_id=ACCOUNT, url=address)
    assert markdown.endswith(f"# Read\n\nme [next]({web.url('/next')})\n")
    assert await asyncio.to_thread(run.links.create, account_id=ACCOUNT, url=address) == [web.url("/next")]
    answer = await asyncio.to_thread(
        run.scrape.with_raw_response.create, account_id=ACCOUNT, url=address, elements=[{"selector": "h1"}]
    )
    # ``results`` is an array, although the SDK's type says object, so it is read as it came.
    (scraped,) = (await asyncio.to_thread(answer.json))["result"]
    assert (scraped["selector"], scraped["results"][0]["text"]) == ("h1", "Read")
    tree = await asyncio.to_thread(run.accessibility_tree.create, account_id=ACCOUNT, url=address)
    assert tree.accessibility_tree.name == "Read"
    shot = await asyncio.to_thread(
        run.snapshot.create, account_id=ACCOUNT, url=address, formats=["screenshot", "markdown", "accessibilityTree"]
    )
    assert (shot.content, shot.markdown, shot.accessibility_tree.role) == (None, markdown, "RootWebArea")
    assert Image.open(io.BytesIO(base64.b64decode(shot.screenshot))).size == (1920, 1080)


async def test_a_page_that_fails_is_asked_for_once(up: stack.Stack, sdk: cloudflare.Cloudflare, web: site.Site) -> None:
    """The SDK sends again what is answered 408, 409, 429 or 5xx: a page that never loads must be none of these."""
    with pytest.raises(cloudflare.UnprocessableEntityError) as raised:
        await asyncio.to_thread(
            sdk.browser_rendering.content.create,
            account_id=ACCOUNT,
            url=web.url("/never"),
            goto_options={"timeout": 500},
        )
    assert len(web.requests("/never")) == 1
    assert raised.value.errors[0].code == 6002, raised.value.body
    assert "500 ms" in raised.value.errors[0].message


async def test_an_invalid_body_names_the_field(up: stack.Stack, sdk: cloudflare.Cloudflare) -> None:
    with pytest.raises(cloudflare.BadRequestError) as raised:
        await asyncio.to_thread(
            sdk.browser_rendering.screenshot.create,
            account_id=ACCOUNT,
            html="<p>",
            screenshot_options={"quality": 50, "type": "png"},
        )
    assert "screenshotOptions has quality" in raised.value.errors[0].message


async def test_a_wrong_token_is_refused(up: stack.Stack) -> None:
    with cloudflare.Cloudflare(api_token="somebody-else", base_url=f"{up.url}/client/v4") as stranger:
        with pytest.raises(cloudflare.AuthenticationError) as raised:
            await asyncio.to_thread(stranger.browser_rendering.content.create, account_id=ACCOUNT, html="<p>")
        assert raised.value.errors[0].code == 10000


async def test_a_session(up: stack.Stack, sdk: cloudflare.Cloudflare) -> None:
    browser = sdk.browser_rendering.devtools.browser
    made = await asyncio.to_thread(browser.create, account_id=ACCOUNT, keep_alive=60_000, targets=True)
    assert made.web_socket_debugger_url.endswith(f"/devtools/browser/{made.session_id}")
    version = await asyncio.to_thread(browser.version, made.session_id, account_id=ACCOUNT)
    assert "Chrome/" in version.browser
    listed = await asyncio.to_thread(browser.targets.list, made.session_id, account_id=ACCOUNT)
    assert [one.type for one in listed] == ["page"]
    ended = await asyncio.to_thread(browser.delete, made.session_id, account_id=ACCOUNT)
    assert ended.status == "closed"
