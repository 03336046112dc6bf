"""Regressions against statsmodels and published numbers, and their failures."""

import warnings

import known_truth
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from pilotlm.errors import InputError
from pilotlm.stats.regressions import fit
from pilotlm.study import Regression

pytestmark = pytest.mark.filterwarnings("error")  # no warning of statsmodels may leak

EDUCATION = ["less than high school", "high school", "some college", "bachelor's degree or higher"]


def model(formula, family="linear", **more):
    return Regression(name="model", label="model", formula=formula, family=family, **more)


EMOTION = model("emo ~ treat + age + C(educ) + gender + income")
MESSAGE = model("cong_mesg ~ emo + treat + age + C(educ) + gender + income", "probit")
VOTE = model("vote ~ PID + selfLR + ClinLR + DoleLR + age + educ + income", "logit")


@pytest.fixture(scope="module")
def framing():
    table = known_truth.framing()
    table["educ"] = table["educ"].map({text: code for code, text in enumerate(EDUCATION, start=1)})
    return table.assign(gender=(table["gender"] == "male").astype(int))


@pytest.fixture(scope="module")
def anes96():
    return sm.datasets.anes96.load_pandas().data.assign(treatment="all")


def by_term(result):
    return {
        term: (result.coefficient[i], "*" * sum(result.p_value[i] < p for p in (0.05, 0.01, 0.001)))
        for i, term in enumerate(result.terms)
    }


def test_published_numbers_of_framing(framing):
    emotion = by_term(fit(EMOTION, framing))
    assert (round(emotion["treat"][0], 2), emotion["treat"][1]) == (1.34, "***")
    message = by_term(fit(MESSAGE, framing))
    published = {"emo": (0.206, "***"), "gender": (0.396, "*"), "income": (0.084, "**"), "treat": (0.040, "")}
    assert {term: (round(message[term][0], 3), message[term][1]) for term in published} == published
    assert [message[t][1] for t in ("age", "C(educ)[T.2]", "C(educ)[T.3]", "C(educ)[T.4]")] == [""] * 4


def test_published_numbers_of_anes96(anes96):
    vote = by_term(fit(VOTE, anes96))
    published = {"PID": (1.03, "***"), "selfLR": (0.59, "***"), "ClinLR": (-0.87, "***"), "DoleLR": (-0.44, "***")}
    assert {term: (round(vote[term][0], 2), vote[term][1]) for term in published} == published
    assert [vote[term][1] for term in ("age", "educ", "income")] == [""] * 3


COVARIANCES = [
    ({}, {}),
    ({"covariance": "robust"}, {"cov_type": "HC2"}),
    ({"cluster": "district"}, {"cov_type": "cluster"}),
]


