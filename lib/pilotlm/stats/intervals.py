"""Intervals of shares, by half-sampling and over seeds; draws of rows; and tests of equivalence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from pilotlm.errors import InputError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Ends = tuple[float, float]
"""The ends of an interval, in the unit of the quantity."""
NORMAL_QUANTILE = float(ndtri(0.975))
"""The number of standard errors on either side of a normal 95 % interval, 1.96."""


@dataclass(frozen=True)
class Estimate:
    """An estimate (nan where there is nothing to estimate it from), the ends of its interval, and its rows."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval; nan of no rows.

    Source: Wilson (1927), Journal of the American Statistical Association 22, 209-212.
    """
    _need(0 <= successes <= n, f"A share needs 0 <= successes <= n, got {successes} of {n}.")
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    return Estimate(successes / n, *score_interval(successes / n, n, level), int(n))


def score_interval(share: float, n: float, level: float = 0.95) -> Ends:
    """Wilson's interval of a share at a number of rows that need not be whole (an effective sample size)."""
    _need(0 <= share <= 1 and n > 0, f"A share needs 0 <= share <= 1 and rows above 0, got {share} of {n}.")
    _need(0 < level < 1, f"The level of an interval must lie between 0 and 1, got {level!r}.")
    low, high = proportion_confint(share * n, n, alpha=1 - level, method="wilson")
    # Rounding can leave -1e-19 where the exact end is 0 (no successes) or just above 1 (all of them).
    return max(0.0, float(low)) if share > 0 else 0.0, min(1.0, float(high)) if share < 1 else 1.0


def half_sampling(statistic: Callable[[IntArray], float], n: int, repeats: int, rng: np.random.Generator) -> Estimate:
    """A statistic of rows with a normal 95 % interval from its spread over random halves, drawn without replacement.

    Halving doubles the variance of a smooth statistic and drawing without replacement halves it again; unlike the
    bootstrap it makes no duplicates. Source: Shao & Wu (1989), Annals of Statistics 17, 1176-1197.
    """
    _need(n >= 2 and repeats >= 2, f"Half-sampling needs at least 2 rows and 2 repeats, got {n} and {repeats}.")
    size = n // 2
    draws = np.array([statistic(rows) for rows in subsets(n, size, repeats, rng)], dtype=float)
    value = float(statistic(np.arange(n)))
    half = NORMAL_QUANTILE * float(np.std(draws, ddof=1) * np.sqrt(size / (n - size)))
    return Estimate(value, value - half, value + half, n)


def subsets(n: int, size: int, repeats: int, rng: np.random.Generator) -> IntArray:
    """Random subsets of row indices, drawn without replacement: (repeats, size)."""
    _need(1 <= size <= n, f"A subset of {size} rows cannot be drawn from {n}.")
    _need(repeats >= 1, f"At least 1 repeat is needed, got {repeats}.")
    return rng.permuted(np.broadcast_to(np.arange(n), (repeats, n)), axis=1)[:, :size]


