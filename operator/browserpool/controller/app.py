"""The process: its parts wired together, what every replica does, what only the leader does, and how it stops."""

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from kubernetes.aio import client as official

from browserpool.controller import (
    chronicle,
    events,
    handlers,
    installation,
    kube,
    leader,
    mirror,
    nodes,
    ops,
    pods,
    policies,
    reconciler,
    sessions,
    settings,
    statuses,
    wanted,
)
from browserpool.controller.desired import pod, session
from browserpool.controller.webhooks import wiring
from browserpool.lib import chance, clock, listening, tasks
from browserpool.lib import web as lib_web
from browserpool.model import credentials, errors
from browserpool.model.names import BrowserId
from browserpool.store import connect, databases, migrate, region_databases

log = logging.getLogger(__name__)

_LEAVING = 5.0
"""Seconds for a replica that stops to be done with its databases: there is nothing that it has to write."""
_STUCK = 120.0
"""Seconds without the end of a round after which a leader is not alive: each of its requests is bounded far below that."""
_TRY_EVERY = 2.0
_FOLLOW_EVERY = 5.0
"""Seconds between two looks at which databases regions have."""
_FEW = 2
"""Connections to a region's database of a replica that only answers for evictions."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Controller:
    """A replica that runs. ``round`` is the leader's reconciler; None: another leads, or it has not listed all yet.

    ``leads_since`` is on the steady clock. ``ownership``: the leader's, of the database. ``stores`` are all databases, as every replica
    needs them; the leader has its own, which it also keeps up to date. ``budget`` is that of its stop.
    """

    config: settings.ControllerSettings
    client: kube.Client
    election: leader.Election
    db: connect.Database | None = None
    stores: databases.Databases | None = None
    budget: tasks.Budget = dataclasses.field(default_factory=tasks.Budget)
    round: reconciler.Reconciler | None = None
    leads_since: float | None = None
    ownership: installation.Installation | None = None
    ops_address: listening.Address | None = None
    webhook_port: int | None = None

    def alive(self) -> str:
        """What is so wrong that only a restart helps; empty: nothing."""
        last = self.leads_since if self.round is None else self.round.last
        if last is not None and clock.monotonic() - last > _STUCK:
            return f"no round has ended for {_STUCK:g} s"
        return ""

    def ready(self) -> str:
        """What is missing for this replica to lead or to stand by; empty: nothing."""
        if self.db is None:
            return "the store was not reached yet"
        if self.round is not None and self.ownership is not None and self.ownership.problem:
            return self.ownership.problem
        return "" if self.election.reached else "the API server was not reached yet"


@contextlib.asynccontextmanager
async def running(config: settings.ControllerSettings) -> AsyncIterator[Controller]:
    """A replica, while the block runs: it stands by, and leads while it holds the Lease. Leaving gives the Lease back.

    Raises:
        errors.ClusterUnavailable: there is no configuration to reach a cluster with.
    """
    configuration = await kube.configured(config.kubeconfig)
    async with contextlib.AsyncExitStack() as stack:
        client = kube.Client(configuration, namespace=config.namespace, timeout=config.request_timeout)
        await stack.enter_async_context(client)
        replica = Controller(config=config, client=client, election=leader.Election(client, _rules(config)))
        application = ops.application(alive=replica.alive, ready=replica.ready)
        replica.ops_address = await stack.enter_async_context(
            lib_web.serve(application, host=config.host, port=config.ops_port, grace=1.0)
        )
        replica.webhook_port = await stack.enter_async_context(
            wiring.serving(config, client=client, stores=lambda: replica.stores)
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())
        working = group.create_task(_stand_by(replica, configuration), name="controller")
        try:
            yield replica
        finally:
            replica.budget.begin(_LEAVING)
            working.cancel()


def _rules(config: settings.ControllerSettings) -> leader.Rules:
    return leader.Rules(
        name=config.lease_name,
        identity=config.identity,
        lasts=config.lease_duration,
        renew=config.renew_deadline,
        retry=config.retry_period,
    )


async def _stand_by(replica: Controller, configuration: official.Configuration) -> None:
    """What every replica does."""
    async with _store(replica.config, replica.budget) as db, _followed(replica.config, db) as stores:
        replica.db, replica.stores = db, stores
        await replica.election.lead(lambda: _lead(replica, configuration, db))


@contextlib.asynccontextmanager
async def _followed(config: settings.ControllerSettings, db: connect.Database) -> AsyncIterator[databases.Databases]:
    """All databases, as the guard over evictions needs them; none of regions where there is no such guard."""
    stores = databases.Databases(db, _opening(config, most=_FEW))

    async def follow() -> None:
        with contextlib.suppress(errors.Unavailable):
            stores.follow(await region_databases.listing(db))

    async with tasks.Background(grace=0) as background:
        if config.webhook_port is not None:
            background.spawn(
                tasks.periodically(follow, every=_FOLLOW_EVERY, name="regions' databases"), name="regions' databases"
            )
        try:
            yield stores
        finally:
            await stores.close()


def _opening(config: settings.ControllerSettings, *, most: int) -> databases.Opening:
    return databases.Opening(
        directory=config.secrets_dir, process="controller", max_size=min(most, config.db_connections)
    )


@contextlib.asynccontextmanager
async def _store(config: settings.ControllerSettings, budget: tasks.Budget) -> AsyncIterator[connect.Database]:
    """The store, as soon as it can be reached and has this version's schema."""
    while True:
        async with contextlib.AsyncExitStack() as stack:
            try:
                db = await stack.enter_async_context(
                    connect.opened(config.dsn, process="controller", max_size=config.db_connections, budget=budget)
                )
                await migrate.require(db)
            except errors.Unavailable as error:
                log.warning("the store cannot be used yet", extra={"why": error.message})
            else:
                yield db
                return
        await asyncio.sleep(chance.jitter(_TRY_EVERY))


