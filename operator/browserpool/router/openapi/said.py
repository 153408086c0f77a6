"""What is said of our routes, by method and shortest path. A route that is not here is in the document all the same."""

from collections.abc import Mapping
from typing import Any, Final

from browserpool.model import agentapi, heartbeats
from browserpool.model.wire import actions as wire
from browserpool.model.wire import crawl
from browserpool.router import binding
from browserpool.router.openapi import outcomes, parameters, shapes
from browserpool.router.openapi.about import About, Answer, Group

_CLAIMS: Final = frozenset({400, 403, 404, 429, 502, 503})
"""What claims a browser, for a pool that a request may name."""
_WORKS: Final = _CLAIMS | {413, 422}
_SESSION: Final = frozenset({400, 404, 410, 502})
"""What is about one session."""
_QUERY, _HEADERS = parameters.PLACE
_NEVER: Final[frozenset[int]] = frozenset()
_PICTURES: Final = ("image/png", "image/jpeg", "image/webp")
_USED: Final = (agentapi.BROWSER_MS_USED,)


# ---------------------------------------------------------------- quick actions


def _action(name: str, text: str, answer: Answer, *, example: Any = None, fails: frozenset[int] = _WORKS) -> About:
    return About(
        group=Group.ACTIONS,
        text=text,
        body=wire.ACTIONS[name],
        example={"url": "https://example.com"} | (example or {}),
        query=(*_QUERY, "cacheTTL"),
        headers=_HEADERS,
        answer=answer,
        fails=fails,
    )


def _result(shape: Any, text: str) -> Answer:
    return Answer(
        shape=shape,
        enveloped=True,
        meta=True,
        text=text,
        headers=(*parameters.BROWSER, *parameters.CACHED),
        always=_USED,
    )


def _bytes(text: str, *media: str) -> Answer:
    return Answer(media=media, text=text, headers=(*parameters.BROWSER, *parameters.CACHED), always=_USED)


def _any_action(name: str) -> About:
    return _action(name, "", _result(Any, "The result."))


_ACTIONS: Final = {
    "content": _action("content", "The page's HTML after its scripts have run.", _result(str, "HTML.")),
    "markdown": _action("markdown", "The page as Markdown.", _result(str, "Markdown.")),
    "screenshot": _action(
        "screenshot",
        "A picture of the page, of one element, or of a part.",
        _bytes("The picture; as text if `screenshotOptions.encoding` is `base64`.", *_PICTURES, "text/plain"),
    ),
    "pdf": _action("pdf", "The page, printed.", _bytes("The document.", "application/pdf")),
    "snapshot": _action(
        "snapshot",
        "Several views of the page in one moment, loaded once.",
        _result(shapes.Views, "The views by format."),
    ),
    "scrape": _action(
        "scrape",
        "The elements that CSS selectors find.",
        _result(list[shapes.Scraped], "What each selector found, in the order of the body's."),
        example={"elements": [{"selector": "h1"}]},
    ),
    "links": _action(
        "links", "Where the page's links lead, each as often as it is there.", _result(list[str], "Absolute addresses.")
    ),
    "json": _action(
        "json",
        "What a language model reads out of the page. When its answer is of no use, `rawAiResponse` stands beside `errors`.",
        _result(Any, "The object, conforming to the schema that was asked for."),
        example={"prompt": "title and author"},
        fails=_WORKS | {501},
    ),
    "accessibilityTree": _action(
        "accessibilityTree", "The page as a screen reader meets it.", _result(shapes.Tree, "The tree.")
    ),
}

_ACTION: Final = About(each={name: _ACTIONS.get(name) or _any_action(name) for name in sorted(wire.ACTIONS)})


# ---------------------------------------------------------------- crawls


_CRAWLS: Final = {
    "POST /v1/crawl": About(
        group=Group.CRAWL,
        body=crawl.Crawl,
        example={"url": "https://example.com", "limit": 50, "formats": ["markdown"]},
        query=_QUERY,
        headers=_HEADERS,
        answer=Answer(shape=str, enveloped=True, text="The job's id."),
        fails=frozenset({400, 403, 404, 413, 429, 501, 503}),
    ),
    "GET /v1/crawl/{job}": About(
        group=Group.CRAWL,
        query=("cursor", "records", "status"),
        answer=Answer(shape=shapes.Crawl, enveloped=True, text="The job, and at most 10 MB of its records."),
        fails=frozenset({400, 404}),
    ),
    "DELETE /v1/crawl/{job}": About(
        group=Group.CRAWL,
        answer=Answer(shape=shapes.CrawlEnded, enveloped=True, text="It is over."),
        fails=frozenset({404}),
    ),
}

# ---------------------------------------------------------------- sessions


