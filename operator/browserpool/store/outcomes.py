"""How requests to pools ended, by minutes: added by routers as they go, read for comparisons."""

import dataclasses
from collections.abc import Mapping

from browserpool.model.names import PoolName
from browserpool.model.outcomes import Arm, Kind, Tally
from browserpool.store import connect, queries

_SQL = queries.topic("outcomes")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Sum:
    arm: str
    template: str
    action: str
    requests: int
    failures: int
    seconds: float
    buckets: list[int]


async def add(db: connect.Database, counted: Mapping[Kind, Tally]) -> None:
    """Add what was counted to this minute's numbers."""
    kinds, tallies = [*counted], [*counted.values()]
    parameters = {
        "pools": [kind.pool for kind in kinds],
        "arms": [str(kind.arm) for kind in kinds],
        "templates": [kind.template for kind in kinds],
        "actions": [kind.action for kind in kinds],
        "requests": [tally.requests for tally in tallies],
        "failures": [tally.failures for tally in tallies],
        "seconds": [tally.seconds for tally in tallies],
        # An array of arrays would come apart in unnest.
        "buckets": ["{" + ",".join(map(str, tally.buckets)) + "}" for tally in tallies],
    }
    await connect.execute(db, _SQL["add"], parameters)


async def sums(db: connect.Database, pool: PoolName, *, since: float) -> dict[Kind, Tally]:
    """What was counted for the pool in the last ``since`` seconds, begun minutes whole."""
    found = await connect.fetch(db, _SQL["sums"], {"pool": pool, "since": since}, into=_Sum)
    return {
        Kind(pool=pool, arm=Arm(one.arm), action=one.action, template=one.template): Tally(
            requests=one.requests, failures=one.failures, seconds=one.seconds, buckets=one.buckets
        )
        for one in found
    }


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Forget minutes that began more than ``older_than`` seconds ago. Answers how many rows."""
    return await connect.execute(db, _SQL["prune"], {"older_than": older_than})
