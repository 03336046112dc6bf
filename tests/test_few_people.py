"""Coefficients that rest on few people: no standard error from one, none offered from two or three, in every path."""

from dataclasses import replace

import known_truth
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pilotlm.analyses.decision import Decision
from pilotlm.analyses.rectification import Target, answers
from pilotlm.report.decision_page import VERDICT_WORDS, target_table
from pilotlm.stats.decision import judge, verdicts_of
from pilotlm.stats.estimators import ONE, SOME, Task, estimate, usable, why_withheld
from pilotlm.stats.intervals import with_replacement
from pilotlm.stats.linear_models import columns, least_squares
from pilotlm.stats.ppi import Sample, logit_difference, mean_sample, people_only, prediction_powered, tuned
from pilotlm.stats.refits import refit
from pilotlm.stats.regressions import design_of, fit
from pilotlm.study import Regression
from truth.page import read_rectified, rectified_page, row_is_offered
from truth.rectified import stack_samples, trials
from truth.worlds import TARGETS, task_of, truth_of

ENDS = ("error", "low", "high", "freedom")


def nothing_of(found):
    """Whether neither standard error nor interval is there, in any sample of a stack."""
    return all(np.isnan(getattr(found, name)).all() for name in ENDS)


def task(name, n=60, model="good", seeds=4):
    """A stack of samples of a target on known truth."""
    tasks = [task_of(TARGETS[name], model, n, np.random.default_rng(seed)) for seed in range(seeds)]
    return Task(tasks[0].kind, stack_samples([one.sample for one in tasks]))


# The errors themselves.


def test_errors_of_every_coefficient_are_hc2_of_statsmodels():
    rng = np.random.default_rng(1)
    x = sm.add_constant(np.column_stack([rng.normal(size=(30, 2)), np.arange(30) % 5 == 0]))
    y = x @ [1, 2, 0, 3] + rng.normal(size=30) * (1 + np.abs(x[:, 1]))
    reference = sm.OLS(y, x).fit().get_robustcov_results("HC2")
    found = [least_squares(y, columns(x), k) for k in range(4)]
    assert [one.value for one in found] == pytest.approx(reference.params)
    assert [one.error for one in found] == pytest.approx(reference.bse)


@pytest.mark.parametrize(("few", "many"), [(3, 27), (2, 40), (10, 10)])
def test_freedom_of_two_groups_is_the_published_formula(few, many):
    # Imbens & Kolesár (2016), Review of Economics and Statistics 98, 701-712, section II; 2.47 with 3 and 27.
    n = few + many
    expected = n**2 * (few - 1) * (many - 1) / (few**2 * (few - 1) + many**2 * (many - 1))
    x = np.column_stack([np.ones(n), np.arange(n) < few])
    assert columns(x).freedom(1) == pytest.approx(expected)
    if (few, many) == (3, 27):
        assert expected == pytest.approx(2.47, abs=0.005)


def test_people_who_all_answer_alike_have_no_interval():
    found = people_only(mean_sample(np.full(20, 0.1), np.zeros(20), [0.0], participants=np.arange(20), pilot=()))
    assert found.value == pytest.approx(0.1) and nothing_of(found)


# A single person.


def lonely(rng, n=25, k=3):
    """A design in which one person alone has a level, in an order of columns and rows by chance."""
    x = np.column_stack([np.ones(n), rng.normal(size=(n, k)), np.zeros(n)])
    who = int(rng.integers(n))
    x[who, -1] = rng.choice([1.0, -3.0, 1e-3, 1e6])
    order = rng.permutation(x.shape[1])
    return x[:, order], who, int(np.flatnonzero(order == k + 1)[0])


