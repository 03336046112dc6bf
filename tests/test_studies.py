"""The shipped studies: every number that their cards state."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from pilotlm.data.sources import People, load_people
from pilotlm.data.synthetic import ACTIONS, expected_pay
from pilotlm.errors import InputError
from pilotlm.records import cache_folder, data_folder
from pilotlm.responses import response_columns, subgroup_of, with_analysis_columns
from pilotlm.stats.regressions import fit
from pilotlm.study import Download, MaximisesExpectedPay, Regression, Study, load_study, study_names

WITH_DATA = ("framing", "anes96", "hunt2025-synthetic", "loomba2021")
FITTERS = {"linear": smf.ols, "logit": smf.logit, "probit": smf.probit}


def people_of(name: str) -> tuple[Study, People]:
    """A study and its people; skipped, with the reason, where the file would have to be downloaded."""
    study = load_study(name)
    if isinstance(study.source, Download):
        file, named = study.source.file, os.environ.get("PILOTLM_DATA")
        places = [cache_folder() / "data" / name / file]
        places += [Path(named) / name / file, Path(named) / file] if named else []
        if not any(place.is_file() for place in places):
            pytest.skip(f"{name}: {file} is neither in the cache nor in PILOTLM_DATA ({named or 'not set'})")
    return study, load_people(study)


@pytest.fixture(scope="module")
def loaded() -> Callable[[str], tuple[Study, pd.DataFrame]]:
    """Studies and the tables their regressions use, each loaded once."""
    known: dict[str, tuple[Study, pd.DataFrame]] = {}

    def get(name: str) -> tuple[Study, pd.DataFrame]:
        if name not in known:
            study, people = people_of(name)
            known[name] = study, with_analysis_columns(study, people.table)
        return known[name]

    return get


Loaded = Callable[[str], tuple[Study, pd.DataFrame]]


def structures(study: Study, table: pd.DataFrame) -> int:
    """How many belief structures there are."""
    return len(table[list(study.belief_columns)].drop_duplicates())


def fitted(study: Study, table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Coefficients and p-values of a regression."""
    regression: Regression = next(r for r in study.regressions if r.name == name)
    for variable, codes in regression.only.items():
        table = table[table[variable].isin(codes)]
    options = {} if regression.family == "linear" else {"disp": 0}
    result = FITTERS[regression.family](regression.formula, table).fit(**options)
    return pd.DataFrame({"estimate": result.params, "p": result.pvalues, "n": int(result.nobs)})


def stars(p: float) -> str:
    """The stars of a p-value."""
    return "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else "ns"


# What the cards state.


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_loads_and_has_a_card(name: str) -> None:
    assert load_study(name).name == name
    assert (data_folder() / name / "card.md").is_file()


@pytest.mark.parametrize("name", WITH_DATA)
def test_people_are_a_table_of_responses(name: str, loaded: Loaded) -> None:
    study, table = loaded(name)
    assert list(table.columns[: len(response_columns(study))]) == response_columns(study)
    assert set(table["arm"]) == {"human"} and not table["in_pilot"].any()
    assert table["participant"].is_unique and table["participant"].min() == 1
    assert table[list(study.answer_columns)].dtypes.eq("int64").all()
    assert {t.name for t in study.treatments} == set(table["treatment"])
    assert len(table) == {"framing": 265, "anes96": 944, "hunt2025-synthetic": 929, "loomba2021": 4000}[name]
    for subgroup in study.subgroups:
        assert subgroup_of(study, table, subgroup.variable).notna().all()


@pytest.mark.parametrize(("name", "count"), [("framing", 83), ("anes96", 176), ("loomba2021", 867)])
def test_count_of_belief_structures(name: str, count: int, loaded: Loaded) -> None:
    assert structures(*loaded(name)) == count


def test_framing_gap_and_independent_level(loaded: Loaded) -> None:
    _, table = loaded("framing")
    believes, acts = table["p_harm"] >= 6, table["cong_mesg"] == 1
    assert (believes != acts).mean() == pytest.approx(0.362, abs=5e-4)
    independent = believes.mean() * (1 - acts.mean()) + (1 - believes.mean()) * acts.mean()
    assert independent == pytest.approx(0.542, abs=5e-4)
    by_cell = acts.groupby(table["treatment"]).mean()
    assert [round(value, 3) for value in (by_cell.min(), by_cell.max())] == [0.254, 0.412]


def test_framing_anxiety_runs_with_the_other_measures(loaded: Loaded) -> None:
    _, table = loaded("framing")
    correlation = table[["anx", "emo", "p_harm", "treat"]].corr()["anx"].round(2)
    assert correlation[["emo", "p_harm", "treat"]].tolist() == [0.89, 0.62, 0.22]


