"""What a crash of the server may take back, and what it may not; and that nothing stays stuck of what it took.

The server writes what is not waited for ten seconds later: what it had not written when it was killed is lost for certain.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from browserpool.model.browsers import SKIPPED
from browserpool.model.claims import Outcome, SessionKind
from browserpool.model.names import NodeName, RegionName, SessionId, ZoneName
from browserpool.model.sessions import Held
from browserpool.model.states import BrowserState as S
from browserpool.store import browsers, connect, heartbeats, leases, sessions
from support import fleet as fleets
from support import postgres

PLACES = [
    pytest.param({}, id="in the region"),
    pytest.param({"node": NodeName("n1"), "zone": ZoneName("a")}, id="on the node"),
    pytest.param({"zone": ZoneName("a")}, id="in the zone"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server(**postgres.FORGETFUL) as made:
        postgres.make_template(made)
        yield made


@pytest.fixture
async def fleet(server: postgres.Server) -> AsyncIterator[fleets.Fleet]:
    with postgres.clone(server) as dsn:
        async with connect.opened(dsn, process="tests") as database:
            yield fleets.Fleet(database)


async def crash(server: postgres.Server, fleet: fleets.Fleet) -> None:
    await asyncio.to_thread(server.restart, "immediate")
    # The connections that broke are found out here, and not by what is to be seen.
    with contextlib.suppress(Exception):
        await fleet.db.pool.check()


@pytest.mark.parametrize("where", PLACES)
async def test_a_quick_actions_claim_is_taken_back(server, fleet, where):
    agent = await fleet.ready(0)
    await registered(fleet, 1)  # waited for, as is all that was before it
    claim = (await fleet.claim("s", kind=SessionKind.ACTION, **where)).claim
    await crash(server, fleet)
    row = await fleet.row(agent.browser_id)
    assert (row.state, row.session_id, row.fence) == (S.READY, None, claim.fence - 1)


@pytest.mark.parametrize("where", PLACES)
async def test_a_cdp_sessions_claim_is_not(server, fleet, where):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s", kind=SessionKind.CDP, **where)).claim
    await crash(server, fleet)
    row = await fleet.row(agent.browser_id)
    assert (row.state, row.session_id, row.fence) == (S.CLAIMED, "s", claim.fence)
    assert (await fleet.claim("s", kind=SessionKind.CDP)).outcome is Outcome.REPEATED


async def test_nor_is_its_release(server, fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    await crash(server, fleet)
    assert (await fleet.row(agent.browser_id)).state is S.READY
    assert await sessions.history(fleet.db, claim.session_id) is not None


async def test_a_release_that_was_taken_back_is_made_good_when_its_lease_runs_out(server, fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s", kind=SessionKind.ACTION, keep_alive=0.1)).claim
    await registered(fleet, 1)
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    await crash(server, fleet)
    assert (await fleet.row(agent.browser_id)).state is S.CLAIMED
    await asyncio.sleep(0.1)
    assert [one.session_id for one in await leases.expire(fleet.db)] == ["s"]
    await agent.beat(clean_fence=claim.fence)
    assert (await fleet.row(agent.browser_id)).state is S.READY


async def test_heartbeats_are_taken_back_and_said_again(server, fleet):
    agent = await fleet.greet(await fleet.register(0))
    await agent.beat()
    assert (await fleet.row(agent.browser_id)).state is S.READY
    await crash(server, fleet)
    assert (await fleet.row(agent.browser_id)).state is S.STARTING
    await agent.beat()
    assert (await fleet.row(agent.browser_id)).state is S.READY


async def test_a_browser_whose_claims_were_taken_back_does_not_stay_recycling(server, fleet):
    """Its agent is clean after a fence that the row has never heard of."""
    agent = await fleet.ready(0)
    await registered(fleet, 1)
    for number in range(3):
        claim = (await fleet.claim(f"s{number}", kind=SessionKind.ACTION)).claim
        await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    await crash(server, fleet)
    assert (await fleet.row(agent.browser_id)).fence == claim.fence - 3
    await fleet.sql("update browsers set state = 'recycling' where browser_id = %s", agent.browser_id)
    reply = await agent.beat(clean_fence=claim.fence)
    assert reply.recycle is False
    assert (await fleet.row(agent.browser_id)).state is S.READY


async def test_no_fence_is_given_out_twice(server, fleet):
    """Its agent may still be at work for the last one, and would refuse another session of that fence."""
    agent = await fleet.ready(0)
    await registered(fleet, 1)
    lost = (await fleet.claim("s", kind=SessionKind.ACTION)).claim
    await crash(server, fleet)
    late = agent.word()  # said before it was claimed, written after the crash
    assert not (await heartbeats.write(fleet.db, [late]))[late.browser_id, late.incarnation].recycle
    claim = (await fleet.claim("t")).claim
    assert claim.fence == lost.fence + SKIPPED
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    await agent.beat(clean_fence=claim.fence)
    assert (await fleet.row(agent.browser_id)).fence == claim.fence, "once for a crash"


async def test_a_session_that_outlived_the_crash_keeps_its_fence(server, fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await crash(server, fleet)
    await agent.beat()
    assert (await fleet.row(agent.browser_id)).fence == claim.fence
    assert await leases.renew(
        fleet.db, holder=fleets.HOLDER, leases=[Held(session_id=SessionId("s"), fence=claim.fence)]
    )


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", [SessionKind.ACTION, SessionKind.CDP])
async def test_after_a_crash_a_browser_is_claimed_only_once_its_agent_has_spoken(server, fleet, kind, where):
    """What its row says was true some time ago: the agent may have seen the next fences."""
    agents = [await fleet.ready(ordinal) for ordinal in range(2)]
    await registered(fleet, 2)
    wanted = {"pool": fleets.POOL, "region": RegionName("eu"), "freshness": 60.0, "most": 9}
    assert await browsers.ready(fleet.db, **wanted) == 2
    await crash(server, fleet)
    assert [(await fleet.row(one.browser_id)).state for one in agents] == [S.READY, S.READY]
    assert (await fleet.claim("s", kind=kind, **where)).outcome is Outcome.EMPTY
    assert await browsers.ready(fleet.db, **wanted) == 0
    await agents[0].beat()
    assert await browsers.ready(fleet.db, **wanted) == 1
    claim = (await fleet.claim("s", kind=kind, **where)).claim
    assert claim.browser_id == agents[0].browser_id
    assert (await fleet.claim("t", kind=kind, **where)).outcome is Outcome.EMPTY


async def test_after_a_stop_in_order_it_is_claimed_at_once(server, fleet):
    await fleet.ready(0)
    await asyncio.to_thread(server.restart)
    assert (await fleet.claim("s")).outcome is Outcome.CLAIMED


async def test_a_row_of_a_backup_takes_its_agents_fence_over(fleet):
    agent = await fleet.ready(0)
    fence = (await fleet.row(agent.browser_id)).fence
    far = fence + SKIPPED + 500
    await agent.beat(clean_fence=far)
    assert (await fleet.row(agent.browser_id)).fence == fence + SKIPPED, "not all at once: it might be a lie"
    await agent.beat(clean_fence=far)
    assert (await fleet.row(agent.browser_id)).fence == far
    assert (await fleet.claim("s")).claim.fence == far + 1


async def test_a_claimed_row_keeps_the_fence_of_its_claim(fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await agent.beat(clean_fence=claim.fence + 1000)
    assert (await fleet.row(agent.browser_id)).fence == claim.fence
    assert await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True) is S.READY


async def test_no_agent_says_which_registration_it_is_of(fleet):
    agent = await fleet.ready(0)
    fence = (await fleet.row(agent.browser_id)).fence
    for said in (fence + (1 << 32), fence + (1 << 32) - 1, fence + (1 << 31), 2**63 - 1):
        await agent.beat(clean_fence=said)
        assert (await fleet.row(agent.browser_id)).fence == fence
    assert (await fleet.claim("s")).claim.fence == fence + 1


async def test_an_agent_that_is_clean_after_an_earlier_fence_only_is_still_told_to_recycle(fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=False)
    late = agent.word()
    assert (await agent.beat()).recycle is True
    assert (await fleet.row(agent.browser_id)).state is S.RECYCLING
    # Too old to be written, it is answered all the same.
    [reply] = (await heartbeats.write(fleet.db, [late])).values()
    assert reply.recycle is True


async def registered(fleet: fleets.Fleet, ordinal: int) -> None:
    """Something that is waited for until it is on disk, with all that was before it."""
    await browsers.forget(fleet.db, [await fleet.register(ordinal)])