# ---------------------------------------------------------------- the leader
async def _lead(replica: Controller, configuration: official.Configuration, db: connect.Database) -> None:
    """What only the leader does, until cancelled."""
    replica.leads_since = clock.monotonic()
    wake = asyncio.Event()
    client, config = replica.client, replica.config

    def changed(*_: object) -> None:
        wake.set()

    standing = nodes.Nodes(client, on_change=changed)
    running_pods = pods.Pods(client, standing, signing_key=config.signing_key, on_change=changed)
    walls = policies.Policies(client, config.network_policy, on_change=changed)
    pools = mirror.Mirror(client, kube.POOLS, seen=wanted.read, on_change=changed)
    recorder = events.Recorder(client, identity=config.identity)
    name = config.installation or config.namespace
    replica.ownership = ours = installation.Installation(db, name)
    regional = installation.Regional(name)
    stores = databases.Databases(db, _opening(config, most=config.db_connections), prepare=regional.prepare)
    world = reconciler.World(
        stores=stores,
        ownership=ours,
        regional=regional,
        pools=pools,
        pods=running_pods,
        policies=walls,
        nodes=standing,
        statuses=statuses.Statuses(client, pools),
        chronicle=chronicle.Chronicle(recorder),
        defaults=defaults(config, owners=await _owners(client, config.owner_deployment)),
        concurrency=config.concurrency,
        resync=config.resync,
    )
    try:
        async with asyncio.TaskGroup() as group:
            kopf_ = handlers.watch(configuration, namespace=config.namespace, pools=_into(pools))
            beside = [
                group.create_task(standing.mirror.run(), name="nodes"),
                group.create_task(running_pods.mirror.run(), name="pods"),
                group.create_task(walls.mirror.run(), name="network policies"),
                group.create_task(kopf_, name="kopf"),
            ]
            await standing.mirror.synced.wait()
            await running_pods.mirror.synced.wait()
            await walls.mirror.synced.wait()
            beside.append(group.create_task(_keep_sessions(replica, stores, ours, regional), name="sessions"))
            replica.round = reconciler.Reconciler(world, wake, leads=lambda: replica.election.leading)
            await replica.round.run()
            for task in beside:
                task.cancel()
    finally:
        replica.round = replica.leads_since = None
        await stores.close()


async def _keep_sessions(
    replica: Controller,
    stores: databases.Databases,
    ours: installation.Installation,
    regional: installation.Regional,
) -> None:
    """BrowserSession objects, beside the pools: neither holds up the other."""
    await ours.taken.wait()
    wake = asyncio.Event()

    def changed(*_: object) -> None:
        wake.set()

    client, config = replica.client, replica.config
    objects = mirror.Mirror(client, kube.SESSIONS, seen=session.read, on_change=changed)
    recorder = events.Recorder(client, identity=config.identity)
    world = sessions.World(
        stores=stores,
        client=client,
        objects=objects,
        recorder=recorder,
        url=config.router_url,
        resync=config.resync,
        others=lambda: regional.others,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(objects.run(), name="sessions' objects")
        group.create_task(sessions.Sessions(world, wake).run(), name="sessions' rounds")


def defaults(config: settings.ControllerSettings, *, owners: tuple[dict[str, Any], ...] = ()) -> pod.Defaults:
    """What the settings say of all browsers' pods."""
    return pod.Defaults(
        namespace=config.namespace,
        image=config.browser_image,
        pull_policy=config.image_pull_policy,
        router_url=config.router_url,
        pull_secrets=tuple(name.strip() for name in config.image_pull_secrets.split(",") if name.strip()),
        owners=owners,
        mark=_mark(config),
    )


def _mark(config: settings.ControllerSettings) -> str:
    """Another router or another signing key: browsers that were started with the old one are of no use."""
    key = credentials.claim_key(signing_key=config.signing_key, browser_id=BrowserId(""))
    return hashlib.sha256(f"{config.router_url} {key}".encode()).hexdigest()[:10]


def _into(pools: mirror.Mirror[wanted.Wanted]) -> handlers.Heard:
    def heard(kind: str | None, found: kube.Object) -> None:
        if kind == "DELETED":
            pools.drop(found["metadata"]["name"], version=mirror.version_of(found))
        else:
            pools.put(found)

    return heard


async def _owners(client: kube.Client, deployment: str) -> tuple[dict[str, Any], ...]:
    """The controller's own Deployment as owner of what it makes: when it is uninstalled, browsers go with it.

    As their controller, too: ``kubectl drain`` and autoscalers leave alone what nobody would put back. Deployments themselves look at
    ReplicaSets only.
    """
    if not deployment:
        return ()
    for delay in tasks.backoff(first=0.5, most=5.0):
        try:
            found = await client.get(kube.DEPLOYMENTS, deployment)
        except errors.ClusterUnavailable:
            await asyncio.sleep(chance.jitter(delay, share=0.3))
        except errors.BrowserpoolError as error:
            log.warning("browsers' pods will have no owner", extra={"deployment": deployment, "why": error.message})
            return ()
        else:
            return (
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": deployment,
                    "uid": found["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                },
            )
    raise AssertionError("a backoff does not end")
