"""Intervals against reference implementations, known truth, and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from pilotlm.errors import InputError
from pilotlm.stats.intervals import half_sampling, resample_within, score_interval, split_pairs, subsets, wilson

# Coverage tests run 1,000 simulated samples: the standard error of a share of .95 is .007, so a band of .93-.97 is
# about three standard errors wide on either side and fails for an interval that is 10 % too short (.922).


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_where_the_score_test_ends(drawn, level):
    successes, n = drawn
    ours = wilson(successes, n, level)
    # Either end lies as many of its own standard errors from the share as the normal quantile says.
    for end in {ours.low, ours.high} - {0.0, 1.0}:
        apart = abs(ours.value - end) / np.sqrt(end * (1 - end) / n)
        assert apart == pytest.approx(norm.ppf((1 + level) / 2), rel=1e-6)
    assert ours.value == successes / n
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_wilson_by_hand():
    # z = 2 (level .9545): (1/2 + 4/8 +- 2 sqrt(1/16 + 4/64)) / 2 for 2 of 4.
    estimate = wilson(2, 4, 0.954499736103642)
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - np.sqrt(2) / 4, 0.5 + np.sqrt(2) / 4))


def test_wilson_of_nothing_is_nan():
    assert np.isnan([wilson(0, 0).value, wilson(0, 0).low, wilson(0, 0).high]).all()


@pytest.mark.parametrize(
    ("successes", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0), (1, 5, 95)]
)
def test_wilson_refuses(successes, n, level):
    with pytest.raises(InputError):
        wilson(successes, n, level)


def test_the_score_interval_takes_rows_that_are_no_whole_number():
    assert score_interval(0.5, 10) == pytest.approx((wilson(5, 10).low, wilson(5, 10).high))
    assert score_interval(0.5, 10)[0] < score_interval(0.5, 10.5)[0] < score_interval(0.5, 11)[0]
    with pytest.raises(InputError):
        score_interval(0.5, 0)


def test_wilson_covers():
    rng = np.random.default_rng(1)
    draws = rng.binomial(60, 0.25, size=1000)
    inside = [wilson(int(k), 60).low <= 0.25 <= wilson(int(k), 60).high for k in draws]
    assert 0.93 <= np.mean(inside) <= 0.97


def test_half_sampling_of_a_mean_has_the_textbook_standard_error():
    rng = np.random.default_rng(4)
    sample = rng.gamma(2, size=400)
    estimate = half_sampling(lambda rows: sample[rows].mean(), 400, 4000, rng)
    # A standard deviation from 4,000 draws has a relative error of 1.1 %; 4 % is more than three of them.
    assert (estimate.high - estimate.low) / (2 * 1.959964) == pytest.approx(sample.std() / 20, rel=0.04)
    assert estimate.value == sample.mean()


@pytest.mark.slow
def test_half_sampling_covers_a_correlation():
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(1000):
        x = rng.normal(size=100)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=100)
        estimate = half_sampling(lambda rows, x=x, y=y: np.corrcoef(x[rows], y[rows])[0, 1], 100, 100, rng)
        inside.append(estimate.low <= 0.5 <= estimate.high)
    assert 0.925 <= np.mean(inside) <= 0.97


@given(st.integers(1, 30), st.integers(0, 10), st.integers(0, 2**32))
def test_split_pairs_are_disjoint(size, spare, seed):
    n = 2 * size + spare
    a, b = split_pairs(n, size, 5, np.random.default_rng(seed))
    assert a.shape == b.shape == (5, size)
    for rows in np.hstack([a, b]):
        assert len(set(rows)) == 2 * size
        assert set(rows) <= set(range(n))


def test_split_pairs_take_every_row_equally_often():
    a, b = split_pairs(10, 3, 5000, np.random.default_rng(7))
    for rows in (a, b):
        # Each row is in a subset with probability .3: 1,500 +- 32; five standard deviations.
        assert np.abs(np.bincount(rows.ravel(), minlength=10) - 1500).max() < 160


def test_draws_do_not_exceed_the_rows():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="Two disjoint subsets of 6 rows cannot be drawn from 11"):
        split_pairs(11, 6, 1, rng)
    with pytest.raises(InputError):
        subsets(3, 4, 1, rng)
    with pytest.raises(InputError):
        subsets(3, 0, 1, rng)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 60), st.integers(0, 2**32))
def test_resample_within_keeps_the_shares(groups, n, seed):
    groups = np.array(groups)
    rows = resample_within(groups, n, np.random.default_rng(seed))
    assert len(rows) == n
    for name in "abc":
        assert abs((groups[rows] == name).sum() - n * np.mean(groups == name)) < 1
