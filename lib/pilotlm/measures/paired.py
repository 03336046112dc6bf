"""The difference of two simulations' distances to people, where both stand for the same participants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.divergence import counts
from pilotlm.measures.intervals import FloatArray, IntArray, subsets
from pilotlm.measures.jensen_shannon import js_distance


@dataclass(frozen=True)
class DistanceDifference:
    """The distance of one simulation to people less that of another; see `distance_difference`.

    Attributes
    ----------
    value : float
        In [-1, 1]; negative where the first is nearer to people.
    standard_error : float
        Of the value, over participants.
    n : int
        Rows on either side of each distance.
    """

    value: float
    standard_error: float
    n: int


def distance_difference(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    human: Sequence[ArrayLike],
    sizes: Sequence[int],
    repeats: int,
    rng: np.random.Generator,
) -> DistanceDifference:
    """Compare two simulations' mean Jensen-Shannon distances to people, over the same participants.

    In each repeat the participants are split at random into two halves of h = n // 2. In either half
    d(first, people) - d(second, people) is taken, the mean over columns, between the h answers that each simulation
    gives for these participants and their own. The value is the mean over halves and repeats. What the draw of
    participants does to both distances cancels, so the difference is known better than either distance.

    Parameters
    ----------
    first, second, human : sequence of (n,) int array_like
        Codes of the answers, one array a column; row i is participant i in all three.
    sizes : sequence of int
        Number of cells of each column.
    repeats : int
        Number of splits, at least 2.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    DistanceDifference

    Raises
    ------
    InputError
        If the columns do not match, or there are fewer than 2 participants or repeats.

    Notes
    -----
    The value is a U-statistic of order h in the participants. With u and v the differences in the two halves of a
    split, minus their covariance over the splits, Var((u - v) / 2) - Var((u + v) / 2), estimates its variance without
    bias (Wang & Lindsay 2014), but badly where both simulations are about as near to people, since then almost nothing
    of the statistic is linear. Of one that is all quadratic it is half of Var((u - v) / 2), the half-sampling variance
    of `pilotlm.measures.intervals.half_sampling`; so that half is the least that is reported. Normal intervals with
    this standard error cover 87 to 94 % at 90 % in simulation, from 24 participants on.

    References
    ----------
    Wang & Lindsay (2014), Variance estimation of a general U-statistic with application to cross-validation,
    Statistica Sinica 24, 1117-1141.
    """
    ours, others, people = (_table(columns, sizes) for columns in (first, second, human))
    n = len(people)
    if not len(ours) == len(others) == n or n < 2 or repeats < 2:
        raise InputError(f"Paired distances need 2 participants in all tables and 2 repeats, got {n} and {repeats}.")
    rows = subsets(n, 2 * (n // 2), repeats, rng)
    u, v = (_difference(ours, others, people, half, sizes) for half in np.hsplit(rows, 2))
    half_sampling, common = np.var((u - v) / 2, ddof=1), np.var((u + v) / 2, ddof=1)
    variance = max(half_sampling - common, half_sampling / 2)
    return DistanceDifference(float(np.mean([u, v])), float(np.sqrt(variance)), n // 2)


def _table(columns: Sequence[ArrayLike], sizes: Sequence[int]) -> IntArray:
    if len(columns) != len(sizes) or not sizes:
        raise InputError(f"There are {len(columns)} columns and {len(sizes)} sizes.")
    arrays = [np.asarray(column, dtype=np.int64) for column in columns]
    if len({array.shape for array in arrays}) > 1:
        raise InputError("The columns of a table must have one length.")
    return np.column_stack(arrays)


def _difference(
    first: IntArray, second: IntArray, people: IntArray, rows: IntArray, sizes: Sequence[int]
) -> FloatArray:
    apart = []
    for column, size in enumerate(sizes):
        reference = counts(people[rows, column], size)
        mine, other = (js_distance(counts(table[rows, column], size), reference) for table in (first, second))
        apart.append(mine - other)
    return np.asarray(np.mean(apart, axis=0))
