from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pilotlm.errors import InputError
from pilotlm.instrument.checking import describe_study
from pilotlm.instrument.prompts import prompt_for
from pilotlm.study import load_study


@pytest.fixture
def table(toy_project: Path, toy_people: pd.DataFrame) -> pd.DataFrame:
    """The people of the toy study as its raw file has them."""
    raw = toy_people.assign(alarm=(toy_people["treatment"] == "alarm").astype(int))
    raw["sex"] = raw["sex"].map({0: "m", 1: "f"})
    return raw[["alarm", "age", "sex", "region", "fear", "odds_none", "odds_small", "odds_big", "leave"]]


def described(project: Path, table: pd.DataFrame) -> str:
    table.to_csv(project / "data" / "toy" / "toy.csv", index=False)
    return describe_study("toy")


def test_a_study_is_described_with_its_people(toy_project: Path, table: pd.DataFrame) -> None:
    text = described(toy_project, table.assign(age=[None, *table["age"][1:]]))
    for line in (
        "toy: A toy study",
        "240 rows read from toy.csv, 1 dropped for lack of a value: 239 people. They are synthetic.",
        f"  calm (Calm): {(table['alarm'][1:] == 0).sum()} people",
        "  fear (scale, belief): 1 to 4",
        "  odds (allocation, belief): odds_none, odds_small, odds_big in steps of 25, sum 100",
        "  leave (choice, action): 0 = stay, written 'stay'; 1 = leave, written 'leave'; 2 = call, written 'call'",
        "  nothing: no constant column, no group of fewer than 20 people",
    ):
        assert line in text.splitlines()


def test_the_first_people_of_two_treatments_are_shown_word_for_word(
    toy_project: Path, table: pd.DataFrame, toy_people: pd.DataFrame
) -> None:
    text = described(toy_project, table)
    study = load_study("toy")
    assert text.count("The prompt of participant") == 2
    for _, person in toy_people.drop_duplicates("treatment").iterrows():
        form = [
            f"fear: {person['fear']}", f"no fire: {person['odds_none']}", f"a small fire: {person['odds_small']}",
            f"a big fire: {person['odds_big']} (not asked: it is what is left)",
            f"leave: {['stay', 'leave', 'call'][person['leave']]}",
        ]  # fmt: skip
        assert prompt_for(study, person).text + "\n\n" + "\n".join(form) + "\n" in text


def test_two_people_of_a_single_treatment_are_shown(toy_project: Path, table: pd.DataFrame) -> None:
    text = described(toy_project, table.assign(alarm=0))
    assert "The prompt of participant 1, treatment 'calm'" in text
    assert "The prompt of participant 2, treatment 'calm'" in text


def test_constant_columns_and_tiny_groups_are_warned_of(toy_project: Path, table: pd.DataFrame) -> None:
    table = table.assign(sex="f", fear=2, alarm=[1] * 7 + [0] * 233, region=[3] * 4 + [1] * 236)
    text = described(toy_project, table)
    for line in (
        "'sex' is 1 for everybody", "'fear' is 2 for everybody", "treatment 'alarm' has only 7 people",
        "subgroup 'west' of 'region' has only 4 people",
    ):  # fmt: skip
        assert f"  {line}" in text.splitlines()
    assert "nothing: no constant" not in text


def test_many_dropped_rows_are_warned_of(toy_project: Path, table: pd.DataFrame) -> None:
    text = described(toy_project, table.assign(age=[None] * 60 + table["age"].tolist()[60:]))
    assert "  60 of 240 rows lack a value and are dropped" in text.splitlines()


def test_wrong_data_are_one_sentence(toy_project: Path, table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"toy.csv, row 1, column 'fear': '9' is not allowed"):
        described(toy_project, table.assign(fear=9))
    with pytest.raises(InputError, match="There is no study 'toi'"):
        describe_study("toi")
