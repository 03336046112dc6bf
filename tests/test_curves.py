"""What is drawn of counts and distances is what the table says."""

import numpy as np
import pandas as pd
import pytest

from pilotlm.analyses.common import Compared
from pilotlm.analyses.divergence import structure_distances
from pilotlm.analyses.heterogeneity import heterogeneity
from pilotlm.arms import load_arms
from pilotlm.report.figures import count_against_distance


@pytest.fixture(scope="module")
def tables(toy, draw_toy_people):
    people = draw_toy_people(120, 1)
    arms = [
        Compared("base", 1, people.iloc[:40], people, None),
        *(Compared("tuned_all_25", seed, draw_toy_people(60, seed), people, None) for seed in (1, 2)),
    ]
    variety = heterogeneity(toy, arms, people, "held-out", 20)
    return variety, structure_distances(toy, arms, people, "held-out", 20)


def lines(axis):
    return [(line.get_xdata(), line.get_ydata()) for line in axis.get_lines()]


def test_counts_stand_against_distances(tables):
    variety, joint = tables
    [axis] = count_against_distance(pd.concat([variety, joint], ignore_index=True), load_arms()).axes
    points = {(round(float(x[0]), 6), round(float(y[0]), 6)) for x, y in lines(axis) if len(x) == 1}
    # Means over the seeds of an arm.
    count, apart = (
        rows[rows["arm"] != "human"].groupby("arm")[["estimate", "human_benchmark"]].mean()
        for rows in (variety[variety["metric"] == "unique_structures"], joint)
    )
    expected = np.column_stack([count["estimate"] / count["human_benchmark"], apart["estimate"]])
    assert {(round(x, 6), round(y, 6)) for x, y in expected} <= points
    assert (1.0, round(apart["human_benchmark"].mean(), 6)) in points
    assert len(points) == len(apart) + 2  # and other people, and noise