@pytest.mark.parametrize("seed", range(20))
def test_a_coefficient_of_one_person_has_no_error_and_the_others_have_those_without_that_person(seed):
    rng = np.random.default_rng(seed)
    x, who, level = lonely(rng)
    y = rng.normal(size=len(x)) * rng.choice([1e-6, 1.0, 1e6])
    others, kept = np.arange(len(x)) != who, [k for k in range(x.shape[1]) if k != level]
    on, without = columns(x), columns(x[others][:, kept])
    assert nothing_of(least_squares(y, on, level)) and np.isfinite(least_squares(y, on, level).value)
    for place, k in enumerate(kept):
        ours, theirs = least_squares(y, on, k), least_squares(y[others], without, place)
        for name in ("value", *ENDS):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-6)


def test_a_person_alone_by_several_columns_is_found_too():
    # Nobody but one is both old and a woman: no column shows it, and only the interaction rests on that person.
    old, woman = np.arange(20) % 2, np.repeat([0, 1], 10)
    old[10:19] = 0
    y = np.random.default_rng(2).normal(size=20)
    on = columns(np.column_stack([np.ones(20), old, woman, old * woman]))
    assert [bool(on.rests_on_one(k)) for k in range(4)] == [False, False, False, True]
    assert [bool(np.isnan(least_squares(y, on, k).error)) for k in range(4)] == [False, False, False, True]


@pytest.mark.parametrize("name", ["scale_level_of_1", "action_effect_of_1"])
@pytest.mark.parametrize("n", [20, 60, 200])
def test_no_estimator_has_an_interval_from_one_person(name, n):
    alone = task(name, n)
    for method in ("people", "ppi", "tuned"):
        found = estimate(alone, method)
        assert np.isfinite(found.value).all() and nothing_of(found), method
        assert (why_withheld(alone, method) != "").all() and not usable(alone, method).any()
    assert set(why_withheld(alone, "tuned").tolist()) == {ONE}


def test_the_only_one_among_the_others_gives_no_error_either():
    # Three of the people with answers hold the level, but only one of those who are predicted.
    one = task_of(TARGETS["scale_level_of_3"], "good", 40, np.random.default_rng(3)).sample
    theirs = one.unlabelled_predictors.copy()
    theirs[:, -1] = np.arange(len(theirs)) == 4
    few = replace(one, unlabelled_predictors=theirs)
    assert nothing_of(prediction_powered(few))
    assert np.isfinite(tuned(few).error) and np.isfinite(people_only(few).error)


@pytest.mark.parametrize("method", ["simulation", "pooling"])
def test_predictions_of_one_person_have_no_error(method):
    one = task_of(TARGETS["scale_level_of_1"], "good", 40, np.random.default_rng(3))
    theirs = one.sample.unlabelled_predictors.copy()
    theirs[:, -1] = 0.0
    alone = replace(one, sample=replace(one.sample, unlabelled_predictors=theirs))
    assert nothing_of(estimate(alone, method))


def test_a_logit_of_one_person_has_no_estimate_and_the_others_have_those_without_that_person():
    one = task("action_level_of_1", 100)
    for method in ("people", "tuned"):
        found = estimate(one, method)
        assert np.isnan(found.value).all() and nothing_of(found)
        assert (why_withheld(one, method) != "").all()
    assert set(why_withheld(one, "tuned").tolist()) == {ONE}
    sample = task_of(TARGETS["action_level_of_1"], "good", 100, np.random.default_rng(0)).sample
    kept = replace(sample, outcome=sample.outcome[1:], predicted=sample.predicted[1:], column=2,
                   predictors=sample.predictors[1:, :-1], unlabelled_predictors=sample.unlabelled_predictors[:, :-1],
                   participants=sample.participants[1:])  # fmt: skip
    ours, theirs = (estimate(replace(one, sample=s), "people") for s in (sample.wanting(2), kept))
    # The infinite coefficient is given up where the deviance settles at 1e-8.
    for name in ("value", "error"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-4)


