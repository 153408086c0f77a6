"""What goes back from a quick action."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import orjson

from browserpool.agent.page import life
from browserpool.model.wire import envelope

MAX_BYTES: Final = 256 * 1024 * 1024
"""An answer is held in memory, twice for a moment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, whole."""

    content_type: str
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def json(result: object, *, page: life.Page, title: str) -> Answer:
    """A result in the wire's envelope, with ``meta``. A page without a status (from ``html``) counts as 200."""
    body: dict[str, Any] = envelope.success(result, meta={"status": page.status or 200, "title": title})
    return Answer(content_type="application/json", body=orjson.dumps(body))
