from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pilotlm.data.check import describe_study
from pilotlm.data.prompts import example_person, prompt_for
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
        "  fear (scale, belief): 1 = not to 4 = very",
        "  odds (allocation, belief): numbers in steps of 25 that sum to 100: no fire, a small fire, a big fire",
        "  leave (choice, action): 0 = stay, written 'stay'; 1 = leave, written 'leave'; 2 = call, written 'call'",
        "Of 240 rows read some are dropped because a value is missing: 'age' in 1.",
        "  no order is taken for the answers to 'leave', so they have shares and no means; if they have one, put the "
        "options in that order and add `ordered: true`",
    ):
        assert line in text.splitlines()


def test_prompts_of_made_up_people_are_shown_and_nobodys_answers(
    toy_project: Path, table: pd.DataFrame, toy_people: pd.DataFrame
) -> None:
    text = described(toy_project, table)
    study = load_study("toy")
    form = ["fear:", "no fire:", "a small fire:", "a big fire: (not asked: it is what is left)", "leave:"]
    for treatment in (0, 1):
        shown = "\n".join([prompt_for(study, example_person(study, treatment)).text, "", *form])
        assert f"{shown}\n" in text
    assert text.count("The prompt of a made-up participant") == 2
    # Other answers of the same people, and not a letter of it changes.
    others = table.assign(fear=5 - table["fear"], leave=2 - table["leave"])
    assert described(toy_project, others) == text


def test_a_study_of_one_treatment_shows_one_prompt(toy_content: dict[str, Any], toy_project: Path) -> None:
    content = {**toy_content, "treatments": [{**toy_content["treatments"][0], "when": {}}]}
    (toy_project / "data" / "toy" / "study.yml").write_text(yaml.safe_dump(content))
    table = pd.DataFrame({"age": [30], "sex": "m", "region": 1, "fear": 2, "leave": 0})
    text = described(toy_project, table.assign(odds_none=0, odds_small=0, odds_big=100))
    assert text.count("The prompt of a made-up participant, treatment 'calm'") == 1


def test_constant_columns_and_tiny_groups_are_warned_of(toy_project: Path, table: pd.DataFrame) -> None:
    table = table.assign(sex="f", fear=2, alarm=[1] * 7 + [0] * 233, region=[3] * 4 + [1] * 236)
    text = described(toy_project, table)
    for line in (
        "'sex' is 1 for everybody", "'fear' is 2 for everybody", "treatment 'alarm' has only 7 people",
        "subgroup 'west' of 'region' has only 4 people",
    ):  # fmt: skip
        assert f"  {line}" in text.splitlines()
    assert "nothing: no constant" not in text
