"""Baselines against hand-worked cases and a plain cross-validation with scikit-learn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, truncnorm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pilotlm.arms import BASELINES, Arms, load_arms
from pilotlm.baselines.fit import FITS as FIT_OF
from pilotlm.baselines.fit import (
    PENALTIES,
    SHRINKAGES,
    SMOOTHINGS,
    Baseline,
    baselines,
    bootstrap_answers,
    fit_copula,
    fit_logit,
    fit_marginals,
)
from pilotlm.baselines.sequential import FOLDS, Features, FormModel, codes_of, draw_folds, fit_line
from pilotlm.data.pilot import draw_pilot
from pilotlm.data.prompts import slots_of
from pilotlm.predictions import predictions_of
from pilotlm.study import Study

Fit = Callable[[Study, pd.DataFrame, NDArray[np.int64]], FormModel]
FITS = pytest.mark.parametrize("fit", list(FIT_OF.values()), ids=list(FIT_OF))
DESIGNS = ("one_25", "all_25", "all_25_balanced")


@pytest.fixture(scope="module")
def arms() -> Arms:
    return load_arms()


def uniforms(people: pd.DataFrame, study: Study, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).random((len(people), len(study.answer_columns)))


def fitted(fit: Fit, study: Study, pilot: pd.DataFrame) -> FormModel:
    return fit(study, pilot, draw_folds(len(pilot), np.random.default_rng(0)))


def everything(study: Study, person: pd.Series) -> pd.DataFrame:
    """One row for each way to fill in the form, with a person's background."""
    quarters = [(a, b, 100 - a - b) for a in range(0, 101, 25) for b in range(0, 101 - a, 25)]
    forms = [(fear, *parts, leave) for fear in range(1, 5) for parts in quarters for leave in range(3)]
    table = pd.DataFrame(forms, columns=list(study.answer_columns))
    return table.assign(**{name: person[name] for name in ("treatment", "age", "sex", "region")})


@FITS
def test_the_distribution_sums_to_one_over_all_forms(toy: Study, toy_people: pd.DataFrame, fit: Fit) -> None:
    model = fitted(fit, toy, toy_people[:80])
    for row in (100, 101):
        forms = everything(toy, toy_people.iloc[row])
        assert len(forms) == 4 * 15 * 3
        assert np.exp(model.log_likelihood(forms).sum(axis=1)).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.slow
@FITS
def test_simulation_follows_the_distribution_it_reports(toy: Study, toy_people: pd.DataFrame, fit: Fit) -> None:
    # Frequencies of 20,000 draws have standard errors under .0036; .015 is more than four.
    model = fitted(fit, toy, toy_people[:80])
    person = toy_people.iloc[[100] * 20_000]
    drawn = model.simulate(person, uniforms(person, toy))
    forms = everything(toy, toy_people.iloc[100])
    distribution = np.exp(model.log_likelihood(forms).sum(axis=1))
    for column in toy.answer_columns:
        expected = pd.Series(distribution).groupby(forms[column]).sum()
        found = drawn[column].value_counts(normalize=True).reindex(expected.index, fill_value=0)
        assert np.abs(found - expected).max() < 0.015


@FITS
def test_allocations_always_sum_to_the_total(toy: Study, toy_people: pd.DataFrame, fit: Fit) -> None:
    model = fitted(fit, toy, toy_people[:40])
    parts = ["odds_none", "odds_small", "odds_big"]
    for extreme in (uniforms(toy_people, toy), np.zeros((240, 5)), np.full((240, 5), 1 - 1e-16)):
        drawn = model.simulate(toy_people, extreme)
        assert (drawn[parts].sum(axis=1) == 100).all() and drawn[parts].isin(range(0, 101, 25)).all(axis=None)
        assert drawn["fear"].isin([1, 2, 3, 4]).all() and drawn["leave"].isin([0, 1, 2]).all()


@FITS
def test_simulation_reads_nobody_s_own_answers(toy: Study, toy_people: pd.DataFrame, fit: Fit) -> None:
    model = fitted(fit, toy, toy_people[:80])
    blank = toy_people.drop(columns=list(toy.answer_columns))
    before = toy_people.copy(deep=True)
    u = uniforms(blank, toy)
    pd.testing.assert_frame_equal(model.simulate(toy_people, u), model.simulate(blank, u))
    pd.testing.assert_frame_equal(toy_people, before)


