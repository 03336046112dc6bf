"""How far answers are from people's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.answers import between, grid_size, marginal_codes, sizes
from pilotlm.analyses.compared import Compared, tidy
from pilotlm.measures.divergence import Comparison, compare, compare_many, joint_codes, uniform_joint_law
from pilotlm.study import Study


def divergence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How far answers are from people's: Jensen-Shannon distances at equal n.

    - ``marginal_distance``: of each answer column, and of their mean (item "mean").
    - ``joint_distance``: of belief structures (item "beliefs") and of all answers together (item "answers").

    Floor: people against other people at the same n. Ceiling: uniform answers. Parameters and result are as in
    `heterogeneity`; people have no distance to themselves, so there is no arm "human".
    """
    rows: list[dict[str, Any]] = []
    for one in compared:
        for item, result in _distances(study, one, repeats):
            metric = "joint_distance" if item in ("beliefs", "answers") else "marginal_distance"
            rows.append({"arm": one.arm, "seed": one.seed, "metric": metric, "item": item, **between(result)})
    return tidy(study, against, rows)


def structure_distances(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """The ``joint_distance`` of belief structures alone, as `divergence` gives it, to stand beside their count."""
    rows = [
        {"arm": one.arm, "seed": one.seed, "metric": "joint_distance", "item": "beliefs",
         **between(joint_distance(study, one, study.belief_columns, repeats))}
        for one in compared
    ]  # fmt: skip
    return tidy(study, against, rows)


def joint_distance(study: Study, one: Compared, columns: Sequence[str], repeats: int) -> Comparison:
    """The distance of joint answers in some columns; the ceiling is uniform over all answers that are allowed."""
    ours, theirs, size = joint_codes(one.simulated[list(columns)], one.human[list(columns)])
    grid = max(size, grid_size(study, *({"belief"} if set(columns) == set(study.belief_columns) else ())))
    return compare(ours, theirs, size, repeats, one.generator(study, "joint"), uniform_joint_law(size, grid))


def _distances(study: Study, one: Compared, repeats: int) -> Iterator[tuple[str, Comparison]]:
    ours, theirs, allowed = marginal_codes(study, one.simulated), marginal_codes(study, one.human), sizes(study)
    for k, column in enumerate(study.answer_columns):
        yield column, compare(ours[k], theirs[k], allowed[k], repeats, one.generator(study, column))
    yield "mean", compare_many(ours, theirs, allowed, repeats, one.generator(study, "mean"))
    yield "beliefs", joint_distance(study, one, study.belief_columns, repeats)
    yield "answers", joint_distance(study, one, study.answer_columns, repeats)
