"""Observe → plan → apply for every pool, again and again, while this replica leads.

A round looks at everything: rows (one statement in each database), pods and nodes (from memory). Events only wake it, so one that is
missed costs a delay. While the store or the API server cannot be reached nothing is decided: what is known then is old. While a region's
own database cannot be reached nothing is decided of that region.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

from browserpool import metrics
from browserpool.controller import (
    apply,
    autoscaler,
    canaries,
    chronicle,
    installation,
    leftovers,
    lookout,
    mirror,
    nodes,
    observe,
    pods,
    policies,
    records,
    statuses,
    wanted,
)
from browserpool.controller.desired import notices, plan, pod, seen, status
from browserpool.lib import chance, clock, tasks
from browserpool.model import errors
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.pool import BrowserPool
from browserpool.model.regions import RegionStatus
from browserpool.model.states import BrowserState
from browserpool.store import databases, everywhere
from browserpool.store import pools as stored

log = logging.getLogger(__name__)

_SOON, _LATER = 0.1, 1.0
"""Seconds between two rounds at least and at most: as long again as the round took, so that half the time is left however much happens.

At most, since a long round is one that waited: for an API server that makes a hundred pods in seconds.
"""
_AT_ONCE = 200
"""Of one pool's pods, how many are made or deleted in one round; the rest is planned again, after the other pools had their turn."""
_CONFLICT = "NameConflict"
_REFRESH = 60.0
"""Seconds between two lists of the pools: kopf tells what changes, but not what was deleted while it could not watch."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One pool as a round sees it. ``one`` is None: it is deleted. ``pool`` is what it wants, as last understood; None: it never was."""

    name: PoolName
    one: wanted.Wanted | None
    pool: BrowserPool | None
    scaled: tuple[tuple[RegionName, seen.Scaled], ...]
    problem: status.Condition | None
    rows: list[Browser]
    pods: Mapping[BrowserId, observe.Pod]
    heard: list[RegionStatus]
    blind: Mapping[RegionName, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the reconciler looks at and acts on."""

    stores: databases.Databases
    ownership: installation.Installation
    regional: installation.Regional
    pools: mirror.Mirror[wanted.Wanted]
    pods: pods.Pods
    policies: policies.Policies
    nodes: nodes.Nodes
    statuses: statuses.Statuses
    chronicle: chronicle.Chronicle
    defaults: pod.Defaults
    concurrency: int
    resync: float


class Reconciler:
    """``wake`` is set by whoever sees that something has changed; ``leads`` is asked before each round."""

    def __init__(
        self,
        world: World,
        wake: asyncio.Event,
        *,
        leads: Callable[[], bool],
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._world = world
        self._wake = wake
        self._leads = leads
        self._now = now
        self._observer = observe.Observer(now=now)
        self._autoscaler = autoscaler.Autoscaler(now=now)
        self._canaries = canaries.Canaries(world.stores.home, now=now)
        self._records = records.Records(world.stores, now=now)
        self._lookout = lookout.Lookout(world.stores, world.regional, self._records)
        self._good: dict[PoolName, BrowserPool] | None = None
        self._leftovers = leftovers.Leftovers()
        self._refreshed = float("-inf")
        self.rounds = 0
        """Rounds that went through."""
        self.last = now()
        """When a round ended, however it did, or got through with a pool."""

    async def run(self) -> None:
        """Rounds until cancelled, which ends one in its middle."""
        delays = tasks.backoff(first=0.5, most=10.0)
        while self._leads():
            self._wake.clear()
            started = self._now()
            outcome = await self._told_round()
            self.last = self._now()
            took = self.last - started
            metrics.RECONCILE_SECONDS.labels(outcome).observe(took)
            if outcome in ("idle", "changed"):
                delays = tasks.backoff(first=0.5, most=10.0)
                await asyncio.sleep(min(max(_SOON, took), _LATER))
                if outcome == "idle":
                    await self._woken(within=self._world.resync)
            else:
                await asyncio.sleep(chance.jitter(next(delays), share=0.3))

    async def _woken(self, *, within: float) -> None:
        with contextlib.suppress(TimeoutError):
            # Not wait_for: until Python 3.12 it may swallow a cancellation, and whoever leads no more would work on.
            async with asyncio.timeout(within):
                await self._wake.wait()

    async def _told_round(self) -> str:
        """One round; answers how it ended."""
        try:
            if not await self._world.ownership.holds():
                return "not-ours"
            changed = await self.once()
        except errors.ClusterUnavailable as error:
            log.warning("the API server is away; everything stays as it is", extra={"why": error.message})
            return "cluster-away"
        except errors.Unavailable as error:
            log.warning("the store is away; everything stays as it is", extra={"why": error.message})
            self._records.forget()
            await self._say_store_is_away(error)
            return "store-away"
        except errors.BrowserpoolError as error:
            log.error("a round failed; the next one sees what is left to do", extra={"why": error.message})  # noqa: TRY400 - the message says it
            return "failed"
        self.rounds += 1
        return "changed" if changed else "idle"

    async def once(self) -> bool:
        """One round over all pools; answers whether it did anything.

        Raises:
            errors.ClusterUnavailable: the API server is away.
            errors.Unavailable: the store is.
        """
        world = self._world
        await self._refresh()
        objects = {one.name: one for one in world.pools.objects.values()}
        good, problems = await self._understood(objects)
        named = (one.database for one in world.pods.mirror.objects.values())
        found, answers = await self._lookout.look(good, named)
        rows, there = observe.by_pool(found), world.pods.by_pool()
        dark = lookout.blind_regions(good, there, answers)
        scaled = self._autoscaler.scaled(good, rows, blind=dark)
        await self._records.publish({name: one.pool for name, one in scaled.items()})
        await self._records.publish_nodes(world.nodes.published(good.values()))
        await self._records.prune()
        heard = await everywhere.regions_listing(world.stores)
        living = {name for name, of in rows.items() if any(row.state is not BrowserState.GONE for row in of)}
        changed = False
        for name in sorted(living | there.keys() | objects.keys()):
            look = _Look(
                name=name,
                one=objects.get(name),
                pool=scaled[name].pool if name in scaled else None,
                scaled=scaled[name].regions if name in scaled else (),
                problem=problems.get(name),
                rows=rows.get(name, []),
                pods=there.get(name, {}),
                heard=heard,
                blind=dark.get(name, {}),
            )
            changed |= await self._apart(look)
            self.last = self._now()
        for name, secrets in self._leftovers.seen(rows, there, wanted=objects.keys()):
            await world.pods.remove_secrets(secrets)
            self._leftovers.removed(name)
        held = {name for name, of in there.items() if any(one.phase.exists for one in of.values())}
        await world.policies.remove_but(living | held | objects.keys())
        await world.chronicle.tell(objects)
        return changed

    async def _refresh(self) -> None:
        world = self._world
        if not all(one.mirror.connected for one in (world.pods, world.nodes, world.policies)):
            raise errors.ClusterUnavailable("The watches of pods, nodes and network policies are interrupted.")
        if self._now() - self._refreshed >= _REFRESH:
            await world.pools.refresh()
            self._refreshed = self._now()
        await world.pods.repair_secrets(world.defaults)

    async def _understood(
        self, objects: Mapping[PoolName, wanted.Wanted]
    ) -> tuple[dict[PoolName, BrowserPool], dict[PoolName, status.Condition]]:
        """What each pool wants, as last understood; and what is wrong with those that are not understood, or refused."""
        if self._good is None:
            self._good = {pool.name: pool for pool in await stored.listing(self._world.stores.home)}
            self._autoscaler.follow(self._good.values())
        clashes = wanted.colliding(objects.values())
        good: dict[PoolName, BrowserPool] = {}
        problems: dict[PoolName, status.Condition] = {}
        for one in objects.values():
            if one.name in clashes:
                problems[one.name] = _not_ready(_CONFLICT, clashes[one.name])
            elif one.pool is None:
                problems[one.name] = _not_ready("InvalidSpec", one.problem)
            if one.pool is not None and one.name not in clashes:
                good[one.name] = one.pool
            elif one.name in self._good:
                good[one.name] = self._good[one.name]
        self._good = good
        return good, problems

    async def _apart(self, look: _Look) -> bool:
        """One pool, apart from the others: what is wrong with it must not keep the rest from being looked after."""
        try:
            if look.one is not None and (look.pool is None or (look.problem and look.problem.reason == _CONFLICT)):
                await self._refuse(look.one, look.problem)
                return False
            return await self._reconcile(look)
        except errors.Unavailable:
            raise
        except Exception as error:  # whatever one pool's manifest brings about
            log.exception("a pool could not be looked after", extra={"pool": look.name})
            if look.one is not None:
                message = f"{type(error).__name__}: {error}"
                self._world.chronicle.say(look.one, notices.Notice(reason="Failed", message=message, warning=True))
            return False

    async def _reconcile(self, look: _Look) -> bool:
        world, one = self._world, look.one
        wants = None
        if one is not None and look.pool is not None:
            wants = wanted.installed(look.pool, image=world.defaults.image, mark=world.defaults.mark)
        seen_world = self._observer.world(look.name, wants, look.rows, look.pods, scaled=look.scaled, blind=look.blind)
        shown, uid = (None, "") if one is None else (one.status.get("canary"), one.uid)
        seen_world = await self._canaries.look(look.name, wants, seen_world, shown=shown, uid=uid)
        actions = plan.plan(wants, seen_world)
        if one is not None and wants is not None and not await self._is_walled(one, wants):
            actions = tuple(action for action in actions if not isinstance(action, plan.Create))
        if one is not None and wants is not None:
            await self._show(one, wants, seen_world, heard=look.heard, problem=look.problem)
        if not actions:
            return False
        actions = portion(actions, turn=self.rounds)
        hands = world.pods.hands(wants, world.defaults)
        failures = await apply.carry_out(world.stores, hands, look.name, actions, concurrency=world.concurrency)
        if one is not None:
            failed = {failure.action.browser_id for failure in failures}
            world.chronicle.did(one, seen_world, [action for action in actions if action.browser_id not in failed])
            for message in {str(failure.error) for failure in failures}:
                world.chronicle.say(one, notices.Notice(reason="Failed", message=message, warning=True))
        # What was refused altogether is not asked for again at once.
        return len(failures) < len(actions)

    async def _is_walled(self, one: wanted.Wanted, pool: BrowserPool) -> bool:
        """Whether the pool's network policy is as it is to be: before that, no browser is made that could do without it."""
        try:
            await self._world.policies.keep(pool, self._world.defaults)
        except errors.Unavailable:
            raise
        except errors.BrowserpoolError as error:
            message = f"Its network policy cannot be written, so no browser is made. {error.message}"
            self._world.chronicle.say(one, notices.Notice(reason="Failed", message=message, warning=True))
            return False
        return True

    # ------------------------------------------------------------ what is said
    async def _show(
        self,
        one: wanted.Wanted,
        pool: BrowserPool,
        seen_world: seen.World,
        *,
        heard: list[RegionStatus],
        problem: status.Condition | None,
    ) -> None:
        now = status.summary(pool, seen_world, heard=heard)
        if problem is not None:
            kept = tuple(condition for condition in now.conditions if condition.type != problem.type)
            now = dataclasses.replace(now, conditions=(problem, *kept))
            self._say_problem(one, problem)
        await self._world.statuses.show(one, now)
        self._world.chronicle.saw(one, now, self._world.pods.of(one.name))

    async def _refuse(self, one: wanted.Wanted, problem: status.Condition | None) -> None:
        """Nothing is done for this pool, and nothing undone."""
        if problem is not None:
            self._say_problem(one, problem)
            await self._world.statuses.mark(one, [problem])

    def _say_problem(self, one: wanted.Wanted, problem: status.Condition) -> None:
        self._world.chronicle.say(one, notices.Notice(reason=problem.reason, message=problem.message, warning=True))

    async def _say_store_is_away(self, error: errors.Unavailable) -> None:
        away = status.Condition(type="DatabaseFresh", status=False, reason="Unreachable", message=error.message)
        try:
            for one in list(self._world.pools.objects.values()):
                self._say_problem(one, dataclasses.replace(away, reason="DatabaseUnreachable"))
                await self._world.statuses.mark(one, [away])
            await self._world.chronicle.tell({one.name: one for one in self._world.pools.objects.values()})
        except errors.BrowserpoolError as unsaid:
            log.warning("that the store is away could not be said", extra={"why": unsaid.message})


def portion(actions: Sequence[plan.Action], *, turn: int) -> tuple[plan.Action, ...]:
    """What one round carries out: all that one statement does, and as many single requests as its length allows.

    Each ``turn`` begins where the one before ended: what is refused again and again does not keep the rest from its turn.
    """
    singly = [action for action in actions if isinstance(action, plan.Create | plan.Adopt | plan.Delete)]
    together = [action for action in actions if isinstance(action, plan.Drain | plan.Forget | plan.Locate)]
    start = turn * _AT_ONCE % len(singly) if len(singly) > _AT_ONCE else 0
    return (*together, *(singly[start:] + singly[:start])[:_AT_ONCE])


def _not_ready(reason: str, message: str) -> status.Condition:
    return status.Condition(type="Ready", status=False, reason=reason, message=message)
