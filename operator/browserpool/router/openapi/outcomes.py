"""What the answer about a pool's outcomes looks like."""

from typing import Literal

from pydantic import Field

from browserpool.router.openapi import shapes


class Outcome(shapes.Shape):
    """How requests ended that one arm served. Failures are those of the browser or the system; milliseconds are estimates."""

    action: str
    """A quick action; `cdp`, whose milliseconds are those until it was connected; `all`: all quick actions."""
    arm: Literal["pool", "upstream"]
    requests: int
    failures: int
    error_rate: float
    mean_ms: float | None
    p50_ms: float | None = Field(alias="p50Ms")
    p95_ms: float | None = Field(alias="p95Ms")
    p99_ms: float | None = Field(alias="p99Ms")


class Outcomes(shapes.Shape):
    """Both arms of a pool, over the last seconds."""

    pool: str
    since: float
    outcomes: list[Outcome]