def split_pairs(n: int, size: int, repeats: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Random pairs of disjoint subsets of row indices: (repeats, size) each."""
    _need(size >= 1 and 2 * size <= n, f"Two disjoint subsets of {size} rows cannot be drawn from {n}.")
    both = subsets(n, 2 * size, repeats, rng)
    return both[:, :size], both[:, size:]


def with_replacement(treatments: NDArray[Any], n: int, repeats: int, rng: np.random.Generator) -> IntArray:
    """How often each row is drawn, with replacement within treatments, in each of several draws: (repeats, rows)."""
    _need(repeats >= 2, f"Draws of rows need 2 repeats or more, got {repeats}.")
    m = len(treatments)
    return np.stack([np.bincount(resample_within(treatments, n, rng), minlength=m) for _ in range(repeats)])


def without_replacement(treatments: NDArray[Any], n: int, repeats: int, rng: np.random.Generator) -> IntArray:
    """Which rows are drawn (0 or 1), each treatment with its share, in each of several draws: (repeats, rows)."""
    _need(repeats >= 2, f"Draws of rows need 2 repeats or more, got {repeats}.")
    _need(1 <= n <= len(treatments), f"{n} different rows cannot be drawn from {len(treatments)}.")
    codes = np.unique(treatments, return_inverse=True)[1].reshape(-1)
    return np.stack([_every_nth(codes, n, rng) for _ in range(repeats)])


def interval_over_seeds(
    mean: ArrayLike, below: ArrayLike, above: ArrayLike, variance: ArrayLike, seeds: ArrayLike, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """The ends of intervals of means over m seeds, (g,) each: Rubin's rules with people shared by the seeds.

    With W the variance that a seed's own interval stands for (sides ``below`` and ``above``) and B the variance between
    seeds, the half length is t sqrt(W + B / m) with (m - 1) (1 + W m / B)² degrees of freedom, each side in proportion
    to that side of the seeds' own intervals. A single seed keeps its own interval; nan where a measure has none.

    Source: Rubin & Schenker (1986), Journal of the American Statistical Association 81, 366-374.
    """
    centre, lower, upper = (np.asarray(one, dtype=float) for one in (mean, below, above))
    within, between, degrees = _variances(below, above, variance, seeds, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = t.ppf((1 + level) / 2, np.maximum(degrees, 1.0)) * np.sqrt(within + between)
        share = np.where(within > 0, lower / (lower + upper), 0.5)
    return centre - 2 * half * share, centre + 2 * half * (1 - share)


def degrees_over_seeds(
    below: ArrayLike, above: ArrayLike, variance: ArrayLike, seeds: ArrayLike, level: float
) -> FloatArray:
    """The degrees of freedom of t behind `interval_over_seeds`, whose parameters these are; infinite of one seed."""
    return _variances(below, above, variance, seeds, level)[2]


@dataclass(frozen=True, eq=False)
class Equivalence:
    """Whether differences are negligible; arrays of one shape.

    ``low`` and ``high`` are the 90 % interval: it lies within ± margin exactly where both one-sided
    tests reject. ``equivalence_p`` is of "the difference is at least the margin", ``difference_p`` of "there is none".
    """

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    equivalence_p: FloatArray
    difference_p: FloatArray


def two_one_sided(estimate: ArrayLike, standard_error: ArrayLike, margin: float) -> Equivalence:
    """Test differences with normal errors for equivalence, by two one-sided tests at 5 %, and for a difference.

    ``margin`` is the largest difference that does not matter, above 0; with error 0 a difference is taken as known.
    Source: Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """
    _need(margin > 0, f"Equivalence needs a margin above 0, got {margin}.")
    difference, error = np.asarray(estimate, dtype=float), np.asarray(standard_error, dtype=float)
    half = ndtri(0.95) * error
    below, above = ndtr(-_over(difference + margin, error)), ndtr(_over(difference - margin, error))
    apart = 2 * ndtr(-np.abs(_over(difference, error)))
    return Equivalence(difference, difference - half, difference + half, np.maximum(below, above), np.asarray(apart))


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's adjustment of a family (n,); a nan was not tested and does not count."""
    adjusted = np.array(p_values, dtype=float)
    known = ~np.isnan(adjusted)
    if known.any():
        adjusted[known] = multipletests(adjusted[known], method="holm")[1]
    return adjusted


def verdict(equivalence_p: float, difference_p: float) -> str:
    """What two tests at 5 % say: "equivalent", "different", or "undecided", which is no evidence for either."""
    if equivalence_p < 0.05:
        return "equivalent"
    return "different" if difference_p < 0.05 else "undecided"


def resample_within(groups: NDArray[Any], n: int, rng: np.random.Generator) -> IntArray:
    """Row indices drawn with replacement within groups, each with its share of the n rows, group after group."""
    _need(len(groups) >= 1 and n >= 1, f"Cannot draw {n} rows from {len(groups)}.")
    _, codes = np.unique(groups, return_inverse=True)
    exact = np.bincount(codes) * n / len(codes)
    sizes = np.floor(exact).astype(int)
    largest = np.argsort(sizes - exact, kind="stable")[: n - sizes.sum()]
    sizes[largest] += 1
    return np.concatenate([rng.choice(np.flatnonzero(codes == k), size=size) for k, size in enumerate(sizes)])


def _every_nth(treatments: NDArray[np.int64], n: int, rng: np.random.Generator) -> IntArray:
    """A systematic sample of rows in random order within treatments: every treatment gets its share, rounded."""
    m = len(treatments)
    order = np.lexsort((rng.random(m), treatments))
    places = np.floor((np.arange(n) + rng.random()) * m / n).astype(np.int64)
    return np.bincount(order[np.minimum(places, m - 1)], minlength=m)


def _variances(
    below: ArrayLike, above: ArrayLike, variance: ArrayLike, seeds: ArrayLike, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """W, B / m and the degrees of freedom of `interval_over_seeds`."""
    lower, upper, spread, m = (np.asarray(one, dtype=float) for one in (below, above, variance, seeds))
    _need(not (m < 1).any(), "A mean over seeds needs a seed.")
    within = np.square((lower + upper) / 2 / float(ndtri((1 + level) / 2)))
    between = np.where(m > 1, spread, 0.0) / m
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(between > 0, (m - 1) * np.square(1 + within / between), np.inf)
    return within, between, np.asarray(degrees)


def _over(difference: FloatArray, error: FloatArray) -> FloatArray:
    """The ratio; of something over nothing infinite, of nothing over nothing 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where((difference == 0) & (error == 0), 0.0, difference / error))


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)
