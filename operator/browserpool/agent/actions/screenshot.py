"""``screenshot``: a picture of the window, the whole page, an element, or a part."""

import asyncio
import base64
import contextlib
import math
from typing import Any, Final

import orjson

from browserpool.agent import driver
from browserpool.agent.actions import answer
from browserpool.agent.page import elsewhere, life, scripts, setup, waiting
from browserpool.model import errors
from browserpool.model.wire import screenshot, shared

_TRANSPARENT: Final = {"color": {"r": 0, "g": 0, "b": 0, "a": 0}}
_MOST_SCROLLS: Final = 200
"""Windows that ``scrollPage`` goes down; a page that grows for ever ends here."""
_SCROLL_PAUSE: Final = 0.02
"""Seconds between two windows: a frame, in which what comes into view starts to load."""
_PICTURES_DEADLINE: Final = 5.0


async def capture(page: life.Page, action: screenshot.Screenshot) -> answer.Answer:
    """The picture's bytes, or their base64 as text.

    Raises:
        errors.PageFailed: the element is not there, the picture would be too large, or Chromium refused.
        errors.InvalidRequest: the selector is none.
    """
    options = action.screenshot_options
    if action.scroll_page:
        await _scroll(page)
    return _answer(await take(page, options, viewport=action.viewport, selector=action.selector), options)


async def take(
    page: life.Page,
    options: screenshot.ScreenshotOptions,
    *,
    viewport: shared.Viewport,
    selector: str | None = None,
) -> str:
    """The picture, as base64; of the page's next document, once that has loaded, where it goes there meanwhile."""
    if options.omit_background:
        await page.call("Emulation.setDefaultBackgroundColorOverride", _TRANSPARENT)
    lost = False

    async def attempt() -> driver.Params:
        nonlocal lost
        if lost:
            # A picture that got lost may have left the window as large as it wanted it.
            for call in setup.viewport(viewport):
                await page.call(call.method, call.params)
        lost = True
        clip = await _clip(page, options, viewport=viewport, selector=selector)
        return await _taken(page, parameters(options, clip=clip))

    taken = await page.anew(attempt)
    return str(taken["data"])


async def _taken(page: life.Page, params: driver.Params) -> driver.Params:
    """Chromium's answer.

    Raises:
        elsewhere.Replaced: the document was replaced under it. Then Chromium refuses, or says nothing for ever.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as scope:

            def navigated(event: driver.Params) -> None:
                if event["frame"]["id"] == page.session.target_id and scope.when() is None:
                    scope.reschedule(asyncio.get_running_loop().time() + elsewhere.ON_ITS_WAY)

            off = page.session.on("Page.frameNavigated", navigated)
            try:
                return await page.call("Page.captureScreenshot", params)
            finally:
                off()
    raise elsewhere.Replaced("The page went elsewhere under its picture.")


def parameters(options: screenshot.ScreenshotOptions, *, clip: dict[str, float] | None) -> driver.Params:
    """The options as CDP wants them. A part of the page may lie beyond the window, unless the caller says otherwise."""
    params: driver.Params = {"format": options.type}
    if options.quality is not None:
        params["quality"] = round(options.quality)
    if clip is not None:
        params["clip"] = clip
    beyond = clip is not None if options.capture_beyond_viewport is None else options.capture_beyond_viewport
    if beyond:
        params["captureBeyondViewport"] = True
    if not options.from_surface:
        params["fromSurface"] = False
    if options.optimize_for_speed:
        params["optimizeForSpeed"] = True
    return params


def _answer(data: str, options: screenshot.ScreenshotOptions) -> answer.Answer:
    if options.encoding == "base64":
        return answer.Answer(content_type="text/plain", body=data.encode())
    return answer.Answer(content_type=f"image/{options.type}", body=base64.b64decode(data))


async def _clip(
    page: life.Page, options: screenshot.ScreenshotOptions, *, viewport: shared.Viewport, selector: str | None
) -> dict[str, float] | None:
    if options.clip is not None:
        return options.clip.model_dump()
    if selector is not None:
        return await _element(page, selector)
    if not options.full_page:
        return None
    metrics = await page.call("Page.getLayoutMetrics")
    size = metrics["cssContentSize"]
    width, height = math.ceil(size["width"]), math.ceil(size["height"])
    _check_size(width, height, viewport)
    if options.capture_beyond_viewport is False:
        await _widen(page, viewport, width=width, height=height)
        return None
    return {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}


def _check_size(width: int, height: int, viewport: shared.Viewport) -> None:
    pixels = width * height * viewport.device_scale_factor**2
    if pixels > shared.MAX_PIXELS:
        raise errors.PageFailed(
            f"The page is {width}×{height}, {pixels:.0f} pixels in all; the most is {shared.MAX_PIXELS}: picture parts of it with clip.",
            code=errors.Code.CAPTURE_FAILED,
        )


async def _widen(page: life.Page, viewport: shared.Viewport, *, width: int, height: int) -> None:
    """A window as large as the page: what else there is to picture all of it without going beyond the window."""
    whole = shared.Viewport.model_construct(**{**viewport.model_dump(), "width": width, "height": height})
    for call in setup.viewport(whole):
        await page.call(call.method, call.params)


_FIND: Final = """
(selector => {
  const found = document.querySelector(selector);
  if (found === null) return null;
  // Asked past the element itself: a form has fields by the names of its own members.
  Element.prototype.scrollIntoView.call(found, {block: 'nearest', inline: 'nearest', behavior: 'instant'});
  const box = Element.prototype.getBoundingClientRect.call(found);
  return {x: box.x + window.scrollX, y: box.y + window.scrollY, width: box.width, height: box.height};
})
"""


async def _element(page: life.Page, selector: str) -> dict[str, float]:
    try:
        box = await page.evaluate(f"{_FIND.strip()}({orjson.dumps(selector).decode()})")
    except scripts.ScriptFailed as error:
        raise errors.InvalidRequest(
            f"selector is no CSS selector that Chromium can read (given: {selector!r})"
        ) from error
    if box is None:
        raise errors.PageFailed(f"No element matches the selector {selector!r}.", code=errors.Code.CAPTURE_FAILED)
    if not box["width"] or not box["height"]:
        raise errors.PageFailed(f"The element {selector!r} has no size.", code=errors.Code.CAPTURE_FAILED)
    return {**_whole_pixels(box), "scale": 1}


def _whole_pixels(box: dict[str, Any]) -> dict[str, float]:
    x, y = math.floor(box["x"]), math.floor(box["y"])
    return {
        "x": x,
        "y": y,
        "width": math.ceil(box["x"] + box["width"]) - x,
        "height": math.ceil(box["y"] + box["height"]) - y,
    }


_PICTURES_ARE_THERE: Final = "Array.from(document.images).every(image => image.complete)"


async def _scroll(page: life.Page) -> None:
    """Down to the end, window by window, wait for the pictures that this called for, and back to the top."""
    for _ in range(_MOST_SCROLLS):
        before, after = await page.evaluate(
            "(() => { const before = scrollY; scrollBy({top: innerHeight, behavior: 'instant'}); return [before, scrollY]; })()"
        )
        if after <= before:
            break
        await asyncio.sleep(_SCROLL_PAUSE)
    # A picture that never comes is no reason to fail: the page is pictured as a person would see it now.
    await waiting.poll(page.session, _PICTURES_ARE_THERE, seconds=min(_PICTURES_DEADLINE, page.time.left))
    await page.evaluate("scrollTo({top: 0, left: 0, behavior: 'instant'})")
