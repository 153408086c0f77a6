"""The wait for a browser when none is ready: bounded for each pool, fair between tokens, with a deadline.

One pump serves each line (a pool in a region). It alone asks the store for that line, for whoever is next, so that nobody who
came later can be quicker. It asks at once when this router has released a browser, and otherwise at jittered intervals, because
other routers release browsers too.
"""

import asyncio
import collections
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from browserpool import metrics
from browserpool.lib import chance, clock, tasks
from browserpool.model import claims, errors
from browserpool.model.names import PoolName, RegionName, TokenName
from browserpool.router import line

log = logging.getLogger(__name__)

FULL_RETRY_AFTER = 5
EMPTY_RETRY_AFTER = 5
STALE_RETRY_AFTER = 5


@dataclasses.dataclass(slots=True, kw_only=True)
class Asking:
    """A request on its way. An attempt that may have left a session of its id in a store that gave no answer names it anew."""

    request: claims.ClaimRequest


Attempt = Callable[[Asking], Awaitable[claims.ClaimAnswer]]
GiveBack = Callable[[claims.ClaimRequest, claims.Claim], None]
Key = tuple[PoolName, RegionName]


class Place:
    """Where one request stands in a line, for whoever looks for a browser elsewhere meanwhile: others are served, and its place is kept."""

    def __init__(self) -> None:
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """It stands in a line, or has stood in one."""
        self.served_elsewhere = False
        self._lane: _Lane | None = None
        self._waiter: _Waiter | None = None

    async def step_aside(self) -> bool:
        """Let others be served until ``come_back``; false: its turn has come, or it does not stand there any more."""
        lane, waiter = self._lane, self._waiter
        if lane is None or waiter is None:
            return False
        lane.waiters.step_aside(waiter)
        if waiter.tried is not None:
            await asyncio.wait({waiter.tried})
        return not waiter.turn.done()

    def come_back(self) -> None:
        """Be served as the place says; at once, if a browser is free."""
        if self._lane is not None and self._waiter is not None:
            self._lane.waiters.come_back(self._waiter)
            self._lane.freed.set()

    @contextlib.contextmanager
    def taken(self, lane: "_Lane", waiter: "_Waiter") -> Iterator[None]:
        """It is there, while the block runs."""
        self._lane, self._waiter = lane, waiter
        if not self.joined.done():
            self.joined.set_result(None)
        try:
            yield
        finally:
            self._lane = self._waiter = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request may wait (seconds; 0: not at all), and how many may wait for its pool at this router.

    ``retry_after``: when one that did not wait may ask again. ``place``: where it stands while it waits.
    """

    seconds: float
    limit: int
    retry_after: int = EMPTY_RETRY_AFTER
    place: Place | None = None


AT_ONCE: Final = Patience(seconds=0, limit=0)
"""Now or not at all."""
FOR_A_LINE: Final = Patience(seconds=0, limit=0, retry_after=1)
"""The same, for whoever has a line of his own: he asks for all who stand in it, and they are to be served soon."""


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class _Waiter:
    """``tried``: an attempt to serve it is under way, until this is done."""

    asking: Asking
    turn: asyncio.Future[claims.Claim]
    tried: asyncio.Future[None] | None = None


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class _Lane:
    """A line and what moves it."""

    waiters: line.Line[_Waiter] = dataclasses.field(default_factory=line.Line)
    freed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    trouble: errors.Unavailable | None = None


class Waiting:
    """The lines of this router. ``attempt`` makes one claim; ``give_back`` undoes one that nobody waits for any more."""

    def __init__(
        self,
        *,
        attempt: Attempt,
        give_back: GiveBack,
        background: tasks.Background,
        poll_first: float,
        poll_most: float,
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._attempt = attempt
        self._give_back = give_back
        self._background = background
        self._poll_first = poll_first
        self._poll_most = poll_most
        self._now = now
        self._lanes: dict[Key, _Lane] = {}
        self._depth: collections.Counter[PoolName] = collections.Counter()
        self._closed = False

    def depth(self, pool: PoolName) -> int:
        """How many requests wait for the pool."""
        return self._depth[pool]

    def freed(self, pool: PoolName) -> None:
        """A browser of the pool has become ready: whoever is next need not wait for the next look."""
        for (name, _), lane in self._lanes.items():
            if name == pool:
                lane.freed.set()

    def close(self) -> None:
        """Refuse whoever waits, now and from now on: the process is stopping, and another router may serve them."""
        self._closed = True
        for lane in self._lanes.values():
            for waiter in lane.waiters:
                _refuse(waiter, errors.Unavailable("This router is stopping; ask again.", retry_after=1))

    async def claim(self, request: claims.ClaimRequest, *, token: TokenName, patience: Patience) -> claims.Claim:
        """A browser for ``request``, at once or after a wait.

        Raises:
            errors.NoBrowser: none became free in time, or the region is too stale to be trusted.
            errors.QueueFull: as many wait already as may.
            errors.Unavailable: the store cannot be reached, or this router is stopping.
        """
        asking = Asking(request=request)
        if (request.pool, request.region) not in self._lanes:
            answer = await self._attempt(asking)
            if answer.claim is not None:
                return answer.claim
            if answer.outcome is not claims.Outcome.EMPTY:
                raise unclaimable(request, answer.outcome)
        if patience.seconds <= 0:
            raise errors.NoBrowser(
                f"Pool {request.pool} has no browser ready, and does not queue (onEmpty); ask again, or add replicas.",
                retry_after=patience.retry_after,
            )
        return await self._stand(asking, token, patience)

    async def _stand(self, asking: Asking, token: TokenName, patience: Patience) -> claims.Claim:
        pool = asking.request.pool
        if self._closed:
            raise errors.Unavailable("This router is stopping; ask again.", retry_after=1)
        if self._depth[pool] >= patience.limit:
            metrics.QUEUE_SECONDS.labels(pool, "refused").observe(0)
            metrics.REFUSED.labels("queue_full").inc()
            raise errors.QueueFull(
                f"{self._depth[pool]} requests wait for a browser of pool {pool} already; ask again, or add replicas.",
                retry_after=FULL_RETRY_AFTER,
            )
        started, outcome = self._now(), "gone"
        self._deeper(pool, 1)
        try:
            claim = await self._turn(asking, token, patience)
            outcome = "claimed"
        except errors.NoBrowser:
            outcome = "timeout"
            raise
        except errors.BrowserpoolError:
            outcome = "failed"
            raise
        finally:
            if patience.place is not None and patience.place.served_elsewhere:
                outcome = "elsewhere"
            self._deeper(pool, -1)
            metrics.QUEUE_SECONDS.labels(pool, outcome).observe(self._now() - started)
        return claim

    def _deeper(self, pool: PoolName, by: int) -> None:
        self._depth[pool] += by
        metrics.QUEUE_DEPTH.labels(pool).set(self._depth[pool])

    async def _turn(self, asking: Asking, token: TokenName, patience: Patience) -> claims.Claim:
        request = asking.request
        key = (request.pool, request.region)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            self._background.spawn(self._pump(key, lane), name=f"queue of {request.pool} in {request.region}")
        waiter = _Waiter(asking=asking, turn=asyncio.get_running_loop().create_future())
        lane.waiters.join(token, waiter)
        place = patience.place or Place()
        try:
            with place.taken(lane, waiter):
                await asyncio.wait({waiter.turn}, timeout=patience.seconds)
        except asyncio.CancelledError:
            if (claim := _granted(waiter)) is not None:
                self._give_back(request, claim)
            raise
        finally:
            lane.waiters.leave(token, waiter)
            waiter.turn.cancel()
            if not lane.waiters:
                # Nobody is looked for a browser for any more: who comes next is not to wait for the next look.
                lane.freed.set()
        if not waiter.turn.cancelled():
            return waiter.turn.result()
        if lane.trouble is not None:
            raise lane.trouble
        raise errors.NoBrowser(
            f"No browser of pool {request.pool} became free within {patience.seconds:g} s; ask again, or add replicas.",
            retry_after=EMPTY_RETRY_AFTER,
        )

    async def _pump(self, key: Key, lane: _Lane) -> None:
        delays = tasks.backoff(first=self._poll_first, most=self._poll_most)
        try:
            while lane.waiters:
                lane.freed.clear()
                if (next_ := lane.waiters.first()) is not None and await self._serve(lane, *next_):
                    delays = tasks.backoff(first=self._poll_first, most=self._poll_most)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.jitter(next(delays), share=0.5)):
                        await lane.freed.wait()
        finally:
            # Before anything else can run: who comes from now on finds no line, and asks for himself.
            del self._lanes[key]

    async def _serve(self, lane: _Lane, token: TokenName, waiter: _Waiter) -> bool:
        """Try for one waiter; false if there is no use in trying for the next one yet."""
        if waiter.turn.done():
            lane.waiters.leave(token, waiter)
            return True
        waiter.tried = asyncio.get_running_loop().create_future()
        try:
            answer = await self._attempt(waiter.asking)
        except errors.Unavailable as trouble:
            lane.trouble = trouble
            return False
        except Exception as error:  # whatever it is, it is this waiter's answer, and must not end the others' line
            if not isinstance(error, errors.RegionStale):
                log.exception("a claim failed")
            _refuse(waiter, error)
            lane.waiters.served(token, waiter)
            return True
        finally:
            waiter.tried.set_result(None)
            waiter.tried = None
        lane.trouble = None
        if answer.claim is not None:
            if waiter.turn.done():
                self._give_back(waiter.asking.request, answer.claim)
            else:
                waiter.turn.set_result(answer.claim)
                lane.waiters.served(token, waiter)
            return True
        if answer.outcome is claims.Outcome.EMPTY:
            return False
        _refuse(waiter, unclaimable(waiter.asking.request, answer.outcome))
        lane.waiters.served(token, waiter)
        return True


def _granted(waiter: _Waiter) -> claims.Claim | None:
    turn = waiter.turn
    return turn.result() if turn.done() and not turn.cancelled() and turn.exception() is None else None


def _refuse(waiter: _Waiter, error: Exception) -> None:
    if not waiter.turn.done():
        waiter.turn.set_exception(error)


def unclaimable(request: claims.ClaimRequest, outcome: claims.Outcome) -> errors.BrowserpoolError:
    """Why there is no use in waiting."""
    if outcome is claims.Outcome.STALE:
        return errors.RegionStale(
            f"What region {request.region} says of its browsers is too old to be trusted, and it has no fresh backup.",
            retry_after=STALE_RETRY_AFTER,
        )
    if outcome is claims.Outcome.ENDED:
        return errors.SessionOver(f"Session {request.session_id} was used before, and is over; take another id.")
    return errors.NoBrowser(f"Pool {request.pool} gave no browser: {outcome}.", retry_after=EMPTY_RETRY_AFTER)
