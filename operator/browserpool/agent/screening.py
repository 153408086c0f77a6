"""Which CDP messages a client may not send: those that lead around the egress guard or out of the bridge. Pure.

A CDP client rules over its browser, but not over what stands around it. A browser context with a proxy of its own would reach what
pages may not (loopback, metadata, private addresses); ``Target.exposeDevToolsProtocol`` would let a page send what is refused here;
``file:`` addresses and paths are this machine's files, and the next caller's agent reads its own from there. So files are downloaded
to the session's own directory, whichever a client names, and a page is given none but those.

A message is judged as Chromium would read it, so that escapes in its JSON hide nothing; the nested form of old clients
(``Target.sendMessageToTarget``) is judged inside too.
"""

import dataclasses
import json
import posixpath
from typing import Any, Final

import orjson

_SERVER_ERROR: Final = -32000
_PARSE_ERROR: Final = -32700
_NAVIGATIONS: Final = frozenset({"Page.navigate", "Target.createTarget", "Network.loadNetworkResource"})
_DOWNLOADS: Final = frozenset({"Browser.setDownloadBehavior", "Page.setDownloadBehavior"})
_CONTEXT_PROXY: Final = ("proxyServer", "proxyBypassList")
_TRIMMED: Final = "".join(map(chr, range(0x21)))
"""More than Python calls blank."""
_NESTED: Final = "Target.sendMessageToTarget"
_DEEPEST: Final = 8
"""Messages inside messages; nobody nests more than one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """``frame`` is to be passed on, unless there is a ``refusal``: the error that the client gets instead."""

    frame: bytes
    refusal: bytes | None = None


class _Refused(Exception):
    """The message may not be sent; the text says why, and how to do without."""


def judge(frame: bytes, *, downloads: str) -> Judged:
    """What becomes of a client's ``frame``; ``downloads`` is the directory of its session's files."""
    try:
        message = _read(frame)
    except ValueError as error:
        # Not left to Chromium, whose reading of it might differ: it knows comments, for one.
        return Judged(frame=frame, refusal=orjson.dumps({"error": {"code": _PARSE_ERROR, "message": f"JSON: {error}"}}))
    if message is None:
        return Judged(frame=frame)
    try:
        passed = _passed(message, downloads=downloads, depth=0)
    except _Refused as refused:
        said: dict[str, Any] = {"id": message.get("id"), "error": {"code": _SERVER_ERROR, "message": str(refused)}}
        if "sessionId" in message:
            said["sessionId"] = message["sessionId"]
        return Judged(frame=frame, refusal=orjson.dumps(said))
    return Judged(frame=frame if passed is message else json.dumps(passed).encode())


def is_local_file(url: object) -> bool:
    """Whether a navigation to ``url`` would read this machine's files."""
    # Chromium drops these characters wherever they stand in a URL, and all controls and blanks around it.
    text = str(url).translate({ord(mark): None for mark in "\t\r\n"}).strip(_TRIMMED).lower()
    while text.startswith("view-source:"):
        text = text.removeprefix("view-source:").strip(_TRIMMED)
    return text.startswith(("file:", "filesystem:file:"))


def _read(frame: bytes | str) -> dict[str, Any] | None:
    """The message; ``None`` if it is none.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        message = orjson.loads(frame)
    except ValueError:
        try:
            message = json.loads(frame)  # takes halves of characters, as Chromium does
        except RecursionError as error:
            raise ValueError("nested too deep") from error
    return message if isinstance(message, dict) else None


def _passed(message: dict[str, Any], *, downloads: str, depth: int) -> dict[str, Any]:
    """The message as Chromium is to get it: itself, or another with what had to be changed.

    Raises:
        _Refused: it may not be sent.
    """
    method, params = message.get("method"), message.get("params")
    if method == "Target.exposeDevToolsProtocol":
        raise _Refused("browserpool does not let pages speak CDP (Target.exposeDevToolsProtocol).")
    if not isinstance(params, dict):
        return message
    if method == "Target.createBrowserContext" and any(params.get(name) for name in _CONTEXT_PROXY):
        raise _Refused(
            "browserpool does not let a context have a proxy of its own: pages leave through the egress guard. Leave the proxy out."
        )
    if method in _NAVIGATIONS and is_local_file(params.get("url", "")):
        raise _Refused(
            "browserpool does not open file: addresses; serve the file over HTTP, or use Page.setDocumentContent."
        )
    if method in _DOWNLOADS and "downloadPath" in params:
        return message | {"params": params | {"downloadPath": downloads}}
    if not all(_is_inside(file, downloads) for file in _files(method, params)):
        raise _Refused(
            "browserpool does not give pages the files of the browser's machine, which are not yours. Send a file's content instead: "
            "playwright's setInputFiles does; elsewhere make a File in the page, and set the input's files by a DataTransfer."
        )
    if method == _NESTED:
        return _passed_nested(message, params, downloads=downloads, depth=depth)
    return message


def _files(method: object, params: dict[str, Any]) -> list[object]:
    """The paths that a message names."""
    if method == "DOM.setFileInputFiles":
        files = params.get("files")
    elif method == "Input.dispatchDragEvent" and isinstance(params.get("data"), dict):
        files = params["data"].get("files")
    else:
        return []
    return files if isinstance(files, list) else []


def _is_inside(file: object, directory: str) -> bool:
    return isinstance(file, str) and posixpath.normpath(file).startswith(directory + "/")


def _passed_nested(message: dict[str, Any], params: dict[str, Any], *, downloads: str, depth: int) -> dict[str, Any]:
    if depth >= _DEEPEST:
        raise _Refused("browserpool does not pass on messages nested this deep.")
    text = params.get("message")
    try:
        inner = _read(text) if isinstance(text, str) else None
    except ValueError as error:
        raise _Refused(f"browserpool does not pass on a nested message that is not JSON: {error}") from error
    if inner is None:
        return message
    passed = _passed(inner, downloads=downloads, depth=depth + 1)
    return message if passed is inner else message | {"params": params | {"message": json.dumps(passed)}}
