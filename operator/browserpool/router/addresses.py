"""The addresses that this router gives out, and Chrome's rewritten to them. Pure."""

import re
import urllib.parse
from typing import Any, Final

CLOUDFLARE: Final = (
    "/client/v4/accounts/{account}/browser-rendering",
    "/client/v4/accounts/{account}/browser-run",
)
"""The official SDKs' addresses, older and newer. Any account will do: the token says who asks."""

_CHROME: Final = re.compile(r"wss?://[^/\s\"]+/devtools/(?P<kind>browser|page|worker|[a-z_]+)/(?P<id>[A-Za-z0-9._-]+)")
_FRONTEND_WS: Final = re.compile(r"(?P<how>[?&]wss?=)[^/&\"]+/devtools/(?P<kind>[a-z_]+)/(?P<id>[A-Za-z0-9._-]+)")


def base(*, scheme: str, host: str, path: str, public_url: str | None) -> str:
    """``ws://host/prefix`` under which the request's /devtools lives: clients go on under the prefix that they came by."""
    prefix = path.partition("/devtools/")[0] if "/devtools/" in path else ""
    return websocket(f"{scheme}://{host}" if public_url is None else public_url.rstrip("/")) + prefix


def said_base(text: str | None) -> str | None:
    """What a request says that its sender is called (``agentapi.BASE``), if that can be an address."""
    return text if text is not None and re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+", text) else None


def origin(*, scheme: str, host: str, said: str | None, public_url: str | None) -> str:
    """``http://host:port`` by which the client calls this router; ``said``: by which he calls whoever asks for him."""
    return public_url.rstrip("/") if public_url is not None else said_base(said) or f"{scheme}://{host}"


def websocket(origin_: str) -> str:
    """The same origin for WebSockets."""
    return re.sub(r"^http", "ws", origin_)


def suffix(token: str | None) -> str:
    """What to append so that a client that said its token in the query need not say it again."""
    return "" if token is None else "?" + urllib.parse.urlencode({"token": token})


def browser(base_: str, session_id: str, *, suffix_: str = "") -> str:
    """The session's own WebSocket."""
    return f"{base_}/devtools/browser/{session_id}{suffix_}"


def page(base_: str, session_id: str, target: str, *, suffix_: str = "") -> str:
    """One page's WebSocket."""
    return f"{base_}/devtools/browser/{session_id}/page/{target}{suffix_}"


def rewritten(value: Any, *, base_: str, session_id: str, suffix_: str = "") -> Any:
    """Chrome's answer with each WebSocket address in it made this router's."""
    if isinstance(value, dict):
        return {
            key: rewritten(part, base_=base_, session_id=session_id, suffix_=suffix_) for key, part in value.items()
        }
    if isinstance(value, list):
        return [rewritten(part, base_=base_, session_id=session_id, suffix_=suffix_) for part in value]
    if not isinstance(value, str) or "/devtools/" not in value:
        return value

    def address(found: "re.Match[str]") -> str:
        if found["kind"] == "browser":
            return browser(base_, session_id, suffix_=suffix_)
        return page(base_, session_id, found["id"], suffix_=suffix_)

    def in_query(found: "re.Match[str]") -> str:
        scheme, _, rest = address(found).partition("://")
        return f"{found['how'][0]}{scheme}={urllib.parse.quote(rest, safe='/:')}"

    return _FRONTEND_WS.sub(in_query, _CHROME.sub(address, value))
