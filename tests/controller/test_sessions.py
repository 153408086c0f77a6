"""BrowserSession objects against a real store and an API server of the test's own."""

import asyncio
import contextlib

import pytest

from browserpool.controller import events, kube, mirror, sessions
from browserpool.controller.desired import session
from browserpool.model import claims, errors, pool
from browserpool.model.names import SessionId
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect, databases, leases, pools, region_databases
from browserpool.store import sessions as stored
from support import apiserver, controllers, postgres, waiting
from support import fleet as fleets

URL = "http://router:8080"


@pytest.fixture
async def fleet(database):
    spec = {"regions": [{"name": "eu", "backup": "us"}, {"name": "us"}], "spillover": "Never"}
    await pools.put(database, pool.BrowserPool.model_validate({"metadata": {"name": "default"}, "spec": spec}))
    return fleets.Fleet(database)


class Leader:
    """A replica that leads, as far as sessions go."""

    def __init__(self, client, stores, **more):
        self.wake = asyncio.Event()
        self.mirror = mirror.Mirror(
            client, kube.SESSIONS, seen=session.read, on_change=lambda *_: self.wake.set(), lasts=60
        )
        recorder = events.Recorder(client, identity="controller-0")
        world = sessions.World(
            stores=stores, client=client, objects=self.mirror, recorder=recorder, url=URL, resync=0.05, **more
        )
        self.sessions = sessions.Sessions(world, self.wake)

    async def rounds(self, number=3):
        """Let it look some times more."""
        before = self.sessions.rounds
        await waiting.until(lambda: self.sessions.rounds >= before + number)


@contextlib.asynccontextmanager
async def leading(client, stores, **more):
    leader = Leader(client, stores, **more)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(leader.mirror.run()), group.create_task(leader.sessions.run())]
        try:
            yield leader
        finally:
            for task in running:
                task.cancel()


@pytest.fixture
async def leader(client, database, fleet):
    async with leading(client, databases.Databases(database)) as made:
        yield made


def wanted(name="s", **spec):
    return {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserSession",
        "metadata": {"name": name},
        "spec": {"poolRef": {"name": "default"}} | spec,
    }


def put(server, name="s", **spec):
    """Apply the object; answers its session's id."""
    made = server.put(kube.SESSIONS, wanted(name, **spec))
    return SessionId(session.PREFIX + made["metadata"]["uid"])


def status(server, name="s"):
    return server.raw(kube.SESSIONS).get(name, {}).get("status") or {}


def reason(server, name="s"):
    return next((c["reason"] for c in status(server, name).get("conditions", ()) if c["type"] == "Ready"), None)


async def says(server, what, name="s"):
    await waiting.until(lambda: reason(server, name) == what)
    return status(server, name)


def is_so(shown, kind):
    return next(c["status"] for c in shown["conditions"] if c["type"] == kind) == "True"


# ---------------------------------------------------------------- claims
async def test_an_object_gets_a_browser_and_says_where(leader, fleet, server):
    agent = await fleet.ready()
    session_id = put(server, ttl="1h")
    shown = await says(server, "Claimed")
    assert is_so(shown, "Claimed")
    assert is_so(shown, "Ready")
    assert not is_so(shown, "Finished")
    assert (shown["podName"], shown["nodeName"], shown["zone"], shown["region"]) == (agent.browser_id, "n1", "a", "eu")
    assert (shown["spilled"], shown["sessionId"]) == (False, session_id)
    assert shown["webSocketDebuggerUrl"] == f"ws://router:8080/devtools/browser/{session_id}"
    live = await stored.live(fleet.db, session_id)
    assert (live.browser_id, live.kind, live.token) == (agent.browser_id, claims.SessionKind.CDP, None)
    assert (live.ends_at - live.started_at).total_seconds() == 3600
    assert (await fleet.row(agent.browser_id)).state is BrowserState.CLAIMED


async def test_its_event_tells_where(leader, fleet, server):
    agent = await fleet.ready()
    put(server)
    await says(server, "Claimed")
    (event,) = await waiting.until(lambda: list(server.raw(kube.EVENTS).values()))
    assert (event["reason"], event["type"], event["involvedObject"]["kind"]) == ("Claimed", "Normal", "BrowserSession")
    assert agent.browser_id in event["message"]


