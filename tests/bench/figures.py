"""One measured figure."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``ratio`` is ``value`` over ``floor_value``, both of one run; ``target`` is what the figure or its ratio is to reach, for people."""

    name: str
    value: float
    unit: str
    floor_value: float | None = None
    ratio: float | None = None
    target: str | None = None