@pytest.mark.parametrize(("ours", "theirs"), COVARIANCES)
@pytest.mark.parametrize("regression", [EMOTION, MESSAGE, model(MESSAGE.formula, "logit")])
def test_fit_equals_statsmodels(framing, regression, ours, theirs):
    framing = framing.assign(district=np.arange(len(framing)) % 12)
    engine = {"linear": smf.ols, "probit": smf.probit, "logit": smf.logit}[regression.family]
    options = {"use_t": True} if regression.family == "linear" else {"disp": 0}
    if "cluster" in ours:
        options["cov_kwds"] = {"groups": framing["district"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few clusters
        if regression.family != "linear" and "covariance" in ours:
            theirs = {"cov_type": "HC0"}
        reference = engine(regression.formula, framing).fit(**options, **theirs)
    result = fit(regression.model_copy(update=ours), framing)
    assert (result.n, result.converged, result.note) == (265, True, "")
    assert set(result.terms) == set(reference.params.index) - {"Intercept"}
    names = list(result.terms)
    assert result.coefficient == pytest.approx(reference.params[names].to_numpy(), rel=1e-8)
    assert result.standard_error == pytest.approx(reference.bse[names].to_numpy(), rel=1e-8)
    if theirs.get("cov_type") == "HC2":
        return  # statsmodels has no degrees of freedom for it but n - k
    assert result.p_value == pytest.approx(reference.pvalues[names].to_numpy(), abs=1e-10)
    assert result.low == pytest.approx(reference.conf_int().loc[names, 0].to_numpy(), rel=1e-7)
    assert result.high == pytest.approx(reference.conf_int().loc[names, 1].to_numpy(), rel=1e-7)


def test_interactions_and_missing_rows(framing):
    table = framing.astype({"age": float}).copy()
    table.loc[:9, "age"] = np.nan
    reference = smf.ols("emo ~ tone * eth + age", table).fit()
    result = fit(model("emo ~ tone * eth + age"), table)
    assert result.n == 255
    assert result.coefficient == pytest.approx(reference.params[list(result.terms)].to_numpy(), rel=1e-9)
    assert "tone:eth" in result.terms


def test_only_some_rows_are_used(framing):
    some = EMOTION.model_copy(update={"only": {"educ": (2, 3), "gender": (1,)}})
    rows = framing[framing["educ"].isin([2, 3]) & (framing["gender"] == 1)]
    result = fit(some, framing)
    reference = smf.ols("emo ~ treat + age + C(educ) + income", rows).fit()
    assert result.n == len(rows)
    assert result.terms == ("C(educ)[T.3]", "treat", "age", "gender", "income")
    known = [term for term in result.terms if term != "gender"]
    assert np.isnan(result.coefficient).tolist() == [False, False, False, True, False]
    assert result.coefficient[[0, 1, 2, 4]] == pytest.approx(reference.params[known].to_numpy(), rel=1e-9)


def test_terms_are_those_of_the_people(framing):
    whole = fit(MESSAGE, framing)
    parts = {2: framing[framing["educ"] != 2], 1: framing[framing["educ"] != 1].astype({"educ": float})}
    for lost, part in parts.items():
        result = fit(MESSAGE, part, levels_from=framing)
        assert result.terms == whole.terms
        missing = {t for t, c in zip(result.terms, result.coefficient, strict=True) if np.isnan(c)}
        # Without the reference level no contrast with it exists, without another level only that one is lost.
        levels = [2, 3, 4] if lost == 1 else [lost]
        assert missing == {f"C(educ)[T.{level}]" for level in levels}
        assert result.note and result.converged
        reference = smf.probit(MESSAGE.formula, part).fit(disp=0)
        kept = [t for t in whole.terms if "C(" not in t]
        found = dict(zip(result.terms, result.standard_error, strict=True))
        assert [found[t] for t in kept] == pytest.approx(reference.bse[kept].to_numpy(), rel=1e-6)


def test_a_constant_predictor_is_nan_and_the_others_are_not(framing):
    table = framing.assign(treat=1)
    for regression in (EMOTION, MESSAGE):
        result = fit(regression, table, framing)
        assert [t for t, c in zip(result.terms, result.coefficient, strict=True) if np.isnan(c)] == ["treat"]
        assert result.note == "Without variation: treat."
        without = model(regression.formula.replace("treat + ", ""), regression.family)
        known = ~np.isnan(result.coefficient)
        assert result.coefficient[known] == pytest.approx(fit(without, table).coefficient, rel=1e-6)
        assert result.p_value[known] == pytest.approx(fit(without, table).p_value, rel=1e-6)


def test_collinear_predictors_are_nan_and_the_others_are_not(framing):
    result = fit(model("emo ~ age + income + double + gender"), framing.assign(double=2 * framing["income"] + 7))
    assert np.isnan(result.coefficient).tolist() == [False, True, True, False]
    assert result.note == "A linear combination of other predictors: income, double."
    without = fit(model("emo ~ age + income + gender"), framing)
    assert result.coefficient[[0, 3]] == pytest.approx(without.coefficient[[0, 2]], rel=1e-9)


def all_nan(result):
    values = (result.coefficient, result.standard_error, result.p_value, result.low, result.high)
    return np.isnan(values).all() and not result.converged


@pytest.mark.parametrize("regression", [EMOTION, MESSAGE, model(MESSAGE.formula, "logit")])
def test_an_outcome_without_variation(framing, regression):
    outcome = regression.variables[0]
    result = fit(regression, framing.assign(**{outcome: 1}))
    assert all_nan(result)
    assert result.note == "The outcome does not vary."
    assert len(result.terms) == len(fit(regression, framing).terms)


@pytest.mark.parametrize("family", ["logit", "probit"])
def test_complete_separation(framing, family):
    result = fit(model("y ~ age + income", family), framing.assign(y=(framing["age"] > 50).astype(int)))
    assert all_nan(result)
    assert result.note == "Separation: all outcomes are predicted perfectly, so no estimate exists."


@pytest.mark.parametrize("family", ["logit", "probit"])
def test_quasi_complete_separation_keeps_what_is_finite(framing, family):
    table = framing.copy()
    table.loc[table["educ"] == 3, "cong_mesg"] = 0
    regression = model(MESSAGE.formula, family)
    result = fit(regression, table)
    assert [t for t, c in zip(result.terms, result.coefficient, strict=True) if np.isnan(c)] == ["C(educ)[T.3]"]
    assert result.note.startswith(f"Separation: {(table['educ'] == 3).sum()} of 265")
    # The limits of the other estimates are the estimates without the rows that are predicted perfectly.
    engine = {"logit": smf.logit, "probit": smf.probit}[family]
    reference = engine(regression.formula, table[table["educ"] != 3]).fit(disp=0)
    kept = [t for t in result.terms if t != "C(educ)[T.3]"]
    known = ~np.isnan(result.coefficient)
    assert result.coefficient[known] == pytest.approx(reference.params[kept].to_numpy(), rel=1e-6)
    assert result.standard_error[known] == pytest.approx(reference.bse[kept].to_numpy(), rel=1e-6)


def test_the_unit_of_a_predictor_does_not_matter():
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, 300))
    table = pd.DataFrame({"x": x, "z": z, "y": (rng.random(300) < 1 / (1 + np.exp(-x - z))).astype(int)})
    small, large = (fit(model("y ~ x + z", "logit"), table.assign(x=x * unit)) for unit in (1, 1e12))
    assert large.coefficient == pytest.approx(small.coefficient / [1e12, 1], rel=1e-7)
    assert large.low == pytest.approx(small.low / [1e12, 1], rel=1e-7)
    assert large.p_value == pytest.approx(small.p_value, rel=1e-6)


