"""Many at once: each browser is won by one."""

import asyncio

from browserpool.model.claims import Outcome
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect, leases
from support import fleet as fleets

BROWSERS, CLAIMERS, ROUNDS = 16, 64, 12


async def test_64_claimers_on_16_browsers_16_winners_each_round_all_distinct(dsn, fleet):
    for ordinal in range(BROWSERS):
        await fleet.ready(ordinal, node=f"n{ordinal % 4}", zone="ab"[ordinal % 2])
    async with connect.opened(dsn, process="claimers", max_size=16) as db:
        for number in range(ROUNDS):
            # Every second claimer has a node of its own in mind; so the probes overlap.
            requests = [
                fleets.request(
                    f"{number}-{claimer}", **({"zone": "a", "node": f"n{claimer % 4}"} if claimer % 2 else {})
                )
                for claimer in range(CLAIMERS)
            ]
            answers = await asyncio.gather(*(leases.claim(db, request) for request in requests))
            won = [answer.claim for answer in answers if answer.claim is not None]
            assert len(won) == BROWSERS
            assert len({claim.browser_id for claim in won}) == BROWSERS
            assert {answer.outcome for answer in answers} == {Outcome.CLAIMED, Outcome.EMPTY}
            await asyncio.gather(
                *(leases.release(db, session_id=claim.session_id, fence=claim.fence, clean=True) for claim in won)
            )
    assert {row.state for row in await browsers.listing(fleet.db)} == {BrowserState.READY}


async def test_registering_one_name_at_once_makes_one_row(fleet):
    ids = await asyncio.gather(*(fleet.register(0) for _ in range(8)))
    assert len(set(ids)) == 1
    assert len(await browsers.listing(fleet.db)) == 1


async def test_two_expirers_share_the_work_and_end_nothing_twice(fleet):
    for ordinal in range(10):
        await fleet.ready(ordinal)
        await fleet.claim(f"s{ordinal}")
    await fleet.sql("update browsers set lease_expires_at = now() - interval '1 second'")
    ended = [
        over.session_id
        for batch in await asyncio.gather(*(leases.expire(fleet.db) for _ in range(4)))
        for over in batch
    ]
    assert sorted(ended) == [f"s{ordinal}" for ordinal in range(10)]
