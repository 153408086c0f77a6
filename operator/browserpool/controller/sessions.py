"""BrowserSession objects, kept true to their sessions: claimed, shown, released, deleted. The leader's.

A round reads the live sessions of all objects (one statement in each database) and compares. The lease is not renewed here: it runs from
the claim until a client connects, and from then on that client's router renews it while something happens, as with any other session.

Objects that wait claim in the order in which they were made. Once the store has no browser for a pool and region, those behind do not
ask in this round; then it is asked again after a while, which doubles as long as there is none.
"""

import asyncio
import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol

from browserpool import metrics
from browserpool.controller import events, kube
from browserpool.controller.desired import notices, session, session_status
from browserpool.lib import chance, clock, tasks
from browserpool.model import claims, errors
from browserpool.model.names import HOME, DatabaseName, PoolName, RegionName, SessionId
from browserpool.model.sessions import Past, Session
from browserpool.store import claims as claiming
from browserpool.store import connect, databases, everywhere, leases, nodes, pools, region_databases, tokens
from browserpool.store import sessions as stored

log = logging.getLogger(__name__)

_SOON: Final = 0.05
"""Seconds between two rounds at least."""
_FIRST, _MOST = 0.25, 1.0
"""Seconds until a pool's region that has no browser is asked again."""
_WRITES: Final = 8
"""Statuses that are written at a time."""


class Objects(Protocol):
    """The objects as the API server has them: a ``mirror.Mirror`` of them."""

    synced: asyncio.Event
    connected: bool

    @property
    def objects(self) -> Mapping[str, session.Asked]:
        """By name."""

    def put(self, found: kube.Object) -> None:
        """The object is this now."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the reconciler looks at and acts on. ``url`` is the routers', which addresses are made from; durations in seconds.

    ``others`` are the databases that turned out to be another installation's: its sessions have objects that are not seen here.
    """

    stores: databases.Databases
    client: kube.Client
    objects: Objects
    recorder: events.Recorder
    url: str
    freshness: float = 15.0
    resync: float = 2.0
    others: Callable[[], Collection[DatabaseName]] = tuple


