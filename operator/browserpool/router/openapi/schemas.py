"""JSON schemas of the models, as the wire really is, for the document. Pure.

Three things are added to what pydantic says: ``null`` is the same as absent in the wire's own models, a field may have a second spelling,
and what pydantic calls titles is left out, since it only says the name once more.
"""

from collections.abc import Mapping
from typing import Any, Final

import pydantic
from pydantic import json_schema
from pydantic_core import core_schema

from browserpool.model.wire import scalars

REFERENCE: Final = "#/components/schemas/{model}"
_BOUNDS: Final[Mapping[str, str]] = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
"""What pydantic leaves of bounds on a value that a function of ours has read, and JSON Schema's names for them."""

Schema = dict[str, Any]


class _Generator(json_schema.GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's own name
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        made = super().model_schema(schema)
        made.pop("title", None)
        return _as_part(schema["cls"], made) if issubclass(schema["cls"], scalars.Part) else made

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        made = super().dataclass_schema(schema)
        made.pop("title", None)
        return made


def made(types: Mapping[str, Any]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The schema of each type by the type's key, and what these refer to, by name. A type may be anything that pydantic knows."""
    adapters = [(key, "validation", pydantic.TypeAdapter(one)) for key, one in types.items()]
    found, rest = pydantic.TypeAdapter.json_schemas(
        adapters,  # type: ignore[arg-type]
        ref_template=REFERENCE,
        schema_generator=_Generator,
    )
    schemas = {key: plain(schema) for (key, _), schema in found.items()}
    return schemas, {name: plain(schema) for name, schema in rest.get("$defs", {}).items()}


def plain(schema: Any) -> Any:
    """The same without what says nothing, and with ``null`` as one more type where that can be."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    cleared = {key: _kept(key, value) for key, value in bounded(schema).items()}
    if cleared.get("default", 0) is None:
        del cleared["default"]
    match cleared.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}]:
            del cleared["anyOf"]
            return {**cleared, **_or_null(one, kind)}
        case _:
            return cleared


def bounded(schema: Schema) -> Schema:
    """``schema`` with the bounds that pydantic left: a number's are the wire's too; those of what is made of a text or a union are not."""
    rest = {key: value for key, value in schema.items() if key not in _BOUNDS}
    if schema.get("type") not in ("integer", "number"):
        return rest
    return rest | {name: schema[key] for key, name in _BOUNDS.items() if key in schema}


def _kept(key: str, value: Any) -> Any:
    if key == "description" and isinstance(value, str):
        return " ".join(value.replace("``", "`").split())
    if key in ("properties", "$defs"):
        return {name: plain(part) for name, part in value.items()}
    return value if key in ("default", "example", "examples", "enum", "const") else plain(value)


def _or_null(schema: Schema, kind: str) -> Schema:
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [kind, "null"], **enum}


def _as_part(cls: type[pydantic.BaseModel], whole: Schema) -> Schema:
    """A part of the wire: all that may be left out may be null, and each other spelling of a field is there too."""
    required = whole.get("required", [])
    fields = {name: one if name in required else _nullable(one) for name, one in whole.get("properties", {}).items()}
    either = []
    for field in cls.model_fields.values():
        match field.validation_alias:
            case pydantic.AliasChoices(choices=[str(first), *others]) if first in fields:
                for other in others:
                    again = {"description": f"The same as `{first}`.", "deprecated": True}
                    fields[str(other)] = {**fields[first], **again}
                if first in required:
                    either = [{"required": [str(name)]} for name in (first, *others)]
                    required = [name for name in required if name != first]
            case _:
                pass
    whole["description"] = _in_wire_words(whole.get("description"), cls)
    made = {**whole, "properties": fields, "required": required, "oneOf": either or whole.get("oneOf")}
    return {key: value for key, value in made.items() if value not in ([], None)}


def _in_wire_words(text: str | None, cls: type[pydantic.BaseModel]) -> str | None:
    """A docstring with the fields' names as the wire has them."""
    for name, field in cls.model_fields.items() if text else ():
        match field.validation_alias:
            case str(alias) | pydantic.AliasChoices(choices=[str(alias), *_]):
                text = (text or "").replace(f"``{name}``", f"``{alias}``")
            case _:
                pass
    return text


def _nullable(schema: Schema) -> Schema:
    if any(one.get("type") == "null" for one in schema.get("anyOf", ())):
        return schema
    beside = {key: value for key, value in schema.items() if key in ("default", "description", "deprecated")}
    itself = {key: value for key, value in schema.items() if key not in beside}
    return {"anyOf": [itself, {"type": "null"}], **beside}