def test_a_logit_of_predictions_of_one_person_has_no_error():
    # Probabilities are not separated: the coefficient exists, but its row has a leverage of one.
    one = task("action_level_of_1", 100).sample
    predicted = one.predicted_logit.of(one.column)
    assert np.isfinite(predicted.value).all() and np.isnan(predicted.parts).all()
    assert nothing_of(logit_difference(one))


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_a_logit_of_a_level_whose_people_answered_alike_has_no_estimate(answer):
    one = task_of(TARGETS["action_level_of_6"], "good", 100, np.random.default_rng(4))
    alike = np.where(one.sample.predictors[:, -1] > 0, answer, one.sample.outcome)
    found = estimate(replace(one, sample=replace(one.sample, outcome=alike)), "people")
    assert np.isnan(found.value) and nothing_of(found)
    assert np.isfinite(estimate(one, "people").error)


def model(family="linear", **more):
    return Regression(name="m", label="m", formula="y ~ x + C(place)", family=family, **more)


@pytest.fixture
def table():
    rng = np.random.default_rng(5)
    place = np.where(np.arange(60) == 7, 3, np.arange(60) % 2 + 1)
    return pd.DataFrame({"x": rng.normal(size=60), "place": place, "y": rng.normal(size=60), "team": place + 10})


def test_a_robust_regression_names_the_coefficient_that_rests_on_one_row(table):
    found = fit(model(covariance="robust"), table)
    level = found.terms.index("C(place)[T.3]")
    for name in ("standard_error", "p_value", "low", "high", "freedom"):
        values = getattr(found, name)
        assert np.isnan(values[level]) and np.isfinite(np.delete(values, level)).all()
    assert np.isfinite(found.coefficient).all()
    assert found.note == "Rests on a single row, so it has no standard error: C(place)[T.3]."


@pytest.mark.parametrize("family", ["linear", "logit"])
def test_a_clustered_regression_names_the_coefficient_that_rests_on_one_cluster(table, family):
    rng = np.random.default_rng(6)
    team = np.arange(60) % 6
    rows = table.assign(team=team, place=np.where(team == 0, 3, team % 2 + 1))
    if family == "logit":
        rows = rows.assign(y=(rng.random(60) < 0.5).astype(float))
    found = fit(model(family, cluster="team"), rows)
    level = found.terms.index("C(place)[T.3]")
    assert np.isnan(found.p_value[level]) and np.isfinite(np.delete(found.p_value, level)).all()
    assert "Rests on a single cluster, so it has no standard error: C(place)[T.3]." in found.note


def test_draws_with_the_person_have_no_error_either_and_are_those_of_the_drawn_rows(table):
    regression = model(covariance="robust")
    counts = with_replacement(np.repeat("all", 60), 60, 40, np.random.default_rng(7))
    table.loc[::11, "y"] = np.nan  # so that draws have numbers of rows that differ
    found = refit(regression, design_of(regression, table, None), counts)
    level = found.terms.index("C(place)[T.3]")
    assert set(counts[:, 7]) >= {0, 1, 2}
    assert np.isnan(found.standard_error[counts[:, 7] < 2, level]).all()
    # Drawn twice, the person's two rows have a leverage of a half each, as for any two rows of a level.
    assert np.isfinite(found.standard_error[counts[:, 7] > 1, level]).all()
    for draw in range(10):
        again = fit(regression, table.iloc[np.repeat(np.arange(60), counts[draw])], table)
        assert found.standard_error[draw] == pytest.approx(again.standard_error, nan_ok=True)
        assert found.freedom[draw] == pytest.approx(again.freedom, nan_ok=True)


# What is decided from it.


def test_no_verdict_is_favourable_where_a_target_rests_on_one_person():
    # Predictions that are perfect but for chance: everything else in them may be used.
    rng = np.random.default_rng(8)
    x = np.column_stack([np.ones(400), rng.normal(size=400), np.arange(400) == 3])
    y = x @ [1, 1, 1] + rng.normal(size=400)
    who = {"participants": np.arange(400), "pilot": ()}
    sample = Sample(y, y + 0.01 * rng.normal(size=400), x, np.empty(0), np.empty((0, 3)), 2, **who)
    alone = judge(Task("coefficient", sample), 20, 1e6)
    assert (alone.verdict, alone.withheld) == ("do not use", ONE)
    assert np.isnan(alone.bias.low) and np.isnan(alone.bias.high)
    assert judge(Task("coefficient", sample.wanting(1)), 20, 1e6).verdict == "use"
    stack = stack_samples([sample] * 3)
    assert verdicts_of(Task("coefficient", stack), 20, 1e6) == ["do not use"] * 3
    three = x.copy()
    three[:3, 2] = 1.0
    few = judge(Task("coefficient", replace(sample, predictors=three)), 20, 1e6)
    assert (few.verdict, few.withheld) == ("do not use", SOME)


