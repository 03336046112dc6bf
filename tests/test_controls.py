"""Leakage and association against reference implementations and known truth; shuffled pilots lose what they should."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pilotlm.analyses.common import METRIC_COLUMNS, Compared, Predicted
from pilotlm.analyses.controls import controls, copied_share
from pilotlm.arms import Arms, load_arms
from pilotlm.baselines.fit import Baseline, fit_logit
from pilotlm.baselines.sequential import draw_folds, folded_pilot
from pilotlm.data.pilot import draw_pilot, rows_of, shuffled_rows
from pilotlm.errors import InputError
from pilotlm.predictions import as_predictions
from pilotlm.responses import as_responses
from pilotlm.stats.linear_models import explained, explained_share
from pilotlm.stats.scoring import mean_score
from pilotlm.study import Study


def test_copies_are_counted_in_every_column() -> None:
    known = pd.DataFrame({"a": [1, 2], "b": [5, 6]})
    rows = pd.DataFrame({"a": [1, 1, 2, 2], "b": [5, 6, 5, 6]})
    found = copied_share(rows, known)
    assert (found.value, found.n) == (0.5, 4) and found.low < 0.5 < found.high


def test_the_explained_share_is_statsmodels_adjusted_r_squared() -> None:
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    y = x[:, :1] + z[:, 1:] + rng.normal(size=(50, 1))
    alone = sm.OLS(y[:, 0], sm.add_constant(x)).fit()
    assert explained_share(y, x) == pytest.approx(alone.rsquared_adj, rel=1e-10)
    full, given = (sm.OLS(y[:, 0], sm.add_constant(columns)).fit() for columns in (np.column_stack([z, x]), z))
    assert explained_share(y, x, z) == pytest.approx(1 - full.mse_resid / given.mse_resid, rel=1e-10)
    assert explained_share(y, np.column_stack([x, x[:, 0]])) == pytest.approx(alone.rsquared_adj, rel=1e-9)
    two = np.column_stack([y, np.full(50, 3.0)])
    assert explained_share(two, x) == pytest.approx(alone.rsquared_adj / 2, rel=1e-9)


def test_the_explained_share_of_nothing_is_zero_on_average() -> None:
    # 400 data sets of 40 rows: the standard error of the mean is about .003.
    rng = np.random.default_rng(2)
    shares = [explained_share(rng.normal(size=(40, 1)), rng.normal(size=(40, 4))) for _ in range(400)]
    assert abs(np.mean(shares)) < 0.012
    assert np.isnan(explained_share(rng.normal(size=(4, 1)), rng.normal(size=(4, 5))))
    with pytest.raises(InputError, match="same rows"):
        explained_share(np.ones((4, 1)), np.ones((5, 1)))


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "truth"), [(0.0, 0.0), (0.5, 0.2)])
def test_the_interval_of_the_explained_share_covers(slope: float, truth: float) -> None:
    # R² = .25 / 1.25. 300 samples: three standard errors of .95 are .04; near zero the interval may only be too long.
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(300):
        x = rng.normal(size=(100, 2))
        found = explained(slope * x[:, :1] + rng.normal(size=(100, 1)), x, None, 60, rng)
        inside.append(found.low <= truth <= found.high)
    assert 0.91 <= np.mean(inside) <= (1.0 if slope == 0 else 0.99)


# Shuffled pilots.


@pytest.mark.parametrize("what", ["personas", "answers"])
def test_shuffling_moves_whole_answers_and_nothing_else(toy: Study, toy_people: pd.DataFrame, what: str) -> None:
    before = toy_people.copy(deep=True)
    shuffled = shuffled_rows(toy, toy_people, what, 1)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(toy_people, before)
    answers = list(toy.answer_columns)
    rest = [column for column in toy_people.columns if column not in answers]
    pd.testing.assert_frame_equal(shuffled[rest], toy_people[rest])
    assert (shuffled[answers] != toy_people[answers]).any(axis=1).mean() > 0.5

    def forms(table: pd.DataFrame, keys: list[str]) -> list[tuple[object, ...]]:
        return sorted(table[[*keys, *answers]].itertuples(index=False, name=None))

    assert forms(shuffled, []) == forms(toy_people, [])
    assert (forms(shuffled, ["treatment"]) == forms(toy_people, ["treatment"])) == (what == "personas")
    pd.testing.assert_frame_equal(shuffled, shuffled_rows(toy, toy_people, what, 1))  # type: ignore[arg-type]
    assert not shuffled.equals(shuffled_rows(toy, toy_people, what, 2))  # type: ignore[arg-type]
    assert shuffled_rows(toy, toy_people, "", 1) is toy_people


def test_a_logit_of_a_shuffled_pilot_loses_what_it_should(
    toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame]
) -> None:
    # In the toy study the alarm (and age) raise fear. With 1,500 people the coefficients are known to about .1.
    toy = toy.model_copy(update={"questions": toy.questions[:1]})
    people, held_out = draw_toy_people(1500, 4), draw_toy_people(1500, 5)

    def effects(what: str) -> tuple[float, float]:
        shuffled = shuffled_rows(toy, people, what, 1)  # type: ignore[arg-type]
        model = fit_logit(toy, shuffled, draw_folds(len(people), np.random.default_rng(0)))

        def mean_fear(**change: object) -> float:
            distribution = model.line_distribution(0, held_out.assign(**change))  # type: ignore[arg-type]
            return float((distribution @ [1, 2, 3, 4]).mean())

        return mean_fear(treatment="alarm") - mean_fear(treatment="calm"), mean_fear(age=75) - mean_fear(age=25)

    alarm, age = effects("")
    assert alarm > 1 and age > 0.4
    alarm, age = effects("personas")
    assert alarm > 1 and abs(age) < 0.15
    alarm, age = effects("answers")
    assert abs(alarm) < 0.15 and abs(age) < 0.15


# The analysis.


@pytest.fixture
def arms() -> Arms:
    return load_arms()


def compared_of(people: pd.DataFrame, name: str, table: pd.DataFrame) -> Compared:
    human = people[people["participant"].isin(table["participant"])].reset_index(drop=True)
    return Compared(name, 1, table, human, ())


def test_a_bootstrap_copies_and_people_do_not(
    toy: Study, toy_people: pd.DataFrame, toy_baselines: list[Baseline], arms: Arms
) -> None:
    compared = [compared_of(toy_people, b.arm.name, b.responses) for b in toy_baselines]
    table = controls(toy, compared, [], toy_people, arms, "held-out", 40)
    assert tuple(table.columns) == METRIC_COLUMNS
    rows = table.set_index(["arm", "metric", "item"])
    copies = rows.loc["bootstrap_all_25", "copies", "answers"]
    assert copies["estimate"] == copies["random_benchmark"] == 1.0

    pilot = rows_of(toy_people, draw_pilot(toy, toy_people, arms.pilot("all_25"), 1).participants)
    known = set(pilot[list(toy.answer_columns)].itertuples(index=False, name=None))
    held_out = compared[0].human[list(toy.answer_columns)]
    share = np.mean([row in known for row in held_out.itertuples(index=False, name=None)])
    assert copies["human_benchmark"] == pytest.approx(share) and 0 < share < 1
    marginals = rows.loc["marginals_all_25", "copies", "answers"]
    assert marginals["human_benchmark"] == copies["human_benchmark"] and marginals["estimate"] < 1


def test_associations_are_found_where_they_are(
    toy: Study, draw_toy_people: Callable[[int, int], pd.DataFrame], arms: Arms
) -> None:
    people = draw_toy_people(800, 12)
    tables = {
        "tuned_all_25": people,
        "tuned_all_25_shuffled_personas": shuffled_rows(toy, people, "personas", 3),
        "tuned_all_25_shuffled_answers": shuffled_rows(toy, people, "answers", 3),
    }
    answers = list(toy.answer_columns)
    simulated = {
        name: as_responses(toy, people, rows[answers].assign(draw=0), name, 1, people["in_pilot"])
        for name, rows in tables.items()
    }
    compared = [Compared(name, 1, table, people, None) for name, table in simulated.items()]
    found = controls(toy, compared, [], people, arms, "all", 40)
    rows = found[found["metric"] == "association"].set_index(["arm", "item"])
    names = list(tables)
    truth = rows.loc["human"]
    for item in ("treatment", "persona"):
        assert rows.loc[names[0], item]["estimate"] == pytest.approx(truth.loc[item]["estimate"])
        assert rows.loc[names[0], item]["low"] > 0 and rows.loc[names[2], item]["low"] < 0
    assert rows.loc[names[1], "treatment"]["estimate"] == pytest.approx(truth.loc["treatment"]["estimate"])
    assert rows.loc[names[1], "persona"]["low"] < 0 < truth.loc["persona"]["low"]


def test_the_loss_by_shuffling_is_paired(toy: Study, toy_people: pd.DataFrame, arms: Arms) -> None:
    pilot = draw_pilot(toy, toy_people, arms.pilot("all_25"), 1)
    fitted_on, folds = folded_pilot(toy, toy_people, pilot, 1)
    held_out = rows_of(toy_people, pilot.held_out)
    compared, predicted, losses = [], [], {}
    for name, what in (("tuned_all_25", ""), ("tuned_all_25_shuffled_answers", "answers")):
        model = fit_logit(toy, shuffled_rows(toy, fitted_on, what, 1), folds)  # type: ignore[arg-type]
        losses[name] = -model.log_likelihood(held_out).sum(axis=1)
        table = held_out.assign(arm=name, seed=1)
        compared.append(Compared(name, 1, table, held_out, pilot.participants))
        distributions = as_predictions(toy, held_out["participant"], model.distributions(held_out))
        predicted.append(Predicted.of(compared[-1], "all_25", distributions))
    rows = controls(toy, compared, predicted, toy_people, arms, "held-out", 60).set_index(["metric", "arm"])
    assert rows.loc["nll_over_unshuffled"].index.tolist() == ["tuned_all_25_shuffled_answers"]
    lost = rows.loc["nll_over_unshuffled", "tuned_all_25_shuffled_answers"]
    expected = mean_score(losses["tuned_all_25_shuffled_answers"] - losses["tuned_all_25"])
    assert lost[["estimate", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])
    without = controls(toy, compared, predicted[:1], toy_people, arms, "held-out", 20)
    assert "nll_over_unshuffled" not in set(without["metric"])
