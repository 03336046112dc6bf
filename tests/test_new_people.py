"""``pilotlm simulate``: answers of people who were never asked, from the adapter that a decision left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pilotlm.cli import main
from pilotlm.data.pilot import draw_new_people
from pilotlm.models.adapters import save_adapter
from pilotlm.models.loading import load_model
from pilotlm.models.lora import TuningSettings, fine_tune
from pilotlm.records import Places, write_json
from pilotlm.responses import PERSON, WEIGHT, write_responses
from pilotlm.study import Study, load_study

ARM = "tuned_at_most_240"
PLACES = Places("decide-toy", "toy")


def decided(people: pd.DataFrame) -> None:
    """What a decision leaves: people, an adapter of the tiny model, and the verdict on it."""
    study = load_study("toy")
    write_responses(PLACES.people, study, people)
    base, settings = load_model("tiny-random"), TuningSettings(learning_rate=1e-2, epochs=1, least_steps=0)
    tuned = fine_tune(base, study, people.head(8), settings, 1)
    save_adapter(tuned, PLACES.adapter(ARM, 1), base, {"study": "toy", "arm": ARM, "seed": 1})
    seeds = {"1": {"targets": {"mean: fear": "do not use"}, "outside": ["mean: fear"]}}
    write_json(PLACES.decision, {"study": "toy", "arms": {ARM: {"verdict": "do not use", "seeds": seeds}}})


def test_simulated_people_are_words_and_marked(toy_project: Path, toy_people: pd.DataFrame, capsys: Any) -> None:
    decided(toy_people)
    assert main(["simulate", "toy", "--people", "40"]) == 0
    said = capsys.readouterr().out
    assert f"Wrote {PLACES.folder / 'simulated.csv'}" in said and "do not use: simulated answers would mislead" in said
    table = pd.read_csv(PLACES.folder / "simulated.csv")
    study = load_study("toy")
    assert list(table) == ["simulated", "arm", "seed", "participant", "treatment", "age", "sex", "region",
                           *study.answer_columns]  # fmt: skip
    assert set(table["simulated"]) == {"yes"} and set(table["arm"]) == {ARM} and set(table["seed"]) == {1}
    assert list(table["participant"]) == list(range(1, 41))
    assert table["treatment"].value_counts().to_dict() == {"Calm": 20, "Alarm": 20}
    assert set(table["sex"]) == {"a man", "a woman"} and set(table["region"]) <= {"north", "south", "west"}
    assert set(table["leave"]) <= {"stay", "leave", "call"} and set(table["fear"]) <= {1, 2, 3, 4}
    assert (table[["odds_none", "odds_small", "odds_big"]].sum(axis=1) == 100).all()
    book = (PLACES.folder / "simulated-codebook.md").read_text(encoding="utf-8")
    assert "40 people who do not exist" in book and "do not use" in book and "How afraid are you?" in book
    assert all(f"| {name}" in book.replace("\\", "") for name in table)
    first = table.to_csv()
    assert main(["simulate", "toy", "--people", "40"]) == 0
    assert pd.read_csv(PLACES.folder / "simulated.csv").to_csv() == first
    assert not [path for path in PLACES.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy", "--people", "40"], "Nothing was fine-tuned for study 'toy' yet; run `pilotlm decide toy` first."),
        (["toy", "--people", "0"], "The number of people must lie in 1 to 1,000,000, got 0."),
        (["tory", "--people", "5"], "there is no study 'tory'"),
        (["toy", "--people", "5", "--profile", "mine"], "There is no profile 'mine'"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(toy_project: Path, capsys: Any, words: list[str], said: str) -> None:
    assert main(["simulate", *words]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not PLACES.folder.exists()


def test_new_people_have_the_backgrounds_and_the_shares_of_the_study(toy: Study, toy_people: pd.DataFrame) -> None:
    third = toy_people[(toy_people["treatment"] == "calm") | (toy_people["participant"] % 2 == 0)]
    drawn = draw_new_people(toy, third, 300, 1)
    share = (third["treatment"] == "calm").mean()
    assert abs((drawn["treatment"] == "calm").sum() - 300 * share) < 1
    assert {*drawn[["age", "sex", "region"]].itertuples(index=False)} <= {
        *third[["age", "sex", "region"]].itertuples(index=False)
    }
    assert not drawn.equals(draw_new_people(toy, third, 300, 2))
    # Weighted: only people over 70 count; a person with many rows is one.
    old = toy_people.assign(**{WEIGHT: np.where(toy_people["age"] > 70, 1.0, 1e-9)})
    assert (draw_new_people(toy, old, 200, 1)["age"] > 70).all()
    many = pd.concat([toy_people.head(1)] * 200 + [toy_people.iloc[1:101]], ignore_index=True)
    many = many.assign(participant=np.arange(1, 301), **{PERSON: [1] * 200 + list(range(2, 102))})
    alike = draw_new_people(toy, many, 2000, 1)[["age", "sex", "region"]].eq(many.loc[0, ["age", "sex", "region"]])
    assert alike.all(axis=1).mean() < 0.1
