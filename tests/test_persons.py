"""People with several rows and survey weights: how they are read, drawn and counted, and whether intervals hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pilotlm.arms import PilotDesign
from pilotlm.baselines.sequential import folded_pilot
from pilotlm.data.pilot import draw_pilot, limit_of, limited_note, rows_of, simulated_people
from pilotlm.data.sampling import effective_n
from pilotlm.data.sources import load_people
from pilotlm.errors import InputError
from pilotlm.report.tables import answers_table, people_table
from pilotlm.responses import PERSON, WEIGHT, count_people, one_row_each, persons_of, weights_of, with_analysis_columns
from pilotlm.stats.comparisons import compare_many
from pilotlm.stats.linear_models import columns, fit_binary, least_squares, squares
from pilotlm.stats.ppi import Sample, logit_people_only, people_only, rectified_mean, tuned
from pilotlm.stats.refits import refit
from pilotlm.stats.regressions import design_of, fit
from pilotlm.study import Study, load_study

Array = NDArray[Any]
QUARTER = PilotDesign(label="quarter", treatments="all", share=0.25, at_most=60)


def several_rows(people: pd.DataFrame, most: int, seed: int = 1) -> pd.DataFrame:
    """Every person with one to ``most`` rows, in any order, each a participant of its own."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(len(people)), rng.integers(1, most + 1, len(people))))
    rows = people.iloc[who].reset_index(drop=True)
    return rows.assign(participant=np.arange(1, len(rows) + 1), **{PERSON: who + 1})


def written(toy_content: dict[str, Any], folder: Any, table: pd.DataFrame, **keys: str) -> Study:
    """The toy study with a file of its own."""
    table.to_csv(folder / "toy.csv", index=False)
    (folder / "study.yml").write_text(yaml.safe_dump({**toy_content, **keys}), encoding="utf-8")
    return load_study(folder / "study.yml")


@pytest.fixture
def raw(toy_people: pd.DataFrame) -> pd.DataFrame:
    """The toy study's file: two rows a person, and weights."""
    table = toy_people.drop(columns=["study", "arm", "seed", "participant", "draw", "in_pilot", "treatment"])
    table = table.assign(alarm=(toy_people["treatment"] == "alarm").astype(int), sex=table["sex"].map({0: "m", 1: "f"}))
    rng = np.random.default_rng(3)
    return table.assign(id=[f"p{k // 2}" for k in range(len(table))], w=rng.uniform(0.2, 4, len(table)).round(3))


def test_ids_and_weights_are_read_beside_the_answers(toy_content, tmp_path, raw) -> None:
    raw = raw.astype(object)
    raw.loc[4, "id"], raw.loc[7, "w"], raw.loc[9, "w"], raw.loc[11, "fear"] = "", "", 0, ""
    found = load_people(written(toy_content, tmp_path, raw, participant="id", weight="w"))
    people = found.table
    assert (found.rows_read, found.rows_dropped) == (240, 4)
    assert found.dropped == {"fear": 1, "id": 1, "w": 1, "w above 0": 1}
    kept = raw.drop(index=[4, 7, 9, 11])
    np.testing.assert_array_equal(people[WEIGHT], kept["w"].astype(float))
    assert (people.groupby(PERSON)["participant"].nunique() <= 2).all() and count_people(people) == 120
    assert pd.crosstab(people[PERSON], kept["id"].to_numpy()).gt(0).sum(axis=1).eq(1).all()
    assert weights_of(people) == pytest.approx(people[WEIGHT] / people[WEIGHT].mean())
    without = load_people(written(toy_content, tmp_path, raw.drop(index=[4, 7, 9, 11])))
    pd.testing.assert_frame_equal(
        people.drop(columns=[PERSON, WEIGHT, "participant"]), without.table.drop(columns="participant")
    )
    assert not {PERSON, WEIGHT} & set(without.table) and weights_of(without.table) is None


def test_an_id_of_one_row_each_changes_nothing(toy_content, tmp_path, raw) -> None:
    once = raw.assign(id=np.arange(len(raw)))
    tables = [load_people(written(toy_content, tmp_path, once, **keys)).table for keys in ({"participant": "id"}, {})]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("weight", ["-1", "heavy", "inf", "nan"])
def test_what_is_no_weight_is_named_with_its_place(toy_content, tmp_path, raw, weight: str) -> None:
    raw = raw.astype(object)
    raw.loc[2, "w"] = weight
    with pytest.raises(InputError, match=rf"toy.csv, row 3, column 'w': '{'-1.0' if weight == '-1' else weight}'"):
        load_people(written(toy_content, tmp_path, raw, weight="w"))


