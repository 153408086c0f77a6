"""Durations and percentages as manifests write them."""

import re
from typing import Annotated, Any

import pydantic

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


def parse_duration(value: Any) -> Any:
    """Seconds from ``"90s"``, ``"1h30m"``, ``"500ms"``, or from a number of seconds; anything else is refused."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    raise ValueError("a duration is written like 90s, 5m or 1h30m")


def format_duration(seconds: float) -> str:
    """The duration as a manifest would write it."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


Duration = Annotated[
    float,
    pydantic.BeforeValidator(parse_duration),
    pydantic.Field(ge=0),
    pydantic.PlainSerializer(format_duration, return_type=str, when_used="json"),
    pydantic.WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "minimum": 0, "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", "maxLength": 32}
    ),
]
"""Seconds; written in manifests as ``"60s"``, ``"5m"``, ``"1h30m"``."""


_PERCENT = re.compile(r"(100|[1-9]?[0-9])%")


def _int_or_percent(value: int | str) -> int | str:
    if isinstance(value, int) and value < 0:
        raise ValueError("a number of browsers is 0 or more")
    if isinstance(value, str) and not _PERCENT.fullmatch(value):
        raise ValueError("a number of browsers is written like 3, or as a percentage from 0% to 100%")
    return value


def share(value: int | str, whole: int, *, up: bool) -> int:
    """``value`` as a number: itself, or its percentage of ``whole`` rounded ``up`` or down."""
    if isinstance(value, int):
        return value
    return (whole * int(value[:-1]) + (99 if up else 0)) // 100


IntOrPercent = Annotated[
    pydantic.StrictInt | str,
    pydantic.AfterValidator(_int_or_percent),
    pydantic.WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "minimum": 0, "pattern": r"^(100|[1-9]?[0-9])%$", "maxLength": 4}
    ),
]
"""A number from 0 on, or a percentage: ``3``, ``"25%"``."""
