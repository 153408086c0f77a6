"""The supervisor with children that die, hang and do not start."""

import asyncio
import contextlib

import pytest

from browserpool.agent import supervisor
from browserpool.agent.supervisor import Phase, Why
from browserpool.lib import tasks
from support import waiting

POLICY = supervisor.Policy(
    start_deadline=0.5,
    probe_every=0.01,
    probe_deadline=0.05,
    first_delay=0.01,
    most_delay=0.04,
    stable_after=10.0,
    give_up_after=4,
)


class Child:
    def __init__(self):
        self.gone = asyncio.get_running_loop().create_future()
        self.wedged = False
        self.slow = 0
        self.probed = 0
        self.stopped = False

    async def probe(self):
        self.probed += 1
        if self.wedged or self.slow:
            self.slow = max(0, self.slow - 1)
            await asyncio.Event().wait()

    async def stop(self):
        self.stopped = True


class Nursery:
    """Starts children; ``fail`` makes the next starts raise, ``hang`` never end."""

    def __init__(self):
        self.children = []
        self.fail = 0
        self.hang = 0

    async def start(self):
        if self.hang:
            self.hang -= 1
            await asyncio.Event().wait()
        if self.fail:
            self.fail -= 1
            raise OSError("no")
        self.children.append(Child())
        return self.children[-1]


@contextlib.asynccontextmanager
async def supervised(nursery, *, policy=POLICY, reasons=None):
    made = supervisor.Supervisor(
        start=nursery.start, policy=policy, restarting=(reasons if reasons is not None else []).append
    )
    async with tasks.Background(grace=0) as background:
        running = background.spawn(made.run(), name="supervisor")
        try:
            yield made, running
        finally:
            running.cancel()
            await asyncio.wait({running}, timeout=5)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 0), (2, 0.1), (3, 0.2), (4, 0.4), (8, 6.4), (9, 10), (40, 10)]
)
def test_the_first_restart_is_at_once_and_the_next_ones_back_off(failures, seconds):
    assert supervisor.delay(failures, policy=supervisor.Policy()) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("failures", "why", "up_for", "after"),
    [
        (0, Why.REQUESTED, 0.0, 0),
        (3, Why.REQUESTED, 1.0, 3),
        (3, Why.REQUESTED, 10.0, 0),
        (0, Why.CRASHED, 100.0, 1),
        (3, Why.CRASHED, 1.0, 4),
        (3, Why.WEDGED, 10.0, 1),
        (3, Why.START_FAILED, 0.0, 4),
    ],
)
def test_failures_in_a_row(failures, why, up_for, after):
    policy = supervisor.Policy(stable_after=10.0)
    assert supervisor.failures_after(failures, why=why, up_for=up_for, policy=policy) == after


async def test_a_dead_child_is_cleared_away_and_replaced():
    nursery, reasons = Nursery(), []
    async with supervised(nursery, reasons=reasons) as (keeper, _):
        first = await keeper.up(deadline=5)
        first.gone.set_result(None)
        assert keeper.child is None
        second = await keeper.up(deadline=5, after=1)
        assert second is not first
        assert first.stopped
        assert reasons == [Why.CRASHED]
        assert keeper.restarts == 1
    assert second.stopped
    assert keeper.phase is Phase.STOPPED


async def test_a_wedged_child_is_ended():
    nursery, reasons = Nursery(), []
    async with supervised(nursery, reasons=reasons) as (keeper, _):
        first = await keeper.up(deadline=5)
        await waiting.until(lambda: first.probed > 3)
        assert keeper.child is first
        first.wedged = True
        assert await keeper.up(deadline=5, after=1) is not None
        assert first.stopped
        assert reasons == [Why.WEDGED]


async def test_one_probe_that_fails_ends_nobody():
    async with supervised(Nursery()) as (keeper, _):
        child = await keeper.up(deadline=5)
        for _ in range(3):
            child.slow = 1
            before = child.probed
            await waiting.until(lambda before=before: child.probed > before + 3)
        assert keeper.child is child
        assert not child.stopped


async def test_a_renewal_is_a_restart_but_no_failure():
    async with supervised(Nursery(), policy=supervisor.Policy(give_up_after=2)) as (keeper, _):
        for _ in range(5):
            before = await keeper.up(deadline=5)
            after = await keeper.renew(deadline=5)
            assert after is not None
            assert after is not before
            assert before.stopped
        assert keeper.restarts == 5
        assert keeper.healthy


async def test_a_renewal_while_there_is_no_child_is_the_next_child():
    nursery = Nursery()
    nursery.fail = 1
    async with supervised(nursery) as (keeper, _):
        assert keeper.child is None
        assert await keeper.renew(deadline=5) is nursery.children[0]
        assert len(nursery.children) == 1


async def test_a_start_that_hangs_is_cut_short_and_tried_again():
    nursery = Nursery()
    nursery.hang = 1
    async with supervised(nursery) as (keeper, _):
        assert await keeper.up(deadline=5) is nursery.children[0]


async def test_it_gives_up_after_so_many_failures_in_a_row():
    nursery = Nursery()
    nursery.fail = 100
    async with supervised(nursery) as (keeper, running):
        with pytest.raises(supervisor.GivenUp):
            await asyncio.wait_for(running, 5)
        assert keeper.phase is Phase.GIVEN_UP
        assert not keeper.healthy
    assert nursery.fail == 100 - POLICY.give_up_after


async def test_waiting_for_a_child_has_a_deadline():
    nursery = Nursery()
    nursery.hang = 100
    async with supervised(nursery) as (keeper, _):
        assert await keeper.up(deadline=0.05) is None
