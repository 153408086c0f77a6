"""What each statement makes of each state, against the table in model/states.py."""

import psycopg
import pytest

from browserpool.model.heartbeats import Hello
from browserpool.model.states import TRANSITIONS, BrowserState
from browserpool.store import browsers, leases

S = BrowserState


async def brought_to(fleet, state):
    """A browser in ``state``, and its claim if it has one."""
    if state is S.STARTING:
        return await fleet.register(), None
    agent = await fleet.ready()
    claim = (await fleet.claim("s")).claim if state in (S.CLAIMED, S.RECYCLING) else None
    if state is S.RECYCLING:
        await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=False)
    if state is S.DRAINING:
        await browsers.drain(fleet.db, [agent.browser_id])
    if state is S.GONE:
        await browsers.forget(fleet.db, [agent.browser_id])
    return agent.browser_id, claim


async def register(fleet, _browser_id, _claim):
    await fleet.register()


async def hello(fleet, browser_id, _claim):
    await browsers.hello(fleet.db, Hello(browser_id=browser_id, address="host:1"))


async def drain(fleet, browser_id, _claim):
    await browsers.drain(fleet.db, [browser_id])


async def withdraw(fleet, browser_id, _claim):
    answer = await browsers.withdraw(fleet.db, browser_id)
    assert answer == await browsers.state(fleet.db, browser_id)


async def forget(fleet, browser_id, _claim):
    await browsers.forget(fleet.db, [browser_id])


async def sweep_of_the_unwell(fleet, _browser_id, _claim):
    await fleet.sql("update browsers set healthy = false")
    await browsers.sweep(fleet.db)


async def sweep_of_the_silent(fleet, _browser_id, _claim):
    await fleet.sql("update browsers set last_seen = now() - interval '2 minutes'")
    await browsers.sweep(fleet.db)


async def claim(fleet, _browser_id, _claim):
    await fleet.claim("another")


async def expire(fleet, _browser_id, _claim):
    await fleet.sql("update browsers set lease_expires_at = now() - interval '1 second'")
    await leases.expire(fleet.db)


async def release_dirty(fleet, _browser_id, claim):
    if claim:
        await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=False)


async def release_clean(fleet, _browser_id, claim):
    if claim:
        await leases.release(fleet.db, session_id=claim.session_id, fence=claim.fence, clean=True)


MADE = {
    register: {S.GONE: S.STARTING},
    hello: {S.READY: S.RECYCLING, S.CLAIMED: S.RECYCLING},
    drain: dict.fromkeys((S.STARTING, S.READY, S.RECYCLING), S.DRAINING),
    withdraw: dict.fromkeys((S.STARTING, S.READY, S.RECYCLING), S.DRAINING),
    forget: {state: S.GONE for state in S if state is not S.GONE},
    sweep_of_the_unwell: {S.READY: S.RECYCLING},
    sweep_of_the_silent: {S.READY: S.RECYCLING},
    claim: {S.READY: S.CLAIMED},
    expire: {S.CLAIMED: S.RECYCLING},
    release_dirty: {S.CLAIMED: S.RECYCLING},
    release_clean: {S.CLAIMED: S.READY},
}
"""What changes; every other state stays what it is."""


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("act", MADE, ids=lambda act: act.__name__)
async def test_each_statement_makes_of_each_state_what_the_table_says(fleet, act, state):
    browser_id, held = await brought_to(fleet, state)
    assert (await fleet.row(browser_id)).state is state
    await act(fleet, browser_id, held)
    assert (await fleet.row(browser_id)).state is MADE[act].get(state, state)


@pytest.mark.parametrize(
    ("now", "then"), sorted({(now, then) for changes in MADE.values() for now, then in changes.items()})
)
def test_all_of_it_is_legal(now, then):
    """A statement that takes two steps at once (a clean release; forgetting, which drains first) takes legal ones."""
    assert then in TRANSITIONS[now] or any(then in TRANSITIONS[between] for between in TRANSITIONS[now])


@pytest.mark.parametrize("ended_by", [hello, expire, forget])
async def test_a_claimed_browser_that_is_to_drain_drains_when_its_session_ends(fleet, ended_by):
    browser_id, held = await brought_to(fleet, S.CLAIMED)
    await browsers.drain(fleet.db, [browser_id])
    row = await fleet.row(browser_id)
    assert (row.state, row.drain_requested) == (S.CLAIMED, True)
    await ended_by(fleet, browser_id, held)
    assert (await fleet.row(browser_id)).state is (S.GONE if ended_by is forget else S.DRAINING)


async def test_a_state_and_its_session_cannot_be_written_apart(fleet):
    browser_id, _ = await brought_to(fleet, S.READY)
    with pytest.raises(psycopg.errors.CheckViolation, match="claimed_is_held"):
        await fleet.sql("update browsers set state = 'claimed' where browser_id = %s", browser_id)


async def test_gone_rows_are_pruned_when_they_are_old(fleet):
    await brought_to(fleet, S.GONE)
    assert await browsers.prune(fleet.db, older_than=60) == 0
    await fleet.sql("update browsers set state_since = now() - interval '2 minutes'")
    assert await browsers.prune(fleet.db, older_than=60) == 1
    assert await browsers.listing(fleet.db) == []
