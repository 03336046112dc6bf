"""How far a simulation recovers people's regressions: signs, false positives and concordance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from pilotlm.errors import InputError
from pilotlm.stats.intervals import NORMAL_QUANTILE, BoolArray, Estimate, FloatArray, IntArray
from pilotlm.stats.refits import Refits
from pilotlm.stats.regressions import Design
from pilotlm.study import Regression

_SPREADS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 48])
"""Standard deviations of the prior's parts, in standard errors."""
_LEVEL = 0.05
_PENALTY = 2.0
_EM_STEPS = 300
_LATENT_SD = {"logit": np.pi / np.sqrt(3), "probit": 1.0}
"""Standard deviation of the error that these models put behind a binary outcome."""


@dataclass(frozen=True, eq=False)
class SignScores:
    """How well r simulations recover people's significant signs, (r,) each; nan where there is nothing to score."""

    f1: FloatArray
    false_positive_rate: FloatArray


def sign_scores(simulated: Refits, human: Refits) -> SignScores:
    """F1 of the sign and false-positive rate of simulations' coefficients against people's.

    A coefficient of the people is a signal if p < .05 and null otherwise (left out if it is nan); one that is nan in
    the simulation counts as not significant. F1 is 2 TP / (2 TP + FP + FN), where TP is significant for both with the
    same sign; the false-positive rate is the share of people's nulls that the simulation calls significant. Both
    definitions are assumed: those of the paper replicated are not public.

    Parameters
    ----------
    simulated : Refits
        One or more simulations, a line each, of `pilotlm.stats.refits.pool_terms`.
    human : Refits
        People with the same terms: one line for all simulations, or a line for each.
    """
    if simulated.terms != human.terms or len(human.p_value) not in (1, len(simulated.p_value)):
        raise InputError("Sign scores need people with the same terms as the simulations, in one line or a line each.")
    known = ~np.isnan(human.p_value)
    signal, null = known & (human.p_value < _LEVEL), known & ~(human.p_value < _LEVEL)
    called = known & (simulated.p_value < _LEVEL)
    same = np.sign(simulated.coefficient) == np.sign(human.coefficient)
    true_positive = (called & signal & same).sum(axis=1)
    return SignScores(
        f1=_ratio(2 * true_positive, called.sum(axis=1) + signal.sum(axis=1)),
        false_positive_rate=_ratio((called & null).sum(axis=1), null.sum(axis=1)),
    )


def as_fresh_people(draws: Refits, truth: Refits, rng: np.random.Generator) -> Refits:
    """What fresh samples would give, from draws with replacement of the rows that there are.

    Each draw is moved to a truth drawn from its posterior, under a prior that the estimates themselves give: see the
    page on intervals. The mean F1 is then within .03 of what fresh people score; the false-positive rate is up to .04
    too low where half of the effects are real. Source: Stephens (2017), Biostatistics 18, 275-294.
    """
    # The half of the interval allows for few degrees of freedom.
    error = (truth.high - truth.coefficient)[0] / NORMAL_QUANTILE
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = truth.coefficient[0] / error
    known = np.isfinite(scores)
    move = np.full(draws.coefficient.shape, np.nan)
    if known.any():
        drawn = _truths_behind(scores[known], len(move), rng)
        move[:, known] = (drawn - scores[known]) * error[known]
    coefficient = draws.coefficient + move
    scores = np.abs(coefficient) / (draws.high - draws.coefficient) * NORMAL_QUANTILE
    low, high = draws.low + move, draws.high + move
    return Refits(draws.terms, coefficient, draws.standard_error, 2 * norm.sf(scores), low, high, draws.freedom)


def as_fresh_samples(subsets: Refits, whole: Refits, rng: np.random.Generator) -> Refits:
    """What samples that share no rows would give, from subsets of at most half of the rows.

    The coefficients of n of N rows vary by 1 / n - 1 / N in place of 1 / n; the missing error of all rows is added.
    """
    error = np.nan_to_num((whole.high - whole.coefficient) / NORMAL_QUANTILE)
    move = error * rng.normal(size=subsets.coefficient.shape)
    return replace(subsets, coefficient=subsets.coefficient + move, low=subsets.low + move, high=subsets.high + move)