_NEW: Final = ("keep_alive", "recording", *_QUERY)
_CREATED: Final = Answer(shape=shapes.Created, text="Connect to it within `keep_alive`.", headers=parameters.BROWSER)


def _creates(group: Group, *, body: Any = None) -> About:
    return About(
        group=group,
        body=body,
        body_required=False,
        example={"guardrails": {"allowedDomains": ["example.com"]}},
        query=(*_NEW, "targets", "liveViewUrlExpiresInMs", "direct"),
        headers=_HEADERS,
        answer=_CREATED,
        fails=_CLAIMS,
    )


def _of_session(shape: Any, text: str, *, query: tuple[str, ...] = ()) -> About:
    return About(group=Group.SESSIONS, query=query, answer=Answer(shape=shape, text=text), fails=_SESSION)


_TOLD: Final = _of_session(shapes.Message, "Done.")

_SESSIONS: Final = {
    "POST /devtools/browser": _creates(Group.SESSIONS, body=shapes.SessionWish),
    "GET /devtools/browser": About(query=_NEW, headers=(*_HEADERS, binding.GUARDRAILS), fails=_CLAIMS),
    "GET /devtools/browser/{session}": About(fails=_SESSION),
    "DELETE /devtools/browser/{session}": _of_session(shapes.Closed, "It is over, or is being ended."),
    "GET /devtools/browser/{session}/page/{target}": About(fails=_SESSION),
    "GET /devtools/browser/{session}/json": _of_session(
        list[shapes.Target], "Its pages, and what else can be debugged."
    ),
    "GET /devtools/browser/{session}/json/{what}": _of_session(Any, "As Chrome answers it."),
    "GET /devtools/browser/{session}/json/list/{target}": _of_session(shapes.Target, "The page."),
    "PUT /devtools/browser/{session}/json/new": _of_session(shapes.Target, "The new page.", query=("url",)),
    "GET /devtools/browser/{session}/json/activate/{target}": _TOLD,
    "GET /devtools/browser/{session}/json/close/{target}": _TOLD,
    "DELETE /devtools/browser/{session}/json/close/{target}": _TOLD,
    "GET /devtools/browser/{session}/downloads": _of_session(list[shapes.Download], "Finished downloads."),
    "GET /devtools/browser/{session}/downloads/{file}": About(
        answer=Answer(media=("*/*",), text="The file."), fails=_SESSION
    ),
    "GET /devtools/session": About(
        query=("limit", "offset"),
        answer=Answer(shape=list[shapes.Session], text="Sessions."),
        fails=frozenset({400}),
    ),
    "GET /devtools/session/{session}": About(
        answer=Answer(shape=shapes.Session, text="The session."), fails=frozenset({404})
    ),
    "POST /v1/sessions/{session}/renew": _of_session(shapes.Renewed, "It is known to be in use.", query=("direct",)),
}

_WORKER: Final = {
    "GET /v1/acquire": _creates(Group.WORKER),
    "GET /v1/connectDevtools": About(group=Group.WORKER, query=("browser_session",), fails=_SESSION),
    "GET /v1/sessions": About(group=Group.WORKER, answer=Answer(shape=shapes.Sessions), fails=_NEVER),
    "GET /v1/history": About(group=Group.WORKER, answer=Answer(shape=shapes.History), fails=_NEVER),
}

# ---------------------------------------------------------------- Chrome's own addresses

_VERSION: Final = About(answer=Answer(shape=shapes.Version), fails=_NEVER)
_PAGES: Final = About(answer=Answer(shape=list[shapes.Target], text="Pages."), fails=_NEVER)
_CHROME_TOLD: Final = About(answer=Answer(media=("text/plain",), text="What Chrome says."), fails=frozenset({404, 502}))

_CHROME: Final = {
    "GET /json/version": _VERSION,
    "GET /json/version/": _VERSION,
    "GET /json": _PAGES,
    "GET /json/list": _PAGES,
    "PUT /json/new": About(
        query=(*_QUERY, "keep_alive", "url"),
        headers=_HEADERS,
        answer=Answer(shape=shapes.Target, text="The new page.", headers=parameters.BROWSER),
        fails=_CLAIMS,
    ),
    "GET /json/activate/{target}": _CHROME_TOLD,
    "GET /json/close/{target}": _CHROME_TOLD,
    "GET /devtools/page/{target}": About(group=Group.CHROME, fails=_SESSION),
}

# ---------------------------------------------------------------- browserless


def _browserless(body: Any, answer: Answer, *, example: Any = None) -> About:
    return About(
        group=Group.BROWSERLESS,
        body=body,
        example={"url": "https://example.com"} | (example or {}),
        query=(*_QUERY, "timeout"),
        headers=_HEADERS,
        answer=answer,
        fails=_WORKS,
    )


