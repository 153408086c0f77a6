"""What an agent says of itself every few seconds, and what it is told in return. JSON on the wire, in these field names."""

import datetime
from typing import Annotated

import pydantic
from pydantic import Field

BIGINT = 2**63 - 1
"""What a number in the store can hold; anything larger would fail its whole batch there."""

Counter = Annotated[int, Field(ge=0, le=BIGINT)]


class _Message(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Hello(_Message):
    """First word of an agent that has just started: where it is reached and what it runs."""

    browser_id: str = Field(min_length=1, max_length=253)
    address: str = Field(min_length=3, max_length=300, description="host:port of the agent's server")
    chromium: str = Field(
        default="", max_length=200, description="the browser's product string, as /json/version gives it"
    )


class Welcome(_Message):
    """The answer to ``Hello``."""

    incarnation: Counter
    fence: Counter = Field(description="older fences are refused; this one's session, if any, is over")
    now: datetime.datetime = Field(description="the database's time; what claim tokens' expiry is measured against")


class Heartbeat(_Message):
    """One agent's word of itself."""

    browser_id: str = Field(min_length=1, max_length=253)
    incarnation: Counter
    sequence: Counter = Field(description="rises with each heartbeat of this incarnation")
    healthy: bool = Field(description="Chromium answers over CDP")
    clean_fence: Counter = Field(
        description="the newest fence after which the browser is clean: nothing of that session is left"
    )
    load: float = Field(default=0, ge=0, le=1e6, allow_inf_nan=False, description="actions and connections under way")
    uses: Counter = Field(default=0, description="sessions served since Chromium's last start")
    restarts: Counter = Field(default=0, description="of Chromium, since this incarnation began")
    memory_bytes: Counter = Field(default=0, description="of Chromium's process group, resident")


class Reply(_Message):
    """What the store knows of the sender after its heartbeat was written (or found too old)."""

    known: bool = Field(description="false: no such browser, or a newer incarnation has its name; the agent must stop")
    fence: Counter = Field(default=0, description="the newest fence given out")
    recycle: bool = Field(
        default=False, description="the session of `fence` is over, and the agent has not yet said it is clean"
    )
    drain: bool = Field(default=False, description="no claim will come any more")
    now: datetime.datetime
