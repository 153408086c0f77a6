"""Every error code through the official SDKs, Python's and TypeScript's: its status, the SDK's exception, and how often the SDK asks.

``PROVOKED`` has each code with the tests that bring it about, real page, real router, real agent. What no SDK can come by:

==========================  ========================================================================================
5007, an empty HTTP error   nothing raises it: the headless shell shows an empty page then, and other Chromiums are made to; the
                            page's status is in ``meta``
409 (6000), a stale claim   between routers and agents only; a client's action is 502 then
409 (1001), a name taken    no call of the SDKs names what is made
405, 426 (1001)             the SDKs' methods are the right ones; where the address speaks WebSocket only they are told 400
400 of links and agents     other doors than the SDKs'
==========================  ========================================================================================
"""

import asyncio
import pathlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from browserpool.model import errors
from browserpool.store import connect
from support import browsers, javascript, rude, sdks, site, stack, waiting

ACCOUNT = "0123456789abcdef0123456789abcdef"
RUN = "browserRendering"
SOON = 30.0
SDK_SENDS = 3
"""Attempts in all, of what may go better the next time."""

_HERE = "e2e/test_sdk_errors.py"
_SDK = "e2e/test_cloudflare_sdk.py"
_JSON = "e2e/test_json_and_cache.py"
_NETWORK = f"{_HERE}::test_what_networks_and_servers_do"
_FAILED = f"{_SDK}::test_a_page_that_fails_is_asked_for_once"
_NOWHERE = f"{_SDK}::test_an_address_that_leads_nowhere"
_UNMADE = f"{_SDK}::test_what_cannot_be_made_of_a_page"
Code = errors.Code
PROVOKED = {
    Code.BAD_REQUEST: (f"{_SDK}::test_an_invalid_body_names_the_field",),
    Code.NOT_FOUND: (f"{_SDK}::test_who_may_not", f"{_SDK}::test_a_session", f"{_SDK}::test_a_crawl"),
    Code.NO_BROWSER: (f"{_SDK}::test_a_pool_that_has_no_browser_left_is_asked_again",),
    Code.TOO_MANY: (
        f"{_SDK}::test_who_is_too_fast_is_served_a_little_later",
        f"{_SDK}::test_who_has_too_much_open_is_told_so",
    ),
    Code.TOO_LARGE: (f"{_SDK}::test_a_body_over_the_limit",),
    Code.FORBIDDEN: (f"{_SDK}::test_who_may_not",),
    Code.UNAUTHORIZED: (f"{_SDK}::test_who_may_not",),
    Code.INTERNAL: (f"{_HERE}::test_a_fault_of_the_installation",),
    Code.CERTIFICATE: (_FAILED,),
    Code.UNREACHABLE: (_NETWORK,),
    Code.ABORTED: (_FAILED,),
    Code.REDIRECTS: (_FAILED,),
    Code.HTTP2: (_NETWORK,),
    Code.DNS: (_NOWHERE,),
    Code.CONNECTION_CLOSED: (_NETWORK,),
    Code.REFUSED: (_NOWHERE,),
    Code.NETWORK: (_NETWORK,),
    Code.INVALID_ADDRESS: (_NOWHERE,),
    Code.EMPTY_RESPONSE: (_FAILED,),
    Code.CONTEXT_LOST: (
        f"{_HERE}::test_a_page_that_crashes",
        f"{_HERE}::test_a_chromium_that_dies_each_time",
        f"{_HERE}::test_a_chromium_that_dies_once",
    ),
    Code.TARGET_CLOSED: (f"{_HERE}::test_a_page_that_is_closed",),
    Code.TIMEOUT: (_FAILED, _UNMADE),
    Code.CAPTURE_FAILED: (_UNMADE,),
    Code.MODEL_FAILED: (
        f"{_JSON}::test_an_answer_that_is_not_what_the_schema_says",
        f"{_JSON}::test_a_model_that_is_away",
    ),
    Code.NOT_CONFIGURED: (f"{_SDK}::test_json_without_a_language_model",),
}


def test_every_code_has_its_tests() -> None:
    tests = pathlib.Path(__file__).parent.parent
    assert set(errors.Code) - set(PROVOKED) == {Code.EMPTY_HTTP_ERROR}
    for names in PROVOKED.values():
        for name in names:
            file, _, test = name.partition("::")
            assert re.search(rf"^(async )?def {test}\(", (tests / file).read_text(), re.MULTILINE), name


def test_every_code_is_in_the_readme(pytestconfig: pytest.Config) -> None:
    readme = (pathlib.Path(pytestconfig.rootpath) / "README.md").read_text()
    section = readme.partition("\n## Errors\n")[2].partition("\n## ")[0]
    told = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for code in row.split(", ")}
    assert told == set(errors.Code)


# A pool that takes any certificate, without which nobody comes as far as HTTP/2.
ROUGH = stack.pool("rough", replicas=1, chromium={"args": ["--ignore-certificate-errors"]})


@pytest.fixture(scope="module")
def rough_stack() -> Iterator[stack.Stack]:
    with stack.running(pools=[ROUGH]) as started:
        yield started


@pytest.fixture
async def rough(rough_stack: stack.Stack) -> AsyncIterator[stack.Stack]:
    """An installation with one browser, to be broken; whole before and after."""
    await rough_stack.whole()
    yield rough_stack
    await rough_stack.whole()


