"""``content``: the document as it is now, its doctype included."""

from typing import Final

from browserpool.agent.actions import answer
from browserpool.agent.page import life
from browserpool.model.wire import actions

_SERIALISE: Final = """
(() => ({
  title: document.title,
  html: Array.from(document.childNodes, node =>
    node === document.documentElement ? node.outerHTML : new XMLSerializer().serializeToString(node)).join(''),
}))()
"""


async def capture(page: life.Page, _: actions.Content) -> answer.Answer:
    """The HTML in the envelope."""
    document = await page.evaluate(_SERIALISE.strip())
    return answer.json(document["html"], page=page, title=document["title"])
