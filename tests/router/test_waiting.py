"""The wait for a browser, with a store of numbers instead of a database: order, bound, deadline, and no claim lost."""

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator

import pytest

from browserpool.lib import tasks
from browserpool.model import claims, errors
from browserpool.model.names import (
    BrowserId,
    Fence,
    HolderId,
    NodeName,
    PoolName,
    RegionName,
    SessionId,
    TokenName,
    ZoneName,
)
from browserpool.router import waiting
from support import waiting as conditions

POOL = PoolName("p")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
PATIENT = waiting.Patience(seconds=5, limit=100)


def request(name: str = "s", *, region: str = "r") -> claims.ClaimRequest:
    return claims.ClaimRequest(
        session_id=SessionId(name),
        pool=POOL,
        region=RegionName(region),
        kind=claims.SessionKind.ACTION,
        keep_alive=10,
        holder=HolderId("h"),
    )


class Store:
    """``free`` browsers; each attempt is logged, and may be held up by ``gate``."""

    def __init__(self) -> None:
        self.free = 0
        self.asked: list[str] = []
        self.given: list[str] = []
        self.returned: list[str] = []
        self.outcome = claims.Outcome.EMPTY
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def attempt(self, asking: waiting.Asking) -> claims.ClaimAnswer:
        wanted = asking.request
        self.asked.append(wanted.session_id)
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        if self.free == 0:
            return claims.ClaimAnswer(outcome=self.outcome)
        self.free -= 1
        self.given.append(wanted.session_id)
        claim = claims.Claim(
            session_id=wanted.session_id,
            browser_id=BrowserId("b"),
            fence=Fence(1),
            address="a:1",
            region=wanted.region,
            zone=ZoneName("z"),
            node=NodeName("n"),
            locality=claims.Locality.REGION,
            expires_at=WHEN,
            now=WHEN,
        )
        return claims.ClaimAnswer(outcome=claims.Outcome.CLAIMED, claim=claim)

    def give_back(self, _: claims.ClaimRequest, claim: claims.Claim) -> None:
        self.returned.append(claim.session_id)
        self.free += 1


class Hall:
    def __init__(self, background: tasks.Background) -> None:
        self.store = Store()
        self.background = background
        self.waiting = waiting.Waiting(
            attempt=self.store.attempt,
            give_back=self.store.give_back,
            background=background,
            poll_first=0.01,
            poll_most=0.02,
        )

    def come(
        self, name: str, *, token: str = "t", patience: waiting.Patience = PATIENT, region: str = "r"
    ) -> "asyncio.Task[claims.Claim]":
        return self.background.spawn(
            self.waiting.claim(request(name, region=region), token=TokenName(token), patience=patience), name=name
        )

    async def until_waiting(self, number: int) -> None:
        await conditions.until(lambda: self.waiting.depth(POOL) == number)


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    async with tasks.Background(grace=1) as background:
        made = Hall(background)
        yield made
        made.waiting.close()


async def test_a_ready_browser_is_given_without_a_wait(hall: Hall) -> None:
    hall.store.free = 1
    claim = await hall.waiting.claim(request(), token=TokenName("t"), patience=PATIENT)
    assert claim.session_id == "s"
    assert hall.store.asked == ["s"]


async def test_tokens_take_turns_and_each_tokens_requests_keep_their_order(hall: Hall) -> None:
    arrivals = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")]
    tasks_ = []
    for number, (name, token) in enumerate(arrivals):
        tasks_.append(hall.come(name, token=token))
        await hall.until_waiting(number + 1)
    hall.store.free = len(arrivals)
    await asyncio.gather(*tasks_)
    assert hall.store.given == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_who_comes_later_cannot_be_quicker(hall: Hall) -> None:
    first = hall.come("first")
    await hall.until_waiting(1)
    hall.store.gate.clear()
    hall.store.free = 1
    second = hall.come("second")
    await hall.until_waiting(2)
    hall.store.gate.set()
    assert (await first).session_id == "first"
    hall.store.free = 1
    assert (await second).session_id == "second"


