"""What an agent says of itself every few seconds, and what it is told in return. JSON on the wire, in these field names.

Plain dataclasses, because an agent cannot wait for pydantic; a router, which must check what it is sent, gives them to pydantic, which
finds the bounds in the annotations.
"""

import dataclasses
import datetime
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

BIGINT = 2**63 - 1
"""What a number in the store can hold; anything larger would fail its whole batch there."""


class _Within:
    """Bounds, in the words of pydantic's schemas."""

    def __init__(self, **bounds: object) -> None:
        self._bounds = bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(source), **self._bounds}


Counter = Annotated[int, _Within(ge=0, le=BIGINT)]
Name = Annotated[str, _Within(min_length=1, max_length=253)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First word of an agent that has just started: where it is reached (``host:port``) and what it runs, as /json/version says it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    browser_id: Name
    address: Annotated[str, _Within(min_length=3, max_length=300)]
    chromium: Annotated[str, _Within(max_length=200)] = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The answer to ``Hello``. ``now`` is the database's time, which claim tokens' expiry is measured against."""

    incarnation: int
    fence: int
    """Older fences are refused; this one's session, if any, is over."""
    now: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One agent's word of itself."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    browser_id: Name
    incarnation: Counter
    sequence: Counter
    """Rises with each heartbeat of this incarnation."""
    healthy: bool
    """Chromium answers over CDP."""
    clean_fence: Counter
    """The newest fence after which the browser is clean: nothing of that session is left."""
    load: Annotated[float, _Within(ge=0, le=1e6, allow_inf_nan=False)] = 0
    """Actions and connections under way."""
    uses: Counter = 0
    """Sessions served since Chromium's last start."""
    restarts: Counter = 0
    """Of Chromium, since this incarnation began."""
    memory_bytes: Counter = 0
    """Of Chromium's process group, resident."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the store knows of the sender after its heartbeat was written (or found too old)."""

    known: bool
    """False: no such browser, or a newer incarnation has its name; the agent must stop."""
    fence: int = 0
    """The newest fence given out."""
    recycle: bool = False
    """The session of ``fence`` is over, and the agent has not yet said it is clean."""
    drain: bool = False
    """No claim will come any more."""
    now: datetime.datetime
