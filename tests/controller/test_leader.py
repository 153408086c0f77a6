"""One leader among replicas, whatever happens to it, to the Lease or to the API server."""

import asyncio
import contextlib
from typing import ClassVar

from browserpool.controller import kube, leader
from support import apiserver
from support.waiting import until

NAME = "controller"


def rules(identity, **more):
    return leader.Rules(**{"name": NAME, "identity": identity, "lasts": 3.0, "renew": 2.0, "retry": 0.1} | more)


class Replica:
    """Works while it leads; ``together`` holds all that work at the moment."""

    together: ClassVar[set[str]] = set()

    def __init__(self, identity, client, **more):
        self.identity = identity
        self.election = leader.Election(client, rules(identity, **more))
        self.terms = 0

    @property
    def working(self):
        return self.identity in self.together

    async def work(self):
        assert not self.together, "two replicas work at once"
        self.together.add(self.identity)
        self.terms += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.together.discard(self.identity)

    @contextlib.asynccontextmanager
    async def running(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.election.lead(self.work))
            try:
                yield task
            finally:
                task.cancel()


def spec(server):
    return server.raw(kube.LEASES)[NAME]["spec"]


async def test_the_first_leads_and_the_second_stands_by(client, server):
    one, two = Replica("one", client), Replica("two", client)
    async with one.running():
        await until(lambda: one.working)
        async with two.running():
            await until(lambda: two.election.reached and two.election.holder == "one")
            renewed = spec(server)["renewTime"]
            await until(lambda: spec(server)["renewTime"] != renewed)
            assert not two.working
    assert spec(server)["leaseTransitions"] in (0, 1)


async def test_a_leader_that_stops_gives_the_lease_back_so_that_the_next_need_not_wait(client, server):
    one, two = Replica("one", client, lasts=3600, renew=1800), Replica("two", client, lasts=3600, renew=1800)
    async with one.running() as leading:
        await until(lambda: one.working)
        async with two.running():
            await until(lambda: two.election.reached)
            leading.cancel()
            await until(lambda: two.working, deadline=5)
    assert spec(server)["leaseTransitions"] == 1


async def test_a_leader_that_dies_is_followed_when_its_lease_has_run_out(client, server):
    server.put(kube.LEASES, {"metadata": {"name": NAME}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1}})
    two = Replica("two", client)
    async with two.running():
        await until(lambda: two.working, deadline=5)
    # Not before: it waited for as long as the dead one's own word said, on its own clock.
    assert spec(server)["leaseTransitions"] == 1


async def test_a_lease_is_not_taken_before_it_was_seen_unchanged_for_its_whole_duration(client, server):
    now = 0.0
    made = leader.Election(client, rules("two", lasts=15.0), now=lambda: now)
    server.put(kube.LEASES, {"metadata": {"name": NAME}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15}})
    # Its renewTime is of no matter: clocks of machines are not compared.
    for at, renewed, expected in (
        (0.0, "1999-01-01T00:00:00.000000Z", False),
        (14.0, None, False),
        (14.5, "1999-01-01T00:00:01.000000Z", False),
        (29.0, None, False),
        (29.6, None, True),
    ):
        now = at
        if renewed is not None:
            server.change(kube.LEASES, NAME, {"spec": {"renewTime": renewed}})
        assert await made._try(within=5) is expected, at


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(client, server):
    one, two = Replica("one", client), Replica("two", client)
    async with one.running():
        await until(lambda: one.working)
        with apiserver.failing(server, verb="update", resource="leases", status=500):
            async with two.running():
                await until(lambda: not one.working)
                assert not two.working
        async with two.running():
            await until(lambda: one.working or two.working, deadline=5)
    assert spec(server)["leaseTransitions"] <= 1


async def test_an_api_server_that_is_away_ends_the_work_in_time_and_it_begins_again(client, server, site):
    one = Replica("one", client)
    async with one.running():
        await until(lambda: one.working)
        await site.stop()
        await until(lambda: not one.working)
        await site.start()
        await until(lambda: one.working, deadline=5)
    assert one.terms == 2


async def test_a_lease_that_cannot_be_given_back_is_left_to_run_out(client, server):
    one = Replica("one", client)
    with contextlib.ExitStack() as later:
        async with one.running():
            await until(lambda: one.working)
            later.enter_context(apiserver.failing(server, verb="update", resource="leases", status=500))
    assert spec(server)["holderIdentity"] == "one"


async def test_an_answer_that_does_not_come_holds_up_no_end(client, server, monkeypatch):
    one = Replica("one", client, renew=0.5)

    async def never(*_):
        await asyncio.Event().wait()

    async with one.running():
        await until(lambda: one.working)
        monkeypatch.setattr(one.election, "_write", never)
    assert not one.working


async def test_a_lease_that_somebody_else_took_ends_the_work(client, server):
    one = Replica("one", client)
    async with one.running():
        await until(lambda: one.working)
        server.change(
            kube.LEASES, NAME, {"spec": {"holderIdentity": "other", "renewTime": "2026-01-01T00:00:00.000000Z"}}
        )
        await until(lambda: not one.working)


async def test_a_lease_that_was_deleted_is_made_again(client, server):
    one = Replica("one", client)
    async with one.running():
        await until(lambda: one.working)
        server.finish(kube.LEASES, NAME)
        await until(lambda: NAME in server.raw(kube.LEASES))
        assert one.working


async def test_the_same_replica_started_again_need_not_wait_for_its_own_lease(client, server):
    server.put(
        kube.LEASES, {"metadata": {"name": NAME}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 3600}}
    )
    one = Replica("one", client)
    async with one.running():
        await until(lambda: one.working)
