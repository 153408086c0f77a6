"""``scrape``: text, HTML, attributes and place of the elements that selectors find."""

from typing import Final

import orjson

from browserpool.agent.actions import answer
from browserpool.agent.page import life
from browserpool.model import errors
from browserpool.model.wire import reading

_SCRAPE: Final = """
(selectors => {
  const described = element => {
    const {width, height, top, left} = element.getBoundingClientRect();
    return {
      text: (element.innerText ?? element.textContent ?? '').trim(),
      html: element.innerHTML,
      attributes: Array.from(element.attributes, ({name, value}) => ({name, value})),
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
    """
    selectors = orjson.dumps([element.selector for element in action.elements]).decode()
    found = await page.evaluate(f"{_SCRAPE.strip()}({selectors})")
    if "unreadable" in found:
        raise errors.InvalidRequest(f"elements: {found['unreadable']!r} is no CSS selector that Chromium can read")
    return answer.json(found["results"], page=page, title=found["title"])
