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


@pytest.mark.parametrize(("synthetic", "shown"), [(False, ("under 20", "–")), (True, ("19", "2.00"))])
def test_few_real_people_are_not_told_apart(
    toy: Study, toy_people: pd.DataFrame, synthetic: bool, shown: tuple[str, str]
) -> None:
    calm, alarm = (toy_people[toy_people["treatment"] == name] for name in ("calm", "alarm"))
    people = pd.concat([calm.head(19), alarm.head(20)]).assign(fear=2)
    table = people_table(toy.model_copy(update={"synthetic": synthetic}), people).set_index("Treatment")
    assert tuple(table.loc["Calm", ["People", "fear"]]) == shown
    assert tuple(table.loc["Alarm", ["People", "fear"]]) == ("20", "2.00")
