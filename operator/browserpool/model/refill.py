"""How fast a pool makes missing browsers."""

from pydantic import Field

from browserpool.model.manifests import Part
from browserpool.model.quantities import Duration


class Refill(Part):
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