def test_anes96_gap_and_ties(loaded: Loaded) -> None:
    _, table = loaded("anes96")
    clinton, dole = (table["selfLR"] - table["ClinLR"]).abs(), (table["selfLR"] - table["DoleLR"]).abs()
    tie = clinton == dole
    assert ((dole < clinton) != (table["vote"] == 1))[~tie].mean() == pytest.approx(0.124, abs=5e-4)
    assert tie.mean() == pytest.approx(0.135, abs=5e-4)


def test_loomba2021_gap_and_draws(loaded: Loaded) -> None:
    study, table = loaded("loomba2021")
    pairs = [(f"agree{k}", f"share{k}") for k in range(1, 6)]
    opposite = np.array([(np.sign(table[a]) * np.sign(table[s]) < 0).to_numpy() for a, s in pairs])
    assert opposite.any(axis=0).mean() == pytest.approx(0.252, abs=5e-4)
    draws = [structures(study, table.sample(929, random_state=seed)) for seed in range(20)]
    assert np.mean(draws) == pytest.approx(367, abs=10)


@pytest.mark.parametrize(
    ("name", "regression", "term", "estimate"),
    [
        ("framing", "emo_on_treatment", "treat", 1.34),
        ("framing", "message", "emo", 0.206),
        ("framing", "message", "gender", 0.396),
        ("framing", "message", "income", 0.084),
        ("framing", "message", "treat", 0.040),
        ("anes96", "vote_for_dole", "PID", 1.03),
        ("anes96", "vote_for_dole", "selfLR", 0.59),
        ("anes96", "vote_for_dole", "ClinLR", -0.87),
        ("anes96", "vote_for_dole", "DoleLR", -0.44),
        ("loomba2021", "sharing", "misinformation", 0.88),
        ("loomba2021", "sharing", "mean_agreement", 1.54),
    ],
)
def test_coefficients_to_the_digits_given(
    name: str, regression: str, term: str, estimate: float, loaded: Loaded
) -> None:
    digits = len(str(estimate).split(".")[1]) if term != "treat" else 3 if regression == "message" else 2
    assert round(fitted(*loaded(name), regression).loc[term, "estimate"], digits) == pytest.approx(estimate)


@pytest.mark.parametrize("name", WITH_DATA)
def test_published_terms_hold_in_the_people(name: str, loaded: Loaded) -> None:
    study, table = loaded(name)
    for regression in study.regressions:
        found = fitted(study, table, regression.name)
        assert set(regression.treatment_terms) <= set(found.index)
        for term, published in regression.published.items():
            assert stars(found.loc[term, "p"]) == published.stars, (regression.name, term)
            if published.coefficient is not None:
                assert found.loc[term, "estimate"] == pytest.approx(published.coefficient, abs=0.006)


def test_loomba2021_ten_of_twenty_terms(loaded: Loaded) -> None:
    found = fitted(*loaded("loomba2021"), "sharing").drop("Intercept")
    assert (len(found), int((found["p"] < 0.05).sum()), found["n"].iloc[0]) == (20, 10, 3975)


def test_the_synthetic_study_pays_what_the_generator_pays(loaded: Loaded) -> None:
    study, _ = loaded("hunt2025-synthetic")
    assert study.synthetic and isinstance(study.coherence, MaximisesExpectedPay)
    for treatment in study.treatments:
        pay = expected_pay(np.eye(4, dtype=int) * 100, np.array([treatment.when["value"]] * 4))
        table = study.coherence.pay[treatment.name]
        np.testing.assert_allclose(np.array([table[code] for code in range(len(ACTIONS))]).T, pay)


def test_the_slot_for_the_authors_file() -> None:
    study = load_study("hunt2025")
    assert not study.synthetic and len(study.treatments) == 8
    with pytest.raises(InputError, match=r"hunt2025\.csv, which is not there; .* not public"):
        load_people(study)


@pytest.mark.parametrize("name", study_names())
def test_texts_are_short(name: str) -> None:
    study = load_study(name)
    assert len(study.instructions.split()) <= 50
    assert all(len(treatment.scenario.split()) <= 80 for treatment in study.treatments)
    assert all(len(question.text.split()) <= 25 for question in study.questions)
    assert all(len((question.form or question.name).split()) <= 2 for question in study.questions)


def test_the_published_numbers_of_insurance() -> None:
    study = load_study("insurance")
    people = load_people(study).table
    assert len(people) == 1377 and len(people[list(study.belief_columns)].drop_duplicates()) == 61
    found = fit(study.regressions[0], with_analysis_columns(study, people))
    assert set(found.terms) == set(study.regressions[0].published)  # villages are held constant, not reported
    for term, coefficient, error in zip(found.terms, found.coefficient, found.standard_error, strict=True):
        published = study.regressions[0].published[term]
        # As many digits as are published.
        digits = 4 if abs(published.coefficient or 0) < 0.01 and term != "agpop" and term != "intensive" else 3
        assert round(coefficient, digits) == pytest.approx(published.coefficient, abs=1.01 * 10.0**-digits), term
        assert round(error, digits) == pytest.approx(published.standard_error, abs=1.01 * 10.0**-digits), term
