"""Intervals: for a share, and by half-sampling, with the row draws that these need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from pilotlm.errors import InputError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes
    ----------
    low, high : float
        Its ends, in the unit of the quantity.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval.

    Attributes
    ----------
    value : float
        The estimate; nan where there is nothing to estimate it from.
    low, high : float
        The ends of its interval, in the same unit.
    n : int
        The number of rows (or draws, where the docstring of the function says so) that it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def interval(self) -> Interval:
        """The interval alone."""
        return Interval(self.low, self.high)


def normal_quantile(level: float) -> float:
    """The number of standard errors on either side of a normal interval, 1.96 at 95 %.

    Parameters
    ----------
    level : float
        Nominal coverage, between 0 and 1.

    Raises
    ------
    InputError
        If the level is not strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"The level of an interval must lie between 0 and 1, got {level!r}.")
    return float(ndtri((1 + level) / 2))


def central(draws: FloatArray, level: float = 0.95) -> Interval:
    """The central part of draws that holds the share ``level`` of them; nan draws are left out.

    Parameters
    ----------
    draws : (r,) array
        Draws of a quantity.
    level : float
        The share, between 0 and 1.

    Returns
    -------
    Interval
        nan at both ends where no draw is a number.
    """
    normal_quantile(level)  # refuses a level outside (0, 1)
    known = draws[~np.isnan(draws)]
    if not len(known):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval.

    With p = successes / n and z the normal quantile, the interval is
    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Parameters
    ----------
    successes : int
        How many of the rows have the property, 0 to n.
    n : int
        How many rows there are; with none, value and interval are nan.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        A share, in [0, 1].

    Raises
    ------
    InputError
        If ``successes`` lies outside 0 to n, or the level outside (0, 1).

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of the American
    Statistical Association 22, 209-212.
    """
    if not 0 <= successes <= n:
        raise InputError(f"A share needs 0 <= successes <= n, got {successes} of {n}.")
    if n == 0:
        normal_quantile(level)  # refuses a level outside (0, 1)
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    ends = score_interval(successes / n, n, level)
    return Estimate(successes / n, ends.low, ends.high, int(n))


def score_interval(share: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share, at a number of rows that need not be whole (an effective sample size).

    Parameters
    ----------
    share : float
        In [0, 1].
    n : float
        The number of rows that it rests on, above 0.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Interval
        As in `wilson`.
    """
    z = normal_quantile(level)
    _need(0 <= share <= 1 and n > 0, f"A share needs 0 <= share <= 1 and rows above 0, got {share} of {n}.")
    centre = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # Rounding can leave -1e-19 where the exact end is 0 (no successes) or just above 1 (all of them).
    low, high = max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
    return Interval(float(low) if share > 0 else 0.0, float(high) if share < 1 else 1.0)


