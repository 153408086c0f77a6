"""What is wrong with a body: each problem by the path of its field (``gotoOptions.waitUntil[1]``), and how to mend it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

import pydantic
from pydantic import fields
from pydantic_core import ErrorDetails

MOST: Final = 5
"""Problems named in one message; the rest are counted."""
_SHOWN: Final = 60


def describe(error: pydantic.ValidationError, *, body: type[pydantic.BaseModel]) -> str:
    """One sentence a problem, in the order of the body's fields."""
    problems = list(dict.fromkeys(_problem(details, body) for details in error.errors(include_url=False)))
    rest = f"; and {len(problems) - MOST} more" if len(problems) > MOST else ""
    return "; ".join(problems[:MOST]) + rest


def path(location: Sequence[int | str]) -> str:
    """The location as a client would write it."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _problem(details: ErrorDetails, body: type[pydantic.BaseModel]) -> str:
    where = path(details["loc"])
    match details["type"]:
        case "extra_forbidden":
            return f"{where} {_unknown(details['loc'], body)}"
        case "missing":
            return f"{where} is required"
        case "model_type" | "dict_type":
            return f"{where or 'the body'} must be an object{_given(details['input'])}"
        case "list_type" | "tuple_type":
            return f"{where} must be an array{_given(details['input'])}"
        case "value_error" | "body":
            return f"{where}: {details['msg']}" if where else details["msg"].removeprefix("Value error, ")
        case _:
            given = "" if isinstance(details["input"], Mapping) else _given(details["input"])
            return f"{where} {_sentence(details['msg'])}{given}"


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "must", 1)


def _given(value: Any) -> str:
    if isinstance(value, Mapping):
        return " (given: an object)"
    if isinstance(value, list):
        return " (given: an array)"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return f" (given: {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'})"


def _unknown(location: Sequence[int | str], body: type[pydantic.BaseModel]) -> str:
    known = _known_fields(location[:-1], body)
    unknown = str(location[-1])
    if unknown in known:
        return "stands there in both of its spellings; send it once"
    by_case = {name.lower(): name for name in reversed(known)}
    near = difflib.get_close_matches(unknown.lower().replace("_", ""), by_case, n=1, cutoff=0.7)
    hint = f"did you mean {by_case[near[0]]}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"is not a known field; {hint}"


def _known_fields(location: Sequence[int | str], body: type[pydantic.BaseModel]) -> list[str]:
    model: type[pydantic.BaseModel] | None = body
    for part in location:
        if isinstance(part, str) and model is not None:
            field = _named(model).get(part)
            model = next(iter(_models(field.annotation)), None) if field is not None else None
    return [] if model is None else list(_named(model))


def _named(model: type[pydantic.BaseModel]) -> dict[str, fields.FieldInfo]:
    named: dict[str, fields.FieldInfo] = {}
    for name, field in model.model_fields.items():
        match field.validation_alias:
            case pydantic.AliasChoices(choices=choices):
                named |= {str(choice): field for choice in choices}
            case alias:
                named[str(alias or name)] = field
    return named


def _models(annotation: Any) -> Iterable[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