async def test_node_and_region_are_wishes_as_those_of_requests_are(leader, fleet, server):
    for ordinal, (region, node) in enumerate([("eu", "n1"), ("eu", "n2"), ("us", "n9")]):
        await fleet.ready(ordinal, region=region, node=node)
    put(server, "near", nodeName="n2")
    assert (await says(server, "Claimed", "near"))["nodeName"] == "n2"
    put(server, "far", region="us")
    assert (await says(server, "Claimed", "far"))["nodeName"] == "n9"


async def test_another_region_helps_out_and_it_is_said(leader, fleet, server):
    spec = {"regions": [{"name": "eu", "backup": "us"}, {"name": "us"}]}
    await pools.put(fleet.db, pool.BrowserPool.model_validate({"metadata": {"name": "default"}, "spec": spec}))
    await fleet.ready(region="us", node="n9")
    put(server)
    shown = await says(server, "Claimed")
    assert (shown["region"], shown["spilled"]) == ("us", True)


async def test_those_that_wait_are_served_in_the_order_in_which_they_came(leader, fleet, server):
    names = [f"s{number}" for number in range(4)]
    for name in names:
        put(server, name)
    for name in names:
        await says(server, "NoBrowserReady", name)
    for ordinal in range(2):
        await fleet.ready(ordinal)
    await says(server, "Claimed", "s0")
    await says(server, "Claimed", "s1")
    await leader.rounds()
    assert [reason(server, name) for name in names] == ["Claimed", "Claimed", "NoBrowserReady", "NoBrowserReady"]


async def test_one_that_waits_for_a_region_holds_up_nobody_elsewhere(leader, fleet, server):
    await fleet.ready(region="us")
    put(server, "first", region="eu")
    put(server, "second", region="us")
    await says(server, "Claimed", "second")
    assert (await says(server, "NoBrowserReady", "first"))["conditions"][0]["message"].count("region eu") == 1


async def test_a_pool_that_comes_later_is_found(leader, fleet, server):
    put(server, poolRef={"name": "later"})
    await says(server, "PoolNotFound")
    spec = {"regions": [{"name": "eu"}]}
    await pools.put(fleet.db, pool.BrowserPool.model_validate({"metadata": {"name": "later"}, "spec": spec}))
    await says(server, "NoBrowserReady")


async def test_many_objects_and_few_browsers(leader, fleet, server):
    """Each browser goes to one object, each object is written once, and looking again costs no request."""
    for ordinal in range(5):
        await fleet.ready(ordinal)
    names = [f"s{number:02}" for number in range(15)]
    for name in names:
        put(server, name)
    await waiting.until(lambda: all(reason(server, name) for name in names))
    await leader.rounds(5)
    claimed = [name for name in names if reason(server, name) == "Claimed"]
    assert len({status(server, name)["podName"] for name in claimed}) == len(claimed) == 5
    assert len(await stored.prefixed(fleet.db, session.PREFIX)) == 5
    written = server.count("patch", kube.Resource(group="", version="", plural="browsersessions/status"))
    assert written == len(names)


# ---------------------------------------------------------------- the end
async def test_a_session_on_which_nothing_happens_ends(leader, fleet, server):
    await fleet.ready()
    put(server)
    await says(server, "Claimed")
    await fleet.sql("update browsers set lease_expires_at = now() - interval '1 second'")
    await leases.expire(fleet.db)
    shown = await says(server, "BrowserIdle")
    assert is_so(shown, "Finished")
    assert not is_so(shown, "Claimed")
    assert "webSocketDebuggerUrl" not in shown
    assert shown["podName"] == "default-eu-0"


