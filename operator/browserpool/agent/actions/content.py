"""``content``: the document as it is now, its doctype included."""

import dataclasses
from typing import Final

from browserpool.agent.actions import answer
from browserpool.agent.page import life
from browserpool.model.wire import reading

_SERIALISE: Final = """
(() => ({
  title: document.title,
  base: document.baseURI,
  html: Array.from(document.childNodes, node =>
    node === document.documentElement ? node.outerHTML : new XMLSerializer().serializeToString(node)).join(''),
}))()
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as text. ``base`` is what its relative addresses are relative to."""

    html: str
    title: str
    base: str


async def read(page: life.Page) -> Document:
    """The document as it is now."""
    found = await page.evaluate(_SERIALISE.strip())
    return Document(html=found["html"], title=found["title"], base=found["base"])


async def capture(page: life.Page, _: reading.Content) -> answer.Answer:
    """The HTML in the envelope."""
    document = await read(page)
    return answer.json(document.html, page=page, title=document.title)
