"""A page that no browser has shown: its bytes to text, and what stands in it."""

import asyncio
import codecs
import dataclasses
import re
from typing import Final

_TEXTS: Final = ("text/", "application/json", "application/xml")
_MARKED_UP: Final = frozenset({"text/html", "application/xhtml+xml"})
_DECLARED: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_LOOKED_THROUGH: Final = 1024
"""Bytes in which a page may declare its encoding, as browsers do it."""
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_ENCODINGS: Final = frozenset(
    (
        "big5", "big5hkscs", "cp866", "cp949", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "iso2022_jp", "koi8-r", "koi8-u",
        "mac-cyrillic", "mac-roman", "shift_jis", *(f"cp{n}" for n in (874, *range(1250, 1259))),
        *(f"iso8859-{n}" for n in range(2, 17) if n != 12),
    )
)  # fmt: skip
"""Those of the web, by Python's names."""
MAX_LINKS: Final = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``links`` are absolute, in the document's order, and each as often as it stands there."""

    title: str
    links: tuple[str, ...]
    markdown: str


def text(body: bytes, *, content_type: str, charset: str | None) -> str | None:
    """The text of an answer; ``None``: it has none, by its type."""
    kind = content_type.lower()
    if not (kind.startswith(_TEXTS) or kind.endswith(("+xml", "+json"))):
        return None
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    declared = _DECLARED.search(body[:_LOOKED_THROUGH]) if kind in _MARKED_UP and charset is None else None
    return body.decode(_known(charset or (declared[1].decode() if declared else "utf-8")), errors="replace")


def _known(encoding: str) -> str:
    # What browsers take the first two for. A page that is declared in UTF-16 by ASCII cannot be, and Python knows more than the web does:
    # some of that fails on any text, some makes half characters.
    if encoding.lower() in ("iso-8859-1", "latin-1", "us-ascii"):
        return "windows-1252"
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return "utf-8"
    return name if name in _ENCODINGS else "utf-8"


async def read(content: str, *, url: str, content_type: str) -> Page:
    """What stands in a document from ``url``; in a thread, since a large one takes a second and heartbeats must go on."""
    if content_type not in _MARKED_UP:
        return Page(title="", links=(), markdown=content)
    return await asyncio.to_thread(_read, content, url)


def _read(content: str, url: str) -> Page:
    import html_to_markdown as library

    # The same as of a page that was shown (``actions.markdown``), so that both kinds of crawl give the same.
    options = library.ConversionOptions(
        preprocessing=library.PreprocessingOptions(enabled=False),
        base_url=url,
        compact_tables=True,
        extract_metadata=True,
    )
    made = library.convert(content, options)
    links = tuple(link.href for link in made.metadata.links[:MAX_LINKS])
    return Page(title=made.metadata.document.title or "", links=links, markdown=made.content or "")
