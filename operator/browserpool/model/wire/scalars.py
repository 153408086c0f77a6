"""The base of the wire's models, and the scalars that JSON may hold.

JSON has one kind of number and no coercion here: ``"5"`` is no number, ``1`` is no boolean, ``1280.0`` is a whole number.
"""

import urllib.parse
from typing import Annotated, Any, Final

import pydantic
from pydantic import Field, alias_generators
from pydantic_core import PydanticCustomError

MAX_URL: Final = 32_768
"""Characters. Chromium takes 2 MB, servers rarely 8 KB."""


class Part(pydantic.BaseModel):
    """A JSON object of the wire: camelCase, frozen, no unknown fields; ``null`` is the same as absent."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", alias_generator=alias_generators.to_camel, validate_by_alias=True
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _http_url(value: str) -> str:
    try:
        parts = urllib.parse.urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise PydanticCustomError("url", "is no URL ({why})", {"why": str(error)}) from error
    if parts.scheme.lower() not in ("http", "https"):
        raise PydanticCustomError("url", "must be an http:// or https:// address")
    if not host:
        raise PydanticCustomError("url", "names no host; write it like https://example.com/path")
    return value


Flag = pydantic.StrictBool
Text = pydantic.StrictStr
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, pydantic.BeforeValidator(_whole), Field(strict=True, ge=-(2**53), le=2**53)]
HttpUrl = Annotated[
    str,
    Field(
        strict=True,
        max_length=MAX_URL,
        json_schema_extra={"format": "uri", "pattern": "^[hH][tT][tT][pP][sS]?://[^/?#]"},
    ),
    pydantic.AfterValidator(_http_url),
]
"""An absolute address, http or https only: Chromium would also open ``file:`` and ``chrome:``."""

Pause = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=60_000)]
"""Milliseconds, at most a minute."""
