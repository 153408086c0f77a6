"""What a tool is, and the request that a call of it is. Pure.

The tools themselves are read by the SDK's server only: to make their schemas takes a part of a start that routers without it are spared.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """``path`` holds ``{argument}``s; those of ``query`` go into the query, and the rest is the body, if it ``has_body``."""

    name: str
    description: str
    method: str
    path: str
    schema: dict[str, Any]
    query: tuple[str, ...] = ()
    has_body: bool = False
    reads: bool = True
    """It changes nothing but what pages do by being loaded."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the router."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None
