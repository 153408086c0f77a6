"""Pools and tokens as the store has them, kept in memory and read again every second or so.

While the store is away the last reading serves on. What is not found is looked up once more before it is refused, so that a token
or a pool that was made this second works; not more often than ``HURRY``, so that guesses cost the store nothing.
"""

import asyncio
import logging
import math
from collections.abc import Mapping

from browserpool.lib import clock
from browserpool.model import credentials, errors, pool
from browserpool.model import tokens as model
from browserpool.model.names import PoolName
from browserpool.store import connect, pools, tokens

log = logging.getLogger(__name__)

HURRY = 0.25
"""Seconds between two readings that a miss asks for."""


class Catalog:
    """Empty until the first ``reload``."""

    def __init__(self, db: connect.Database, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._now = now
        self._pools: dict[PoolName, pool.PoolSpec] = {}
        self._tokens: dict[bytes, model.Token] = {}
        self._tried_at = -math.inf
        self._reading = asyncio.Lock()
        self.loaded = False
        """Whether the store was ever read."""

    @property
    def pools(self) -> Mapping[PoolName, pool.PoolSpec]:
        """Every pool's spec."""
        return self._pools

    async def reload(self) -> None:
        """Read both tables.

        Raises:
            errors.Unavailable: the store is away; the last reading stays.
        """
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        self._tried_at = self._now()
        found_pools = await pools.listing(self._db)
        found_tokens = await tokens.listing(self._db)
        self._pools = {one.name: one.spec for one in found_pools}
        self._tokens = {one.hash: one for one in found_tokens}
        self.loaded = True

    async def token(self, bearer: str) -> model.Token:
        """Whose bearer token it is.

        Raises:
            errors.Unauthorized: nobody's.
            errors.Unavailable: the store was not read yet.
        """
        digest = credentials.hashed(bearer)
        if digest not in self._tokens:
            await self.hurry()
        if digest not in self._tokens:
            if not self.loaded:
                raise errors.Unavailable("This router has not read its tokens yet; ask again.", retry_after=1)
            raise errors.Unauthorized("The bearer token is not one that this installation gave out.")
        return self._tokens[digest]

    async def hurry(self) -> None:
        """Read again, unless a reading has begun since the call; soon after the last one, wait first.

        What was written a moment ago is found, and many who ask for what is not there share one reading.
        """
        asked = self._now()
        async with self._reading:
            if self._tried_at >= asked:
                return
            await asyncio.sleep(max(0.0, self._tried_at + HURRY - asked))
            try:
                await self._read()
            except errors.Unavailable as error:
                log.info("pools and tokens cannot be read", extra={"why": error.message})
