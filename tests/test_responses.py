from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pilotlm.errors import InputError
from pilotlm.responses import (
    KEYS,
    PILOT,
    as_responses,
    check_responses,
    read_responses,
    response_columns,
    subgroup_of,
    valid_mass_column,
    with_analysis_columns,
    write_responses,
)
from pilotlm.study import RESERVED, Study


def changed(table: pd.DataFrame, column: str, value: Any, row: int = 4) -> pd.DataFrame:
    values = table[column].astype(object).tolist()
    values[row] = value
    return table.assign(**{column: values})


def test_columns_of_the_table_are_reserved(toy: Study) -> None:
    assert {*KEYS, PILOT} == RESERVED
    assert response_columns(toy)[:7] == [*KEYS, PILOT]
    assert response_columns(toy)[7:] == ["age", "sex", "region", *toy.answer_columns]


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_variable_may_take_a_column_of_the_table(toy_content: dict[str, Any], name: str) -> None:
    persona = [*toy_content["persona"], {"name": name, "text": "{value}", "range": [0, 1]}]
    with pytest.raises(ValueError, match=f"every table has a column '{name}' already"):
        Study.model_validate({**toy_content, "persona": persona})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("fear", 5, "row 5, column 'fear': '5' is not allowed; allowed: 1, 2, 3, 4"),
        ("fear", 1.5, "row 5, column 'fear': '1.5' is not allowed"),
        ("fear", np.nan, "row 5, column 'fear': 'nan' is not allowed"),
        ("leave", "leave", "row 5, column 'leave': 'leave' is not allowed; allowed: 0, 1, 2"),
        ("odds_small", 30, "row 5, column 'odds_small': '30' is not allowed; allowed: 0, 25, 50, 75, 100"),
        ("treatment", "clam", "row 5, column 'treatment': 'clam' is not allowed; allowed: alarm, calm"),
    ],
)
def test_an_answer_that_is_not_allowed_is_named(
    toy: Study, toy_people: pd.DataFrame, column: str, value: Any, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_responses(toy, changed(toy_people, column, value), "here")
    assert f"here, {said}" in str(caught.value) and "\n" not in str(caught.value)


def test_an_allocation_must_sum_to_its_total(toy: Study, toy_people: pd.DataFrame) -> None:
    row = toy_people.index[toy_people["odds_none"] == 50][0]
    with pytest.raises(InputError, match=f"here, row {row + 1}: the parts of 'odds' sum to 75, not to 100"):
        check_responses(toy, changed(toy_people, "odds_none", 25, row), "here")


def test_missing_columns_are_named(toy: Study, toy_people: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"here: the responses lack the column.s. age, leave"):
        check_responses(toy, toy_people.drop(columns=["leave", "age"]), "here")


def test_answers_are_put_beside_the_people_they_are_for(toy: Study, toy_people: pd.DataFrame) -> None:
    people = toy_people.iloc[50:60]
    answers = toy_people.iloc[:10][list(toy.answer_columns)].assign(draw=3, **{valid_mass_column("fear"): 0.5})
    table = as_responses(toy, people, answers, "base", 7, people["participant"] > 55)
    assert table["participant"].tolist() == list(range(51, 61))
    assert table["age"].tolist() == people["age"].tolist()
    assert table["fear"].tolist() == toy_people["fear"].head(10).tolist()
    assert (table[["arm", "seed", "draw"]] == ["base", 7, 3]).to_numpy().all()
    assert table[PILOT].tolist() == [False] * 5 + [True] * 5
    assert table.columns.tolist() == [*response_columns(toy), "valid_mass_fear"]


def test_responses_are_read_as_they_were_written(toy: Study, toy_people: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "run" / "people.parquet"
    write_responses(path, toy, toy_people)
    read = read_responses(path, toy, "the test")
    pd.testing.assert_frame_equal(read, toy_people, check_dtype=False)
    with pytest.raises(InputError, match=r"not allowed"):
        write_responses(path, toy, changed(toy_people, "fear", 9).astype({"fear": int}))
    pd.testing.assert_frame_equal(read_responses(path, toy, "the test"), read)


def test_design_and_derived_columns_are_added(toy_content: dict[str, Any], toy_people: pd.DataFrame) -> None:
    derived = [
        {"name": "level", "kind": "mean", "of": ["fear", "leave"]},
        {"name": "any", "kind": "any_at_least", "of": ["fear", "leave"], "at_least": 2},
    ]
    before = toy_people.copy(deep=True)
    table = with_analysis_columns(Study.model_validate({**toy_content, "derived": derived}), toy_people)
    assert table["alarm"].equals((toy_people["treatment"] == "alarm").astype(float))
    assert table["level"].equals((toy_people["fear"] + toy_people["leave"]) / 2)
    assert table["any"].equals(((toy_people["fear"] >= 2) | (toy_people["leave"] >= 2)).astype(float))
    pd.testing.assert_frame_equal(toy_people, before)


def test_levels_and_cuts_make_groups(toy: Study, toy_people: pd.DataFrame) -> None:
    people = toy_people.head(5).assign(age=[18, 29, 30, 59, 60])
    groups = ["under 30", "under 30", "30 to under 60", "30 to under 60", "60 and over"]
    assert subgroup_of(toy, people, "age").tolist() == groups
    words = toy_people["region"].map({1: "north", 2: "south", 3: "west"})
    assert subgroup_of(toy, toy_people, "region").tolist() == words.tolist()


def test_codes_in_no_group_are_missing(toy_content: dict[str, Any], toy_people: pd.DataFrame) -> None:
    subgroups = [{"variable": "region", "label": "Region", "groups": {"North": [1]}}]
    groups = subgroup_of(Study.model_validate({**toy_content, "subgroups": subgroups}), toy_people, "region")
    assert (groups.isna() == (toy_people["region"] != 1)).all() and set(groups.dropna()) == {"North"}
