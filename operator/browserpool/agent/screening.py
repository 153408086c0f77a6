"""Which CDP messages a client may not send: those that lead around the egress guard or out of the bridge. Pure.

A CDP client rules over its browser, but not over what stands around it. A browser context with a proxy of its own would reach what
pages may not (loopback, metadata, private addresses); ``Target.exposeDevToolsProtocol`` would let a page send what is refused here;
``file:`` addresses are this machine's files, and the next caller's agent reads its own from there.

A message is judged as Chromium would read it, so that escapes in its JSON hide nothing; the nested form of old clients
(``Target.sendMessageToTarget``) is judged inside too.
"""

from typing import Any, Final

import orjson

_SERVER_ERROR: Final = -32000
_NAVIGATIONS: Final = frozenset({"Page.navigate", "Target.createTarget", "Network.loadNetworkResource"})
_CONTEXT_PROXY: Final = ("proxyServer", "proxyBypassList")
_DEEPEST: Final = 8
"""Messages inside messages; nobody nests more than one."""


def answer(frame: bytes) -> bytes | None:
    """The error that a client gets for ``frame`` instead of its being passed on; ``None``: pass it on."""
    message = _read(frame)
    reason = None if message is None else _reason(message, depth=0)
    if message is None or reason is None:
        return None
    said: dict[str, Any] = {"id": message.get("id"), "error": {"code": _SERVER_ERROR, "message": reason}}
    if "sessionId" in message:
        said["sessionId"] = message["sessionId"]
    return orjson.dumps(said)


def is_local_file(url: object) -> bool:
    """Whether a navigation to ``url`` would read this machine's files."""
    # Chromium drops these characters wherever they stand in a URL, and blanks around it.
    text = str(url).translate({ord(mark): None for mark in "\t\r\n"}).strip().lower()
    while text.startswith("view-source:"):
        text = text.removeprefix("view-source:").lstrip()
    return text.startswith(("file:", "filesystem:file:"))


def _read(frame: bytes | str) -> dict[str, Any] | None:
    try:
        message = orjson.loads(frame)
    except ValueError:
        return None  # Chromium will say what is wrong with it
    return message if isinstance(message, dict) else None


def _reason(message: dict[str, Any], *, depth: int) -> str | None:
    method, params = message.get("method"), message.get("params")
    if method == "Target.exposeDevToolsProtocol":
        return "browserpool does not let pages speak CDP (Target.exposeDevToolsProtocol)."
    if not isinstance(params, dict):
        return None
    if method == "Target.createBrowserContext" and any(params.get(name) for name in _CONTEXT_PROXY):
        return "browserpool does not let a context have a proxy of its own: pages leave through the egress guard. Leave the proxy out."
    if method in _NAVIGATIONS and is_local_file(params.get("url", "")):
        return "browserpool does not open file: addresses; serve the file over HTTP, or use Page.setDocumentContent."
    if method == "Target.sendMessageToTarget":
        return _reason_of_nested(params.get("message"), depth=depth)
    return None


def _reason_of_nested(text: object, *, depth: int) -> str | None:
    if depth >= _DEEPEST:
        return "browserpool does not pass on messages nested this deep."
    inner = _read(text) if isinstance(text, str) else None
    return None if inner is None else _reason(inner, depth=depth + 1)