async def test_a_session_ends_with_its_lifetime_whatever_happens_on_it(leader, fleet, server):
    await fleet.ready()
    session_id = put(server, ttl="1h")
    await says(server, "Claimed")
    await fleet.sql(
        "update browsers set state_since = now() - interval '2 hours', lease_ends_at = now() - interval '1 hour'"
    )
    await waiting.until(lambda: status(server)["startedAt"] < status(server)["expiresAt"] < "2999")
    live = await stored.live(fleet.db, session_id)
    await waiting.until(lambda: status(server)["expiresAt"] == live.ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    await leases.expire(fleet.db)
    await says(server, "LifetimeOver")


async def test_a_browser_that_is_lost_ends_its_session_and_is_worth_an_event(leader, fleet, server):
    agent = await fleet.ready()
    put(server)
    await says(server, "Claimed")
    await browsers.forget(fleet.db, [agent.browser_id])
    await says(server, "BrowserLost")
    await waiting.until(
        lambda: {e["reason"]: e["type"] for e in server.raw(kube.EVENTS).values()}.get("BrowserLost") == "Warning"
    )


async def test_a_finished_session_does_not_begin_again(leader, fleet, server):
    await fleet.ready()
    session_id = put(server)
    await says(server, "Claimed")
    live = await stored.live(fleet.db, session_id)
    await leases.release(fleet.db, session_id=session_id, fence=live.fence, clean=True)
    await says(server, "NormalClosure")
    await fleet.sql("delete from sessions")
    await leader.rounds(5)
    assert await stored.live(fleet.db, session_id) is None
    assert reason(server) == "NormalClosure"


async def test_one_that_began_and_ended_unseen_is_finished_and_not_claimed_again(client, database, fleet, server):
    await fleet.ready()
    session_id = put(server)
    claim = (await fleet.claim(session_id)).claim
    await leases.release(fleet.db, session_id=session_id, fence=claim.fence, clean=True)
    async with leading(client, databases.Databases(database)):
        assert is_so(await says(server, "NormalClosure"), "Finished")
    assert await stored.live(fleet.db, session_id) is None


async def test_the_object_goes_when_it_was_to_be_kept_no_longer(leader, fleet, server):
    await fleet.ready()
    session_id = put(server, ttlSecondsAfterFinished=0)
    await says(server, "Claimed")
    live = await stored.live(fleet.db, session_id)
    await leases.release(fleet.db, session_id=session_id, fence=live.fence, clean=True)
    await waiting.until(lambda: server.raw(kube.SESSIONS) == {})


# ---------------------------------------------------------------- deletion
async def test_deleting_the_object_releases_the_browser(leader, fleet, server):
    agent = await fleet.ready()
    session_id = put(server)
    await says(server, "Claimed")
    server.finish(kube.SESSIONS, "s")
    await waiting.until(lambda: ended(fleet, session_id))
    assert (await stored.history(fleet.db, session_id)).reason is claims.CloseReason.NORMAL_CLOSURE
    assert (await fleet.row(agent.browser_id)).state is BrowserState.RECYCLING, "nobody has said that it is clean"
    assert (await agent.beat()).recycle, "its agent hears of it"


async def ended(fleet, session_id):
    return await stored.live(fleet.db, session_id) is None


async def test_a_router_that_renews_the_lease_does_not_keep_it_from_being_released(leader, fleet, server):
    await fleet.ready()
    session_id = put(server)
    await says(server, "Claimed")
    live = await stored.live(fleet.db, session_id)
    assert await leases.renew(fleet.db, holder="router-1", leases=[live])
    server.finish(kube.SESSIONS, "s")
    await waiting.until(lambda: ended(fleet, session_id))


async def test_a_deletion_that_nobody_saw_is_made_up_for(client, database, fleet, server):
    await fleet.ready()
    async with leading(client, databases.Databases(database)):
        session_id = put(server)
        await says(server, "Claimed")
    server.finish(kube.SESSIONS, "s")
    async with leading(client, databases.Databases(database)) as leader:
        await leader.rounds()
        assert not await ended(fleet, session_id), "its object may be about to appear"
        await fleet.sql("update browsers set state_since = now() - interval '1 minute'")
        await waiting.until(lambda: ended(fleet, session_id))


async def test_sessions_of_requests_are_left_alone(leader, fleet, server):
    await fleet.ready()
    await fleet.claim("6d4f3d1a-3b7e-4e0c-8a34-1f0f5f0c9b11")
    await fleet.sql("update browsers set state_since = now() - interval '1 hour'")
    await leader.rounds(5)
    assert await stored.live(fleet.db, SessionId("6d4f3d1a-3b7e-4e0c-8a34-1f0f5f0c9b11")) is not None


async def test_an_object_made_anew_under_its_name_is_another_session(leader, fleet, server):
    for ordinal in range(2):
        await fleet.ready(ordinal)
    old = put(server)
    await says(server, "Claimed")
    server.finish(kube.SESSIONS, "s")
    new = put(server)
    await waiting.until(lambda: ended(fleet, old))
    await waiting.until(lambda: status(server).get("sessionId") == new)


async def test_what_is_said_of_an_object_is_not_said_of_a_later_one_of_its_name(client, database, fleet, server):
    leader = Leader(client, databases.Databases(database))
    put(server)
    await leader.mirror.refresh()
    server.finish(kube.SESSIONS, "s")
    put(server)
    await leader.sessions.once()
    assert status(server) == {}, "what is known here is of the earlier one"
    await leader.mirror.refresh()
    await leader.sessions.once()
    assert reason(server) == "NoBrowserReady"


# ---------------------------------------------------------------- outages
async def test_another_leader_finds_all_as_it_is_and_writes_nothing(client, database, fleet, server):
    for ordinal in range(2):
        await fleet.ready(ordinal)
    async with leading(client, databases.Databases(database)) as first:
        for name in ("a", "b", "c"):
            put(server, name)
        await says(server, "NoBrowserReady", "c")
        # Its Events come after that.
        await first.rounds()
    before = len(server.served), await stored.prefixed(database, session.PREFIX)
    async with leading(client, databases.Databases(database)) as leader:
        await leader.rounds(5)
    verbs = {verb for verb, _, _ in server.served[before[0] :]}
    assert verbs <= {"list", "watch"}
    after = await stored.prefixed(database, session.PREFIX)
    assert [(one.session_id, one.fence) for one in after] == [(one.session_id, one.fence) for one in before[1]]


async def test_while_the_api_server_is_away_nothing_is_released_and_what_happened_meanwhile_is_made_up_for(
    leader, fleet, server, site
):
    await fleet.ready()
    session_id = put(server)
    await says(server, "Claimed")
    await site.stop()
    await waiting.until(lambda: not leader.mirror.connected)
    server.finish(kube.SESSIONS, "s")
    put(server, "t")
    with pytest.raises(errors.ClusterUnavailable):
        await leader.sessions.once()
    assert not await ended(fleet, session_id)
    await site.start()
    await waiting.until(lambda: ended(fleet, session_id))
    await says(server, "NoBrowserReady", "t")


async def test_while_the_store_is_away_nothing_is_said_and_then_it_goes_on(client, dsn, fleet, server):
    await fleet.ready()
    async with (
        connect.opened(dsn, process="leader", deadline=0.3) as own,
        leading(client, databases.Databases(own)) as leader,
    ):
        put(server, "a")
        await says(server, "Claimed", "a")
        async with fleet.db.pool.connection() as holding, holding.transaction():
            await holding.execute("lock table browsers in access exclusive mode")
            put(server, "b")
            with pytest.raises(errors.Unavailable):
                await leader.sessions.once()
            assert status(server, "b") == {}
            assert reason(server, "a") == "Claimed"
        await says(server, "NoBrowserReady", "b")


async def test_a_status_that_is_refused_is_tried_again(leader, fleet, server):
    await fleet.ready()
    with apiserver.failing(server, verb="patch", resource="browsersessions/status", status=500):
        session_id = put(server)
        await waiting.until(lambda: claimed(fleet, session_id))
    assert (await says(server, "Claimed"))["sessionId"] == session_id


async def claimed(fleet, session_id):
    return await stored.live(fleet.db, session_id) is not None


# ---------------------------------------------------------------- regions' databases
class Regional:
    """A pool with a region in a database of its own, and one in the installation's."""

    def __init__(self, fleet, dsn, stores):
        self.fleet, self.dsn, self.stores = fleet, dsn, stores


@pytest.fixture
async def regional(postgres_server, database, tmp_path):
    (tmp_path / "own").mkdir()
    regions = [{"name": "eu", "databaseSecretRef": {"name": "own"}}, {"name": "us"}]
    await pools.put(
        database, pool.BrowserPool.model_validate({"metadata": {"name": "default"}, "spec": {"regions": regions}})
    )
    await region_databases.replace(database, ["own/dsn"])
    with postgres.clone(postgres_server) as dsn:
        (tmp_path / "own" / "dsn").write_text(dsn)
        async with connect.opened(dsn, process="tests") as opened:
            stores = databases.Databases(database, databases.Opening(directory=str(tmp_path), process="leader"))
            stores.follow(["own/dsn"])
            await stores.tried(within=10)
            yield Regional(fleets.Fleet(opened), dsn, stores)
            await stores.close()


async def test_an_object_has_its_session_in_its_regions_database(client, server, regional):
    agent = await regional.fleet.ready()
    async with leading(client, regional.stores):
        session_id = put(server, region="eu")
        shown = await says(server, "Claimed")
        assert shown["podName"] == agent.browser_id
        assert await stored.live(regional.fleet.db, session_id) is not None
        server.finish(kube.SESSIONS, "s")
        await waiting.until(lambda: _is_over(regional, session_id))


async def _is_over(regional, session_id):
    return await stored.history(regional.fleet.db, session_id) is not None


async def test_while_a_regions_database_is_away_its_sessions_are_not_over_and_others_begin(
    client, server, regional, database
):
    await regional.fleet.ready()
    await fleets.Fleet(database).ready(region="us")
    async with leading(client, regional.stores) as leader:
        session_id = put(server, region="eu")
        before = await says(server, "Claimed")
        with controllers.locked_out(regional.dsn):
            await waiting.until(regional.stores.away, deadline=20)
            put(server, "waits", region="eu")
            put(server, "other", region="us")
            await says(server, "Claimed", "other")
            await says(server, "RegionDatabaseUnreachable", "waits")
            await leader.rounds()
            assert status(server) == before
        await waiting.until(lambda: not regional.stores.away(), deadline=20)
        await says(server, "NoBrowserReady", "waits")
        assert status(server) == before
        assert await stored.live(regional.fleet.db, session_id) is not None


async def test_a_leader_that_has_not_opened_a_regions_database_yet_ends_nothing(client, server, regional, database):
    await regional.fleet.ready()
    async with leading(client, regional.stores):
        put(server, region="eu")
        before = await says(server, "Claimed")
    async with leading(client, databases.Databases(database)) as second:
        await second.rounds()
        assert status(server) == before


async def test_a_session_whose_object_went_while_its_database_was_away_ends_when_it_is_back(client, server, regional):
    await regional.fleet.ready()
    async with leading(client, regional.stores) as leader:
        session_id = put(server, region="eu")
        await says(server, "Claimed")
        with controllers.locked_out(regional.dsn):
            await waiting.until(regional.stores.away, deadline=20)
            server.finish(kube.SESSIONS, "s")
            await leader.rounds()
        await waiting.until(lambda: _is_over(regional, session_id), deadline=30)


@pytest.mark.parametrize("others", [["own/dsn"], []])
async def test_sessions_in_what_is_another_installations_database_are_not_its_to_end(client, server, regional, others):
    agent = await regional.fleet.ready()
    await regional.fleet.claim(session.PREFIX + "strange")
    await regional.fleet.sql("update browsers set state_since = now() - interval '1 hour'")
    async with leading(client, regional.stores, others=lambda: others) as leader:
        await leader.rounds()
        state = (await regional.fleet.row(agent.browser_id)).state
        assert (state is BrowserState.CLAIMED) is bool(others)


@pytest.fixture
async def spilling(database, regional):
    """Region eu's claims may spill to us, which has a browser too."""
    regions = [{"name": "eu", "backup": "us", "databaseSecretRef": {"name": "own"}}, {"name": "us"}]
    spec = {"regions": regions, "spillover": "WhenEmptyOrStale"}
    await pools.put(database, pool.BrowserPool.model_validate({"metadata": {"name": "default"}, "spec": spec}))
    await fleets.Fleet(database).ready(region="us")
    return regional


@pytest.fixture
def lost(monkeypatch, spilling):
    """The first claim in the region's database is made, and the database is away before it can say so, until this is closed."""
    real, outage = leases.claim, contextlib.ExitStack()

    async def claim(db, request, **more):
        answer = await real(db, request, **more)
        if request.region == "eu" and answer.claim is not None:
            monkeypatch.setattr(leases, "claim", real)
            outage.enter_context(controllers.locked_out(spilling.dsn))
            raise errors.Unavailable("the connection broke after the commit")
        return answer

    monkeypatch.setattr(leases, "claim", claim)
    with outage:
        yield outage


async def test_an_object_whose_claim_had_no_answer_gets_no_second_browser_elsewhere(
    client, server, spilling, database, lost
):
    agent = await spilling.fleet.ready()
    async with leading(client, spilling.stores) as leader:
        session_id = put(server, region="eu")
        await says(server, "RegionDatabaseUnreachable")
        await waiting.until(spilling.stores.away, deadline=20)
        await leader.rounds(10)
        assert await stored.live(database, session_id) is None
        lost.close()
        assert (await says(server, "Claimed"))["podName"] == agent.browser_id
        assert await stored.live(database, session_id) is None


async def test_another_leader_gives_it_no_second_one_either_and_later_ones_spill(
    client, server, spilling, database, lost
):
    agent = await spilling.fleet.ready()
    async with leading(client, spilling.stores):
        session_id = put(server, region="eu")
        await says(server, "RegionDatabaseUnreachable")
    await waiting.until(spilling.stores.away, deadline=20)
    async with leading(client, spilling.stores) as second:
        await second.rounds(10)
        assert await stored.live(database, session_id) is None
        put(server, "later", region="eu")
        assert (await says(server, "Claimed", "later"))["spilled"]
        lost.close()
        assert (await says(server, "Claimed"))["podName"] == agent.browser_id
