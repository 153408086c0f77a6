"""Rates and concurrency."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserpool.model import errors
from browserpool.model.names import TokenName
from browserpool.router import quotas

A, B = TokenName("a"), TokenName("b")
rates = st.floats(0.05, 500)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(rates)
def test_the_first_request_always_passes(rate: float) -> None:
    assert quotas.take(quotas.full(rate=rate, now=5.0), rate=rate, now=5.0)[1] == 0.0


@given(rates, st.lists(st.floats(0, 2), max_size=100))
def test_never_more_pass_than_the_rate_allows(rate: float, gaps: list[float]) -> None:
    now, passed, bucket = 0.0, 0, quotas.full(rate=rate, now=0.0)
    for gap in gaps:
        now += gap
        bucket, wait = quotas.take(bucket, rate=rate, now=now)
        passed += wait == 0.0
    assert passed <= quotas.capacity(rate) + rate * now + 0.001 * len(gaps) + 1e-6


@given(rates, st.lists(st.floats(0, 0.2), max_size=50))
def test_who_comes_back_after_the_seconds_he_was_told_passes(rate: float, gaps: list[float]) -> None:
    now, bucket = 0.0, quotas.full(rate=rate, now=0.0)
    for gap in gaps:
        now += gap
        bucket, wait = quotas.take(bucket, rate=rate, now=now)
        if wait:
            bucket, again = quotas.take(bucket, rate=rate, now=now + wait)
            now += wait
            assert again == 0.0


@given(rates, st.floats(0, 100), st.floats(-100, 0))
def test_a_clock_that_went_back_gives_nothing_and_takes_nothing(rate: float, now: float, step: float) -> None:
    bucket = quotas.Bucket(left=0.5, at=now)
    after, wait = quotas.take(bucket, rate=rate, now=now + step)
    assert wait > 0
    assert after.left == 0.5


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (59.5, 60), (90.0, 60), (math.inf, 60)]
)
def test_retry_after_is_whole_seconds_that_clients_honour(seconds: float, header: int) -> None:
    assert quotas.retry_after(seconds) == header


def test_over_the_rate_is_429_until_retry_after_is_over() -> None:
    clock = Clock()
    book = quotas.Quotas(now=clock)
    book.pass_rate(A, rate=0.5)
    with pytest.raises(errors.TooManyRequests) as refused:
        book.pass_rate(A, rate=0.5)
    assert refused.value.retry_after == 2
    book.pass_rate(B, rate=0.5)
    clock.now += refused.value.retry_after
    book.pass_rate(A, rate=0.5)


def test_concurrency_counts_until_it_is_left() -> None:
    book = quotas.Quotas()
    book.enter(A, concurrency=1)
    with pytest.raises(errors.TooManyRequests, match="may have 1") as refused:
        book.enter(A, concurrency=1)
    assert refused.value.retry_after == 1
    book.enter(B, concurrency=1)
    assert book.running(B) == 1
    book.leave(A)
    assert book.running(A) == 0
    book.enter(A, concurrency=1)
    assert book.running(A) == 1


def test_no_limit_means_none() -> None:
    book = quotas.Quotas()
    for _ in range(100):
        book.pass_rate(A, rate=None)
        book.enter(A, concurrency=None)
    assert book.running(A) == 100


def test_a_concurrency_of_zero_lets_nobody_in() -> None:
    with pytest.raises(errors.TooManyRequests):
        quotas.Quotas().enter(A, concurrency=0)