def test_marginals_are_the_smoothed_frequencies_worked_out_by_hand(toy: Study, toy_people: pd.DataFrame) -> None:
    pilot, rest = toy_people[:80], toy_people[80:]
    model = fitted(fit_marginals, toy, pilot)
    assert set(model.settings) == {"fear", "odds_none", "odds_small", "leave"}
    assert model.settings["fear"] in SMOOTHINGS
    counts = pilot["fear"].value_counts().reindex([1, 2, 3, 4], fill_value=0) + model.settings["fear"]
    expected = np.log(rest["fear"].map(counts / counts.sum()))
    assert model.log_likelihood(rest)[:, 0] == pytest.approx(expected.to_numpy())


def test_marginals_of_an_allocation_are_divided_among_what_is_left(toy: Study, toy_people: pd.DataFrame) -> None:
    model = fitted(fit_marginals, toy, toy_people[:80])
    s = model.settings["odds_small"]
    counts = toy_people[:80]["odds_small"].value_counts().reindex(range(0, 101, 25), fill_value=0) + s
    person = toy_people[toy_people["odds_none"] == 75].iloc[[0]]
    given = counts[person["odds_small"].iloc[0]] / (counts[0] + counts[25])
    assert model.log_likelihood(person)[0, 2] == pytest.approx(np.log(given))
    assert model.log_likelihood(person)[0, 3] == 0


@pytest.mark.slow
def test_a_logit_with_much_data_recovers_a_known_distribution(
    toy: Study, draw_toy_people: Callable[..., pd.DataFrame]
) -> None:
    # The distribution of leaving is known: 1 / (1 + exp(3 - fear - alarm)). With 4,000 people the estimated
    # probabilities have standard errors of about .02 at the ends; .06 is three.
    people = draw_toy_people(4000, 5)
    model = fitted(fit_logit, toy, people)
    cases = pd.DataFrame(
        [
            {"treatment": "alarm" if alarm else "calm", "age": 45, "sex": 0, "region": 1, "fear": fear,
             "odds_none": 50, "odds_small": 25, "odds_big": 25, "leave": 1, "p": 1 / (1 + np.exp(3 - fear - alarm))}
            for fear, alarm in itertools.product((1, 2, 3, 4), (0, 1)) if fear - 2 * alarm in (0, 1, 2, 3)
        ]
    )  # fmt: skip
    found = np.exp(model.log_likelihood(cases)[:, 4])
    assert np.abs(found - cases["p"]).max() < 0.06
    assert model.settings["leave"] in PENALTIES


def test_what_can_be_learnt_is_learnt(toy: Study, draw_toy_people: Callable[..., pd.DataFrame]) -> None:
    # Fear rises by two with the alarm, which is worth tenths of a nat; to the copula the options of leaving have no
    # order.
    people = draw_toy_people(1200, 3)
    logit, copula, marginals = (
        fitted(fit, toy, people[:400]).log_likelihood(people[400:]) for fit in (fit_logit, fit_copula, fit_marginals)
    )
    for model, gain in ((logit, 0.1), (copula, 0)):
        assert model[:, 0].mean() > marginals[:, 0].mean() + 0.3
        assert model[:, 4].mean() > marginals[:, 4].mean() + gain


@FITS
def test_an_answer_or_a_treatment_that_the_pilot_lacks_is_possible(
    toy: Study, toy_people: pd.DataFrame, fit: Fit
) -> None:
    model = fitted(fit, toy, toy_people[(toy_people["fear"] < 4) & (toy_people["treatment"] == "calm")][:80])
    assert np.isfinite(model.log_likelihood(toy_people)).all()
    assert model.simulate(toy_people, uniforms(toy_people, toy)).notna().all(axis=None)


def test_a_line_with_one_answer_in_the_pilot_is_fitted(toy: Study, toy_people: pd.DataFrame) -> None:
    pilot = toy_people[:80].assign(leave=2)
    distribution = np.exp(fitted(fit_logit, toy, pilot).log_likelihood(pilot)[:, 4])
    s = fitted(fit_marginals, toy, pilot).settings["leave"]
    assert distribution == pytest.approx((80 + s) / (80 + 3 * s))


