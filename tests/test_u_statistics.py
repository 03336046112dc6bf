"""The variance of a mean over subsamples against known truth, and the interval of a distance by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from pilotlm.stats.distances import Variance, distance_ends, u_statistic_variance
from pilotlm.stats.intervals import split_pairs

Z = norm.ppf(0.975)
MANY = 10**9
"""Degrees of freedom at which t is normal."""


def crossed_means(first, second, h, rng):
    """The difference of means of each subsample of the first and of the second, as `u_statistic_variance` takes it."""
    means = [sample[np.vstack(split_pairs(len(sample), h, 150, rng))].mean(axis=1) for sample in (first, second)]
    return np.subtract.outer(*means)


# For standard normal samples the difference of means at n and m has variance 1 / n + 1 / m, nothing of it of pairs.
# Its square, averaged over subsamples, is the square of the whole difference, with variance 2 (1 / n + 1 / m)², all of
# it of pairs, and parts of the sample variances and of the draws of subsamples that add up to 15 %.
@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "h"), [(40, 40, 20), (40, 100, 20), (60, 60, 15)])
def test_the_variance_of_known_statistics_is_without_bias(n, m, h):
    rng = np.random.default_rng(1)
    straight, squared, means = [], [], []
    for _ in range(500):
        values = crossed_means(rng.normal(size=n), rng.normal(size=m), h, rng)
        straight.append(u_statistic_variance(values, (h / n, h / m)))
        squared.append(u_statistic_variance(values**2, (h / n, h / m)))
        means.append((values**2).mean())
    whole = 1 / n + 1 / m
    # 500 samples; one variance from 300 subsamples has a relative error of 8 % and that of its sample, some 15 %.
    assert np.mean([v.whole for v in straight]) == pytest.approx(whole, rel=0.04)
    assert np.mean([v.pairs for v in straight]) < 0.03 * whole
    # The square of a normal one has a relative error of 170 %, and its sample variance in 500 one of 17 %.
    assert np.mean([v.whole for v in squared]) == pytest.approx(2.2 * whole**2, rel=0.25)
    assert np.var(means) == pytest.approx(2.2 * whole**2, rel=0.5)
    assert np.mean([v.pairs for v in squared]) == pytest.approx(2.1 * whole**2, rel=0.15)


def test_a_table_worked_out_by_hand():
    # Means of rows 3 and 7, of columns 4 and 6; the residuals are -1, 1, 1, -1 and alike in opposite cells.
    values = np.array([[1.0, 5.0], [7.0, 7.0]])
    found = u_statistic_variance(values, (0.5, 0.5))
    # About the mean, 5: -4, 0, 2, 2. Products of opposite cells are -8, 0, 0, -8.
    assert found.whole == pytest.approx(4)
    # Means of rows and of columns are opposite, so only the residuals' variance, 1, is of pairs, times 1.
    assert found.pairs == pytest.approx(1)
    assert u_statistic_variance(np.full((4, 4), 0.3), (0.5, 0.2)) == Variance(0, 0)


def test_ends_by_hand():
    far = distance_ends(0.5, Variance(0.0004, 0.0001), 0.1, None, MANY)
    assert far == pytest.approx((0.5 - Z * 0.02, 0.5 + Z * 0.02))
    # Within two standard errors of the human benchmark it varies as little as there.
    near = distance_ends(0.11, Variance(0.0004, 0.0001), 0.1, None, MANY)
    assert near == pytest.approx((0.11 - Z * 0.01, 0.11 + Z * 0.02))
    # In between the lower end is where the value is z standard deviations away, with the variance on a line.
    between = distance_ends(0.13, Variance(0.0004, 0.0001), 0.1, None, MANY)
    variance = 0.0001 + 0.0003 * (between[0] - 0.1) / 0.02
    assert 0.1 < between[0] < 0.12
    assert 0.13 - between[0] == pytest.approx(Z * np.sqrt(variance))
    # Below the human benchmark, and where the variance of the value is estimated as less than that of pairs.
    assert distance_ends(0.09, Variance(-1, 0.0001), 0.1, None, MANY)[0] == pytest.approx(0.09 - Z * 0.01)
    assert distance_ends(0.01, Variance(0.0001, 0.0), 0.1, None, MANY)[0] == 0


def test_the_lower_end_is_continuous_in_the_value():
    values = np.linspace(0.10001, 0.2, 2001)
    lows = np.array([distance_ends(v, Variance(0.0004, 0.0001), 0.1, None, 20)[0] for v in values])
    steps = np.diff(lows)
    assert (steps > 0).all() and steps.max() < 5 * np.diff(values).max()


def test_sparse_ends_by_hand():
    odds = np.log(0.9 / 0.1) + np.array([-1, 1]) * Z * 0.02 / 0.09
    sparse = distance_ends(0.9, Variance(0.0004, 0.0001), 0.9, 0.01, MANY)
    assert sparse == pytest.approx(tuple(1 / (1 + np.exp(-odds))))
    # Nothing shared: 3.69 pairs at most with 97.5 % certainty, exp(-3.69) being .025.
    alone = distance_ends(1.0, Variance(0.0, 0.0), 0.9, 0.01, MANY)
    assert alone == pytest.approx((1 - 0.03689, 1), abs=1e-5)
    assert distance_ends(0.4, Variance(0.0, 0.0), 0.1, None, 9)[0] == 0.4
    # Nothing varies at the human benchmark, everything just above it: it ends there.
    assert distance_ends(0.11, Variance(0.0004, 0.0), 0.1, None, MANY)[0] == pytest.approx(0.1, abs=1e-9)
