"""Tables as they are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from pilotlm.arms import load_arms
from pilotlm.report.evidence import over_seeds
from pilotlm.report.tables import by_arm, markdown, people_table
from pilotlm.report.wording import number
from pilotlm.study import Study

ROW = {"arm": "base", "seed": 1, "n": 90.0, "item": ""}
COLUMNS = {
    "unique_structures": "Unique",
    "unique_structures/human_benchmark": "People",
    "unique_structures/scaled": "Scaled",
    "gap": "Gap",
}


def test_counts_have_no_decimals() -> None:
    count = {"metric": "unique_structures", "estimate": 83.0, "low": 71.0, "high": 88.0, "human_benchmark": 51.37}
    gap = {"metric": "gap", "estimate": 1.0, "low": 0.5, "high": 1.0}
    table = by_arm(pd.DataFrame([{**ROW, **count, "scaled": 0.456}, {**ROW, **gap}]), load_arms(), COLUMNS, digits=2)
    assert table.drop(columns="Arm").to_dict("records") == [
        {"Unique": "83 [71, 88]", "People": "51.4", "Scaled": "0.46", "Gap": "1.00 [0.50, 1.00]", "n": "90"}
    ]


def test_a_table_of_means_says_of_how_many_seeds() -> None:
    """Two seeds at .4 and .6 whose own intervals are .1 to either side: the mean's interval holds both and is wider."""
    line = {**ROW, "study": "s", "metric": "gap", "subgroup": "", "against": "held-out", "human": 0.5,
    "human_benchmark": 0.5,
            "random_benchmark": 1.0}  # fmt: skip
    seeds = [{**line, "seed": seed, "estimate": x, "low": x - 0.1, "high": x + 0.1} for seed, x in ((1, 0.4), (2, 0.6))]
    row = over_seeds(pd.DataFrame(seeds)).iloc[0]
    assert row["low"] < 0.3 and row["high"] > 0.7
    table = by_arm(over_seeds(pd.DataFrame(seeds)), load_arms(), {"gap": "Gap"}, digits=2)
    assert table.drop(columns="Arm").to_dict("records") == [
        {"Seeds": 2, "Gap": f"0.50 [{row['low']:.2f}, {row['high']:.2f}]", "n": "90"}
    ]
    alone = by_arm(over_seeds(pd.DataFrame(seeds[:1])), load_arms(), {"gap": "Gap"}, digits=2)
    assert alone.drop(columns="Arm").to_dict("records") == [{"Gap": "0.40 [0.30, 0.50]", "n": "90"}]


def test_what_rounds_to_nought_has_no_sign() -> None:
    assert [number(-0.001, 2), number(-0.009, 2), number(0.001, 2)] == ["0.00", "-0.01", "0.00"]


def widths(table: pd.DataFrame) -> list[int]:
    return [len(dashes) for dashes in markdown(table).data.splitlines()[1].strip("|").split("|")]


def test_a_table_that_fits_gives_each_column_what_it_needs() -> None:
    assert widths(pd.DataFrame({"Arm": ["Base model"], "n": ["90"]})) == [len("Base model") + 3, len("90") + 3]


def test_in_a_table_that_wraps_no_word_is_broken_or_runs_into_its_neighbour() -> None:
    heads = [f"People's {letter}" for letter in "abcdefghij"]
    wide = pd.DataFrame([{"Arm": "Fine-tuned and logit, pooled", **dict.fromkeys(heads, "-0.05 [-0.12, 0.02]")}])
    arm, *others = widths(wide)
    assert arm >= len("Fine-tuned") and min(others) >= len("People's")
    assert arm > others[0], "what is longer gets more of what is left"


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
