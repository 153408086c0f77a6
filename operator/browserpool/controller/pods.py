"""The browsers' pods: what exists of them, and the hands that make and delete them."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from browserpool import metrics
from browserpool.controller import kube, mirror, nodes, observe, podstate
from browserpool.controller.desired import labels, plan, pod, seen, shards, template
from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.names import BrowserId, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool, Region

log = logging.getLogger(__name__)

_YOUNG = 60.0
"""Seconds; a pod that ends by itself sooner may do so again at once, and its name waits before it gets another."""
_REMEMBERED = 600.0
"""Seconds after which a death no longer counts: ten times the longest wait that follows from one."""
_REPAIR_EVERY = 30.0
"""Seconds between two attempts to put back a Secret that pods miss."""
_FORCE_EVERY = 30.0
"""Seconds between two requests to take one pod out at once: what still holds it then is a third party's finalizer."""
_NOWHERE = seen.Place(zone=ZoneName(""), node=NodeName(""))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    uid: str
    """Of the pod; empty: the API server refused to make it."""
    pool: PoolName
    region: RegionName
    times: int
    at: float


class Pods:
    """All browsers' pods of the namespace. ``on_change`` is called when one has changed in what the plan looks at."""

    def __init__(
        self,
        client: kube.Client,
        standing: nodes.Nodes,
        *,
        signing_key: str,
        on_change: Callable[[], None],
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._client = client
        self._nodes = standing
        self._signing_key = signing_key
        self._on_change = on_change
        self._now = now
        self._born: dict[str, float] = {}
        self._failing_since: dict[str, float] = {}
        self._deaths: dict[BrowserId, _Death] = {}
        self._forced: dict[str, float] = {}
        self._secrets: dict[str, float] = {}
        self._writing_secrets = asyncio.Lock()
        self.mirror = mirror.Mirror(
            client, kube.PODS, selector=labels.SELECTOR, seen=podstate.pod, on_change=self._changed
        )

    # ------------------------------------------------------------ what exists
    def by_pool(self) -> Mapping[PoolName, Mapping[BrowserId, observe.Pod]]:
        """The pods of each pool, and the names whose pods died young."""
        now = self._now()
        self._deaths = {name: death for name, death in self._deaths.items() if now - death.at < _REMEMBERED}
        self._forced = {uid: asked for uid, asked in self._forced.items() if now - asked < _FORCE_EVERY}
        found: dict[PoolName, dict[BrowserId, observe.Pod]] = {}
        for name, death in self._deaths.items():
            found.setdefault(death.pool, {})[name] = observe.Pod(
                region=death.region, phase=seen.Pod.ABSENT, deaths=death.times, death_age=now - death.at
            )
        for one in self.mirror.objects.values():
            found.setdefault(one.pool, {})[one.name] = self._observed(one)
        return found

    def of(self, pool: PoolName) -> Iterator[podstate.Pod]:
        """The pods of ``pool``."""
        return (one for one in self.mirror.objects.values() if one.pool == pool)

    def place(self, browser_id: BrowserId) -> seen.Place:
        """Where its pod stands; nowhere while no node was found for it."""
        one = self.mirror.objects.get(browser_id)
        return (self._nodes.place(one.node) if one is not None else None) or _NOWHERE

    def _observed(self, one: podstate.Pod) -> observe.Pod:
        return observe.Pod(
            region=one.region,
            phase=one.phase,
            template_hash=one.template_hash,
            schedulable=one.schedulable,
            failing=one.failing,
            failing_for=self._now() - self._failing_since[one.name] if one.failing else 0.0,
            node=self._nodes.state(one.node),
            forced=one.uid in self._forced,
            place=self._nodes.place(one.node),
            database=one.database,
        )

    def _changed(self, name: str, before: podstate.Pod | None, after: podstate.Pod | None) -> None:
        if before is None or after is None or before.uid != after.uid:
            self._born[name] = self._now()
            self._failing_since.pop(name, None)
        if after is not None and after.failing:
            self._failing_since.setdefault(name, self._now())
        else:
            self._failing_since.pop(name, None)
        if after is None:
            del self._born[name]
            if before is not None:
                self._ended_well(before)
        else:
            self._count_deaths(before, after)
        self._on_change()

    def _count_deaths(self, before: podstate.Pod | None, after: podstate.Pod) -> None:
        same = before is not None and before.uid == after.uid
        if same and before is not None and after.restarts > before.restarts:
            metrics.AGENT_RESTARTS.labels(after.pool, after.region).inc(after.restarts - before.restarts)
        # One that is being deleted ends too, which is no death.
        if after.phase is seen.Pod.DEAD and not (same and before is not None and before.phase is seen.Pod.DEAD):
            metrics.AGENT_RESTARTS.labels(after.pool, after.region).inc()
            lived = self._now() - self._born[after.name]
            self._died(after.name, uid=after.uid, pool=after.pool, region=after.region, lived=lived)

    def _died(self, name: BrowserId, *, uid: str, pool: PoolName, region: RegionName, lived: float) -> None:
        before = self._deaths.get(name)
        times = (before.times if before else 0) + 1 if lived < _YOUNG else 0
        self._deaths[name] = _Death(uid=uid, pool=pool, region=region, times=times, at=self._now())

    def _ended_well(self, one: podstate.Pod) -> None:
        """Forget the deaths of those that bore its name before, unless it died itself."""
        death = self._deaths.get(one.name)
        if death is not None and death.uid != one.uid:
            del self._deaths[one.name]

    # ------------------------------------------------------------ hands
    def hands(self, pool: BrowserPool | None, defaults: pod.Defaults) -> "Hands":
        """Hands that make browsers of ``pool``; for one that is deleted (None) they make none."""
        return Hands(self, pool, defaults)

    async def create(self, pool: BrowserPool, action: plan.Create, defaults: pod.Defaults) -> None:
        """Make the pod, and the Secret that it takes its credentials from.

        Raises:
            errors.ClusterUnavailable: the API server cannot be reached.
            errors.BrowserpoolError: it refuses; the name then waits before it is tried again.
        """
        region = pool.spec.region(action.region)
        if region is None:
            return
        try:
            await self._provide_secret(pool.name, action.region, shards.shard(action.ordinal), defaults)
            body = _manifest(pool, region, action, defaults)
            self.mirror.put(await self._created(action, body, pool=pool.name))
        except errors.ClusterUnavailable:
            raise
        except errors.BrowserpoolError:
            self._died(action.browser_id, uid="", pool=pool.name, region=action.region, lived=0.0)
            raise

    async def _created(self, action: plan.Create, body: kube.Object, *, pool: PoolName) -> kube.Object:
        name = action.browser_id
        try:
            made = await self._client.create(kube.PODS, body)
        except errors.Conflict:
            there = await self._client.get(kube.PODS, name)
        else:
            metrics.PODS_CREATED.labels(pool, action.region).inc()
            return made
        if not podstate.is_of(there, pool=pool):
            raise errors.Conflict(
                f"There is a pod {name} that is not this pool's; delete or rename it, and the browser can be made."
            )
        return there

    async def delete(self, browser_id: BrowserId) -> None:
        """Begin to delete the pod. On a lost node nobody would confirm it: there the pod is taken out at once.

        Raises:
            errors.ClusterUnavailable: the API server cannot be reached.
        """
        one = self.mirror.objects.get(browser_id)
        if one is None:
            return
        grace = 0 if self._nodes.state(one.node) is seen.Node.LOST else None
        answer = await self._client.delete(kube.PODS, browser_id, uid=one.uid, grace=grace)
        metrics.PODS_DELETED.labels(one.pool, one.region).inc()
        if grace == 0:
            self._forced[one.uid] = self._now()
        if answer is None:
            self.mirror.drop(browser_id)
        else:
            self.mirror.put(answer)

    # ------------------------------------------------------------ secrets
    async def _provide_secret(self, pool: PoolName, region: RegionName, number: int, defaults: pod.Defaults) -> None:
        """Write the shard's Secret, once in this process's life; what it holds follows from the signing key."""
        name = shards.name(pool=pool, region=region, number=number)
        async with self._writing_secrets:
            if name in self._secrets:
                return
            body = shards.secret(
                pool=pool,
                region=region,
                number=number,
                namespace=defaults.namespace,
                signing_key=self._signing_key,
                owners=defaults.owners,
            )
            try:
                await self._client.create(kube.SECRETS, body)
            except errors.Conflict:
                await self._client.patch(kube.SECRETS, name, body)
            self._secrets[name] = self._now()

    async def repair_secrets(self, defaults: pod.Defaults) -> None:
        """Put back the Secrets that pods wait for: somebody deleted them.

        Raises:
            errors.BrowserpoolError: the API server cannot be reached, or refuses.
        """
        for one in list(self.mirror.objects.values()):
            if one.failing != "CreateContainerConfigError":
                continue
            number = shards.shard(one.ordinal)
            name = shards.name(pool=one.pool, region=one.region, number=number)
            if self._now() - self._secrets.get(name, float("-inf")) >= _REPAIR_EVERY:
                self._secrets.pop(name, None)
                await self._provide_secret(one.pool, one.region, number, defaults)

    async def remove_secrets(self, names: Iterable[str]) -> None:
        """Delete these Secrets, for whose browsers there is no pool any more; one that is not there is no error."""
        for name in names:
            await self._client.delete(kube.SECRETS, name)
            self._secrets.pop(name, None)


def _manifest(pool: BrowserPool, region: Region, action: plan.Create, defaults: pod.Defaults) -> kube.Object:
    pool = template.chosen(pool, region, action.template_hash)
    try:
        return pod.manifest(pool, region, ordinal=action.ordinal, template_hash=action.template_hash, defaults=defaults)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        # The template is whatever somebody wrote: only what the API server would take can be laid over a pod.
        raise errors.InvalidRequest(
            f"The pool's template is no part of a pod ({type(error).__name__}: {error}); write it as in a Deployment."
        ) from error


class Hands:
    """``apply.Hands`` for one pool."""

    def __init__(self, pods: Pods, pool: BrowserPool | None, defaults: pod.Defaults) -> None:
        self._pods = pods
        self._pool = pool
        self._defaults = defaults

    def place(self, action: plan.Create | plan.Adopt) -> seen.Place:
        return self._pods.place(action.browser_id)

    async def create(self, action: plan.Create, place: seen.Place) -> None:  # noqa: ARG002 - the scheduler decides
        if self._pool is not None:
            await self._pods.create(self._pool, action, self._defaults)

    async def delete(self, browser_id: BrowserId) -> None:
        await self._pods.delete(browser_id)
