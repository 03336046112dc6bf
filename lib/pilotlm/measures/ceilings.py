"""The most that predictions can be worth, and how many people are best used for making them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from pilotlm.measures.intervals import Estimate, FloatArray
from pilotlm.measures.least_squares import fitted
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
    ours, theirs = (
        fitted(values, sample.predictors, sample.column, blind=False) for values in (sample.outcome, sample.predicted)
    )
    if ours is None or theirs is None:
        return _unknown(sample.n)
    a, b = ours.weights * ours.residuals, theirs.weights * theirs.residuals
    sums = np.stack([a * a, b * b, a * b])
    total = sums.sum(axis=1)
    if min(total[0], total[1]) <= 1e-20 * max(1.0, float(np.square(sample.predicted).sum())):
        return _unknown(sample.n)
    value, without = _correlation(total), _correlation(total[:, None] - sums)
    z, each = np.arctanh(_inside(value)), np.arctanh(_inside(without))
    n, k = sample.predictors.shape
    error = np.sqrt((n - 1) / n * np.square(each - each.mean()).sum())
    half = stdtrit(max(n - k - 1, 1), 0.975) * error
    low, high = np.tanh(z - half), np.tanh(z + half)
    correlation = Estimate(float(value), float(low), float(high), n)
    weakest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    strongest = max(abs(low), abs(high))
    return Ceiling(correlation, Estimate(bound(float(value)), bound(weakest), bound(strongest), n))


def bound(correlation: float, n: float = 1, others: float = float("inf")) -> float:
    """How many people with answers alone a person with answer and predictions is worth at most.

    1 / (1 - ρ² m / (n + m)): predictions of m others, not of endless ones, leave an error of their own.

    Parameters
    ----------
    correlation : float
        ρ, -1 to 1.
    n, others : float
        People with answers, and other people with predictions only, m.

    Returns
    -------
    float
        At least 1.
    """
    share = 1.0 if np.isinf(others) else others / (n + others)
    left = 1 - correlation**2 * share
    return 1 / left if left > 0 else float("inf")


def worth(people: float, teaching: float, correlation: float, others: float) -> float:
    """How many people with answers alone are as good as this many, of whom some teach and the rest rectify.

    Parameters
    ----------
    people : float
        Those with answers, n.
    teaching : float
        Those of them whom the predictions are fitted on and who therefore cannot rectify, 0 to n.
    correlation : float
        Of answers and predictions that so many teach.
    others : float
        People with predictions only.

    Returns
    -------
    float
        (n - teaching) times `bound`; below n the people are better used without a model.
    """
    rest = people - teaching
    return rest * bound(correlation, rest, others) if rest > 0 else 0.0


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


def _unknown(n: int) -> Ceiling:
    nothing = Estimate(float("nan"), float("nan"), float("nan"), n)
    return Ceiling(nothing, nothing)
