"""How varied belief structures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.analyses.answers import grid_size
from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.measures.heterogeneity import (
    entropy_bits,
    expected_unique,
    structures,
    unique_count,
    unique_interval,
    unique_under_uniform,
    variance_ratio_interval,
)
from pilotlm.measures.intervals import subsets
from pilotlm.study import Study


def heterogeneity(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How varied belief structures are.

    - ``unique_structures``: the number of different ones at n; floor: what n people give; ceiling: n uniform answers.
    - ``entropy``: of belief structures, in bits, at n; floor and ceiling likewise.
    - ``variance_ratio``: variance within treatments over that of people, mean over beliefs; 1 is people's.

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
        A tidy table; people are the arm "human".
    """
    beliefs = list(study.belief_columns)
    everybody = structures(people[beliefs])
    rows: list[dict[str, Any]] = []
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": "beliefs"}
        ours, theirs = structures(one.simulated[beliefs]), structures(one.human[beliefs])
        n = min(len(ours), len(theirs))
        rng = one.generator(study, "heterogeneity")
        count = unique_interval(ours, n, repeats, rng)
        rows.append(
            {**key, "metric": "unique_structures", "estimate": count.value, "low": count.low, "high": count.high,
             "human": unique_count(everybody), "floor": expected_unique(theirs, n),
             "ceiling": unique_under_uniform([grid_size(study, "belief")], n), "n": n}
        )  # fmt: skip
        rows.append({**key, "metric": "entropy", "human": entropy_bits(everybody), "n": n,
                     **_entropy(ours, theirs, n, grid_size(study, "belief"), repeats, rng)})  # fmt: skip
        ratio = variance_ratio_interval(
            one.simulated[beliefs], one.human[beliefs], one.simulated["treatment"], one.human["treatment"], repeats, rng
        )
        rows.append({**key, "metric": "variance_ratio", "estimate": ratio.value, "low": ratio.low, "high": ratio.high,
                     "human": 1.0, "floor": 1.0, "n": ratio.n})  # fmt: skip
    return tidy(study, against, rows)


def _entropy(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], n: int, grid: int, repeats: int, rng: np.random.Generator
) -> dict[str, float]:
    """Entropy at n rows: plug-in entropy is biased downwards, so people are brought to the same n."""
    draws = [entropy_bits(theirs[rows]) for rows in subsets(len(theirs), n, min(repeats, 50), rng)]
    uniform = [entropy_bits(rng.integers(grid, size=n)) for _ in range(min(repeats, 50))]
    resampled = np.array([entropy_bits(ours[rows]) for rows in subsets(len(ours), n, min(repeats, 50), rng)])
    halves = [entropy_bits(ours[rows]) for rows in subsets(len(ours), max(1, len(ours) // 2), repeats, rng)]
    centre, spread = float(resampled.mean()), 1.96 * float(np.std(halves, ddof=1))
    return {"estimate": centre, "low": max(0.0, centre - spread), "high": centre + spread,
            "floor": float(np.mean(draws)), "ceiling": float(np.mean(uniform))}  # fmt: skip