class Sessions:
    """``wake`` is set by whoever sees that an object has changed."""

    def __init__(self, world: World, wake: asyncio.Event, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._world = world
        self._wake = wake
        self._now = now
        self._empty = _Empty(now)
        self._known: set[SessionId] = set()
        self._before: set[SessionId] | None = None
        self._doubtful: dict[SessionId, frozenset[DatabaseName]] = {}
        self.rounds = 0
        """Rounds that went through."""

    async def run(self) -> None:
        """Rounds until cancelled; the first as soon as all objects are known."""
        await self._world.objects.synced.wait()
        delays = tasks.backoff(first=0.5, most=10.0)
        while True:
            self._wake.clear()
            try:
                await self.once()
            except errors.BrowserpoolError as error:
                log.warning("sessions' objects wait", extra={"why": error.message})
                await asyncio.sleep(chance.jitter(next(delays), share=0.3))
                continue
            except Exception:  # a fault of ours with one object must not take the pools' reconciler down with it
                log.exception("a round of sessions' objects failed")
                await asyncio.sleep(chance.jitter(next(delays), share=0.3))
                continue
            self.rounds += 1
            delays = tasks.backoff(first=0.5, most=10.0)
            await asyncio.sleep(_SOON)
            with contextlib.suppress(TimeoutError):
                # Not wait_for: until Python 3.12 it may swallow a cancellation, and whoever leads no more would work on.
                async with asyncio.timeout(min(self._world.resync, self._empty.due())):
                    await self._wake.wait()

    async def once(self) -> None:
        """One round over all objects; nothing is decided by what is known of them while the API server is away.

        Raises:
            errors.ClusterUnavailable: the API server is away.
            errors.Unavailable: the store is.
        """
        if not self._world.objects.connected:
            raise errors.ClusterUnavailable("The API server is away; what it last said of sessions may be old.")
        objects = list(self._world.objects.objects.values())
        self._known |= {one.session_id for one in objects}
        if self._before is None:
            # The leader before this one may have claimed for them, and have had no answer.
            self._before = {one.session_id for one in objects}
        seen = await self._observe(objects)
        actions = session.plan(objects, seen, known=frozenset(self._known), url=self._world.url)
        await self._release(action.session for action in actions if isinstance(action, session.Release))
        shows = [action for action in actions if isinstance(action, session.Show)]
        shows += await self._claim([action for action in actions if isinstance(action, session.Claim)], seen)
        await self._show(shows)
        for action in actions:
            if isinstance(action, session.Delete):
                await self._delete(action)
        self._known &= {one.session_id for one in objects} | seen.live.keys()
        self._before &= self._known
        self._doubtful = {one: names for one, names in self._doubtful.items() if one in self._known}
        await self._world.recorder.flush()

    # ------------------------------------------------------------ the store
    async def _observe(self, objects: list[session.Asked]) -> session.World:
        stores = self._world.stores
        db = stores.home
        others = self._world.others()
        answers = [answer for answer in await everywhere.each(stores, _prefixed) if answer[0] not in others]
        live = {one.session_id: one for _, found in answers for one in found}
        past = await self._past(session.unheard_of(objects, live))
        wishes = any(one.session_id not in live and not session_status.is_finished(one.status) for one in objects)
        return session.World(
            now=await stored.moment(db),
            live=live,
            past=past,
            pools={one.name: one.spec for one in await pools.listing(db)} if objects else {},
            nodes={one.name: one for one in await nodes.listing(db)} if wishes else {},
            tokens={one.name: one for one in await tokens.listing(db)} if wishes else {},
            # As the pools' reconciler has told the routers: it may not have opened each yet.
            away=frozenset(await region_databases.listing(db)) - {name for name, _ in answers},
        )

    async def _past(self, wanted: Collection[SessionId]) -> dict[SessionId, Past]:
        if not wanted:
            return {}

        async def past(_: DatabaseName, db: connect.Database) -> list[Past]:
            found = [await stored.history(db, session_id) for session_id in wanted]
            return [one for one in found if one is not None]

        answers = await everywhere.each(self._world.stores, past)
        return {one.session_id: one for _, found in answers for one in found}

    async def _release(self, sessions: Iterable[Session]) -> None:
        """Not clean, since nobody has said so: the agent learns of it by its next heartbeat, and the browser recycles."""
        for one in sessions:
            log.info("a session's object is gone", extra={"session": one.session_id, "browser": one.browser_id})
            try:
                db = self._world.stores.of(one.database)
                state = await leases.release(db, session_id=one.session_id, fence=one.fence, clean=False)
            except errors.Unavailable as error:
                if one.database == HOME:
                    raise
                # It is released when its database is back.
                self._world.stores.suspect(one.database, error)
                continue
            metrics.RELEASES.labels(one.pool, state or "over").inc()

    async def _claim(self, wanted: list[session.Claim], seen: session.World) -> list[session.Show]:
        """Claim, in order, what may be had; answers what the objects are then to say."""
        shows: list[session.Show | None] = []
        for action in wanted:
            request = action.request
            if self._empty.waits(request):
                shows.append(session.waits(action.asked, self._empty.problem(request), now=seen.now))
                continue
            doubtful = self._in_doubt(request)
            try:
                claimed = await self._asked(request, doubtful)
            except claiming.Unanswered as away:
                unsure = {name for name, _ in away.unsure}
                if HOME in unsure:
                    raise
                problem = session_status.database_away(away.message)
                if not unsure & doubtful:
                    # Otherwise it is this one alone that waits: those behind may spill.
                    self._empty.add(request, problem)
                shows.append(session.waits(action.asked, problem, now=seen.now))
                continue
            answer = claimed.answer
            locality = answer.claim.locality if answer.claim is not None else "none"
            metrics.CLAIMS.labels(request.pool, request.region, answer.outcome, locality).inc()
            self._empty.learn(request, answer.outcome)
            shows.append(await self._claimed(action, answer, seen))
        return [show for show in shows if show is not None]

    def _in_doubt(self, request: claims.ClaimRequest) -> frozenset[DatabaseName]:
        """The databases that may have made the session though they did not say so.

        What was there before this replica led counts as asked for in all of its databases, whatever its status says: a claim comes
        before what is said of it.
        """
        assert self._before is not None, "a round has begun"
        inherited = claiming.involves(request) if request.session_id in self._before else ()
        return self._doubtful.get(request.session_id, frozenset(inherited))

    async def _asked(self, request: claims.ClaimRequest, doubtful: Collection[DatabaseName]) -> claiming.Claimed:
        """Ask the store, and bear in mind which databases are in doubt then."""
        try:
            claimed = await claiming.claim(
                self._world.stores, request, freshness=self._world.freshness, doubtful=doubtful
            )
        except claiming.Unanswered as away:
            self._doubtful[request.session_id] = frozenset(name for name, _ in away.unsure)
            raise
        self._doubtful[request.session_id] = frozenset()
        return claimed

    async def _claimed(
        self, action: session.Claim, answer: claims.ClaimAnswer, seen: session.World
    ) -> session.Show | None:
        if answer.outcome in (claims.Outcome.EMPTY, claims.Outcome.STALE):
            return session.empty(action.asked, action.request, answer.outcome, now=seen.now)
        session_id = action.request.session_id
        live = None
        if answer.claim is not None:
            live = await stored.live(self._world.stores.of(answer.claim.database), session_id)
        if live is not None:
            log.info("claimed for an object", extra={"session": live.session_id, "browser": live.browser_id})
            return session.ready(action.asked, live, seen, url=self._world.url)
        past = await self._past([session_id])
        return session.over(action.asked, past.get(session_id), now=seen.now)

    # ------------------------------------------------------------ the API server
    async def _show(self, shows: list[session.Show]) -> None:
        gate = asyncio.Semaphore(_WRITES)

        async def one(show: session.Show) -> None:
            async with gate:
                await self._write(show)

        try:
            async with asyncio.TaskGroup() as group:
                for show in shows:
                    group.create_task(one(show))
        except* errors.ClusterUnavailable as away:
            raise away.exceptions[0] from None

    async def _write(self, show: session.Show) -> None:
        asked = show.asked
        gone: dict[str, Any] = dict.fromkeys(asked.status.keys() - show.status.keys())
        # Over this version only: an object that was made anew under this name is another one, and none of this is true of it.
        # Its uid would not do; writes of a status ignore it.
        body = {"metadata": {"resourceVersion": asked.version}, "status": {**show.status, **gone}}
        try:
            answer = await self._world.client.patch(kube.SESSIONS, asked.name, body, subresource="status")
        except errors.ClusterUnavailable:
            raise
        except errors.BrowserpoolError as error:
            # Gone, changed or made anew: what is to be done then is seen in the next round.
            log.info("a session's status was not taken", extra={"object": asked.name, "why": error.message})
            return
        self._world.objects.put(answer)
        self._tell(asked, show.status)

    def _tell(self, asked: session.Asked, shown: Mapping[str, Any]) -> None:
        """An Event, when it is for another reason than before that the session is ready or not."""
        reason = session_status.reason(shown)
        if reason == session_status.reason(asked.status):
            return
        about = events.About(kind="BrowserSession", name=asked.name, uid=asked.uid)
        warning = reason in session_status.WORTH_A_LOOK
        self._world.recorder.note(
            about, notices.Notice(reason=reason, message=session_status.message(shown), warning=warning)
        )

    async def _delete(self, action: session.Delete) -> None:
        log.info("a finished session's object is deleted", extra={"object": action.asked.name})
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self._world.client.delete(kube.SESSIONS, action.asked.name, uid=action.asked.uid)


async def _prefixed(name: DatabaseName, db: connect.Database) -> list[Session]:
    return [dataclasses.replace(one, database=name) for one in await stored.prefixed(db, session.PREFIX)]


class _Empty:
    """Pools' regions in which there was no browser: why, and when it may be asked again."""

    def __init__(self, now: clock.Monotonic) -> None:
        self._now = now
        self._until: dict[tuple[PoolName, RegionName], tuple[float, float, session_status.Problem]] = {}

    def waits(self, request: claims.ClaimRequest) -> bool:
        """Whether it is too early to ask for such a one."""
        found = self._until.get(_place(request))
        return found is not None and self._now() < found[0]

    def problem(self, request: claims.ClaimRequest) -> session_status.Problem:
        """Why there was none."""
        return self._until[_place(request)][2]

    def learn(self, request: claims.ClaimRequest, outcome: claims.Outcome) -> None:
        """This was answered now."""
        if outcome not in (claims.Outcome.EMPTY, claims.Outcome.STALE):
            self._until.pop(_place(request), None)
        else:
            self.add(request, session_status.no_browser(request, outcome))

    def add(self, request: claims.ClaimRequest, problem: session_status.Problem) -> None:
        """There is none now, and this is why."""
        _, delay, _ = self._until.get(_place(request), (0.0, 0.0, problem))
        delay = min(max(_FIRST, delay * 2), _MOST)
        self._until[_place(request)] = (self._now() + delay, delay, problem)

    def due(self) -> float:
        """Seconds until one may be asked again; endless: none waits."""
        now = self._now()
        return min((max(0.0, until - now) for until, _, _ in self._until.values() if until > now), default=math.inf)


def _place(request: claims.ClaimRequest) -> tuple[PoolName, RegionName]:
    return request.pool, request.region
