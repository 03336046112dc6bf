"""Answers as codes, and what uniform answers are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.measures.divergence import Comparison
from pilotlm.measures.intervals import Estimate
from pilotlm.study import AnyQuestion, Study


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
    return math.prod(q.joint_answers for q in study.questions if not roles or q.role in roles)


def marginal_codes(study: Study, table: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Each answer column as the place of its value among those allowed: (rows,) int arrays."""
    codes = []
    for question in study.questions:
        place = {value: k for k, value in enumerate(question.values)}
        codes += [np.array([place[v] for v in table[column]], dtype=np.int64) for column in question.columns]
    return codes


def sizes(study: Study) -> list[int]:
    """The number of values that each answer column may have."""
    return [len(question.values) for question in study.questions for _ in question.columns]


@dataclass(frozen=True, eq=False)
class Law:
    """The law of one answer column.

    Attributes
    ----------
    values : (k,) array
        The numbers that may be answered, in the order of `marginal_codes`.
    probabilities : (k,) array
        How likely each is.
    """

    values: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def variance(self) -> float:
        """In squared units of the answer."""
        return float(self.probabilities @ (self.values - self.probabilities @ self.values) ** 2)


def uniform_laws(study: Study) -> dict[str, Law]:
    """The law of each answer column when every answer that a question allows is as likely as any other.

    For a part of an allocation that is not uniform: with T steps and P parts, k steps leave C(T - k + P - 2, P - 2)
    ways to fill the others, of C(T + P - 1, P - 1) in all.
    """
    return {column: _uniform_law(question) for question in study.questions for column in question.columns}


def uniform_answers(study: Study, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw answers of n people who find every allowed answer to a question as likely as any other.

    Parameters
    ----------
    study : Study
        The study.
    n : int
        How many people.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (n rows) DataFrame
        The answer columns.
    """
    drawn: dict[str, NDArray[np.int64]] = {}
    for question in study.questions:
        drawn |= dict(zip(question.columns, question.uniform_answers(n, rng).T, strict=True))
    return pd.DataFrame(drawn)


def _uniform_law(question: AnyQuestion) -> Law:
    return Law(np.array(question.numbers, dtype=float), np.array(question.uniform_probabilities))


def estimated(result: Estimate) -> dict[str, float]:
    """An estimate in the columns of a tidy table."""
    return {"estimate": result.value, "low": result.low, "high": result.high, "n": result.n}


def between(result: Comparison) -> dict[str, float]:
    """A comparison in the columns of a tidy table."""
    return {"estimate": result.value, "low": result.low, "high": result.high, "floor": result.floor,
            "ceiling": result.ceiling, "n": result.n}  # fmt: skip
