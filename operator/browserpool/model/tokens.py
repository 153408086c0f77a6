"""A client's bearer token as it is kept."""

import dataclasses

from browserpool.model.names import PoolName, TokenName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """``hash`` is ``credentials.hashed`` of the secret. ``None`` for ``pools`` means all, for the limits none.

    ``concurrency`` bounds the sessions held at once, ``rate_per_second`` the requests.
    """

    name: TokenName
    hash: bytes
    pools: frozenset[PoolName] | None = None
    concurrency: int | None = None
    rate_per_second: float | None = None
    admin: bool = False
