"""How long browsers were held for each token, by days of UTC. No claim and no release pays for it: it is counted from what they write."""

import dataclasses
import datetime
from typing import Final

from browserpool.model.names import TokenName
from browserpool.model.tokens import Day
from browserpool.store import connect, queries

_SQL = queries.topic("usage")

SETTLE: Final = 15.0
"""Seconds; well over the deadline of a statement: no end of a session is older when it becomes visible."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    now: datetime.datetime
    ends_at: datetime.datetime
    token: TokenName | None
    seconds: float | None


async def count(db: connect.Database, *, every: float, settle: float = SETTLE) -> None:
    """Bring the counts up to now, unless somebody did within ``every`` seconds or does at this moment."""
    await connect.execute(db, _SQL["count"], {"every": every, "settle": settle})


async def today(db: connect.Database) -> Day:
    """The day, and what was counted of it; a token that is missing has had nothing."""
    lines = await connect.fetch(db, _SQL["today"], {}, into=_Line)
    spent = {line.token: line.seconds for line in lines if line.token is not None and line.seconds is not None}
    return Day(now=lines[0].now, ends_at=lines[0].ends_at, seconds=spent)


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Forget days that ended more than ``older_than`` seconds ago. Answers how many counts."""
    return await connect.execute(db, _SQL["prune"], {"older_than": older_than})
