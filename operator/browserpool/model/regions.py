"""How far behind a region's heartbeats are."""

import dataclasses

from browserpool.model.names import RegionName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegionStatus:
    """``lag`` is the age in seconds of the oldest heartbeat that waits to be written, over all of the region's writers.

    ``stale``: claims are to read the backup. ``writers`` counts those that reported of late.
    """

    region: RegionName
    lag: float
    stale: bool
    writers: int
