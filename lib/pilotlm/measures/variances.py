"""Variance within treatments: that of a simulation over that of people, and what as many people or noise have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray, central


def variance_ratio(
    simulated: ArrayLike, human: ArrayLike, simulated_groups: ArrayLike, human_groups: ArrayLike
) -> float:
    """Variance within treatments of simulated answers over that of people's, averaged over the columns.

    The variance within groups is pooled as in the analysis of variance: squared deviations from the group's mean,
    summed, over rows less groups.

    Parameters
    ----------
    simulated : (n, k) array_like of numbers
        Simulated answers, one column a question.
    human : (m, k) array_like of numbers
        People's answers, same columns.
    simulated_groups : (n,) array_like
        The treatment of each simulated row.
    human_groups : (m,) array_like
        The treatment of each person.

    Returns
    -------
    float
        0 or more; 1 where simulations vary as people do. A column in which people do not vary within treatments has
        no ratio and is left out (nan if that leaves none); one in which the simulation does not vary counts as 0.

    Raises
    ------
    InputError
        If the columns differ, an answer is missing, or a sample has no more rows than groups.

    References
    ----------
    Searle, Casella & McCulloch (1992), Variance Components, chapter 3, for the mean square within groups.
    """
    ours = _within_variance(*_grouped(simulated, simulated_groups))
    people = _within_variance(*_grouped(human, human_groups))
    if ours.shape != people.shape:
        raise InputError(f"A variance ratio needs the same columns, got {len(ours)} simulated and {len(people)} human.")
    varies = people > 0
    return float(np.mean(ours[varies] / people[varies])) if varies.any() else float("nan")


def variance_ratio_interval(
    simulated: ArrayLike,
    human: ArrayLike,
    simulated_groups: ArrayLike,
    human_groups: ArrayLike,
    repeats: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Estimate:
    """`variance_ratio` with a percentile bootstrap interval; both samples are resampled within treatments.

    Parameters
    ----------
    simulated, human, simulated_groups, human_groups
        As in `variance_ratio`.
    repeats : int
        Number of resamples, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        ``n`` is the number of simulated rows.

    Raises
    ------
    InputError
        As in `variance_ratio`, or if repeats or level is out of range.
    """
    if repeats < 2:
        raise InputError(f"A bootstrap needs 2 repeats or more, got {repeats}.")
    value = variance_ratio(simulated, human, simulated_groups, human_groups)
    (x, g), (y, f) = _grouped(simulated, simulated_groups), _grouped(human, human_groups)
    ours, people = _resampled_within_variance(x, g, repeats, rng), _resampled_within_variance(y, f, repeats, rng)
    varies = people > 0
    ratios = np.divide(ours, people, out=np.zeros_like(ours), where=varies).sum(axis=1)
    columns = varies.sum(axis=1)
    draws = np.divide(ratios, columns, out=np.full(repeats, np.nan), where=columns > 0)
    ends = central(draws, level)
    return Estimate(value, ends.low, ends.high, len(x))


def variance_ratio_between_halves(human: ArrayLike, groups: ArrayLike, repeats: int, rng: np.random.Generator) -> float:
    """The mean `variance_ratio` of one random half of people to the other, split within treatments.

    It is a little above 1, because the mean of a ratio is: for normal answers with d degrees of freedom in a half it is
    d / (d - 2), the mean of an F distribution.

    Parameters
    ----------
    human : (m, k) array_like of numbers
        People's answers, one column a question.
    groups : (m,) array_like
        The treatment of each person.
    repeats : int
        Number of splits, at least 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    float
        0 or more; nan where no treatment has 4 people, so that no half has two of one treatment.

    Raises
    ------
    InputError
        If an answer is missing.
    """
    table, codes = _grouped(human, groups)
    if np.bincount(codes).max() < 4:
        return float("nan")
    ratios = []
    for _ in range(repeats):
        order = rng.permutation(len(table))
        # In this order the rows of each treatment stand together, at random among themselves: every other one.
        order = order[np.argsort(codes[order], kind="stable")]
        a, b = order[::2], order[1::2]
        ratios.append(variance_ratio(table[a], table[b], codes[a], codes[b]))
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    return float(np.mean(known)) if known else float("nan")


def variance_ratio_of_laws(variances: Sequence[float], human: ArrayLike, groups: ArrayLike) -> float:
    """The `variance_ratio` of answers whose variances are known, such as uniform ones.

    Parameters
    ----------
    variances : sequence of float
        The variance of each column's answers, 0 or more.
    human : (m, k) array_like of numbers
        People's answers, same columns.
    groups : (m,) array_like
        The treatment of each person.

    Returns
    -------
    float
        As in `variance_ratio`.

    Raises
    ------
    InputError
        As in `variance_ratio`.
    """
    people = _within_variance(*_grouped(human, groups))
    if people.shape != (len(variances),):
        raise InputError(f"A variance ratio needs the same columns, got {len(variances)} and {len(people)}.")
    varies = people > 0
    return float(np.mean(np.asarray(variances)[varies] / people[varies])) if varies.any() else float("nan")


def _grouped(values: ArrayLike, groups: ArrayLike) -> tuple[FloatArray, IntArray]:
    table = np.asarray(values, dtype=float)
    names = np.asarray(groups)
    if table.ndim != 2 or names.shape != table.shape[:1]:
        raise InputError(f"A variance ratio needs one group a row, got shapes {table.shape} and {names.shape}.")
    if np.isnan(table).any():
        raise InputError("A variance ratio cannot be taken where an answer is missing.")
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    if len(table) <= codes.max(initial=0) + 1:
        raise InputError(f"A variance within groups needs more rows than groups, got {len(table)} rows.")
    return table, codes


def _within_variance(table: FloatArray, codes: IntArray) -> FloatArray:
    sizes = np.bincount(codes)
    means = np.stack([np.bincount(codes, weights=column) / sizes for column in table.T], axis=1)
    within = ((table - means[codes]) ** 2).sum(axis=0) / (len(table) - len(sizes))
    constant = np.array([_constant_within(column, codes, len(sizes)) for column in table.T])
    return np.where(constant, 0.0, within)


def _resampled_within_variance(
    table: FloatArray, codes: IntArray, repeats: int, rng: np.random.Generator
) -> FloatArray:
    """`_within_variance` of rows drawn anew in each group, as many as it has: (repeats, columns)."""
    squares = np.zeros((repeats, table.shape[1]))
    for group in range(codes.max() + 1):
        rows = table[codes == group]
        drawn = rows[rng.integers(len(rows), size=(repeats, len(rows)))]
        # Rounding of the mean must not turn a column without variation into one with some.
        squares += np.where(np.ptp(drawn, axis=1) > 0, drawn.var(axis=1) * len(rows), 0.0)
    return np.asarray(squares / (len(table) - codes.max() - 1))


def _constant_within(column: FloatArray, codes: IntArray, groups: int) -> bool:
    """Whether no group has two values: rounding of the means must not turn that into a tiny variance."""
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, codes, column)
    np.maximum.at(high, codes, column)
    return bool((low == high).all())
