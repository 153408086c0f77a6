"""Which quick actions there are, and from bytes to a checked body."""

from collections.abc import Mapping
from typing import Any, Final

import pydantic

from browserpool.model import errors
from browserpool.model.wire import complaints, crawl, extract, objects, pdf, reading, screenshot, shared, snapshot

MAX_BODY: Final = 50 * 1024 * 1024
"""Bytes."""


AT_AGENTS: Final[Mapping[str, type[shared.QuickAction]]] = {
    "accessibilityTree": reading.AccessibilityTree,
    "content": reading.Content,
    "links": reading.Links,
    "markdown": reading.Markdown,
    "pdf": pdf.Pdf,
    "scrape": reading.Scrape,
    "screenshot": screenshot.Screenshot,
    "snapshot": snapshot.Snapshot,
}
"""What a browser's agent does by itself, by the last part of the address."""
ACTIONS: Final[Mapping[str, type[shared.QuickAction]]] = {**AT_AGENTS, "json": extract.Json}
"""All that clients may ask for. What is not among ``AT_AGENTS`` the router makes of one that is."""
INTERNAL: Final[Mapping[str, type[shared.QuickAction]]] = {crawl.VISIT: crawl.Visit}
"""What only routers ask agents for; no client can."""


def parse(action: str, body: bytes, *, cache_ttl: str | None = None) -> shared.QuickAction:
    """The body of ``action``, checked. ``cache_ttl`` is the query's ``cacheTTL``, which wins over the body's.

    Raises:
        errors.NotFound: there is no such action; the message lists those there are.
        errors.TooLarge: more than ``MAX_BODY`` bytes.
        errors.InvalidRequest: the message names each field that is wrong, and how to mend it.
    """
    model = _model(action)
    value = _json(body)
    if cache_ttl is not None:
        value = {**value, "cacheTTL": _seconds(cache_ttl)}
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        raise errors.InvalidRequest(complaints.describe(error, body=model)) from error


def _model(action: str) -> type[shared.QuickAction]:
    try:
        return ACTIONS.get(action) or INTERNAL[action]
    except KeyError:
        known = ", ".join(sorted(ACTIONS))
        raise errors.NotFound(f"there is no quick action {action!r}; there are: {known}") from None


def _json(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        raise errors.TooLarge(
            f"the body has {len(body)} bytes; the most is {MAX_BODY}: load the page by its url instead"
        )
    return objects.read(body)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise errors.InvalidRequest(f"cacheTTL must be a number of seconds (given: {text[:60]!r})") from None
