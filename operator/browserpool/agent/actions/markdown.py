"""``markdown``: the document as Markdown, with what its head says of it as front matter."""

import asyncio

from browserpool.agent.actions import answer, content
from browserpool.agent.page import life
from browserpool.model.wire import reading


async def capture(page: life.Page, _: reading.Markdown) -> answer.Answer:
    """The Markdown in the envelope."""
    document = await content.read(page)
    return answer.json(await convert(document), page=page, title=document.title)


async def convert(document: content.Document) -> str:
    """``document`` as Markdown; in a thread, since a large one takes a second and the browser's heartbeats must go on."""
    return await asyncio.to_thread(_converted, document)


def _converted(document: content.Document) -> str:
    # Imported by whoever first asks for Markdown: 30 ms that the start of every agent would pay.
    import html_to_markdown as library

    base = document.base if document.base.startswith(("http://", "https://")) else None
    options = library.ConversionOptions(
        # Left to itself it would drop menus and forms; which parts of a page matter is for the reader to say.
        preprocessing=library.PreprocessingOptions(enabled=False),
        base_url=base,
        # Columns in line are for eyes; most who ask for Markdown pay by the character.
        compact_tables=True,
    )
    return library.convert(document.html, options).content or ""
