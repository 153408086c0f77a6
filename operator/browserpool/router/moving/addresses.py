"""The addresses of an upstream, from the one in the pool's spec. Pure."""

import urllib.parse
from collections.abc import Mapping
from typing import Final

from browserpool.model import errors
from browserpool.router import target

OURS: Final = frozenset({*target.PLACES, "token"})
"""Query parameters that mean something to this installation only."""
_WEBSOCKETS: Final = {"http": "ws", "https": "wss"}
_PLAIN: Final = {"ws": "http", "wss": "https"}


def action(url: str, name: str, *, query: Mapping[str, str]) -> str:
    """Where a quick action is posted: below the upstream's path; the query that the spec has comes first."""
    return _below(url, name, query=query, schemes=_PLAIN)


def launch(url: str, *, query: Mapping[str, str]) -> str:
    """Where browserless' browsers are launched by connecting."""
    return _below(url, "", query=query, schemes=_WEBSOCKETS)


def sessions(url: str, *, query: Mapping[str, str]) -> str:
    """Where sessions of Cloudflare's API are made."""
    return _below(url, "devtools/browser", query=query, schemes=_PLAIN)


def session(url: str, session_id: str) -> str:
    """Where one of them is ended."""
    return _below(url, f"devtools/browser/{_quoted(session_id)}", query={}, schemes=_PLAIN)


def connection(url: str, session_id: str) -> str:
    """Where one of them is connected to."""
    return _below(url, f"devtools/browser/{_quoted(session_id)}", query={}, schemes=_WEBSOCKETS)


def _quoted(session_id: str) -> str:
    return urllib.parse.quote(session_id, safe="")


def version(url: str) -> str | None:
    """Where Chrome says its WebSocket's address; ``None``: ``url`` is that address."""
    return None if url.startswith("ws") else _below(url, "json/version", query={}, schemes=_PLAIN)


def browser(url: str, said: str) -> str:
    """The WebSocket's address that Chrome has ``said``, which takes its own host for everybody's: at the host that ``url`` names.

    Raises:
        errors.UpstreamFailed: it is none.
    """
    try:
        asked, answered = urllib.parse.urlsplit(url), urllib.parse.urlsplit(said)
    except ValueError as error:
        raise errors.UpstreamFailed(
            f"The upstream's WebSocket is at no address ({said[:60]!r}): see its kind."
        ) from error
    scheme = _WEBSOCKETS.get(asked.scheme, asked.scheme)
    return urllib.parse.urlunsplit((scheme, asked.netloc, answered.path, answered.query, ""))


def shown(url: str) -> str:
    """The address for messages: without what may be a credential."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def passed_on(query: Mapping[str, str], *, only: frozenset[str] | None = None) -> dict[str, str]:
    """What of a request's query an upstream is told."""
    return {name: text for name, text in query.items() if name not in OURS and (only is None or name in only)}


def _below(url: str, path: str, *, query: Mapping[str, str], schemes: Mapping[str, str]) -> str:
    parts = urllib.parse.urlsplit(url)
    own = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    whole = f"{parts.path.rstrip('/')}/{path}"
    return urllib.parse.urlunsplit(
        (
            schemes.get(parts.scheme, parts.scheme),
            parts.netloc,
            whole,
            urllib.parse.urlencode({**query, **own}),
            "",
        )
    )
