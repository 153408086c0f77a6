"""Errors by their status: when they happen, which codes they carry, what they say about trying again."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from browserpool.model import errors
from browserpool.model.wire import envelope


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One status: its name among the document's components, what is said of it, ``errors[].code``, its headers."""

    name: str
    text: str
    codes: tuple[errors.Code, ...]
    headers: tuple[str, ...] = ()


_WAIT: Final = ("Retry-After", envelope.LONG_WAIT)
_NEVER: Final = (envelope.NO_RETRY,)
_PAGES: Final = tuple(code for code in errors.Code if 5000 <= code < 7000 and code is not errors.Code.EMPTY_HTTP_ERROR)
"""Without what would be an error to Chromium, and is an empty page to all who ask (``agent.page.failures``)."""

STATUSES: Final = {
    400: Status(
        name="BadRequest",
        text="The request cannot be understood; the message names the field, and says how to mend it.",
        codes=(errors.Code.BAD_REQUEST,),
    ),
    401: Status(
        name="Unauthorized",
        text="No token, or one that nobody gave out.",
        codes=(errors.Code.UNAUTHORIZED,),
    ),
    403: Status(
        name="Forbidden",
        text="A good token, for something else.",
        codes=(errors.Code.FORBIDDEN,),
    ),
    404: Status(
        name="NotFound",
        text="No such pool, session, page or job, as far as this token is concerned.",
        codes=(errors.Code.NOT_FOUND,),
    ),
    409: Status(
        name="Conflict",
        text="Somebody else was there first.",
        codes=(errors.Code.BAD_REQUEST, errors.Code.CONTEXT_LOST),
        headers=_NEVER,
    ),
    410: Status(
        name="Gone",
        text="The session has ended; its browser serves somebody else.",
        codes=(errors.Code.NOT_FOUND,),
    ),
    413: Status(
        name="TooLarge",
        text="The body is over the limit.",
        codes=(errors.Code.TOO_LARGE,),
    ),
    422: Status(
        name="PageFailed",
        text="The page failed, timed out or crashed, or a language model gave nothing of use. Asking again would end the same way.",
        codes=(*_PAGES, errors.Code.MODEL_FAILED),
        headers=_NEVER,
    ),
    426: Status(
        name="NoWebSocket",
        text="The request opens no WebSocket.",
        codes=(errors.Code.BAD_REQUEST,),
    ),
    429: Status(
        name="TooMany",
        text="Over the token's rate, concurrency or browser time, or as many wait for a browser as may.",
        codes=(errors.Code.TOO_MANY,),
        headers=_WAIT,
    ),
    500: Status(
        name="Internal",
        text="A fault of this installation; its log says which.",
        codes=(errors.Code.INTERNAL,),
    ),
    501: Status(
        name="NotSetUp",
        text="This installation is not set up for that, and the message says how it would be; or it is left out on purpose.",
        codes=(errors.Code.NOT_CONFIGURED, errors.Code.BAD_REQUEST),
        headers=_NEVER,
    ),
    502: Status(
        name="BrowserLost",
        text="The browser went away under the request. Another one may serve it.",
        codes=(errors.Code.CONTEXT_LOST,),
        headers=_WAIT,
    ),
    503: Status(
        name="NoBrowser",
        text="No browser became free in time, or this router cannot serve for a moment.",
        codes=(errors.Code.NO_BROWSER, errors.Code.INTERNAL, errors.Code.MODEL_FAILED),
        headers=_WAIT,
    ),
}

OF_DOORS: Final = {
    "public": frozenset({500}),
    "token": frozenset({401, 500, 503}),
    "agent": frozenset({401, 500}),
    "link": frozenset({401, 500}),
}
"""What each door answers by itself."""


def said(codes: Iterable[int]) -> Iterator[str]:
    """Codes in words: ``5005 dns``."""
    for code in codes:
        yield f"{int(code)} {errors.Code(code).name.lower().replace('_', ' ')}"
