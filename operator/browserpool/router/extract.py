"""``json``: the page as a browser's agent has it, read by a language model. What goes to the agent, and what comes back from it (pure).

The browser is given back before a model is asked: a model takes seconds, and none of them need a browser.
"""

import dataclasses
from typing import Any, Final

import orjson

from browserpool.model import errors
from browserpool.model.wire import envelope, extract
from browserpool.router.ai import asking

AT_AGENT: Final = "markdown"
"""The action that a page is read by."""
MAX_PAGE: Final = 32 * 1024 * 1024
"""Bytes of what the agent answers."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A page, and the ``meta`` that goes back with what was read out of it."""

    page: asking.Page
    meta: dict[str, Any]


def body(sent: bytes) -> bytes:
    """What the agent is asked: the caller's body without what is for the model, and so without his keys."""
    said = orjson.loads(sent)
    return orjson.dumps({name: part for name, part in said.items() if name not in extract.OWN_FIELDS})


def read(answer: bytes, *, most: int) -> Read:
    """The page in the agent's answer, ``most`` characters of it."""
    said = orjson.loads(answer)
    meta = said.get("meta") or {}
    page = asking.bounded(said["result"], most=most, title=str(meta.get("title", "")))
    return Read(page=page, meta=meta)


def too_large(size: int) -> errors.PageFailed:
    """The page's text is more than is looked at."""
    return errors.PageFailed(
        f"The page's text has {size} bytes; the most for json is {MAX_PAGE}.", code=errors.Code.CAPTURE_FAILED
    )


def answer(value: object, done: Read) -> bytes:
    """The envelope of what a model has read out of the page; says so if it has not seen all of it."""
    page, notes = done.page, []
    if page.cut:
        text = f"The page has {page.cut} characters; the model was shown the first {len(page.text)}."
        notes.append({"code": int(errors.Code.TOO_LARGE), "message": text})
    return orjson.dumps(envelope.success(value, meta=done.meta, messages=notes))
