"""What a sitemap lists: pages, or further sitemaps. XML, RSS and Atom feeds aside, or plain text; packed or not. Pure.

A sitemap is a stranger's XML: it is read by a parser that knows no entities and no DTD, and unpacked to a bounded size only.
"""

import dataclasses
import datetime
import io
import zlib
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as ET

import defusedxml
from defusedxml import ElementTree

MAX_BYTES: Final = 10 * 1024 * 1024
"""As it comes over the wire."""
MAX_UNPACKED: Final = 50 * 1024 * 1024
"""The protocol's own limit."""
MAX_URLS: Final = 50_000
"""The protocol's own limit, too."""
MAX_DEPTH: Final = 3
"""Indexes of indexes."""
YEARS: Final = range(1970, 9001)
"""In which a page can have been modified. What lies further off is no time, and some of it neither Postgres nor Python can hold."""
_PACKED: Final = b"\x1f\x8b"


class Unreadable(Exception):
    """It is no sitemap. The message says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sitemap:
    """``pages`` with the time of their last change, if it is told; ``maps``: an index lists these."""

    pages: tuple[tuple[str, datetime.datetime | None], ...] = ()
    maps: tuple[str, ...] = ()


def read(content: bytes) -> Sitemap:
    """Read a sitemap, or an index of some.

    Raises:
        Unreadable: it is none, or is larger than allowed.
    """
    text = unpacked(content)
    head = text.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if head != b"<":
        return Sitemap(pages=tuple(_lines(text)))
    pages: list[tuple[str, datetime.datetime | None]] = []
    maps: list[str] = []
    try:
        for kind, location, modified in _entries(text):
            if kind == "sitemap":
                maps.append(location)
            else:
                pages.append((location, _time(modified)))
            if len(pages) + len(maps) >= MAX_URLS:
                break
    except (ET.ParseError, defusedxml.DefusedXmlException, ValueError) as error:
        # What was read before the break is as good as it would be otherwise.
        if not pages and not maps:
            raise Unreadable(f"It is no sitemap: {error}") from error
    return Sitemap(pages=tuple(pages), maps=tuple(maps))


def unpacked(content: bytes) -> bytes:
    """``content``, without gzip.

    Raises:
        Unreadable: it is broken, or too large.
    """
    if not content.startswith(_PACKED):
        return content
    unpack = zlib.decompressobj(wbits=31)
    try:
        text = unpack.decompress(content, MAX_UNPACKED)
    except zlib.error as error:
        raise Unreadable(f"It cannot be unpacked: {error}") from error
    if unpack.unconsumed_tail:
        raise Unreadable(f"It has more than {MAX_UNPACKED // 1024**2} MB when unpacked.")
    return text


def _entries(text: bytes) -> Iterator[tuple[str, str, str | None]]:
    """Kind (``url`` or ``sitemap``), location and time of each entry. Elements are let go as they are read."""
    events = ElementTree.iterparse(
        io.BytesIO(text), events=("end",), forbid_dtd=True, forbid_entities=True, forbid_external=True
    )
    for _, element in events:
        kind = _name(element.tag)
        if kind not in ("url", "sitemap"):
            continue
        said = {_name(child.tag): (child.text or "").strip() for child in element}
        element.clear()
        if location := said.get("loc"):
            yield kind, location, said.get("lastmod")


def _name(tag: str) -> str:
    return tag.rpartition("}")[2].lower()


def _lines(text: bytes) -> Iterator[tuple[str, None]]:
    for number, line in enumerate(text.decode(errors="replace").splitlines()):
        if number >= MAX_URLS:
            return
        if line.strip().startswith(("http://", "https://")):
            yield line.strip(), None


def _time(text: str | None) -> datetime.datetime | None:
    """A W3C date; without a zone it is taken for UTC, and without a time for the end of its day: better crawled once too often."""
    if not text:
        return None
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if "T" not in text and len(text) <= len("2026-01-01"):
        found = found.replace(hour=23, minute=59, second=59)
    return utc(found)


def utc(found: datetime.datetime) -> datetime.datetime | None:
    """``found`` in UTC, for which it is taken without a zone; ``None``: it is not within ``YEARS``."""
    aware = found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)
    try:
        moved = aware.astimezone(datetime.UTC)
    except OverflowError:
        return None
    return moved if moved.year in YEARS else None