@pytest.mark.parametrize("key", ["participant", "weight"])
def test_a_column_that_is_not_there_names_the_nearest(toy_content, tmp_path, raw, key: str) -> None:
    with pytest.raises(InputError, match=f"no column 'fears', which '{key}' needs; did you mean 'fear'"):
        load_people(written(toy_content, tmp_path, raw, **{key: "fears"}))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), most=st.integers(1, 12))
def test_nobody_is_in_two_parts(toy: Study, draw_toy_people, seed: int, most: int) -> None:
    people = several_rows(draw_toy_people(60, 1), most, seed)
    pilot = draw_pilot(toy, people, QUARTER, seed)
    drawn, held_out = (rows_of(people, part) for part in (pilot.participants, pilot.held_out))
    parts = [set(persons_of(part)) for part in (drawn, held_out)]
    assert sum(map(len, parts)) == count_people(people) == len(set.union(*parts))
    assert len(parts[0]) in (15, 16)
    assert len(pilot.participants) == min(60, int(persons_of(people).isin(parts[0]).sum()))
    assert len(held_out) == persons_of(people).isin(parts[1]).sum()
    some = simulated_people(toy, people, pilot, 50, seed)
    assert len(some) == min(50, len(held_out)) and set(persons_of(some)) == parts[1]
    # Of each who is simulated the one row is that all other analyses take.
    assert set(one_row_each(held_out)["participant"]) <= set(some["participant"])
    assert draw_pilot(toy, one_row_each(people), QUARTER, seed).held_out == tuple(one_row_each(held_out)["participant"])


def test_folds_are_of_people_and_every_row_of_a_person_counts_once(toy: Study, draw_toy_people) -> None:
    people = several_rows(draw_toy_people(80, 1), 5)
    rows, folds = folded_pilot(toy, people, draw_pilot(toy, people, QUARTER, 1), 1)
    assert pd.Series(folds).groupby(persons_of(rows).to_numpy()).nunique().eq(1).all()


def test_a_large_file_has_a_pilot_of_at_most_so_many(toy: Study, draw_toy_people) -> None:
    people = draw_toy_people(1000, 1)
    pilot = draw_pilot(toy, people, QUARTER, 1)
    treatments = rows_of(people, pilot.participants)["treatment"].value_counts()
    assert set(treatments) == {30} and len(pilot.held_out) == 940
    assert limited_note(toy, people, QUARTER) == "To save time the pilot is 60 of 1,000 people, not 25 % of them."
    assert "60 of about" in limited_note(toy, several_rows(people.head(100), 8), QUARTER)
    assert limited_note(toy, people.head(200), QUARTER) == ""
    # Five lines of the form are few; of twelve half as many people are drawn.
    more = [toy.questions[0].model_copy(update={"name": f"fear{k}"}) for k in range(7)]
    assert limit_of(toy, QUARTER) == 60
    assert limit_of(toy.model_copy(update={"questions": (*toy.questions, *more)}), QUARTER) == 30


def test_means_and_shares_of_pages_are_weighted(toy: Study, toy_people: pd.DataFrame) -> None:
    weighted = toy_people.assign(**{WEIGHT: np.where(toy_people["leave"] == 2, 9.0, 1.0)})
    found = answers_table(toy, weighted).set_index("Answer")
    repeated = toy_people.loc[toy_people.index.repeat(weighted[WEIGHT].astype(int))]
    wanted = answers_table(toy, repeated.reset_index(drop=True)).set_index("Answer")
    pd.testing.assert_frame_equal(found.drop(columns="SD"), wanted.drop(columns="SD"))
    unweighted = answers_table(toy, toy_people).set_index("Answer")
    assert found.loc["leave", "Most frequent"] != unweighted.loc["leave", "Most frequent"]
    assert found["SD"][:4].astype(float).to_numpy() == pytest.approx(wanted["SD"][:4].astype(float), rel=0.01)
    assert set(people_table(toy, weighted)["People"]) == {"120"}


