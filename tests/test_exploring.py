"""The notebook to explore with: it runs without a window, and what it shows is what the model and the people say."""

import itertools
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from pilotlm.answering.exploring import fine_tuned, law_after, ready
from pilotlm.answering.laws import question_law
from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.execution import run_notebook
from pilotlm.instrument.sources import load_people
from pilotlm.records import Places
from pilotlm.showing.exploring import law_bars, laws_beside, opening, people_law, persona_boxes, questions_asked
from pilotlm.stages import ExploreParameters
from pilotlm.study import load_study

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "explore.ipynb"


@pytest.fixture(scope="module")
def framing():
    study = load_study("framing")
    return study, load_people(study).table


def test_the_law_of_people_is_their_frequencies_in_the_treatment(framing):
    study, people = framing
    law = people_law(study, people, "negative_latino", "cong_mesg")
    mine = people[people["treatment"] == "negative_latino"]["cong_mesg"]
    assert law.to_dict() == {0: (mine == 0).mean(), 1: (mine == 1).mean()}
    assert list(people_law(study, people.iloc[:1], "negative_latino", "p_harm").index) == list(range(2, 9))


def test_an_opening_is_a_made_up_participant_of_the_treatment(framing):
    study, _ = framing
    person, column = opening(study, "positive_latino", "emo")
    assert person["treatment"] == "positive_latino" and column == "emo"
    assert set(person) == {"treatment", *(field.name for field in study.persona)}
    assert opening(study)[1] == next(iter(questions_asked(study)))
    for wrong in ({"treatment": "positiv_latino"}, {"question": "cong"}):
        with pytest.raises(InputError, match="has no"):
            opening(study, **wrong)


@pytest.mark.parametrize("name", ["framing", "anes96", "hunt2025-synthetic"])
def test_every_box_holds_a_code_that_the_prompt_understands(name):
    study = load_study(name)
    person = opening(study)[0]
    boxes = persona_boxes(study, person)
    assert {field: box.value for field, box in boxes.items()} == person
    assert all(box.description for box in boxes.values())


def test_laws_stand_side_by_side_in_words(framing):
    study, _ = framing
    laws = {"A": pd.Series([0.25, 0.75], index=[0, 1]), "B": pd.Series([0.4, 0.6], index=[1, 0])}
    table = laws_beside(study, "cong_mesg", laws)
    assert (
        list(table["A"]) == ["0.250", "0.750"]
        and list(table["B"]) == ["0.600", "0.400"]
        and list(table.columns) == ["Answer", "A", "B"]
    )
    heights = [bar.get_height() for bar in law_bars(study, "cong_mesg", laws).axes[0].patches]
    assert heights == [0.25, 0.75, 0.6, 0.4]


def test_an_arm_is_ready_and_one_without_an_adapter_is_refused(framing, tmp_path, monkeypatch):
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path))
    study, people = framing
    arms, places = load_arms(), Places("scratch", "framing")
    parameters = ExploreParameters(model="tiny-random", threads=1)
    assert fine_tuned(arms, places, 1) == ()
    base = ready(study, people, arms.arm("base"), arms, places, parameters)
    law = question_law(base, pd.DataFrame([{"participant": 1, **opening(study)[0]}]), "p_harm")
    # Rounding of 32-bit numbers.
    np.testing.assert_allclose(law.sum(axis=1), 1, atol=1e-6)
    with pytest.raises(InputError):
        ready(study, people, arms.arm("tuned_all_25"), arms, places, parameters)


def test_laws_after_each_way_to_get_there_sum_to_the_law_whatever_was_answered(framing, tmp_path, monkeypatch):
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path))
    study, people = framing
    arms, places = load_arms(), Places("scratch", "framing")
    base = ready(study, people, arms.arm("base"), arms, places, ExploreParameters(model="tiny-random", threads=1))
    first, second = list(questions_asked(study))[:2]
    person = pd.DataFrame([{"participant": 1, **opening(study)[0]}])
    # What is answered to the questions from the second on is not looked at.
    others = {column: people[column].iloc[0] for column in study.answer_columns}
    ways = question_law(base, person, first).iloc[0]
    laws = [law_after(base, person.assign(**others | {first: value}), second) for value in ways.index]
    together = sum(chance * law for chance, law in zip(ways, laws, strict=True))
    # The random model hardly heeds what was answered, but far more than 32-bit numbers are rounded.
    assert max(abs(a - b).max() for a, b in itertools.pairwise(laws)) > 5e-5
    np.testing.assert_allclose(together, question_law(base, person, second).iloc[0], atol=1e-6)


def test_the_notebook_runs_without_a_window(tmp_path, monkeypatch):
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1] / "lib"))
    given = {"model": "tiny-random", "threads": 1, "question": "anx", "treatment": "positive_latino"}
    run_notebook(NOTEBOOK, tmp_path / "out.ipynb", {name: str(value) for name, value in given.items()})
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    data = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = "\n".join(one.get("text/markdown", "") for one in data)
    drawn = [one for one in data if "image/png" in one]
    assert (
        drawn
        and all(one["image/svg+xml"].startswith("<?xml") for one in drawn)
        and "only the base model answers" in texts
    )
    study = load_study("framing")
    law = people_law(study, load_people(study).table, "positive_latino", "anx")
    assert all(f"{share:.3f}" in texts for share in law)
