"""``content``: the document as it is now, its doctype included."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Self

from browserpool.agent.actions import answer
from browserpool.agent.page import life
from browserpool.model.wire import reading

SERIALISE: Final = """
(() => ({
  title: document.title,
  base: document.baseURI,
  html: Array.from(document.childNodes, node =>
    node === document.documentElement ? node.outerHTML : new XMLSerializer().serializeToString(node)).join(''),
}))()
"""
"""The script of a ``Document``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as text. ``base`` is what its relative addresses are relative to."""

    html: str
    title: str
    base: str

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """What ``SERIALISE`` gave."""
        return cls(html=found["html"], title=found["title"], base=found["base"])


async def read(page: life.Page) -> Document:
    """The document as it is now."""
    return Document.of(await page.evaluate(SERIALISE.strip()))


async def capture(page: life.Page, _: reading.Content) -> answer.Answer:
    """The HTML in the envelope."""
    document = await read(page)
    return answer.json(document.html, page=page, title=document.title)