def test_the_decision_page_says_why(toy):
    rng = np.random.default_rng(9)
    treated = (np.arange(60) < 1).astype(float)
    sample = known_truth.effect_sample(*rng.normal(size=(2, 60)), [], treated, [], participants=np.arange(60), pilot=())
    judged = judge(Task("effect", sample), 20, 1e6)
    target = Target(answers(toy)[0], "effect", "alarm", "An effect", "calm")
    table = target_table([Decision("tuned_all_25", 1, (target,), (judged,), 20, 60, 60, 0.2, 1000)])
    assert table["Verdict"].tolist() == [f"{VERDICT_WORDS['do not use']}: {ONE}"]


# Coverage, by simulation and in the table that is shipped.

# 400 draws: the standard error of a share of .95 is .011, so .91 lies 3.7 of them below.
DRAWS, LEAST_COVERED = 400, 0.91


@pytest.mark.slow
@pytest.mark.parametrize("model_of_world", ["good", "useless"])
@pytest.mark.parametrize("name", ["scale_level_of", "action_effect_of"])
def test_intervals_of_levels_held_by_one_two_three_and_six_people(name, model_of_world):
    found = {}
    for holders in (1, 2, 3, 6):
        target = TARGETS[f"{name}_{holders}"]
        scores = trials(
            lambda rng, target=target: task_of(target, model_of_world, 50, rng), truth_of(target), DRAWS,
            np.random.default_rng(10), ("people", "tuned"),
        )  # fmt: skip
        found[holders] = scores
    assert all(np.isnan(score.withheld_too) and score.intervals == 0 for score in found[1])
    assert all(score.intervals < 0.05 and np.isfinite(score.withheld_too) for h in (2, 3) for score in found[h])
    for score in found[6]:
        assert score.intervals > 0.95 and score.coverage >= LEAST_COVERED
        assert abs(score.bias) < 4 * score.rmse / np.sqrt(DRAWS)


@pytest.fixture(scope="module")
def shipped():
    return read_rectified()


def test_the_shipped_table_has_no_interval_from_one_person_and_offers_none_from_two_or_three(shipped):
    levels = shipped[shipped["holders"] > 0]
    assert set(levels["holders"]) == {1, 2, 3, 6} and {"people", "ppi", "tuned"} == set(levels["method"])
    assert levels[levels["holders"] == 1]["withheld_too"].isna().all()
    offered = levels[levels.apply(row_is_offered, axis=1)]
    assert set(offered["holders"]) == {6} and set(offered["kind"]) == {"coefficient", "effect"}
    # 60 shares of 1,000 draws each, of which the lowest is some 2.5 standard errors of .008 below what is true.
    assert offered["coverage"].between(0.92, 0.98).all() and 0.94 < offered["coverage"].mean() < 0.96


def test_the_rule_is_needed(shipped):
    # Two or three people who answer alike: the effect's interval is far too short.
    few = shipped[(shipped["kind"] == "effect") & (shipped["holders"] == 3) & (shipped["method"] == "people")]
    assert few["withheld_too"].max() < 0.85


def test_the_page_says_what_rests_on_few_people(shipped):
    text = rectified_page(shipped)
    section = text[text.index("### OLS coefficient of a rare level") :]
    assert "no interval" in section and "Held by" in section and "nan" not in text
    few = shipped[shipped["holders"].isin([2, 3]) & (shipped["kind"] == "effect")]["withheld_too"]
    assert f"{few.min():.3f} to {few.max():.3f} for differences of shares" in text
