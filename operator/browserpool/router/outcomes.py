"""What became of the requests that this router served: counted in memory as they end, added to the store every few seconds.

Nobody waits for it: a request's end costs one addition. While the store is away the counting goes on, and is written when it is back.
"""

import contextlib
import contextvars
import dataclasses
import logging
from collections.abc import Iterator
from typing import Final

from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model import outcomes as model
from browserpool.model.names import PoolName
from browserpool.store import connect, outcomes

log = logging.getLogger(__name__)

WRITE_EVERY: Final = 5.0
MOST_KINDS: Final = 5000
"""Kinds of requests that are counted between two writes. More are not made by any pools that one installation has: what comes beyond
them is not counted."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Timing:
    """A request that is under way; who serves it says here how it goes. ``failed``: by the browser or the system."""

    failed: bool = False
    template: str = ""
    arm: model.Arm = model.Arm.POOL


_timing: contextvars.ContextVar[Timing | None] = contextvars.ContextVar("timing", default=None)


def served_by(template: str) -> None:
    """A browser of this template was claimed for the request that is being timed, if one is.

    Every way to a browser goes through one place, far below those that time requests: a context variable spares all between them.
    """
    timing = _timing.get()
    if timing is not None:
        timing.template = template


class Outcomes:
    """The counts that are not written yet."""

    def __init__(self, *, db: connect.Database, now: clock.Monotonic = clock.monotonic) -> None:
        self._db = db
        self._now = now
        self._counted: dict[model.Kind, model.Tally] = {}

    def record(self, kind: model.Kind, *, seconds: float, failed: bool) -> None:
        """One request ended."""
        tally = self._counted.get(kind)
        if tally is None:
            if len(self._counted) >= MOST_KINDS:
                return
            tally = self._counted[kind] = model.Tally()
        tally.count(seconds, failed=failed)

    @contextlib.contextmanager
    def timed(self, pool: PoolName, action: str) -> Iterator[Timing]:
        """Count the block as one request. One whose client went away meanwhile says nothing of who served it, and is not counted."""
        started, timing = self._now(), Timing()
        outer = _timing.set(timing)
        try:
            yield timing
        except ConnectionResetError:
            raise  # the client is gone
        except Exception as error:
            timing.failed = model.has_failed(error)
            self._ended(timing, pool, action, started)
            raise
        finally:
            _timing.reset(outer)
        self._ended(timing, pool, action, started)

    def _ended(self, timing: Timing, pool: PoolName, action: str, started: float) -> None:
        kind = model.Kind(pool=pool, arm=timing.arm, action=action, template=timing.template)
        self.record(kind, seconds=self._now() - started, failed=timing.failed)

    async def write(self) -> None:
        """Add what was counted to the store; what cannot be added stays counted.

        Raises:
            errors.Unavailable: the store cannot take it now.
        """
        counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            await outcomes.add(self._db, counted)
        except BaseException:  # whatever kept it from being written, a cancellation too: the next write has it
            for kind, tally in counted.items():
                self._counted.setdefault(kind, model.Tally()).add(tally)
            raise

    @property
    def unwritten(self) -> int:
        """How many requests ended that the store does not know of yet."""
        return sum(tally.requests for tally in self._counted.values())

    async def stop(self) -> None:
        """The last write. With a store that is away, the last seconds are lost, and ``unwritten``."""
        try:
            await self.write()
        except errors.Unavailable as error:
            log.info("the last seconds' outcomes are not written", extra={"why": error.message})
