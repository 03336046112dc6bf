"""The groups of a variable: in which order they stand, and which is the largest."""

from __future__ import annotations

import pandas as pd

from pilotlm.responses import as_numbers, subgroup_of
from pilotlm.study import Study


def groups_in_order(study: Study, table: pd.DataFrame, variable: str) -> list[str]:
    """The groups that a table has, by the numbers of the variable."""
    groups = subgroup_of(study, table, variable).astype(object)
    values = as_numbers(study, table)[variable]
    return [str(group) for group in values.groupby(groups).min().sort_values().index]


def largest_group(study: Study, people: pd.DataFrame, variable: str) -> str:
    """The group of a variable with most people; of several the first by its values; "" where there is none."""
    counts = subgroup_of(study, people, variable).value_counts()
    return max(groups_in_order(study, people, variable), key=lambda group: int(counts[group]), default="")
