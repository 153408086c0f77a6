"""Claims, leases and what becomes of them, one rule at a time."""

import asyncio

import pytest

from browserpool.model import errors
from browserpool.model.claims import CloseReason, Locality, Outcome
from browserpool.model.names import Fence, HolderId, SessionId
from browserpool.model.sessions import Held
from browserpool.model.states import BrowserState
from browserpool.store import browsers, leases, regions, sessions

NEAR = {"zone": "a", "node": "n1"}


@pytest.mark.parametrize(
    ("stands", "locality"),
    [
        ({"zone": "a", "node": "n1"}, Locality.NODE),
        ({"zone": "a", "node": "n2"}, Locality.ZONE),
        ({"zone": "b", "node": "n3"}, Locality.REGION),
    ],
)
async def test_the_nearest_browser_is_claimed(fleet, stands, locality):
    await fleet.ready(0, zone="c", node="n9")
    wanted = await fleet.ready(1, **stands)
    if locality is Locality.REGION:
        await browsers.drain(fleet.db, [(await fleet.ready(2, zone="c", node="n8")).browser_id, "default-eu-0"])
    answer = await fleet.claim("s", **NEAR)
    assert (answer.outcome, answer.claim.locality) == (Outcome.CLAIMED, locality)
    assert answer.claim.template_hash == "t1"
    assert answer.claim.browser_id == wanted.browser_id
    assert answer.claim.address == f"{wanted.browser_id}:9000"


async def test_an_empty_pool_says_so(fleet):
    assert await fleet.claim("s") == await fleet.claim("s")
    assert (await fleet.claim("s")).outcome is Outcome.EMPTY


async def test_the_same_session_id_gets_the_same_browser(fleet):
    for ordinal in range(3):
        await fleet.ready(ordinal)
    first = await fleet.claim("s")
    answers = await asyncio.gather(*(fleet.claim("s") for _ in range(8)))
    assert {answer.outcome for answer in answers} == {Outcome.REPEATED}
    assert {(answer.claim.browser_id, answer.claim.fence) for answer in answers} == {
        (first.claim.browser_id, first.claim.fence)
    }


async def test_concurrent_claims_of_one_id_get_one_browser(fleet):
    for ordinal in range(8):
        await fleet.ready(ordinal)
    answers = await asyncio.gather(*(fleet.claim("s") for _ in range(8)))
    assert len({answer.claim.browser_id for answer in answers}) == 1
    assert sorted(answer.outcome for answer in answers).count(Outcome.CLAIMED) == 1


async def test_an_ended_session_id_is_never_given_another_browser(fleet):
    await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
    assert (await fleet.claim("s")).outcome is Outcome.ENDED
    past = await sessions.history(fleet.db, SessionId("s"))
    assert (past.browser_id, past.reason) == (claim.browser_id, CloseReason.NORMAL_CLOSURE)


@pytest.mark.parametrize("why", ["unwell", "silent", "draining", "starting"])
async def test_what_no_claim_may_take(fleet, why):
    agent = await fleet.ready(0)
    match why:
        case "unwell":
            await agent.beat(healthy=False)
        case "silent":
            await fleet.sql("update browsers set last_seen = now() - interval '16 seconds'")
        case "draining":
            await browsers.drain(fleet.db, [agent.browser_id])
        case "starting":
            await browsers.forget(fleet.db, [agent.browser_id])
            await fleet.register(0)
    assert (await fleet.claim("s")).outcome is Outcome.EMPTY


async def test_each_claim_raises_the_fence(fleet):
    agent = await fleet.ready(0)
    fences = []
    for number in range(3):
        claim = (await fleet.claim(f"s{number}")).claim
        fences.append(claim.fence)
        assert (
            await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)
            is BrowserState.READY
        )
    assert fences == [agent.clean_fence + 1, agent.clean_fence + 2, agent.clean_fence + 3]


async def test_a_name_registered_again_starts_above_all_its_fences(fleet):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    await browsers.forget(fleet.db, [agent.browser_id])
    await fleet.register(0)
    assert (await fleet.row(agent.browser_id)).fence > claim.fence + 1_000_000


@pytest.mark.parametrize(
    ("clean", "give_up", "drain", "becomes"),
    [
        (True, False, False, BrowserState.READY),
        (False, False, False, BrowserState.RECYCLING),
        (True, True, False, BrowserState.DRAINING),
        (True, False, True, BrowserState.DRAINING),
        (False, False, True, BrowserState.DRAINING),
    ],
)
async def test_what_a_release_makes_of_the_browser(fleet, clean, give_up, drain, becomes):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    if drain:
        await browsers.drain(fleet.db, [agent.browser_id])
        assert (await fleet.row(agent.browser_id)).state is BrowserState.CLAIMED
    end = {"session_id": claim.session_id, "fence": claim.fence, "clean": clean, "give_up": give_up}
    assert await leases.release(fleet.db, **end) is becomes
    assert await leases.release(fleet.db, **end) is None


async def test_a_release_with_an_older_fence_changes_nothing(fleet):
    await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    end = {"session_id": claim.session_id, "fence": Fence(claim.fence - 1), "clean": True}
    assert await leases.release(fleet.db, **end) is None
    assert (await fleet.row(claim.browser_id)).state is BrowserState.CLAIMED


