"""What a job's body asks for. Pure."""

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
import pydantic

from browserpool.model import crawls, errors
from browserpool.model.wire import complaints, objects
from browserpool.model.wire import crawl as wire
from browserpool.router.crawl import frontier

_YEAR = datetime.timedelta(days=366)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job's body, read. ``start`` is its url in its one form."""

    body: wire.Crawl
    visiting: Mapping[str, Any]
    """What of the body tells a browser how to load each page, as it was sent."""
    start: str
    recipe: bytes
    """Tells apart what is fetched in different ways."""

    @property
    def wants_markdown(self) -> bool:
        """Whether Markdown has to be made; a model reads it too."""
        return bool({"markdown", "json"} & set(self.body.formats))

    def cache_key(self, url: str, *, token: str, place: crawls.Place) -> bytes | None:
        """By which a result of ``url`` from ``place`` may serve the same token again; ``None``: it may not.

        Where only what was modified is wanted, nothing is used again: an earlier result does not say when it was.
        """
        if self.body.modified_since is not None:
            return None
        parts = (token.encode(), place.pool.encode(), place.region.encode(), self.recipe, url.encode())
        return hashlib.sha256(b"\0".join(parts)).digest()


def raw(content: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        errors.TooLarge, errors.InvalidRequest: it is none, or a large one.
    """
    if len(content) > wire.MAX_BODY:
        raise errors.TooLarge(f"the body of a crawl has {len(content)} bytes; the most is {wire.MAX_BODY}")
    return objects.read(content)


def read(value: Mapping[str, Any]) -> Plan:
    """The plan that ``value`` makes.

    Raises:
        errors.InvalidRequest: the message names each field that is wrong, and how to mend it.
    """
    try:
        body = wire.Crawl.model_validate(value)
    except pydantic.ValidationError as error:
        raise errors.InvalidRequest(complaints.describe(error, body=wire.Crawl)) from error
    start = frontier.normalised(str(body.url))
    if start is None:
        raise errors.InvalidRequest(f"url cannot be fetched (given: {str(body.url)[:60]!r})")
    visiting = wire.visiting(value)
    return Plan(body=body, visiting=visiting, start=start, recipe=_recipe(body, visiting))


def _recipe(body: wire.Crawl, visiting: Mapping[str, Any]) -> bytes:
    options = None if body.json_options is None else body.json_options.model_dump(mode="json", by_alias=True)
    parts = [dict(visiting), sorted(body.formats), body.render, options if "json" in body.formats else None]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def check_time(plan: Plan, *, now: datetime.datetime) -> None:
    """Refuse a ``modifiedSince`` that can mean nothing.

    Raises:
        errors.InvalidRequest: it is not within the last year.
    """
    since = plan.body.modified_since
    if since is not None and not (now - _YEAR).timestamp() <= since <= now.timestamp():
        raise errors.InvalidRequest(
            f"modifiedSince must be seconds since 1970 within the last year, and not in the future (given: {since})"
        )


def beginning(plan: Plan) -> list[crawls.Found]:
    """What a job begins with: its first page, or only its site's robots.txt, which names the sitemaps."""
    if plan.body.source == "sitemaps":
        return [frontier.entry(frontier.origin(plan.start) + "/robots.txt", kind=crawls.Kind.ROBOTS, depth=0)]
    return [frontier.entry(plan.start, kind=crawls.Kind.PAGE, depth=0)]
