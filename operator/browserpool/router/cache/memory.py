"""Answers kept in this process, bounded in bytes: the one that was not asked for the longest goes first."""

import collections
import dataclasses
from typing import Final

from browserpool.lib import clock
from browserpool.router.cache import policy

OVERHEAD: Final = 1024
"""Bytes that an entry takes besides its body, at most."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    answer: policy.Kept
    stored_at: float
    expires_at: float

    @property
    def size(self) -> int:
        return len(self.answer.body) + OVERHEAD


class Memory:
    """At most ``most`` bytes."""

    def __init__(self, *, most: int, now: clock.Monotonic = clock.monotonic) -> None:
        self._most = most
        self._now = now
        self._entries: collections.OrderedDict[bytes, _Entry] = collections.OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, asked: policy.Asked) -> tuple[policy.Kept, float] | None:
        """The answer and its age in seconds, if it is there and young enough."""
        entry = self._entries.get(asked.key)
        if entry is None:
            return None
        now = self._now()
        if now >= entry.expires_at:
            self._drop(asked.key)
            return None
        age = now - entry.stored_at
        if age >= asked.ttl:
            return None
        self._entries.move_to_end(asked.key)
        return entry.answer, age

    def put(self, asked: policy.Asked, answer: policy.Kept) -> None:
        """Keep it; others make room. One that has not its own room alone is not kept."""
        now = self._now()
        entry = _Entry(answer=answer, stored_at=now, expires_at=now + asked.ttl)
        if asked.key in self._entries:
            self._drop(asked.key)
        if entry.size > self._most:
            return
        while self.bytes + entry.size > self._most:
            self._drop(next(iter(self._entries)))
        self._entries[asked.key] = entry
        self.bytes += entry.size

    def sweep(self) -> None:
        """Forget what has expired."""
        now = self._now()
        for key in [key for key, entry in self._entries.items() if now >= entry.expires_at]:
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._entries.pop(key).size
