"""Rates, concurrency, and the day's browser time."""

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserpool.model import errors, tokens
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
    ("seconds", "header"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (59.5, 60), (90.0, 90), (math.inf, 60)]
)
def test_retry_after_is_whole_seconds_and_none_too_few(seconds: float, header: int) -> None:
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


# ---------------------------------------------------------------- the day
NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
MIDNIGHT = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)


def token(**limits: float) -> tokens.Token:
    return tokens.Token(name=A, hash=b"", **limits)  # type: ignore[arg-type]


def known(spent: float, *, at: datetime.datetime = NOON) -> tuple[Clock, quotas.Quotas]:
    time = Clock()
    book = quotas.Quotas(now=time)
    book.learn(tokens.Day(now=at, ends_at=MIDNIGHT, seconds={A: spent}))
    return time, book


def test_who_has_had_his_day_waits_for_the_next_one_exactly() -> None:
    time, book = known(600.0)
    with pytest.raises(errors.TooManyRequests, match=r"600 s .* may have 600.* in 43200 s") as refused:
        book.admit(token(daily_seconds=600))
    assert refused.value.retry_after == 12 * 3600
    time.now += refused.value.retry_after - 1
    with pytest.raises(errors.TooManyRequests) as refused:
        book.admit(token(daily_seconds=600))
    assert refused.value.retry_after == 1
    time.now += 1
    book.admit(token(daily_seconds=600))


@pytest.mark.parametrize(("spent", "limit"), [(599.9, 600), (10_000, None), (0, 1)])
def test_who_has_time_left_passes(spent: float, limit: float | None) -> None:
    _, book = known(spent)
    book.admit(tokens.Token(name=A, hash=b"", daily_seconds=limit))


def test_before_the_store_was_asked_nobody_is_refused() -> None:
    quotas.Quotas().admit(token(daily_seconds=1))


def refusal(book: quotas.Quotas, *, rate: float) -> errors.TooManyRequests:
    """Of the first request that is one too many."""
    for _ in range(math.ceil(quotas.capacity(rate)) + 1):
        try:
            book.pass_rate(A, rate=rate)
        except errors.TooManyRequests as refused:
            return refused
    raise AssertionError("more passed at once than the bucket holds")


@given(rates)
def test_who_waits_as_long_as_he_was_told_passes(rate: float) -> None:
    time = Clock()
    book = quotas.Quotas(now=time)
    wait = refusal(book, rate=rate).retry_after
    assert wait is not None
    time.now += wait
    book.pass_rate(A, rate=rate)


def test_to_look_at_a_rate_takes_nothing_of_it() -> None:
    book = quotas.Quotas(now=Clock())
    assert [book.rate_left(token(rate_per_second=2.0)) for _ in range(2)] == [(2.0, 0.0)] * 2
    book.pass_rate(A, rate=2.0)
    book.pass_rate(A, rate=2.0)
    assert book.rate_left(token(rate_per_second=2.0)) == (0.0, 0.5)
    assert book.rate_left(token()) == (math.inf, 0.0)
