"""``POST /crawl`` (api.md §4): the body of a job, and what a router asks of an agent on a job's behalf."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import extract, patterns, shared, wildcards
from browserpool.model.wire.scalars import Flag, HttpUrl, Number, Part, Text, Whole

MAX_BODY: Final = 1024 * 1024
"""Bytes of a job's body: it is kept, and read for each page."""
MAX_URL: Final = 8192
"""Characters of an address that a job may fetch; longer ones that pages link to are passed over."""
MAX_PAGES: Final = 100_000
MAX_AGE: Final = 604_800
DEFAULT_AGE: Final = 86_400

Format = Literal["html", "markdown", "json"]
Source = Literal["all", "sitemaps", "links"]
Purpose = Literal["search", "ai-input", "ai-train"]

WildcardList = Annotated[tuple[wildcards.WildcardText, ...], Field(max_length=patterns.MAX_NUMBER)]


class Options(Part):
    """Which of the addresses that a job comes upon it fetches. What is excluded is not fetched, whatever includes it."""

    include_patterns: WildcardList = ()
    exclude_patterns: WildcardList = ()
    include_subdomains: Flag = False
    include_external_links: Flag = False


class Crawl(shared.QuickAction):
    """The body. Where ``render`` is false no page is shown, so nothing that tells a browser what to do may be there."""

    url: HttpUrl | None = Field(default=None, max_length=MAX_URL)
    limit: Annotated[Whole, Field(ge=1, le=MAX_PAGES)] = 10
    depth: Annotated[Whole, Field(ge=0, le=MAX_PAGES)] = MAX_PAGES
    source: Source = "all"
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("html",)
    render: Flag = True
    json_options: extract.Extraction | None = None
    max_age: Annotated[Number, Field(ge=0, le=MAX_AGE)] = DEFAULT_AGE
    modified_since: Annotated[Whole, Field(ge=0)] | None = None
    options: Options = Options()
    crawl_purposes: tuple[Purpose, ...] = ("search", "ai-input", "ai-train")
    content_use: Literal["reference", "full"] = "full"
    browser: Literal["kitesurf"] | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _only_what_a_job_can_use(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for name, why in _NEVER.items():
            if value.get(name) is not None:
                raise PydanticCustomError("body", "{name} {why}", {"name": name, "why": why})
        if not value.get("url"):
            raise PydanticCustomError("body", "url is required: the address that the crawl starts at")
        if value.get("render") is False and (rendering := sorted(rendered_only(value))):
            names = ", ".join(rendering)
            raise PydanticCustomError("body", "{names}: only where render is true; leave it out", {"names": names})
        return value

    @pydantic.model_validator(mode="after")
    def _json_is_described(self) -> Self:
        if "json" in self.formats and self.json_options is None:
            raise PydanticCustomError(
                "body", "jsonOptions is required where formats has json: prompt or response_format"
            )
        return self


_NEVER: Final = {
    "html": "has no links to follow; send url",
    "userAgent": "cannot be chosen: a crawler says who it is",
}
_OF_ANY_JOB: Final = frozenset({
    "url", "limit", "depth", "source", "formats", "render", "jsonOptions", "maxAge", "modifiedSince", "options",
    "crawlPurposes", "contentUse", "cacheTTL",
})  # fmt: skip
_OF_JOBS_ALONE: Final = _OF_ANY_JOB | {"browser"}


def rendered_only(body: Mapping[str, Any]) -> list[str]:
    """The fields of ``body`` that only a browser can follow."""
    known = {str(alias) for field in Crawl.model_fields.values() for alias in _aliases(field)}
    return [name for name, value in body.items() if value is not None and name in known - _OF_ANY_JOB]


def _aliases(field: pydantic.fields.FieldInfo) -> list[Any]:
    match field.validation_alias:
        case pydantic.AliasChoices(choices=choices):
            return list(choices)
        case alias:
            return [alias]


def visiting(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's body tells the browser how to load each page."""
    return {name: value for name, value in body.items() if name not in _OF_JOBS_ALONE}


class Visit(shared.QuickAction):
    """To an agent: show one page, and say what stands on it and where it leads."""

    markdown: Flag = False


class Fetch(Part):
    """To an agent: get one address without a browser, by the rules that hold for pages.

    ``page``: read it as HTML, and say where it leads; otherwise its bytes go back. More than ``max_bytes`` is cut off.
    """

    url: HttpUrl
    user_agent: Text
    timeout: Annotated[Number, Field(gt=0, le=120)] = 30.0
    max_bytes: Annotated[Whole, Field(ge=1, le=64 * 1024 * 1024)] = 1024 * 1024
    page: Flag = False
    markdown: Flag = False


VISIT: Final = "crawl-visit"
FETCH: Final = "crawl-fetch"
"""Actions of an agent that no client can ask a router for."""