def _truths_behind(scores: FloatArray, repeats: int, rng: np.random.Generator) -> FloatArray:
    """Draws of the truth behind estimates in standard errors, with the prior that fits all of them: (repeats, k)."""
    likelihood = norm.pdf(scores[:, None], scale=np.sqrt(1 + np.square(_SPREADS)))
    # Far beyond the widest normal distribution all likelihoods are 0 and the widest is the best.
    likelihood[:, -1] = np.maximum(likelihood[:, -1], np.finfo(float).tiny)
    weights = np.full(len(_SPREADS), 1 / len(_SPREADS))
    for _ in range(_EM_STEPS):
        belongs = likelihood * weights
        belongs /= belongs.sum(axis=1, keepdims=True)
        weights = belongs.sum(axis=0)
        weights[0] += _PENALTY
        weights /= weights.sum()
    reached = np.cumsum(belongs, axis=1)
    component = (rng.random((repeats, len(scores), 1)) > reached[:, :-1]).sum(axis=2)
    shrunk = np.square(_SPREADS) / (1 + np.square(_SPREADS))
    return np.asarray(shrunk[component] * scores + np.sqrt(shrunk[component]) * rng.normal(size=component.shape))


def mean_known(draws: FloatArray) -> float:
    """The mean of those draws that have a score; nan where none has."""
    known = draws[~np.isnan(draws)]
    return float(known.mean()) if len(known) else float("nan")


def _ratio(part: IntArray, whole: IntArray) -> FloatArray:
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


def standard_units(regressions: Sequence[Regression], designs: Sequence[Design]) -> FloatArray:
    """What to multiply each coefficient with so that it is in people's standard deviations, (K,).

    sd(x) / sd(y) for a linear model; sd(x) / sd(e) for logit and probit, with the model's own latent error e.
    """
    units = []
    for regression, design in zip(regressions, designs, strict=True):
        shown = np.array([name in design.shown for name in design.names], dtype=bool)
        outcome = _LATENT_SD.get(regression.family, float(np.std(design.outcome)))
        units.append(np.std(design.predictors[:, shown], axis=0) / outcome)
    return np.concatenate(units) if units else np.zeros(0)


def concordance(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Lin's concordance correlation of vectors (..., k): 2 s_xy / (s_x² + s_y² + (mean x - mean y)²), in [-1, 1].

    nan with fewer than two entries, or where neither vector varies and the means agree. Source: Lin (1989), Biometrics
    45, 255-268.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if x.shape[-1] < 2:
        return np.full(np.broadcast_shapes(x.shape[:-1], y.shape[:-1]), np.nan)
    apart = x.mean(axis=-1) - y.mean(axis=-1)
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    whole = np.square(x).mean(axis=-1) + np.square(y).mean(axis=-1) + np.square(apart)
    together = 2 * (x * y).mean(axis=-1)
    return np.asarray(np.divide(together, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))


def concordance_of(simulated: Refits, human: Refits, units: FloatArray) -> FloatArray:
    """`concordance` of the standardised coefficients that people have, a line each; others count as 0."""
    known = _known(human)
    return concordance(_standard(simulated, units)[:, known], _standard(human, units)[:, known])


def concordance_interval(
    simulated: Refits, human: Refits, units: FloatArray, simulated_draws: Refits, human_draws: Refits, n: int
) -> Estimate:
    """The concordance of one simulation with people, with a 95 % interval over samples of both.

    The delta method on Fisher's scale (Lin 1989). Variances are the studies' own; correlations between coefficients, of
    different regressions too, are Spearman's over draws of the same rows with replacement.
    """
    known = _known(human)
    ours, theirs = _standard(simulated, units)[0, known], _standard(human, units)[0, known]
    value = float(concordance(ours, theirs))
    if np.isnan(value) or abs(value) >= 1:
        return Estimate(value, float("nan"), float("nan"), n)
    variance = 0.0
    sides = (simulated, simulated_draws, ours, theirs), (human, human_draws, theirs, ours)
    for fits, draws, one, other in sides:
        slope = _concordance_slope(one, other, value)
        error = np.nan_to_num(fits.standard_error[0] * units)[known] * slope
        variance += float(error @ _rank_correlation(np.nan_to_num(draws.coefficient)[:, known]) @ error)
    half = NORMAL_QUANTILE * np.sqrt(variance) / (1 - value**2)
    centre = np.arctanh(value)
    return Estimate(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)), n)


def with_spread(value: float, draws: FloatArray, n: int) -> Estimate:
    """A score in [0, 1] with a normal 95 % interval from its spread over draws.

    Draws with replacement are worse than the score itself, so their spread is taken and not their place.
    """
    known = draws[~np.isnan(draws)]
    if len(known) < 2 or np.isnan(value):
        return Estimate(value, float("nan"), float("nan"), n)
    half = NORMAL_QUANTILE * float(np.std(known, ddof=1))
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
