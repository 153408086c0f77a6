"""The document and its page, made once each, when they are first asked for."""

import functools
from collections.abc import Mapping, Sequence

import orjson

from browserpool.router.openapi import about, document, page


class Documentation:
    """What is served of a table."""

    def __init__(self, table: Sequence[document.Line], *, said: Mapping[str, about.About]) -> None:
        self._table = table
        self._said = said

    @functools.cached_property
    def json(self) -> bytes:
        return orjson.dumps(self._document)

    @functools.cached_property
    def html(self) -> page.Page:
        return page.made(self._document)

    @functools.cached_property
    def _document(self) -> document.Json:
        return document.made(self._table, said=self._said)
