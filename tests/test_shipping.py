"""A packed run holds no people, comes back as it was, and a number that was changed in it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.errors import InputError
from pilotlm.predictions import as_predictions, asked_columns, read_predictions, write_predictions
from pilotlm.records import Places, is_packed, read_parquet, write_csv, write_json, write_text
from pilotlm.reference import (
    PREDICTIONS,
    RELATIVE,
    RESPONSES,
    Checked,
    changed_files,
    compared,
    pack,
    unpack,
    values_of_table,
    verify,
)
from pilotlm.responses import as_responses, read_responses, write_responses
from pilotlm.stages import ANALYSES, notebook_of
from pilotlm.study import Study

RUN = "given"


def simulated(study: Study, people: pd.DataFrame, arm: str) -> pd.DataFrame:
    answers = people[list(study.answer_columns)].assign(draw=0, valid_mass_fear=np.linspace(0.1, 0.9, len(people)))
    if arm == "tuned_all_25":
        answers = answers.assign(expected_fear=2.5)
    return as_responses(study, people, answers, arm, 1, pd.Series(False, index=people.index))


@pytest.fixture
def finished(toy: Study, toy_people: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """The files of a run of the toy study that packing reads: base and fine-tuned, and one arm that wrote nothing."""
    monkeypatch.setenv("PILOTLM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("pilotlm.reference.load_study", lambda name: toy)
    places = Places(RUN, toy.name)
    some = toy_people.head(40).reset_index(drop=True)
    uniform = {c: np.full((len(some), len(v)), 1 / len(v)) for c, v in asked_columns(toy).items()}
    records = {}
    for arm in ("base", "base_free", "tuned_all_25"):
        table = simulated(toy, some.head(0) if arm == "base_free" else some, arm)
        write_responses(places.responses(arm, 1), toy, table)
        if arm != "base_free":
            write_predictions(places.predictions(arm, 1), toy, as_predictions(toy, some["participant"], uniform))
        records[f"03-simulate-{arm}-s1"] = {"stage": "simulate", "parameters": {"arm": arm, "seed": 1}}
    row = dict.fromkeys(METRIC_COLUMNS, 0.5) | {"study": toy.name, "arm": "base", "seed": 1}
    table = pd.DataFrame([row | {"metric": "gap", "item": "all", "subgroup": "", "against": "held-out"}])
    noted = nbformat.v4.new_notebook(metadata={"papermill": {"output_path": "/this/machine/page.ipynb"}})
    page = nbformat.writes(noted)
    for stage in ("prepare", *ANALYSES, "decision"):
        write_text(places.folder / "notebooks" / notebook_of(stage).name, page)
    for analysis in ANALYSES:
        write_csv(places.measures(analysis), table)
    write_json(places.decision, {"verdict": "use"})
    top = places.folder.parent
    write_json(top / "manifest.json", {"run": RUN, "studies": {toy.name: {}}, "records": {toy.name: records}})
    write_csv(top / "metrics.csv", table)
    write_text(top / "report.ipynb", page)
    return places


def test_no_row_of_a_person_is_packed(finished: Places, toy: Study, toy_people: pd.DataFrame, tmp_path: Path) -> None:
    write_responses(finished.people, toy, toy_people)
    packed = pack(RUN, tmp_path / "packed")
    assert is_packed(packed) and not changed_files(packed)
    held = read_parquet(packed / toy.name / RESPONSES, "packing")
    assert not {variable.name for variable in toy.background} & set(held.columns)
    assert set(held["arm"]) == {"base", "tuned_all_25"}
    assert not [path for path in packed.rglob("*.ipynb") if "/this/machine" in path.read_text()]
    assert not list(packed.rglob("people*")) and not list(packed.rglob("adapters"))


def test_what_is_packed_comes_back_as_it_was(
    finished: Places, toy: Study, toy_people: pd.DataFrame, tmp_path: Path
) -> None:
    packed = pack(RUN, tmp_path / "packed")
    records = json.loads((packed / "manifest.json").read_text())["records"][toy.name]
    unpack(packed / toy.name, tmp_path / "back", toy, toy_people, records)
    for arm in ("base", "base_free", "tuned_all_25"):
        before = read_responses(finished.responses(arm, 1), toy, "the test")
        after = read_responses(tmp_path / "back" / "responses" / f"{arm}-s1.parquet", toy, "unpacking")
        pd.testing.assert_frame_equal(after, before[after.columns], check_dtype=len(before) > 0)
        assert set(before.columns) == set(after.columns) or not len(before)
    distribution = tmp_path / "back" / "predictions"
    assert sorted(path.name for path in distribution.glob("*")) == ["base-s1.parquet", "tuned_all_25-s1.parquet"]
    pd.testing.assert_frame_equal(
        read_predictions(distribution / "base-s1.parquet", toy, "unpacking"),
        read_predictions(finished.predictions("base", 1), toy, "the test"),
    )


def test_a_participant_whom_the_data_do_not_have_is_an_error(
    finished: Places, toy: Study, toy_people: pd.DataFrame, tmp_path: Path
) -> None:
    packed = pack(RUN, tmp_path / "packed")
    with pytest.raises(InputError, match="answers for participant 1, who is not in the data"):
        unpack(packed / toy.name, tmp_path / "back", toy, toy_people.tail(10), {})


def test_an_edited_file_is_named(finished: Places, tmp_path: Path) -> None:
    packed = pack(RUN, tmp_path / "packed")
    table = packed / "toy" / "measures" / "coherence.csv"
    table.write_text(table.read_text().replace("0.5", "0.6"))
    assert changed_files(packed) == ["toy/measures/coherence.csv"]
    with pytest.raises(InputError, match=r"not as it was packed: changed or removed were toy/measures/coherence\.csv"):
        verify(packed)
    (packed / "toy" / PREDICTIONS).unlink()
    assert len(changed_files(packed)) == 2


def test_only_a_packed_run_is_replaced(finished: Places, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("of my own")
    with pytest.raises(InputError, match="is not a packed run"):
        pack(RUN, mine)
    assert (mine / "notes.txt").read_text() == "of my own"
    packed = pack(RUN, tmp_path / "packed")
    finished.decision.unlink()
    with pytest.raises(InputError, match=r"decision\.json is missing"):
        pack(RUN, packed)
    assert not changed_files(packed), "what was there before stays whole"


def tidy(**changes: Any) -> pd.DataFrame:
    row = dict.fromkeys(METRIC_COLUMNS, 0.25) | {"study": "s", "arm": "a", "seed": 1, "metric": "gap", "item": "all"}
    return pd.DataFrame([row | {"subgroup": "", "against": "held-out", "n": 40} | changes])


def checked(ours: pd.DataFrame, theirs: pd.DataFrame) -> Checked:
    return compared("s", "coherence", values_of_table(ours), values_of_table(theirs))


def test_numbers_are_compared_one_by_one() -> None:
    same = checked(tidy(), tidy())
    assert (same.largest, same.wrong, same.numbers) == (0.0, (), 8)
    assert not checked(tidy(low=np.nan), tidy(low=np.nan)).wrong
    close = checked(tidy(estimate=0.25 * (1 + RELATIVE / 2)), tidy())
    assert 0 < close.largest < RELATIVE and not close.wrong
    assert checked(tidy(estimate=0.2501), tidy()).wrong == ("s a 1 gap all  held-out, estimate: 0.2501, packed 0.25",)
    assert "high: 0.25, packed nan" in checked(tidy(), tidy(high=np.nan)).wrong[0]
    assert checked(tidy(arm="b"), tidy()).wrong[0].startswith("other values")
    said = compared("s", "decision", pd.Series({"verdict": "use"}), pd.Series({"verdict": "do not use"})).wrong
    assert said == ("verdict: use, packed do not use",)


def test_rows_of_equal_names_are_compared_each_with_its_own() -> None:
    both = pd.concat([tidy(), tidy(estimate=0.5)], ignore_index=True)
    assert not checked(both, both).wrong
    assert "estimate: 0.6, packed 0.5" in checked(pd.concat([tidy(), tidy(estimate=0.6)]), both).wrong[0]
