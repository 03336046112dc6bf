"""Variants beside their plain arms."""

from __future__ import annotations

import pandas as pd
import pytest

from pilotlm.analyses.common import METRIC_COLUMNS
from pilotlm.arms import load_arms
from pilotlm.report.paper import ROBUSTNESS_MEASURES, plain_of, robustness_table, studies_in_order
from pilotlm.study import load_study


def line(arm, metric, item, estimate, half):
    return {
        "study": "framing", "arm": arm, "seed": 1, "metric": metric, "item": item, "against": "held-out",
        "estimate": estimate, "low": estimate - half, "high": estimate + half, "human_benchmark": 0.1,
        "random_benchmark": 0.9, "n": 100,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "plain"),
    [
        ("base_t07", "base"),
        ("base_free", "base"),
        ("shown_8", "base"),
        ("tuned_all_25_tokens", "tuned_all_25"),
        ("tuned_all_25_reversed", "tuned_all_25"),
    ],
)
def test_a_variant_is_held_against_the_arm_that_it_varies(variant, plain):
    arms = load_arms()
    found = plain_of(arms.arm(variant), arms)
    assert found is not None and found.name == plain


def test_every_variant_has_a_plain_arm_and_no_other_arm_has_one():
    arms = load_arms()
    for arm in arms.arms.values():
        assert (plain_of(arm, arms) is not None) == (arm.is_variant and not arm.shuffled)


def differences(rows):
    table = pd.DataFrame(rows, columns=list(METRIC_COLUMNS))
    return robustness_table(studies_in_order(table, {"framing": load_study("framing")}))


def test_differences_by_hand():
    rows = [
        line("base", "joint_distance", "answers", 0.5, 0.03), line("base_t0", "joint_distance", "answers", 0.7, 0.04),
        line("tuned_all_25_t0", "joint_distance", "answers", 0.6, 0.04),
    ]  # fmt: skip
    table = differences(rows)
    # The fine-tuned variant has no plain arm in this run.
    assert table["Variant"].tolist() == [load_arms().arm("base_t0").label]
    assert table["Joint distance"].tolist() == ["0.20 [0.15, 0.25]"]
    assert table["Gap"].tolist() == ["–"] and set(ROBUSTNESS_MEASURES) < set(table.columns)
    assert differences(rows[:1]).empty