def test_the_logit_with_the_strongest_penalty_is_nearly_the_marginals(
    toy: Study, draw_toy_people: Callable[..., pd.DataFrame]
) -> None:
    # Nothing tells anything about the odds, so these 80 people choose the strongest penalty there. What it leaves of
    # the coefficients moves a probability by .02 at most; the weakest penalty would move one by .5.
    people = draw_toy_people(80, 2)
    logit, marginals = (fitted(fit, toy, people) for fit in (fit_logit, fit_marginals))
    assert logit.settings["odds_none"] == min(PENALTIES)
    assert np.abs(logit.line_distribution(1, people) - marginals.line_distribution(1, people)).max() < 0.05


@FITS
def test_the_distribution_of_a_line_is_what_likelihood_and_draws_use(
    toy: Study, toy_people: pd.DataFrame, fit: Fit
) -> None:
    model, people = fitted(fit, toy, toy_people[:80]), toy_people[80:].reset_index(drop=True)
    for line, slot in enumerate(model.slots):
        distribution = model.line_distribution(line, people.drop(columns=list(toy.answer_columns[line:])))
        assert distribution.sum(axis=1) == pytest.approx(1, abs=1e-12)
        own = distribution[np.arange(len(people)), codes_of(slot, people)]
        assert np.log(own) == pytest.approx(model.log_likelihood(people)[:, line])
        left = 100 - people[list(slot.spent)].sum(axis=1).to_numpy() if slot.spent else np.full(len(people), 100)
        assert (distribution[np.asarray(slot.values)[None, :] > left[:, None]] == 0).all()
    assert (np.exp(model.line_log_distribution(3, people)) == model.line_distribution(3, people)).all()
    assert list(model.distributions(people)) == ["fear", "odds_none", "odds_small", "leave"]


def test_the_copula_is_the_conditional_normal_worked_out_by_hand(toy: Study, toy_people: pd.DataFrame) -> None:
    pilot, rest = toy_people[:80], toy_people[80:].reset_index(drop=True)
    model, marginals = (fitted(fit, toy, pilot) for fit in (fit_copula, fit_marginals))
    shrinkage = model.settings["fear"]
    assert shrinkage in SHRINKAGES and set(model.settings) == {"fear", "odds_none", "odds_small", "leave"}
    known = Features.of(toy, pilot)
    columns = pd.DataFrame(known.matrix(pilot, ()))
    scores = pd.DataFrame(norm.ppf((columns.rank() - 0.5) / 80))
    p = marginals.line_distribution(0, rest[:1])[0]
    cuts = norm.ppf(np.concatenate([[0], np.cumsum(p)[:-1], [1]]))
    means = np.array([truncnorm(a, b).mean() for a, b in itertools.pairwise(cuts)])
    correlations = (1 - shrinkage) * scores.assign(answer=means[pilot["fear"] - 1]).corr().to_numpy()
    np.fill_diagonal(correlations, 1)
    slopes = np.linalg.solve(correlations[:-1, :-1], correlations[:-1, -1])
    deviation = np.sqrt(1 - slopes @ correlations[:-1, -1])
    middle = scores.to_numpy() @ (slopes / scores.std(ddof=0).to_numpy())
    distribution = np.diff(norm.cdf((cuts - middle[:, None]) / deviation), axis=1)
    np.testing.assert_allclose(model.line_distribution(0, pilot), (80 * distribution + p) / 81, atol=1e-9)


def test_a_column_that_is_one_for_the_whole_pilot_tells_the_copula_nothing(
    toy: Study, toy_people: pd.DataFrame
) -> None:
    pilot = toy_people[toy_people["sex"] == 0][:40]
    model = fitted(fit_copula, toy, pilot)
    other = toy_people[80:90].assign(sex=1)
    np.testing.assert_array_equal(model.line_distribution(0, other), model.line_distribution(0, other.assign(sex=0)))
    everybody = fitted(fit_copula, toy, toy_people[:40].assign(leave=2))
    assert np.isfinite(everybody.log_likelihood(toy_people)).all()


