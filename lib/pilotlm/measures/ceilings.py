"""The most that predictions can be worth, and how many people are best used for making them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from pilotlm.measures.intervals import Estimate, FloatArray
from pilotlm.measures.least_squares import fitted, squares
from pilotlm.measures.samples import Sample


@dataclass(frozen=True)
class Ceiling:
    """How answers and predictions go together, and what that allows.

    Attributes
    ----------
    correlation : Estimate
        Between what people's answers and what predictions of them add to the coefficient, -1 to 1.
    gain : Estimate
        1 / (1 - correlation²), with endless predictions of others: one person with answer and predictions is worth at
        most so many people with answers alone; from 1 up.
    """

    correlation: Estimate
    gain: Estimate


def ceiling(sample: Sample) -> Ceiling:
    """The correlation of answers and predictions, and the bound that it sets.

    For a mean it is their correlation; for another coefficient that of the parts which answers and predictions, each
    less what the predictors say of them, add to it. Whatever weight the predictions get, the variance is at least
    1 - correlation² of that of people only (`bound`).

    Parameters
    ----------
    sample : Sample
        The people with answers; others are not needed.

    Returns
    -------
    Ceiling
        Both with 95 % intervals: Fisher's z with the standard error of the jackknife, and a t quantile; an interval
        of the correlation that holds 0 gives a bound from 1 up. nan where answers or predictions do not vary.

    References
    ----------
    Angelopoulos, Duchi & Zrnic (2023), PPI++, arXiv 2311.01453, section 4, for the bound; Fisher (1921), On the
    "probable error" of a coefficient of correlation deduced from a small sample, Metron 1, 3-32; Miller (1974), The
    jackknife: a review, Biometrika 61, 1-15.
    """
    return ceiling_of(correlations(sample), sample.n)


def ceiling_of(correlation: FloatArray, n: int) -> Ceiling:
    """The ceiling of n people with a correlation (value, low, high) of `correlations`."""
    value, low, high = (float(end) for end in correlation)
    weakest, strongest = sizes_of(np.array(low), np.array(high))
    gain = Estimate(float(bound(value)), float(bound(weakest)), float(bound(strongest)), n)
    return Ceiling(Estimate(value, low, high, n), gain)


def correlations(sample: Sample) -> FloatArray:
    """The correlation of `ceiling` and the ends of its interval, (3, ...), for each sample of a stack.

    Parameters
    ----------
    sample : Sample

    Returns
    -------
    (3, ...) array
        Value, low, high; nan where answers or predictions do not vary.
    """
    ours, theirs = (fitted(values, sample.columns, sample.column) for values in (sample.outcome, sample.predicted))
    a, b = ours.weights * ours.residuals, theirs.weights * theirs.residuals
    sums = np.stack([a * a, b * b, a * b])
    total = sums.sum(axis=-1)
    flat = np.minimum(total[0], total[1]) <= 1e-20 * np.maximum(1.0, squares(sample.predicted))
    value, without = _correlation(total), _correlation(total[..., None] - sums)
    z, each = np.arctanh(_inside(value)), np.arctanh(_inside(without))
    n, k = sample.predictors.shape[-2:]
    error = np.sqrt((n - 1) / n * squares(each - each.mean(axis=-1, keepdims=True)))
    half = stdtrit(max(n - k - 1, 1), 0.975) * error
    return np.where(flat | np.isnan(value), np.nan, np.stack([value, np.tanh(z - half), np.tanh(z + half)]))


def sizes_of(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The weakest and the strongest correlation, without sign, of intervals from low to high, (...) each."""
    a, b = np.abs(low), np.abs(high)
    return np.where((low <= 0) & (high >= 0), 0.0, np.minimum(a, b)), np.maximum(a, b)


def bound(correlation: ArrayLike, n: float = 1, others: float = float("inf")) -> FloatArray:
    """How many people with answers alone a person with answer and predictions is worth at most.

    1 / (1 - ρ² m / (n + m)): predictions of m others, not of endless ones, leave an error of their own.

    Parameters
    ----------
    correlation : array_like
        ρ, -1 to 1.
    n, others : float
        People with answers, and other people with predictions only, m.

    Returns
    -------
    array
        At least 1.
    """
    share = 1.0 if np.isinf(others) else others / (n + others)
    left = 1 - np.square(np.asarray(correlation, dtype=np.float64)) * share
    return np.where(left <= 0, np.inf, 1 / np.where(left <= 0, 1.0, left))


def worth(people: float, teaching: float, correlation: ArrayLike, others: float) -> FloatArray:
    """How many people with answers alone are as good as this many, of whom some teach and the rest rectify.

    Parameters
    ----------
    people : float
        Those with answers, n.
    teaching : float
        Those of them whom the predictions are fitted on and who therefore cannot rectify, 0 to n.
    correlation : array_like
        Of answers and predictions that so many teach.
    others : float
        People with predictions only.

    Returns
    -------
    array
        (n - teaching) times `bound`; below n the people are better used without a model.
    """
    rest = people - teaching
    return rest * bound(correlation, rest, others) if rest > 0 else np.zeros(np.shape(correlation))


def least_correlation(people: float, teaching: float, others: float) -> float:
    """The correlation at which `worth` is just the number of people; nan where none is enough.

    Parameters
    ----------
    people, teaching, others : float
        As in `worth`.

    Returns
    -------
    float
        0 to 1.
    """
    rest = people - teaching
    if rest <= 0:
        return float("nan")
    squared = (teaching / people) * (rest + others) / others
    return float(np.sqrt(squared)) if squared <= 1 else float("nan")


def _correlation(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[2] / np.sqrt(np.maximum(sums[0] * sums[1], 1e-300)))


def _inside(correlation: FloatArray) -> FloatArray:
    return np.clip(correlation, -1 + 1e-9, 1 - 1e-9)