async def test_who_steps_aside_lets_others_be_served_and_keeps_his_place(hall: Hall) -> None:
    place = waiting.Place()
    first = hall.come("first", patience=dataclasses.replace(PATIENT, place=place))
    await hall.until_waiting(1)
    others = [hall.come(f"other{number}") for number in range(2)]
    await hall.until_waiting(3)
    assert await place.step_aside()
    hall.store.free = 1
    await others[0]
    asked = len(hall.store.asked)
    hall.store.free = 1
    place.come_back()
    await first
    assert hall.store.asked[asked:].count("first") == 1
    hall.store.free = 1
    await others[1]
    assert hall.store.given == ["other0", "first", "other1"]


async def test_who_alone_has_stepped_aside_is_served_at_once_when_he_is_back() -> None:
    async with tasks.Background(grace=1) as background:
        store = Store()
        slow = waiting.Waiting(
            attempt=store.attempt, give_back=store.give_back, background=background, poll_first=3600, poll_most=3600
        )
        place = waiting.Place()
        patience = dataclasses.replace(PATIENT, place=place)
        task = background.spawn(slow.claim(request(), token=TokenName("t"), patience=patience), name="waits")
        await conditions.until(lambda: len(store.asked) == 2)
        assert await place.step_aside()
        store.free = 1
        slow.freed(POOL)
        await asyncio.sleep(0.05)
        assert store.given == []
        place.come_back()
        assert (await task).session_id == "s"


async def test_nobody_steps_aside_from_a_browser_that_is_his_already(hall: Hall) -> None:
    place = waiting.Place()
    task = hall.come("s", patience=dataclasses.replace(PATIENT, place=place))
    await hall.until_waiting(1)
    hall.store.gate.clear()
    hall.store.free = 1
    asked = len(hall.store.asked)
    await conditions.until(lambda: len(hall.store.asked) > asked)
    stepping = hall.background.spawn(place.step_aside(), name="steps aside")
    await asyncio.sleep(0)
    hall.store.gate.set()
    assert not await stepping
    assert (await task).session_id == "s"
    assert not await place.step_aside()


async def test_who_is_aside_when_the_time_is_over_or_the_router_stops_is_told_so(hall: Hall) -> None:
    places = [waiting.Place(), waiting.Place()]
    late = hall.come("late", patience=waiting.Patience(seconds=0.2, limit=9, place=places[0]))
    stopped = hall.come("stopped", patience=dataclasses.replace(PATIENT, place=places[1]))
    await hall.until_waiting(2)
    assert [await place.step_aside() for place in places] == [True, True]
    with pytest.raises(errors.NoBrowser):
        await late
    hall.waiting.close()
    with pytest.raises(errors.Unavailable, match="stopping"):
        await stopped
    assert hall.waiting.depth(POOL) == 0


async def test_at_the_bound_it_is_429_with_retry_after(hall: Hall) -> None:
    patience = waiting.Patience(seconds=5, limit=2)
    standing = [hall.come(f"s{n}", patience=patience) for n in range(2)]
    await hall.until_waiting(2)
    with pytest.raises(errors.TooManyRequests, match="2 requests wait") as refused:
        await hall.come("s3", patience=patience)
    assert 1 <= (refused.value.retry_after or 0) <= 60
    hall.store.free = 2
    await asyncio.gather(*standing)
    assert hall.waiting.depth(POOL) == 0


async def test_the_bound_is_the_pools_whatever_the_region(hall: Hall) -> None:
    patience = waiting.Patience(seconds=5, limit=1)
    one = hall.come("one", patience=patience, region="r1")
    await hall.until_waiting(1)
    with pytest.raises(errors.TooManyRequests):
        await hall.come("two", patience=patience, region="r2")
    one.cancel()


async def test_at_the_deadline_it_is_503_with_retry_after_and_the_place_is_free(hall: Hall) -> None:
    with pytest.raises(errors.NoBrowser, match=r"within 0\.05 s") as refused:
        await hall.come("s", patience=waiting.Patience(seconds=0.05, limit=1))
    assert 1 <= (refused.value.retry_after or 0) <= 60
    assert hall.waiting.depth(POOL) == 0


async def test_a_pool_that_does_not_queue_says_so_at_once(hall: Hall) -> None:
    with pytest.raises(errors.NoBrowser, match="does not queue"):
        await hall.come("s", patience=waiting.Patience(seconds=0, limit=0))
    assert hall.store.asked == ["s"]


async def test_a_stale_region_fails_at_once(hall: Hall) -> None:
    hall.store.outcome = claims.Outcome.STALE
    with pytest.raises(errors.NoBrowser, match="too old to be trusted") as refused:
        await hall.come("s")
    assert refused.value.retry_after


