"""Hundreds of pods at a real API server: what they cost in requests, time, CPU and memory, and that none is made twice.

The pods are simulated (``support.simulated``), the controller, API server, scheduler and store are real. ``SCALE_PODS=1000`` asks for
another number than 500. What was measured goes to ``.browserpool/scale.json``; only counts decide.
"""

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import pathlib

import pytest

from browserpool.controller import kube, rights
from browserpool.controller.desired import shards
from browserpool.lib import clock
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect
from support import replica as replicas
from support import simulated, waiting

ROOT = pathlib.Path(__file__).parents[2]
KEPT = ROOT / ".browserpool" / "scale.json"
PODS = int(os.environ.get("SCALE_PODS", "500"))
PATIENCE = 60 + PODS * 0.4
"""Seconds that a change of all pods may take; how long it takes is measured, and decides nothing."""
NODES, LOST = 4, 20
IDLE = 30.0
POOL, REGION = "crowd", "sim"
WRITES = {"create", "update", "patch", "delete"}


def keep(**figures):
    """Put these figures into the file, beside those that are there."""
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(before | figures, indent=2) + "\n")


@dataclasses.dataclass(slots=True, kw_only=True)
class Stage:
    """Everything at work."""

    cluster: object
    namespace: str
    dsn: str
    kubeconfig: pathlib.Path
    folder: pathlib.Path
    db: connect.Database
    nodes: simulated.Nodes
    figures: dict

    def running(self, **more):
        log = self.folder / "controller.log"
        return replicas.running(dsn=self.dsn, kubeconfig=self.kubeconfig, namespace=self.namespace, log=log, **more)

    async def kubectl(self, *arguments):
        """In a thread: the nodes and agents live in this loop, and must not stand still meanwhile."""
        await asyncio.to_thread(self.cluster.kubectl, *arguments, "--namespace", self.namespace, timeout=180)

    async def apply(self, **spec):
        selector = {simulated.MARK: "true"}
        whole = {
            "maxReplicas": 2 * PODS,
            "regions": [{"name": REGION, "nodeSelector": selector}],
            "refill": {"maxBatch": 100},
            "template": {"spec": {"tolerations": [simulated.TOLERATION]}},
            **spec,
        }
        metadata = {"name": POOL, "namespace": self.namespace}
        made = {"apiVersion": "browserpool.dev/v1alpha1", "kind": "BrowserPool", "metadata": metadata, "spec": whole}
        await asyncio.to_thread(self.cluster.apply, made, namespace=self.namespace)

    async def states(self):
        return {
            one.state: one.number
            for one in await browsers.counts(self.db)
            if one.number and one.state is not BrowserState.GONE
        }

    async def settled(self, number):
        """Waits until ``number`` browsers are ready, no other is there, and the pool's status says so."""

        async def so():
            return await self.states() == ({BrowserState.READY: number} if number else {})

        await waiting.until(so, deadline=PATIENCE, every=0.2)
        reached = clock.monotonic()

        async def said():
            found = await asyncio.to_thread(self.cluster.get, "bp", POOL, namespace=self.namespace)
            return found.get("status", {}).get("readyReplicas") == number

        await waiting.until(said, deadline=60, every=1)
        return reached

    def made(self):
        """How many pods there ever were, by their uids."""
        return sum(len(uids) for uids in self.nodes.uids.values())


