"""Nodes, pods and agents without machines: real objects at a real API server, bound by the real scheduler, run by nobody.

``Nodes`` does what kubelets would: it keeps its nodes alive, says that pods run once they are bound, and lets deleted ones go. ``Agents``
does what those pods' agents would, straight at the store. Both keep count, so that a test can say that nothing was made twice.
"""

import asyncio
import collections
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self

from browserpool.controller import kube
from browserpool.controller.desired import labels, status
from browserpool.lib import clock, tasks
from browserpool.model import errors
from browserpool.model.heartbeats import Hello
from browserpool.model.names import BrowserId
from browserpool.store import browsers, connect, heartbeats
from support import fleet

MARK = "browserpool.test/simulated"
"""Label and taint of simulated nodes: nothing else is bound there."""
TOLERATION = {"key": MARK, "operator": "Exists", "effect": "NoSchedule"}
_CAPACITY = {"cpu": "1000", "memory": "4Ti", "pods": "1000", "ephemeral-storage": "4Ti"}
_AT_ONCE = 8
_ALIVE_EVERY = 4.0
"""Seconds between two renewals of a node's lease; the cluster for tests gives a silent node 16."""


class Nodes:
    """Simulated nodes ``names``, and kubelets for those pods on them that ``selector`` chooses in the client's namespace."""

    def __init__(
        self, client: kube.Client, leases: kube.Client, *, names: Sequence[str], region: str, selector: str
    ) -> None:
        self._client = client
        self._leases = leases
        self._names = frozenset(names)
        self._region = region
        self._selector = selector
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._begun: set[tuple[str, bool]] = set()
        self._over: set[str] = set()
        self.pods: dict[str, str] = {}
        """The uid of each pod that runs, by name."""
        self.uids: dict[str, set[str]] = collections.defaultdict(set)
        """All uids that a name was ever seen with: more than one means that it was made again."""
        self.on_running: Callable[[str], None] = lambda _: None
        self.on_gone: Callable[[str], None] = lambda _: None

    async def __aenter__(self) -> Self:
        await self._leave()  # an earlier run may have been killed
        for number, name in enumerate(sorted(self._names)):
            await self._join(name, zone=f"{self._region}-{'ab'[number % 2]}", address=f"10.250.{number}.1")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        for name in self._names:
            await self._client.delete(kube.NODES, name)
            await self._leases.delete(kube.LEASES, name)

    async def run(self) -> None:
        """Be the kubelets, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(tasks.periodically(self._stay_alive, every=_ALIVE_EVERY, name="node leases"))
            await self._follow(group)

    # ------------------------------------------------------------ nodes
    async def _join(self, name: str, *, zone: str, address: str) -> None:
        await self._leases.create(kube.LEASES, _lease(name))
        marks = {MARK: "true", labels.NODE_NAME: name, labels.NODE_REGION: self._region, labels.NODE_ZONE: zone}
        taint = {"key": MARK, "value": "true", "effect": "NoSchedule"}
        body = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": marks},
            "spec": {"taints": [taint]},
        }
        await self._client.create(kube.NODES, body)
        conditions = [
            _condition("Ready"),
            *(_condition(kind, status="False") for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")),
        ]
        addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
        said = {"capacity": _CAPACITY, "allocatable": _CAPACITY, "conditions": conditions, "addresses": addresses}
        await self._client.patch(kube.NODES, name, {"status": said}, subresource="status")

    async def _stay_alive(self) -> None:
        for name in self._names:
            with contextlib.suppress(errors.BrowserpoolError):  # the next renewal comes in time
                await self._leases.patch(kube.LEASES, name, {"spec": {"renewTime": _now_micro()}})

    # ------------------------------------------------------------ pods
    async def _follow(self, group: asyncio.TaskGroup) -> None:
        while True:
            with contextlib.suppress(errors.BrowserpoolError):
                listing = await self._client.list(kube.PODS, selector=self._selector)
                self._forget(but={pod["metadata"]["uid"] for pod in listing.items})
                for pod in listing.items:
                    self._take_up(pod, group)
                async for change in self._client.watch(
                    kube.PODS, selector=self._selector, since=listing.version, lasts=300
                ):
                    if change.kind == "DELETED":
                        self._gone(change.object)
                    elif change.kind in ("ADDED", "MODIFIED"):
                        self._take_up(change.object, group)
            await asyncio.sleep(0.2)

    def _take_up(self, pod: kube.Object, group: asyncio.TaskGroup) -> None:
        metadata = pod["metadata"]
        self.uids[metadata["name"]].add(metadata["uid"])
        leaves = "deletionTimestamp" in metadata
        step = (metadata["uid"], leaves)
        if pod["spec"].get("nodeName") in self._names and step not in self._begun:
            self._begun.add(step)
            group.create_task(self._let_go(metadata) if leaves else self._run(pod))

    async def _run(self, pod: kube.Object) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        said = {"status": _running(pod, number=len(self._begun))}
        try:
            await self._persistently(lambda: self._client.patch(kube.PODS, name, said, subresource="status"))
        except errors.NotFound:
            return
        if uid not in self._over:  # the answer may come after the news of its end
            self.pods[name] = uid
            self.on_running(name)

    async def _let_go(self, metadata: dict[str, Any]) -> None:
        await self._persistently(lambda: self._client.delete(kube.PODS, metadata["name"], uid=metadata["uid"], grace=0))

    async def _persistently(self, action: Callable[[], Awaitable[object]]) -> None:
        """A few at a time, and again while the API server is too busy, as a kubelet would."""
        async with self._slots:
            while True:
                try:
                    await action()
                except errors.ClusterUnavailable:
                    await asyncio.sleep(1)
                else:
                    return

    def _gone(self, pod: kube.Object) -> None:
        self._end(pod["metadata"]["name"], pod["metadata"]["uid"])

    def _forget(self, *, but: set[str]) -> None:
        """End those whose end no watch has told."""
        for name, uid in list(self.pods.items()):
            if uid not in but:
                self._end(name, uid)

    def _end(self, name: str, uid: str) -> None:
        self._over.add(uid)
        if self.pods.get(name) == uid:
            del self.pods[name]
            self.on_gone(name)


class Agents:
    """An agent for each name that was ``started``: it greets the store, then says every few seconds that it is well."""

    def __init__(self, db: connect.Database, *, every: float = 2.0) -> None:
        self._db = db
        self._every = every
        self._waiting: set[BrowserId] = set()
        self._greeted: dict[BrowserId, fleet.Agent] = {}

    def started(self, names: str | Iterable[str]) -> None:
        """Pods of these names run."""
        self._waiting.update(BrowserId(name) for name in ([names] if isinstance(names, str) else names))

    def stopped(self, name: str) -> None:
        """The pod is gone, and its agent with it."""
        self._waiting.discard(BrowserId(name))
        self._greeted.pop(BrowserId(name), None)

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            with contextlib.suppress(errors.Unavailable):
                await self._greet()
                await self._beat()
            await asyncio.sleep(self._every)

    async def _greet(self) -> None:
        for name in sorted(self._waiting):
            welcome = await browsers.hello(
                self._db, Hello(browser_id=name, address=f"{name}:8082", chromium="Simulated/1")
            )
            # None: its row is not written yet; it asks again.
            if welcome is not None and name in self._waiting:
                self._waiting.discard(name)
                self._greeted[name] = fleet.Agent(self._db, name, welcome)

    async def _beat(self) -> None:
        words = [agent.word() for agent in self._greeted.values()]
        for first in range(0, len(words), 200):
            replies = await heartbeats.write(self._db, words[first : first + 200])
            for (name, _), reply in replies.items():
                if reply.recycle and (agent := self._greeted.get(BrowserId(name))) is not None:
                    agent.clean_fence = reply.fence


def _lease(node: str) -> kube.Object:
    spec = {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": _now_micro()}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node}, "spec": spec}


def _now_micro() -> str:
    return clock.wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _condition(kind: str, *, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "Simulated", "message": "", "lastTransitionTime": _now()}


def _now() -> str:
    return status.timestamp(clock.wall())


def _running(pod: kube.Object, *, number: int) -> dict[str, Any]:
    now, address = _now(), f"10.251.{number // 250 % 250}.{number % 250 + 1}"
    container = pod["spec"]["containers"][0]
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": [_condition(kind) for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
        ],
    }
