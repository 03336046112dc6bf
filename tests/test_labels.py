"""What a reader sees of a study's variables: words of its file, never a raw column name or a mean of nominal codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.common import Compared
from pilotlm.analyses.divergence import divergence
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.analyses.rectification import targets
from pilotlm.analyses.subgroups import subgroups
from pilotlm.arms import load_arms
from pilotlm.data.sources import load_people
from pilotlm.report.labels import average_answer, labelled, labels_of, term_label, variable_labels
from pilotlm.report.pages import rule_of
from pilotlm.report.runs import read_metrics
from pilotlm.report.sentences import variables
from pilotlm.report.tables import answers_table, baselines_table, people_table, valid_mass_table
from pilotlm.report.verdicts import verdicts
from pilotlm.study import Study, load_study, study_names

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference"
SHOWN = ("05-heterogeneity", "06-divergence", "07-subgroups", "08-coherence", "09-regression", "10-accuracy",
         "11-controls")  # fmt: skip
ARMS = ("human", "base", "tuned_n_60", "tuned_all_25", "logit_n_60", "logit_all_25")
"""Items do not differ by arm."""
COMPUTES = ("collected", "write_csv", "stage.record", "begin(", "parameters")


def raw_names(study: Study) -> set[str]:
    """The columns that are no words of the study's own labels."""
    options = [o.text for q in study.questions for o in getattr(q, "options", ())]
    levels = [level.text for variable in study.background for level in variable.levels or ()]
    labels = [*variable_labels(study).values(), *(s.label for s in study.subgroups), *options, *levels]
    labels += [t.label for t in study.treatments] + [r.label for r in study.regressions]
    groups = [group for s in study.subgroups for group in s.groups or ()]
    words = set(re.findall(r"\w+", " ".join([*labels, *groups]).lower()))
    columns = {*(v.name for v in study.background), *study.answer_columns, *study.design_columns}
    columns |= {*(d.name for d in study.derived), *(r.name for r in study.regressions)}
    # What a table says of its own is no column either.
    return {name for name in columns if name.lower() not in {*words, "treat", "action", "sex", "message", "vote"}}


def raw_in(study: Study, text: str) -> set[str]:
    found = {name for name in raw_names(study) if re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])", text)}
    return found | set(re.findall(r"C\(\w+\)|\[T\.[^\]]*\]|\w+:\w*_\w+", text))


@pytest.mark.parametrize("name", sorted({*study_names()} - {"hunt2025"}))
def test_every_variable_of_a_shipped_study_has_words(name: str) -> None:
    study = load_study(name)
    labels = variable_labels(study)
    assert set(labels) >= {v.name for v in study.background} | set(study.answer_columns) | set(study.design_columns)
    for regression in study.regressions:
        for term in [*regression.variables, *regression.published, *regression.treatment_terms]:
            assert not raw_in(study, term_label(study, term)), term
    assert not raw_in(study, rule_of(study).replace("\\", ""))


@pytest.mark.parametrize("name", ["framing", "insurance", "hunt2025-synthetic"])
def test_what_is_estimated_and_what_baselines_chose_have_words(name: str) -> None:
    study = load_study(name)
    people = load_people(study).table
    for target in targets(study, people):
        assert not raw_in(study, target.label), target.name
    chosen = dict.fromkeys(study.answer_columns, 0.5)
    fitted = SimpleNamespace(arm=load_arms().arm("logit_all_25"), cv_loss=1.0, held_out_nll=1.0, settings=chosen)
    assert not raw_in(study, baselines_table(study, [fitted]).to_string())


def test_the_guard_knows_raw_names() -> None:
    study = load_study("insurance")
    assert raw_in(study, "takeup: ricearea_2010") == {"takeup", "ricearea_2010"}
    assert raw_in(study, "C(village)[T.2]") >= {"C(village)", "[T.2]"}
    assert not raw_in(study, "Insured: Rice area in mu, Age, Male")


@pytest.mark.parametrize(
    ("study", "item", "label"),
    [
        ("insurance", "takeup: ricearea_2010", "Rice area in mu"),
        ("framing", "message: C(educ)[T.2]", "Message to Congress: Education: high school"),
        ("framing", "emo_on_treatment: treat", "Negative emotion on treatment: Negative story, Latino"),
        ("framing", "gender", "Gender"),
        ("hunt2025-synthetic", "any_raid: both", "Raids a beach: Guards at both"),
        ("hunt2025-synthetic", "belief_in_guards_at_b: both:free",
         "Belief that B is guarded: Guards at both × May be false"),
        ("hunt2025-synthetic", "belief_none", "Where the new guards are: neither"),
        ("framing", "0.1 to 0.2", "0.1 to 0.2"),
    ],
)  # fmt: skip
def test_items_in_words(study: str, item: str, label: str) -> None:
    assert labels_of(load_study(study), [item]) == {item: label}


def test_labels_that_would_be_the_same_are_told_apart(toy: Study) -> None:
    same = toy.model_copy(update={"persona": tuple(f.model_copy(update={"label": "Who"}) for f in toy.persona)})
    assert len(set(labels_of(same, ["fear: age", "fear: sex", "fear: region"]).values())) == 3


