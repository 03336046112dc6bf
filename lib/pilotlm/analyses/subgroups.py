"""How far each subgroup's answers are from those of its people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.answers import between, marginal_codes, sizes
from pilotlm.analyses.compared import Compared, tidy
from pilotlm.measures.divergence import Comparison, compare_many
from pilotlm.responses import SMALLEST_GROUP, subgroup_of
from pilotlm.study import Study


def subgroups(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far each subgroup's answers are from those of its people, all groups of a variable at the same n.

    - ``subgroup_distance``: mean marginal Jensen-Shannon distance over the answer columns; ``item`` is the variable.

    Groups with fewer than `SMALLEST_GROUP` people or simulated rows are left out. Floor: people of the group against
    other people of it. Parameters and result are as in `heterogeneity`.
    """
    rows: list[dict[str, Any]] = []
    for one in compared:
        for subgroup in study.subgroups:
            for group, n, result in _by_group(study, one, subgroup.variable, repeats):
                rows.append({"arm": one.arm, "seed": one.seed, "metric": "subgroup_distance",
                             "item": subgroup.variable, "subgroup": group, **between(result), "n": n})  # fmt: skip
    return tidy(study, against, rows)


def _by_group(study: Study, one: Compared, variable: str, repeats: int) -> Iterator[tuple[str, int, Comparison]]:
    ours, theirs = subgroup_of(study, one.simulated, variable), subgroup_of(study, one.human, variable)
    counts = {str(group): min(int((ours == group).sum()), int(count)) for group, count in theirs.value_counts().items()}
    shown = {group: size for group, size in counts.items() if size >= SMALLEST_GROUP}
    at = min(shown.values(), default=0) // 2
    order = one.human[variable].groupby(theirs.astype(object)).min().sort_values().index
    for group in [group for group in order if group in shown]:
        result = compare_many(
            marginal_codes(study, one.simulated[ours == group]),
            marginal_codes(study, one.human[theirs == group]),
            sizes(study), repeats, one.generator(study, f"{variable}={group}"), at=at,
        )  # fmt: skip
        yield str(group), at, result
