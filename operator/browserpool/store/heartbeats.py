"""The batch writer: heartbeats gather for a moment and are written together, one statement a batch."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Self

from browserpool import metrics
from browserpool.lib import chance, clock, tasks
from browserpool.model import errors
from browserpool.model.heartbeats import Heartbeat, Reply
from browserpool.model.names import HolderId, RegionName
from browserpool.store import connect, queries, regions

log = logging.getLogger(__name__)

_SQL = queries.topic("heartbeats")

Sender = tuple[str, int]
"""Browser and incarnation. Two incarnations of one browser are two senders: the older one is to be told that it is replaced."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """Times in seconds."""

    max_batch_size: int = 100
    max_batch_timeout: float = 1.0
    """How long the first heartbeat of a batch waits for others."""
    max_news_timeout: float = 0.02
    """The same, if the batch holds news: a sender that is new, became clean or changed its health. A pool refills by these."""
    max_retries: int = 1
    queue_limit: int = 20_000
    """Senders that may wait; over it, heartbeats are refused."""
    max_in_flight: int = 2
    """Batches that may be under way at once."""
    max_lag: float = 2.0
    """Over it, the regions are stale until the lag is under half of it."""
    lag_interval: float = 1.0
    """How often the lag is recorded."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Waiting:
    """The newest heartbeat of one sender, when its first one came, and who wants to know."""

    heartbeat: Heartbeat
    since: float
    answers: list[asyncio.Future[Reply]]

    def resolve(self, reply: Reply) -> None:
        for answer in self.answers:
            if not answer.done():
                answer.set_result(reply)

    def fail(self, error: errors.BrowserpoolError) -> None:
        for answer in self.answers:
            if not answer.done():
                answer.set_exception(error)


