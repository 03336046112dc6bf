"""How varied answers are: the number of joint answers ("structures"), and the variance within treatments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln
from scipy.stats import t

from pilotlm.errors import InputError
from pilotlm.stats.intervals import Estimate, FloatArray, IntArray, normal_quantile

_NONE = 1e-9
"""Fewer rows than this that repeat another are rounding."""


def structures(values: ArrayLike) -> IntArray:
    """Number the joint answers (n, k): rows have the same code if and only if all their answers are the same."""
    table = np.asarray(values, dtype=float)
    if table.ndim != 2:
        raise InputError(f"Joint answers need a table of rows and columns, got an array of shape {table.shape}.")
    if np.isnan(table).any():
        raise InputError("A joint answer cannot be numbered where an answer is missing.")
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def expected_unique(codes: ArrayLike, n: int) -> float:
    """Rarefaction: the expected number of different codes among n of the N rows, drawn without replacement.

    The sum over codes i of 1 - C(N - N_i, n) / C(N, n), exactly. Source: Hurlbert (1971), Ecology 52, 577-586.
    """
    frequencies = _frequencies(codes)
    total = int(frequencies.sum())
    if not 0 <= n <= total:
        raise InputError(f"Rarefaction to {n} rows needs at least as many, there are {total}.")
    return _rarefied(frequencies, n)


def unique_interval(codes: ArrayLike, size: int, level: float = 0.95) -> Estimate:
    """`expected_unique` of ``size`` rows with an interval over fresh samples of all rows.

    The jackknife's standard error, symmetric in the square root of the number of rows that repeat another, which among
    few rows varies as a Poisson count does (Anscombe 1948); where none does, the number of pairs that are alike is a
    Poisson count of 0 (Garwood 1936). It covers 94 to 98 % in simulation, 99 % where nearly all codes are different. No
    width where all codes are equal.
    """
    array = np.asarray(codes)
    if len(array) < 2 or not 1 <= size <= len(array):
        raise InputError(
            f"A count of unique answers at {size} rows needs as many, and 2 or more; there are {len(array)} rows."
        )
    frequencies, fewer = _frequencies(array), len(array) - 1
    value = _rarefied(frequencies, size)
    variance = _jackknife_variance(frequencies, lambda counted: 1 - _missed(counted, fewer, min(size, fewer)))
    most, least = _shortfall(size - value, variance, _pairs_alike(frequencies, size, level), level)
    return Estimate(value, max(1.0, size - most), min(float(size), size - least), size)


def unique_under_uniform(sizes: Sequence[int], n: int) -> float:
    """The expected number of structures if n people answered uniformly: S (1 - (1 - 1/S)^n), S = prod(sizes)."""
    if not sizes or min(sizes) < 1 or n < 0:
        raise InputError(f"Numbers of possible answers must be at least 1 and n at least 0, got {list(sizes)} and {n}.")
    possible = math.prod(sizes)
    if possible == 1:
        return float(min(n, 1))
    # 1 - (1 - 1/S)^n is lost to rounding for a large S; expm1 and log1p keep it.
    return float(-possible * math.expm1(n * math.log1p(-1 / possible)))


def _shortfall(value: float, variance: float, at_none: float, level: float) -> tuple[float, float]:
    """The largest and the smallest of what a measure is short of its maximum, symmetric in the square root."""
    if value < _NONE:
        return at_none, 0.0
    half = normal_quantile(level) * math.sqrt(variance) / (2 * math.sqrt(value))
    return (math.sqrt(value) + half) ** 2, max(math.sqrt(value) - half, 0.0) ** 2


def _pairs_alike(frequencies: IntArray, size: int, level: float) -> float:
    """The upper limit of the number of pairs of ``size`` rows that are alike, where among all N rows there is none."""
    total = int(frequencies.sum())
    return -math.log((1 - level) / 2) * size * (size - 1) / (total * (total - 1))


def _jackknife_variance(frequencies: IntArray, part: Callable[[IntArray], FloatArray]) -> float:
    """The jackknife's variance of a sum over codes, ``part`` of its frequency for each, with one row fewer."""
    total = int(frequencies.sum())
    values, times = np.unique(frequencies, return_counts=True)
    whole, less = part(values), part(values - 1)
    without = times @ whole - whole + less
    weights = values * times / total
    return (total - 1) * float(weights @ (without - weights @ without) ** 2)


def _frequencies(codes: ArrayLike) -> IntArray:
    array = np.asarray(codes)
    if array.ndim != 1 or not array.size:
        raise InputError(f"Codes must be a list of at least one, got an array of shape {array.shape}.")
    return np.unique(array, return_counts=True)[1].astype(np.int64)


def _rarefied(frequencies: IntArray, n: int) -> float:
    return float(len(frequencies) - _missed(frequencies, int(frequencies.sum()), n).sum())


def _missed(frequencies: IntArray, total: int, n: int) -> FloatArray:
    """The probability that n rows drawn from ``total`` hold none of a code with so many: C(N - N_i, n) / C(N, n)."""
    # A code with more than total - n rows is in every draw; elsewhere by log-factorials.
    rest = np.maximum(total - frequencies, n)
    log_missed = gammaln(rest + 1) - gammaln(rest - n + 1) - gammaln(total + 1) + gammaln(total - n + 1)
    return np.where(total - frequencies >= n, np.exp(log_missed), 0.0)


def variance_ratio(
    simulated: ArrayLike, human: ArrayLike, simulated_groups: ArrayLike, human_groups: ArrayLike
) -> float:
    """Variance within treatments of simulated answers over that of people's, mean over the columns.

    The variance is pooled as in the analysis of variance. A column in which people do not vary within treatments is
    left out (nan if that leaves none); one in which the simulation does not vary counts as 0.

    Parameters
    ----------
    simulated, human : (n, k) and (m, k) array_like of numbers
        Answers, one column a question.
    simulated_groups, human_groups : (n,) and (m,) array_like
        The treatment of each row.

    Raises
    ------
    InputError
        If the columns differ, an answer is missing, or a sample has no more rows than groups.
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

    The mean of a ratio is above the ratio of the means. The jackknife within treatments estimates that bias and the
    standard error; t has Satterthwaite's degrees of freedom over the treatments of both samples. Another sample of
    people gives 1 on average. No width where the simulation does not vary; a nan interval where people vary by a single
    row.

    Source: Miller (1968), Annals of Mathematical Statistics 39, 567-582.
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


def variance_ratio_of_known(variances: Sequence[float], human: ArrayLike, groups: ArrayLike) -> float:
    """The ratio of known variances, such as those of uniform answers, to people's, its bias taken off."""
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
