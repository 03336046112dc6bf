"""How far each subgroup's answers are from those of its people, and the gap between groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd

from pilotlm.analyses.answers import between, marginal_codes, sizes, uniform_laws
from pilotlm.analyses.claims import claims_rows
from pilotlm.analyses.compared import Compared, tidy
from pilotlm.analyses.groups import groups_in_order, largest_group
from pilotlm.measures.divergence import Comparison, compare_many
from pilotlm.measures.intervals import normal_quantile
from pilotlm.responses import SMALLEST_GROUP, subgroup_of
from pilotlm.study import Study


def subgroups(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far each subgroup's answers are from those of its people, all groups of a variable at the same n.

    - ``subgroup_distance``: mean marginal Jensen-Shannon distance over the answer columns; ``item`` is the variable.
    - ``subgroup_gap``: the mean of that distance over all groups but the largest, less the distance of the group with
      most people: positive where minorities are met worse. A difference with a sign rather than the largest less the
      smallest, which is above 0 for any noise. Its interval takes groups as independent, since no participant is in
      two. Floor: the same gap between people and other people, which need not be 0, for groups differ in how varied
      they are. Ceiling: that of uniform answers.
    - ``equivalence_<claim>`` and its p-values: see `pilotlm.analyses.claims.claims_rows`.

    Groups with fewer than `SMALLEST_GROUP` people or simulated rows are left out. Floor: people of the group against
    other people of it. Parameters and result are as in `heterogeneity`.
    """
    rows: list[dict[str, Any]] = []
    for one in compared:
        for subgroup in study.subgroups:
            key = {"arm": one.arm, "seed": one.seed, "item": subgroup.variable}
            found = {group: result for group, result in _by_group(study, one, subgroup.variable, repeats)}
            rows += [{**key, "metric": "subgroup_distance", "subgroup": group, **between(result)}
                     for group, result in found.items()]  # fmt: skip
            largest = largest_group(study, people, subgroup.variable)
            if largest in found and len(found) > 1:
                rows.append({**key, "metric": "subgroup_gap", **_gap(found, largest)})
    return tidy(study, against, [*rows, *claims_rows(study, compared, people, repeats)])


def _by_group(study: Study, one: Compared, variable: str, repeats: int) -> Iterator[tuple[str, Comparison]]:
    ours, theirs = subgroup_of(study, one.simulated, variable), subgroup_of(study, one.human, variable)
    counts = {str(group): min(int((ours == group).sum()), int(count)) for group, count in theirs.value_counts().items()}
    shown = {group: size for group, size in counts.items() if size >= SMALLEST_GROUP}
    at = min(shown.values(), default=0) // 2
    uniform = [law.probabilities for law in uniform_laws(study).values()]
    for group in [group for group in groups_in_order(study, one.human, variable) if group in shown]:
        yield group, compare_many(
            marginal_codes(study, one.simulated[ours == group]),
            marginal_codes(study, one.human[theirs == group]),
            sizes(study), repeats, one.generator(study, f"{variable}={group}"), uniform, at=at,
        )  # fmt: skip


def _gap(found: dict[str, Comparison], largest: str) -> dict[str, float]:
    weights = {group: -1.0 if group == largest else 1 / (len(found) - 1) for group in found}

    def weighted(name: str) -> float:
        return sum(weight * float(getattr(found[group], name)) for group, weight in weights.items())

    value = weighted("value")
    parts = [[w**2 * part for part in astuple(found[g].variance)] for g, w in weights.items()]
    half = normal_quantile(0.95) * float(np.sqrt(max(map(sum, zip(*parts, strict=True)))))
    n = next(iter(found.values())).n
    return {"estimate": value, "low": value - half, "high": value + half, "floor": weighted("floor"),
            "ceiling": weighted("ceiling"), "n": n}  # fmt: skip