def test_the_bootstrap_gives_whole_forms_of_the_own_treatment(toy: Study, toy_people: pd.DataFrame) -> None:
    columns = list(toy.answer_columns)
    pilot, others = toy_people[:60], toy_people[60:]
    drawn = bootstrap_answers(toy, pilot, others, uniforms(others, toy)[:, 0])
    # The whole pilot answers for a treatment that it lacks.
    calm, alarm = (others[others["treatment"] == treatment] for treatment in ("calm", "alarm"))
    elsewhere = bootstrap_answers(toy, calm, alarm, uniforms(alarm, toy)[:, 0])
    assert elsewhere["fear"].mean() < alarm["fear"].mean() - 0.5
    for treatment in ("calm", "alarm"):
        known = set(map(tuple, pilot[pilot["treatment"] == treatment][columns].to_numpy().tolist()))
        given = drawn[(others["treatment"] == treatment).to_numpy()]
        assert set(map(tuple, given.to_numpy().tolist())) <= known


def test_the_bootstrap_draws_each_pilot_row_equally_often(toy: Study, toy_people: pd.DataFrame) -> None:
    pilot = toy_people[toy_people["treatment"] == "calm"][:4]
    grid = (np.arange(400) + 0.5) / 400
    drawn = bootstrap_answers(toy, pilot, pilot.iloc[[0] * 400], grid)
    answers = pilot[list(toy.answer_columns)].to_numpy()
    assert (drawn.to_numpy() == np.repeat(answers, 100, axis=0)).all()


@pytest.mark.parametrize("design", DESIGNS)
def test_the_baselines_are_arms_with_the_usual_table(
    toy: Study, toy_people: pd.DataFrame, arms: Arms, design: str
) -> None:
    found = baselines(toy, toy_people, arms, design, seed=1)
    pilot = draw_pilot(toy, toy_people, arms.pilot(design), 1)
    assert [one.arm.name for one in found] == [f"{baseline}_{design}" for baseline in BASELINES]
    for one in found:
        assert one.responses["participant"].tolist() == list(pilot.held_out) and not one.responses["in_pilot"].any()
        assert set(one.responses["arm"]) == {one.arm.name} and set(one.responses["seed"]) == {1}
        assert (one.held_out_nll is None) == (one.predictions is None) == (one.arm.answerer == "bootstrap")


def test_a_participant_s_answers_do_not_depend_on_who_else_is_simulated(
    toy: Study, toy_people: pd.DataFrame, toy_baselines: list[Baseline], arms: Arms
) -> None:
    few = baselines(toy, toy_people, arms, "all_25", 1, at_most=30)
    for some, every in zip(few, toy_baselines, strict=True):
        of_some = every.responses[every.responses["participant"].isin(some.responses["participant"])]
        pd.testing.assert_frame_equal(some.responses, of_some.reset_index(drop=True))


def test_nothing_of_the_held_out_reaches_a_baseline(
    toy: Study, toy_people: pd.DataFrame, toy_baselines: list[Baseline], arms: Arms
) -> None:
    pilot = draw_pilot(toy, toy_people, arms.pilot("all_25"), 1)
    spoilt = toy_people.copy()
    held_out = spoilt["participant"].isin(pilot.held_out)
    spoilt.loc[held_out, list(toy.answer_columns)] = [1, 100, 0, 0, 0]
    for one, other in zip(toy_baselines, baselines(toy, spoilt, arms, "all_25", 1), strict=True):
        pd.testing.assert_frame_equal(one.responses, other.responses)
        assert (one.settings, one.cv_loss) == (other.settings, other.cv_loss)


@pytest.mark.slow
def test_every_person_of_the_pilot_counts_in_every_fit(toy: Study, toy_people: pd.DataFrame, arms: Arms) -> None:
    pilot = draw_pilot(toy, toy_people, arms.pilot("n_15"), 1)
    found = baselines(toy, toy_people, arms, "n_15", 1)
    assert [one.people for one in found] == [15] * len(BASELINES)
    for person in pilot.participants[:1]:
        changed = toy_people.copy()
        row = changed["participant"] == person
        changed.loc[row, "fear"] = 5 - changed.loc[row, "fear"]
        for one, other in zip(found, baselines(toy, changed, arms, "n_15", 1), strict=True):
            if one.predictions is not None and other.predictions is not None:
                distributions = [
                    predictions_of(toy, table, list(pilot.held_out))["fear"]
                    for table in (one.predictions, other.predictions)
                ]
                assert not np.allclose(*distributions), one.arm.name


