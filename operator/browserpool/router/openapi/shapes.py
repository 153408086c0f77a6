"""What answers look like, and the few bodies that are read without a model. More fields may come."""

from typing import Any, Final, Literal

import pydantic
from pydantic import Field, alias_generators

from browserpool.model import crawls, live_view
from browserpool.model.wire import pdf, reading, screenshot
from browserpool.model.wire.scalars import Part


class Shape(pydantic.BaseModel):
    """A JSON object of an answer, in camelCase."""

    # Built when the document is, not when the router starts.
    model_config = pydantic.ConfigDict(
        alias_generator=alias_generators.to_camel, use_attribute_docstrings=True, defer_build=True
    )


# ---------------------------------------------------------------- errors


class Problem(Shape):
    """What failed, why, and how to mend it."""

    code: int
    message: str


class Failure(Shape):
    """The answer of everything that fails."""

    success: Literal[False]
    result: None = None
    errors: list[Problem] = Field(min_length=1)
    messages: list[Any]


# ---------------------------------------------------------------- quick actions


class Meta(Shape):
    """Of the page that was loaded."""

    status: int
    """The page's own HTTP status; 200 where it came from `html`."""
    title: str


class Attribute(Shape):
    """One attribute of an element."""

    name: str
    value: str


class Match(Shape):
    """One element that a selector found; its box is in CSS pixels from the page's top left corner."""

    text: str
    html: str
    attributes: list[Attribute]
    height: float
    width: float
    top: float
    left: float


class Scraped(Shape):
    """What one selector found."""

    selector: str
    results: list[Match]


class AccessibilityNode(Shape):
    """A node as a screen reader meets it; its states stand beside these."""

    role: str
    name: str | None = None
    value: Any = None
    description: str | None = None
    children: "list[AccessibilityNode] | None" = None


class Tree(Shape):
    """The page's tree; null where nothing in it is of interest."""

    accessibility_tree: AccessibilityNode | None


class Views(Shape):
    """The formats that were asked for."""

    content: str | None = None
    screenshot: str | None = Field(default=None, json_schema_extra={"contentEncoding": "base64"})
    markdown: str | None = None
    accessibility_tree: AccessibilityNode | None = None


# ---------------------------------------------------------------- browserless


_BROWSERLESS: Final = pydantic.ConfigDict(json_schema_extra={})
"""Where `url` and `html` may both be there: `url` wins."""


class BrowserlessScreenshot(screenshot.Screenshot):
    """As of the quick action, with `options` for `screenshotOptions`; `url` wins over `html`."""

    model_config = _BROWSERLESS
    options: screenshot.ScreenshotOptions | None = None


class BrowserlessPdf(pdf.Pdf):
    """As of the quick action, with `options` for `pdfOptions`; `url` wins over `html`."""

    model_config = _BROWSERLESS
    options: pdf.PdfOptions | None = None


class BrowserlessContent(reading.Content):
    """As of the quick action; `url` wins over `html`."""

    model_config = _BROWSERLESS


class BrowserlessScrape(reading.Scrape):
    """As of the quick action; each element is waited for, and `url` wins over `html`."""

    model_config = _BROWSERLESS


class BrowserlessScraped(Shape):
    """What each selector found."""

    data: list[Scraped]
    debug: None = None


class Load(Shape):
    """How full the caller's pools are."""

    is_available: bool
    max_concurrent: int
    max_queued: int
    queued: int
    running: int
    recently_rejected: int
    message: str
    reason: str
    date: int
    cpu: None = None
    memory: None = None


class Pressure(Shape):
    """The load."""

    pressure: Load


class BrowserlessSession(Shape):
    """A session that runs. Times are in milliseconds."""

    id: str
    browser: str
    browser_id: str
    started_on: int
    time_alive_ms: int
    numb_connected: int


# ---------------------------------------------------------------- sessions


class SessionWish(Part):
    """The body of a new session: none, or its bounds."""

    guardrails: dict[str, Any] | None = None


class Target(Shape):
    """A page, or what else can be debugged, as Chrome describes it."""

    id: str
    type: str
    title: str | None = None
    url: str | None = None
    description: str | None = None
    devtools_frontend_url: str | None = None
    web_socket_debugger_url: str | None = None