class BatchWriter:
    """Writes heartbeats in batches while its context is open; on leaving, what waits is still written.

    ``regions`` are those that it serves: for each it records how old its oldest unwritten heartbeat is. ``writer`` names it there.
    """

    def __init__(
        self,
        db: connect.Database,
        settings: BatchSettings | None = None,
        *,
        regions: Collection[RegionName] = (),
        writer: HolderId | None = None,
        monotonic: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._db = db
        self._settings = settings or BatchSettings()
        self._regions = tuple(regions)
        self._writer = writer or HolderId(chance.unique_id())
        self._monotonic = monotonic
        self._waiting: dict[Sender, _Waiting] = {}
        self._in_flight: list[list[_Waiting]] = []
        self._said = _LastWords(limit=max(100_000, self._settings.queue_limit))
        self._news_since: float | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._slots = asyncio.Semaphore(self._settings.max_in_flight)
        self._background = tasks.Background(grace=2 * db.deadline + 1, budget=db.budget)

    async def __aenter__(self) -> Self:
        self._loop = self._background.spawn(self._gather(), name="heartbeat batches")
        self._recorder = self._background.spawn(
            tasks.periodically(self._record_lag, every=self._settings.lag_interval, name="region lag"),
            name="region lag",
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        self._recorder.cancel()
        # First all is handed out, then what is under way finishes.
        await asyncio.wait({self._loop}, timeout=self._db.budget.left(self._db.deadline))
        await self._background.close()
        _abandon(self._waiting.values())
        with contextlib.suppress(errors.Unavailable):  # its last word on lag ages out by itself
            await regions.withdraw(self._db, writer=self._writer)

    async def submit(self, heartbeat: Heartbeat) -> Reply:
        """Queue ``heartbeat`` and wait until it, or a newer one of its sender, is written (or found too old).

        Raises:
            errors.TooManyRequests: the queue is full; the next heartbeat may find room.
            errors.InvalidRequest: the store cannot hold this one.
            errors.Unavailable: the store is away, or this process is stopping.
        """
        return await self.queue(heartbeat)

    def queue(self, heartbeat: Heartbeat) -> "asyncio.Future[Reply]":
        """As ``submit``, for a caller who has many and waits for them together.

        Raises:
            errors.TooManyRequests, errors.Unavailable: as ``submit``, and then nothing was queued.
        """
        if self._closing:
            raise errors.Unavailable("This process is stopping; send heartbeats to another router.", retry_after=1)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue(heartbeat, answer)
        return answer

    def serve(self, regions: Collection[RegionName]) -> None:
        """From now on the lag is recorded for these regions; what was said of others ages out."""
        self._regions = tuple(regions)

    def lag(self) -> float:
        """The age in seconds of the oldest heartbeat that is not written yet; 0 if there is none."""
        waiting = next(iter(self._waiting.values()), None)
        since = [one.since for batch in self._in_flight for one in batch] + ([waiting.since] if waiting else [])
        return max(0.0, self._monotonic() - min(since)) if since else 0.0

    # ------------------------------------------------------------ gathering

    def _queue(self, heartbeat: Heartbeat, answer: asyncio.Future[Reply]) -> None:
        sender = (heartbeat.browser_id, heartbeat.incarnation)
        waiting = self._waiting.get(sender)
        if waiting is not None:
            waiting.answers.append(answer)
            if heartbeat.sequence > waiting.heartbeat.sequence:
                waiting.heartbeat = heartbeat
        elif len(self._waiting) >= self._settings.queue_limit:
            metrics.HEARTBEATS_REFUSED.inc()
            raise errors.TooManyRequests(
                f"{self._settings.queue_limit} heartbeats wait to be written already; send the next one as usual.",
                retry_after=connect.RETRY_AFTER,
            )
        else:
            self._waiting[sender] = _Waiting(heartbeat=heartbeat, since=self._monotonic(), answers=[answer])
        if self._said.is_news(heartbeat) and self._news_since is None:
            self._news_since = self._monotonic()
        self._wake.set()

    async def _gather(self) -> None:
        while self._waiting or not self._closing:
            await self._batch_is_due()
            await self._slots.acquire()
            batch = self._take()
            if batch:
                self._background.spawn(self._write_and_answer(batch), name="heartbeat batch")
            else:
                self._slots.release()

    async def _batch_is_due(self) -> None:
        while not self._closing and len(self._waiting) < self._settings.max_batch_size:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._wake.wait()
            if self._patience() == 0:
                return

    def _patience(self) -> float | None:
        """How much longer the batch may gather, in seconds; ``None`` as long as there is nothing in it."""
        first = next(iter(self._waiting.values()), None)
        if first is None:
            return None
        due = first.since + self._settings.max_batch_timeout
        if self._news_since is not None:
            due = min(due, self._news_since + self._settings.max_news_timeout)
        return max(0.0, due - self._monotonic())

    def _take(self) -> list[_Waiting]:
        senders = list(self._waiting)[: self._settings.max_batch_size]
        batch = [self._waiting.pop(sender) for sender in senders]
        if not self._waiting:
            self._news_since = None
        return batch

    # ------------------------------------------------------------ writing

    async def _write_and_answer(self, batch: list[_Waiting]) -> None:
        self._in_flight.append(batch)
        try:
            with metrics.BATCH_SECONDS.time():
                await self._write_isolating(batch)
            metrics.BATCH_ROWS.observe(len(batch))
        finally:
            self._in_flight.remove(batch)
            self._slots.release()
            # Nobody waits for ever, whatever ended this.
            _abandon(batch)

    async def _write_isolating(self, batch: list[_Waiting]) -> None:
        """Write ``batch``; if a row of it cannot be held, halve it until that row stands alone."""
        try:
            replies = await self._write_with_retries([one.heartbeat for one in batch])
        except errors.InvalidRequest as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write_isolating(batch[:middle])
                await self._write_isolating(batch[middle:])
            else:
                self._give_up(batch, error)
        except errors.BrowserpoolError as error:
            self._give_up(batch, error)
        else:
            for one in batch:
                one.resolve(replies[_sender(one.heartbeat)])

    async def _write_with_retries(self, heartbeats: Sequence[Heartbeat]) -> dict[Sender, Reply]:
        for _ in range(self._settings.max_retries):
            try:
                return await write(self._db, heartbeats)
            except errors.Unavailable as error:
                log.warning("heartbeats are written again", extra={"rows": len(heartbeats), "reason": error.message})
        return await write(self._db, heartbeats)

    def _give_up(self, batch: list[_Waiting], error: errors.BrowserpoolError) -> None:
        metrics.BATCH_FAILED_ROWS.inc(len(batch))
        log.warning("heartbeats were not written", extra={"rows": len(batch), "reason": error.message})
        for one in batch:
            one.fail(error)

    async def _record_lag(self) -> None:
        lag = self.lag()
        for region in self._regions:
            metrics.REGION_LAG.labels(region=region).set(lag)
        lags = dict.fromkeys(self._regions, lag)
        try:
            await regions.record_lag(self._db, writer=self._writer, lags=lags, max_lag=self._settings.max_lag)
        except errors.Unavailable as error:
            log.warning("the lag is not recorded", extra={"regions": len(lags), "reason": error.message})


class _LastWords:
    """What each browser said last of its health and its fence, to tell news from routine. Forgets all when it grows too large."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._words: dict[str, tuple[int, bool, int]] = {}

    def is_news(self, heartbeat: Heartbeat) -> bool:
        word = (heartbeat.incarnation, heartbeat.healthy, heartbeat.clean_fence)
        if self._words.get(heartbeat.browser_id) == word:
            return False
        if len(self._words) >= self._limit:
            self._words.clear()
        self._words[heartbeat.browser_id] = word
        return True


def _abandon(left: Iterable[_Waiting]) -> None:
    for one in left:
        one.fail(errors.Unavailable("This process stopped before the heartbeat was written.", retry_after=1))


def _sender(heartbeat: Heartbeat) -> Sender:
    return heartbeat.browser_id, heartbeat.incarnation


async def write(db: connect.Database, heartbeats: Sequence[Heartbeat]) -> dict[Sender, Reply]:
    """Write ``heartbeats``, at most one of each sender, in one statement; a second one only for those found too old.

    Raises:
        errors.InvalidRequest: the store cannot hold one of them; none is written.
        errors.Unavailable: it is away.
    """
    # In the order of browser_id, as whoever locks many rows: two batches never wait for each other in a circle.
    ordered = sorted(heartbeats, key=_sender)
    written = dict(await connect.fetch(db, _SQL["write"], _columns(ordered), into=_reply))
    rest = [heartbeat for heartbeat in ordered if _sender(heartbeat) not in written]
    if rest:
        written.update(await connect.fetch(db, _SQL["unwritten"], _keys(rest), into=_reply))
    return written


def _keys(heartbeats: Sequence[Heartbeat]) -> dict[str, object]:
    return {
        "browser_ids": _names(heartbeat.browser_id for heartbeat in heartbeats),
        "incarnations": _numbers(heartbeat.incarnation for heartbeat in heartbeats),
        "clean_fences": _numbers(heartbeat.clean_fence for heartbeat in heartbeats),
    }


def _columns(heartbeats: Sequence[Heartbeat]) -> dict[str, object]:
    return {
        **_keys(heartbeats),
        "sequences": _numbers(heartbeat.sequence for heartbeat in heartbeats),
        "healthy": _numbers(heartbeat.healthy for heartbeat in heartbeats),
        "loads": _numbers(heartbeat.load for heartbeat in heartbeats),
        "uses": _numbers(heartbeat.uses for heartbeat in heartbeats),
        "restarts": _numbers(heartbeat.restarts for heartbeat in heartbeats),
        "memory_bytes": _numbers(heartbeat.memory_bytes for heartbeat in heartbeats),
    }


# A batch's columns as Postgres writes arrays: psycopg goes through a list element by element, for two thirds of all the time that a
# batch takes of a router.


def _numbers(values: Iterable[float | None]) -> str:
    return "{" + ",".join(map(repr, values)).replace("None", "null") + "}"


def _names(values: Iterable[str]) -> str | list[str]:
    names = list(values)
    written = '","'.join(names)
    if not names or written.count('"') != 2 * (len(names) - 1) or "\\" in written or "\0" in written:
        return names
    return '{"' + written + '"}'


def _reply(*, browser_id: str, incarnation: int, known: bool = True, **columns: Any) -> tuple[Sender, Reply]:
    # Not validated again: these are our own columns, and there may be 100,000 a second of them.
    return (browser_id, incarnation), Reply(known=known, **columns)
