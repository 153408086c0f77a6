"""How fast a pool makes missing browsers."""

import pydantic
from pydantic import Field
from pydantic.alias_generators import to_camel

from browserpool.model.quantities import Duration


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class Refill(_Part):
    """How fast missing browsers are made."""

    max_batch: int = Field(
        default=10, ge=1, le=10_000, description="Browsers created in one reconcile, in each region."
    )
    max_rate: float | None = Field(
        default=None,
        ge=0.01,
        le=10_000,
        description="Browsers created per second in each region, on average over five seconds (below one in five seconds: over "
        "the time that one takes). Default: as many as maxBatch lets.",
    )
    readiness_grace: Duration = Field(
        default=300.0,
        description="A browser that is not ready after this long is replaced; one that cannot be scheduled is held.",
    )