def test_a_table_without_rows_or_items_keeps_its_shape(toy: Study) -> None:
    table = pd.DataFrame({"item": ["fear", None], "subgroup": ["a", "b"]}, dtype=object)
    assert labelled(table, toy)["item"].tolist() == ["fear", None]
    empty = labelled(table[:0], toy)
    assert (empty["item"] + ": " + empty["subgroup"]).tolist() == []


def shown_texts(study: Study, notebook: str) -> str:
    """What tables and figures of an analysis notebook of the reference run show; a drawing keeps its words.

    The table of formulas is left out: it has the names that formulas are written in.
    """
    cells = json.loads((REFERENCE / study.name / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    cells = [cell for cell in cells if "label: tbl-formulas" not in "".join(cell["source"])]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    tables = ["".join(data["text/markdown"]) for data in outputs if "text/markdown" in data]
    drawn = [re.findall(r"<!-- (.*?) -->", "".join(data.get("image/svg+xml", "")), re.DOTALL) for data in outputs]
    return "\n".join([*tables, *(word for words in drawn for word in words)]).replace("\\", "")


@pytest.mark.parametrize("notebook", SHOWN)
@pytest.mark.parametrize("name", ["insurance", "hunt2025-synthetic"])
def test_no_table_or_figure_of_a_notebook_shows_a_raw_name(name: str, notebook: str) -> None:
    study = load_study(name)
    texts = shown_texts(study, notebook)
    assert len(texts) > 500 and not raw_in(study, texts)


def test_no_sentence_of_a_page_shows_a_raw_name() -> None:
    metrics = read_metrics(REFERENCE)
    manifest = json.loads((REFERENCE / "manifest.json").read_text(encoding="utf-8"))
    metrics = metrics[metrics["arm"].isin(ARMS)]
    studies = {name: load_study(name) for name in metrics["study"].unique()}
    said = verdicts(metrics, studies)
    answer = json.dumps(variables(metrics, manifest, studies)["answer"])
    for name, study in studies.items():
        mine = said[said["study"] == name]
        assert not raw_in(study, " ".join([*mine["ours"], *mine["why"], *mine["claim"], answer])), name


def recoded(study: Study, people: pd.DataFrame, codes: dict[int, int]) -> tuple[Study, pd.DataFrame]:
    """The same study and people, with other numbers for the options of the question in no order."""
    questions = [
        q.model_copy(update={"options": tuple(o.model_copy(update={"code": codes[o.code]}) for o in q.options)})
        if q.name == "leave" else q
        for q in study.questions
    ]  # fmt: skip
    return study.model_copy(update={"questions": tuple(questions)}), people.assign(leave=people["leave"].map(codes))


def test_no_number_depends_on_the_codes_of_options_in_no_order(toy: Study, toy_people: pd.DataFrame) -> None:
    """A mean or a variance of nominal codes would change when the options are numbered otherwise."""
    other, people = recoded(toy, toy_people, {0: 7, 1: 40, 2: 3})

    def tables(study: Study, rows: pd.DataFrame) -> list[pd.DataFrame]:
        allowed = answers_table(study, rows).drop(columns="Allowed")
        return [people_table(study, rows), allowed, valid_mass_table(study, rows)]

    for ours, theirs in zip(tables(toy, toy_people), tables(other, people), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)
    assert "stay" in tables(toy, toy_people)[0]["leave"].iloc[0]


def test_no_measure_depends_on_the_codes_of_options_in_no_order(toy: Study, toy_people: pd.DataFrame) -> None:
    belief = tuple(q.model_copy(update={"role": "belief"}) for q in toy.questions)
    study = toy.model_copy(update={"questions": belief})
    other, people = recoded(study, toy_people, {0: 7, 1: 40, 2: 93})
    simulated = [rows.sample(90, random_state=3).reset_index(drop=True) for rows in (toy_people, people)]

    def measured(which: Study, rows: pd.DataFrame, arm: pd.DataFrame) -> pd.DataFrame:
        compared = [Compared("base", 1, arm, rows, ())]
        found = [make(which, compared, rows, "all", 20) for make in (heterogeneity, divergence, subgroups)]
        return pd.concat(found, ignore_index=True)

    ours, theirs = measured(study, toy_people, simulated[0]), measured(other, people, simulated[1])
    pd.testing.assert_frame_equal(ours, theirs)
    assert {"unique_structures", "joint_distance", "subgroup_distance"} <= set(ours["metric"])


def test_a_mean_is_shown_of_numbers_and_shares_of_options() -> None:
    study = load_study("hunt2025-synthetic")
    assert average_answer(study, "action", pd.Series([0, 1, 1, 2])) == "stay out 25 %, beach A 50 %, beach B 25 %"
    assert average_answer(study, "belief_a", pd.Series([10, 20])) == "15.00"
    framing = load_study("framing")
    assert average_answer(framing, "cong_mesg", pd.Series([0, 0, 0, 1])) == "yes 25 %"
    assert average_answer(framing, "anx", pd.Series([1, 4])) == "2.50"
    assert (
        average_answer(framing, "cong_mesg", pd.Series(dtype=float))
        == "–"
        == average_answer(framing, "emo", pd.Series([np.nan]))
    )
