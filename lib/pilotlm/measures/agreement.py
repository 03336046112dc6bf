"""How far the coefficients of a simulation agree with people's: on one scale, term by term and as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from pilotlm.measures.designs import BoolArray, Design
from pilotlm.measures.equivalence import Equivalence, holm, two_one_sided
from pilotlm.measures.intervals import Estimate, FloatArray, normal_quantile
from pilotlm.measures.refits import Refits
from pilotlm.study import Regression

LATENT_SD = {"logit": np.pi / np.sqrt(3), "probit": 1.0}
"""Standard deviation of the error that these models put behind a binary outcome."""
COEFFICIENT_MARGIN = 0.2
"""The largest difference of standardised coefficients that does not matter.

Cohen (1988, Statistical Power Analysis for the Behavioral Sciences, 2nd edition, chapter 3) calls a correlation of 0.1
small and one of 0.3 medium. A coefficient that differs by less than 0.2 cannot make a medium effect out of none, nor
hide one. The margin is fixed beforehand and does not shrink with standard errors: with few rows nothing is shown to be
equivalent, as it should be."""


def standard_units(regressions: Sequence[Regression], designs: Sequence[Design]) -> FloatArray:
    """What to multiply each coefficient with so that it is in standard deviations.

    sd(x) / sd(y) for a linear model; sd(x) / sd(e) for logit and probit, with the model's own latent error e. With
    people's standard deviations for simulated coefficients too, both are in one unit.

    Parameters
    ----------
    regressions : sequence of Regression
        The regressions.
    designs : sequence of Design
        Their designs in people.

    Returns
    -------
    (K,) float array
        For the terms of all regressions, in the order of `pilotlm.measures.refits.pooled`.

    References
    ----------
    Long (1997), Regression Models for Categorical and Limited Dependent Variables, chapter 3, for coefficients
    standardised by the latent outcome; here by its error alone, which does not depend on the other coefficients.
    """
    units = []
    for regression, design in zip(regressions, designs, strict=True):
        shown = np.array([name in design.shown for name in design.names], dtype=bool)
        outcome = LATENT_SD.get(regression.family, float(np.std(design.outcome)))
        units.append(np.std(design.predictors[:, shown], axis=0) / outcome)
    return np.concatenate(units) if units else np.zeros(0)


def concordance(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Lin's concordance correlation of two vectors: 2 s_xy / (s_x² + s_y² + (mean x - mean y)²).

    Unlike a correlation it asks for the same values, not for proportional ones.

    Parameters
    ----------
    first, second : (..., k) array_like
        The vectors, along the last axis; leading axes broadcast.

    Returns
    -------
    (...) float array
        In [-1, 1]; nan with fewer than two entries, or where neither vector varies and the means agree.

    References
    ----------
    Lin (1989), A concordance correlation coefficient to evaluate reproducibility, Biometrics 45, 255-268.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if x.shape[-1] < 2:
        return np.full(np.broadcast_shapes(x.shape[:-1], y.shape[:-1]), np.nan)
    apart = x.mean(axis=-1) - y.mean(axis=-1)
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    whole = np.square(x).mean(axis=-1) + np.square(y).mean(axis=-1) + np.square(apart)
    together = 2 * (x * y).mean(axis=-1)
    return np.asarray(np.divide(together, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))


def interval_overlap(low: ArrayLike, high: ArrayLike, other_low: ArrayLike, other_high: ArrayLike) -> FloatArray:
    """How far two intervals overlap: the mean of the shares of either that lies within the other.

    Parameters
    ----------
    low, high, other_low, other_high : array_like
        The ends; arrays broadcast.

    Returns
    -------
    float array
        In [0, 1]: 1 for equal intervals, 0 for disjoint ones, and 0 where an end is nan, since an interval that
        cannot be had covers nothing.

    References
    ----------
    Karr, Kohnen, Oganian, Reiter & Sanil (2006), A framework for evaluating the utility of data altered to protect
    confidentiality, The American Statistician 60, 224-232.
    """
    a, b, c, d = np.broadcast_arrays(*(np.asarray(end, dtype=float) for end in (low, high, other_low, other_high)))
    common = np.maximum(np.minimum(b, d) - np.maximum(a, c), 0)
    return np.asarray(np.nan_to_num((common / (b - a) + common / (d - c)) / 2))


def coefficient_equivalence(
    simulated: Refits, human: Refits, units: FloatArray, margin: float = COEFFICIENT_MARGIN
) -> Equivalence:
    """Test each coefficient of a simulation for equivalence with people's, in standard deviations.

    The standard error of a difference takes simulated rows and people as independent samples; its degrees of freedom
    are Welch's (1947, The generalization of Student's problem when several different population variances are involved,
    Biometrika 34, 28-35).

    Parameters
    ----------
    simulated, human : Refits
        As in `pilotlm.measures.signs.sign_scores`; lines broadcast.
    units : (K,) float array
        Of `standard_units`.
    margin : float
        The largest difference that does not matter, in standard deviations.

    Returns
    -------
    Equivalence
        (r, K) arrays; nan where either has no coefficient.
    """
    difference = (simulated.coefficient - human.coefficient) * units
    error = np.hypot(simulated.standard_error, human.standard_error)
    parts = [np.square(one.standard_error) ** 2 / one.freedom for one in (simulated, human)]
    with np.errstate(divide="ignore"):
        freedom = error**4 / (parts[0] + parts[1])
    return two_one_sided(difference, error * units, margin, freedom=freedom)


def concordance_of(simulated: Refits, human: Refits, units: FloatArray) -> FloatArray:
    """`concordance` of the standardised coefficients that people have, a line each.

    A coefficient that a simulation cannot estimate counts as no effect, 0: left out, it would flatter an arm whose
    answers do not vary.
    """
    known = _known(human)
    return concordance(_standard(simulated, units)[:, known], _standard(human, units)[:, known])


def concordance_interval(
    simulated: Refits, human: Refits, units: FloatArray, simulated_draws: Refits, human_draws: Refits, n: int
) -> Estimate:
    """The concordance of one simulation with people, with a 95 % interval over samples of both.

    The delta method on Fisher's scale, arctanh, as Lin (1989) proposes. The covariance of the coefficients takes its
    variances from the studies' own standard errors and its correlations (Spearman's, which heavy tails do not move)
    from draws, so that coefficients of different regressions on the same rows are not taken as independent. The
    concordance of estimates is lower than that of the true coefficients: the interval is for its mean at these sample
    sizes, and belongs beside its floor. It covers 94 to 99 % in simulation.

    Parameters
    ----------
    simulated, human : Refits
        One line each.
    units : (K,) float array
        Of `standard_units`.
    simulated_draws, human_draws : Refits
        Draws of the same rows with replacement.
    n : int
        Rows of the simulation.

    Returns
    -------
    Estimate
    """
    known = _known(human)
    ours, theirs = _standard(simulated, units)[0, known], _standard(human, units)[0, known]
    value = float(concordance(ours, theirs))
    if np.isnan(value) or abs(value) >= 1:
        return Estimate(value, float("nan"), float("nan"), n)
    variance = 0.0
    for fits, draws, one, other in (
        (simulated, simulated_draws, ours, theirs),
        (human, human_draws, theirs, ours),
    ):
        slope = _concordance_slope(one, other, value)
        error = np.nan_to_num(fits.standard_error[0] * units)[known] * slope
        variance += float(error @ _rank_correlation(np.nan_to_num(draws.coefficient)[:, known]) @ error)
    half = normal_quantile(0.95) * np.sqrt(variance) / (1 - value**2)
    centre = np.arctanh(value)
    return Estimate(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)), n)


def overlap_of(simulated: Refits, human: Refits) -> FloatArray:
    """`interval_overlap` of each coefficient: (r, K)."""
    return interval_overlap(simulated.low, simulated.high, human.low, human.high)


def overlap_score(simulated: Refits, human: Refits) -> FloatArray:
    """The mean of `interval_overlap` over the coefficients that people have."""
    known = _known(human)
    overlap = overlap_of(simulated, human)[:, known]
    return overlap.mean(axis=1) if known.any() else np.full(len(overlap), np.nan)


def equivalent_share(
    simulated: Refits, human: Refits, units: FloatArray, margin: float = COEFFICIENT_MARGIN, level: float = 0.05
) -> FloatArray:
    """The share of people's coefficients to which a simulation's are shown to be equivalent, a line each.

    After Holm's adjustment, in the family of the terms given.
    """
    known = _known(human)
    tested = coefficient_equivalence(simulated, human, units, margin).equivalence_p[:, known]
    return (holm(tested) < level).mean(axis=1) if known.any() else np.full(len(tested), np.nan)


def with_spread(value: float, draws: FloatArray, n: int) -> Estimate:
    """A score in [0, 1] with a normal 95 % interval from its spread over draws, where draws are worse than the score.

    Rows drawn with replacement add their own noise to that of the sample, which lowers a score of agreement and raises
    a rate of false positives: the central part of the draws lies beside the score. So their spread is taken and not
    their place.

    Parameters
    ----------
    value : float
        The score.
    draws : (r,) float array
        The score in draws; nan draws are left out.
    n : int
        Rows of the simulation.

    Returns
    -------
    Estimate
        The interval lies within [0, 1]; it is nan with fewer than two draws.
    """
    known = draws[~np.isnan(draws)]
    if len(known) < 2 or np.isnan(value):
        return Estimate(value, float("nan"), float("nan"), n)
    half = normal_quantile(0.95) * float(np.std(known, ddof=1))
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0), n)


def _standard(fits: Refits, units: FloatArray) -> FloatArray:
    return np.nan_to_num(fits.coefficient * units)


def _concordance_slope(one: FloatArray, other: FloatArray, value: float) -> FloatArray:
    """The derivative of the concordance in each entry of ``one``."""
    apart = one.mean() - other.mean()
    x, y = one - one.mean(), other - other.mean()
    whole = np.square(x).mean() + np.square(y).mean() + apart**2
    return np.asarray(2 * (y - value * (x + apart)) / (len(one) * whole))


def _rank_correlation(draws: FloatArray) -> FloatArray:
    """Spearman's correlations between columns; a column that does not vary is correlated with none."""
    ranks = rankdata(draws, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt(np.square(ranks).sum(axis=0))
    ranks /= np.where(length > 0, length, 1)
    matrix = ranks.T @ ranks
    np.fill_diagonal(matrix, 1.0)
    return np.asarray(matrix)


def _known(human: Refits) -> BoolArray:
    """Which coefficients people have; the first line stands for all draws of them."""
    return np.asarray(~np.isnan(human.coefficient[0]))
