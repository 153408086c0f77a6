"""The body of ``POST /json`` (api.md §3): what a language model is to read out of the page, in which form, and which models to ask."""

from typing import Annotated, Any, Final, Literal, Self

import orjson
import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import shared
from browserpool.model.wire.scalars import Part, Text

MAX_PROMPT: Final = 65_536
"""Characters."""
MAX_SCHEMA: Final = 65_536
"""Bytes, as JSON."""
MAX_MODELS: Final = 10


class CustomAi(Part):
    """One model to ask, as ``provider/name``; ``authorization`` is the caller's own at the provider, with or without ``Bearer``."""

    model: Annotated[Text, Field(max_length=512)]
    authorization: Annotated[Text, Field(max_length=16_384)] | None = Field(default=None, repr=False)

    @pydantic.field_validator("model")
    @classmethod
    def _of_a_provider(cls, value: str) -> str:
        provider, _, name = value.partition("/")
        if not provider or not name or not value.isprintable():
            raise PydanticCustomError("model", "must be like provider/name, for example openai/gpt-4o")
        return value

    @pydantic.field_validator("authorization")
    @classmethod
    def _fits_a_header(cls, value: str | None) -> str | None:
        # "body": the complaint does not repeat what was given.
        if value is not None and not (value.isascii() and value.isprintable() and value.strip()):
            raise PydanticCustomError("body", "must be one line of ASCII, like Bearer TOKEN")
        return value

    @property
    def provider(self) -> str:
        """What stands before the first ``/``."""
        return self.model.partition("/")[0]

    @property
    def name(self) -> str:
        """The model's name at its provider, which may have more ``/`` in it."""
        return self.model.partition("/")[2]


class ResponseFormat(Part):
    """The form of the answer. The schema stands in ``json_schema`` or in ``schema``, bare or with a name beside it, as OpenAI has it."""

    type: Literal["json_schema", "json_object"]
    json_schema: dict[Text, Any] | None = Field(default=None, alias="json_schema")
    bare_schema: dict[Text, Any] | None = Field(default=None, alias="schema")

    @pydantic.model_validator(mode="after")
    def _one_schema(self) -> Self:
        if self.json_schema is not None and self.bare_schema is not None:
            raise PydanticCustomError("body", "has json_schema and schema; send the schema once")
        if self.wanted is not None and len(orjson.dumps(self.wanted)) > MAX_SCHEMA:
            raise PydanticCustomError("body", "has a schema of more than {most} bytes", {"most": MAX_SCHEMA})
        return self

    @property
    def wanted(self) -> dict[str, Any] | None:
        """The JSON Schema itself; ``None``, which the SDKs' types can say with either type: any object."""
        given = self.bare_schema if self.json_schema is None else self.json_schema
        inner = given.get("schema") if given is not None else None
        # `schema` is no word of JSON Schema: what has one is OpenAI's {name, schema, strict}.
        return inner if isinstance(inner, dict) else given


class Extraction(Part):
    """What to ask of a model. ``custom_ai`` is tried in its order; without it, the model of the installation is asked."""

    prompt: Annotated[Text, Field(min_length=1, max_length=MAX_PROMPT)] | None = None
    response_format: ResponseFormat | None = Field(default=None, alias="response_format")
    custom_ai: Annotated[tuple[CustomAi, ...], Field(max_length=MAX_MODELS)] = Field(default=(), alias="custom_ai")

    @pydantic.model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.prompt is None and (self.response_format is None or self.response_format.wanted is None):
            raise PydanticCustomError("body", "prompt or response_format is required; say what to read out of the page")
        return self

    @property
    def schema_wanted(self) -> dict[str, Any] | None:
        """The JSON Schema that the answer must conform to; ``None``: any object."""
        return None if self.response_format is None else self.response_format.wanted


class Json(Extraction, shared.QuickAction):
    """The body of ``POST /json``: the shared one, and what to ask."""


OWN_FIELDS: Final = frozenset({"prompt", "response_format", "custom_ai", "cacheTTL"})
"""Those that are not for the browser."""
