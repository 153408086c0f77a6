"""``spec.autoscaling``: between which numbers a pool finds by itself how many browsers each region keeps ready, and by what.

Time zones are looked up in the machine's database of them, or in the package that stands in for one: a name that neither knows is
refused here, where a person reads the complaint, not hours later when its hour strikes.
"""

import enum
import zoneinfo
from typing import Annotated, Any, Final, Self

import pydantic
from pydantic import Field

from browserpool.model.manifests import Part
from browserpool.model.quantities import Duration, IntOrPercent

_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


def _time_of_day(value: Any) -> Any:
    """Some readers of YAML take an unquoted 22:00 for a number in base 60, which is the minutes since midnight."""
    is_minutes = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60
    return f"{value // 60:02}:{value % 60:02}" if is_minutes else value


def _zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {value}; zones are named like Europe/Berlin, America/New_York or UTC"
        ) from None
    return value


TimeOfDay = Annotated[
    str, pydantic.StringConstraints(pattern=_TIME, max_length=5), pydantic.BeforeValidator(_time_of_day)
]
"""``"08:00"``, in 24 hours."""
TimeZone = Annotated[str, Field(min_length=1, max_length=64), pydantic.AfterValidator(_zone)]


class Day(enum.StrEnum):
    """A day of the week."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


WEEK: Final = tuple(Day)
"""The days, in the order in which ``datetime.date.weekday`` numbers them."""


class Hours(Part):
    """Hours of the week for which a region keeps more ready, whoever asks for it."""

    days: tuple[Day, ...] = Field(
        default=(), max_length=7, description="Days on which these hours begin. Default: every day."
    )
    begin: TimeOfDay = Field(alias="from", description="When they begin, such as 08:00.")
    end: TimeOfDay = Field(
        alias="to", description="When they end. Not after from: on the next day, so that 22:00 to 06:00 is a night."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="Whose clocks, such as Europe/Berlin; their changes to summer time are followed."
    )
    min_replicas: int = Field(ge=0, le=500_000, description="Browsers that each region keeps ready at least meanwhile.")

    @pydantic.field_validator("days")
    @classmethod
    def _each_once(cls, value: tuple[Day, ...]) -> tuple[Day, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each day may stand once")
        return value


class Autoscaling(Part):
    """How many browsers each region keeps ready, found from how many are held and how fast they go, in place of ``replicas``."""

    min_replicas: int = Field(
        default=1, ge=0, le=500_000, description="Browsers that each region keeps ready at least."
    )
    max_replicas: int = Field(
        ge=1,
        le=500_000,
        description="Browsers that each region keeps ready at most. The pool's maxReplicas, which counts those in use as well, "
        "binds besides.",
    )
    buffer: IntOrPercent = Field(
        default="25%",
        description="Browsers to keep ready beyond those that claims are about to take, at the rate of late: a number, or a percentage "
        "of those in use, rounded up.",
    )
    scale_down_delay: Duration = Field(
        default=300.0, description="The highest number wanted in this span counts: more at once, fewer only after it."
    )
    schedule: tuple[Hours, ...] = Field(
        default=(), max_length=32, description="Hours of the week with a higher minReplicas of their own."
    )

    @pydantic.model_validator(mode="after")
    def _min_below_max(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}")
        for hours in self.schedule:
            if hours.min_replicas > self.max_replicas:
                raise ValueError(f"schedule: minReplicas {hours.min_replicas} is above maxReplicas {self.max_replicas}")
        return self
