"""A page is made ahead with the window that was wanted last. Whoever wants another one must not be able to tell."""

import itertools

import pytest
import pytest_asyncio

from browserpool.agent import browser
from support import pages

pytestmark = pytest.mark.asyncio(loop_scope="module")

WINDOWS = {
    "default": {},
    "small": {"width": 640, "height": 360},
    "dense": {"width": 500, "height": 400, "deviceScaleFactor": 2},
    "landscape": {"width": 640, "height": 360, "isLandscape": True},
    "phone": {"width": 390, "height": 844, "deviceScaleFactor": 3, "isMobile": True, "hasTouch": True},
    "huge": {"width": 16_000, "height": 1_000},
}
SEEN = """<title>x</title><script>
addEventListener('load', () => { document.title = JSON.stringify([
  innerWidth, innerHeight, outerWidth, outerHeight, devicePixelRatio, screen.width, screen.height, screen.availWidth, screen.availHeight,
  screenX, screenY, screen.orientation.type, screen.orientation.angle, 'ontouchstart' in window, navigator.maxTouchPoints,
  matchMedia('(orientation: portrait)').matches, matchMedia('(hover: hover)').matches, matchMedia('(pointer: fine)').matches,
  document.documentElement.clientWidth, visualViewport.width, visualViewport.scale, navigator.userAgent]) })
</script>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


async def seen(stand, name):
    wanted = {"viewport": WINDOWS[name]} if WINDOWS[name] else {}
    return (await stand.meta(html=SEEN, **wanted))["title"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(stand):
    """What pages see of each window, made from a spare of the default one."""
    found = {}
    for name in WINDOWS:
        stand.browser.window = browser.WINDOW
        await stand.browser.drop_spare()
        found[name] = await seen(stand, name)
    assert len(set(found.values())) == len(WINDOWS)
    return found


@pytest.mark.parametrize(("last", "now"), [*itertools.product(WINDOWS, WINDOWS)])
async def test_what_was_wanted_last_is_not_seen(stand, alone, last, now):
    await seen(stand, last)
    await stand.browser.refill()
    assert await seen(stand, now) == alone[now]


async def test_a_window_that_is_wanted_again_costs_no_call(stand, monkeypatch):
    await seen(stand, "small")
    await stand.browser.refill()
    called = []
    call = browser.driver.Session.call

    async def noted(self, method, *arguments, **more):
        called.append(method)
        return await call(self, method, *arguments, **more)

    monkeypatch.setattr(browser.driver.Session, "call", noted)
    await seen(stand, "small")
    assert "Emulation.setDeviceMetricsOverride" not in called
    await seen(stand, "dense")
    assert "Emulation.setDeviceMetricsOverride" in called


@pytest.mark.parametrize("name", ["phone", "huge"])
async def test_a_window_that_others_could_tell_or_that_takes_much_memory_is_not_made_ahead(stand, name):
    await seen(stand, "small")
    before = stand.browser.window
    await seen(stand, name)
    assert stand.browser.window == before
