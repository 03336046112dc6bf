"""How varied belief structures are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import Compared, estimated, grid_size, human_rows, tidy
from pilotlm.stats.diversity import (
    expected_unique,
    structures,
    unique_interval,
    unique_under_uniform,
)
from pilotlm.study import Study


def heterogeneity(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How varied belief structures are.

    - ``unique_structures``: the number of different ones at n. Human benchmark: what n people give; random benchmark: n
      uniform answers.

    Parameters
    ----------
    study : Study
        The study.
    compared : sequence of Compared
        The arms.
    people : DataFrame
        All people.
    against : {"held-out", "all"}
        Whom the arms are compared with.
    repeats : int
        Random halves and resamples.

    Returns
    -------
    DataFrame
        Columns `pilotlm.analyses.common.METRIC_COLUMNS`; people are the arm "human".
    """
    rows: list[dict[str, Any]] = []
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": "beliefs"}
        rows += [{**key, **row} for row in _rows(study, one)]
    return tidy(study, against, _with_human(rows))


def _rows(study: Study, one: Compared) -> Iterator[dict[str, Any]]:
    beliefs, grid = list(study.belief_columns), grid_size(study, "belief")
    ours, theirs = structures(one.simulated[beliefs]), structures(one.human[beliefs])
    n = min(len(ours), len(theirs))
    yield {"metric": "unique_structures", **estimated(unique_interval(ours, n)),
           "human_benchmark": expected_unique(theirs, n),
           "random_benchmark": unique_under_uniform([grid], n)}  # fmt: skip


def _with_human(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put people's own estimate, that of the first arm, beside every estimate of the same measure."""
    human = {row["metric"]: row["estimate"] for row in rows if row["arm"] == rows[0]["arm"]}
    return [{"human": human[row["metric"]], **row} for row in rows]
