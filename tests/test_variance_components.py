"""Variance components against statsmodels, known truth, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from statsmodels.stats.anova import anova_lm

from pilotlm.errors import InputError
from pilotlm.measures.variance_components import Components, variance_components


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