class Download(Shape):
    """A file that a session has downloaded. ``time``: when it was written, milliseconds since 1970."""

    name: str
    size: int
    time: int


class Created(Shape):
    """A session to connect to."""

    session_id: str
    web_socket_debugger_url: str
    targets: list[Target] | None = None
    direct_url: str | None = None
    keep_alive: int | None = None


class Closed(Shape):
    """Whether it is over already."""

    status: Literal["closing", "closed"]


class Message(Shape):
    """What Chrome says of it."""

    message: str


class Version(pydantic.BaseModel):
    """Chrome's own words about itself."""

    browser: str = Field(alias="Browser")
    protocol_version: str = Field(alias="Protocol-Version")
    user_agent: str = Field(alias="User-Agent")
    web_socket_debugger_url: str = Field(alias="webSocketDebuggerUrl")


class Session(Shape):
    """A session, live or past. Times are in milliseconds since 1970."""

    session_id: str
    start_time: int
    end_time: int | None = None
    expires_at: int | None = None
    connection_id: str | None = None
    connection_start_time: int | None = None
    connection_end_time: int | None = None
    close_reason: int | None = None
    close_reason_text: str | None = None
    pool: str
    region: str
    kind: str
    web_socket_debugger_url: str | None = None


class Sessions(Shape):
    """Live sessions."""

    sessions: list[Session]


class History(Shape):
    """Live sessions, then past ones."""

    history: list[Session]


class Renewed(Shape):
    """When the session would end now. Times are in milliseconds, `expiresAt` since 1970."""

    session_id: str
    expires_at: int | None = None
    keep_alive: int
    direct_url: str | None = None


class LiveViewGuardrails(Part):
    """What whoever looks may do."""

    mode: Literal["readonly"] | None = None


class LiveViewWish(Part):
    """Which page, how, and for how long."""

    mode: live_view.Mode = live_view.Mode.DEVTOOLS
    target_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    expires_in_ms: float = Field(default=live_view.DEFAULT_MS, ge=live_view.SHORTEST_MS, le=live_view.LONGEST_MS)
    guardrails: LiveViewGuardrails | None = None


class LiveView(Shape):
    """A link, and what it opens."""

    id: str
    devtools_frontend_url: str
    web_socket_debugger_url: str
    options: dict[str, Any]


# ---------------------------------------------------------------- the rest


class ActiveSession(Shape):
    """A session that counts."""

    id: str


class Limits(Shape):
    """What the token may still do; the wait is in milliseconds."""

    active_sessions: list[ActiveSession]
    max_concurrent_sessions: int
    allowed_browser_acquisitions: int
    time_until_next_allowed_browser_acquisition: int
    used_browser_time_seconds: float | None = None
    max_browser_time_seconds: float | None = None


class CrawledPage(Shape):
    """What the page's server said; absent for what was never fetched."""

    status: int
    url: str
    title: str | None = None


class CrawlRecord(Shape):
    """One address that a crawl came upon; `error` says why it was not completed."""

    url: str
    status: crawls.PageStatus
    html: str | None = None
    markdown: str | None = None
    extracted: Any = Field(default=None, alias="json")
    error: str | None = None
    metadata: CrawledPage | None = None


class Crawl(Shape):
    """A crawl's job. Skipped addresses count neither in `total` nor in `finished`."""

    id: str
    status: crawls.JobStatus
    browser_seconds_used: float
    total: int
    finished: int
    skipped: int
    records: list[CrawlRecord]
    cursor: str | None = None
    """Where the next records begin; absent: there are no more."""


class CrawlEnded(pydantic.BaseModel):
    """Its id, and a word."""

    job_id: str
    message: str


class Recording(Shape):
    """What happened on a session's pages: rrweb's events by page; the duration is in milliseconds."""

    session_id: str
    duration: float
    events: dict[str, list[Any]]


class More(pydantic.BaseModel):
    """Whether further parts are wanted."""

    more: bool


class Health(Shape):
    """One word."""

    status: str


class Status(pydantic.BaseModel):
    """The whole picture, as far as the token may see it."""

    router: dict[str, Any]
    pools: list[dict[str, Any]]
    regions: list[dict[str, Any]]
    browsers: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
