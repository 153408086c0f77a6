"""``crawl-visit``: a page as a crawl wants it, read in one moment: the document, its Markdown, where it leads, where it lies."""

from typing import Any, Final

from browserpool.agent.actions import answer, content, markdown
from browserpool.agent.page import life
from browserpool.model.wire import crawl

MAX_LINKS: Final = 10_000
_VISIT: Final = f"""
(() => ({{
  document: {content.SERIALISE.strip()},
  url: location.href,
  links: Array.from(document.links).slice(0, {MAX_LINKS}).map(link => link.href),
}}))()
"""


async def capture(page: life.Page, action: crawl.Visit) -> answer.Answer:
    """All of it in the envelope."""
    found = await page.evaluate(_VISIT.strip())
    document = content.Document.of(found["document"])
    result: dict[str, Any] = {
        "status": page.status or 200,
        "url": found["url"],
        "title": document.title,
        "html": document.html,
        "links": found["links"],
    }
    if action.markdown:
        result["markdown"] = await markdown.convert(document)
    return answer.json(result, page=page, title=document.title)