def test_the_distributions_of_a_baseline_are_those_of_its_likelihood(
    toy: Study, toy_people: pd.DataFrame, toy_baselines: list[Baseline]
) -> None:
    for one in toy_baselines:
        if one.predictions is None:
            continue
        people = toy_people[toy_people["participant"].isin(one.responses["participant"])]
        distributions = predictions_of(toy, one.predictions, people["participant"])
        logs = [
            np.log(distributions[slot.column][np.arange(len(people)), codes_of(slot, people)])
            for slot in slots_of(toy)
            if not slot.follows
        ]
        assert -np.sum(logs, axis=0).mean() == pytest.approx(one.held_out_nll)


# Cross-validation.


def distribution_by_penalty(toy: Study, rows: pd.DataFrame, others: pd.DataFrame, penalty: float, added: float) -> Any:
    """The logit of ``leave``, the last line of the form, written plainly."""
    features = Features.of(toy, rows)
    earlier = features.before("leave")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=500))
    model.fit(features.matrix(rows, earlier), rows["leave"])
    distribution = np.full((len(others), 3), added)
    distribution[:, model.classes_] += len(rows) * model.predict_proba(features.matrix(others, earlier))
    return distribution / distribution.sum(axis=1, keepdims=True)


def smoothing_of(rows: pd.DataFrame, folds: NDArray[np.int64], only: int | None = None) -> float:
    """The count added to every answer of ``leave``, by cross-validation among some people, over all folds or one."""
    losses = dict.fromkeys(SMOOTHINGS, 0.0)
    for fold in set(folds) if only is None else {only}:
        counts = np.bincount(rows["leave"][folds != fold], minlength=3)
        for added in SMOOTHINGS:
            distribution = (counts + added) / (counts + added).sum()
            losses[added] -= float(np.log(distribution[rows["leave"][folds == fold]]).sum())
    return min(losses, key=lambda added: losses[added])


