"""Autoscaling through the whole controller, an API server and a Postgres: bursts, quiet, schedules, and another leader."""

import datetime

import pytest

from browserpool.controller import autoscaler, kube, reconciler, rights
from browserpool.model.names import PoolName
from browserpool.model.sessions import Held
from browserpool.store import leases, pools
from support import controllers, fleet
from support.controllers import pool
from support.waiting import until

MONDAY_NIGHT = datetime.datetime(2026, 3, 2, 23, 0, tzinfo=datetime.UTC)


class Clocks:
    """What autoscalers read: they stand until the test moves them, both together."""

    def __init__(self):
        self.now, self.wall = 1000.0, MONDAY_NIGHT

    def move(self, seconds):
        self.now += seconds
        self.wall += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clocks(monkeypatch):
    made, original = Clocks(), autoscaler.Autoscaler
    monkeypatch.setattr(
        reconciler.autoscaler, "Autoscaler", lambda **_: original(now=lambda: made.now, wall=lambda: made.wall)
    )
    return made


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    server, site = api
    yield controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)
    given = {(verb, right.resource) for right in (*rights.NAMESPACE, *rights.CLUSTER) for verb in right.verbs}
    assert {one[:2] for one in server.served} <= given


def scaled(**rules):
    return pool(maxReplicas=40, autoscaling={"minReplicas": 2, "maxReplicas": 20, "buffer": "50%", **rules})


def desired(cluster):
    return [(one["desired"], one["desiredReason"]) for one in cluster.status().get("regions", ())]


async def claim(cluster, session):
    answer = await leases.claim(cluster.db, fleet.request(session, pool=PoolName("shop")))
    assert answer.claim is not None
    return answer.claim


async def give_back(cluster, claimed):
    for one in claimed:
        await leases.release(cluster.db, session_id=one.session_id, fence=one.fence, clean=True)


async def rounds(replica, number=3):
    """Wait until the controller has looked at everything so often."""
    before = replica.round.rounds
    await until(lambda: replica.round.rounds >= before + number, deadline=30)


async def routers_see(cluster, wanted):
    (found,) = await pools.listing(cluster.db)
    return found.spec.wanted(found.spec.regions[0]) == wanted


async def more_run(cluster):
    """The pods there are run; whether a claim finds one."""
    await cluster.run_all(len(cluster.pods()))
    return "ready" in (await cluster.states()).values()


async def test_a_burst_makes_more_at_once_and_quiet_fewer_only_after_the_delay(cluster, clocks):
    cluster.server.put(kube.POOLS, scaled())
    async with cluster.controller() as replica:
        await cluster.run_all(2)
        await until(lambda: desired(cluster) == [(2, "MinReplicas")])
        await rounds(replica)  # the autoscaler has seen them before they are claimed

        # Eight are claimed one after another, as they come: half as many are to be ready beside them.
        claimed = []
        for number in range(8):
            await until(lambda: more_run(cluster), deadline=30)
            claimed.append(await claim(cluster, f"s{number}"))

        async def grown():
            """Half of the eight, and what is forecast: that depends on how long pods took here."""
            await cluster.run_all(len(cluster.pods()))
            states, ((wanted, _),) = sorted((await cluster.states()).values()), desired(cluster)
            return wanted >= 4 and states == ["claimed"] * 8 + ["ready"] * wanted

        await until(grown, deadline=30)
        told = cluster.condition("Autoscaling")
        assert (told["status"], told["reason"]) == ("True", "WithinLimits")
        assert f"eu keeps {desired(cluster)[0][0]} ready (" in told["message"]
        await until(lambda: cluster.events("Scaled"), deadline=30)
        await until(lambda: routers_see(cluster, desired(cluster)[0][0]), deadline=30)

        # All come back. Nothing is drained, however long the surplus lasts, until the delay is over.
        await rounds(replica)
        await give_back(cluster, claimed)
        there = cluster.pods()
        assert len(there) >= 12
        clocks.move(299)
        await rounds(replica, 80)  # longer than plan.SURPLUS_SETTLES, at ten rounds a second at most
        assert cluster.pods() == there
        assert cluster.server.count("delete", kube.PODS) == 0
        clocks.move(2)
        await until(lambda: len(cluster.pods()) == 2, deadline=30)
        await until(lambda: desired(cluster) == [(2, "MinReplicas")], deadline=30)
    assert cluster.server.count("create", kube.PODS) == len(there)


