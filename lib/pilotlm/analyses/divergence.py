"""How far answers are from people's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import (
    Compared,
    between,
    grid_size,
    marginal_codes,
    sizes,
    tidy,
    uniform_distributions,
    weights_of_both,
)
from pilotlm.stats.comparisons import comparison, draw_halves, mean_spread, spread
from pilotlm.stats.distances import joint_codes, uniform_joint
from pilotlm.study import Study

JOINT = ("beliefs", "answers")
"""The items that are joint answers: of the belief questions, and of all."""


def divergence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far answers are from people's, at equal n.

    - ``marginal_distance``: Jensen-Shannon distance (square root, base 2) of each answer column, and their mean (item
      "mean"); weighted where the study names weights, as nothing else here is.
    - ``joint_distance``: of belief structures (item "beliefs") and of all answers together (item "answers").

    Human benchmark: people against other people at the same n. Random benchmark: uniform answers. Parameters and result
    are as in `pilotlm.analyses.heterogeneity.heterogeneity`; people have no distance to themselves, so there is no arm
    "human".
    """
    rows = [
        {"arm": one.arm, "seed": one.seed, **row}
        for one in compared
        for row in (*_marginal(study, one, repeats), *(_joint(study, one, item, repeats) for item in JOINT))
    ]
    return tidy(study, against, rows)


def structure_distances(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """The ``joint_distance`` of belief structures alone, as `divergence` gives it, to stand beside their count."""
    rows = [{"arm": one.arm, "seed": one.seed, **_joint(study, one, "beliefs", repeats)} for one in compared]
    return tidy(study, against, rows)


def _marginal(study: Study, one: Compared, repeats: int) -> Iterator[dict[str, Any]]:
    rng = one.generator(study, "marginal")
    halves = draw_halves(len(one.simulated), len(one.human), repeats, rng)
    ours, theirs = marginal_codes(study, one.simulated), marginal_codes(study, one.human)
    uniform, weights = uniform_distributions(study), weights_of_both(one)
    spreads = {
        column: spread(x, y, size, halves, rng, uniform[column], weights)
        for column, x, y, size in zip(study.answer_columns, ours, theirs, sizes(study), strict=True)
    }
    for column, one_column in spreads.items():
        yield {"metric": "marginal_distance", "item": column, **between(comparison(one_column))}
    mean = mean_spread(list(spreads.values()))
    yield {"metric": "marginal_distance", "item": "mean", **between(comparison(mean))}


def _joint(study: Study, one: Compared, item: str, repeats: int) -> dict[str, Any]:
    """Joint answers are counted among those observed; the random benchmark is uniform over all that are allowed."""
    rng = one.generator(study, f"joint {item}")
    halves = draw_halves(len(one.simulated), len(one.human), repeats, rng)
    columns = list(study.belief_columns if item == "beliefs" else study.answer_columns)
    ours, theirs, size = joint_codes(one.simulated[columns], one.human[columns])
    grid = max(size, grid_size(study, *(["belief"] if item == "beliefs" else [])))
    distances = spread(ours, theirs, size, halves, rng, uniform_joint(size, grid))
    return {"metric": "joint_distance", "item": item, **between(comparison(distances))}
