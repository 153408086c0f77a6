"""Addresses as ``includePatterns`` and ``excludePatterns`` name them: ``*`` stops at a slash, ``**`` does not, all else is itself.

A pattern that names a scheme (``https://example.com/docs/**``) is held to the whole address. One that does not (``/docs/**``,
``*/private/*``) is held to the whole address, or to what comes after the host, with or without its first slash and its query.
"""

import dataclasses
import re
from typing import Annotated, Any, Final

import pydantic
import re2
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import patterns

_STARS: Final = re.compile(r"(\*+)")
_ADDRESS: Final = re.compile(r"[a-z]+://[^/?#]*/?(?P<path>[^?#]*)(?P<query>\?[^#]*)?", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wildcard:
    """A pattern. ``source`` is what the client wrote."""

    source: str
    matcher: patterns.Matcher
    absolute: bool

    def matches(self, url: str) -> bool:
        """Whether ``url`` (absolute) is one of those that the pattern names."""
        return any(self.matcher.search(part) is not None for part in ((url,) if self.absolute else _parts(url)))


def _parts(url: str) -> tuple[str, ...]:
    found = _ADDRESS.match(url)
    if found is None:
        return (url,)
    path, query = found["path"], found["query"] or ""
    return (url, path, f"/{path}", path + query, f"/{path}{query}")


def compiled(source: str) -> Wildcard:
    """Read ``source``."""
    expression = "".join(_expression(part) for part in _STARS.split(source))
    options = re2.Options()
    options.log_errors = False
    return Wildcard(source=source, matcher=re2.compile(rf"(?s)\A{expression}\z", options), absolute="://" in source)


def _expression(part: str) -> str:
    if part.startswith("*"):
        return "[^/]*" if part == "*" else ".*"
    return str(re2.escape(part))


def _read(value: Any) -> Wildcard:
    if not isinstance(value, str) or not value:
        raise PydanticCustomError("wildcard", "must be an address with * or ** in it, as a string")
    if len(value) > patterns.MAX_LENGTH:
        sizes = {"length": len(value), "most": patterns.MAX_LENGTH}
        raise PydanticCustomError("wildcard", "has {length} characters; the most is {most}", sizes)
    return compiled(value)


WildcardText = Annotated[
    Wildcard,
    pydantic.PlainValidator(_read, json_schema_input_type=Annotated[str, Field(max_length=patterns.MAX_LENGTH)]),
    pydantic.PlainSerializer(lambda wildcard: wildcard.source, return_type=str),
]
