"""Getting a browser and giving it back: claim or wait, use, retry on another, release off the caller's path.

Whatever happens to the caller, a claim that was made is either handed to him or released.
"""

import asyncio
import collections
import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from browserpool import metrics
from browserpool.lib import chance, clock, tasks
from browserpool.model import claims, errors, pool, states
from browserpool.model import sessions as model
from browserpool.model.names import HOME, DatabaseName, HolderId, SessionId
from browserpool.router import agents, dbclock, holding, outcomes, quotas, sharing, target, waiting
from browserpool.store import claims as store
from browserpool.store import databases, leases, sessions

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Times in seconds. ``retries``: other browsers to try; ``expiry_pause``: no lease is ended for so long after the store was away."""

    freshness: float
    retries: int
    poll_first: float
    poll_most: float
    expiry_pause: float


class Claiming:
    """Claims for this router's requests."""

    def __init__(
        self,
        *,
        stores: databases.Databases,
        holder: HolderId,
        rules: Rules,
        agents_: agents.Agents,
        quotas_: quotas.Quotas,
        database_clock: dbclock.DatabaseClock,
        background: tasks.Background,
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._stores = stores
        self._rules = rules
        self._agents = agents_
        self._quotas = quotas_
        self._clock = database_clock
        self._background = background
        self._now = now
        self._sharing = sharing.Sharing(now=now)
        self.unwritten: collections.Counter[DatabaseName] = collections.Counter()
        """Releases that this router had no time for before it stopped, by the database that does not know of them."""
        self.holding = holding.Holding(
            stores=stores,
            holder=holder,
            agents_=agents_,
            background=background,
            on_over=self._uncount,
            expiry_pause=rules.expiry_pause,
            now=now,
        )
        self.waiting = waiting.Waiting(
            attempt=self._attempt,
            give_back=self._give_back,
            background=background,
            poll_first=rules.poll_first,
            poll_most=rules.poll_most,
            now=now,
        )

    # ------------------------------------------------------------ claim

    async def acquire(self, wanted: target.Target, *, patience: waiting.Patience | None = None) -> holding.Held:
        """A session, held here until ``release``; waited for as long as the pool lets it, unless ``patience`` says otherwise.

        Raises:
            errors.NoBrowser, errors.TooManyRequests, errors.Unavailable: as ``waiting.Waiting.claim``.
        """
        token = wanted.request.token
        assert token is not None, "every client has a token"
        patience = patience or patience_of(wanted.spec)
        self._sharing.learn(wanted.pool, wanted.spec.sessions)
        # Whoever asks again, here or after another cluster's router, may have left a session of the first id where nobody could say so.
        request = _anew(wanted.request)
        claim = await self.waiting.claim(request, token=token, patience=patience)
        outcomes.served_by(claim.template_hash)
        return self._taken(request, claim)

    def _taken(self, request: claims.ClaimRequest, claim: claims.Claim) -> holding.Held:
        """The session of this claim, which may be another action's that was joined."""
        if (joined := self._sharing.held(request, claim)) is not None:
            return joined
        held = self._held(request, claim)
        self.holding.add(held)
        if self._sharing.open(request, held):
            self.waiting.freed(request.pool)
        return held

    async def engage(
        self,
        wanted: target.Target,
        use: Callable[[holding.Held], Awaitable[T]],
        *,
        patience: waiting.Patience | None = None,
    ) -> tuple[holding.Held, T]:
        """A session and what ``use`` makes of it; a browser that cannot be had is given back and another one tried.

        The caller releases it; a quick action may not be the only one in it.

        Raises:
            errors.NoBrowser: none of those that were claimed could be had. Nothing was done: it is safe to ask again.
            errors.BrowserLost: the browser went away in use.
        """
        held, left = await self.acquire(wanted, patience=patience), self._rules.retries
        while True:
            try:
                return held, await self._used(held, use)
            except agents.Untouched as trouble:
                log.info(
                    "a claimed browser cannot be had", extra={"browser": held.party.browser_id, "why": trouble.message}
                )
                if left == 0:
                    raise errors.NoBrowser(
                        f"No browser that was claimed can be had, and nothing was done: ask again. ({trouble.message})",
                        retry_after=1,
                    ) from trouble
            left -= 1
            held = await self.acquire(wanted, patience=patience)

    async def _used(self, held: holding.Held, use: Callable[[holding.Held], Awaitable[T]]) -> T:
        try:
            return await use(held)
        except agents.Untouched:
            self.release(held, reachable=False)
            raise
        except asyncio.CancelledError:
            self.release(held)
            raise
        except BaseException:  # the session is ours to end however its use failed
            self.release(held, well=False)
            raise

    async def _attempt(self, asking: waiting.Asking) -> claims.ClaimAnswer:
        """One claim. If the caller is cancelled meanwhile, the claim is still made, and given back."""
        request = asking.request
        task = self._background.spawn(self._ask(asking), name="claim")
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(functools.partial(self._unwanted, request))
            raise
        if isinstance(answer, errors.BrowserpoolError):
            raise answer
        if answer.outcome is claims.Outcome.EMPTY and (joined := self._sharing.join(request)) is not None:
            metrics.JOINS.labels(request.pool).inc()
            return claims.ClaimAnswer(outcome=claims.Outcome.CLAIMED, claim=joined)
        return answer

    async def _ask(self, asking: waiting.Asking) -> claims.ClaimAnswer | errors.BrowserpoolError:
        request, started = asking.request, self._now()
        try:
            claimed = await store.claim(self._stores, request, freshness=self._rules.freshness, fresh_id=_fresh_id)
        except errors.BrowserpoolError as error:
            metrics.CLAIMS.labels(request.pool, request.region, "failed", "none").inc()
            if isinstance(error, store.Unanswered):
                self._undo_all(asking, error.unsure)
                if asking.request.databases != (HOME,):
                    # As good as a region whose heartbeats are late: another cluster's router may serve, and nobody waits in line.
                    return errors.RegionStale(error.message, retry_after=error.retry_after)
            return error
        answer = claimed.answer
        self._undo_all(asking, claimed.unsure)
        metrics.CLAIM_SECONDS.labels(request.pool).observe(self._now() - started)
        locality = answer.claim.locality if answer.claim else "none"
        metrics.CLAIMS.labels(request.pool, request.region, answer.outcome, locality).inc()
        if answer.claim is not None:
            self._clock.observe(answer.claim.now)
        return answer

    def _unwanted(self, request: claims.ClaimRequest, task: "asyncio.Task[object]") -> None:
        if not task.cancelled() and task.exception() is None:
            answer = task.result()
            if isinstance(answer, claims.ClaimAnswer) and answer.claim is not None:
                self._give_back(request, answer.claim)

    def _give_back(self, request: claims.ClaimRequest, claim: claims.Claim) -> None:
        self.release(self._taken(request, claim))

    def _undo_all(self, asking: waiting.Asking, unsure: Collection[tuple[DatabaseName, SessionId]]) -> None:
        if not unsure:
            return
        # What is undone, or runs out, is not to be what the next attempt is answered.
        asking.request = _anew(asking.request)
        # An action's lease is too short to be worth the trouble.
        if asking.request.kind is claims.SessionKind.CDP:
            for name, session_id in unsure:
                undoing = self._undo(name, session_id, lease=asking.request.keep_alive)
                self._background.spawn(undoing, name="undo a claim of unknown outcome")

    async def _undo(self, name: DatabaseName, session_id: SessionId, *, lease: float) -> None:
        """The store went away under a claim that it may have made: release it, unless its lease runs out before the store is back."""
        until = self._now() + lease
        for delay in tasks.backoff(first=0.5, most=5.0):
            await self._stores.pause(name, chance.jitter(delay))
            if self._now() > until or self._stores.given_up(name):
                return
            try:
                live = await sessions.live(self._stores.of(name), session_id)
            except errors.Unavailable:
                continue
            if live is not None and not self._is_used(live):
                self.release(self.adopt(dataclasses.replace(live, database=name)))
            return

    def _is_used(self, live: model.Session) -> bool:
        held = self.holding.get(live.session_id)
        return held is not None and held.party.fence == live.fence

    def _held(self, request: claims.ClaimRequest, claim: claims.Claim) -> holding.Held:
        party = agents.Party(
            session_id=claim.session_id,
            browser_id=claim.browser_id,
            fence=claim.fence,
            address=claim.address,
            kind=request.kind,
            terms=request.terms,
        )
        return holding.Held(
            party=party,
            claim=claim,
            pool=request.pool,
            region=claim.region,
            kind=request.kind,
            keep_alive=request.keep_alive,
            token=request.token,
            renewed_at=self._now(),
            database=claim.database,
        )

    def adopt(self, live: model.Session) -> holding.Held:
        """The session as held here, claimed by whichever router."""
        self._clock.observe(live.now)
        known = self.holding.get(live.session_id)
        if known is not None and known.party.fence == live.fence:
            return known
        party = agents.Party(
            session_id=live.session_id,
            browser_id=live.browser_id,
            fence=live.fence,
            address=live.address,
            kind=live.kind,
            terms=live.terms,
        )
        return holding.Held(
            party=party,
            claim=None,
            pool=live.pool,
            region=live.region,
            kind=live.kind,
            keep_alive=live.keep_alive,
            token=live.token,
            renewed_at=self._now(),
            database=live.database,
        )

    # ------------------------------------------------------------ quotas

    def count(self, held: holding.Held) -> None:
        """From now until it is over, the session counts against its token. The caller has passed ``Quotas.enter`` for it."""
        held.counted = True

    def _uncount(self, held: holding.Held) -> None:
        if held.counted and held.token is not None:
            held.counted = False
            self._quotas.leave(held.token)

    # ------------------------------------------------------------ release

    def release(self, held: holding.Held, *, reachable: bool = True, well: bool = True) -> None:
        """Whoever claimed it, or joined it, is done with the session; with the last of them it ends.

        ``reachable``: whether there is use in telling the agent. Without its word the browser is not clean, and recycles.
        ``well``: nothing speaks against others joining it.
        """
        last, reachable = self._sharing.leave(held, reachable=reachable, well=well)
        if not last:
            self.waiting.freed(held.pool)
        elif not held.ending:
            self.end(held, reachable=reachable)

    def end(
        self,
        held: holding.Held,
        *,
        reachable: bool = True,
        reason: claims.CloseReason = claims.CloseReason.NORMAL_CLOSURE,
    ) -> "asyncio.Task[None]":
        """End the session in the background, whoever is in it: the agent cleans up, then the store has the browser back.

        ``reachable`` as for ``release``.
        """
        held.ending = True
        self._uncount(held)
        return self._background.spawn(self._release(held, reachable, reason), name="release")

    async def _release(self, held: holding.Held, reachable: bool, reason: claims.CloseReason) -> None:  # noqa: FBT001 - private
        try:
            ending = await self._agents.end(held.party) if reachable else agents.NOT_CLEAN
            state = await self._written(held, ending, reason)
        except asyncio.CancelledError:
            self.unwritten[held.database] += 1
            raise
        self.holding.drop(held, why="the session was ended")
        metrics.RELEASES.labels(held.pool, state or "over").inc()
        if state is states.BrowserState.READY:
            self.waiting.freed(held.pool)

    async def _written(
        self, held: holding.Held, ending: agents.Ending, reason: claims.CloseReason
    ) -> states.BrowserState | None:
        """Write the release; while the store is away, until the lease would have run out anyway, or the router has to leave."""
        for delay in tasks.backoff(first=0.2, most=2.0):
            try:
                return await leases.release(
                    self._stores.of(held.database),
                    session_id=held.session_id,
                    fence=held.party.fence,
                    clean=ending.clean,
                    give_up=ending.give_up,
                    reason=reason,
                )
            except errors.Unavailable:
                if self._stores.given_up(held.database):
                    self.unwritten[held.database] += 1
                    return None
                if self._now() > held.renewed_at + held.keep_alive:
                    log.warning(
                        "a release could not be written; its lease runs out", extra={"session": held.session_id}
                    )
                    return None
                await self._stores.pause(held.database, chance.jitter(delay))
        return None


def _fresh_id() -> SessionId:
    return SessionId(chance.unique_id())


def _anew(request: claims.ClaimRequest) -> claims.ClaimRequest:
    """The same wish, for a session of another id."""
    return dataclasses.replace(request, session_id=_fresh_id())


def patience_of(spec: pool.PoolSpec) -> waiting.Patience:
    """How long the pool lets a request wait."""
    if spec.on_empty.mode is pool.OnEmptyMode.FAIL:
        return waiting.Patience(seconds=0, limit=0)
    return waiting.Patience(seconds=spec.on_empty.queue_timeout, limit=spec.on_empty.queue_limit)
