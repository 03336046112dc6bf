"""Estimators from people, from predictions, and from both: means, effects and coefficients of least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.least_squares import DEPENDENT, Fitted, Inference, fitted, inferred, least_squares, nothing
from pilotlm.measures.samples import Sample, effect_sample, mean_sample

_FLAT = 1e-9
"""Predictions that vary by less than this beyond what the predictors say, for their size, do not vary."""


def people_only(sample: Sample) -> Inference:
    """The coefficient in the people whose answers are known; see `least_squares` for its interval."""
    return replace(least_squares(sample.outcome, sample.predictors, sample.column), tuning=0.0)


def simulation_only(sample: Sample) -> Inference:
    """The coefficient in the predictions of everybody, with the interval that they would have if they were answers.

    It says how sure one is of the predictions, not of people: with a biased model it misses them, the more surely the
    more people are simulated.
    """
    return replace(_as_if_answers(*sample.everybody, sample.column), n=0)


def naive_pooling(sample: Sample) -> Inference:
    """The coefficient in people's answers and others' predictions together, as if all were answers; wrong likewise."""
    outcome = np.concatenate([sample.outcome, sample.unlabelled])
    predictors = np.concatenate([sample.predictors, sample.unlabelled_predictors])
    return replace(_as_if_answers(outcome, predictors, sample.column), n=sample.n)


def _as_if_answers(outcome: FloatArray, predictors: FloatArray, column: int) -> Inference:
    fit = fitted(outcome, predictors, column, blind=False)
    if fit is None:
        return nothing(len(outcome), DEPENDENT)
    freedom = len(outcome) - predictors.shape[1]
    return inferred(fit.coefficients[column], _squares(fit.parts), freedom, len(outcome))


def prediction_powered(sample: Sample) -> Inference:
    """The coefficient in others' predictions, plus that of people's answers less what was predicted of them.

    Right on average whatever the predictions are, but worse than people only where they are poor: see `tuned`.

    References
    ----------
    Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), Prediction-powered inference, Science 382, 669-674. Errors
    and degrees of freedom are those of `least_squares` in place of a normal interval, which is too short with few
    people.
    """
    rectifier = fitted(sample.outcome - sample.predicted, sample.predictors, sample.column)
    imputed = fitted(sample.unlabelled, sample.unlabelled_predictors, sample.column, blind=False)
    if rectifier is None or imputed is None:
        return nothing(sample.n, DEPENDENT)
    ours, theirs = _squares(rectifier.parts), _squares(imputed.parts)
    freedom = _joint_freedom([(ours, rectifier.freedom), (theirs, len(sample.unlabelled))])
    value = rectifier.coefficients[sample.column] + imputed.coefficients[sample.column]
    return inferred(value, ours + theirs, freedom, sample.n, 1.0)


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
    predictions, predictors = sample.everybody
    pooled = fitted(predictions, predictors, sample.column, blind=False)
    if pooled is None:
        return nothing(sample.n, DEPENDENT)
    mine, share = np.arange(len(predictions)) < sample.n, len(sample.unlabelled) / len(predictions)
    return _with_covariate(sample, pooled.residuals[mine], pooled, mine, share)


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
    others = fitted(said_of_others, sample.unlabelled_predictors, sample.column, blind=False)
    if others is None:
        return nothing(sample.n, DEPENDENT)
    return _with_covariate(sample, said, others, np.zeros(len(said_of_others), dtype=bool), 1.0)


def rectified_mean(outcome: ArrayLike, predicted: ArrayLike, unlabelled: ArrayLike) -> Inference:
    """The mean answer from n people's answers, predictions of them, and predictions of others: `tuned`.

    Parameters
    ----------
    outcome, predicted : (n,) array_like
        Answers and predictions of the same people, whom what predicts has not learnt from
        (`pilotlm.measures.samples.refuse_pilot`).
    unlabelled : (m,) array_like
        Predictions of others.

    Returns
    -------
    Inference
    """
    return tuned(mean_sample(outcome, predicted, unlabelled))


def rectified_effect(
    outcome: ArrayLike, predicted: ArrayLike, unlabelled: ArrayLike, treated: ArrayLike, unlabelled_treated: ArrayLike
) -> Inference:
    """The difference of mean answers between two groups, in the same way; see `effect_sample` for the arguments."""
    return tuned(effect_sample(outcome, predicted, unlabelled, treated, unlabelled_treated))


def _with_covariate(
    sample: Sample, said: FloatArray, others: Fitted, mine: np.ndarray[tuple[int], np.dtype[np.bool_]], share: float
) -> Inference:
    """The coefficient in answers with ``said`` as a covariate, and the error of the coefficient of ``others``."""
    if np.ptp(said) <= _FLAT * max(1.0, float(np.abs(sample.predicted).max())):
        return people_only(sample)
    fit = fitted(sample.outcome, np.column_stack([sample.predictors, said]), sample.column)
    if fit is None:
        return people_only(sample)
    slope = fit.coefficients[-1]
    shifts = slope * others.weights * others.residuals
    # Who is among those whose predictions are averaged has both errors, which may go together.
    together = fit.parts + shifts[mine] if mine.any() else fit.parts
    variance = _squares(together) + _squares(shifts[~mine])
    freedom = _joint_freedom([(_squares(fit.parts), fit.freedom), (_squares(shifts), len(others.residuals))], variance)
    return inferred(fit.coefficients[sample.column], variance, freedom, sample.n, float(slope * share))


def _joint_freedom(parts: list[tuple[float, float]], variance: float | None = None) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances, each with its own; never fewer than the fewest."""
    total = sum(v for v, _ in parts) if variance is None else variance
    second = sum(v**2 / f for v, f in parts if f > 0)
    least = min(f for _, f in parts)
    return max(float(total**2 / second), least) if second > 0 else 0.0


def _squares(values: FloatArray) -> float:
    return float(values @ values)
