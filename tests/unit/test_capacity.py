"""What so many browsers take, by hand."""

import dataclasses

import pytest

from browserpool.local import measuring
from browserpool.model import capacity

COSTS = capacity.Costs(
    batch_cpu=200e-6, row_cpu=10e-6, batch_wal=100.0, row_wal=150.0, session_cpu=500e-6, session_wal=1500.0,
    router_heartbeat_cpu=100e-6, router_session_cpu=400e-6, browser_row=1000.0, history_row=300.0,
)  # fmt: skip


def wish(**changes):
    return capacity.Wish(**{"browsers": 100_000, **changes})


def test_a_region_of_a_hundred_thousand():
    need = capacity.needs(wish(), COSTS)

    assert need == capacity.Need(
        browsers=100_000,
        browsers_per_node=110,  # memory would do for 120, cores for 150
        bound_by="pods",
        nodes=910,
        heartbeats_per_second=20_000,
        rows_per_batch=100,
        batches_per_second=200,
        sessions_per_second=5_000,
        routers=8,  # 2 cores of heartbeats, 2 of sessions, at half load
        router_load=0.5,
        connections=64,
        database_cores=pytest.approx((200 * 200e-6 + 20_000 * 10e-6 + 5_000 * 500e-6) / 0.5),
        wal_per_second=pytest.approx(200 * 100 + 20_000 * 150 + 5_000 * 1500),
        disk=pytest.approx(100_000 * 1000 + 5_000 * 86_400 * 300),
    )


def test_regions_share_the_browsers():
    one, five = capacity.needs(wish(), COSTS), capacity.needs(wish(browsers=500_000, regions=5), COSTS)

    assert one == five


@pytest.mark.parametrize(
    ("per_second", "rows"), [(0.1, 1), (1, 1), (20, 20), (100, 100), (5_000, 100)], ids=lambda value: f"{value:g}"
)
def test_batches_hold_what_comes_within_a_second_up_to_a_hundred(per_second, rows):
    assert capacity.rows_per_batch(per_second) == rows


def test_a_router_on_every_node_makes_small_batches_which_cost_more():
    few, many = capacity.needs(wish(routers=20), COSTS), capacity.needs(wish(routers=1_000), COSTS)

    assert (few.rows_per_batch, many.rows_per_batch) == (100, 20)
    assert many.database_cores > few.database_cores
    assert (few.wants_pooler, many.wants_pooler) == (False, True)


@pytest.mark.parametrize(
    ("changes", "bound_by", "per_node"),
    [
        ({"browser_memory": 4 * capacity.GIB}, "memory", 15),
        ({"browser_cores": 0.5}, "cores", 30),
        ({}, "pods", 110),
        ({"browser_memory": 100 * capacity.GIB}, "memory", 1),
    ],
    ids=["memory", "cores", "pods", "none fits"],
)
def test_what_fills_a_node_first(changes, bound_by, per_node):
    need = capacity.needs(wish(**changes), COSTS)

    assert (need.bound_by, need.browsers_per_node) == (bound_by, per_node)


def test_cost_grows_with_the_browsers_and_no_faster():
    costs = [capacity.needs(wish(browsers=n), COSTS).database_cores / n for n in (5_000, 50_000, 500_000)]

    assert costs == pytest.approx([costs[0]] * 3)


def test_two_sizes_of_batches_tell_the_batch_from_the_row():
    batch, row = measuring.split(200e-6 / 10 + 8e-6, 200e-6 / 100 + 8e-6)

    assert (batch, row) == (pytest.approx(200e-6), pytest.approx(8e-6))


def test_noise_makes_no_cost_vanish():
    batch, row = measuring.split(9e-6, 10e-6)

    assert batch > 0
    assert row > 0


def test_kept_costs_are_read_again():
    assert capacity.read(dataclasses.asdict(COSTS)) == COSTS


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {**dataclasses.asdict(COSTS), "more": 1.0},
        {**dataclasses.asdict(COSTS), "row_cpu": 0},
        {**dataclasses.asdict(COSTS), "row_cpu": "1"},
    ],
    ids=["none", "another field", "nothing costs nothing", "text"],
)
def test_what_cannot_be_costs_is_refused(kept):
    with pytest.raises(ValueError, match=r"costs|zero"):
        capacity.read(kept)
