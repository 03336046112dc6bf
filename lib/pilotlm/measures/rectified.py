"""Estimators from people, from predictions, and from both: means, effects and coefficients of least squares."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.least_squares import (
    BoolArray,
    Columns,
    Fitted,
    Inference,
    columns,
    fitted,
    inferred,
    least_squares,
    squares,
)
from pilotlm.measures.samples import Sample, effect_sample, mean_sample

_FLAT = 1e-9
"""Predictions that vary by less than this beyond what the predictors say, for their size, do not vary."""


def people_only(sample: Sample) -> Inference:
    """The coefficient in the people whose answers are known; see `least_squares` for its interval."""
    found = least_squares(sample.outcome, sample.columns, sample.column)
    return replace(found, tuning=np.zeros(sample.stack))


def simulation_only(sample: Sample) -> Inference:
    """The coefficient in the predictions of everybody, with the interval that they would have if they were answers.

    It says how sure one is of the predictions, not of people: with a biased model it misses them, the more surely the
    more people are simulated.
    """
    return _as_if_answers(sample.all_predicted, sample.all_columns, sample.column)


def naive_pooling(sample: Sample) -> Inference:
    """The coefficient in people's answers and others' predictions together, as if all were answers; wrong likewise."""
    return _as_if_answers(sample.pooled, sample.all_columns, sample.column)


def _as_if_answers(outcome: FloatArray, on: Columns, column: int) -> Inference:
    fit = fitted(outcome, on, column)
    n, k = on.predictors.shape[-2:]
    return inferred(fit.value, squares(fit.parts), n - k)


def prediction_powered(sample: Sample) -> Inference:
    """The coefficient in others' predictions, plus that of people's answers less what was predicted of them.

    Right on average whatever the predictions are, but worse than people only where they are poor: see `tuned`.

    References
    ----------
    Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), Prediction-powered inference, Science 382, 669-674. Errors
    and degrees of freedom are those of `least_squares` in place of a normal interval, which is too short with few
    people.
    """
    rectifier = fitted(sample.outcome - sample.predicted, sample.columns, sample.column)
    imputed = fitted(sample.unlabelled, sample.other_columns, sample.column)
    ours, theirs = squares(rectifier.parts), squares(imputed.parts)
    freedom = _joint_freedom(ours + theirs, [(ours, rectifier.freedom), (theirs, imputed.freedom)])
    return inferred(rectifier.value + imputed.value, ours + theirs, freedom, 1.0)


def tuned(sample: Sample) -> Inference:
    """Prediction-powered inference with the weight of the predictions estimated: never much worse than people only.

    With b the slope of answers on predictions beyond the predictors, the estimate is the coefficient in people's
    answers less b times that of their predictions, plus b times that of everybody's predictions. That is PPI++ with
    weight b m / (n + m); it is also the coefficient in a regression of the answers on the predictors and on what the
    predictions say beyond these in everybody, the regression estimator of double sampling. Seen so, few people are no
    difficulty: HC2 errors and Bell and McCaffrey's degrees of freedom count that b is estimated from the same people.
    The error of everybody's own coefficient is added.

    Parameters
    ----------
    sample : Sample

    Returns
    -------
    Inference
        ``tuning`` is the weight, not confined to 0 to 1: predictions that run against people's answers are used, too.
        Where the predictions say nothing beyond the predictors it is `people_only`.

    References
    ----------
    Angelopoulos, Duchi & Zrnic (2023), PPI++: Efficient prediction-powered inference, arXiv 2311.01453; Cochran (1977),
    Sampling Techniques, 3rd edition, section 12.6, for double sampling; see `least_squares` for the interval.
    """
    others = fitted(sample.all_predicted, sample.all_columns, sample.column)
    m, n = sample.unlabelled.shape[-1], sample.n
    return _with_covariate(sample, others.residuals[..., :n], others, n, m / (n + m))


def centred(sample: Sample, said: FloatArray, said_of_others: FloatArray) -> Inference:
    """`tuned` on predictions whose part that goes with the predictors has been taken off already.

    Parameters
    ----------
    sample : Sample
        Its own predictions are not used.
    said : (n,) array
        What is predicted of the people with answers, beyond the predictors.
    said_of_others : (m,) array
        The same of the others; its own regression on the predictors is zero.

    Returns
    -------
    Inference
    """
    others = fitted(said_of_others, sample.other_columns, sample.column)
    return _with_covariate(sample, said, others, 0, 1.0)


def rectified_mean(
    outcome: ArrayLike, predicted: ArrayLike, unlabelled: ArrayLike, *, participants: ArrayLike, pilot: Collection[int]
) -> Inference:
    """The mean answer from n people's answers, predictions of them, and predictions of others: `tuned`.

    Parameters
    ----------
    outcome, predicted, unlabelled, participants, pilot
        As in `pilotlm.measures.samples.mean_sample`: who gave the answers, and whose were used to fit what predicts.

    Returns
    -------
    Inference

    Raises
    ------
    InputError
        If anybody whose answers shall rectify was used to fit what predicts.
    """
    return tuned(mean_sample(outcome, predicted, unlabelled, participants=participants, pilot=pilot))


def rectified_effect(
    outcome: ArrayLike,
    predicted: ArrayLike,
    unlabelled: ArrayLike,
    treated: ArrayLike,
    unlabelled_treated: ArrayLike,
    *,
    participants: ArrayLike,
    pilot: Collection[int],
) -> Inference:
    """The difference of mean answers between two groups, in the same way; see `effect_sample` for the arguments."""
    groups = treated, unlabelled_treated
    return tuned(effect_sample(outcome, predicted, unlabelled, *groups, participants=participants, pilot=pilot))


def _with_covariate(sample: Sample, said: FloatArray, others: Fitted, among: int, share: float) -> Inference:
    """The coefficient in answers with ``said`` as a covariate, and the error of the coefficient of ``others``.

    The first ``among`` of the others are the people with answers.
    """
    # Said is nan where the others' columns are dependent, which is told below.
    wider = columns(np.concatenate([sample.predictors, np.nan_to_num(said)[..., None]], axis=-1))
    fit = fitted(sample.outcome, wider, sample.column)
    slope = fit.coefficients[..., -1]
    shifts = slope[..., None] * others.parts
    # Who is among those whose predictions are averaged has both errors, which may go together.
    together = fit.parts + shifts[..., :among] if among else fit.parts
    variance = squares(together) + squares(shifts[..., among:])
    parts = [(squares(fit.parts), fit.freedom), (squares(shifts), others.freedom)]
    found = inferred(fit.value, variance, _joint_freedom(variance, parts), slope * share)
    size = np.maximum(1.0, np.abs(sample.predicted).max(axis=-1, initial=0.0))
    flat = np.ptp(said, axis=-1) <= _FLAT * size if sample.n else np.ones(sample.stack, dtype=bool)
    return _unless(np.isnan(others.value), found.where(wider.known & ~flat, people_only(sample)))


def _unless(nothing: BoolArray, found: Inference) -> Inference:
    blank = np.full(np.shape(found.value), np.nan)
    return Inference(*[blank] * 6).where(nothing, found)


def _joint_freedom(variance: FloatArray, parts: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Satterthwaite's degrees of freedom of a sum of variances, each with its own; never fewer than the fewest."""
    second = np.zeros(np.shape(variance))
    for v, f in parts:
        there = np.asarray(f) > 0
        second = second + np.where(there, np.square(v) / np.where(there, f, 1), 0.0)
    least = np.minimum(parts[0][1], parts[1][1])
    some = second > 0
    return np.where(some, np.maximum(np.square(variance) / np.where(some, second, 1.0), least), 0.0)
