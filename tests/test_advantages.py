"""Leads over the best baseline on the same people."""

from __future__ import annotations

import pandas as pd
import pytest

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.report.advantages import (
    ADVANTAGE_COLUMNS,
    advantage_figure,
    advantage_table,
    advantage_words,
    advantages,
    primary_advantage,
)
from pilotlm.report.evidence import gather
from pilotlm.study import load_study

ARM, LOGIT, COPULA = "tuned_all_25", "logit_all_25", "copula_all_25"


def line(arm, metric, item, estimate, half, human_benchmark, random_benchmark, subgroup=None):
    return {
        "study": "framing", "arm": arm, "seed": 1, "metric": metric, "item": item, "subgroup": subgroup,
        "against": "held-out", "estimate": estimate, "low": estimate - half, "high": estimate + half,
        "human_benchmark": human_benchmark, "random_benchmark": random_benchmark, "n": 100,
    }  # fmt: skip


def losses(logit=6.0, copula=7.0):
    nan = float("nan")
    return [line(name, "cv_loss", "all", loss, nan, nan, nan) for name, loss in ((LOGIT, logit), (COPULA, copula))]


def measured(*rows, of_baselines=None):
    return pd.DataFrame([*(losses() if of_baselines is None else of_baselines), *rows], columns=list(METRIC_COLUMNS))


def found(*rows, **given):
    return advantages(measured(*rows, **given), {"framing": load_study("framing")})


def test_the_baseline_is_the_best_inside_the_pilot_whatever_it_is_like_outside():
    rows = [
        line(ARM, "joint_distance", "beliefs", 0.6, 0.03, 0.5, 0.9),
        line(LOGIT, "joint_distance", "beliefs", 0.7, 0.04, 0.5, 0.9),
        line(COPULA, "joint_distance", "beliefs", 0.5, 0.04, 0.5, 0.9),
    ]
    assert found(*rows)["estimate"].item() == pytest.approx(0.25)
    other = found(*rows, of_baselines=losses(copula=5.0))
    assert other["estimate"].item() == pytest.approx(-0.25) and other["baseline"].item() == COPULA
    assert found(*rows, of_baselines=[]).empty


def test_the_primary_measure_stands_apart_from_the_others():
    rows = [
        line(ARM, "joint_distance", "answers", 0.6, 0.03, 0.5, 0.9),
        line(LOGIT, "joint_distance", "answers", 0.7, 0.04, 0.5, 0.9),
    ]
    assert found(*rows).empty
    arms = load_arms()
    evidence = gather(measured(*rows), {"framing": load_study("framing")}, arms)[0]
    advantage = primary_advantage(evidence, arms.arm(ARM), arms.arm(LOGIT))
    assert (advantage.estimate, advantage.low, advantage.high) == pytest.approx((0.25, 0.125, 0.375))


def test_a_lead_is_the_difference_of_places_with_both_intervals():
    row = found(
        line(ARM, "joint_distance", "beliefs", 0.6, 0.03, 0.5, 0.9),
        line(LOGIT, "joint_distance", "beliefs", 0.7, 0.04, 0.5, 0.9),
    ).iloc[0]
    # Places .25 and .5 of the way from .5 to .9; half lengths .075 and .1 there, .125 together.
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((0.25, 0.125, 0.375))
    assert row["measure"] == "belief structures" and advantage_words(row) == "nearer"


def test_the_way_between_the_benchmarks_may_run_either_way():
    row = found(
        line(ARM, "concordance", "all", 0.2, 0.1, 0.8, 0.0), line(LOGIT, "concordance", "all", 0.6, 0.1, 0.8, 0.0)
    ).iloc[0]
    assert row["estimate"] == pytest.approx(-0.5) and advantage_words(row) == "farther"


def test_more_coherence_than_people_is_no_lead():
    row = found(
        line(ARM, "association", "threshold", 4.0, 0.1, 2.0, 0.0),
        line(LOGIT, "association", "threshold", 2.0, 0.1, 2.0, 0.0),
    ).iloc[0]
    assert row["estimate"] == pytest.approx(-1.0)


def test_groups_are_averaged_as_different_people():
    rows = [
        line(arm, "subgroup_distance", "educ", value, 0.03, 0.1, 0.4, subgroup=group)
        for arm, values in ((ARM, (0.2, 0.3)), (LOGIT, (0.25, 0.25)))
        for group, value in zip(("high school", "some college"), values, strict=True)
    ]
    row = found(*rows).iloc[0]
    # Each arm: half length .1 in each of two groups, .1 / sqrt(2) of their mean; of the difference .1.
    assert row["estimate"] == pytest.approx(0) and row["high"] == pytest.approx(0.1)
    assert advantage_words(row) == "undecided"


def test_the_likelihood_is_compared_person_by_person():
    row = found(
        line(ARM, "nll", "all", 5.0, 1.0, 4.0, 8.0), line(ARM, "nll_over_baseline", "all", -0.4, 0.2, 0.0, None)
    ).iloc[0]
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((0.1, 0.05, 0.15))


def test_what_has_no_baseline_no_scale_or_no_interval_is_left_out():
    nan = float("nan")
    table = found(
        line(ARM, "joint_distance", "beliefs", 0.6, 0.03, 0.5, 0.9),
        line(ARM, "marginal_distance", "mean", 0.6, 0.03, 0.5, 0.5),
        line(LOGIT, "marginal_distance", "mean", 0.6, 0.03, 0.5, 0.5),
        line(ARM, "concordance", "all", 0.6, nan, 0.5, 0.0),
        line(LOGIT, "concordance", "all", 0.6, 0.1, 0.5, 0.0),
        line("tuned_all_25_shuffled_answers", "marginal_distance", "mean", 0.6, 0.1, 0.5, 0.8),
    )
    assert table.empty and tuple(table.columns) == ADVANTAGE_COLUMNS


def test_figure_and_table_hold_every_lead():
    table = found(
        line(ARM, "joint_distance", "beliefs", 0.6, 0.03, 0.5, 0.9),
        line("base", "joint_distance", "beliefs", 0.9, 0.02, 0.5, 0.9),
        line(LOGIT, "joint_distance", "beliefs", 0.7, 0.04, 0.5, 0.9),
    )
    arms = load_arms()
    shown = advantage_table(table, arms)
    assert shown["Arm"].tolist() == [arms.arm("base").label, arms.arm(ARM).label]
    assert shown["belief structures"].tolist() == ["-0.50 [-0.61, -0.39], farther", "0.25 [0.12, 0.38], nearer"]
    panel = advantage_figure(table, arms).axes[0]
    assert panel.get_title() == "belief structures"
    marks = sorted(float(mark.get_xdata()[0]) for mark in panel.lines if mark.get_marker() not in ("None", ""))
    assert marks == pytest.approx([-0.5, 0.25])
