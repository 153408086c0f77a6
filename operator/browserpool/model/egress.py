"""What a pool's pages may reach."""

import ipaddress
from typing import Annotated

import pydantic
from pydantic import Field

from browserpool.model.manifests import Part


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


Cidr = Annotated[str, Field(max_length=64), pydantic.AfterValidator(_network)]


class Egress(Part):
    """Private, loopback, link-local and metadata addresses are refused unless ``allow`` names them; ``deny`` beats ``allow``."""

    allow: tuple[Cidr, ...] = Field(default=(), description="Networks that pages may reach although they are private.")
    deny: tuple[Cidr, ...] = Field(
        default=(), description="Networks that pages may not reach although they are public."
    )
