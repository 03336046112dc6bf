"""How varied belief structures are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import Compared, estimated, grid_size, human_rows, tidy, uniform_distributions
from pilotlm.predictions import is_nominal
from pilotlm.responses import HUMAN, as_numbers
from pilotlm.stats.diversity import (
    expected_unique,
    structures,
    unique_interval,
    unique_under_uniform,
    variance_ratio_interval,
    variance_ratio_of_known,
)
from pilotlm.study import Study


def heterogeneity(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How varied belief structures are.

    - ``unique_structures``: the number of different ones at n. Human benchmark: what n people give; random benchmark: n
      uniform answers.
    - ``variance_ratio``: variance within treatments over that of people, mean over the beliefs whose answers are
      numbers or in order, its bias taken off; no row in a study without one. Human benchmark: 1; random benchmark:
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
    if numbers := [column for column in beliefs if not is_nominal(study, column)]:
        yield {"metric": "variance_ratio", **_variance_ratio(study, one, numbers)}


def _variance_ratio(study: Study, one: Compared, columns: list[str]) -> dict[str, float]:
    """Of the beliefs that are numbers: the codes of options in no order have neither mean nor variance."""
    ours, theirs = (as_numbers(study, table)[columns] for table in (one.simulated, one.human))
    here, there = one.simulated["treatment"], one.human["treatment"]
    distributions = uniform_distributions(study)
    found = estimated(variance_ratio_interval(ours, theirs, here, there))
    if one.arm == HUMAN and found["estimate"] > 0:
        # The ratio of people to themselves is 1 and has no bias; other people would vary about it as much.
        found |= {name: found[name] / found["estimate"] for name in ("estimate", "low", "high")}
    return {**found, "human_benchmark": 1.0,
            "random_benchmark": variance_ratio_of_known([distributions[c].variance for c in columns], theirs, there),
            }  # fmt: skip


def _with_human(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put people's own estimate, that of the first arm, beside every estimate of the same measure."""
    human = {row["metric"]: row["estimate"] for row in rows if row["arm"] == rows[0]["arm"]}
    return [{"human": human[row["metric"]], **row} for row in rows]
