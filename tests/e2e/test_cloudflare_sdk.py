"""The official ``cloudflare`` SDKs, for Python and for TypeScript, by a change of address: every method, every error, attempts counted."""

import asyncio
import base64
import contextlib
import functools
import inspect
import io
import pathlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pypdf
import pytest
from cloudflare.resources import browser_rendering
from PIL import Image

from browserpool.lib import chance
from browserpool.model import credentials, tokens
from browserpool.model.names import PoolName, TokenName
from browserpool.store import tokens as rows
from support import javascript, sdks, site, stack, waiting

ACCOUNT = "0123456789abcdef0123456789abcdef"
MAIN = {"X_Browserpool_Pool": "main"}
RUN = "browserRendering"
BROWSER = f"{RUN}.devtools.browser"
SESSION = f"{RUN}.devtools.session"


@pytest.fixture(scope="module")
def node(
    main_stack: stack.Stack, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[javascript.Process]:
    folder = javascript.installed(pathlib.Path(pytestconfig.rootpath))
    errors = tmp_path_factory.mktemp("node") / "errors"
    with javascript.running(folder, "sdk.mjs", f"{main_stack.url}/client/v4", errors=errors) as started:
        yield started


@pytest.fixture
def both(main_stack: stack.Stack, node: javascript.Process) -> list[sdks.Sdk]:
    python = sdks.Python(base=f"{main_stack.url}/client/v4", token=main_stack.token)
    return [python, sdks.TypeScript(token=main_stack.token, process=node)]


@pytest.fixture(params=["python", "typescript"])
def sdk(request: pytest.FixtureRequest, both: list[sdks.Sdk]) -> sdks.Sdk:
    return both[request.param_index]


async def given(sdk: sdks.Sdk, method: str, *positional: str, raw: bool = False, **parameters: Any) -> Any:
    """What a call gives that must succeed, at the first attempt."""
    answer = await sdk.call(method, *positional, {"account_id": ACCOUNT, **parameters}, raw=raw, **MAIN)
    assert (answer.status, answer.attempts) == (None, 1), answer
    return answer.value


def methods(resource: type, *, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The methods of a resource of Python's SDK, and of those below it, by their paths."""
    for name, member in vars(resource).items():
        if name.startswith(("_", "with_")):
            continue
        if isinstance(member, functools.cached_property):
            below = inspect.get_annotations(member.func, eval_str=True)["return"]
            yield from methods(below, path=(*path, name))
        elif inspect.isfunction(member):
            yield ".".join((*path, name))


def test_every_method_of_the_sdk_is_called() -> None:
    source = pathlib.Path(__file__).read_text()
    for name, stands_for in (("BROWSER", BROWSER), ("SESSION", SESSION), ("RUN", RUN)):
        source = source.replace(f"{{{name}}}", stands_for)
    called = {sdks.snake(found) for found in re.findall(rf"{RUN}\.([\w.]+)\"", source)}
    known = set(methods(browser_rendering.BrowserRenderingResource))
    assert len(known) >= 27, "it is all there to be found"
    assert known <= called, known - called


# ---------------------------------------------------------------- quick actions


async def test_screenshot(up: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    web.page("/blue", "<body style='margin:0;background:#0000ff'>")
    made = await given(
        sdk, f"{RUN}.screenshot.create", url=web.url("/blue"), viewport={"width": 300, "height": 200},
        screenshotOptions={"type": "png", "omitBackground": False}, raw=True,
    )  # fmt: skip
    picture = Image.open(io.BytesIO(made))
    assert (picture.size, picture.convert("RGB").getpixel((150, 100))) == ((300, 200), (0, 0, 255))


async def test_pdf(up: stack.Stack, sdk: sdks.Sdk) -> None:
    made = await given(sdk, f"{RUN}.pdf.create", html="<h1>Printed by the SDK</h1>", pdfOptions={"format": "a5"})
    (page,) = pypdf.PdfReader(io.BytesIO(made)).pages
    assert "Printed by the SDK" in page.extract_text()
    assert [round(float(side) / 72 * 25.4) for side in page.mediabox[2:]] == [148, 210]


async def test_content(up: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    web.page("/made", "<body><script>document.body.append('made by ' + 'script')</script>")
    html = await given(
        sdk, f"{RUN}.content.create", url=web.url("/made"), userAgent="tester/1", setExtraHTTPHeaders={"X-Asked": "yes"}
    )
    assert "made by script" in html
    (seen,) = web.requests("/made")
    assert (seen.headers["User-Agent"], seen.headers["X-Asked"]) == ("tester/1", "yes")


READ = """<!doctype html><title>Read</title><h1>Read</h1><p>me <a href="/next">next</a></p>"""


async def test_what_reads_a_page(up: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    address = web.page("/read", READ)
    markdown = await given(sdk, f"{RUN}.markdown.create", url=address)
    assert markdown.endswith(f"# Read\n\nme [next]({web.url('/next')})\n")
    assert await given(sdk, f"{RUN}.links.create", url=address) == [web.url("/next")]
    assert await given(sdk, f"{RUN}.links.create", url=address, excludeExternalLinks=True) == [web.url("/next")]
    (scraped,) = await given(sdk, f"{RUN}.scrape.create", url=address, elements=[{"selector": "h1"}])
    assert (scraped["selector"], scraped["results"][0]["text"]) == ("h1", "Read")
    tree = await given(sdk, f"{RUN}.accessibilityTree.create", url=address)
    assert tree["accessibilityTree"]["name"] == "Read"


async def test_snapshot(up: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    address = web.page("/read", READ)
    shot = await given(sdk, f"{RUN}.snapshot.create", url=address)
    assert sorted(shot) == ["content", "screenshot"]
    shot = await given(
        sdk, f"{RUN}.snapshot.create", url=address, formats=["screenshot", "markdown", "accessibilityTree"]
    )
    assert (sorted(shot), shot["accessibilityTree"]["role"]) == (
        ["accessibilityTree", "markdown", "screenshot"],
        "RootWebArea",
    )
    assert Image.open(io.BytesIO(base64.b64decode(shot["screenshot"]))).size == (1920, 1080)


async def test_a_crawl(up: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    first = web.page("/first", f'<title>First</title><a href="{web.url("/second")}">next</a>')
    web.page("/second", "<title>Second</title><p>the end")
    web.page("/robots.txt", "")
    job = await given(sdk, f"{RUN}.crawl.create", url=first, limit=2, formats=["markdown"], source="links")
    found: dict[str, Any] = {}

    async def over() -> bool:
        found.update(await given(sdk, f"{RUN}.crawl.get", job))
        return found["status"] != "running"

    await waiting.until(over, deadline=40, every=0.2)
    assert (found["status"], found["finished"]) == ("completed", 2), found
    assert sorted(one["metadata"]["title"] for one in found["records"]) == ["First", "Second"]
    assert "the end" in "".join(one["markdown"] for one in found["records"])
    assert (await given(sdk, f"{RUN}.crawl.delete", job))["job_id"] == job
    nobodys = await sdk.call(f"{RUN}.crawl.get", "nobodys", {"account_id": ACCOUNT})
    assert (nobodys.kind, nobodys.status, nobodys.attempts) == ("NotFoundError", 404, 1)


async def test_json_without_a_language_model(up: stack.Stack, sdk: sdks.Sdk) -> None:
    """It is said how to give it one, and said once: to ask again would change nothing."""
    answer = await sdk.call(f"{RUN}.json.create", {"account_id": ACCOUNT, "html": "<p>", "prompt": "what?"}, **MAIN)
    assert (answer.kind, answer.status, answer.attempts) == ("InternalServerError", 501, 1), answer


# ---------------------------------------------------------------- sessions


async def test_a_session(up: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    made = await given(sdk, f"{BROWSER}.create", keep_alive=60_000, targets=True)
    session = made["sessionId"]
    assert made["webSocketDebuggerUrl"].endswith(f"/devtools/browser/{session}")
    assert [one["type"] for one in made["targets"]] == ["page"]
    assert "Chrome/" in (await given(sdk, f"{BROWSER}.version", session))["Browser"]
    assert "Page" in [one["domain"] for one in (await given(sdk, f"{BROWSER}.protocol", session))["domains"]]

    page = await given(sdk, f"{BROWSER}.targets.create", session, url=web.url("/small"))
    named = {"session_id": session}
    assert (await given(sdk, f"{BROWSER}.targets.get", page["id"], **named))["id"] == page["id"]
    assert page["id"] in [one["id"] for one in await given(sdk, f"{BROWSER}.targets.list", session)]
    assert await given(sdk, f"{BROWSER}.targets.activate", page["id"], **named) == {"message": "Target activated"}
    assert await given(sdk, f"{BROWSER}.targets.close", page["id"], **named) == {"message": "Target is closing"}

    link = await given(sdk, f"{BROWSER}.liveView.create", session, mode="tab", expiresInMs=60_000)
    assert (link["options"]["mode"], link["devtoolsFrontendUrl"].startswith(up.url)) == ("tab", True)

    assert [one["sessionId"] for one in await given(sdk, f"{SESSION}.list", limit=5)] == [session]
    assert (await given(sdk, f"{SESSION}.get", session))["sessionId"] == session
    assert await given(sdk, f"{BROWSER}.delete", session) == {"status": "closed"}
    past = await given(sdk, f"{SESSION}.get", session)
    assert (past["closeReason"], past["closeReasonText"]) == (1, "NormalClosure")
    over = await sdk.call(f"{BROWSER}.version", session, {"account_id": ACCOUNT})
    assert (over.status, over.attempts) == (410, 1)
    assert over.kind in ("APIStatusError", "APIError")  # neither SDK has a class for it


@pytest.mark.parametrize(
    ("method", "positional", "parameters"),
    [
        (f"{BROWSER}.launch", (), {}),
        (f"{BROWSER}.connect", ("a-session",), {}),
        (f"{BROWSER}.page.get", ("a-page",), {"session_id": "a-session"}),
    ],
)
async def test_methods_that_name_a_websocket_claim_nothing(
    up: stack.Stack, sdk: sdks.Sdk, method: str, positional: tuple[str, ...], parameters: dict[str, str]
) -> None:
    """The SDKs send a plain GET where the address speaks WebSocket only; what they are good for is the address."""
    answer = await sdk.call(method, *positional, {"account_id": ACCOUNT, **parameters}, **MAIN)
    assert (answer.kind, answer.status, answer.attempts, "WebSocket" in answer.message) == (
        "BadRequestError",
        400,
        1,
        True,
    )
    assert (await up.status())["sessions"] == []


# ---------------------------------------------------------------- errors


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses: bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.asynccontextmanager
async def a_token(up: stack.Stack, **rules: Any) -> AsyncIterator[str]:
    """The secret of a token with rules of its own."""
    # A name of its own each time: what was counted for the last one counts no more.
    secret, name = chance.secret(), TokenName(f"sdks-test-{chance.unique_id()}")
    async with up.store() as db:
        await rows.put(db, tokens.Token(name=name, hash=credentials.hashed(secret), **rules))
        try:
            yield secret
        finally:
            await rows.remove(db, name)


PAGES = {
    "/small": (5000, "https"),
    "/nothing": (5002, "http"),
    "/download": (5002, "http"),
    "/loop": (5003, "http"),
    "/reset": (5011, "http"),
    "/never": (6002, "http"),
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_that_fails_is_asked_for_once(up: stack.Stack, sdk: sdks.Sdk, web: site.Site, path: str) -> None:
    """The SDKs send again what is answered 408, 409, 429 or 5xx: a page that never loads must be none of these."""
    code, scheme = PAGES[path]
    parameters = {"account_id": ACCOUNT, "url": web.url(path, scheme=scheme), "gotoOptions": {"timeout": 2000}}
    answer = await sdk.call(f"{RUN}.content.create", parameters, **MAIN)
    assert (answer.kind, answer.status, answer.code, answer.attempts) == ("UnprocessableEntityError", 422, code, 1), (
        answer
    )
    if path == "/never":
        assert len(web.requests(path)) == 1


async def test_an_address_that_leads_nowhere(up: stack.Stack, sdk: sdks.Sdk) -> None:
    with closed_port() as port:
        wrong = {
            "http://no-such-host.invalid/": 5005,
            f"http://127.0.0.1:{port}/": 5008,
            "http://10.0.0.1/": 5010,
            "http://169.254.169.254/latest/meta-data": 5010,
        }
        for url, code in wrong.items():
            answer = await sdk.call(f"{RUN}.markdown.create", {"account_id": ACCOUNT, "url": url}, **MAIN)
            assert (answer.kind, answer.status, answer.code, answer.attempts) == (
                "UnprocessableEntityError",
                422,
                code,
                1,
            ), answer


@pytest.mark.parametrize(
    ("method", "parameters", "code", "said"),
    [
        ("screenshot", {"html": "<p>", "selector": "#box"}, 6003, "#box"),
        ("content", {"html": "<p>", "waitForSelector": {"selector": "#never", "timeout": 100}}, 6002, "#never"),
        ("pdf", {"html": "<p>", "waitForTimeout": 5000, "actionTimeout": 300}, 6002, "300"),
    ],
)
async def test_what_cannot_be_made_of_a_page(
    up: stack.Stack, sdk: sdks.Sdk, method: str, parameters: dict[str, Any], code: int, said: str
) -> None:
    answer = await sdk.call(f"{RUN}.{method}.create", {"account_id": ACCOUNT, **parameters}, **MAIN)
    assert (answer.kind, answer.status, answer.code, answer.attempts) == ("UnprocessableEntityError", 422, code, 1), (
        answer
    )
    assert said in answer.message


async def test_an_invalid_body_names_the_field(up: stack.Stack, sdk: sdks.Sdk) -> None:
    parameters = {"account_id": ACCOUNT, "html": "<p>", "screenshotOptions": {"quality": 50, "type": "png"}}
    answer = await sdk.call(f"{RUN}.screenshot.create", parameters, **MAIN)
    assert (answer.kind, answer.status, answer.attempts) == ("BadRequestError", 400, 1)
    assert "screenshotOptions has quality" in answer.message


async def test_who_may_not(up: stack.Stack, sdk: sdks.Sdk) -> None:
    ask = f"{RUN}.content.create", {"account_id": ACCOUNT, "html": "<p>"}
    stranger = await sdk.call(*ask, token="somebody-else", **MAIN)
    assert (stranger.kind, stranger.status, stranger.code, stranger.attempts) == ("AuthenticationError", 401, 10000, 1)
    nowhere = await sdk.call(*ask, X_Browserpool_Pool="nowhere")
    assert (nowhere.kind, nowhere.status, nowhere.attempts) == ("NotFoundError", 404, 1)
    async with a_token(up, pools=frozenset({PoolName("pair")})) as secret:
        narrow = await sdk.call(*ask, token=secret, **MAIN)
    assert (narrow.kind, narrow.status, narrow.code, narrow.attempts) == ("PermissionDeniedError", 403, 1006, 1)


async def test_a_body_over_the_limit(up: stack.Stack, sdk: sdks.Sdk) -> None:
    html = " " * (50 * 1024 * 1024 + 1)
    answer = await sdk.call(f"{RUN}.pdf.create", {"account_id": ACCOUNT, "html": html}, **MAIN)
    assert (answer.status, answer.code, answer.attempts) == (413, 1005, 1)
    assert answer.kind in ("APIStatusError", "APIError")  # neither SDK has a class for it


async def test_who_is_too_fast_is_served_a_little_later(up: stack.Stack, sdk: sdks.Sdk) -> None:
    """The SDKs wait for as long as Retry-After says, and it says the truth."""
    ask = f"{RUN}.content.create", {"account_id": ACCOUNT, "html": "<p>"}
    async with a_token(up, rate_per_second=1.0) as secret:
        answers = [await sdk.call(*ask, token=secret, **MAIN) for _ in range(2)]
    assert [(one.status, one.attempts) for one in answers] == [(None, 1), (None, 2)], answers


async def test_who_has_too_much_open_is_told_so(up: stack.Stack, sdk: sdks.Sdk) -> None:
    async with a_token(up, concurrency=1) as secret:
        held = await sdk.call(f"{BROWSER}.create", {"account_id": ACCOUNT, "keep_alive": 600_000}, token=secret, **MAIN)
        refused = await sdk.call(f"{RUN}.content.create", {"account_id": ACCOUNT, "html": "<p>"}, token=secret, **MAIN)
        await sdk.call(f"{BROWSER}.delete", held.value["sessionId"], {"account_id": ACCOUNT}, token=secret)
    assert (refused.kind, refused.status, refused.code, refused.attempts) == ("RateLimitError", 429, 1004, 1), refused
    assert "end one" in refused.message


async def test_a_pool_that_has_no_browser_left_is_asked_again(up: stack.Stack, both: list[sdks.Sdk]) -> None:
    """Side by side, because they wait as Retry-After says between their three attempts."""
    create = f"{BROWSER}.create", {"account_id": ACCOUNT, "keep_alive": 60_000}
    pair = {"X_Browserpool_Pool": "pair"}
    sessions = [(await both[0].call(*create, **pair)).value["sessionId"] for _ in range(4)]
    answers = await asyncio.gather(*(one.call(*create, **pair) for one in both))
    for session in sessions:
        await both[0].call(f"{BROWSER}.delete", session, {"account_id": ACCOUNT})
    assert [(one.kind, one.status, one.code, one.attempts) for one in answers] == [
        ("InternalServerError", 503, 1003, 3)
    ] * 2, answers
