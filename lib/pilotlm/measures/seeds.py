"""The interval of a mean over seeds, which holds what differs between seeds beside what each seed's interval holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from pilotlm.errors import InputError
from pilotlm.measures.intervals import FloatArray, normal_quantile


def interval_over_seeds(
    mean: ArrayLike, below: ArrayLike, above: ArrayLike, variance: ArrayLike, seeds: ArrayLike, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """The ends of intervals of means over seeds.

    A seed stands for a pilot draw, a training and a sampling of answers at once. With W the variance that a seed's own
    interval stands for, B the variance of the estimates between m seeds, the variance of the mean is at most
    W + B / m: people are shared by the seeds, so W is not divided. The interval has the half length
    t sqrt(W + B / m), each side in proportion to that side of the seeds' own intervals, with the degrees of freedom
    (m - 1) (1 + W m / B)². A single seed keeps its own interval, which knows nothing of other pilots or trainings.

    Parameters
    ----------
    mean : (g,) array_like
        Means over the seeds.
    below, above : (g,) array_like
        The mean lengths of the two sides of the seeds' own intervals, 0 or more; nan where a measure has none.
    variance : (g,) array_like
        Of the estimates between seeds, with m - 1 in the denominator; read only where there are several.
    seeds : (g,) int array_like
        How many seeds there are, m, at least 1.
    level : float
        Nominal coverage, that of the seeds' own intervals too.

    Returns
    -------
    low, high : (g,) arrays
        nan where a measure has no interval.

    Raises
    ------
    InputError
        If the level is not between 0 and 1, or a group has no seed.

    References
    ----------
    Rubin & Schenker (1986), Multiple imputation for interval estimation from simple random samples with ignorable
    nonresponse, Journal of the American Statistical Association 81, 366-374, for t with these degrees of freedom.
    """
    centre, lower, upper = (np.asarray(one, dtype=float) for one in (mean, below, above))
    within, between, degrees = _parts(below, above, variance, seeds, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = t.ppf((1 + level) / 2, np.maximum(degrees, 1.0)) * np.sqrt(within + between)
        share = np.where(within > 0, lower / (lower + upper), 0.5)
    return centre - 2 * half * share, centre + 2 * half * (1 - share)


def degrees_over_seeds(
    below: ArrayLike, above: ArrayLike, variance: ArrayLike, seeds: ArrayLike, level: float = 0.95
) -> FloatArray:
    """The degrees of freedom of t behind `interval_over_seeds`, whose parameters these are; infinite of one seed."""
    return _parts(below, above, variance, seeds, level)[2]


def _parts(
    below: ArrayLike, above: ArrayLike, variance: ArrayLike, seeds: ArrayLike, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """W, B / m and the degrees of freedom."""
    lower, upper, spread, m = (np.asarray(one, dtype=float) for one in (below, above, variance, seeds))
    if (m < 1).any():
        raise InputError("A mean over seeds needs a seed.")
    within = np.square((lower + upper) / 2 / normal_quantile(level))
    between = np.where(m > 1, spread, 0.0) / m
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(between > 0, (m - 1) * np.square(1 + within / between), np.inf)
    return within, between, np.asarray(degrees)
