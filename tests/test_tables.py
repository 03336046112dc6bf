"""Tables as they are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from pilotlm.arms import load_arms
from pilotlm.showing.describing import people_table
from pilotlm.showing.tables import by_arm
from pilotlm.study import Study

ROW = {"arm": "base", "seed": 1, "n": 90.0, "item": ""}
COLUMNS = {
    "unique_structures": "Unique",
    "unique_structures/floor": "People",
    "unique_structures/scaled": "Scaled",
    "gap": "Gap",
}


def test_counts_have_no_decimals() -> None:
    count = {
        "metric": "unique_structures",
        "estimate": 83.0,
        "low": 71.0,
        "high": 88.0,
        "floor": 51.37,
        "scaled": 0.456,
    }
    gap = {"metric": "gap", "estimate": 1.0, "low": 0.5, "high": 1.0}
    table = by_arm(pd.DataFrame([{**ROW, **count, "scaled": 0.456}, {**ROW, **gap}]), load_arms(), COLUMNS, digits=2)
    assert table.drop(columns="Arm").to_dict("records") == [
        {"Unique": "83 [71, 88]", "People": "51.4", "Scaled": "0.46", "Gap": "1.00 [0.50, 1.00]", "n": "90"}
    ]


HIDDEN = ("left out", "–")


@pytest.mark.parametrize(
    ("synthetic", "calm", "alarm", "wanted"),
    [
        (False, 20, 21, {"Calm": ("20", "2.00"), "Alarm": ("21", "2.00")}),
        # The other one would give it away: everybody's number and mean are shown as well.
        (False, 19, 60, {"Calm": HIDDEN, "Alarm": HIDDEN}),
        (False, 19, 3, {"Calm": HIDDEN, "Alarm": HIDDEN}),
        (True, 19, 3, {"Calm": ("19", "2.00"), "Alarm": ("3", "2.00")}),
    ],
)
def test_few_real_people_are_not_told_apart(
    toy: Study, toy_people: pd.DataFrame, synthetic: bool, calm: int, alarm: int, wanted: dict[str, tuple[str, str]]
) -> None:
    parts = [toy_people[toy_people["treatment"] == name].head(n) for name, n in (("calm", calm), ("alarm", alarm))]
    table = people_table(toy.model_copy(update={"synthetic": synthetic}), pd.concat(parts).assign(fear=2))
    assert {row["Treatment"]: (row["People"], row["fear"]) for _, row in table.iterrows()} == wanted


def test_only_what_would_give_it_away_is_left_out(toy: Study, toy_people: pd.DataFrame) -> None:
    third = toy.treatments[0].model_copy(update={"name": "storm", "label": "Storm"})
    study = toy.model_copy(update={"synthetic": False, "treatments": (*toy.treatments, third)})
    names = ["calm"] * 5 + ["alarm"] * 100 + ["storm"] * 30
    table = people_table(study, toy_people.head(135).assign(treatment=names))
    assert table["People"].tolist() == ["left out", "100", "left out"]
