"""What a measure varies by between seeds: the sampling of people and answers, the pilot draw, and the training on it.

A new seed draws another pilot, trains on it, and lets other people be answered for. The spread of a measure over seeds
is all of these. What its rows alone make it vary is seen in a single seed, by leaving them out one at a time; the rest
is due to pilot draw and training. Seeds that change both cannot tell these two apart. Beside seeds that all train on
one pilot they can: the rest of those is training alone, and what the others have more is pilot draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate, FloatArray, normal_quantile
from pilotlm.measures.variance_components import (
    MeanSquare,
    variance_combination,
    variance_difference,
    variance_interval,
)


@dataclass(frozen=True)
class SeedVariance:
    """The variance of a measure between seeds, in its squared unit; ``n`` of each part is the number of seeds.

    Attributes
    ----------
    total : Estimate
        Of the estimates.
    sampling : Estimate
        What the people who are answered for, and their answers, make of it.
    rest : Estimate
        Total less sampling: pilot draw and training, or training alone where all seeds share a pilot. Negative values
        say that it cannot be told from 0.
    squares : tuple of MeanSquare
        Those of total and sampling, with their degrees of freedom.
    """

    total: Estimate
    sampling: Estimate
    rest: Estimate
    squares: tuple[MeanSquare, MeanSquare]


def influences(without: ArrayLike) -> FloatArray:
    """How much each participant moves a measure: the deviations whose squares sum to the jackknife's variance.

    Parameters
    ----------
    without : (n,) array_like
        The measure without each of n participants in turn, at least 2.

    Returns
    -------
    (n,) array
        sqrt((n - 1) / n) times the deviation from the mean; they sum to 0.

    Raises
    ------
    InputError
        If there are under 2, or one is not finite.

    References
    ----------
    Efron & Stein (1981), The jackknife estimate of variance, Annals of Statistics 9, 586-596: the sum of squares is
    right to first order and on average never too small.
    """
    values = np.asarray(without, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError("A jackknife needs 2 or more numbers, the measure without each participant in turn.")
    return np.asarray(np.sqrt((len(values) - 1) / len(values)) * (values - values.mean()))


def interactions(whole: float, without: ArrayLike, without_both: ArrayLike, n: int) -> FloatArray:
    """What pairs of participants add to a measure beside what each adds alone.

    Parameters
    ----------
    whole : float
        The measure of all n participants.
    without : (m, 2) array_like
        The measure without either of the two participants of m pairs.
    without_both : (m,) array_like
        The measure without both of them.
    n : int
        The number of participants, 3 or more.

    Returns
    -------
    (m,) array
        Q = n S - (n - 1) (S without one + S without the other) + (n - 2) (S without both).

    References
    ----------
    Efron & Stein (1981), cited in `influences`, for the decomposition by participants, pairs, and so on: in it the
    jackknife's variance has what pairs make twice, and that is, up to terms of order 1 / n, half the mean of Q².
    """
    single = np.asarray(without, dtype=float).sum(axis=1)
    return np.asarray(n * whole - (n - 1) * single + (n - 2) * np.asarray(without_both, dtype=float))


def split_over_seeds(
    estimates: ArrayLike, influence: ArrayLike, excess: float = 0.0, level: float = 0.95
) -> SeedVariance:
    """Split the variance of a measure between seeds into what sampling makes it and the rest.

    With y(s) the estimate of seed s and d(i, s) the influence of participant i on it, 0 where i has no part in it,
    the total is the variance of y over the S seeds, and sampling is the sum over i of the variance of d(i, .) over the
    seeds. For a mean that is mean over s of Var(y(s)) less mean over pairs of Cov(y(s), y(t)), both as the jackknife
    has them: what participants who are answered for in two seeds do alike in both is no variance between seeds. The
    interval of the total is that of chi-square with S - 1 degrees of freedom, which for few seeds is very long; that of
    sampling has Satterthwaite's; that of the rest is of a difference of two mean squares.

    Parameters
    ----------
    estimates : (s,) array_like
        The measure in each seed, at least 2.
    influence : (s, n) array_like
        Of `influences`, a column for each participant of any seed.
    excess : float
        What pairs of participants make the jackknife's variance too large by, see `interactions`; it takes half of
        that variance away at most, as where a measure is made by pairs alone.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    SeedVariance

    Raises
    ------
    InputError
        If there are under 2 seeds, a number is not finite, shapes do not fit, or the level is out of range.

    References
    ----------
    Searle, Casella & McCulloch (1992), Variance Components, chapter 3; Satterthwaite (1946), An approximate
    distribution of estimates of variance components, Biometrics Bulletin 2, 110-114; Ting et al. (1990), cited in
    `pilotlm.measures.variance_components.variance_components`.
    """
    normal_quantile(level)  # refuses a level outside (0, 1)
    y, d = np.asarray(estimates, dtype=float), np.asarray(influence, dtype=float)
    fits = y.ndim == 1 and len(y) >= 2 and d.ndim == 2 and len(d) == len(y) and d.shape[1] >= 2
    if not fits or not (np.isfinite(y).all() and np.isfinite(d).all()):
        raise InputError("A variance over seeds needs 2 or more, and a finite influence of each participant in each.")
    total = MeanSquare(float(y.var(ddof=1)), len(y) - 1)
    sampling = _sum_of_variances(d, excess)
    return SeedVariance(
        replace(variance_interval(total, level), n=len(y)),
        replace(variance_interval(sampling, level), n=len(y)),
        replace(variance_difference(total, sampling, level), n=len(y)),
        (total, sampling),
    )


def pilot_draw(anew: SeedVariance, kept: SeedVariance, level: float = 0.95) -> Estimate:
    """What the pilot draw makes a measure vary by: the rest of seeds with a pilot each, less that of seeds with one.

    The rest of seeds that share a pilot is training on that pilot, taken to vary as much as on any other. The four mean
    squares are taken as independent. Those of the two totals are not where both have a seed with the same pilot and
    training, nor are those of sampling where both answer for the same people. The estimate is as right as it would be.
    For normal errors such mean squares can only rise and fall together, so their differences vary less than is
    reckoned, and the interval is too long rather than too short: in simulation, with one seed in common, by up to 1.3
    points of coverage.

    Parameters
    ----------
    anew : SeedVariance
        Of an arm that draws a new pilot in every seed.
    kept : SeedVariance
        Of the same arm, trained anew in every seed on the same pilot.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        A variance in the squared unit of the measure, with its interval; negative values say that it cannot be told
        from 0. ``n`` is the number of seeds of the arm that has fewer.

    Raises
    ------
    InputError
        If the level is out of range.

    References
    ----------
    `pilotlm.measures.variance_components.variance_combination`, with signs + - - +. For normal y and z the covariance
    of y'Ay and z'Bz is 2 tr(A C B C'), C being that of y and z (Searle, 1971, Linear Models, section 2.5); it is not
    below 0 for a sum of squares A and another B.
    """
    found = variance_combination((*anew.squares, *kept.squares), (1.0, -1.0, -1.0, 1.0), level)
    return replace(found, n=min(anew.total.n, kept.total.n))


def _sum_of_variances(influence: FloatArray, excess: float) -> MeanSquare:
    """Sampling variance: twice its square over its own variance are the degrees of freedom."""
    each = influence.var(axis=0, ddof=1)
    error = len(each) * float(each.var(ddof=1))
    value = float(each.sum())
    kept = max(value - max(excess, 0.0), value / 2)
    return MeanSquare(kept, max(1.0, 2 * value**2 / error) if error > 0 else float(each.size * (len(influence) - 1)))
