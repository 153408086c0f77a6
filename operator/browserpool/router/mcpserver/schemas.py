"""The arguments' schemas: a part of the wire's models. Pure.

A part, because a model reads them all before it does anything: thirty fields a tool would be fifteen thousand words. Fields that are left
out are taken all the same, as the action's own address takes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pydantic

from browserpool.router.openapi import schemas

SHARED: Final = (
    "url",
    "html",
    "viewport",
    "gotoOptions",
    "waitForSelector",
    "waitForTimeout",
    "setExtraHTTPHeaders",
    "rejectResourceTypes",
    "bestAttempt",
)
"""What most calls need of the shared body."""
_SAID: Final[Mapping[str, str]] = {
    "url": "The page's address, http or https. Either this or html.",
    "html": "A document to load instead of an address.",
    "bestAttempt": "Go on when an awaited event fails or times out.",
    "gotoOptions": "How to load the page; waitUntil is domcontentloaded unless said otherwise. Times are in milliseconds.",
    "waitForTimeout": "Milliseconds to wait after the page has loaded.",
}
_NOISE: Final = frozenset({"title", "propertyNames"})

Schema = dict[str, Any]


def of_model(model: type[pydantic.BaseModel], names: Sequence[str], *, required: Sequence[str] = ()) -> Schema:
    """The fields ``names`` of ``model`` as an object's schema that refers to nothing outside of itself."""
    whole = model.model_json_schema()
    parts = whole.get("$defs", {})
    properties = {name: _plain(whole["properties"][name], parts) for name in names}
    for name, text in _SAID.items():
        if name in properties:
            properties[name] = {**properties[name], "description": text}
    return of_fields(properties, required=required)


def of_fields(properties: Mapping[str, Schema], *, required: Sequence[str] = ()) -> Schema:
    """An object's schema."""
    schema: Schema = {"type": "object", "properties": dict(properties)}
    return {**schema, "required": list(required)} if required else schema


def _plain(value: Any, parts: Mapping[str, Any]) -> Any:
    """``value`` with what it refers to put in its place, and without what no reader needs."""
    if isinstance(value, list):
        return [_plain(item, parts) for item in value]
    if isinstance(value, str):
        return value.partition("\n\n")[0].replace("``", "`")
    if not isinstance(value, dict):
        return value
    if (reference := value.get("$ref")) is not None:
        rest = {name: item for name, item in value.items() if name != "$ref"}
        return _plain({**parts[reference.rpartition("/")[2]], **rest}, parts)
    plain = {name: _plain(item, parts) for name, item in schemas.bounded(value).items() if _tells(name, item)}
    return _without_null(plain)


def _tells(name: str, item: Any) -> bool:
    """Whether a reader needs it. A title repeats the name; an object's default is what its own fields say."""
    if name == "default":
        return isinstance(item, bool | int | float | str)
    return not (name in _NOISE and isinstance(item, str | dict))


def _without_null(schema: Schema) -> Schema:
    """``null`` says what leaving the field out says; one way to say it is enough."""
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return schema
    left = [choice for choice in choices if choice != {"type": "null"}]
    rest = {name: item for name, item in schema.items() if name != "anyOf"}
    return {**left[0], **rest} if len(left) == 1 else {**rest, "anyOf": left}
