"""Choices by hand, associations against statsmodels and known truth, and interaction tests that hold their level."""

import known_truth
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy.optimize import minimize
from scipy.stats import norm
from statsmodels.stats.contingency_tables import StratifiedTable
from test_coherence import PAY, PAY_STUDY, THRESHOLD, THRESHOLD_STUDY, a_study, choice, scale

from pilotlm.stats.coherence import association, choices_of
from pilotlm.study import NearestOption, SignAgreement


def test_choices_of_a_threshold():
    answers = pd.DataFrame({"b": [6, 6, 5, np.nan], "a": [1, 0, 1, 1], "treatment": ["x", "y", "y", "x"]})
    found = choices_of(THRESHOLD, THRESHOLD_STUDY, answers)
    assert found.coherent.tolist() == [[0, 1], [0, 1], [1, 0]]  # not to act, to act
    assert found.chosen.tolist() == [1, 0, 1]
    assert found.stratum.tolist() == [0, 1, 1] and found.row.tolist() == [0, 1, 2]


def test_choices_of_expected_pay_keep_ties():
    answers = pd.DataFrame(
        {"belief_none": [50, 100 / 3], "belief_guard": [50, 200 / 3], "raid": [1, 0], "treatment": ["x", "x"]}
    )
    found = choices_of(PAY, PAY_STUDY, answers)
    assert found.coherent.tolist() == [[0, 1], [1, 1]]
    assert found.chosen.tolist() == [1, 0]


def test_choices_of_the_nearest_option_leave_out_what_the_rule_leaves_out():
    study = a_study(scale("me", 1, 7), scale("c", 1, 7), scale("d", 1, 7), choice("vote", 0, 1, 2))
    rule = NearestOption(kind="nearest_option", position="me", options={0: "c", 1: "d"}, action="vote")
    answers = pd.DataFrame({"me": [2, 2, 4, 2], "c": [1, 1, 3, 1], "d": [6, 6, 5, 6], "vote": [0, 1, 1, 2]})
    found = choices_of(rule, study, answers.assign(treatment="all"))
    assert found.coherent.tolist() == [[1, 0], [1, 0]] and found.chosen.tolist() == [0, 1]
    assert found.row.tolist() == [0, 1]


def test_choices_of_pairs_are_one_a_pair():
    study = a_study(*(scale(q, -2, 2) for q in ("b1", "b2", "a1", "a2")))
    rule = SignAgreement(kind="sign_agreement", pairs=(("b1", "a1"), ("b2", "a2")))
    answers = pd.DataFrame({"b1": [1, 0], "a1": [2, -1], "b2": [-1, 2], "a2": [1, 0], "treatment": "all"})
    found = choices_of(rule, study, answers)
    assert found.coherent.tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 0], [0, 1, 1]]
    assert found.chosen.tolist() == [2, 0, 2, 1]
    assert found.stratum.tolist() == [0, 0, 1, 1] and found.row.tolist() == [0, 1, 0, 1]


def two_by_two(n, seed, log_odds=1.0):
    """Answers with a log odds ratio between belief and action, and base rates that differ between two treatments."""
    rng = np.random.default_rng(seed)
    treatment = np.array(["x", "y"])[np.arange(n) % 2]
    believes = rng.random(n) < np.where(treatment == "x", 0.6, 0.3)
    chance = 1 / (1 + np.exp(-(np.where(treatment == "x", -1, 0.5) + log_odds * believes)))
    return pd.DataFrame({"b": np.where(believes, 8, 2), "a": (rng.random(n) < chance) * 1, "treatment": treatment})


def error_of(found):
    """The standard error behind a normal interval."""
    return (found.high - found.low) / 2 / norm.ppf(0.975)


def threshold_choices(table):
    return choices_of(THRESHOLD, THRESHOLD_STUDY, table)


def test_with_two_actions_it_is_a_logit_with_a_dummy_a_treatment():
    table = two_by_two(400, 1).assign(pred=lambda t: (t["b"] >= 6) * 1)
    found = association(threshold_choices(table), bias_reduced=False)
    model = smf.logit("a ~ pred + C(treatment)", table)
    plain, robust = model.fit(disp=0, tol=1e-12), model.fit(disp=0, tol=1e-12, cov_type="HC0")
    assert found.value == pytest.approx(plain.params["pred"], abs=1e-8)
    assert error_of(found) == pytest.approx(max(plain.bse["pred"], robust.bse["pred"]), abs=1e-8)


def test_it_is_near_to_the_mantel_haenszel_log_odds_ratio():
    table = two_by_two(4000, 2)
    strata = [pd.crosstab(part["b"] >= 6, part["a"]).to_numpy() for _, part in table.groupby("treatment")]
    # Two estimators of one odds ratio: they differ by much less than their standard error of .07.
    assert association(threshold_choices(table)).value == pytest.approx(
        StratifiedTable(strata).logodds_pooled, abs=0.01
    )


