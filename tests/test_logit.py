"""The logit of `pilotlm.stats.linear_models`, which fits thousands of small pilots, against statsmodels."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm

from pilotlm.stats.ppi import Sample, logit_people_only


def coefficient(outcome, predictors):
    """That of the second column."""
    people = {"predicted": np.zeros(len(outcome)), "participants": np.arange(len(outcome)), "pilot": ()}
    nobody = {"unlabelled": np.empty(0), "unlabelled_predictors": np.empty((0, predictors.shape[1]))}
    return logit_people_only(Sample(outcome, predictors=predictors, column=1, **people, **nobody))


@pytest.mark.parametrize("n", [20, 60, 500])
@pytest.mark.parametrize("fractional", [False, True])
def test_its_coefficients_are_those_of_statsmodels(n, fractional):
    rng = np.random.default_rng(n)
    compared = 0
    for _ in range(60):
        predictors = np.column_stack([np.ones(n), rng.normal(size=n), rng.integers(2, size=n)])
        chance = 1 / (1 + np.exp(-(predictors @ rng.normal(size=3))))
        outcome = chance if fractional else (rng.random(n) < chance).astype(float)
        ours = coefficient(outcome, predictors)
        if np.isnan(ours.value):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = sm.GLM(outcome, predictors, family=sm.families.Binomial()).fit(maxiter=50)
        # Both stop where the deviance settles at 1e-8. Where it does so with a coefficient on its way to infinity
        # (nobody of a group gave an answer), the last digits of a step hang on the solver.
        if np.abs(theirs.params).max() < 15:
            assert ours.value == pytest.approx(theirs.params[1], rel=1e-7, abs=1e-8)
            compared += 1
    assert compared > 40


def test_separated_answers_and_a_column_twice_have_no_interval():
    rng, x = np.random.default_rng(1), np.linspace(-1, 1, 50)
    outcome = (rng.random(50) < 0.5).astype(float)
    assert np.isnan(coefficient((x > 0).astype(float), np.column_stack([np.ones(50), x])).low)
    assert np.isnan(coefficient(outcome, np.column_stack([np.ones(50), x, x])).low)
