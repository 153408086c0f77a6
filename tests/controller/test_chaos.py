"""Whatever happens, in whatever order: no session is cut by the controller, and in the end there is what the pool says."""

import asyncio
import random

import psycopg
import pytest

from browserpool.controller import kube
from browserpool.controller.desired import labels
from browserpool.model.names import PoolName, RegionName
from browserpool.model.sessions import Held
from browserpool.store import leases
from support import controllers, fleet
from support.waiting import until

STEPS = 80
SHOP = PoolName("shop")


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    server, site = api
    return controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)


class Chaos:
    """Does at random what users, kubelets, people and networks do; remembers whose session must still live."""

    def __init__(self, cluster, dsn, seed):
        self.cluster = cluster
        self.server = cluster.server
        self.dsn = dsn
        self.dice = random.Random(seed)
        self.held = {}
        self.claims = 0
        self.troubled = True
        self.deleted_alive = []
        self.ran = set()
        self.server.fault = self.interfere

    # ------------------------------------------------------------ the network's and the API server's part
    def interfere(self, verb, kind, name):
        if (verb, kind) == ("delete", "pods"):
            self.look_at(name)
        if not self.troubled or kind in ("leases", "namespaces") or self.dice.random() > 0.1:
            return None
        if (verb, kind) == ("create", "pods") and name not in self.server.raw(kube.PODS):
            # It is made, and the answer is lost.
            marks = labels.of(pool=SHOP, region=RegionName("eu")) | {labels.TEMPLATE: "lost"}
            self.server.put(kube.PODS, {"metadata": {"name": name, "labels": marks}, "spec": {}})
        return self.dice.choice((500, 503, 429))

    def look_at(self, name):
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("select state::text from browsers where browser_id = %s", [name]).fetchone()
        if row is not None and row[0] not in ("draining", "gone"):
            self.deleted_alive.append((name, row[0]))

    # ------------------------------------------------------------ what is done
    async def step(self):
        deeds = [
            self.run,
            self.run,
            self.run,
            self.claim,
            self.claim,
            self.release,
            self.scale,
            self.end,
            self.remove,
            self.forget,
        ]
        deed = self.dice.choice(deeds)
        await deed()
        await asyncio.sleep(self.dice.choice((0, 0.02, 0.1)))
        await self.check()

    async def run(self):
        for name in self.cluster.pods():
            found = self.server.raw(kube.PODS).get(name)
            if found and found["metadata"]["uid"] not in self.ran and "nodeName" not in found["spec"]:
                try:
                    await self.cluster.run(name)
                except AssertionError:
                    continue  # its row is not there yet, or gone again: its agent tries again later
                self.ran.add(found["metadata"]["uid"])

    async def claim(self):
        self.claims += 1
        answer = await leases.claim(self.cluster.db, fleet.request(f"s{self.claims}", pool=SHOP))
        if answer.claim is None:
            return
        self.held[answer.claim.session_id] = answer.claim
        found = self.server.raw(kube.PODS).get(answer.claim.browser_id)
        if found is None or found.get("status", {}).get("phase") == "Failed":
            # It died a moment ago: the caller finds nobody there, and gives the browser back.
            await self.give_back(answer.claim.session_id)

    async def release(self):
        if self.held:
            await self.give_back(self.dice.choice(sorted(self.held)))

    async def give_back(self, session_id):
        claimed = self.held.pop(session_id)
        await leases.release(self.cluster.db, session_id=claimed.session_id, fence=claimed.fence, clean=True)

    async def scale(self):
        self.server.change(kube.POOLS, "shop", {"spec": {"replicas": self.dice.randrange(5)}})

    async def end(self):
        """A pod's containers end for good, as when its node is short of memory."""
        if name := self.victim():
            self.server.change(kube.PODS, name, {"status": {"phase": "Failed"}})

    async def remove(self):
        """Somebody deletes a pod."""
        if name := self.victim():
            self.server.finish(kube.PODS, name)

    def victim(self):
        """A pod that nobody's session is on."""
        busy = {claimed.browser_id for claimed in self.held.values()}
        free = [name for name in self.cluster.pods() if name not in busy]
        return self.dice.choice(free) if free and self.dice.random() < 0.5 else None

    async def forget(self):
        self.server.forget_history()

    # ------------------------------------------------------------ what must hold
    async def check(self):
        kept = [Held(session_id=one.session_id, fence=one.fence) for one in self.held.values()]
        renewed = await leases.renew(self.cluster.db, holder=fleet.HOLDER, leases=kept)
        assert renewed == self.held.keys(), "a session was cut"
        assert {one.browser_id for one in self.held.values()} <= set(self.cluster.pods())
        assert self.deleted_alive == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_session_is_cut_and_all_ends_well(cluster, dsn, seed):
    chaos = Chaos(cluster, dsn, seed)
    cluster.server.put(kube.POOLS, controllers.pool(replicas=3, maxReplicas=8))
    async with cluster.controller():
        for _ in range(STEPS):
            await chaos.step()
        chaos.troubled = False
        while chaos.held:
            await chaos.release()
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 2}})

        async def as_wanted():
            await chaos.run()
            return sorted((await cluster.states()).values()) == ["ready", "ready"] and len(cluster.pods()) == 2

        await until(as_wanted, deadline=60, every=0.2)
        await until(lambda: cluster.condition("Ready").get("status") == "True")
    assert chaos.claims > 5
    assert set(await cluster.states()) == set(cluster.pods())
