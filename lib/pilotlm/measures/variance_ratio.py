"""Variance within treatments: that of a simulation over that of people, and what as many people or noise have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray, normal_quantile


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
    return float(_mean_ratio(ours, people))


def variance_ratio_interval(
    simulated: ArrayLike,
    human: ArrayLike,
    simulated_groups: ArrayLike,
    human_groups: ArrayLike,
    level: float = 0.95,
) -> Estimate:
    """`variance_ratio` free of its bias to first order, with an interval on the logarithmic scale.

    The mean of a ratio is above the ratio of the means: with six people in each of eight treatments `variance_ratio` of
    people to other people is 1.08 on average. The jackknife, which leaves one row out at a time within treatments,
    estimates that bias and the standard error; a ratio is skewed, so both are applied to its logarithm. Deviations are
    taken from the ratio of all rows rather than from their own mean, which makes up for what the jackknife misses in
    small treatments. The interval uses t with Satterthwaite's degrees of freedom over the treatments of both samples.

    Parameters
    ----------
    simulated, human, simulated_groups, human_groups
        As in `variance_ratio`.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        ``n`` is the number of simulated rows. Another sample of people of any size gives 1 on average. Where the
        simulation does not vary at all the value is 0 and nothing tells how it would vary: the interval has no width.
        Where people vary by a single row the interval is nan.

    Raises
    ------
    InputError
        As in `variance_ratio`, or if the level is out of range.

    References
    ----------
    Miller (1968), Jackknifing variances, Annals of Mathematical Statistics 39, 567-582, for the jackknife of the
    logarithm; Efron & Stein (1981), The jackknife estimate of variance, Annals of Statistics 9, 586-596; Satterthwaite
    (1946), An approximate distribution of estimates of variance components, Biometrics Bulletin 2, 110-114.
    """
    normal_quantile(level)  # refuses a level outside (0, 1)
    value = variance_ratio(simulated, human, simulated_groups, human_groups)
    (x, g), (y, f) = _grouped(simulated, simulated_groups), _grouped(human, human_groups)
    if math.isnan(value) or value == 0:
        return Estimate(value, value, value, len(x))
    ours, people = _within_variance(x, g), _within_variance(y, f)
    without_ours = _mean_ratio(_left_out(x, g), people) / value - 1
    without_people = _mean_ratio(ours, _left_out(y, f)) / value - 1
    if np.isnan(without_people).any():
        return Estimate(value, float("nan"), float("nan"), len(x))
    parts = np.concatenate([_by_group(np.square(without_ours), g), _by_group(np.square(without_people), f)])
    sizes = np.concatenate([np.bincount(g), np.bincount(f)])
    used = (sizes > 1) & (parts > 0)
    # Of the two, people's variance alone is in the denominator and biases the ratio.
    centre = value * math.exp(-float(_by_group(without_people, f).sum()))
    freedom = parts.sum() ** 2 / (parts[used] ** 2 / (sizes[used] - 1)).sum() if used.any() else 1.0
    half = float(t.ppf((1 + level) / 2, freedom) * np.sqrt(parts.sum()))
    return Estimate(centre, centre * math.exp(-half), centre * math.exp(half), len(x))


def variance_ratio_of_laws(variances: Sequence[float], human: ArrayLike, groups: ArrayLike) -> float:
    """The ratio of known variances, such as those of uniform answers, to people's, as `variance_ratio_interval` has it.

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
        As in `variance_ratio`, its bias taken off as there.

    Raises
    ------
    InputError
        As in `variance_ratio`.
    """
    table, codes = _grouped(human, groups)
    ours, people = np.asarray(variances, dtype=float), _within_variance(table, codes)
    if people.shape != ours.shape:
        raise InputError(f"A variance ratio needs the same columns, got {len(variances)} and {len(people)}.")
    value = float(_mean_ratio(ours, people))
    if math.isnan(value) or value == 0:
        return value
    without = _mean_ratio(ours, _left_out(table, codes)) / value - 1
    return value if np.isnan(without).any() else value * math.exp(-float(_by_group(without, codes).sum()))


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


def _left_out(table: FloatArray, codes: IntArray) -> FloatArray:
    """`_within_variance` without each row in turn: (n, k). A row that is all of its group leaves it as it is."""
    sizes = np.bincount(codes)
    means = np.stack([np.bincount(codes, weights=column) / sizes for column in table.T], axis=1)
    squares = (table - means[codes]) ** 2
    whole, freedom = squares.sum(axis=0), len(table) - len(sizes)
    more = (sizes / np.maximum(sizes - 1, 1))[codes][:, None]
    left = whole - more * squares
    # What rounding leaves of a column in which one row alone differed is no variance.
    left = np.where(left > 1e-12 * whole, left, 0.0) / max(freedom - 1, 1)
    return np.where((sizes > 1)[codes][:, None], left, whole / freedom)


def _mean_ratio(ours: FloatArray, people: FloatArray) -> FloatArray:
    """The mean over the columns in which people vary, for each row; nan where there is none."""
    ours, people = np.broadcast_arrays(ours, people)
    varies = people > 0
    ratios = np.divide(ours, people, out=np.zeros_like(ours), where=varies).sum(axis=-1)
    columns = varies.sum(axis=-1)
    return np.asarray(np.divide(ratios, columns, out=np.full(ratios.shape, np.nan), where=columns > 0))


def _by_group(values: FloatArray, codes: IntArray) -> FloatArray:
    """The jackknife's sum over each group's rows: (size - 1) / size times the sum of what leaving a row out does."""
    sizes = np.bincount(codes)
    return np.asarray(np.bincount(codes, weights=values) * (sizes - 1) / sizes)


def _constant_within(column: FloatArray, codes: IntArray, groups: int) -> bool:
    """Whether no group has two values: rounding of the means must not turn that into a tiny variance."""
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, codes, column)
    np.maximum.at(high, codes, column)
    return bool((low == high).all())
