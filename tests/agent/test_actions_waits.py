"""What browserless has users wait for besides selectors: functions, events, the elements of a scrape. Real pages in a real Chromium."""

import orjson
import pytest
import pytest_asyncio

from browserpool.model import errors
from support import pages

pytestmark = pytest.mark.asyncio(loop_scope="module")

LATE = "<p id=p>early</p><script>setTimeout(() => { p.textContent = 'late'; window.done = true }, 300)</script>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


@pytest.mark.parametrize(
    "fn",
    [
        "() => window.done",
        "function() { return window.done === true }",
        "window.done",
        "document.querySelector('#p').textContent === 'late' // 100% sure",
        "async () => { while (!window.done) await new Promise(next => setTimeout(next, 10)) }",
    ],
)
async def test_a_function_is_waited_for(stand, fn):
    assert "late" in await stand.content(html=LATE, waitForFunction={"fn": fn})


@pytest.mark.parametrize("polling", ["raf", "mutation", 20])
async def test_as_often_as_it_is_wished(stand, polling):
    assert "late" in await stand.content(html=LATE, waitForFunction={"fn": "() => window.done", "polling": polling})


async def test_a_function_that_gives_nothing_true_is_a_timeout_unless_best_attempt(stand):
    body = {"html": "<p>here", "waitForFunction": {"fn": "() => false", "timeout": 100}}
    with pytest.raises(errors.PageFailed, match="waitForFunction: it gave nothing true within 100 ms") as caught:
        await stand.content(**body)
    assert caught.value.code == errors.Code.TIMEOUT
    assert "here" in await stand.content(**body, bestAttempt=True)


async def test_a_function_that_never_ends_is_one_too(stand):
    with pytest.raises(errors.PageFailed, match="within 100 ms"):
        await stand.content(html="x", waitForFunction={"fn": "async () => new Promise(() => {})", "timeout": 100})


async def test_a_function_that_throws_says_what(stand):
    with pytest.raises(errors.PageFailed, match=r"waitForFunction: .*no luck"):
        await stand.content(html="x", waitForFunction={"fn": "() => { throw new Error('no luck') }"})


async def test_what_is_no_function_is_a_bad_request(stand):
    with pytest.raises(errors.InvalidRequest, match=r"waitForFunction\.fn"):
        await stand.content(html="x", waitForFunction={"fn": "() => {"})


@pytest.mark.parametrize("target", ["document", "window"])
async def test_an_event_is_waited_for(stand, target):
    tell = f"p.textContent = 'late'; {target}.dispatchEvent(new Event('ready'))"
    html = f"<p id=p>early<script>setInterval(() => {{ {tell} }}, 100)</script>"
    assert "late" in await stand.content(html=html, waitForEvent={"event": "ready"})


async def test_an_event_that_does_not_come_is_a_timeout_unless_best_attempt(stand):
    body = {"html": "<p>here", "waitForEvent": {"event": "never", "timeout": 100}}
    with pytest.raises(errors.PageFailed, match="'never' came within 100 ms"):
        await stand.content(**body)
    assert "here" in await stand.content(**body, bestAttempt=True)


async def scraped(stand, **body):
    (found,) = orjson.loads((await stand.perform("scrape", **body)).body)["result"]
    return len(found["results"])


async def test_an_element_of_a_scrape_is_waited_for(stand):
    late = "<script>setTimeout(() => document.body.append(document.createElement('b')), 300)</script>"
    assert await scraped(stand, html=late, elements=[{"selector": "b", "timeout": 5000}]) == 1
    assert await scraped(stand, html=late, elements=[{"selector": "b"}]) == 0
    never = [{"selector": "i", "timeout": 100}]
    with pytest.raises(errors.PageFailed, match="nothing matched 'i' within 100 ms"):
        await scraped(stand, html=late, elements=never)
    assert await scraped(stand, html=late, elements=never, bestAttempt=True) == 0
    with pytest.raises(errors.InvalidRequest, match="no CSS selector"):
        await scraped(stand, html=late, elements=[{"selector": "b[", "timeout": 5000}])
