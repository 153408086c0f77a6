"""``links``: where the page's links lead, in the document's order, each as often as it stands there."""

from typing import Final

import orjson

from browserpool.agent.actions import answer
from browserpool.agent.page import life
from browserpool.model.wire import reading

_COLLECT: Final = """
((visibleOnly, ownOnly) => {
  const seen = link => {
    const box = link.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && link.checkVisibility({opacityProperty: true, visibilityProperty: true});
  };
  const own = link => link.hostname === '' || link.hostname === location.hostname;
  return {
    title: document.title,
    links: Array.from(document.links)
      .filter(link => (!visibleOnly || seen(link)) && (!ownOnly || own(link)))
      .map(link => link.href),
  };
})
"""


async def capture(page: life.Page, action: reading.Links) -> answer.Answer:
    """The absolute addresses in the envelope."""
    wishes = orjson.dumps([action.visible_links_only, action.exclude_external_links]).decode()
    found = await page.evaluate(f"{_COLLECT.strip()}(...{wishes})")
    return answer.json(found["links"], page=page, title=found["title"])