@pytest.fixture(scope="module")
def node(
    rough_stack: stack.Stack, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[javascript.Process]:
    folder = javascript.installed(pathlib.Path(pytestconfig.rootpath))
    errors_at = tmp_path_factory.mktemp("node") / "errors"
    with javascript.running(folder, "sdk.mjs", f"{rough_stack.url}/client/v4", errors=errors_at) as started:
        yield started


@pytest.fixture(params=["python", "typescript"])
def sdk(request: pytest.FixtureRequest, rough: stack.Stack, node: javascript.Process) -> sdks.Sdk:
    if request.param == "python":
        return sdks.Python(base=f"{rough.url}/client/v4", token=rough.token)
    return sdks.TypeScript(token=rough.token, process=node)


async def asked(sdk: sdks.Sdk, **parameters: Any) -> sdks.Answer:
    return await sdk.call(f"{RUN}.content.create", {"account_id": ACCOUNT, **parameters})


# ---------------------------------------------------------------- the page's fault: asked for once

OF_A_PAGE = (422, "UnprocessableEntityError", 1)


def said(answer: sdks.Answer) -> tuple[int | None, str | None, int]:
    return answer.status, answer.kind, answer.attempts


@pytest.mark.parametrize(
    ("manner", "code"),
    [("nowhere", 5001), ("http2", 5004), ("hanging up", 5006), ("no HTTP", 5009)],
)
async def test_what_networks_and_servers_do(sdk: sdks.Sdk, web: site.Site, manner: str, code: int) -> None:
    async with (
        rude.serving(rude.hanging_up) as closing,
        rude.serving(rude.another_protocol) as other,
        rude.serving(rude.broken_http2, tls=rude.http2()) as broken,
    ):
        url = {
            # Loopback's broadcast address: no route leads to one.
            "nowhere": "http://127.255.255.255/",
            "http2": f"https://127.0.0.1:{broken}/",
            "hanging up": f"https://127.0.0.1:{closing}/",
            "no HTTP": f"http://127.0.0.1:{other}/",
        }[manner]
        answer = await asked(sdk, url=url)
    assert (answer.code, *said(answer)) == (code, *OF_A_PAGE), answer


async def test_an_empty_error_is_an_empty_page(sdk: sdks.Sdk, web: site.Site) -> None:
    answer = await asked(sdk, url=web.url("/empty-404"))
    assert (answer.status, answer.attempts) == (None, 1), answer
    assert answer.value == "<html><head></head><body></body></html>"


async def loading(sdk: sdks.Sdk, web: site.Site) -> sdks.Answer:
    """An action on a page that never comes to its load."""
    return await asked(
        sdk, url=web.page("/half", "<title>Half</title><img src=/never>"), gotoOptions={"waitUntil": "load"}
    )


async def test_a_page_that_crashes(rough: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    async with asyncio.TaskGroup() as group:
        action = group.create_task(loading(sdk, web))
        await waiting.until(lambda: web.held, deadline=SOON)
        for renderer in rough.renderers():
            renderer.kill()
    assert (action.result().code, *said(action.result())) == (6000, *OF_A_PAGE), action.result()


async def test_a_page_that_is_closed(rough: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    """As somebody does who has found his way to Chromium's own port."""
    async with asyncio.TaskGroup() as group:
        action = group.create_task(loading(sdk, web))
        await waiting.until(lambda: web.held, deadline=SOON)
        (chromium,) = rough.chromiums()
        async with browsers.connected(chromium) as connection:
            targets = (await connection.call("Target.getTargets"))["targetInfos"]
            (page,) = [one["targetId"] for one in targets if one["url"] == web.url("/half")]
            await connection.call("Target.closeTarget", {"targetId": page})
    assert (action.result().code, *said(action.result())) == (6001, *OF_A_PAGE), action.result()


# ---------------------------------------------------------------- our fault: asked again


async def killed(rough: stack.Stack, web: site.Site, *, times: int) -> None:
    """Kill Chromium in the middle of each of so many attempts."""
    for number in range(times):
        await waiting.until(lambda number=number: web.held > number, deadline=SOON)
        (chromium,) = rough.chromiums()
        chromium.kill()


async def test_a_chromium_that_dies_each_time(rough: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    async with asyncio.TaskGroup() as group:
        action = group.create_task(loading(sdk, web))
        await killed(rough, web, times=SDK_SENDS)
    lost = action.result()
    assert (lost.code, *said(lost)) == (6000, 502, "InternalServerError", SDK_SENDS), lost


async def test_a_chromium_that_dies_once(rough: stack.Stack, sdk: sdks.Sdk, web: site.Site) -> None:
    """Whoever uses the SDK hears nothing of it."""
    async with asyncio.TaskGroup() as group:
        action = group.create_task(loading(sdk, web))
        await killed(rough, web, times=1)
        await waiting.until(lambda: web.held > 1, deadline=SOON)
        web.released.set()
    answer = action.result()
    assert (answer.status, answer.attempts, "Half" in answer.value) == (None, 2, True), answer


BREAK = (
    b"create function no_claims() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$",
    b"""create trigger no_claims before update on browsers for each row
        when (new.state = 'claimed' and old.state <> 'claimed') execute function no_claims()""",
)
MEND = b"drop function no_claims cascade"


async def test_a_fault_of_the_installation(rough: stack.Stack, sdk: sdks.Sdk) -> None:
    """Somebody has put into the database what makes each claim fail there."""
    async with rough.store() as db:
        for statement in BREAK:
            await connect.execute(db, statement, {})
        try:
            broken = await asked(sdk, html="<p>")
        finally:
            await connect.execute(db, MEND, {})
    assert (broken.code, *said(broken)) == (2000, 500, "InternalServerError", SDK_SENDS), broken
    assert (await asked(sdk, html="<p>")).status is None