async def test_only_live_leases_are_renewed(fleet):
    for ordinal in range(2):
        await fleet.ready(ordinal)
    lives, over = (await fleet.claim("lives")).claim, (await fleet.claim("over")).claim
    await leases.release(fleet.db, session_id=over.session_id, fence=over.fence, clean=True)
    held = [Held(session_id=claim.session_id, fence=claim.fence) for claim in (lives, over)]
    await fleet.sql("update browsers set lease_expires_at = now() + interval '1 second' where session_id is not null")
    assert await leases.renew(fleet.db, holder=HolderId("router-2"), leases=held) == {lives.session_id}
    session = await sessions.live(fleet.db, lives.session_id)
    assert session.holder == "router-2"
    assert (session.expires_at - session.now).total_seconds() > 55


async def test_no_renewal_passes_the_hard_end(fleet):
    await fleet.ready(0)
    claim = (await fleet.claim("s", max_lifetime=5.0)).claim
    assert (claim.expires_at - claim.now).total_seconds() == 5
    held = Held(session_id=claim.session_id, fence=claim.fence)
    assert await leases.renew(fleet.db, holder=HolderId("r"), leases=[held]) == {claim.session_id}
    assert (await sessions.live(fleet.db, claim.session_id)).expires_at == claim.expires_at
    await fleet.sql("update browsers set lease_ends_at = now() - interval '1 second'")
    assert await leases.renew(fleet.db, holder=HolderId("r"), leases=[held]) == frozenset()


@pytest.mark.parametrize("drain", [False, True])
async def test_an_expired_lease_never_leads_to_ready(fleet, drain):
    agent = await fleet.ready(0)
    claim = (await fleet.claim("s")).claim
    if drain:
        await browsers.drain(fleet.db, [agent.browser_id])
    assert await leases.expire(fleet.db) == []
    await fleet.sql("update browsers set lease_expires_at = now() - interval '1 second'")
    [ended] = await leases.expire(fleet.db)
    assert (ended.session_id, ended.fence, ended.address) == (claim.session_id, claim.fence, claim.address)
    assert (await fleet.row(agent.browser_id)).state is (BrowserState.DRAINING if drain else BrowserState.RECYCLING)
    assert (await sessions.history(fleet.db, claim.session_id)).reason is CloseReason.BROWSER_IDLE


async def test_a_holder_that_stops_ends_its_sessions_and_no_others(fleet):
    for ordinal in range(2):
        await fleet.ready(ordinal)
    await fleet.claim("mine")
    await fleet.claim("other", holder=HolderId("router-2"))
    [ended] = await leases.release_all(fleet.db, holder=HolderId("router-1"))
    assert ended.session_id == "mine"
    assert (await sessions.history(fleet.db, SessionId("mine"))).reason is CloseReason.SHUTDOWN
    assert await sessions.live(fleet.db, SessionId("other")) is not None


@pytest.mark.parametrize(
    ("stale", "options", "outcome", "region"),
    [
        ((), {"spill_when_empty": True}, Outcome.CLAIMED, "us"),
        ((), {"spill_when_stale": True}, Outcome.EMPTY, None),
        (("eu",), {"spill_when_stale": True}, Outcome.CLAIMED, "us"),
        (("eu",), {"spill_when_empty": True}, Outcome.STALE, None),
        (("eu", "us"), {"spill_when_empty": True, "spill_when_stale": True}, Outcome.STALE, None),
        (("us",), {"spill_when_empty": True}, Outcome.EMPTY, None),
    ],
)
async def test_spilling_to_the_backup_region(fleet, stale, options, outcome, region):
    await fleet.ready(0, region="us")
    await regions.ensure(fleet.db, ["eu", "us"])
    await regions.record_lag(fleet.db, writer=HolderId("w"), lags=dict.fromkeys(stale, 3.0))
    answer = await fleet.claim("s", backup="us", **options)
    assert answer.outcome is outcome
    assert (answer.claim.region if answer.claim else None) == region
    if region:
        assert answer.claim.locality is Locality.BACKUP


@pytest.mark.parametrize(
    ("lags", "stale"),
    [((1.9,), False), ((2.1,), True), ((2.1, 1.5), True), ((2.1, 0.9), False), ((2.1, 0.9, 1.5), False)],
)
async def test_staleness_has_hysteresis(fleet, lags, stale):
    await regions.ensure(fleet.db, ["eu"])
    for lag in lags:
        await regions.record_lag(fleet.db, writer=HolderId("w"), lags={"eu": lag})
    [status] = await regions.listing(fleet.db)
    assert (status.stale, status.lag) == (stale, lags[-1])


async def test_a_writer_that_is_gone_leaves_no_region_stale(fleet):
    await regions.ensure(fleet.db, ["eu"])
    await regions.record_lag(fleet.db, writer=HolderId("w"), lags={"eu": 9.0})
    await fleet.sql("update region_writers set recorded_at = now() - interval '11 seconds'")
    assert not (await regions.listing(fleet.db))[0].stale


async def test_text_that_postgres_cannot_hold_is_bad_input_not_a_fault(fleet):
    with pytest.raises(errors.InvalidRequest):
        await fleet.claim("nul\0byte")


async def test_the_probes_walk_the_partial_indexes(fleet):
    for ordinal in range(3):
        await fleet.ready(ordinal)
    before = await _index_scans(fleet)
    await fleet.claim("s", zone="b", node="n1")
    await fleet.claim("t", zone="a", node="n7")
    await fleet.sql("select pg_stat_force_next_flush()")
    used = {name for name, scans in (await _index_scans(fleet)).items() if scans > before[name]}
    assert {"browsers_ready_node", "browsers_ready_zone"} <= used


async def _index_scans(fleet):
    async with fleet.db.pool.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        cursor = await connection.execute(
            "select indexrelname, idx_scan from pg_stat_user_indexes where relname = 'browsers'"
        )
        return dict(await cursor.fetchall())
