"""``settings`` for frozen dataclasses, without pydantic, whose import takes longer than a Chromium's start.

A field's reader stands in its annotation, ``Annotated[int, plain.whole(0, 65535)]``; without one the text is taken as it is. A reader
raises ``ValueError`` with what is wrong; what is wrong with a setting that is secret must not repeat it.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from browserpool.lib import settings

Model = TypeVar("Model")
Reader = Callable[[str], Any]


def from_environment(model: type[Model], environment: Mapping[str, str]) -> Model:
    """Read ``model`` from ``environment``; variables that name no field are left alone.

    Raises:
        settings.SettingsError: one line for each variable that is missing or does not parse.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in dataclasses.fields(model):  # type: ignore[arg-type]  # any dataclass; there is no public bound for one
        variable = settings.variable(field.name)
        if variable in environment:
            try:
                values[field.name] = _reader(field)(environment[variable])
            except ValueError as error:
                wrong.append(f"{variable}: {error}")
        elif field.default is dataclasses.MISSING:
            wrong.append(f"{variable}: is required")
    if wrong:
        raise settings.SettingsError("The settings in the environment cannot be used:\n  " + "\n  ".join(wrong))
    return model(**values)


def to_environment(read: object) -> dict[str, str]:
    """The variables from which ``from_environment`` makes ``read`` again; ``None`` is left out."""
    fields = dataclasses.fields(read)  # type: ignore[arg-type]  # as above
    values = {field.name: getattr(read, field.name) for field in fields}
    return {settings.variable(name): _text(value) for name, value in values.items() if value is not None}


def _reader(field: "dataclasses.Field[Any]") -> Reader:
    reader: Reader
    [reader] = getattr(field.type, "__metadata__", (str,))
    return reader


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, tuple) else str(value)


# ---------------------------------------------------------------- readers


def some(text: str) -> str:
    """Any text but none."""
    if not text:
        raise ValueError("must not be empty")
    return text


def address(text: str) -> str:
    """The address of a web server."""
    if not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return text


def one_of(*words: str) -> Reader:
    """One of ``words``."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)} (given: {text!r})")
        return text

    return read


def whole(least: int, most: int | None = None) -> Reader:
    """A whole number within these bounds."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"must be a whole number (given: {text!r})") from None
        if number < least or (most is not None and number > most):
            raise ValueError(f"must be {least} or more" if most is None else f"must be from {least} to {most}")
        return number

    return read


def or_none(reader: Reader) -> Reader:
    """What ``reader`` reads; ``None`` from the empty text."""
    return lambda text: reader(text) if text else None


def seconds(*, zero: bool) -> Reader:
    """A duration; ``zero``: it may be none."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"must be a number of seconds (given: {text!r})") from None
        if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
            raise ValueError("must be 0 seconds or more" if zero else "must be more than 0 seconds")
        return number

    return read


def texts(text: str) -> tuple[str, ...]:
    """A JSON list of strings."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError('must be a JSON list of strings, such as ["one", "two"]')
    return tuple(found)


def each_of(*words: str) -> Reader:
    """A JSON list of some of ``words``."""

    def read(text: str) -> tuple[str, ...]:
        found = texts(text)
        if strange := sorted(set(found) - set(words)):
            raise ValueError(f"may hold {', '.join(words)} (given: {', '.join(strange)})")
        return found

    return read
