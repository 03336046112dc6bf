"""Figures of what depends on n: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.compared import Compared
from pilotlm.analyses.divergence import same_law_distances, structure_distances
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.arms import load_arms
from pilotlm.showing.curves import bias_curve, count_against_distance, rarefaction_curves


@pytest.fixture(scope="module")
def tables(toy, draw_toy_people):
    people = draw_toy_people(120, 1)
    arms = [
        Compared("base", 1, people.iloc[:40], people, None),
        *(Compared("tuned_all_25", seed, draw_toy_people(60, seed), people, None) for seed in (1, 2)),
    ]
    variety = heterogeneity(toy, arms, people, "held-out", 20)
    return variety, structure_distances(toy, arms, people, "held-out", 20), same_law_distances(toy, people, 10)


def lines(axis):
    return [(line.get_xdata(), line.get_ydata()) for line in axis.get_lines()]


def test_a_panel_an_arm_with_people_and_noise_in_each(tables):
    variety = tables[0][tables[0]["metric"] == "rarefaction"]
    figure = rarefaction_curves(variety, load_arms())
    base, tuned = (axis for axis in figure.axes if axis.get_visible())
    assert len(lines(base)) == 3 and len(lines(tuned)) == 4  # noise, people, a line a seed
    mine = variety[variety["arm"] == "base"]
    noise, people, arm = lines(base)
    assert noise[1] == pytest.approx(mine["ceiling"]) and arm[1] == pytest.approx(mine["estimate"])
    assert max(people[0]) <= 60 < variety["n"].max()


def test_people_alone_have_a_curve_too(tables):
    variety = tables[0][(tables[0]["metric"] == "rarefaction") & (tables[0]["arm"] == "human")]
    assert len(rarefaction_curves(variety, load_arms()).axes) == 1


def test_counts_stand_against_distances(tables):
    variety, joint, _ = tables
    [axis] = count_against_distance(pd.concat([variety, joint], ignore_index=True), load_arms()).axes
    points = {(round(float(x[0]), 6), round(float(y[0]), 6)) for x, y in lines(axis) if len(x) == 1}
    count = variety[(variety["metric"] == "unique_structures") & (variety["arm"] != "human")]
    expected = np.column_stack([count["estimate"] / count["floor"], joint["estimate"]])
    assert {(round(x, 6), round(y, 6)) for x, y in expected} <= points
    assert (1.0, round(joint["floor"].mean(), 6)) in points
    assert len(points) == len(joint) + 2  # and other people, and noise


def test_the_bias_falls_with_n(tables):
    [axis] = bias_curve(tables[2], {"mean": "single answers"}).axes
    assert [text.get_text().strip() for text in axis.texts] == ["single answers", "beliefs", "answers"]
    for _, drawn in lines(axis):
        assert drawn[0] > drawn[-1] > 0