_BROWSERLESS: Final = {
    "POST /screenshot": _browserless(
        shapes.BrowserlessScreenshot, Answer(media=(*_PICTURES, "text/plain"), text="The picture.", always=_USED)
    ),
    "POST /pdf": _browserless(
        shapes.BrowserlessPdf, Answer(media=("application/pdf",), text="The document.", always=_USED)
    ),
    "POST /content": _browserless(shapes.BrowserlessContent, Answer(media=("text/html",), text="HTML.", always=_USED)),
    "POST /scrape": _browserless(
        shapes.BrowserlessScrape,
        Answer(shape=shapes.BrowserlessScraped, text="What each selector found.", always=_USED),
        example={"elements": [{"selector": "h1"}]},
    ),
    "POST /function": About(group=Group.BROWSERLESS, fails=frozenset({501})),
    "GET /pressure": About(
        group=Group.BROWSERLESS, answer=Answer(shape=shapes.Pressure, text="The load."), fails=_NEVER
    ),
    "GET /sessions": About(
        group=Group.BROWSERLESS, answer=Answer(shape=list[shapes.BrowserlessSession], text="Sessions."), fails=_NEVER
    ),
    "GET /": About(group=Group.BROWSERLESS, query=(*_NEW, "timeout"), headers=_HEADERS, fails=_CLAIMS),
}

# ---------------------------------------------------------------- live views

_LINK: Final = frozenset({403, 404, 410, 502, 503})
_BY_LINK: Final = About(fails=_LINK | {400})

_LIVE: Final = {
    "POST /devtools/browser/{session}/live_view": About(
        group=Group.LIVE,
        body=shapes.LiveViewWish,
        body_required=False,
        example={"mode": "tab"},
        answer=Answer(shape=shapes.LiveView, text="The link. Whoever has it needs no token."),
        fails=_SESSION | {503},
    ),
    "GET /v1/recording/{session}": About(
        answer=Answer(shape=shapes.Recording, enveloped=True, text="The recording."), fails=frozenset({404})
    ),
    "GET /live/{link}": About(answer=Answer(media=("text/html",)), fails=_LINK),
    "GET /live/{link}/devtools/{file}": About(answer=Answer(media=("*/*",)), fails=_LINK),
    "GET /live/{link}/browser": _BY_LINK,
    "GET /live/{link}/page/{target}": _BY_LINK,
}

# ---------------------------------------------------------------- the rest

_REST: Final = {
    "GET /v1/limits": About(answer=Answer(shape=shapes.Limits, text="In Cloudflare's shape."), fails=_NEVER),
    "GET /v1/status": About(answer=Answer(shape=shapes.Status, text="In this installation's own words."), fails=_NEVER),
    "GET /v1/outcomes": About(
        query=("outcomes_pool", "since"),
        answer=Answer(shape=outcomes.Outcomes, text="Requests that ended in that time, at all routers."),
        fails=frozenset({400, 403, 503}),
    ),
    "GET /healthz": About(answer=Answer(shape=shapes.Health), fails=_NEVER),
    "GET /readyz": About(answer=Answer(shape=shapes.Health), fails=frozenset({503})),
    "GET /metrics": About(answer=Answer(media=("text/plain",), text="Metrics."), fails=_NEVER),
    "POST /mcp": About(
        body=dict[str, Any], example={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, own_errors=True
    ),
    "GET /openapi.json": About(answer=Answer(shape=dict[str, Any], text="OpenAPI 3.1."), fails=_NEVER),
    "GET /docs": About(answer=Answer(media=("text/html",), text="A page."), fails=_NEVER),
}

_AGENTS: Final = {
    "POST /internal/v1/hello": About(
        body=heartbeats.Hello, answer=Answer(shape=heartbeats.Welcome), fails=frozenset({400, 404, 503})
    ),
    "POST /internal/v1/heartbeat": About(
        body=heartbeats.Heartbeat, answer=Answer(shape=heartbeats.Reply), fails=frozenset({400, 503})
    ),
    "POST /internal/v1/live-view": About(
        body=dict[str, Any], answer=Answer(shape=shapes.LiveView, text="The link."), fails=_SESSION | {503}
    ),
    "POST /internal/v1/recording": About(
        body=dict[str, Any], answer=Answer(shape=shapes.More), fails=frozenset({400, 413, 503})
    ),
}

SAID: Final[Mapping[str, About]] = {
    "POST /v1/{action}": _ACTION,
    **_CRAWLS,
    **_SESSIONS,
    **_WORKER,
    **_CHROME,
    **_BROWSERLESS,
    **_LIVE,
    **_REST,
    **_AGENTS,
}
