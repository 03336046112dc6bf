"""Jensen-Shannon distances: of distributions, of many tables of counts, their variance, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, xlog1py, xlogy
from scipy.stats import t

from pilotlm.errors import InputError
from pilotlm.stats.diversity import structures
from pilotlm.stats.intervals import Ends, FloatArray, IntArray, subsets

_NOTHING = 1e-12
_SOON = 2.0
"""Above its human benchmark by so many standard errors, a distance varies as its own variance says."""


def js_distance(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Jensen-Shannon distance: the square root of the Jensen-Shannon divergence, logarithms to base 2.

    JSD = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2. The plug-in value from samples is biased upwards, the
    more so the more cells there are for each row: compare distances only at equal sample sizes.

    Parameters
    ----------
    p, q : (..., k) array_like
        Counts or probabilities over the same k cells; each is divided by its sum. Leading axes broadcast.

    Returns
    -------
    (...) float array
        In [0, 1]: 0 for equal distributions, 1 for those without a common cell.

    Raises
    ------
    InputError
        If an entry is negative or not finite, or nothing is counted.

    References
    ----------
    Lin (1991), IEEE Transactions on Information Theory 37, 145-151; Endres & Schindelin (2003), same journal 49,
    1858-1860.
    """
    first, second = normalised(p), normalised(q)
    total = first + second
    # Unlike the usual form this sum has no cancellation, so that equal distributions are exactly 0 apart.
    share = np.divide(first - second, total, out=np.zeros_like(total), where=total > 0)
    cells = total / 4 * (xlog1py(1 + share, share) + xlog1py(1 - share, -share))
    divergence = cells.sum(axis=-1) / np.log(2)
    return np.asarray(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def js_crossed(first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    """The distance of each table of counts (r, k) to each of others (s, k), all with one total: (r, s); or of weights.

    1 - sum [(a + b) log2 (a + b) - a log2 a - b log2 b] / 2h over the cells that both sides use, rooted. Logarithms of
    whole numbers are looked up: 47 times as fast as a loop over `scipy.spatial.distance.jensenshannon`, and equal to it
    to 1e-15.
    """
    if first.dtype.kind == "f":
        return np.stack([js_distance(one, second) for one in first])
    total = int(first[0].sum())
    log = _logarithms(total)
    used = first.any(axis=0) & second.any(axis=0)
    ours, theirs = np.ascontiguousarray(first.T[used]), np.ascontiguousarray(second.T[used])
    shared = -log[ours].sum(axis=0)[:, None] - log[theirs].sum(axis=0)
    for a, b in zip(ours, theirs, strict=True):
        shared += log.take(a[:, None] + b)
    return _rooted(1 - shared / (2 * total))


def js_paired(first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    """The distances (r,) of the rows of two (r, k) tables of counts that have one total, or of weights."""
    if first.dtype.kind == "f":
        return js_distance(first, second)
    total = int(first[0].sum())
    log = _logarithms(total)
    return _rooted(1 + (log[first] + log[second] - log[first + second]).sum(axis=-1) / (2 * total))


def _logarithms(total: int) -> FloatArray:
    """The products v log2 v of the whole numbers v from 0 to twice the total."""
    values = np.arange(2 * total + 1)
    return np.asarray(xlogy(values, values) / np.log(2))


def _rooted(divergence: FloatArray) -> FloatArray:
    # Rounding leaves some 1e-15 where tables are equal; those that differ are at least about 1 / total² apart.
    return np.asarray(np.sqrt(np.where(divergence < 1e-13, 0.0, np.minimum(divergence, 1.0))))


def normalised(weights: ArrayLike) -> FloatArray:
    """Counts or probabilities (..., k) divided by their sums; an `InputError` where one is negative or all are zero."""
    array = np.asarray(weights, dtype=float)
    total = array.sum(axis=-1, keepdims=True)
    if not np.isfinite(array).all() or (array < 0).any() or (total <= 0).any():
        raise InputError("A distance needs counts or probabilities that are not negative and do not sum to zero.")
    return np.asarray(array / total)


@dataclass(frozen=True)
class Variance:
    """The sampling variance of the mean of a crossed table: ``whole``, without bias (it can be below 0), and ``pairs``.

    ``pairs`` is what rows add two by two: all of the variance of a distance between samples of one distribution.
    """

    whole: float
    pairs: float


def u_statistic_variance(values: FloatArray, shares: tuple[float, float]) -> Variance:
    """The variance of the mean over a table of subsamples of one sample, each with each of another's.

    Subsamples k and r + k of the (2r, 2s) values share no row, nor do those of the second sample; ``shares`` (up to one
    half) are the parts of their samples that they have. See the page on intervals. Source: Wang & Lindsay (2014),
    Statistica Sinica 24, 1117-1141; for the pairs Efron & Stein (1981), Annals of Statistics 9.
    """
    rows, columns, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    residual = values - rows[:, None] - columns + mean
    r, s = len(rows) // 2, len(columns) // 2
    apart = (values - mean) * (np.roll(values, (r, s), axis=(0, 1)) - mean)
    a, b = shares
    pairs = _of_pairs(rows - mean, a) + _of_pairs(columns - mean, b)
    return Variance(-float(apart.mean()), pairs + float(residual.var()) * a * b / ((1 - a) * (1 - b)))


def distance_ends(value: float, variance: Variance, human_benchmark: float, fall: float | None, freedom: int) -> Ends:
    """The 95 % interval of a distance, which cannot fall much below its human benchmark and varies less there.

    ``fall`` is None where tables are filled: then it is a score interval. Where tables are sparse it is symmetric on
    the scale of log-odds, and ``fall`` is what two rows of either sample in one cell take off the distance at most.
    """
    most = max(variance.whole, variance.pairs)
    if fall is not None and value > 1 - _NOTHING:
        return max(0.0, 1 + math.log(1 - 0.975) * fall), 1.0
    if most <= 0:
        return value, value
    quantile = float(t.ppf(0.975, freedom))
    half = quantile * float(np.sqrt(most))
    if fall is not None and 0 < value < 1:
        apart = half / (value * (1 - value))
        low, high = (float(end) for end in expit(logit(value) + np.array([-apart, apart])))
        return low, high
    below = _below(value - human_benchmark, variance.pairs, most, quantile) if value > human_benchmark else half
    return max(0.0, value - below), min(1.0, value + half)


def _below(above: float, least: float, most: float, quantile: float) -> float:
    """How far the lower end is below a value that lies ``above`` its human benchmark."""
    reach = max(_SOON * float(np.sqrt(least)), _NOTHING)
    if above - quantile * float(np.sqrt(most)) >= reach:
        return quantile * float(np.sqrt(most))
    if above <= quantile * float(np.sqrt(least)):
        return quantile * float(np.sqrt(least))
    # d² = q² (least + slope (above - d)): the variance at a distance of d below the value.
    slope = quantile**2 * (most - least) / reach
    rest = 2 * (quantile**2 * least + slope * above)
    return rest / (slope + float(np.sqrt(slope**2 + 2 * rest)))


def _of_pairs(means: FloatArray, share: float) -> float:
    shared = float((means * np.roll(means, len(means) // 2)).mean())
    return max(float(means.var()) + (1 - share) / share * shared, 0.0) * share**2 / (1 - share)


def counts(codes: ArrayLike, size: int, weights: FloatArray | None = None) -> NDArray[Any]:
    """How often each code in 0 to size - 1 occurs, or its weights (..., n) summed: (..., n) to (..., size)."""
    array = checked_codes(codes, size)
    rows = array.reshape(-1, array.shape[-1])
    # One bincount for all rows: each row has its own block of cells.
    offset = rows + np.arange(len(rows))[:, None] * size
    each = None if weights is None else weights.ravel()
    return np.bincount(offset.ravel(), each, minlength=len(rows) * size).reshape(*array.shape[:-1], size)


def joint_codes(simulated: ArrayLike, human: ArrayLike) -> tuple[IntArray, IntArray, int]:
    """Codes of the joint answers (n, k) and (m, k) of two samples over those observed, and how many there are."""
    ours, people = np.asarray(simulated, dtype=float), np.asarray(human, dtype=float)
    if ours.ndim != 2 or people.ndim != 2 or ours.shape[1] != people.shape[1]:
        raise InputError(
            f"Joint answers need tables with the same columns, got shapes {ours.shape} and {people.shape}."
        )
    codes = structures(np.concatenate([ours, people]))
    return codes[: len(ours)], codes[len(ours) :], int(codes.max(initial=-1)) + 1


def uniform_joint(size: int, grid: int) -> FloatArray:
    """The uniform distribution over a grid of joint answers, on the observed ones and one cell for all others.

    Joining the cells in which people have nothing does not change a distance to people: it is additive in them.
    """
    if not 1 <= size <= grid:
        raise InputError(f"{size} joint answers were observed, but the questions allow only {grid}.")
    return np.append(np.full(size, 1 / grid), (grid - size) / grid)


def checked_codes(codes: ArrayLike, size: int) -> IntArray:
    """Codes as whole numbers in 0 to size - 1; refused where they are not."""
    array = np.asarray(codes)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"Codes must be whole numbers, got {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() >= size):
        raise InputError(f"Codes must lie in 0 to {size - 1}, got {array.min()} to {array.max()}.")
    return array.astype(np.int64)


@dataclass(frozen=True)
class DistanceDifference:
    """The distance of one simulation to people less another's, in [-1, 1], its error, and the rows on a side."""

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
    weights: FloatArray | None = None,
) -> DistanceDifference:
    """Compare two simulations' mean Jensen-Shannon distances to people over the same n participants, paired.

    In each repeat the participants are split at random into halves, and in either d(first, people) - d(second, people)
    is taken, mean over columns. With u and v the differences in the two halves, Var((u - v) / 2) - Var((u + v) / 2)
    estimates the variance without bias (Wang & Lindsay 2014); half of the first is the least that is reported.
    ``weights`` (n,) are survey weights.
    """
    ours, others, people = (_table(columns, sizes) for columns in (first, second, human))
    n = len(people)
    if not len(ours) == len(others) == n or n < 2 or repeats < 2:
        raise InputError(f"Paired distances need 2 participants in all tables and 2 repeats, got {n} and {repeats}.")
    rows = subsets(n, 2 * (n // 2), repeats, rng)
    u, v = (_difference(ours, others, people, half, sizes, weights) for half in np.hsplit(rows, 2))
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
    first: IntArray,
    second: IntArray,
    people: IntArray,
    rows: IntArray,
    sizes: Sequence[int],
    weights: FloatArray | None,
) -> FloatArray:
    apart, each = [], None if weights is None else weights[rows]
    for column, size in enumerate(sizes):
        reference = counts(people[rows, column], size, each)
        mine, other = (js_distance(counts(table[rows, column], size, each), reference) for table in (first, second))
        apart.append(mine - other)
    return np.asarray(np.mean(apart, axis=0))
