"""How much nearer to people an arm is than the best baseline on the same people, by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from test_report import line

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.report.evidence import coefficients_advantage, coherence_advantage, gather, primary_advantage
from pilotlm.study import load_study

NAMES = ("tuned_all_25", "logit_all_25")
MEASURES = {
    primary_advantage: ("joint_distance", "answers"),
    coefficients_advantage: ("concordance", "all"),
    coherence_advantage: ("gap", "threshold"),
}


def found(advantage, human, random, *values):
    """The advantage of the first arm over the second, each an estimate with half the length of its interval."""
    rows = [
        line(name, *MEASURES[advantage], estimate, human, half, random_benchmark=random)
        for name, (estimate, half) in zip(NAMES, values, strict=True)
    ]
    arms, table = load_arms(), pd.DataFrame(rows, columns=list(METRIC_COLUMNS))
    return advantage(gather(table, {"framing": load_study("framing")}, arms)[0], *map(arms.arm, NAMES))


def test_it_is_the_difference_of_places_with_both_intervals():
    one = found(primary_advantage, 0.5, 0.9, (0.6, 0.03), (0.7, 0.04))
    # Places .25 and .5 of the way from .5 to .9; half lengths .075 and .1 there, .125 together.
    assert (one.estimate, one.low, one.high) == pytest.approx((0.25, 0.125, 0.375))
    # A difference of .125 (1.960 + .842) / 1.960 is shown with a chance of 80 %.
    assert one.detectable == pytest.approx(0.125 * 2.8016 / 1.96, rel=1e-3)


def test_the_way_between_the_benchmarks_may_run_either_way():
    one = found(coefficients_advantage, 0.8, 0.0, (0.2, 0.1), (0.6, 0.1))
    assert one.estimate == pytest.approx(-0.5) and one.high < 0


def test_more_coherence_than_people_is_no_advantage():
    assert found(coherence_advantage, 0.4, 0.6, (0.2, 0.01), (0.4, 0.01)).estimate == pytest.approx(-1.0)


def test_what_has_no_scale_or_no_interval_is_left_out():
    assert found(primary_advantage, 0.5, 0.5, (0.6, 0.03), (0.6, 0.03)) is None
    assert found(coefficients_advantage, 0.5, 0.0, (0.6, float("nan")), (0.6, 0.1)) is None
