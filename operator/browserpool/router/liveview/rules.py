"""Which CDP messages a viewer may send, and which of them count as use of the session. Pure.

A read-only view lets through what shows the page and changes nothing of it: an allowlist, because nobody knows what a future Chromium
understands. A session is in use when somebody acts on it; merely to look at it does not keep it.
"""

from typing import Any, Final

import orjson

from browserpool.router import bridge

LOOKING: Final = frozenset(
    {
        "Cloudflare.getHandoffState",
        "Cloudflare.getSessionId",
        "Page.enable",
        "Page.getNavigationHistory",
        "Page.screencastFrameAck",
        "Page.startScreencast",
        "Page.stopScreencast",
        "Target.attachToTarget",
        "Target.detachFromTarget",
        "Target.getTargets",
        "Target.setDiscoverTargets",
    }
)
"""What shows, and changes nothing."""

_SERVER_ERROR: Final = -32000
_LARGEST: Final = 64 * 1024
"""Bytes. What only looks is short."""


def screened(frame: bytes) -> bridge.Screened:
    """What becomes of a read-only viewer's ``frame``: it goes on, or an error comes back.

    It goes on as it was understood here, written anew: Chromium must not read another message in the same bytes.
    """
    message = _read(frame)
    if message is not None and _method(message) in LOOKING and _is_flat(message):
        return bridge.Screened(onward=orjson.dumps(message))
    method = _method(message or {})[:80]
    said: dict[str, Any] = {
        "id": (message or {}).get("id"),
        "error": {"code": _SERVER_ERROR, "message": f"This live view is read-only: {method} is not let through."},
    }
    if message is not None and "sessionId" in message:
        said["sessionId"] = message["sessionId"]
    return bridge.Screened(back=orjson.dumps(said))


def is_use(frame: bytes) -> bool:
    """Whether whoever sends ``frame`` does something, and does not merely look."""
    message = _read(frame)
    return message is None or _method(message) not in LOOKING


def _method(message: dict[str, Any]) -> str:
    method = message.get("method")
    return method if isinstance(method, str) else ""


def _is_flat(message: dict[str, Any]) -> bool:
    """Not the nested form of old clients, whose inner messages would pass unread."""
    if message["method"] != "Target.attachToTarget":
        return True
    params = message.get("params")
    return isinstance(params, dict) and params.get("flatten") is True


def _read(frame: bytes) -> dict[str, Any] | None:
    if len(frame) > _LARGEST:
        return None
    try:
        message = orjson.loads(frame)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
