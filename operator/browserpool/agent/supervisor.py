"""Keeps one child up: starts it, probes it, ends it, starts it again; backs off when it keeps dying, and at last gives up.

It has never heard of Chromium. A child is whatever ``start`` returns: it says when it is gone, answers a probe, and can be stopped.
"""

import asyncio
import contextlib
import dataclasses
import enum
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from browserpool.lib import clock, tasks

log = logging.getLogger(__name__)


class Child(Protocol):
    """A running child."""

    @property
    def gone(self) -> asyncio.Future[Any]:
        """Done once the child is no longer of use, whatever the reason."""

    async def probe(self) -> None:
        """Return if the child is alive; raise or hang if not."""

    async def stop(self) -> None:
        """End it and all it left, at once; bounded; never raises."""


C = TypeVar("C", bound=Child)


class Phase(enum.StrEnum):
    """Where the child is."""

    STARTING = "starting"
    UP = "up"
    RENEWING = "renewing"
    """Between two children by request, and nothing has gone wrong."""
    DOWN = "down"
    """It died or could not be started, and will be started again."""
    GIVEN_UP = "given up"
    STOPPED = "stopped"


class Why(enum.StrEnum):
    """Why a child was ended."""

    REQUESTED = "requested"
    CRASHED = "crashed"
    WEDGED = "wedged"
    START_FAILED = "start failed"


class GivenUp(Exception):
    """The child failed too often in a row."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Durations in seconds. A child that was up for ``stable_after`` has proven itself: its end counts as the first failure.

    One probe that fails proves nothing: on a machine that is too busy to run this process, its deadline passes with the answer unread.
    """

    start_deadline: float = 20.0
    probe_every: float = 2.0
    probe_deadline: float = 5.0
    probe_failures: int = 2
    first_delay: float = 0.1
    most_delay: float = 10.0
    stable_after: float = 10.0
    give_up_after: int = 8


def delay(failures: int, *, policy: Policy) -> float:
    """Seconds to wait before the next start after so many failures in a row; the first restart is at once."""
    if failures <= 1:
        return 0.0
    return float(min(policy.first_delay * 2 ** (failures - 2), policy.most_delay))


def failures_after(failures: int, *, why: Why, up_for: float, policy: Policy) -> int:
    """The failures in a row, once a child has ended for ``why`` after ``up_for`` seconds."""
    before = 0 if up_for >= policy.stable_after else failures
    return before if why is Why.REQUESTED else before + 1


class Supervisor(Generic[C]):
    """``start`` makes a child or raises; ``changed`` is called after each change of ``phase``."""

    def __init__(
        self,
        *,
        start: Callable[[], Awaitable[C]],
        policy: Policy,
        changed: Callable[[], None] = lambda: None,
        restarting: Callable[[Why], None] = lambda _: None,
        monotonic: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._start = start
        self._policy = policy
        self._changed = changed
        self._restarting = restarting
        self._monotonic = monotonic
        self._child: C | None = None
        self._requested = asyncio.Event()
        self._settled = asyncio.Condition()
        self.phase = Phase.STARTING
        self.restarts = 0
        self.generation = 0
        """Rises with each child."""

    @property
    def child(self) -> C | None:
        """The child, while it is up."""
        return None if self._child is None or self._child.gone.done() else self._child

    @property
    def healthy(self) -> bool:
        """Up, or being renewed on purpose."""
        return self.phase in (Phase.UP, Phase.RENEWING)

    async def up(self, *, deadline: float, after: int = -1) -> C | None:
        """The child, once one newer than generation ``after`` is up; ``None`` if none is within ``deadline`` seconds."""
        try:
            async with asyncio.timeout(deadline), self._settled:
                await self._settled.wait_for(lambda: self.child is not None and self.generation > after)
        except TimeoutError:
            return None
        return self.child

    async def renew(self, *, deadline: float) -> C | None:
        """End the child and start a fresh one; the fresh one, or ``None`` if it is not up within ``deadline`` seconds."""
        before = self.generation
        if self._child is not None:
            self._requested.set()
        return await self.up(deadline=deadline, after=before)

    async def run(self) -> None:
        """Keep a child up until cancelled; then end it.

        Raises:
            GivenUp: it failed ``give_up_after`` times in a row.
        """
        failures = 0
        try:
            while failures < self._policy.give_up_after:
                await asyncio.sleep(delay(failures, policy=self._policy))
                why, up_for = await self._once()
                failures = failures_after(failures, why=why, up_for=up_for, policy=self._policy)
                self.restarts += 1
                self._restarting(why)
            await self._enter(Phase.GIVEN_UP)
            raise GivenUp(f"The process failed {failures} times in a row; its last words are in the log above.")
        finally:
            if self.phase is not Phase.GIVEN_UP:
                self.phase = Phase.STOPPED

    async def _once(self) -> tuple[Why, float]:
        """One child's life: why it ended, and how long it was up."""
        self._requested.clear()
        try:
            async with asyncio.timeout(self._policy.start_deadline):
                child = await self._start()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from starting, the answer is the same: again, later
            log.warning("the process could not be started", extra={"why": repr(error)})
            await self._enter(Phase.DOWN)
            return Why.START_FAILED, 0.0
        began = self._monotonic()
        try:
            self.generation += 1
            self._child = child
            await self._enter(Phase.UP)
            why = await self._watch(child)
        finally:
            self._child = None
            await tasks.finish(child.stop(), deadline=self._policy.start_deadline)
        log.log(
            logging.INFO if why is Why.REQUESTED else logging.WARNING, "the process was ended", extra={"why": str(why)}
        )
        await self._enter(Phase.RENEWING if why is Why.REQUESTED else Phase.DOWN)
        return why, self._monotonic() - began

    async def _watch(self, child: C) -> Why:
        """Wait until the child must be ended."""
        async with tasks.Background(grace=0) as background:
            requested = background.spawn(self._requested.wait(), name="restart requested")
            prober = background.spawn(self._probe_until_it_fails(child), name="probe")
            try:
                await asyncio.wait({child.gone, requested, prober}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                requested.cancel()
                prober.cancel()
            if self._requested.is_set():
                return Why.REQUESTED
            return Why.CRASHED if child.gone.done() else Why.WEDGED

    async def _probe_until_it_fails(self, child: C) -> None:
        failures = 0
        while failures < self._policy.probe_failures:
            if not failures:
                await asyncio.sleep(self._policy.probe_every)
            failures = 0 if await self._answers(child) else failures + 1

    async def _answers(self, child: C) -> bool:
        with contextlib.suppress(Exception):  # a probe that raises in any way is a probe that failed
            async with asyncio.timeout(self._policy.probe_deadline):
                await child.probe()
            return True
        return False

    async def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._changed()
        async with self._settled:
            self._settled.notify_all()
