"""Tasks that somebody owns, deadlines, and a stop on SIGTERM.

``asyncio.TaskGroup`` serves where work ends with a block of code. ``Background`` serves where it outlives the caller (a
release after the answer was sent): it holds the tasks, logs what fails, and is closed with a deadline. ``Budget`` keeps the deadlines of
a stop from adding up.
"""

import asyncio
import contextlib
import functools
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, Self, TypeVar

from browserpool.lib import chance, clock

log = logging.getLogger(__name__)

T = TypeVar("T")

_ENDS_WITHIN: Final = 1.0
"""Seconds that a cancelled task may take to end when nothing else is left of a budget; it takes a moment, unless it hangs."""


class Budget:
    """What a process's stop may take in all.

    Its waits come one after the other, and each has a deadline of its own: once this has begun they share what is left of it instead.
    """

    def __init__(self, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._now = now
        self._end: float | None = None

    @property
    def begun(self) -> bool:
        """Whether the process stops."""
        return self._end is not None

    def begin(self, seconds: float) -> None:
        """So much is left from now on; of several beginnings the one that ends first counts."""
        end = self._now() + seconds
        self._end = end if self._end is None else min(self._end, end)

    @contextlib.contextmanager
    def begun_after(self, seconds: float) -> Iterator[None]:
        """Begin it when the block is left, however that is."""
        try:
            yield
        finally:
            self.begin(seconds)

    def left(self, most: float) -> float:
        """Seconds that a wait may take that would have taken up to ``most``."""
        return most if self._end is None else max(0.0, min(most, self._end - self._now()))


class Background:
    """A set of tasks that outlive their callers.

    Used as an async context manager: on leaving, running tasks get ``grace`` seconds to finish and are then cancelled; fewer, where less is
    left of ``budget``.
    """

    def __init__(self, *, grace: float = 10.0, budget: Budget | None = None) -> None:
        self._grace = grace
        self._budget = budget or Budget()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work``; if it fails and nobody awaits it, the failure is logged under ``name``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def to_its_end(self, work: Coroutine[Any, Any, T], *, unwanted: Callable[[T], object], name: str) -> T:
        """What ``work`` gives or raises. It is done though the caller is cancelled meanwhile, and ``unwanted`` then gets what it gives.

        For what leaves something behind elsewhere that only its answer names.
        """
        task = self.spawn(_settled(work), name=name)
        try:
            settled = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(functools.partial(_given_to, unwanted))
            raise
        return settled.result()

    async def let_go(self, work: Coroutine[Any, Any, T], *, name: str) -> T:
        """What ``work`` gives or raises. A caller who is cancelled goes at once; ``work`` is cancelled too, and ends behind his back.

        For what may take its time to be cancelled.
        """
        task = self.spawn(_settled(work), name=name)
        try:
            settled = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(functools.partial(_given_to, _ignored))
            raise
        return settled.result()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", extra={"task": task.get_name()}, exc_info=error)

    async def close(self, *, grace: float | None = None) -> None:
        """Let running tasks finish for ``grace`` seconds (default: as it was made), then cancel them, and wait for the cancellation."""
        if self._tasks and grace != 0:
            await asyncio.wait(self._tasks, timeout=self._budget.left(self._grace if grace is None else grace))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(self._budget.left(self._grace), min(self._grace, _ENDS_WITHIN)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _settled(work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
    settled = asyncio.get_running_loop().create_future()
    try:
        settled.set_result(await work)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where it is asked for
        settled.set_exception(error)
    return settled


def _given_to(unwanted: Callable[[T], object], task: "asyncio.Task[asyncio.Future[T]]") -> None:
    if task.cancelled():
        return
    if (error := task.result().exception()) is not None:
        log.info("what nobody waits for any more failed", extra={"task": task.get_name(), "why": repr(error)})
    else:
        unwanted(task.result().result())


def _ignored(_: object) -> None:
    pass


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, T], *, name: str) -> "AsyncIterator[asyncio.Task[T]]":
    """Run ``work`` while the block runs: on leaving it is cancelled if it has not ended, and its end is awaited.

    It fails where the block awaits it, and nowhere else.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


async def finish(work: Coroutine[Any, Any, T], *, deadline: float) -> T:
    """Run ``work`` to its end even if the caller is cancelled meanwhile; the cancellation is then raised.

    For clean-up that must not be cut short. ``deadline`` (seconds) bounds it all the same.
    """
    task = asyncio.get_running_loop().create_task(asyncio.wait_for(work, deadline))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            log.warning("clean-up failed after a cancellation", exc_info=task.exception())
        raise


async def periodically(action: Callable[[], Awaitable[object]], *, every: float, name: str) -> None:
    """Call ``action`` about every ``every`` seconds (jittered) until cancelled; a failure is logged and does not end it."""
    while True:
        try:
            await action()
        except Exception:  # a loop of the process's own must outlive any one failure
            log.warning("periodic work failed; it will be tried again", extra={"work": name}, exc_info=True)
        await asyncio.sleep(chance.jitter(every))


def backoff(*, first: float, factor: float = 2.0, most: float) -> Iterator[float]:
    """Endless delays in seconds: ``first``, then ``factor`` times more each, never over ``most``."""
    delay = first
    while True:
        yield min(delay, most)
        delay = min(delay * factor, most)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; for the main task of a process to wait for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