async def test_a_region_that_becomes_stale_fails_those_who_wait(hall: Hall) -> None:
    task = hall.come("s")
    await hall.until_waiting(1)
    hall.store.outcome = claims.Outcome.STALE
    with pytest.raises(errors.NoBrowser, match="too old to be trusted"):
        await task


async def test_the_store_may_go_away_and_come_back_while_somebody_waits(hall: Hall) -> None:
    task = hall.come("s")
    await hall.until_waiting(1)
    hall.store.trouble = errors.Unavailable("gone", retry_after=1)
    asked = len(hall.store.asked)
    await conditions.until(lambda: len(hall.store.asked) > asked + 1)
    hall.store.trouble, hall.store.free = None, 1
    assert (await task).session_id == "s"


async def test_the_store_being_away_at_the_deadline_is_what_is_told(hall: Hall) -> None:
    task = hall.come("s", patience=waiting.Patience(seconds=0.2, limit=1))
    await hall.until_waiting(1)
    hall.store.trouble = errors.Unavailable("the database is away", retry_after=1)
    with pytest.raises(errors.Unavailable, match="the database is away"):
        await task


async def test_one_that_fails_oddly_does_not_stop_the_others(hall: Hall) -> None:
    odd, next_ = hall.come("odd"), None
    await hall.until_waiting(1)
    next_ = hall.come("next")
    await hall.until_waiting(2)
    hall.store.trouble = RuntimeError("a fault of ours")
    with pytest.raises(RuntimeError):
        await odd
    hall.store.trouble, hall.store.free = None, 1
    if not next_.done():
        assert (await next_).session_id == "next"


async def test_a_claim_for_somebody_who_has_left_is_given_back(hall: Hall) -> None:
    task = hall.come("gone")
    await hall.until_waiting(1)
    hall.store.gate.clear()
    hall.store.free = 1
    asked = len(hall.store.asked)
    await conditions.until(lambda: len(hall.store.asked) > asked)
    task.cancel()
    await conditions.until(lambda: hall.waiting.depth(POOL) == 0)
    hall.store.gate.set()
    await conditions.until(lambda: hall.store.returned == ["gone"])
    assert hall.store.free == 1


async def test_a_claim_that_arrives_in_the_moment_of_leaving_is_given_back(hall: Hall) -> None:
    task = hall.come("late")
    await hall.until_waiting(1)
    hall.store.free = 1
    await conditions.until(lambda: hall.store.given == ["late"], every=0)
    task.cancel()
    await asyncio.wait({task})
    if task.cancelled():
        await conditions.until(lambda: hall.store.returned == ["late"])
    else:
        assert task.result().session_id == "late"


async def test_a_release_here_is_noticed_without_waiting_for_the_next_look() -> None:
    async with tasks.Background(grace=1) as background:
        store = Store()
        slow = waiting.Waiting(
            attempt=store.attempt, give_back=store.give_back, background=background, poll_first=3600, poll_most=3600
        )
        task = background.spawn(slow.claim(request(), token=TokenName("t"), patience=PATIENT), name="waits")
        await conditions.until(lambda: len(store.asked) == 2)
        store.free = 1
        slow.freed(POOL)
        assert (await task).session_id == "s"


async def test_who_waits_when_the_router_stops_is_sent_away_at_once(hall: Hall) -> None:
    task = hall.come("s")
    await hall.until_waiting(1)
    hall.waiting.close()
    with pytest.raises(errors.Unavailable, match="stopping") as refused:
        await task
    assert refused.value.retry_after == 1
    with pytest.raises(errors.Unavailable):
        await hall.come("another")


async def test_many_on_few_browsers_are_all_served_and_nobody_twice(hall: Hall) -> None:
    async def use(name: str, token: str) -> str:
        claim = await hall.waiting.claim(request(name), token=TokenName(token), patience=PATIENT)
        await asyncio.sleep(0)
        hall.store.free += 1
        hall.waiting.freed(POOL)
        return claim.session_id

    hall.store.free = 3
    names = [f"s{n}" for n in range(200)]
    served = await asyncio.gather(
        *(use(name, f"t{n % 7}") for n, name in enumerate(names[:100])),
    )
    assert sorted(served) == sorted(names[:100])
    assert len(set(hall.store.given)) == len(hall.store.given)
    assert hall.store.free == 3
