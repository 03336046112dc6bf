"""How much nearer to people an arm is than the best baseline on the same people, by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.report.evidence import coefficients_advantage, coherence_advantage, gather, primary_advantage
from pilotlm.study import load_study

ARM, LOGIT = "tuned_all_25", "logit_all_25"


def line(arm, metric, item, estimate, half, human_benchmark, random_benchmark):
    return {
        "study": "framing", "arm": arm, "seed": 1, "metric": metric, "item": item, "against": "held-out",
        "estimate": estimate, "low": estimate - half, "high": estimate + half, "human_benchmark": human_benchmark,
        "random_benchmark": random_benchmark, "n": 100,
    }  # fmt: skip


def found(advantage, *rows):
    arms, table = load_arms(), pd.DataFrame(rows, columns=list(METRIC_COLUMNS))
    return advantage(gather(table, {"framing": load_study("framing")}, arms)[0], arms.arm(ARM), arms.arm(LOGIT))


def test_it_is_the_difference_of_places_with_both_intervals():
    one = found(
        primary_advantage,
        line(ARM, "joint_distance", "answers", 0.6, 0.03, 0.5, 0.9),
        line(LOGIT, "joint_distance", "answers", 0.7, 0.04, 0.5, 0.9),
    )
    # Places .25 and .5 of the way from .5 to .9; half lengths .075 and .1 there, .125 together.
    assert (one.estimate, one.low, one.high) == pytest.approx((0.25, 0.125, 0.375))
    # A difference of .125 (1.960 + .842) / 1.960 is shown with a chance of 80 %.
    assert one.detectable == pytest.approx(0.125 * 2.8016 / 1.96, rel=1e-3)


def test_the_way_between_the_benchmarks_may_run_either_way():
    one = found(
        coefficients_advantage,
        line(ARM, "concordance", "all", 0.2, 0.1, 0.8, 0.0),
        line(LOGIT, "concordance", "all", 0.6, 0.1, 0.8, 0.0),
    )
    assert one.estimate == pytest.approx(-0.5) and one.high < 0


def test_more_coherence_than_people_is_no_advantage():
    one = found(
        coherence_advantage,
        line(ARM, "gap", "threshold", 0.2, 0.01, 0.4, 0.6),
        line(LOGIT, "gap", "threshold", 0.4, 0.01, 0.4, 0.6),
    )
    assert one.estimate == pytest.approx(-1.0)


def test_what_has_no_scale_or_no_interval_is_left_out():
    nan = float("nan")
    flat = (0.6, 0.03, 0.5, 0.5)
    same = (line(arm, "joint_distance", "answers", *flat) for arm in (ARM, LOGIT))
    assert found(primary_advantage, *same) is None
    rows = [line(ARM, "concordance", "all", 0.6, nan, 0.5, 0.0), line(LOGIT, "concordance", "all", 0.6, 0.1, 0.5, 0.0)]
    assert found(coefficients_advantage, *rows) is None
