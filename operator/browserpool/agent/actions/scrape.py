"""``scrape``: text, HTML, attributes and place of the elements that selectors find."""

from typing import Final

import orjson

from browserpool.agent.actions import answer
from browserpool.agent.page import life, waiting
from browserpool.model import errors
from browserpool.model.wire import reading

_SCRAPE: Final = """
(selectors => {
  const described = element => {
    // Asked past the element itself: a form has fields by the names of its own members.
    const {width, height, top, left} = Element.prototype.getBoundingClientRect.call(element);
    const shown = element instanceof HTMLElement
      ? Reflect.get(HTMLElement.prototype, 'innerText', element) : Reflect.get(Node.prototype, 'textContent', element);
    return {
      text: (shown ?? '').trim(),
      html: Reflect.get(Element.prototype, 'innerHTML', element),
      attributes: Array.from(Reflect.get(Element.prototype, 'attributes', element), ({name, value}) => ({name, value})),
      height, width, top, left,
    };
  };
  const results = [];
  for (const selector of selectors) {
    let found;
    try { found = document.querySelectorAll(selector); } catch (error) { return {unreadable: selector}; }
    results.push({selector, results: Array.from(found, described)});
  }
  return {title: document.title, results};
})
"""


async def capture(page: life.Page, action: reading.Scrape) -> answer.Answer:
    """For each selector all that it matches, in the envelope; a selector that matches nothing has no results, and is no error.

    Raises:
        errors.InvalidRequest: Chromium cannot read a selector.
        errors.PageFailed: an element that was to be waited for did not come.
    """
    for element in action.elements:
        await _wait(page, element, forgive=action.best_attempt)
    selectors = orjson.dumps([element.selector for element in action.elements]).decode()
    found = await page.evaluate(f"{_SCRAPE.strip()}({selectors})")
    if "unreadable" in found:
        raise errors.InvalidRequest(f"elements: {found['unreadable']!r} is no CSS selector that Chromium can read")
    return answer.json(found["results"], page=page, title=found["title"])


async def _wait(page: life.Page, element: reading.Element, *, forgive: bool) -> None:
    if element.timeout is None:
        return
    selector = orjson.dumps(element.selector).decode()
    seconds = page.time.at_most(element.timeout, most=waiting.MOST_MS)
    # What is no selector is for the look itself to say, so that it is said in one way.
    look = f"(s => {{ try {{ return document.querySelector(s) !== null; }} catch (error) {{ return true; }} }})({selector})"
    if not await waiting.poll(page.session, look, seconds=seconds) and not forgive:
        raise errors.PageFailed(
            f"elements: nothing matched {element.selector!r} within {seconds * 1000:.0f} ms", code=errors.Code.TIMEOUT
        )
