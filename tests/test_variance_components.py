"""Variance components against statsmodels, known truth, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from scipy.stats import chi2, f
from statsmodels.stats.anova import anova_lm

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate
from pilotlm.measures.variance_components import (
    Components,
    MeanSquare,
    variance_combination,
    variance_components,
    variance_difference,
    variance_interval,
)


def design(a: int, b: int, c: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pilot, training, _ = np.meshgrid(np.arange(a), np.arange(b), np.arange(c), indexing="ij")
    return pilot.ravel(), training.ravel()


def drawn(a: int, b: int, c: int, sd: tuple[float, float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    terms = rng.normal(0, sd[0], (a, 1, 1)), rng.normal(0, sd[1], (a, b, 1)), rng.normal(0, sd[2], (a, b, c))
    return np.asarray(5 + terms[0] + terms[1] + terms[2]).ravel()


def test_components_by_hand() -> None:
    # Two pilots, two trainings, two samples. Cell means 1, 3, 5, 11; pilots 2 and 8; samples one above, one below.
    values = [0, 2, 2, 4, 4, 6, 10, 12]
    found = variance_components(values, *design(2, 2, 2))
    # MS(pilot) = 4 * (9 + 9) / 1 = 72; MS(training) = 2 * (1 + 1 + 9 + 9) / 2 = 20; MS(sampling) = 8 * 1 / 4 = 2.
    assert found.sampling.value == pytest.approx(2) and found.sampling.n == 4
    assert found.training.value == pytest.approx((20 - 2) / 2) and found.training.n == 2
    assert found.pilot.value == pytest.approx((72 - 20) / 4) and found.pilot.n == 1
    assert found.mean.value == pytest.approx(5) and found.mean.n == 2
    assert found.shares == pytest.approx((13 / 24, 9 / 24, 2 / 24))


def test_mean_squares_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    pilot, training = design(5, 3, 4)
    values = drawn(5, 3, 4, (1.0, 0.5, 0.3), rng)
    table = pd.DataFrame({"y": values, "p": pilot, "t": training})
    squares = anova_lm(smf.ols("y ~ C(p) + C(p):C(t)", table).fit())["mean_sq"]
    found = variance_components(values, pilot, training)
    assert found.sampling.value == pytest.approx(squares["Residual"], rel=1e-9)
    assert found.training.value == pytest.approx((squares["C(p):C(t)"] - squares["Residual"]) / 4, rel=1e-9)
    assert found.pilot.value == pytest.approx((squares["C(p)"] - squares["C(p):C(t)"]) / 12, rel=1e-9)


def test_components_are_those_of_restricted_likelihood() -> None:
    # For a balanced design without negative estimates the two agree; the optimiser stops at about 1e-3.
    rng = np.random.default_rng(3)
    pilot, training = design(8, 3, 3)
    table = pd.DataFrame({"y": drawn(8, 3, 3, (1.0, 0.7, 0.4), rng), "p": pilot, "t": training})
    mixed = smf.mixedlm("y ~ 1", table, groups="p", re_formula="1", vc_formula={"t": "0 + C(t)"}).fit(reml=True)
    found = variance_components(table["y"], pilot, training)
    assert found.pilot.value == pytest.approx(float(mixed.cov_re.iloc[0, 0]), rel=0.01)
    assert found.training.value == pytest.approx(float(mixed.vcomp[0]), rel=0.01)
    assert found.sampling.value == pytest.approx(mixed.scale, rel=0.01)


def test_the_order_of_rows_and_the_labels_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    pilot, training = design(3, 2, 2)
    values = drawn(3, 2, 2, (1.0, 1.0, 1.0), rng)
    order = rng.permutation(12)
    named = np.array(["z", "a", "m"])[pilot], pilot * 10 + training
    other = variance_components(values[order], named[0][order], named[1][order])
    for name in ("pilot", "training", "sampling", "mean"):
        ours = getattr(variance_components(values, pilot, training), name)
        assert vars(getattr(other, name)) == pytest.approx(vars(ours))


def many(sd: tuple[float, float, float], shape: tuple[int, int, int], repeats: int) -> list[Components]:
    rng = np.random.default_rng(8)
    return [variance_components(drawn(*shape, sd, rng), *design(*shape)) for _ in range(repeats)]


@pytest.mark.parametrize("sd", [(1.0, 0.5, 0.5), (0.0, 1.0, 0.5), (0.3, 0.3, 1.0)])
def test_known_components_are_recovered_without_bias_and_covered(sd: tuple[float, float, float]) -> None:
    # 1,000 data sets of 4 x 3 x 3: means to four standard errors; a share of .95 has a standard error of .007, so an
    # interval that covers passes at .93. The modified large-sample interval may cover more than it says.
    found = many(sd, (4, 3, 3), 1000)
    for name, truth in zip(("pilot", "training", "sampling"), np.square(sd), strict=True):
        estimates = np.array([getattr(one, name).value for one in found])
        assert abs(estimates.mean() - truth) < 4 * estimates.std() / np.sqrt(1000)
        inside = [getattr(one, name).low <= truth <= getattr(one, name).high for one in found]
        assert np.mean(inside) >= 0.93, name
    assert 0.93 <= np.mean([one.mean.low <= 5 <= one.mean.high for one in found]) <= 0.97


def test_an_interval_is_not_longer_than_it_has_to_be() -> None:
    # Where nothing lies below, the interval of the pilots is nearly the exact one of a mean square.
    found = many((1.0, 1e-6, 1e-6), (6, 2, 2), 300)
    inside = [one.pilot.low <= 1 <= one.pilot.high for one in found]
    assert 0.91 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize(
    ("pilot", "training", "said"),
    [
        ([1, 1, 1, 1], [1, 1, 2, 2], "number of pilot draws is 1"),
        ([1, 1, 2, 2], [1, 1, 1, 1], "number of trainings of a pilot is 1"),
        ([1, 1, 2, 2], [1, 2, 1, 2], "number of samples of a training is 1"),
        ([1, 1, 1, 1, 2, 2], [1, 1, 2, 2, 1, 1], "number of trainings of a pilot is 1, 2"),
        ([1, 1, 1, 1, 2, 2, 2, 2, 2], [1, 1, 2, 2, 1, 1, 2, 2, 2], "number of samples of a training is 2, 3"),
    ],
)
def test_a_design_that_cannot_tell_is_refused(pilot: list[int], training: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        variance_components(np.arange(len(pilot), dtype=float), pilot, training)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        variance_components([1, 2, 3, np.nan, 1, 2, 3, 4], *design(2, 2, 2))
    with pytest.raises(InputError, match="a pilot and a training"):
        variance_components([1.0, 2.0], [1], [1, 2])


def test_a_measure_that_never_varies_has_no_shares() -> None:
    found = variance_components(np.ones(8), *design(2, 2, 2))
    assert np.isnan(found.shares).all() and found.mean.low == found.mean.high == 1


SIGNS = (1.0, -1.0, -1.0, 1.0)


def combined(values: NDArray[np.float64], df: tuple[int, ...], weights: tuple[float, ...] = SIGNS) -> Estimate:
    squares = [MeanSquare(float(value), n) for value, n in zip(values, df, strict=True)]
    return variance_combination(squares, weights)


def test_a_combination_by_hand() -> None:
    """The formulas as the book has them; two degrees of freedom have closed forms, the others are from tables."""
    added, taken = (5.0, 1.0), (2.0, 3.0)  # two degrees of freedom each, and four
    g, h = 1 - 2 / (-2 * np.log(0.025)), 2 / (-2 * np.log(0.975)) - 1
    g_taken, h_taken = 1 - 4 / 11.143287, 4 / 0.484419 - 1
    high, low = 2 * (0.025**-0.5 - 1), 2 * (0.975**-0.5 - 1)  # of F(2, 4)
    across, products = sum(added) * sum(taken), (5.0 * 1.0, 2.0 * 3.0)
    g_apart = ((high - 1) ** 2 - (g * high) ** 2 - h_taken**2) / high
    h_apart = ((1 - low) ** 2 - (h * low) ** 2 - g_taken**2) / low
    # Of the sums 2 + 2 and 4 + 4 of degrees of freedom.
    g_both = (1 - 4 / 11.143287) ** 2 * 16 / 4 - 2 * g**2
    h_both = (1 - 8 / 17.534546) ** 2 * 64 / 16 - 2 * g_taken**2
    below = g**2 * 26 + h_taken**2 * 13 + g_apart * across + g_both * products[0]
    above = h**2 * 26 + g_taken**2 * 13 + h_apart * across + h_both * products[1]
    found = combined(np.array([5.0, 2.0, 3.0, 1.0]), (2, 4, 4, 2))
    assert found.value == 1 and found.n == 2
    assert found.low == pytest.approx(1 - below**0.5, rel=1e-5) and found.high == pytest.approx(
        1 + above**0.5, rel=1e-5
    )


@pytest.mark.parametrize("df", [(2, 60), (4.5, 7), (30, 3)])
@pytest.mark.parametrize("values", [(5.0, 1.0), (1.0, 5.0), (2.0, 0.0)])
def test_a_difference_is_the_combination_of_two(df: tuple[float, float], values: tuple[float, float]) -> None:
    """Each end by its own published formula: of the upper one there is only the mirror image in the library."""
    (x, y), (n1, n2) = values, df
    low_f = f.ppf(0.025, n1, n2)
    h1, g2 = n1 / chi2.ppf(0.025, n1) - 1, 1 - n2 / chi2.ppf(0.975, n2)
    h12 = ((1 - low_f) ** 2 - (h1 * low_f) ** 2 - g2**2) / low_f
    found = variance_difference(MeanSquare(x, n1), MeanSquare(y, n2))
    assert found.high == pytest.approx(x - y + np.sqrt((h1 * x) ** 2 + (g2 * y) ** 2 + h12 * x * y), rel=1e-9)
    turned = variance_combination([MeanSquare(y, n2), MeanSquare(x, n1)], [1, -1])
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert found.n == int(n1) and found == variance_combination([MeanSquare(x, n1), MeanSquare(y, n2)], [1, -1])


def test_a_combination_of_one_and_of_equals_is_exact() -> None:
    one = variance_combination([MeanSquare(3.0, 5)], [2.0])
    assert (one.low, one.high) == pytest.approx(
        [2 * end for end in vars(variance_interval(MeanSquare(3.0, 5))).values()][1:3]
    )
    # Two added ones with as many degrees of freedom and equal mean squares are one with twice as many.
    low = variance_combination([MeanSquare(3.0, 5), MeanSquare(3.0, 5)], [0.5, 0.5]).low
    assert low == pytest.approx(variance_interval(MeanSquare(3.0, 10)).low)
    # An interval of a difference begins at 0 where the test of equal variances is just significant.
    assert variance_difference(MeanSquare(f.ppf(0.975, 4, 9), 4), MeanSquare(1.0, 9)).low == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (-1.0, -2.0), (1.0, np.nan)])
def test_weights_that_combine_nothing_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="finite weight for each"):
        variance_combination([MeanSquare(1.0, 2), MeanSquare(1.0, 2)], weights)
    with pytest.raises(InputError, match="between 0 and 1"):
        variance_combination([MeanSquare(1.0, 2)], [1.0], 1.0)


REPEATS = 4000


@pytest.mark.parametrize("df", [(2, 60, 2, 60), (4, 60, 4, 60)])
@pytest.mark.parametrize(
    ("pilot", "training", "sampling"),
    [(0, 0, (1, 1)), (0, 1, (1, 1)), (1, 1, (1, 1)), (3, 1, (1, 0.2)), (10, 1, (0.1, 0.1)), (100, 0, (1, 1))],
)
def test_combinations_of_four_cover(
    df: tuple[int, ...], pilot: float, training: float, sampling: tuple[float, float]
) -> None:
    """The interval is approximate: on 201 ratios of variances its coverage is .936 to .966, in 10,000 draws of each.

    A share of .95 among 4,000 has a standard error of .0035; two of them on either side are allowed for.
    """
    truth = np.array([pilot + training + sampling[0], sampling[0], training + sampling[1], sampling[1]])
    draws = truth * np.random.default_rng(4).chisquare(df, (REPEATS, 4)) / df
    found = [combined(line, df) for line in draws]
    inside = np.mean([one.low <= pilot <= one.high for one in found])
    assert 0.929 <= inside <= 0.973
    values = np.array([one.value for one in found])
    assert abs(values.mean() - pilot) < 4 * values.std() / REPEATS**0.5


def test_a_seed_in_common_makes_the_interval_longer_than_need_be() -> None:
    """Three seeds with a pilot each and three that share the pilot of the first: the first seed is one and the same."""
    rng, seeds = np.random.default_rng(6), 3
    pilots, rest = rng.normal(0, 1, (REPEATS, seeds)), rng.normal(0, 2**0.5, (REPEATS, 2, seeds))
    sampled = rng.chisquare(60, (REPEATS, 2)) / 60
    covered = {}
    for common in (False, True):
        anew, kept = rest[:, 0], rest[:, 1].copy()
        if common:
            kept[:, 0] = anew[:, 0]
        totals = (pilots + anew).var(axis=1, ddof=1), kept.var(axis=1, ddof=1)
        draws = np.stack([totals[0], sampled[:, 0], totals[1], sampled[:, 1]], axis=1)
        found = [combined(line, (2, 60, 2, 60)) for line in draws]
        values = np.array([one.value for one in found])
        assert abs(values.mean() - 1) < 4 * values.std() / REPEATS**0.5
        covered[common] = np.mean([one.low <= 1 <= one.high for one in found])
    # In 20,000 draws .963 and .955; the limits are two standard errors of 4,000 away.
    assert covered[True] > covered[False] > 0.948 and covered[True] > 0.957
