"""How varied belief structures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import Compared, estimated, grid_size, human_rows, tidy
from pilotlm.stats.diversity import expected_unique, structures, unique_interval, unique_under_uniform
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
    beliefs, grid = list(study.belief_columns), grid_size(study, "belief")
    rows: list[dict[str, Any]] = []
    for one in [human_rows(people), *compared]:
        ours, theirs = structures(one.simulated[beliefs]), structures(one.human[beliefs])
        n = min(len(ours), len(theirs))
        rows.append({
            "arm": one.arm, "seed": one.seed, "metric": "unique_structures", "item": "beliefs",
            **estimated(unique_interval(ours, n)), "human_benchmark": expected_unique(theirs, n),
            "random_benchmark": unique_under_uniform(grid, n),
        })  # fmt: skip
    # The first row is people's own.
    return tidy(study, against, [{**row, "human": rows[0]["estimate"]} for row in rows])