def brute_force(x: Array, y: Array, w: Array, who: Array, column: int) -> tuple[float, float, float]:
    """Coefficient, CR2 error and Satterthwaite's freedom with matrices of all rows."""
    root = np.sqrt(w)
    wide = x * root[:, None]
    inverse = np.linalg.pinv(wide)
    rest = np.eye(len(y)) - wide @ inverse
    adjusted = np.zeros((who.max() + 1, len(y)))
    for person in range(who.max() + 1):
        mine = np.flatnonzero(who == person)
        values, vectors = np.linalg.eigh(rest[np.ix_(mine, mine)])
        adjusted[person, mine] = inverse[column, mine] @ (vectors / np.sqrt(values)) @ vectors.T
    form = adjusted @ rest @ np.diag(w) @ rest @ adjusted.T
    error = np.sqrt(np.square(adjusted @ rest @ (root * y)).sum())
    return (inverse @ (root * y))[column], error, np.trace(form) ** 2 / np.square(form).sum()


@pytest.mark.parametrize(("weighted", "clustered"), [(True, False), (False, True), (True, True)])
def test_robust_errors_are_those_of_whole_matrices(weighted: bool, clustered: bool) -> None:
    rng = np.random.default_rng(1)
    who = np.unique(rng.integers(0, 14, 60), return_inverse=True)[1] if clustered else np.arange(60)
    x, y = np.column_stack([np.ones(60), rng.normal(size=60), rng.integers(0, 2, 60)]), rng.normal(size=60)
    w = rng.uniform(0.3, 3, 60) if weighted else np.ones(60)
    on = columns(x, w if weighted else None, who if clustered else None)
    for column in range(3):
        found = least_squares(y, on, column)
        wanted = brute_force(x, y, w, who, column)
        assert [float(found.value), float(found.error), float(found.freedom)] == pytest.approx(wanted)
    answer = (rng.random(60) < 0.5).astype(float)
    logit = fit_binary(answer, x, w if weighted else None, who if clustered else None)
    kind = {"cov_type": "cluster", "cov_kwds": {"groups": who, "use_correction": False}}
    reference = sm.GLM(answer, x, family=sm.families.Binomial(), var_weights=w).fit(**kind)
    assert logit.coefficients == pytest.approx(reference.params)
    assert [float(np.sqrt(squares(logit.of(k).influence))) for k in range(3)] == pytest.approx(reference.bse, rel=1e-6)


def test_the_mean_by_hand() -> None:
    # Weights 1, 1, 2 of answers 0, 4, 6: the mean is 4; errors -4/4, 0, 4/4, over sqrt(1 - share).
    answers = np.array([0.0, 4.0, 6.0])
    found = least_squares(answers, columns(np.ones((3, 1)), np.array([1.0, 1.0, 2.0])))
    assert float(found.value) == 4 and float(found.error) == pytest.approx(np.sqrt(1 / 0.75 + 1 / 0.5))
    # The same person twice: two people, whose sums of errors are -4/3 (share 2/3) and 4/3... the mean of 0, 0, 6 is 2.
    twice = least_squares(np.array([0.0, 0.0, 6.0]), columns(np.ones((3, 1)), None, np.array([0, 0, 1])))
    assert float(twice.value) == 2 and float(twice.error) == pytest.approx(np.sqrt((4 / 3) ** 2 * (3 + 1.5)))
    assert effective_n(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)


def coverage(kind: str, clustered: bool, draws: int = 150) -> float:
    """How often the 95 % interval of 36 people with 1 to 12 rows holds the truth."""
    rng, inside = np.random.default_rng(4), []
    for _ in range(draws):
        who = np.repeat(np.arange(36), rng.integers(1, 13, 36))
        arm = rng.permutation(np.arange(36) % 2)[who]
        y = 0.4 * arm + rng.normal(0, 0.8, 36)[who] + rng.normal(0, 0.7, len(who))
        x = np.column_stack([np.ones(len(who)), *([arm] if kind == "effect" else [])])
        nobody: Any = (np.empty(0), np.empty((0, x.shape[1])), x.shape[1] - 1)
        sample = Sample(y, y, x, *nobody, participants=who, pilot=(), groups=who if clustered else None)
        found = people_only(sample)
        inside.append(bool(found.low <= (0.4 if kind == "effect" else 0.2) <= found.high))
    return float(np.mean(inside))


@pytest.mark.parametrize("kind", ["mean", "effect"])
def test_intervals_of_people_with_several_rows_hold_only_where_the_id_is_named(kind: str) -> None:
    # With 150 draws an interval of 95 % is at least .90 in all but one of a thousand seeds.
    assert coverage(kind, clustered=True) >= 0.90
    assert coverage(kind, clustered=False) < 0.75


