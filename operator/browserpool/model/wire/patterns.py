"""Regular expressions as clients write them: bare, or ``/…/flags`` as in JavaScript.

They are RE2's: linear in the text and bounded in memory, whatever the pattern. What JavaScript has and RE2 has not is look-around and
back-references; a pattern that uses them is refused when it is read.
"""

import dataclasses
import re
from typing import Annotated, Any, Final, Protocol

import pydantic
import re2
from pydantic import Field
from pydantic_core import PydanticCustomError

MAX_LENGTH: Final = 1000
MAX_NUMBER: Final = 200
_MEMORY: Final = 1 << 20

_SLASHED = re.compile(r"/(?P<body>.+)/(?P<flags>[a-z]*)", re.DOTALL)
# The flags of JavaScript that say nothing about whether a text matches: global, sticky search, indices, unicode.
_WITHOUT_EFFECT: Final = frozenset("gyduv")
_INLINE: Final = {"i": "i", "m": "m", "s": "s"}


class Matcher(Protocol):
    """A compiled pattern."""

    def search(self, text: str, /) -> object | None: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern that compiles. ``source`` is what the client wrote."""

    source: str
    matcher: Matcher

    def matches(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in ``text``."""
        return self.matcher.search(text) is not None


def compiled(source: str) -> Pattern:
    """Read ``source``.

    Raises:
        PydanticCustomError: it does not compile, or needs what RE2 has not; the message says which.
    """
    body, flags = _split(source)
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    inline = "".join(sorted({_INLINE[flag] for flag in flags if flag in _INLINE}))
    try:
        matcher = re2.compile(f"(?{inline}){body}" if inline else body, options)
    except (re2.error, UnicodeError) as error:
        raise PydanticCustomError("pattern", "does not compile: {why}", {"why": _why(error)}) from error
    return Pattern(source=source, matcher=matcher)


def _split(source: str) -> tuple[str, str]:
    slashed = _SLASHED.fullmatch(source)
    if slashed is None:
        return source, ""
    flags = slashed["flags"]
    unknown = set(flags) - _WITHOUT_EFFECT - set(_INLINE)
    if unknown:
        # "/api/v1" has the slashes of an address, not of a pattern with flags.
        return source, ""
    return slashed["body"], flags


def _why(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    if text.startswith(("invalid perl operator", "invalid escape sequence")):
        return f"{text} (look-around and back-references are not supported; use the reject and allow lists together instead)"
    return text


def _read(value: Any) -> Pattern:
    if not isinstance(value, str):
        raise PydanticCustomError("pattern", "must be a regular expression, as a string")
    if len(value) > MAX_LENGTH:
        raise PydanticCustomError("pattern", "has {length} characters; the most is {most}", _lengths(value))
    return compiled(value)


def _lengths(value: str) -> dict[str, int]:
    return {"length": len(value), "most": MAX_LENGTH}


PatternText = Annotated[
    Pattern,
    pydantic.PlainValidator(_read, json_schema_input_type=Annotated[str, Field(max_length=MAX_LENGTH)]),
    pydantic.PlainSerializer(lambda pattern: pattern.source, return_type=str),
]
