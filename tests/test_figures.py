"""Figures: the main arms, one mark each, seeds averaged, text that stays legible on a phone."""

from __future__ import annotations

import pandas as pd

from pilotlm.arms import load_arms
from pilotlm.report.figures import MARK_COLUMNS, STYLE, WIDTH, dots, forest, marks_figure
from pilotlm.report.labels import label_of, main_arms, plain_tuned
from pilotlm.responses import HUMAN

MAIN = [HUMAN, "base", "tuned_all_25", "pooled_all_25", "bootstrap_all_25", "logit_all_25"]
OTHERS = ["tuned_one_25", "base_t0", "shown_8", "tuned_all_25_same_pilot", "copula_all_25", "logit_one_25"]


def table(items: int = 1, estimate: float = 0.5) -> pd.DataFrame:
    rows = [
        {
            "study": "s", "arm": arm, "seed": 1, "metric": "coefficient", "item": f"item {item}", "subgroup": "",
            "against": "held-out", "n": 50, "estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1,
            "human": 0.5, "human_benchmark": 0.1, "random_benchmark": 0.9,
        }
        for arm in [*MAIN, *OTHERS]
        for item in range(items)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def marks(axis) -> list:
    return [line for line in axis.lines if line.get_marker() not in ("None", "|", "x") and len(line.get_xdata()) == 1]


def ticks(axis) -> list[str]:
    return [tick.get_text().replace("\n", " ") for tick in axis.get_yticklabels()]


def test_main_arms_are_six_of_one_pilot() -> None:
    arms = load_arms()
    assert main_arms([*OTHERS, *reversed(MAIN)], arms) == MAIN
    assert plain_tuned(arms, OTHERS) == arms.arm("tuned_one_25")
    # Where no language model answered, all that there are.
    assert main_arms(["copula_n_60", HUMAN, "logit_all_25"], arms) == [HUMAN, "logit_all_25", "copula_n_60"]


def test_a_figure_has_a_line_an_arm_or_a_mark_an_arm_in_each_row() -> None:
    arms = load_arms()
    alone = dots(table(), arms, "x").axes[0]
    assert ticks(alone) == [label_of(arms, name) for name in MAIN] and len(marks(alone)) == len(MAIN)
    figure = dots(table(3), arms, "x", facet="item", titles={"item 1": "the middle one"})
    assert ticks(figure.axes[0]) == ["item 0", "the middle one", "item 2"]
    assert len(marks(figure.axes[0])) == 3 * len(MAIN)
    assert {text.get_text() for text in figure.legends[0].texts} >= {label_of(arms, name) for name in MAIN}


def test_each_arm_has_a_mark_of_its_own() -> None:
    axis = dots(table(1), load_arms(), "x", facet="item").axes[0]
    assert len({line.get_marker() for line in marks(axis)}) == len(MAIN)


def test_text_stays_ten_pixels_where_a_figure_fills_a_phone() -> None:
    smallest = min(size for name, size in STYLE.items() if name.endswith("size"))
    assert smallest * 96 / 72 * 360 / (WIDTH * 96) >= 10


def test_seeds_are_averaged_and_the_interval_holds_what_differs_between_them() -> None:
    one = table()
    seeds = pd.concat([one, one[one["arm"] != HUMAN].assign(seed=2, estimate=0.9, low=0.8, high=1.0)])
    axis = forest(seeds, load_arms()).axes[0]
    assert len(marks(axis)) == len(MAIN)
    widths = sorted({round(abs(line.get_xdata()[1] - line.get_xdata()[0]), 2) for line in axis.lines
                     if len(line.get_xdata()) == 2 and line.get_xdata()[0] != line.get_xdata()[1]})  # fmt: skip
    # People's errors are .2 / (2 x 1.96): their interval is 3.92 of them, and that of seeds so far apart is far wider.
    assert 3.92 in widths and max(widths) > 2 * 3.92


def test_an_empty_figure_says_so() -> None:
    axis = marks_figure(pd.DataFrame(columns=list(MARK_COLUMNS)), "x").axes[0]
    assert [text.get_text() for text in axis.texts] == ["nothing to show"]
