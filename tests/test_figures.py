"""A figure of many panels keeps to the arms that it has room for; one of few panels shows all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pilotlm.arms import load_arms
from pilotlm.report.figures import dots, forest, main_arms
from pilotlm.report.labels import label_of
from pilotlm.report.results import primary_places
from pilotlm.responses import HUMAN
from pilotlm.study import load_study

MAIN = [HUMAN, "base", "tuned_all_25", "pooled_all_25", "logit_all_25"]
OTHERS = ["base_t0", "shown_8", "tuned_all_25_same_pilot", "tuned_all_25_shuffled_answers", "copula_all_25"]


def table(panels: int) -> pd.DataFrame:
    rows = [
        {
            "study": "s",
            "arm": arm,
            "seed": 1,
            "metric": "coefficient",
            "item": f"panel {panel}",
            "subgroup": "",
            "against": "held-out",
            "n": 50,
            "estimate": 0.5,
            "low": 0.4,
            "high": 0.6,
            "human": 0.5,
            "human_benchmark": 0.1,
            "random_benchmark": 0.9,
        }
        for arm in [*MAIN, *OTHERS]
        for panel in range(panels)
    ]
    return pd.DataFrame(rows)


def test_main_arms_leave_out_variants_and_baselines_other_than_the_logit() -> None:
    given = table(1)
    assert main_arms(given, load_arms())["arm"].tolist() == MAIN
    assert len(given) == len(MAIN) + len(OTHERS)


@pytest.mark.parametrize(("panels", "drawn"), [(3, len(MAIN) + len(OTHERS)), (4, len(MAIN))])
def test_lines_are_fewer_where_panels_fill_more_than_a_row(panels: int, drawn: int) -> None:
    arms = load_arms()
    labels = [tick.get_text() for tick in dots(table(panels), arms, "x", facet="item").axes[0].get_yticklabels()]
    assert len(labels) == drawn
    assert {label_of(arms, name) for name in MAIN} <= set(labels)


def test_a_forest_has_a_panel_for_each_main_arm() -> None:
    titles = [axis.get_title().replace("\n", " ") for axis in forest(table(2), load_arms()).axes if axis.get_visible()]
    assert titles == [load_arms().arm(name).label for name in MAIN[1:]]


def test_panels_with_lines_of_their_own_have_no_empty_ones() -> None:
    given = table(4)
    given = given[(given["item"] != "panel 3") | given["arm"].isin(["base", "logit_all_25"])]
    arms = load_arms()
    figure = dots(given, arms, "x", facet="item", own_lines=True)
    labels = [[tick.get_text() for tick in axis.get_yticklabels()] for axis in figure.axes]
    assert [len(lines) for lines in labels] == [len(MAIN) + len(OTHERS)] * 3 + [2]
    assert labels[3] == [label_of(arms, name) for name in ("base", "logit_all_25")]
    heights = [axis.get_position().height for axis in figure.axes]
    assert heights[3] < 0.4 * heights[0]


def test_the_first_figure_has_the_primary_measure_of_base_fine_tuned_and_best_baseline() -> None:
    arms = ["base", "tuned_all_25", "tuned_one_25", "pooled_all_25", "tuned_all_25_t0", "logit_all_25", "copula_all_25"]
    line = {"study": "framing", "metric": "joint_distance", "item": "answers", "low": 0.7, "high": 0.9,
    "human_benchmark": 0.6,
            "random_benchmark": 1.0, "n": 50, "against": "held-out"}  # fmt: skip
    rows = [{**line, "arm": arm, "seed": seed, "estimate": 0.8} for arm in arms for seed in (1, 2)]
    rows += [{**line, "arm": arm, "seed": 1, "item": "beliefs", "estimate": 0.1} for arm in arms]
    losses = {"logit_all_25": 7.0, "copula_all_25": 6.0}
    rows += [{**line, "arm": arm, "seed": 1, "metric": "cv_loss", "item": "all", "estimate": losses[arm]}
             for arm in losses]  # fmt: skip
    places = primary_places(pd.DataFrame(rows).assign(subgroup=None, human=None), {"framing": load_study("framing")})
    assert places["arm"].tolist() == ["base", "tuned_one_25", "tuned_all_25", "copula_all_25"]
    assert places[["estimate", "human_benchmark", "random_benchmark"]].to_numpy() == pytest.approx(
        np.array([[0.5, 0, 1]] * 4)
    )
    assert (places["low"] <= 0.25).all() and (places["high"] >= 0.75).all()


def test_intervals_of_a_forest_hold_what_differs_between_seeds() -> None:
    one = table(1)
    seeds = pd.concat([one, one[one["arm"] != HUMAN].assign(seed=2, estimate=0.9, low=0.8, high=1.0)])
    axis = forest(seeds, load_arms()).axes[0]
    widths = [abs(line.get_xdata()[1] - line.get_xdata()[0]) for line in axis.lines if len(line.get_xdata()) == 2]
    people, ours = sorted(width for width in widths if width > 0)
    # People's errors are .2 / (2 x 1.96): their interval is 3.92 of them, and that of seeds so far apart is far wider.
    assert people == pytest.approx(3.92) and ours > 2 * people
