"""The curve over the size of the pilot: who is on it, and what a pilot of so many people is."""

import itertools

import pandas as pd
import pytest
from pydantic import ValidationError

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import PilotDesign, load_arms
from pilotlm.instrument.pilot import draw_pilot
from pilotlm.showing.size_curves import size_figure, size_lines
from pilotlm.study import load_study


def line(arm, estimate):
    return {
        "study": "anes96", "arm": arm, "seed": 1, "metric": "joint_distance", "item": "beliefs", "against": "held-out",
        "estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1, "floor": 0.5, "ceiling": 0.9, "n": 100,
    }  # fmt: skip


def found(*arms):
    table = pd.DataFrame([line(arm, 0.6 + k / 100) for k, arm in enumerate(arms)], columns=list(METRIC_COLUMNS))
    return size_lines(table, {"anes96": load_study("anes96")})


def test_a_curve_has_the_base_at_zero_and_the_logit_beside_it():
    lines = found("base", "tuned_n_15", "tuned_n_30", "tuned_n_60", "logit_n_15", "logit_n_30", "tuned_all_25")
    assert lines[lines["kind"] == "tuned"]["people"].tolist() == [0, 15, 30, 60]
    assert lines[lines["kind"] == "opponent"]["people"].tolist() == [15, 30]
    assert lines["estimate"].tolist() == pytest.approx([0.6, 0.61, 0.62, 0.63, 0.64, 0.65])
    figure = size_figure(lines)
    drawn = {text.get_text() for axis in figure.axes for text in axis.get_xticklabels()}
    assert {"0", "15", "30", "60"} <= drawn


def test_two_sizes_are_no_curve():
    assert found("base", "tuned_n_15", "tuned_n_30").empty


def test_pilots_by_number_lie_inside_each_other(toy, draw_toy_people):
    people, arms = draw_toy_people(300, 1), load_arms()
    drawn = [set(draw_pilot(toy, people, arms.pilot(f"n_{n}"), 3).participants) for n in (15, 30, 60, 120, 240)]
    assert [len(pilot) for pilot in drawn] == [15, 30, 60, 120, 240]
    assert all(small < large for small, large in itertools.pairwise(drawn))


def test_a_pilot_has_one_size():
    for sizes in ({}, {"share": 0.5, "people": 10}, {"people": 10, "balanced": True}):
        with pytest.raises(ValidationError, match="pilot needs"):
            PilotDesign(label="x", treatments="all", **sizes)
