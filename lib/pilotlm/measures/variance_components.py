"""Where the variance of a measure comes from: the pilot drawn, the training on it, and the sampling of answers.

A measure y of training j on pilot draw i, sampled for the k-th time, is y = m + a(i) + b(i, j) + e(i, j, k), the
three terms independent with variances of their own. They are told apart only where each is repeated inside the one
above it: at least two pilot draws, two trainings of some pilot, and two samples of some training. A run in which a
new seed changes all three at once gives their sum and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, f, t

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray, normal_quantile


@dataclass(frozen=True)
class Components:
    """The variance of a measure, split.

    Attributes
    ----------
    pilot, training, sampling : Estimate
        Variances, in the squared unit of the measure; ``n`` is the degrees of freedom of each one's mean square. An
        estimate may be negative, which says that it cannot be told from 0; the ends of its interval are at least 0.
    mean : Estimate
        The measure itself, its interval holding all three sources; ``n`` is the number of pilot draws.
    """

    pilot: Estimate
    training: Estimate
    sampling: Estimate
    mean: Estimate

    @property
    def shares(self) -> tuple[float, float, float]:
        """Pilot, training and sampling as shares of their sum, negative estimates taken as 0; nan where all are 0."""
        parts = np.maximum([self.pilot.value, self.training.value, self.sampling.value], 0.0)
        total = float(parts.sum())
        return tuple(float(part / total) if total else math.nan for part in parts)  # type: ignore[return-value]


def variance_components(values: ArrayLike, pilot: ArrayLike, training: ArrayLike, level: float = 0.95) -> Components:
    """Split the variance of a measure by the analysis of variance of a nested design.

    Mean squares between pilots, between trainings within pilots, and within trainings are set equal to their
    expectations. Intervals of the upper components are modified large-sample intervals for a difference of mean
    squares, that of the lowest the exact one for normal errors; that of the mean uses t on the pilots.

    Parameters
    ----------
    values : (rows,) array_like
        The measure, a row a sample.
    pilot, training : (rows,) array_like
        Which pilot draw and which training each comes from; trainings of different pilots may share a label. Every
        pilot must have the same number of trainings, and every training the same number of samples.
    level : float
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    Components

    Raises
    ------
    InputError
        If the lengths differ, a value is not finite, the design is not balanced, or a source is not repeated.

    References
    ----------
    Searle, Casella & McCulloch (1992), Variance Components, chapter 3; Ting, Burdick, Graybill, Jeyaratnam & Lu
    (1990), Confidence intervals on linear combinations of variance components that are unrestricted in sign, Journal
    of Statistical Computation and Simulation 35, 135-143.
    """
    normal_quantile(level)  # refuses a level outside (0, 1)
    cube = _as_cube(values, pilot, training)
    a, b, c = cube.shape
    means, centres = cube.mean(axis=2), cube.mean(axis=(1, 2))
    squares = (
        MeanSquare(float(b * c * np.square(centres - cube.mean()).sum() / (a - 1)), a - 1),
        MeanSquare(float(c * np.square(means - centres[:, None]).sum() / (a * (b - 1))), a * (b - 1)),
        MeanSquare(float(np.square(cube - means[:, :, None]).sum() / (a * b * (c - 1))), a * b * (c - 1)),
    )
    return Components(
        _component(squares[0], squares[1], b * c, level),
        _component(squares[1], squares[2], c, level),
        variance_interval(squares[2], level),
        _mean(float(cube.mean()), squares[0], cube.size, level),
    )


@dataclass(frozen=True)
class MeanSquare:
    """A mean square.

    Attributes
    ----------
    value : float
        An estimate of a variance, 0 or more.
    df : float
        Its degrees of freedom, above 0; perhaps an approximation that is no whole number.
    """

    value: float
    df: float


def variance_interval(square: MeanSquare, level: float = 0.95) -> Estimate:
    """A variance with the interval of chi-square, which is exact for normal errors.

    Parameters
    ----------
    square : MeanSquare
        Its estimate.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        ``n`` is the degrees of freedom, rounded down.
    """
    low, high = (square.df * square.value / chi2.ppf(p, square.df) for p in ((1 + level) / 2, (1 - level) / 2))
    return Estimate(square.value, float(low), float(high), int(square.df))


def variance_difference(upper: MeanSquare, lower: MeanSquare, level: float = 0.95) -> Estimate:
    """The difference of two variances that are estimated by independent mean squares.

    Parameters
    ----------
    upper, lower : MeanSquare
        Their estimates.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        ``upper`` less ``lower``, which may be negative, as may the ends of the interval; ``n`` is the degrees of
        freedom of the upper one, rounded down.

    References
    ----------
    Ting, Burdick, Graybill, Jeyaratnam & Lu (1990), cited in `variance_components`.
    """
    x, y, n1, n2 = upper.value, lower.value, upper.df, lower.df
    tail, whole = (1 - level) / 2, (1 + level) / 2
    high_f, low_f = f.ppf(whole, n1, n2), f.ppf(tail, n1, n2)
    g1, g2 = 1 - n1 / chi2.ppf(whole, n1), 1 - n2 / chi2.ppf(whole, n2)
    h1, h2 = n1 / chi2.ppf(tail, n1) - 1, n2 / chi2.ppf(tail, n2) - 1
    g12 = (np.square(high_f - 1) - np.square(g1 * high_f) - np.square(h2)) / high_f
    h12 = (np.square(1 - low_f) - np.square(h1 * low_f) - np.square(g2)) / low_f
    below = max(0.0, (g1 * x) ** 2 + (h2 * y) ** 2 + g12 * x * y)
    above = max(0.0, (h1 * x) ** 2 + (g2 * y) ** 2 + h12 * x * y)
    return Estimate(x - y, x - y - math.sqrt(below), x - y + math.sqrt(above), int(n1))


def _as_cube(values: ArrayLike, pilot: ArrayLike, training: ArrayLike) -> FloatArray:
    """The values as (pilots, trainings, samples)."""
    y = np.asarray(values, dtype=float)
    i, j = (np.unique(np.asarray(label), return_inverse=True)[1] for label in (pilot, training))
    if not (y.ndim == 1 and len(y) == len(i) == len(j) and np.isfinite(y).all()):
        raise InputError("Each value must be a finite number with a pilot and a training.")
    _, cell = np.unique(np.stack([i, j]), axis=1, return_inverse=True)
    samples, order = np.bincount(cell), np.argsort(cell, kind="stable")
    trainings = np.bincount([i[cell == k][0] for k in range(len(samples))])
    for what, counts in (("trainings of a pilot", trainings), ("samples of a training", samples)):
        if len(set(counts.tolist())) > 1 or counts[0] < 2:
            _refuse(what, counts)
    if len(trainings) < 2:
        _refuse("pilot draws", np.array([len(trainings)]))
    return y[order].reshape(len(trainings), int(trainings[0]), int(samples[0]))


def _refuse(what: str, counts: IntArray) -> None:
    found = ", ".join(map(str, sorted(set(counts.tolist()))))
    raise InputError(
        f"To tell pilot, training and sampling apart each must be repeated, everywhere as often: at least two pilot "
        f"draws, trainings of each and samples of each; the number of {what} is {found}."
    )


def _component(upper: MeanSquare, lower: MeanSquare, divisor: int, level: float) -> Estimate:
    """A component of the variance, of which the mean squares differ by so many; its interval begins at 0."""
    apart = variance_difference(upper, lower, level)
    low, high = (max(0.0, end) / divisor for end in (apart.low, apart.high))
    return Estimate(apart.value / divisor, low, high, apart.n)


def _mean(centre: float, between: MeanSquare, size: int, level: float) -> Estimate:
    """A pilot's mean varies by all that is below it, so the mean square between pilots is all that is needed."""
    half = float(t.ppf((1 + level) / 2, between.df)) * math.sqrt(between.value / size)
    return Estimate(centre, centre - half, centre + half, int(between.df) + 1)