@pytest.fixture
async def stage(kubernetes, namespace, dsn, tmp_path):
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "crds"))
    kubernetes.kubectl("wait", "crd/browserpools.browserpool.dev", "--for=condition=Established", "--timeout=30s")
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(replicas.cleared(kubernetes, namespace=namespace))
        kubeconfig = replicas.account(kubernetes, namespace=namespace, folder=tmp_path)
        configuration = await kube.configured(str(kubernetes.kubeconfig))
        ours = await stack.enter_async_context(kube.Client(configuration, namespace=namespace, timeout=20))
        leases = await stack.enter_async_context(kube.Client(configuration, namespace="kube-node-lease", timeout=20))
        db = await stack.enter_async_context(connect.opened(dsn, process="simulated-agents"))
        nodes = await stack.enter_async_context(
            simulated.Nodes(
                ours,
                leases,
                names=[f"simulated-{number}" for number in range(NODES)],
                region=REGION,
                selector=f"browserpool.dev/pool={POOL}",
            )
        )
        agents = simulated.Agents(db)
        nodes.on_running, nodes.on_gone = agents.started, agents.stopped
        group = await stack.enter_async_context(asyncio.TaskGroup())
        simulating = [group.create_task(nodes.run()), group.create_task(agents.run())]
        yield Stage(
            cluster=kubernetes,
            namespace=namespace,
            dsn=dsn,
            kubeconfig=kubeconfig,
            folder=tmp_path,
            db=db,
            nodes=nodes,
            figures={},
        )
        for task in simulating:
            task.cancel()
        # Of a run that failed: no kubelet would confirm their end.
        await asyncio.to_thread(
            kubernetes.kubectl,
            "delete",
            "pods",
            "--all",
            "-n",
            namespace,
            "--force",
            "--grace-period=0",
            "--wait=false",
            timeout=180,
        )


class Span:
    """What the controller did between two moments: requests by (verb, resource, status), and its CPU."""

    def __init__(self, replica):
        self._replica = replica

    async def __aenter__(self):
        self._before, self._cpu, self._begun = (
            await self._replica.requests(),
            self._replica.cpu_seconds(),
            clock.monotonic(),
        )
        return self

    async def __aexit__(self, *_):
        now = await self._replica.requests()
        self.seconds = clock.monotonic() - self._begun
        self.cpu = self._replica.cpu_seconds() - self._cpu
        self.requests = {
            key: number - self._before.get(key, 0) for key, number in now.items() if number > self._before.get(key, 0)
        }

    def count(self, verb, resource, code=None):
        return sum(n for (v, r, c), n in self.requests.items() if (v, r) == (verb, resource) and code in (None, c))

    def apart_from(self, *pairs):
        """Requests other than these and than those for the Lease."""
        return {key: n for key, n in self.requests.items() if key[:2] not in pairs and key[1] != "leases"}

    def figures(self):
        told = {" ".join(key): number for key, number in sorted(self.requests.items())}
        return {"seconds": round(self.seconds, 2), "controller_cpu_seconds": round(self.cpu, 2), "requests": told}


@pytest.mark.timeout(600 + PODS)
async def test_hundreds_of_pods(stage):
    audit = replicas.Audit(stage.cluster, namespace=stage.namespace)
    await _filled_then_idle(stage)
    await _another_process(stage)
    _check_against_the_audit_log(audit.requests())
    keep(pods=PODS, **stage.figures)


@pytest.mark.timeout(400)
async def test_a_leader_that_dies_in_the_middle_is_followed_by_one_that_goes_on(stage):
    audit = replicas.Audit(stage.cluster, namespace=stage.namespace)
    async with stage.running() as first, stage.running(identity="replica-2", leads=False) as second:
        assert not await second.leads()
        await stage.apply(replicas=60, refill={"maxBatch": 5})
        await waiting.until(lambda: stage.made() >= 20, deadline=60)
        first.kill()
        killed, there = clock.monotonic(), stage.made()
        await waiting.until(second.leads, deadline=60, every=0.1)
        taken = clock.monotonic() - killed
        assert there < 60, "it died in the middle"
        await stage.settled(60)
    keep(failover_seconds=round(taken, 1))
    assert stage.made() == 60
    if (seen := audit.requests()) is not None:
        assert seen["create", "pods", 201] == 60


