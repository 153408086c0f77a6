"""Query parameters and headers that several addresses take, and the headers of answers: each by its name, once."""

from typing import Any, Final

from browserpool.model import agentapi, crawls, live_view
from browserpool.model.wire import crawl, envelope, shared
from browserpool.router import binding, target

Said = dict[str, Any]

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}

_MEANT: Final = {
    "pool": "The pool to take a browser from; required where the token may use several.",
    "region": "The region to take it from; one of the pool's.",
    "zone": "The zone where it is best taken from.",
    "node": "The node where it is best taken from.",
}


def _parameter(where: str, name: str, text: str, schema: Said, **more: Any) -> Said:
    return {"name": name, "in": where, "description": text, "schema": schema, **more}


def _milliseconds(least: int, most: int, default: int | None = None) -> Said:
    return {"type": "number", "minimum": least, "maximum": most, **({} if default is None else {"default": default})}


def _whole(most: int, default: int) -> Said:
    return {"type": "integer", "minimum": 0, "maximum": most, "default": default}


QUERY: Final = {
    **{name: _parameter("query", name, text, _TEXT) for name, text in _MEANT.items()},
    "cacheTTL": _parameter(
        "query",
        "cacheTTL",
        "Seconds for which an answer to the same body may be given again; 0: never. Wins over the body's.",
        {"type": "number", "minimum": 0, "maximum": shared.MAX_CACHE_TTL, "default": 5},
    ),
    "keep_alive": _parameter(
        "query",
        "keep_alive",
        "Milliseconds without a message after which the session ends; by default the pool's `keepAlive`.",
        _milliseconds(target.MIN_KEEP_ALIVE_MS, target.MAX_KEEP_ALIVE_MS),
    ),
    "targets": _parameter("query", "targets", "The answer lists the browser's pages too.", _FLAG),
    "recording": _parameter("query", "recording", "What happens on the session's pages is recorded.", _FLAG),
    "direct": _parameter(
        "query", "direct", "The answer holds the browser's own address too, for clients in the cluster.", _FLAG
    ),
    "liveViewUrlExpiresInMs": _parameter(
        "query",
        "liveViewUrlExpiresInMs",
        "Milliseconds within which the links to live views may be opened.",
        _milliseconds(live_view.SHORTEST_MS, live_view.LONGEST_MS, live_view.DEFAULT_MS),
    ),
    "timeout": _parameter(
        "query",
        "timeout",
        "Milliseconds for the whole; on a WebSocket, how long the session lives; 0: as if left out.",
        {"type": "integer", "minimum": 0},
    ),
    "url": _parameter("query", "url", "The address that the page opens; `about:blank` without one.", _TEXT),
    "limit": _parameter("query", "limit", "Entries at most.", _whole(1000, 100)),
    "cursor": _parameter(
        "query", "cursor", "Where the records begin: an earlier answer's `cursor`.", _whole(2**31 - 1, 0)
    ),
    "records": _parameter(
        "query", "limit", "Records at most.", {"type": "integer", "minimum": 1, "maximum": crawl.MAX_PAGES}
    ),
    "status": _parameter(
        "query",
        "status",
        "Only records of this status.",
        {"type": "string", "enum": [str(one) for one in crawls.PageStatus]},
    ),
    "outcomes_pool": _parameter("query", "pool", "The pool; required where there are several.", _TEXT),
    "since": _parameter(
        "query", "since", "How far back: seconds, or a duration like `1h`; an hour by default, `7d` at most.", _TEXT
    ),
    "offset": _parameter("query", "offset", "Entries to leave out at the beginning.", _whole(10**9, 0)),
    "browser_session": _parameter("query", "browser_session", "The session to connect to.", _TEXT, required=True),
}

_HEADERS: Final = {
    **{
        target.header(name): _parameter("header", target.header(name), f"As `{name}` in the query, which wins.", _TEXT)
        for name in target.PLACES
    },
    binding.GUARDRAILS: _parameter(
        "header",
        binding.GUARDRAILS,
        "As `guardrails` in the body, base64url of its JSON, where there is no body.",
        _TEXT,
    ),
}

ASKED: Final = {**QUERY, **_HEADERS}

PLACE: Final = (target.PLACES, tuple(target.header(name) for name in target.PLACES))
"""Names of query parameters and of headers of whatever claims a browser."""

# ---------------------------------------------------------------- of answers


def _header(text: str, schema: Said) -> Said:
    return {"description": text, "schema": schema}


_NUMERAL: Final = {"type": "integer", "minimum": 0}

ANSWERED: Final = {
    agentapi.BROWSER_MS_USED: _header("Milliseconds for which the browser was in use.", _NUMERAL),
    "X-Browserpool-Cache": _header(
        "Whether this is an answer given again; absent where it was not looked for.",
        {"type": "string", "enum": ["hit", "miss"]},
    ),
    "Age": _header("Seconds since the answer was made, where it is given again.", _NUMERAL),
    "X-Browserpool-Pool": _header("The browser's pool.", _TEXT),
    "X-Browserpool-Browser": _header("The browser's name.", _TEXT),
    "X-Browserpool-Node": _header("The browser's node.", _TEXT),
    "X-Browserpool-Zone": _header("The browser's zone.", _TEXT),
    "X-Browserpool-Region": _header("The browser's region.", _TEXT),
    "X-Browserpool-Locality": _header(
        "How near the browser stands.", {"type": "string", "enum": ["node", "zone", "region", "backup"]}
    ),
    "X-Browserpool-Session": _header("The session's id.", _TEXT),
    "X-Browserpool-Arm": _header(
        "Who served, where callers move to the pool from another system.",
        {"type": "string", "enum": ["pool", "upstream"]},
    ),
    "Retry-After": _header(
        "Seconds after which to try again.", {"type": "integer", "minimum": 1, "maximum": envelope.LONGEST}
    ),
    envelope.LONG_WAIT: _header("Seconds after which to try again, where that is over a minute.", _NUMERAL),
    envelope.NO_RETRY: _header("`false`: it would end the same way.", {"type": "string", "enum": ["false"]}),
}

BROWSER: Final = tuple(
    f"X-Browserpool-{name}" for name in ("Pool", "Browser", "Node", "Zone", "Region", "Locality", "Session", "Arm")
)
"""Which browser it was."""
CACHED: Final = ("X-Browserpool-Cache", "Age")
