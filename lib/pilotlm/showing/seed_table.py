"""How far seeds lie apart, and by what, as a table."""

from __future__ import annotations

import math

import pandas as pd

from pilotlm.arms import Arms
from pilotlm.showing.naming import in_order, label_of
from pilotlm.showing.tables import number

NOTHING_TO_SPLIT = (
    "Every arm of this run has a single seed: one pilot, trained once. How far another pilot, or another training on "
    "the same pilot, would move a measure cannot be told from one of each, and no interval on this page holds it. "
    "Nothing can be split: two seeds are needed for any of it, and five for a standard deviation that is known to a "
    "factor of three."
)
NAMES = {
    "unique_structures": "unique structures",
    "entropy": "entropy, bits",
    "marginal_distance": "distance, single answers",
    "joint_distance": "distance, structures",
    "gap": "gap",
}
PARTS = {
    "seed_variance": "Between seeds",
    "seed_variance_sampling": "Sampling",
    "seed_variance_rest": "Pilot and training",
    "seed_variance_training": "Training",
    "seed_variance_pilot": "Pilot draw",
}
"""Metric, then heading."""


def seed_table(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """One line an arm and measure: the standard deviations that the variances of the parts make, with intervals.

    Parameters
    ----------
    table : DataFrame
        Of `pilotlm.analyses.seed_variance.variance_over_seeds`.
    arms : Arms
        The declared arms.

    Returns
    -------
    DataFrame
        Text, ready for `pilotlm.showing.tables.markdown`: standard deviations in the unit of the measure, a variance
        below 0 as 0. Training and pilot draw have a dash for an arm without a twin that keeps its pilot.
    """
    lines = []
    for arm in in_order(arms, table["arm"].unique().tolist()):
        for item, name in NAMES.items():
            mine = table[(table["arm"] == arm) & (table["item"] == item)]
            rows = {str(row["metric"]): row for _, row in mine.iterrows()}
            if rows:
                parts = {heading: _deviation(rows.get(metric)) for metric, heading in PARTS.items()}
                seeds = f"{rows['seed_variance']['n']:.0f}"
                lines.append({"Arm": label_of(arms, arm), "Measure": name, **parts, "Seeds": seeds})
    return pd.DataFrame(lines)


def _deviation(row: pd.Series | None) -> str:
    if row is None:
        return "–"
    digits = 2 if row["item"] == "unique_structures" else 3
    value, low, high = (number(math.sqrt(max(row[end], 0.0)), digits) for end in ("estimate", "low", "high"))
    return f"{value} [{low}, {high}]"
