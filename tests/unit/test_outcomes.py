"""Sums of outcomes: what is read from buckets, and what counts as a failure."""

import asyncio

import pytest

from browserpool.model import errors, outcomes


def tally(*seconds, failed=()):
    counted = outcomes.Tally()
    for one in seconds:
        counted.count(one, failed=one in failed)
    return counted


@pytest.mark.parametrize(
    ("seconds", "share", "wanted"),
    [
        ([], 0.5, None),
        ([0.006] * 100, 0.5, 0.006),  # in the middle of the bucket from 5 to 7 ms
        ([0.006] * 100, 1.0, 0.007),
        ([0.002] * 10, 1.0, 0.005),
        ([0.002] * 10, 0.5, 0.0025),
        ([1.0] * 99 + [30.0], 0.99, 1.25),
        ([1.0] * 99 + [30.0], 1.0, 40.0),
        ([1000.0], 0.5, 120.0),
        ([0.1, 1000.0], 0.99, 120.0),
        ([120.0], 1.0, 120.0),
    ],
)
def test_quantiles(seconds, share, wanted):
    assert tally(*seconds).quantile(share) == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_no_quantile_is_off_by_more_than_two_fifths_however_values_lie(share):
    """A fifth where they are spread within a bucket; the whole of it where they all lie at one of its ends."""
    values = [0.005 * 1.02**step for step in range(500)]
    true = sorted(values)[int(share * len(values)) - 1]
    assert tally(*values).quantile(share) == pytest.approx(true, rel=0.2)
    for one in values:
        assert tally(*[one] * 7).quantile(share) == pytest.approx(one, rel=0.5)


def test_bounds_rise_evenly_from_milliseconds_to_minutes():
    assert (outcomes.BOUNDS[0], outcomes.BOUNDS[-1]) == (0.005, 120.0)
    ratios = [after / before for before, after in zip(outcomes.BOUNDS, outcomes.BOUNDS[1:], strict=False)]
    assert all(1.35 <= ratio <= 1.51 for ratio in ratios)


def test_sums_are_what_would_have_been_counted_together():
    first, second = tally(0.125, 2.0, failed={2.0}), tally(0.125, 300.0)
    assert outcomes.summed([first, second]) == tally(0.125, 2.0, 0.125, 300.0, failed={2.0})
    assert outcomes.summed([first, second]).error_rate == 0.25
    assert outcomes.summed([]).error_rate == 0.0


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (errors.NoBrowser("none"), True),
        (errors.BrowserLost("gone"), True),
        (errors.Unavailable("the store"), True),
        (errors.QueueFull("full"), True),
        (errors.BrowserpoolError("ours"), True),
        (TimeoutError(), True),
        (ValueError(), True),
        (ConnectionResetError(), False),
        (errors.TooManyRequests("over the rate"), False),
        (errors.InvalidRequest("no"), False),
        (errors.PageFailed("404"), False),
        (errors.ModelFailed("nonsense"), False),
        (errors.ModelUnavailable("the provider"), False),
        (errors.NotConfigured("no model"), False),
        (errors.NotOffered("no"), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_failures_are_those_of_the_browser_or_the_system(error, failed):
    assert outcomes.has_failed(error) is failed


@pytest.mark.parametrize(
    ("status", "failed"),
    [(200, False), (400, False), (422, False), (429, False), (500, True), (501, False), (503, True)],
)
def test_an_answers_status_says_it_too(status, failed):
    assert outcomes.is_failure(status) is failed
