"""Proper scores against scikit-learn, identities and hand-worked cases; the analysis on known distributions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from pilotlm.analyses.accuracy import accuracy
from pilotlm.analyses.common import (
    METRIC_COLUMNS,
    Compared,
    Predicted,
    given_answers,
    grid_size,
    people_distributions,
    total_losses,
    uniform_forecasts,
)
from pilotlm.arms import BASELINES, load_arms
from pilotlm.baselines.fit import Baseline
from pilotlm.collecting import collect, collect_cv_losses, collect_predictions
from pilotlm.errors import InputError
from pilotlm.predictions import as_predictions, asked_columns, write_predictions
from pilotlm.records import write_json, write_parquet
from pilotlm.responses import write_responses
from pilotlm.stages import STAGES, begin
from pilotlm.stats.scoring import frequencies_of_others, log_losses, mean_score, within_correlations
from pilotlm.study import Study

Distribution = NDArray[np.float64]


def drawn(distribution: Distribution, rng: np.random.Generator) -> NDArray[np.int64]:
    """An answer from each row's distribution."""
    return np.asarray((np.cumsum(distribution, axis=1) <= rng.random(len(distribution))[:, None]).sum(axis=1))


@pytest.fixture
def some() -> tuple[Distribution, NDArray[np.int64]]:
    rng = np.random.default_rng(2)
    return rng.dirichlet(np.ones(5), 40), rng.integers(0, 5, 40)


def test_scores_worked_out_by_hand() -> None:
    distribution, given = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]]), np.array([1, 2])
    assert log_losses(distribution, given) == pytest.approx([-np.log(0.3), 0])
    with np.errstate(all="raise"):
        assert log_losses(distribution, np.array([0, 0]))[1] == np.inf


def test_scores_equal_scikit_learn(some: tuple[Distribution, NDArray[np.int64]]) -> None:
    distribution, given = some
    assert log_losses(distribution, given).mean() == pytest.approx(
        log_loss(given, distribution, labels=range(5)), rel=1e-12
    )