def test_prediction_powered_intervals_count_people_too() -> None:
    rng, inside = np.random.default_rng(0), []
    for _ in range(100):
        who = np.repeat(np.arange(40), rng.integers(1, 10, 40))
        own = rng.normal(0, 0.8, 340)
        y = own[who] + rng.normal(0, 0.6, len(who))
        f, others = (0.7 * own[of] + rng.normal(0.5, 0.4, len(of)) for of in (who, np.arange(40, 340)))
        found = rectified_mean(y, f, others, participants=who, pilot=())
        inside.append(bool(found.low <= 0 <= found.high))
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize(("kind", "estimator"), [("mean", people_only), ("mean", tuned), ("logit", logit_people_only)])
def test_weighted_intervals_hold_and_unweighted_ones_do_not(kind: str, estimator: Any) -> None:
    share, chance, level = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.45, 1.0]), np.array([1.0, 0.0, -1.0])
    rng, draws, n = np.random.default_rng(2), 600, 300
    stratum = rng.choice(3, size=(draws, n), p=share * chance / (share @ chance))
    weights, arm = 1 / chance[stratum], (rng.random((draws, n)) < 0.5).astype(float)
    effect = np.array([2.0, 1.0, 0.0])
    linear = level[stratum] + effect[stratum] * arm
    noise = rng.normal(size=(draws, n))
    if kind == "logit":
        y, x = (
            (rng.random((draws, n)) < 1 / (1 + np.exp(-linear))).astype(float),
            np.stack([np.ones_like(arm), arm], -1),
        )
        p = [share @ (1 / (1 + np.exp(-level - effect * a))) for a in (0, 1)]
        truth = np.log(p[1] / (1 - p[1])) - np.log(p[0] / (1 - p[0]))
    else:
        y, x, truth = linear + noise, np.ones((draws, n, 1)), share @ (level + 0.5 * effect)
    f, half = 0.5 * y + 0.5 * noise, 100
    sides: Any = (y[:, :half], f[:, :half], x[:, :half], f[:, half:], x[:, half:], x.shape[-1] - 1)
    for named in (True, False):
        of = {"weights": weights[:, :half], "unlabelled_weights": weights[:, half:]} if named else {}
        who = np.tile(np.arange(half), (draws, 1))
        found = estimator(Sample(*sides, participants=who, pilot=(), **of))
        holds = ((found.low <= truth) & (truth <= found.high)).mean()
        assert not named or 0.92 <= holds <= 0.98
        assert named or kind == "logit" or holds < 0.8


def test_weighted_distances_are_those_of_the_population() -> None:
    rng, chance = np.random.default_rng(5), np.array([0.2, 0.2, 1.0])
    share, simulated = np.array([0.5, 0.3, 0.2]), []
    p = share * chance / (share @ chance)
    codes = [rng.choice(3, size=400, p=p) for _ in range(2)]
    weights = 1 / chance[codes[0]], 1 / chance[codes[1]]
    # Other people of the same population, given weights: as far from people as people are, and near the population.
    alike = compare_many([codes[0]], [codes[1]], [3], 60, rng, weights=weights)
    assert alike.low <= alike.human_benchmark <= alike.high
    simulated = rng.choice(3, size=400, p=share)
    for named, near in ((True, True), (False, False)):
        sides = (np.ones(400), weights[1]) if named else None
        found = compare_many([simulated], [codes[1]], [3], 60, rng, weights=sides)
        assert (found.low <= found.human_benchmark) is near
    equal = compare_many(
        [codes[0]], [codes[1]], [3], 60, np.random.default_rng(1), weights=(np.ones(400), np.ones(400))
    )
    plain = compare_many([codes[0]], [codes[1]], [3], 60, np.random.default_rng(1))
    assert (equal.value, equal.human_benchmark) == pytest.approx((plain.value, plain.human_benchmark))


def test_a_regression_is_clustered_by_person_and_who_is_drawn_twice_is_two(toy: Study, draw_toy_people) -> None:
    people = several_rows(draw_toy_people(60, 2), 4)
    table, regression = with_analysis_columns(toy, people), toy.regressions[0]
    found = fit(regression, table)
    design = design_of(regression, table, None)
    reference = sm.OLS(design.outcome, design.predictors).fit(
        use_t=True, cov_type="cluster", cov_kwds={"groups": people[PERSON]}
    )
    assert found.standard_error == pytest.approx(reference.bse[1:]) and found.n == 60 and set(found.freedom) == {59}
    whose = pd.factorize(people[PERSON])[0]
    twice = refit(regression, design, np.full((1, 60), 2)[:, whose])
    both = pd.concat([table, table.assign(**{PERSON: table[PERSON] + 1000})])
    assert twice.standard_error[0] == pytest.approx(fit(regression, both).standard_error)
