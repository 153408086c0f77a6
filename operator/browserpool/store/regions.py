"""Regions, and how far behind each writer of their heartbeats is."""

from collections.abc import Collection, Mapping

from browserpool.model.names import HolderId, RegionName
from browserpool.model.regions import RegionStatus
from browserpool.store import connect, queries

_SQL = queries.topic("regions")


async def ensure(db: connect.Database, regions: Collection[RegionName]) -> None:
    """Make the regions known."""
    await connect.execute(db, _SQL["ensure"], {"regions": list(regions)})


async def record_lag(
    db: connect.Database, *, writer: HolderId, lags: Mapping[RegionName, float], max_lag: float = 2.0
) -> None:
    """``writer`` says how old, in seconds, its oldest unwritten heartbeat is.

    Over ``max_lag`` the region is stale until the lag is under half of that.
    """
    parameters = {"writer": writer, "regions": list(lags), "lags": list(lags.values()), "max_lag": max_lag}
    await connect.execute(db, _SQL["record_lag"], parameters)


async def withdraw(db: connect.Database, *, writer: HolderId) -> None:
    """``writer`` stops; what it said last no longer counts."""
    await connect.execute(db, _SQL["withdraw"], {"writer": writer})


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Delete what writers said that have been silent for ``older_than`` seconds. Answers how many rows."""
    return await connect.execute(db, _SQL["prune"], {"older_than": older_than})


async def listing(db: connect.Database) -> list[RegionStatus]:
    """All regions, by name."""
    return await connect.fetch(db, _SQL["listing"], {}, into=RegionStatus)