def own(distribution: Any, rows: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray(-np.log(distribution[np.arange(len(rows)), rows["leave"]]))


@pytest.mark.parametrize("seed", [4, 5])
def test_the_logit_is_chosen_as_by_a_plain_loop_over_folds(
    toy: Study, draw_toy_people: Callable[..., pd.DataFrame], seed: int
) -> None:
    people = draw_toy_people(240, seed)
    pilot, rest = people[:60].reset_index(drop=True), people[60:].reset_index(drop=True)
    folds = np.zeros(60, dtype=np.int64)
    losses = np.zeros((60, len(PENALTIES)))
    for k, (_, out) in enumerate(KFold(FOLDS, shuffle=True, random_state=seed).split(pilot)):
        folds[out] = k
    for k in range(FOLDS):
        train, test = pilot[folds != k].reset_index(drop=True), pilot[folds == k].reset_index(drop=True)
        # Nothing of the fold, not even how much is smoothed, may be chosen on its people.
        added = smoothing_of(train, folds[folds != k])
        for c, penalty in enumerate(PENALTIES):
            losses[folds == k, c] = own(distribution_by_penalty(toy, train, test, penalty, added), test)
    best = PENALTIES[losses.mean(axis=0).argmin()]
    model = fit_logit(toy, pilot, folds)
    assert model.settings["leave"] == best
    reference = distribution_by_penalty(toy, pilot, rest, best, smoothing_of(pilot, folds))
    np.testing.assert_allclose(model.line_distribution(4, rest), reference, rtol=1e-6)
    elsewhere = [losses[folds == k, losses[folds != k].mean(axis=0).argmin()].sum() for k in range(FOLDS)]
    assert model.cv_losses["leave"] == pytest.approx(sum(elsewhere) / 60, rel=1e-6)
    assert model.cv_loss == pytest.approx(sum(model.cv_losses.values()))


@FITS
def test_a_loss_by_cross_validation_is_of_models_without_the_fold(
    toy: Study, toy_people: pd.DataFrame, fit: Fit
) -> None:
    # A third of 42 people gives each answer. Where a fold is such a third, none of the 28 others gave it, so it has a
    # probability of 2 / (28 + 3 * 2) at most. Where folds are mixed it costs about log 3 = 1.1 nats.
    third = np.arange(42) % 3
    pilot = toy_people[:42].assign(leave=third)
    mixed = fit(toy, pilot, np.arange(42) // 3 % 3).cv_losses["leave"]
    assert mixed < 1.6 < np.log(17) - 1e-9 < fit(toy, pilot, third).cv_losses["leave"]


@dataclass(frozen=True)
class _Guess:
    """A distribution that knows nothing of people: three quarters on an answer that person and setting draw by lot."""

    setting: float

    def distribution(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        lots = np.random.default_rng(int(self.setting)).integers(0, 2, 10_000)[rows["participant"]]
        first = np.where(lots == 1, 0.75, 0.25)
        return np.stack([first, 1 - first], axis=1)


def test_the_loss_is_not_that_of_the_luckiest_of_many_settings(toy: Study, toy_people: pd.DataFrame) -> None:
    # No setting is better than another: each costs (log(4/3) + log 4) / 2 = .837 nats. The smallest of a hundred means
    # over 60 people lies about .55 * 2.5 / sqrt(60) = .18 lower. Over 30 lines the mean has a standard error of .013.
    rng, slot = np.random.default_rng(3), replace(slots_of(toy)[0], values=(0, 1))
    settings = tuple(float(k) for k in range(100))
    found = []
    for _ in range(30):
        rows = toy_people[:60].assign(fear=rng.integers(0, 2, 60), participant=rng.permutation(10_000)[:60])
        fit = lambda slot, rows, folds, candidates: [_Guess(setting) for setting in candidates]  # noqa: E731
        found.append(fit_line(slot, rows, draw_folds(60, rng), settings, fit).losses.mean())
    assert np.mean(found) == pytest.approx(0.837, abs=0.05)


def test_folds_are_of_people_and_of_one_size() -> None:
    rng = np.random.default_rng(0)
    folds = draw_folds(33, rng)
    assert sorted(np.bincount(folds)) == [6, 6, 7, 7, 7] and not np.array_equal(folds, draw_folds(33, rng))
    assert sorted(draw_folds(3, rng)) == [0, 1, 2], "a fold a person"
    with pytest.raises(ValueError, match="at least 3 people, got 2"):
        draw_folds(2, rng)


def test_every_baseline_of_a_pilot_has_the_same_folds(
    toy: Study, toy_people: pd.DataFrame, arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(study: Study, pilot: pd.DataFrame, folds: NDArray[np.int64]) -> FormModel:
        seen.append((tuple(pilot["participant"]), tuple(folds)))
        return fit_marginals(study, pilot, folds)

    monkeypatch.setattr("pilotlm.baselines.fit.FITS", dict.fromkeys(FIT_OF, watched))
    baselines(toy, toy_people, arms, "n_30", 1)
    baselines(toy, toy_people, arms, "n_30", 2)
    assert len(seen) == 6 and len(set(seen[:3])) == len(set(seen[3:])) == 1 and seen[0] != seen[3]


@pytest.mark.slow
def test_a_logit_chosen_by_cross_validation_forecasts_better_than_by_a_single_fifth(
    toy: Study, draw_toy_people: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Thirty pilots of 30 people, one question, 1,000 people held out. The reference is fitted on 24 and chosen on 6.
    penalties = (0.01, 0.1, 1.0)
    monkeypatch.setattr("pilotlm.baselines.fit.PENALTIES", penalties)
    one = toy.model_copy(update={"questions": toy.questions[-1:]})
    held_out, gains = draw_toy_people(1000, 99), []
    for seed in range(30):
        pilot = draw_toy_people(30, seed)
        train, validation = pilot[:24], pilot[24:].reset_index(drop=True)
        added = smoothing_of(pilot, np.arange(30) // 24, only=1)
        best = min(
            penalties, key=lambda c: own(distribution_by_penalty(one, train, validation, c, added), validation).mean()
        )
        single = own(distribution_by_penalty(one, train, held_out, best, added), held_out).mean()
        gains.append(single + fitted(fit_logit, one, pilot).log_likelihood(held_out).mean())
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert np.mean(gains) > 3 * error and np.mean(gains) > 0.02
