"""Refits of all draws at once against fitting each drawn table, and the draws themselves."""

import time
import warnings

import known_truth
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pilotlm.errors import InputError
from pilotlm.stats.intervals import with_replacement, without_replacement
from pilotlm.stats.refits import pool_terms, refit, refit_each
from pilotlm.stats.regressions import design_of, fit
from pilotlm.study import Regression

VALUES = ("coefficient", "standard_error", "p_value", "low", "high", "freedom")
FORMULA = "cong_mesg ~ emo + treat + age + C(educ) + gender + income"


def model(formula, family="linear", name="model", **more):
    return Regression(name=name, label="model", formula=formula, family=family, **more)


@pytest.fixture(scope="module")
def framing():
    table = known_truth.framing()
    table["educ"] = pd.factorize(table["educ"])[0] + 1
    table["gender"] = (table["gender"] == "male").astype(int)
    table["income"] = table["income"].astype(float)
    table.loc[::20, "income"] = np.nan
    return table


MODELS = [
    model("emo ~ treat + age + C(educ) + gender + income"),
    model("emo ~ treat + age + C(educ) + gender + income", covariance="robust"),
    model("emo ~ treat + age + income", cluster="cond"),
    *(model(FORMULA, family, covariance=c) for family in ("logit", "probit") for c in ("classical", "robust")),
]


@pytest.mark.slow
@pytest.mark.parametrize("regression", MODELS, ids=lambda r: f"{r.family}-{r.cluster or r.covariance}")
@pytest.mark.parametrize("n", [40, 250])
def test_a_refit_is_the_fit_of_the_drawn_rows(framing, regression, n):
    # At 40 rows some draws lose a level or are separated, at 250 nearly none: both ways of estimating are met.
    counts = with_replacement(framing["treatment"].to_numpy(), n, 12, np.random.default_rng(n))
    found = refit(regression, design_of(regression, framing, None), counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few clusters
        each = [fit(regression, framing.iloc[np.repeat(np.arange(len(c)), c)], framing) for c in counts]
    for name in VALUES:
        # Both stop at the same maximum, one of them after a change of basis; 1e-8 is what an iteration leaves.
        assert getattr(found, name) == pytest.approx(
            np.stack([getattr(one, name) for one in each]), rel=1e-8, abs=1e-10, nan_ok=True
        )


def test_constant_and_collinear_predictors_stay_nan(framing):
    table = framing.assign(treat=1.0, double=2 * framing["age"])
    regression = model("emo ~ treat + age + double + gender")
    counts = with_replacement(table["treatment"].to_numpy(), 100, 5, np.random.default_rng(0))
    found = refit(regression, design_of(regression, table, None), counts)
    assert found.terms == ("treat", "age", "double", "gender")
    assert np.isnan(found.coefficient).tolist() == [[True, True, True, False]] * 5


def test_draws_with_replacement_keep_the_shares_of_treatments():
    treatments = np.repeat(["a", "b"], [30, 10])
    counts = with_replacement(treatments, 20, 50, np.random.default_rng(0))
    assert counts.shape == (50, 40)
    assert (counts[:, :30].sum(axis=1) == 15).all() and (counts[:, 30:].sum(axis=1) == 5).all()
    assert counts.max() > 1


def test_draws_without_replacement_take_no_row_twice_and_every_row_equally_often():
    treatments = np.repeat(["a", "b", "c"], [30, 10, 7])
    counts = without_replacement(treatments, 20, 4000, np.random.default_rng(0))
    assert counts.max() == 1 and (counts.sum(axis=1) == 20).all()
    shares = np.stack([counts[:, treatments == t].sum(axis=1) for t in "abc"])
    exact = 20 * np.array([30, 10, 7]) / 47
    assert (np.abs(shares - exact[:, None]) < 1).all()
    # Each row is in 20 / 47 of 4000 draws: standard error .0078, five of them for the largest of 47 deviations.
    assert np.abs(counts.mean(axis=0) - 20 / 47).max() < 0.04


def test_what_cannot_be_drawn():
    with pytest.raises(InputError, match="2 repeats"):
        with_replacement(np.zeros(5), 3, 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="6 different rows"):
        without_replacement(np.zeros(5), 6, 3, np.random.default_rng(0))


def test_pooling_puts_terms_in_the_order_of_people_and_marks_what_is_missing(framing):
    people = [fit(model("emo ~ treat + age", name="one"), framing), fit(model("emo ~ C(educ)", name="two"), framing)]
    parts = [fit(model("emo ~ age + gender", name="one"), framing), people[1]]
    found = pool_terms(parts, people)
    assert found.terms == ("one: treat", "one: age", "two: C(educ)[T.2]", "two: C(educ)[T.3]", "two: C(educ)[T.4]")
    assert np.isnan(found.coefficient[0]).tolist() == [True, False, False, False, False]
    assert found.coefficient[0, 1] == parts[0].coefficient[0]
    assert found.only({"two: C(educ)[T.3]", "one: age"}).terms == ("one: age", "two: C(educ)[T.3]")


def test_all_at_once_is_many_times_faster_than_one_by_one():
    table = sm.datasets.anes96.load_pandas().data.assign(treatment="all")
    regression = model("vote ~ PID + selfLR + ClinLR + DoleLR + age + educ + income", "logit")
    design = design_of(regression, table, None)
    counts = with_replacement(table["treatment"].to_numpy(), len(table), 100, np.random.default_rng(0))
    started = time.process_time()
    refit_each([regression], [design], counts)
    together = time.process_time() - started
    started = time.process_time()
    for _ in range(10):
        fit(regression, table)
    assert together < 10 * (time.process_time() - started) / 2  # measured: a tenth
