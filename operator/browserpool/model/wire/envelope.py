"""What goes back: ``{"success": …, "result": …, "errors": […], "messages": […]}``.

Everything under ``/devtools/*`` is bare JSON instead when it succeeds: an envelope there breaks the SDKs.
"""

from typing import Any

import orjson

from browserpool.model import errors

NO_RETRY = "x-should-retry"
"""The SDKs re-send 408, 409, 429 and 5xx unless this header says ``false``."""
LONG_WAIT = "X-Browserpool-Retry-After"
"""Whole seconds, where it takes longer than ``Retry-After`` can say."""
LONGEST = 60
"""Seconds; clients take a longer ``Retry-After`` for none at all, and come back at once."""


def success(result: object, **extra: object) -> dict[str, Any]:
    """The envelope of an answer; ``extra`` stands beside ``result`` (``meta``)."""
    return {"success": True, "result": result, "errors": [], "messages": [], **extra}


def failure(error: errors.BrowserpoolError) -> dict[str, Any]:
    """The envelope of an error."""
    return {
        "success": False,
        "result": None,
        "errors": [{"code": int(error.code), "message": error.message}],
        "messages": [],
        **error.beside,
    }


def message(body: bytes) -> str | None:
    """What the envelope of an error says first; ``None``: the body is no such envelope."""
    try:
        return str(orjson.loads(body)["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return None


def failure_headers(error: errors.BrowserpoolError) -> dict[str, str]:
    """``Retry-After`` within the 1 to 60 s that the SDKs honour, or the word not to retry.

    What takes longer says both, and the true wait under a name of our own: an SDK's two retries would be over long before.
    """
    return {**error.headers, **_retries(error)}


def _retries(error: errors.BrowserpoolError) -> dict[str, str]:
    wait = error.retry_after
    if wait is None:
        return {NO_RETRY: "false"} if error.status in (408, 409, 422, 501) else {}
    if wait > LONGEST:
        return {"Retry-After": str(LONGEST), LONG_WAIT: str(wait), NO_RETRY: "false"}
    return {"Retry-After": str(max(wait, 1))}