def test_separation_is_found_in_any_unit():
    x = np.linspace(-1e12, 1e12, 200)  # statsmodels alone stops after one step here and says that it converged
    assert all_nan(fit(model("y ~ x", "logit"), pd.DataFrame({"x": x, "y": (x > 0).astype(int)})))


def test_strong_predictors_are_not_taken_for_separation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(-6 * x))).astype(int)
    result = fit(model("y ~ x", "logit"), pd.DataFrame({"x": x, "y": y}))
    assert result.note == ""
    assert result.low[0] < 6 < result.high[0]


def test_too_few_rows_exact_outcomes_and_one_cluster(framing):
    few = fit(EMOTION, framing[:6], framing)
    assert all_nan(few) and "6 rows for" in few.note
    exact = fit(model("y ~ age + income"), framing.assign(y=3 * framing["age"] - framing["income"]))
    assert all_nan(exact) and "exact linear function" in exact.note
    one = fit(model("emo ~ age", cluster="one"), framing.assign(one=1))
    assert all_nan(one) and "one cluster" in one.note


def test_what_a_user_can_get_wrong(framing):
    with pytest.raises(InputError, match="needs the column 'emo'"):
        fit(EMOTION, framing.drop(columns="emo"))
    with pytest.raises(InputError, match="'english' is not numeric"):
        fit(model("emo ~ english"), framing)
    with pytest.raises(InputError, match="must be 0 or 1"):
        fit(model("emo ~ age", "logit"), framing)
    with pytest.raises(InputError, match=r"'educ' has \[9\]; the people have \[1, 2, 3, 4\]"):
        fit(EMOTION, framing.assign(educ=9), framing)
    with pytest.raises(InputError, match="no row has all"):
        fit(EMOTION, framing.assign(emo=np.nan))


@pytest.mark.slow
def test_intervals_cover_and_tests_hold_their_level():
    rng = np.random.default_rng(1)
    inside, called = [], []
    for _ in range(400):
        x, z = rng.normal(size=(2, 150))
        y = (rng.random(150) < 1 / (1 + np.exp(-x))).astype(int)
        result = fit(model("y ~ x + z", "logit"), pd.DataFrame({"x": x, "z": z, "y": y}))
        inside.append(result.low[0] <= 1 <= result.high[0])
        called.append(result.p_value[1] < 0.05)
    assert 0.92 <= np.mean(inside) <= 0.98  # 400 samples: standard error .011
    assert 0.02 <= np.mean(called) <= 0.08
