"""A client's bearer token as it is kept."""

import dataclasses
import datetime
from collections.abc import Mapping

from browserpool.model.names import PoolName, TokenName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """``hash`` is ``credentials.hashed`` of the secret. ``None`` for ``pools`` means all, for the limits none.

    ``concurrency`` bounds the sessions held at once, ``rate_per_second`` the requests, ``daily_seconds`` how long browsers are held in a
    day of UTC, all sessions taken together.
    """

    name: TokenName
    hash: bytes
    pools: frozenset[PoolName] | None = None
    concurrency: int | None = None
    rate_per_second: float | None = None
    daily_seconds: float | None = None
    admin: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """This day of UTC on the database's clock: it is ``now``, it ends at ``ends_at``, and tokens have had browsers for ``seconds``."""

    now: datetime.datetime
    ends_at: datetime.datetime
    seconds: Mapping[TokenName, float]
