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
    pydantic.WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}),
]
"""Seconds; written in manifests as ``"60s"``, ``"5m"``, ``"1h30m"``."""
