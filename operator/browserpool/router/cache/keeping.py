"""The cache of a router: looked up before a browser is claimed, filled after an answer was given.

A cache that does not work is no reason to refuse a request: what cannot be looked up is made, what cannot be kept is not.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Final, Literal

from browserpool import metrics
from browserpool.lib import clock, tasks
from browserpool.model import errors
from browserpool.router.cache import memory, policy
from browserpool.store import cache as store
from browserpool.store import connect

log = logging.getLogger(__name__)

Where = Literal["memory", "postgres", "off"]
SWEEP_EVERY: Final = 2.0
"""Seconds."""
MOST_PENDING: Final = 16 * 1024 * 1024
"""Bytes on their way into the store: what comes while it is slow is not kept."""
WRITERS: Final = 2
"""Of the connections to the store; claims have the rest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``most`` bytes in all (in the store: of all routers together), ``most_each`` of one answer. ``secret`` makes keys."""

    where: Where
    most: int
    most_each: int
    secret: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An answer that can be given again; ``age`` in seconds."""

    answer: policy.Kept
    age: float


class Cache:
    """Made once, in ``app``, which calls ``sweep`` every ``SWEEP_EVERY`` seconds."""

    def __init__(
        self,
        rules: Rules,
        *,
        db: connect.Database,
        background: tasks.Background,
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self.rules = rules
        self._db = db
        self._background = background
        self._memory = memory.Memory(most=rules.most, now=now)
        self._room = rules.most
        """Bytes that this router may still put into the store until it has counted again."""
        self._pending = 0
        self._writers = asyncio.Semaphore(WRITERS)

    def may_look(self, content_length: int | None) -> bool:
        """Whether a request with a body of such a length is to be looked up."""
        return self.rules.where != "off" and policy.may_look(content_length)

    def asked(self, scope: policy.Scope, action: str, body: bytes, *, ttl: float) -> policy.Asked | None:
        """Where the answer to a checked body would be; ``None``: it is not to be looked up, nor kept."""
        if ttl <= 0 or not self.may_look(len(body)):
            return None
        return policy.Asked(key=policy.key(scope, action, body, secret=self.rules.secret), ttl=ttl)

    async def get(self, asked: policy.Asked) -> Hit | None:
        """The answer, if it is there."""
        hit = self._from_memory(asked) if self.rules.where == "memory" else await self._from_store(asked)
        metrics.CACHE_LOOKUPS.labels("miss" if hit is None else "hit").inc()
        return hit

    def _from_memory(self, asked: policy.Asked) -> Hit | None:
        found = self._memory.get(asked)
        return None if found is None else Hit(answer=found[0], age=found[1])

    async def _from_store(self, asked: policy.Asked) -> Hit | None:
        try:
            row = await store.get(self._db, asked.key, ttl=asked.ttl)
        except errors.BrowserpoolError as error:
            log.info("the cache could not be asked", extra={"why": error.message})
            return None
        return None if row is None else Hit(answer=policy.Kept(headers=row.headers, body=row.body), age=row.age)

    def put(self, asked: policy.Asked, *, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        """Keep an answer, if it is one that is kept; into the store in the background. ``body``: ``None`` if it is not at hand."""
        answer = policy.kept(status=status, headers=headers, body=body, most=self.rules.most_each)
        if answer is None:
            return
        if self.rules.where == "memory":
            self._memory.put(asked, answer)
            metrics.CACHE_BYTES.set(self._memory.bytes)
            return
        size = len(answer.body) + store.OVERHEAD
        if size <= min(self._room, MOST_PENDING - self._pending):
            self._room -= size
            self._pending += size
            self._background.spawn(self._into_store(asked, answer, size), name="keep an answer")

    async def _into_store(self, asked: policy.Asked, answer: policy.Kept, size: int) -> None:
        try:
            async with self._writers:
                await store.put(self._db, asked.key, headers=answer.headers, body=answer.body, ttl=asked.ttl)
        except errors.BrowserpoolError as error:
            log.info("an answer could not be kept", extra={"why": error.message})
        finally:
            self._pending -= size

    async def sweep(self) -> None:
        """Forget what has expired, and what is too much.

        Raises:
            errors.Unavailable: the store is away.
        """
        match self.rules.where:
            case "memory":
                self._memory.sweep()
                metrics.CACHE_BYTES.set(self._memory.bytes)
            case "postgres":
                # A quarter is left for what comes until the next sweep: a full cache takes what is new, and lets go what is old.
                held = await store.sweep(self._db, most=self.rules.most * 3 // 4)
                self._room = max(0, self.rules.most - held)
                metrics.CACHE_BYTES.set(held)
            case "off":
                pass
