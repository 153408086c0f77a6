"""Chromium's network errors to the wire's codes (api.md §6). Pure."""

import urllib.parse
from collections.abc import Callable
from typing import Final

from browserpool.model import errors

Code = errors.Code

UPSTREAM_STATUS: Final = "net::ERR_HTTP_RESPONSE_CODE_FAILURE"
"""An error status with an empty body: to Chromium an error, to us an answer of the page's server like any other."""
ABORTED: Final = "net::ERR_ABORTED"

_EXACT: Final = {
    "ERR_EMPTY_RESPONSE": Code.EMPTY_RESPONSE,
    "ERR_TOO_MANY_REDIRECTS": Code.REDIRECTS,
    "ERR_CONNECTION_REFUSED": Code.REFUSED,
    "ERR_CONNECTION_CLOSED": Code.CONNECTION_CLOSED,
    "ERR_CONNECTION_RESET": Code.CONNECTION_CLOSED,
    "ERR_CONNECTION_ABORTED": Code.CONNECTION_CLOSED,
    "ERR_CONTENT_LENGTH_MISMATCH": Code.CONNECTION_CLOSED,
    "ERR_INCOMPLETE_CHUNKED_ENCODING": Code.CONNECTION_CLOSED,
    "ERR_SOCKET_NOT_CONNECTED": Code.CONNECTION_CLOSED,
    "ERR_ABORTED": Code.ABORTED,
    "ERR_TIMED_OUT": Code.ABORTED,
    "ERR_CONNECTION_TIMED_OUT": Code.ABORTED,
    "ERR_HTTP_RESPONSE_CODE_FAILURE": Code.EMPTY_HTTP_ERROR,
    "ERR_ADDRESS_UNREACHABLE": Code.UNREACHABLE,
    "ERR_INTERNET_DISCONNECTED": Code.UNREACHABLE,
    "ERR_NETWORK_CHANGED": Code.UNREACHABLE,
    "ERR_NETWORK_ACCESS_DENIED": Code.INVALID_ADDRESS,
    "ERR_CONNECTION_FAILED": Code.UNREACHABLE,
    "ERR_ADDRESS_INVALID": Code.INVALID_ADDRESS,
    "ERR_INVALID_URL": Code.INVALID_ADDRESS,
    "ERR_UNSAFE_PORT": Code.INVALID_ADDRESS,
    "ERR_UNSAFE_REDIRECT": Code.INVALID_ADDRESS,
    "ERR_UNKNOWN_URL_SCHEME": Code.INVALID_ADDRESS,
    "ERR_DISALLOWED_URL_SCHEME": Code.INVALID_ADDRESS,
    "ERR_ACCESS_DENIED": Code.INVALID_ADDRESS,
}
_FAMILIES: Final = (
    ("ERR_CERT_", Code.CERTIFICATE),
    ("ERR_SSL_", Code.CERTIFICATE),
    ("ERR_BAD_SSL_", Code.CERTIFICATE),
    ("ERR_HTTP2_", Code.HTTP2),
    ("ERR_SPDY_", Code.HTTP2),
    ("ERR_NAME_", Code.DNS),
    ("ERR_DNS_", Code.DNS),
    ("ERR_BLOCKED_BY_", Code.INVALID_ADDRESS),
    ("ERR_INVALID_REDIRECT", Code.REDIRECTS),
)

Notes = Callable[[str, int], errors.BrowserpoolError | None]
"""The egress guard's note on a host and port."""


def navigation(error_text: str, *, url: str, notes: Notes) -> errors.BrowserpoolError:
    """Why ``url`` (the last one of a chain of redirects) could not be loaded.

    Behind the egress guard a refused connection is a failed proxy to Chromium, so the guard's note, if there is one, says it better.
    """
    name = error_text.removeprefix("net::")
    if name.startswith(("ERR_SOCKS_", "ERR_PROXY_", "ERR_TUNNEL_")) and (noted := _noted(url, notes)) is not None:
        return noted
    return errors.PageFailed(f"{url} could not be loaded: {error_text}", code=code(name))


def code(name: str) -> errors.Code:
    """The wire's code of ``ERR_…``."""
    if name in _EXACT:
        return _EXACT[name]
    return next((found for prefix, found in _FAMILIES if name.startswith(prefix)), Code.NETWORK)


def _noted(url: str, notes: Notes) -> errors.BrowserpoolError | None:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    return notes(parts.hostname or "", port)