def mean_share(scores: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean of scores between 0 and 1, with Wilson's score interval at the effective number of rows.

    A score is a share of several answers of one row, or just 0 or 1. With mean p and variance v of the scores, n rows
    tell as much as n p(1-p) / v answers that are independent and 0 or 1; for scores that are 0 or 1 that is n, and the
    interval is that of `wilson`. Where all scores are equal nothing tells how they vary, and n is used.

    Parameters
    ----------
    scores : (n,) array_like
        One score a row; with none, value and interval are nan.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        In [0, 1]; ``n`` is the number of rows.

    Raises
    ------
    InputError
        If a score lies outside 0 to 1, or the level outside (0, 1).

    References
    ----------
    Korn & Graubard (1998), Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 24, 193-201, for the effective sample size; Dean & Pagano (2015),
    Evaluating confidence interval methods for binomial proportions in clustered surveys, Journal of Survey Statistics
    and Methodology 3, 484-503, for Wilson's interval with it.
    """
    array = np.asarray(scores, dtype=float)
    normal_quantile(level)  # refuses a level outside (0, 1)
    # The comparison is false for nan, which is refused too.
    _need(array.ndim == 1 and bool(((array >= 0) & (array <= 1)).all()), "Scores must be a list of numbers in 0 to 1.")
    n = len(array)
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    share, variance = float(array.mean()), float(array.var())
    effective = n * share * (1 - share) / variance if variance > 1e-12 else float(n)
    ends = score_interval(share, effective, level)
    return Estimate(share, ends.low, ends.high, n)


def half_sampling(
    statistic: Callable[[IntArray], float], n: int, repeats: int, rng: np.random.Generator, level: float = 0.95
) -> Estimate:
    """A statistic with a normal interval from its spread over random halves, drawn without replacement.

    The delete-half jackknife: the spread of a smooth statistic over halves of the rows equals its sampling spread
    with all rows, because halving doubles the variance and drawing without replacement halves it again. Unlike the
    bootstrap it makes no duplicates. It holds for statistics that do not grow with n; see
    `pilotlm.measures.heterogeneity.unique_interval` for one that does.

    Parameters
    ----------
    statistic : callable
        Takes an array of distinct row indices and gives a number; it must not change the array.
    n : int
        Number of rows, at least 2.
    repeats : int
        Number of halves, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        ``value`` is the statistic of all rows.

    Raises
    ------
    InputError
        If n, repeats or level is out of range.

    References
    ----------
    Shao & Wu (1989), A general theory for jackknife variance estimation, Annals of Statistics 17, 1176-1197;
    Wu (1990), On the asymptotic properties of the jackknife histogram, Annals of Statistics 18, 1438-1452.
    """
    _need(n >= 2 and repeats >= 2, f"Half-sampling needs at least 2 rows and 2 repeats, got {n} and {repeats}.")
    draws = np.array([statistic(rows) for rows in subsets(n, n // 2, repeats, rng)], dtype=float)
    value = float(statistic(np.arange(n)))
    half = normal_quantile(level) * half_sampling_sd(draws, n, n // 2)
    return Estimate(value, value - half, value + half, n)


def half_sampling_sd(draws: FloatArray, n: int, size: int) -> float:
    """The sampling standard deviation at n rows from draws of a statistic over subsets of ``size`` of them.

    The variance over subsets is (n - size) / size times the sampling variance at n, which is 1 for halves; dividing
    by that factor makes any size right (Wu 1990, cited in `half_sampling`).

    Parameters
    ----------
    draws : (r,) array
        The statistic on r random subsets drawn without replacement.
    n : int
        Number of rows.
    size : int
        Rows in a subset, 1 to n - 1.

    Returns
    -------
    float
        A standard deviation, in the unit of the statistic.
    """
    return float(np.std(draws, ddof=1) * np.sqrt(size / (n - size)))


def subsets(n: int, size: int, repeats: int, rng: np.random.Generator) -> IntArray:
    """Random subsets of rows, drawn without replacement.

    Parameters
    ----------
    n : int
        Number of rows.
    size : int
        Rows in a subset, 1 to n.
    repeats : int
        Number of subsets, at least 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (repeats, size) int array
        Row indices, distinct within a subset.

    Raises
    ------
    InputError
        If size or repeats is out of range.
    """
    _need(1 <= size <= n, f"A subset of {size} rows cannot be drawn from {n}.")
    _need(repeats >= 1, f"At least 1 repeat is needed, got {repeats}.")
    rows = np.broadcast_to(np.arange(n), (repeats, n))
    return rng.permuted(rows, axis=1)[:, :size]


def split_pairs(n: int, size: int, repeats: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Random pairs of disjoint subsets of rows.

    Parameters
    ----------
    n : int
        Number of rows.
    size : int
        Rows in each of the two subsets; twice as many must not exceed n.
    repeats : int
        Number of pairs, at least 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    a, b : (repeats, size) int arrays
        Row indices; in each repeat the two share none.

    Raises
    ------
    InputError
        If there are too few rows.
    """
    _need(size >= 1 and 2 * size <= n, f"Two disjoint subsets of {size} rows cannot be drawn from {n}.")
    both = subsets(n, 2 * size, repeats, rng)
    return both[:, :size], both[:, size:]


def resample_within(groups: NDArray[Any], n: int, rng: np.random.Generator) -> IntArray:
    """Draw rows with replacement within groups, each group with its share of the rows.

    Parameters
    ----------
    groups : (m,) array
        The group of each row, for example its treatment.
    n : int
        How many rows to draw; a group gets n times its share, whole numbers by largest remainder.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (n,) int array
        Row indices, group after group.

    Raises
    ------
    InputError
        If there are no rows or n is under 1.
    """
    _need(len(groups) >= 1 and n >= 1, f"Cannot draw {n} rows from {len(groups)}.")
    _, codes = np.unique(groups, return_inverse=True)
    exact = np.bincount(codes) * n / len(codes)
    sizes = np.floor(exact).astype(int)
    largest = np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]
    sizes[largest] += 1
    drawn = [rng.choice(np.flatnonzero(codes == group), size=size) for group, size in enumerate(sizes)]
    return np.concatenate(drawn)


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)