async def test_what_is_claimed_outlives_the_shrinking_around_it(cluster, clocks):
    cluster.server.put(kube.POOLS, scaled(minReplicas=6, buffer=0))
    async with cluster.controller() as replica:
        await cluster.run_all(6)
        claimed = [await claim(cluster, f"s{number}") for number in range(3)]
        await cluster.run_all(9)
        await rounds(replica)
        cluster.server.put(kube.POOLS, scaled(minReplicas=1, buffer=0))
        await rounds(replica)
        clocks.move(301)
        held = {one.browser_id for one in claimed}
        await until(lambda: len(cluster.pods()) == 4, deadline=30)
        assert held <= set(cluster.pods())
        states = await cluster.states()
        assert {states[name] for name in held} == {"claimed"}
        # Their sessions go on, and end when their clients end them.
        kept = [Held(session_id=one.session_id, fence=one.fence) for one in claimed]
        assert len(await leases.renew(cluster.db, holder=fleet.HOLDER, leases=kept)) == 3


async def test_a_new_leader_takes_nothing_away_at_once(cluster, clocks):
    cluster.server.put(kube.POOLS, scaled(minReplicas=5))
    async with cluster.controller("one") as first:
        await cluster.run_all(5)
        await until(lambda: desired(cluster) == [(5, "MinReplicas")])
        await rounds(first)
    cluster.server.change(kube.POOLS, "shop", {"spec": {"autoscaling": {"minReplicas": 1}}})
    async with cluster.controller("two") as second:
        await until(lambda: desired(cluster) == [(5, "ScaleDownDelay")], deadline=30)
        await rounds(second, 80)
        assert len(cluster.pods()) == 5
        clocks.move(301)
        await until(lambda: len(cluster.pods()) == 1, deadline=30)


async def test_a_schedule_over_midnight_is_followed(cluster, clocks):
    night = {"from": "23:30", "to": "01:00", "timeZone": "UTC", "days": ["Mon"], "minReplicas": 4}
    cluster.server.put(kube.POOLS, scaled(minReplicas=1, schedule=[night], scaleDownDelay="60s"))
    async with cluster.controller() as replica:
        await cluster.run_all(1)
        clocks.move(1800)
        await cluster.run_all(4)
        await until(lambda: desired(cluster) == [(4, "Schedule")], deadline=30)
        clocks.move(5399)  # 00:59:59 on Tuesday
        await rounds(replica)
        assert desired(cluster) == [(4, "Schedule")]
        clocks.move(1)
        await until(lambda: desired(cluster) == [(4, "ScaleDownDelay")], deadline=30)
        clocks.move(60)
        await until(lambda: len(cluster.pods()) == 1, deadline=30)


async def test_a_time_zone_that_is_none_is_said_and_nothing_is_changed(cluster, clocks):
    cluster.server.put(kube.POOLS, scaled())
    async with cluster.controller() as replica:
        await cluster.run_all(2)
        hour = {"from": "08:00", "to": "09:00", "timeZone": "Europe/Bielefeld", "minReplicas": 9}
        cluster.server.put(kube.POOLS, scaled(schedule=[hour]))
        await until(lambda: cluster.condition("Ready").get("reason") == "InvalidSpec", deadline=30)
        said = cluster.condition("Ready")["message"]
        assert said.startswith("spec.autoscaling.schedule.0.timeZone: "), said
        assert "there is no time zone Europe/Bielefeld" in said
        await rounds(replica)
    assert len(cluster.pods()) == 2


async def test_refill_and_the_most_bind_autoscaling_too(cluster, clocks):
    limited = pool(maxReplicas=6, refill={"maxBatch": 1}, autoscaling={"minReplicas": 9, "maxReplicas": 20})
    cluster.server.put(kube.POOLS, limited)
    async with cluster.controller() as replica:
        await cluster.run_all(6)
        await until(lambda: desired(cluster) == [(6, "MaxReplicas")], deadline=30)
        await until(lambda: cluster.condition("Autoscaling").get("reason") == "TooLimited", deadline=30)
        await rounds(replica)
    assert len(cluster.pods()) == 6


async def test_an_autoscaler_that_writes_replicas_has_no_effect_and_is_told_so(cluster, clocks):
    cluster.server.put(kube.POOLS, scaled())
    async with cluster.controller() as replica:
        await cluster.run_all(2)
        cluster.server.change(kube.POOLS, "shop", {"spec": {"replicas": 17}})
        await until(lambda: cluster.status().get("observedGeneration", 0) > 1 or replica.round.rounds > 30, deadline=30)
        await rounds(replica)
        assert desired(cluster) == [(2, "MinReplicas")]
        assert "an autoscaler that writes it, have no effect" in cluster.condition("Autoscaling")["message"]
    assert len(cluster.pods()) == 2