def test_with_several_actions_it_is_a_log_linear_model_with_a_diagonal():
    people = known_truth.fresh(400, np.random.default_rng(3))
    choices = choices_of(known_truth.study().coherence, known_truth.study(), people)
    strata, coherent = choices.stratum.astype(str), choices.coherent.astype(int).astype(str)
    patterns = ["".join([stratum, *row]) for stratum, row in zip(strata, coherent, strict=True)]
    table = pd.crosstab(pd.Series(patterns, name="pattern"), choices.chosen)
    counts = table.reset_index().melt("pattern", var_name="k", value_name="n")
    counts["coherent"] = [int(pattern[1 + k]) for pattern, k in zip(counts["pattern"], counts["k"], strict=True)]
    counts["action"] = counts["pattern"].str[0] + counts["k"].astype(str)
    design = pd.get_dummies(counts[["pattern", "action"]], drop_first=False).astype(float)
    design.insert(0, "coherent", counts["coherent"])
    rank, kept = 0, []
    for column in design:
        if np.linalg.matrix_rank(design[[*kept, column]]) > rank:
            kept, rank = [*kept, column], rank + 1
    fitted = sm.GLM(counts["n"], design[kept], family=sm.families.Poisson()).fit(tol=1e-14)
    found = association(choices, bias_reduced=False)
    assert found.value == pytest.approx(2 * fitted.params["coherent"], abs=1e-8)
    assert error_of(found) >= 2 * fitted.bse["coherent"] - 1e-8


def test_the_penalty_is_that_of_jeffreys():
    table = two_by_two(40, 4)
    design = np.column_stack([table["b"] >= 6, table["treatment"] == "x", table["treatment"] == "y"]).astype(float)

    def loss(weights):
        predictor = design @ weights
        chance = 1 / (1 + np.exp(-predictor))
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        likelihood = (table["a"] * predictor - np.log1p(np.exp(predictor))).sum()
        return -likelihood - np.linalg.slogdet(information)[1] / 2

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    # A general optimiser with numerical slopes finds the maximum to some 1e-6.
    assert association(threshold_choices(table)).value == pytest.approx(best.x[0], abs=1e-5)


def test_an_infinite_association_gets_a_number_and_no_variation_gets_none():
    table = pd.DataFrame({"b": [8] * 20 + [2] * 20, "a": [1] * 20 + [0] * 20, "treatment": ["x", "y"] * 20})
    found = association(threshold_choices(table))
    assert 3 < found.low < found.value < found.high
    assert np.isnan(association(threshold_choices(table), bias_reduced=False).value)
    for constant in ({"a": 1}, {"b": 8}):
        assert np.isnan(association(threshold_choices(table.assign(**constant))).value)
    assert np.isnan(association(threshold_choices(table.assign(b=np.nan))).value)


def test_the_same_pairs_asked_twice_do_not_count_twice():
    study = a_study(*(scale(q, -2, 2) for q in ("b1", "b2", "a1", "a2")))
    once = SignAgreement(kind="sign_agreement", pairs=(("b1", "a1"),))
    twice = SignAgreement(kind="sign_agreement", pairs=(("b1", "a1"), ("b2", "a2")))
    rng = np.random.default_rng(5)
    belief = rng.choice([-1, 1], 300)
    action = np.where(rng.random(300) < 0.7, belief, -belief)
    table = pd.DataFrame({"b1": belief, "a1": action, "b2": belief, "a2": action, "treatment": "all"})
    one, two = (association(choices_of(rule, study, table), bias_reduced=False) for rule in (once, twice))
    assert two.value == pytest.approx(one.value, abs=1e-9)
    assert error_of(two) == pytest.approx(error_of(one), rel=0.02)


@pytest.mark.slow
def test_associations_cover_the_truth():
    study, rule = known_truth.study(), known_truth.study().coherence
    truth = association(choices_of(rule, study, known_truth.everybody())).value
    rng = np.random.default_rng(9)
    pairs = [[association(choices_of(rule, study, known_truth.fresh(160, rng))) for _ in range(2)] for _ in range(200)]
    values = np.array([one.value for one, _ in pairs])
    # The truth itself has a standard error of .04; 200 values of .6 have one of .04 in the mean.
    assert values.mean() == pytest.approx(truth, abs=0.15)
    inside = [one.low <= truth <= one.high for pair in pairs for one in pair]
    assert 0.925 <= np.mean(inside) <= 0.98  # 400 samples: two standard errors about .95


def test_a_simulation_without_coherence_has_no_association():
    study, rule = known_truth.study(), known_truth.study().coherence
    rng = np.random.default_rng(10)
    people = known_truth.fresh(400, rng)
    shuffled = people.assign(action=people.groupby("treatment")["action"].transform(lambda a: rng.permutation(a)))
    arm, human = (association(choices_of(rule, study, table)) for table in (shuffled, people))
    assert arm.low < 0 < arm.high < human.low