async def _filled_then_idle(stage):
    async with stage.running() as replica:
        async with Span(replica) as filling:
            begun = clock.monotonic()
            await stage.apply(replicas=PODS)
            reached = await stage.settled(PODS)
        stage.figures["filling"] = filling.figures() | {"to_ready_seconds": round(reached - begun, 2)}
        assert filling.count("create", "pods", "201") == filling.count("create", "pods") == PODS
        assert filling.count("create", "secrets") == math.ceil(PODS / shards.ORDINALS)
        assert filling.count("list", "pods") <= 3
        # Status and events, while it fills; never one for each pod.
        assert sum(filling.apart_from(("create", "pods"), ("create", "secrets")).values()) < 30 + PODS / 10
        assert len(stage.nodes.pods) == PODS

        await _idle_rounds(replica, 3)
        async with Span(replica) as idle:
            await asyncio.sleep(IDLE)  # what is measured is that nothing happens
        stage.figures["idle"] = idle.figures() | {
            "controller_memory_mib": round(replica.memory_mib(), 1),
            "controller_peak_memory_mib": round(replica.memory_mib(peak=True), 1),
        }
        assert [key for key in idle.apart_from() if key[0] in WRITES] == []
        assert sum(idle.apart_from().values()) <= 10, "pods that nothing happens to cost no requests"

        async with Span(replica) as healing:
            begun = clock.monotonic()
            lost = dict(sorted(stage.nodes.pods.items())[:LOST])
            uids = set(lost.values())
            await stage.kubectl("delete", "pod", "--wait=false", *lost)
            await waiting.until(lambda: uids.isdisjoint(stage.nodes.pods.values()), deadline=PATIENCE)
            reached = await stage.settled(PODS)
        stage.figures[f"{LOST}_pods_lost"] = healing.figures() | {"to_ready_seconds": round(reached - begun, 2)}
        assert healing.count("create", "pods") == LOST
        assert stage.made() == PODS + LOST


async def _another_process(stage):
    """The next one finds everything as it is, then takes the pool down."""
    async with stage.running(identity="replica-2") as replica:
        await _idle_rounds(replica, 2)
        assert await stage.states() == {BrowserState.READY: PODS}
        stage.figures["start_with_all_there"] = {
            "controller_cpu_seconds": round(replica.cpu_seconds(), 2),
            "requests": {" ".join(key): number for key, number in sorted((await replica.requests()).items())},
        }
        assert not [key for key in await replica.requests() if key[0] in {"create", "delete"} and key[1] == "pods"]

        async with Span(replica) as halving:
            begun = clock.monotonic()
            await stage.apply(replicas=PODS // 2)
            reached = await stage.settled(PODS // 2)
        stage.figures["halving"] = halving.figures() | {"seconds": round(reached - begun, 2)}
        assert halving.count("delete", "pods") == PODS - PODS // 2
        assert halving.count("create", "pods") == 0

        begun = clock.monotonic()
        await stage.kubectl("delete", "bp", POOL)
        await waiting.until(lambda: not stage.nodes.pods, deadline=PATIENCE, every=0.1)
        stage.figures["deleting_the_pool"] = {"seconds": round(clock.monotonic() - begun, 2)}
    assert stage.made() == PODS + LOST, "no pod was made twice"


def _check_against_the_audit_log(seen):
    """The API server's own word: no request was refused for want of a right, and nothing was written but what is listed."""
    if seen is None:
        return
    assert {key: n for key, n in seen.items() if key[2] in {401, 403}} == {}
    allowed = {(verb, right.resource) for right in (*rights.NAMESPACE, *rights.CLUSTER) for verb in right.verbs}
    assert {key[:2] for key in seen} <= allowed
    assert seen["create", "pods", 201] == PODS + LOST
    assert sum(n for (verb, resource, _), n in seen.items() if (verb, resource) == ("create", "pods")) == PODS + LOST


async def _idle_rounds(replica, number):
    """Waits until the controller has looked at everything ``number`` times more and found nothing to do."""
    before = await replica.rounds("idle")

    async def passed():
        return await replica.rounds("idle") >= before + number

    await waiting.until(passed, deadline=60, every=0.2)
