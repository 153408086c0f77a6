"""The body that all quick actions share (api.md §2): what to load, under which rules, and what to wait for."""

import re
from typing import Annotated, Any, Final, Literal, Self

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import patterns
from browserpool.model.wire.scalars import Flag, HttpUrl, Number, Part, Pause, Text, Whole

DEFAULT_NAVIGATION_MS: Final = 30_000
MAX_ACTION_MS: Final = 120_000
MAX_PIXELS: Final = 100_000_000
"""Device pixels of a viewport or a clip: 400 MB as Chromium holds them."""
MAX_CACHE_TTL: Final = 86_400

HEADER_NAME: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
ONE_LINE: Final = r"^[^\r\n\u0000]*$"
"""As HTTP has the names and values of headers; for JSON schemas too."""

ResourceType = Literal[
    "document", "stylesheet", "image", "media", "font", "script", "texttrack", "xhr", "fetch", "prefetch", "eventsource",
    "websocket", "manifest", "signedexchange", "ping", "cspviolationreport", "preflight", "other",
]  # fmt: skip
WaitUntil = Literal["load", "domcontentloaded", "networkidle0", "networkidle2"]
ReferrerPolicy = Literal[
    "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin", "strict-origin",
    "strict-origin-when-cross-origin", "unsafe-url",
]  # fmt: skip

_HEADER_NAME: Final = re.compile(HEADER_NAME.strip("^$"))


