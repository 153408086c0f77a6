"""Which headers go on to the router, and which come back. Pure.

What belongs to one connection stays on it (RFC 9110, 7.6.1). What the client says of itself is never replaced: its own token, node, pool.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

import multidict

from browserpool.lib import web
from browserpool.model import agentapi
from browserpool.router import bearer

Headers = multidict.CIMultiDict[str]

HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "host", "expect"}
)
OURS: Final = "x-browserpool-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What the sidecar adds where the client says nothing. ``base``: the ``http://host:port`` that the client calls it by."""

    token: str | None
    node: str | None
    pool: str | None
    base: str


def onward(headers: multidict.CIMultiDictProxy[str], *, query: Mapping[str, str], own: Own) -> Headers:
    """A request's headers, as the router is to see them."""
    passed = end_to_end(headers)
    token = bearer.said(headers=headers, query=query) or own.token
    if token is not None and ("Authorization" not in passed or bearer.said(headers=headers, query={}) is not None):
        passed["Authorization"] = f"Bearer {token}"
    for wish, value in (("Node", own.node), ("Pool", own.pool)):
        if value is not None and wish.lower() not in query:
            passed.setdefault(f"X-Browserpool-{wish}", value)
    passed[agentapi.BASE] = own.base
    return passed


def without_body(headers: Headers) -> Headers:
    """The same for a request of our own in the client's name, which has no body and opens no WebSocket."""
    dropped = ("content-", "sec-websocket-")
    return Headers((name, value) for name, value in headers.items() if not name.lower().startswith(dropped))


def end_to_end(headers: Mapping[str, str]) -> Headers:
    """What is not of one connection alone."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    left_out = HOP_BY_HOP | named
    return Headers((name, web.sendable(value)) for name, value in headers.items() if name.lower() not in left_out)


def of_the_browser(headers: Mapping[str, str]) -> dict[str, str]:
    """What the router's answer says of the browser: which it is, and where."""
    return {name: value for name, value in headers.items() if name.lower().startswith(OURS)}
