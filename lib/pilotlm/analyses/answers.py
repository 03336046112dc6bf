"""Answers as codes: what the distances of the analyses are taken between."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.measures.divergence import Comparison
from pilotlm.study import Allocation, Study, columns_of, values_of


def grid_size(study: Study, *roles: str) -> int:
    """How many joint answers the questions allow.

    Parameters
    ----------
    study : Study
        The study.
    *roles : str
        Only the questions with these roles; all when none is given.

    Returns
    -------
    int
    """
    size = 1
    for question in study.questions:
        if roles and question.role not in roles:
            continue
        if isinstance(question, Allocation):
            steps, parts = question.total // question.step, len(question.parts)
            size *= math.comb(steps + parts - 1, parts - 1)
        else:
            size *= len(values_of(question))
    return size


def marginal_codes(study: Study, table: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Each answer column as the place of its value among those allowed: (rows,) int arrays."""
    codes = []
    for question in study.questions:
        place = {value: k for k, value in enumerate(values_of(question))}
        codes += [np.array([place[v] for v in table[column]], dtype=np.int64) for column in columns_of(question)]
    return codes


def sizes(study: Study) -> list[int]:
    """The number of values that each answer column may have."""
    return [len(values_of(question)) for question in study.questions for _ in columns_of(question)]


def between(result: Comparison) -> dict[str, float]:
    """A comparison in the columns of a tidy table."""
    return {"estimate": result.value, "low": result.low, "high": result.high, "floor": result.floor,
            "ceiling": result.ceiling, "n": result.n}  # fmt: skip