def one_of(*names: str) -> dict[str, Any]:
    """For a model's JSON schema: that exactly one of these texts is there, where ``null`` is the same as absent."""
    return {"oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]}


PatternList = Annotated[tuple[patterns.PatternText, ...], Field(max_length=patterns.MAX_NUMBER)]


class ScriptTag(Part):
    """A script that is put into the page after it has loaded; ``url`` or ``content``."""

    model_config = pydantic.ConfigDict(json_schema_extra=one_of("url", "content"))

    url: HttpUrl | None = None
    content: Text | None = None
    type: Text | None = None
    id: Text | None = None

    @pydantic.model_validator(mode="after")
    def _something(self) -> Self:
        _exactly_one(self.url, self.content, names="url or content")
        return self


class StyleTag(Part):
    """A style sheet that is put into the page after it has loaded; ``url`` or ``content``."""

    model_config = pydantic.ConfigDict(json_schema_extra=one_of("url", "content"))

    url: HttpUrl | None = None
    content: Text | None = None

    @pydantic.model_validator(mode="after")
    def _something(self) -> Self:
        _exactly_one(self.url, self.content, names="url or content")
        return self


class Credentials(Part):
    """Basic or digest authentication of the page's own servers."""

    username: Text
    password: Text


class PartitionKey(Part):
    """Which top-level site a partitioned cookie belongs to; on the wire an object, or the site alone."""

    top_level_site: Text = Field(validation_alias=pydantic.AliasChoices("topLevelSite", "sourceOrigin"))
    has_cross_site_ancestor: Flag = False


def _site_alone(value: Any) -> Any:
    return {"topLevelSite": value} if isinstance(value, str) else value


class Cookie(Part):
    """A cookie that is set before the page loads. Without ``url`` and ``domain`` it belongs to the body's ``url``.

    ``expires`` is in seconds since 1970, -1 for a session's cookie. ``size``, ``session`` and ``sameParty`` are what puppeteer's
    ``page.cookies()`` also returns; they are accepted and say nothing.
    """

    name: Annotated[Text, Field(min_length=1)]
    value: Text
    domain: Text | None = None
    path: Text | None = None
    url: HttpUrl | None = None
    expires: Number | None = None
    http_only: Flag | None = None
    secure: Flag | None = None
    same_site: Literal["Strict", "Lax", "None"] | None = None
    priority: Literal["Low", "Medium", "High"] | None = None
    partition_key: (
        Annotated[PartitionKey, pydantic.BeforeValidator(_site_alone, json_schema_input_type=PartitionKey | str)] | None
    ) = None
    source_scheme: Literal["Unset", "NonSecure", "Secure"] | None = None
    source_port: Annotated[Whole, Field(ge=-1, le=65_535)] | None = None
    same_party: Flag | None = None
    size: Number | None = None
    session: Flag | None = None


class GotoOptions(Part):
    """How to load ``url`` or ``html``. ``timeout`` is in milliseconds; 0 is the most there is."""

    timeout: Pause = DEFAULT_NAVIGATION_MS
    wait_until: tuple[WaitUntil, ...] = ("domcontentloaded",)
    referer: Text | None = None
    referrer_policy: ReferrerPolicy | None = None

    @pydantic.field_validator("wait_until", mode="before", json_schema_input_type=WaitUntil | list[WaitUntil])
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Viewport(Part):
    """The window, in CSS pixels."""

    width: Annotated[Whole, Field(ge=1, le=16_384)]
    height: Annotated[Whole, Field(ge=1, le=16_384)]
    device_scale_factor: Annotated[Number, Field(gt=0, le=10)] = 1.0
    has_touch: Flag = False
    is_landscape: Flag = False
    is_mobile: Flag = False

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        pixels = self.width * self.height * self.device_scale_factor**2
        if pixels > MAX_PIXELS:
            raise PydanticCustomError(
                "size",
                "has {pixels} device pixels; the most is {most}: lower width, height or deviceScaleFactor",
                {"pixels": round(pixels), "most": MAX_PIXELS},
            )
        return self


DEFAULT_VIEWPORT: Final = Viewport(width=1920, height=1080)


class WaitForSelector(Part):
    """Wait until the selector's first match is there, is ``visible``, or is ``hidden`` or gone. ``timeout`` in ms; 0 is the most."""

    selector: Annotated[Text, Field(min_length=1)]
    visible: Flag = False
    hidden: Flag = False
    timeout: Pause = 30_000

    @pydantic.model_validator(mode="after")
    def _one_wish(self) -> Self:
        if self.visible and self.hidden:
            raise PydanticCustomError("wish", "has visible and hidden; leave one of them out")
        return self


class WaitForFunction(Part):
    """Wait until ``fn`` (a function without arguments, or an expression) gives something true; an async one: until it has ended.

    ``polling``: milliseconds between two calls, or ``raf`` or ``mutation`` as puppeteer has it, which is often. ``timeout`` in ms; 0 is
    the most. Not Cloudflare's: browserless has it.
    """

    fn: Annotated[Text, Field(min_length=1, max_length=100_000)]
    polling: Annotated[Number, Field(ge=0, le=60_000)] | Literal["raf", "mutation"] = "raf"
    timeout: Pause = 30_000


class WaitForEvent(Part):
    """Wait until an event of this name comes to the document or the window. ``timeout`` in ms; 0 is the most. browserless's too."""

    event: Annotated[Text, Field(min_length=1, max_length=1000)]
    timeout: Pause = 30_000


class QuickAction(Part):
    """The shared body. Exactly one of ``url`` and ``html`` is there. Times are in milliseconds, ``cache_ttl`` in seconds."""

    model_config = pydantic.ConfigDict(json_schema_extra=one_of("url", "html"))

    url: HttpUrl | None = None
    html: Annotated[Text, Field(min_length=1)] | None = None
    action_timeout: Annotated[Number, Field(ge=0, le=MAX_ACTION_MS)] = MAX_ACTION_MS
    add_script_tag: tuple[ScriptTag, ...] = ()
    add_style_tag: tuple[StyleTag, ...] = ()
    reject_request_pattern: PatternList = ()
    allow_request_pattern: PatternList = ()
    reject_resource_types: tuple[ResourceType, ...] = ()
    allow_resource_types: tuple[ResourceType, ...] = ()
    authenticate: Credentials | None = None
    best_attempt: Flag = False
    cookies: tuple[Cookie, ...] = ()
    emulate_media_type: Annotated[Text, Field(max_length=64)] | None = None
    goto_options: GotoOptions = Field(
        default=GotoOptions(), validation_alias=pydantic.AliasChoices("gotoOptions", "goToOptions")
    )
    set_extra_http_headers: dict[Text, Text] = Field(
        default_factory=dict,
        alias="setExtraHTTPHeaders",
        json_schema_extra={
            "propertyNames": {"pattern": HEADER_NAME},
            "additionalProperties": {"type": "string", "pattern": ONE_LINE},
        },
    )
    set_java_script_enabled: Flag = True
    user_agent: Annotated[Text, Field(json_schema_extra={"pattern": ONE_LINE})] | None = None
    viewport: Viewport = DEFAULT_VIEWPORT
    wait_for_event: WaitForEvent | None = None
    wait_for_function: WaitForFunction | None = None
    wait_for_selector: WaitForSelector | None = None
    wait_for_timeout: Pause = 0
    cache_ttl: Annotated[Number, Field(ge=0, le=MAX_CACHE_TTL)] = Field(default=5, alias="cacheTTL")

    @pydantic.model_validator(mode="after")
    def _url_or_html(self) -> Self:
        if self.url is not None and self.html is not None:
            raise PydanticCustomError("body", "url and html are both there; send the one that is to be loaded")
        if self.url is None and self.html is None:
            raise PydanticCustomError("body", "url or html is required; send exactly one of them")
        return self

    @pydantic.field_validator("set_extra_http_headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if _HEADER_NAME.fullmatch(name) is None:
                raise PydanticCustomError("header", "has a name that HTTP does not allow: {name}", {"name": repr(name)})
            if any(mark in value for mark in "\r\n\0"):
                raise PydanticCustomError("header", "has a line break in the value of {name}", {"name": name})
        return headers

    @pydantic.field_validator("user_agent")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and any(mark in value for mark in "\r\n\0"):
            raise PydanticCustomError("header", "has a line break")
        return value

    @pydantic.model_validator(mode="after")
    def _scripts_can_run(self) -> Self:
        if self.add_script_tag and not self.set_java_script_enabled:
            raise PydanticCustomError(
                "body", "addScriptTag cannot run with setJavaScriptEnabled false; leave one of them out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _cookies_have_a_home(self) -> Self:
        if self.html is not None:
            for index, cookie in enumerate(self.cookies):
                if cookie.url is None and cookie.domain is None:
                    raise PydanticCustomError(
                        "body", "cookies[{index}] needs url or domain, because html has neither", {"index": index}
                    )
        return self


def _exactly_one(*values: object, names: str) -> None:
    if sum(value is not None for value in values) != 1:
        raise PydanticCustomError("needs", "needs {names}, one of them", {"names": names})
