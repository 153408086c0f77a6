"""What a pool's pages may reach."""

import ipaddress
from typing import Annotated

import pydantic
from pydantic import Field
from pydantic.alias_generators import to_camel


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


Cidr = Annotated[str, Field(max_length=64), pydantic.AfterValidator(_network)]


class Egress(_Part):
    """Private, loopback, link-local and metadata addresses are refused unless ``allow`` names them; ``deny`` beats ``allow``."""

    allow: tuple[Cidr, ...] = Field(default=(), description="Networks that pages may reach although they are private.")
    deny: tuple[Cidr, ...] = Field(
        default=(), description="Networks that pages may not reach although they are public."
    )
