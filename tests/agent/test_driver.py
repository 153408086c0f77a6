"""CDP with a real Chromium: what a caller meets when things go wrong."""

import asyncio

import pytest

from browserpool.agent import browser, driver
from browserpool.lib import tasks
from browserpool.model import errors
from support import chrome, waiting

FOR_EVER = {"expression": "new Promise(() => {})", "awaitPromise": True}


class NoNotes:
    def refusal(self, host, port):
        return None


@pytest.fixture
async def connection():
    async with chrome.running() as made:
        yield made


@pytest.fixture
async def browsing(connection):
    made = browser.Browser(connection=connection, egress=NoNotes())
    yield made
    await made.close()


async def evaluate(session, expression):
    answer = await session.call("Runtime.evaluate", {"expression": expression, "returnByValue": True})
    return answer["result"].get("value")


async def test_a_call_that_chromium_refuses_says_why(connection):
    with pytest.raises(driver.CallRefused, match=r"No\.such") as refused:
        await connection.call("No.such")
    assert refused.value.cdp_code == -32601


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (r"'a\ud800b'", "a\ufffdb"),
        (r"'\udc00'", "\ufffd"),
        (r"'\ud83d\ud83d\ude00'", "\ufffd\U0001f600"),
        (r"'\\ud800 \ud800'", "\\ud800 \ufffd"),
        (r"({'\ud800': ['\udfff\ud800']})", {"\ufffd": ["\ufffd\ufffd"]}),
    ],
)
async def test_half_an_emoji_is_no_message_s_end(browsing, expression, value):
    """Legal in JavaScript, and not in the JSON that goes over the wire: it must not end everybody's connection."""
    page = (await browsing.spare()).session
    assert await evaluate(page, expression) == value


async def test_a_cancelled_caller_does_no_harm(browsing):
    """pyppeteer's own receive loop dies of the late answer, and every later call with it."""
    page = (await browsing.spare()).session
    async with tasks.Background(grace=0) as background:
        for _ in range(20):
            call = background.spawn(evaluate(page, "1"), name="cancelled")
            await asyncio.sleep(0)
            call.cancel()
    assert await evaluate(page, "1 + 1") == 2


async def test_a_call_has_a_deadline_and_its_session_lives_on(browsing):
    page = (await browsing.spare()).session
    with pytest.raises(errors.PageFailed) as late:
        await page.call("Runtime.evaluate", FOR_EVER, deadline=0.1)
    assert late.value.code is errors.Code.TIMEOUT
    assert await evaluate(page, "1 + 1") == 2


async def test_what_waits_on_a_page_that_crashes_fails_at_once(browsing):
    page = (await browsing.spare()).session
    async with tasks.Background(grace=0) as background:
        waiting_call = background.spawn(page.call("Runtime.evaluate", FOR_EVER), name="waits")
        with page.expect("Page.loadEventFired") as loaded:
            with pytest.raises(errors.PageFailed) as crashed:
                await page.call("Page.crash", deadline=10)
            with pytest.raises(errors.PageFailed):
                await asyncio.wait_for(loaded, 10)
        with pytest.raises(errors.PageFailed):
            await asyncio.wait_for(waiting_call, 10)
    assert crashed.value.code is errors.Code.CONTEXT_LOST
    with pytest.raises(errors.PageFailed):
        await page.call("Page.enable")


async def test_what_waits_on_a_context_that_is_disposed_of_fails_at_once(browsing):
    spare = await browsing.spare()
    async with tasks.Background(grace=0) as background:
        call = background.spawn(spare.session.call("Runtime.evaluate", FOR_EVER), name="waits")
        await asyncio.sleep(0)
        await browsing.dispose(spare.context_id)
        with pytest.raises(errors.PageFailed) as closed:
            await asyncio.wait_for(call, 10)
    assert closed.value.code is errors.Code.TARGET_CLOSED
    assert not browsing.suspect


async def test_when_the_browser_goes_everything_fails_at_once(browsing, connection):
    page = (await browsing.spare()).session
    async with tasks.Background(grace=0) as background:
        call = background.spawn(page.call("Runtime.evaluate", FOR_EVER), name="waits")
        await asyncio.sleep(0)
        with pytest.raises(errors.BrowserLost):
            await connection.call("Browser.crash", deadline=10)
        with pytest.raises(errors.BrowserLost):
            await asyncio.wait_for(call, 10)
    assert isinstance(await asyncio.wait_for(connection.closed, 10), errors.BrowserLost)
    with pytest.raises(errors.BrowserLost):
        await connection.call("Browser.getVersion")


async def test_an_event_handler_that_raises_stops_nobody(browsing):
    page = (await browsing.spare()).session
    heard = []
    page.on("Page.loadEventFired", lambda _: 1 / 0)
    page.on("Page.loadEventFired", heard.append)
    with page.expect("Page.loadEventFired") as loaded:
        await page.call("Page.navigate", {"url": "data:text/html,hello"})
        await asyncio.wait_for(loaded, 10)
    assert len(heard) == 1


async def test_nothing_answers():
    with pytest.raises(errors.BrowserLost):
        await driver.Connection.open("ws://127.0.0.1:9/devtools/browser/x", deadline=2)


async def test_the_spare_is_made_ahead_taken_once_and_made_when_missing(browsing, connection):
    async def contexts():
        return len((await connection.call("Target.getBrowserContexts"))["browserContextIds"])

    await browsing.refill()
    await browsing.refill()
    assert await contexts() == 1
    first, second = await browsing.spare(), await browsing.spare()
    assert first.context_id != second.context_id
    assert await contexts() == 2
    await browsing.refill()
    await browsing.drop_spare()
    assert await contexts() == 2


async def test_a_spare_that_is_due_is_made_a_moment_later_unless_a_client_comes_that_must_not_see_it(
    browsing, connection
):
    async def contexts():
        return len((await connection.call("Target.getBrowserContexts"))["browserContextIds"])

    browsing.refill_soon()
    await browsing.drop_spare()
    await asyncio.sleep(2 * browser.ANSWERED)
    assert await contexts() == 0
    browsing.refill_soon()
    browsing.refill_soon()
    await waiting.until(contexts)
    await browsing.refill()
    assert await contexts() == 1


async def test_a_caller_that_leaves_while_its_spare_is_made_leaks_none(browsing, connection):
    async with tasks.Background(grace=0) as background:
        asking = background.spawn(browsing.spare(), name="asking")
        await asyncio.sleep(0.005)
        asking.cancel()
    spare = await browsing.spare()
    listed = await connection.call("Target.getBrowserContexts")
    assert listed["browserContextIds"] == [spare.context_id]


async def test_a_spare_that_crashed_is_not_handed_out(browsing):
    await browsing.refill()
    spare = await browsing.spare()
    with pytest.raises(errors.PageFailed):
        await spare.session.call("Page.crash", deadline=10)
    await waiting.until(lambda: spare.session.failure is not None)
    assert await evaluate((await browsing.spare()).session, "1 + 1") == 2