@pytest.mark.parametrize(
    ("distribution", "given", "said"),
    [
        ([[0.5, 0.4]], [0], "row 0 is negative or does not sum to 1"),
        ([[1.5, -0.5]], [0], "row 0 is negative"),
        ([[0.5, 0.5]], [2], r"0 to 1, got 2 to 2"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        ([[0.5, 0.5]], [0, 1], "distributions of 1 rows, but 2 answers"),
        ([0.5, 0.5], [0], r"\(rows, answers\)"),
    ],
)
def test_what_is_not_a_distribution_or_an_answer_is_refused(distribution: Any, given: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        log_losses(np.array(distribution), np.array(given))


@pytest.mark.slow
@pytest.mark.parametrize("people", [30, 80])
@pytest.mark.parametrize("distribution", ["even", "rare", "exponential"])
def test_a_mean_score_covers(distribution: str, people: int) -> None:
    # 600 samples: the standard error of a share of .95 is .009, three of them .027. Where one answer in twenty costs
    # most, 30 people are too few for any interval that knows nothing but the sample.
    rng = np.random.default_rng(4)
    chances = {"even": np.array([0.6, 0.3, 0.1]), "rare": np.array([0.7, 0.2, 0.1])}
    inside = []
    for _ in range(600):
        if distribution == "exponential":
            scores, truth = rng.exponential(size=people), 1.0
        else:
            own = chances[distribution]
            scores = log_losses(np.tile(own, (people, 1)), rng.choice(3, people, p=own))
            truth = float(-(own * np.log(own)).sum())
        found = mean_score(scores)
        inside.append(found.low <= truth <= found.high)
    assert 0.923 <= np.mean(inside) <= 0.978


def test_a_mean_score_of_little() -> None:
    assert np.isnan(mean_score(np.array([0.3])).low)
    same = mean_score(np.full(9, 0.1))
    assert (same.low, same.value, same.high) == pytest.approx((0.1, 0.1, 0.1))
    endless = mean_score(np.array([1.0, np.inf, 2.0]))
    assert endless.value == np.inf and np.isnan(endless.low)
    symmetric = mean_score(np.array([-2.0, -1, 0, 1, 2]))
    # Without skewness it is the interval of Student: t of 4 degrees of freedom is 2.776.
    assert symmetric.high == pytest.approx(2.776445 * np.sqrt(2.5 / 5), rel=1e-6)


def test_other_people_s_frequencies_by_hand() -> None:
    distribution = frequencies_of_others([0, 0, 1, 1, 2], ["a", "a", "a", "b", "b"], 3)
    np.testing.assert_allclose(distribution[0], np.array([1.5, 1.5, 0.5]) / 3.5)  # one 0 and one 1 remain in group a
    np.testing.assert_allclose(distribution[2], np.array([2.5, 0.5, 0.5]) / 3.5)
    np.testing.assert_allclose(distribution[3], np.array([0.5, 0.5, 1.5]) / 2.5)
    with pytest.raises(InputError, match="a group for each answer"):
        frequencies_of_others([0, 1], ["a"], 2)


# The analysis.


def test_uniform_answers_cost_the_logarithm_of_their_number(toy: Study, toy_people: pd.DataFrame) -> None:
    losses = total_losses(toy, uniform_forecasts(toy, toy_people), toy_people)
    assert grid_size(toy) == 4 * 15 * 3
    np.testing.assert_allclose(losses, np.log(grid_size(toy)), rtol=1e-12)


def test_people_s_distributions_leave_the_person_out_and_stay_valid(toy: Study, toy_people: pd.DataFrame) -> None:
    distributions = people_distributions(toy, toy_people, toy_people.iloc[[5, 17]])
    person = toy_people.iloc[5]
    others = toy_people[(toy_people["treatment"] == person["treatment"]) & (toy_people.index != 5)]
    counts = others["fear"].value_counts().reindex([1, 2, 3, 4], fill_value=0) + 0.5
    np.testing.assert_allclose(distributions["fear"][0], counts / counts.sum(), rtol=1e-12)
    barred = np.arange(0, 101, 25) > 100 - person["odds_none"]
    assert (distributions["odds_small"][0][barred] == 0).all()
    assert list(distributions) == list(asked_columns(toy))
    for distribution in distributions.values():
        np.testing.assert_allclose(distribution.sum(axis=1), 1, rtol=1e-12)


def cv_loss(arm: str, loss: float, seed: int = 1) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "metric": "cv_loss", "item": "all", "estimate": loss, "n": 60}


@pytest.fixture
def predicted(toy_baselines: list[Baseline], toy_people: pd.DataFrame) -> list[Predicted]:
    found = []
    for one in toy_baselines:
        if one.predictions is not None:
            human = toy_people[toy_people["participant"].isin(one.responses["participant"])]
            compared = Compared(one.arm.name, 1, one.responses, human.reset_index(drop=True), ())
            found.append(Predicted.of(compared, one.arm.pilot, one.predictions))
    return found


def test_the_table_holds_what_the_baselines_reported(
    toy: Study, toy_people: pd.DataFrame, toy_baselines: list[Baseline], predicted: list[Predicted]
) -> None:
    before = toy_people.copy(deep=True)
    # The copula forecasts the people held out better than the logit; only the losses inside the pilot name the best.
    losses = [cv_loss("logit_all_25", 3.0), cv_loss("copula_all_25", 3.1), cv_loss("marginals_all_25", 9.0)]
    table = accuracy(toy, predicted, losses, toy_people, load_arms(), "held-out", 40)
    pd.testing.assert_frame_equal(toy_people, before)
    assert tuple(table.columns) == METRIC_COLUMNS
    rows = table.set_index(["arm", "metric", "item"])
    reported = {b.arm.name: b.held_out_nll for b in toy_baselines}
    assert reported["copula_all_25"] < reported["logit_all_25"]  # type: ignore[operator]
    for one in predicted:
        nll = rows.loc[one.arm, "nll", "all"]
        assert nll["estimate"] == pytest.approx(reported[one.arm], rel=1e-9)
        assert nll["low"] < nll["estimate"] < nll["high"] and nll["n"] == len(one.human)
        assert nll["random_benchmark"] == pytest.approx(np.log(180))
        columns = [rows.loc[one.arm, "nll", column]["estimate"] for column in asked_columns(toy)]
        assert sum(columns) == pytest.approx(nll["estimate"])
    logit = rows.loc["logit_all_25", "nll", "all"]["estimate"]
    for name in ("copula_all_25", "marginals_all_25"):
        over = rows.loc[name, "nll_over_baseline", "all"]
        assert over["estimate"] == pytest.approx(rows.loc[name, "nll", "all"]["estimate"] - logit)
    assert ("logit_all_25", "nll_over_baseline", "all") not in rows.index
    inside = rows.loc["marginals_all_25", "cv_loss", "all"]
    assert (inside["estimate"], inside["n"], inside["against"], inside["seed"]) == (9.0, 60, "pilot", 1)
    # leave has three options without an order.
    assert set(rows.loc["logit_all_25", "rho_S"].index) == {"fear", "odds_none", "odds_small", "mean"}
    human = table[table["arm"] == "human"]
    assert set(human["metric"]) == {"nll"} and set(human["against"]) == {"all"}


def test_the_correlation_within_treatments_is_that_of_pandas(
    toy: Study, toy_people: pd.DataFrame, predicted: list[Predicted]
) -> None:
    table = accuracy(toy, predicted, [], toy_people, load_arms(), "held-out", 100)
    rows = table[table["metric"] == "rho_S"].set_index(["arm", "item"])
    for one in predicted:
        distributions = one.predictions.assign(mean=one.predictions["value"] * one.predictions["probability"])
        means = distributions.pivot_table(index="participant", columns="column", values="mean", aggfunc="sum")
        people = one.human.set_index("participant")
        found = []
        for column in ("fear", "odds_none", "odds_small"):
            both = pd.DataFrame({"y": people[column], "f": means.loc[people.index, column]})
            both -= both.groupby(people["treatment"]).transform("mean")
            varies = both["f"].abs().max() > 1e-9
            found.append(both["y"].corr(both["f"]) if varies else 0.0)
            row = rows.loc[one.arm, column]
            assert row["estimate"] == pytest.approx(found[-1], abs=1e-9) and row["random_benchmark"] == 0
            assert row["low"] < row["estimate"] < row["high"] if varies else row["low"] == row["high"] == 0
        assert rows.loc[one.arm, "mean"]["estimate"] == pytest.approx(np.mean(found), abs=1e-9)


def test_the_correlation_within_treatments_by_hand() -> None:
    # Treatments shift both by far; within them y - mean is -1 1 -1 1 and f - mean is -1 1 0 0: 2 / sqrt(4 * 2).
    y, f = np.array([[0.0], [2], [10], [12]]), np.array([[5.0], [7], [100], [100]])
    one, mean = within_correlations(y, f, ["a", "a", "b", "b"], 20, np.random.default_rng(1))
    assert one.value == mean.value == pytest.approx(2 / np.sqrt(8)) and one.n == 4
    blind, never = within_correlations(
        np.column_stack([y, 0 * y]), np.column_stack([0 * f, f]), ["a", "a", "b", "b"], 20, np.random.default_rng(1)
    )[:2]
    assert (blind.value, blind.low, blind.high) == (0, 0, 0) and np.isnan(never.value)


@pytest.mark.slow
def test_the_interval_of_the_correlation_within_treatments_covers() -> None:
    # 300 samples of 100 people, correlation .6 of answers in four steps: three standard errors of .95 are .038.
    rng, inside = np.random.default_rng(5), []
    big = rng.normal(size=(400_000, 2)) @ np.array([[1, 0.75], [0, 1]])
    steps = np.clip(np.round(big[:, :1]), -1, 2)
    truth = np.corrcoef(steps[:, 0], big[:, 1])[0, 1]
    for _ in range(300):
        rows = rng.integers(len(big), size=100)
        groups = np.arange(100) % 4
        found = within_correlations(steps[rows] + groups[:, None], big[rows, 1:], groups, 100, rng)[0]
        inside.append(found.low <= truth <= found.high)
    assert 0.91 <= np.mean(inside) <= 0.985


def test_a_paired_interval_is_shorter(toy: Study, toy_people: pd.DataFrame, predicted: list[Predicted]) -> None:
    table = accuracy(toy, predicted, [cv_loss("logit_all_25", 3.0)], toy_people, load_arms(), "held-out", 100)
    rows = table.set_index(["arm", "metric", "item"])
    one, other = (rows.loc["copula_all_25", metric, "all"] for metric in ("nll_over_baseline", "nll"))
    theirs = rows.loc["logit_all_25", "nll", "all"]
    unpaired = np.hypot(other["high"] - other["low"], theirs["high"] - theirs["low"])
    assert one["high"] - one["low"] < 0.9 * unpaired


def test_the_truth_beats_people(toy: Study, toy_people: pd.DataFrame) -> None:
    # People whose answers are drawn from known distributions: the arm that says those distributions.
    rng = np.random.default_rng(9)
    distributions = {c: rng.dirichlet(0.4 * np.ones(len(v)), len(toy_people)) for c, v in asked_columns(toy).items()}
    distributions["odds_none"][:, :] = [0, 0, 0, 0, 1]
    distributions["odds_small"][:, :] = [1, 0, 0, 0, 0]
    people = toy_people.assign(
        fear=1 + drawn(distributions["fear"], rng),
        leave=drawn(distributions["leave"], rng),
        odds_none=100,
        odds_small=0,
        odds_big=0,
    )
    table = as_predictions(toy, people["participant"], distributions)
    one = Predicted("base", "all_25", 1, table, people)
    rows = accuracy(toy, [one], [], people, load_arms(), "all", 60).set_index(["arm", "metric", "item"])
    assert rows.loc["base", "nll", "all"]["high"] < rows.loc["base", "nll", "all"]["human_benchmark"]
    given = given_answers(toy, people)
    assert given["fear"].max() <= 3 and "nll_over_baseline" not in set(rows.index.get_level_values("metric"))


def test_an_arm_is_compared_with_the_baseline_on_its_own_pilot(
    toy: Study, toy_people: pd.DataFrame, predicted: list[Predicted]
) -> None:
    """An arm that keeps the pilot of seed 1 in seed 2 stands against the baseline of seed 1."""
    logit = next(one for one in predicted if one.arm == "logit_all_25")
    copula = next(one for one in predicted if one.arm == "copula_all_25")
    kept = replace(copula, arm="tuned_all_25_same_pilot", seed=2)
    elsewhere = replace(logit, seed=2, predictions=copula.predictions)
    losses = [cv_loss("logit_all_25", 3.0, seed) for seed in (1, 2)]
    table = accuracy(toy, [logit, elsewhere, kept], losses, toy_people, load_arms(), "held-out", 20)
    over = table[table["metric"] == "nll_over_baseline"].set_index("arm").loc[kept.arm]
    assert over["estimate"] == pytest.approx((copula.losses(toy) - logit.losses(toy)).mean()) and over["estimate"] != 0


def test_cross_validated_losses_are_read_of_every_pilot_of_the_run(
    toy: Study, toy_people: pd.DataFrame, toy_baselines: list[Baseline], toy_project: Any
) -> None:
    names = {**STAGES["accuracy"]().model_dump(), "study": "toy", "arms": "base"}
    stage = begin("accuracy", dict(names))
    write_parquet(stage.places.people, toy_people)
    of_all = {b.arm.name: b.cv_loss for b in toy_baselines if b.cv_loss is not None}
    shown = begin("accuracy", dict(names) | {"arms": "logit_all_25"})
    rows = collect_cv_losses(shown, collect(shown))
    assert {row["arm"]: row["estimate"] for row in rows} == of_all and {row["n"] for row in rows} == {60}
    assert len(of_all) == len(BASELINES) - 1

    write_responses(stage.places.responses("base", 1), toy, toy_baselines[1].responses.assign(arm="base"))
    assert collect_cv_losses(stage, collect(stage)) == []
    facts = {b.arm.name: b.facts for b in toy_baselines}
    write_json(stage.places.record("04-baselines-all_25-s1"), {"baselines": facts})
    write_json(stage.places.record("04-baselines-one_25-s1"), {"baselines": {"logit_one_25": facts["logit_all_25"]}})
    rows = collect_cv_losses(stage, collect(stage))
    assert {row["arm"]: row["estimate"] for row in rows} == of_all
    old = {"logit_all_25": {"validation_nll": 1.0, "held_out_nll": 2.0}}
    write_json(stage.places.record("04-baselines-all_25-s1"), {"baselines": old})
    assert collect_cv_losses(stage, collect(stage)) == []


def test_missing_distributions_are_said(
    toy: Study, toy_people: pd.DataFrame, toy_project: Any, toy_baselines: list[Baseline]
) -> None:
    names = {**STAGES["accuracy"]().model_dump(), "study": "toy"}
    stage = begin("accuracy", dict(names))
    write_parquet(stage.places.people, toy_people)
    predicted, note = collect_predictions(stage, collect(stage))
    assert [one.arm for one in predicted] == ["marginals_all_25", "logit_all_25", "copula_all_25"]
    assert "bootstrap" in note and "no predictive distributions of" not in note

    found = {b.arm.name: b for b in toy_baselines}
    for name, one in found.items():
        write_responses(stage.places.responses(name, 1), toy, one.responses.head(30))
    logit = found["logit_all_25"].predictions
    assert logit is not None
    of_some = logit[logit["participant"].isin(found["logit_all_25"].responses["participant"].head(30))]
    write_predictions(stage.places.predictions("logit_all_25", 1), toy, of_some)
    stage = begin("accuracy", dict(names) | {"arms": "logit_all_25 copula_all_25"})
    collected = collect(stage)
    predicted, note = collect_predictions(stage, collected)
    assert [one.arm for one in predicted] == ["logit_all_25"] and len(predicted[0].human) == 30
    assert "no predictive distributions of Copula, 25 % of all (seed 1)" in note and "bootstrap" not in note
    table = accuracy(toy, predicted, [], collected.people, load_arms(), "held-out", 20)
    assert set(table["arm"]) == {"human", "logit_all_25"}
