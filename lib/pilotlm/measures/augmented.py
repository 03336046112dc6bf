"""Further estimators from people and predictions: logit coefficients, cross-fitting, and the bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pilotlm.measures.intervals import FloatArray, IntArray, central
from pilotlm.measures.least_squares import DEPENDENT, Inference, fitted, inferred, nothing
from pilotlm.measures.rectified import centred, tuned
from pilotlm.measures.samples import Sample

FOLDS = 5
PENALTIES = np.logspace(-1, 4, 11)
SEPARATED = "Separation or too few rows: the logit has no estimate."
_STEPS = 50
_SETTLED = 1e-8
"""Difference of two deviances at which the steps of a logit end."""
_EPSILON = float(np.finfo(float).eps)
_LARGEST = 30.0
"""A linear predictor beyond it is a probability of 0 or 1 to thirteen digits."""


def logit_people_only(sample: Sample) -> Inference:
    """A logit coefficient in the people whose answers are known, with robust errors and a t interval.

    Parameters
    ----------
    sample : Sample
        Its outcome is 0 or 1.

    Returns
    -------
    Inference
        Without interval, and with a note, where the outcomes are predicted perfectly.
    """
    found = _logit(sample.outcome, sample.predictors)
    if found is None:
        return nothing(sample.n, SEPARATED)
    coefficients, mine = found[0], found[1][:, sample.column]
    freedom = sample.n - sample.predictors.shape[1]
    return inferred(coefficients[sample.column], float(mine @ mine), freedom, sample.n, 0.0)


def logit_difference(outcome: FloatArray, predicted: FloatArray, predictors: FloatArray, column: int) -> Inference:
    """By how much a logit coefficient in predictions exceeds that in the answers of the same people.

    Parameters
    ----------
    outcome : (n,) array
        0 or 1.
    predicted : (n,) array
        In [0, 1].
    predictors : (n, k) array
    column : int
        Which coefficient.

    Returns
    -------
    Inference
        Both coefficients have errors which go together; their parts are subtracted row by row.
    """
    ours, theirs = _logit(outcome, predictors), _logit(predicted, predictors)
    if ours is None or theirs is None:
        return nothing(len(outcome), SEPARATED)
    parts = (theirs[1] - ours[1])[:, column]
    freedom = len(outcome) - predictors.shape[1]
    return inferred(theirs[0][column] - ours[0][column], float(parts @ parts), freedom, len(outcome))


def logit_simulation_only(sample: Sample) -> Inference:
    """The same in the predictions of everybody, which may be probabilities; compare `simulation_only`."""
    return replace(logit_people_only(replace_outcome(sample, *sample.everybody)), n=0, tuning=float("nan"))


def logit_naive_pooling(sample: Sample) -> Inference:
    """The same in answers and others' predictions together; compare `naive_pooling`."""
    outcome = np.concatenate([sample.outcome, sample.unlabelled])
    found = logit_people_only(replace_outcome(sample, outcome, sample.everybody[1]))
    return replace(found, n=sample.n, tuning=float("nan"))


def replace_outcome(sample: Sample, outcome: FloatArray, predictors: FloatArray) -> Sample:
    """A sample of other rows, with nobody beside them."""
    k = predictors.shape[1]
    return Sample(outcome, np.zeros(len(outcome)), predictors, np.empty(0), np.empty((0, k)), sample.column)


def logit_tuned(sample: Sample) -> Inference:
    """A logit coefficient by prediction-powered inference with a tuned weight.

    With s the scores of a logit of everybody's predictions (times its inverse information), whose sum over everybody
    is zero, the estimate is people's less the weight times the mean of s over the people with answers. To first order
    that is PPI++; unlike a logit of the predictions of few people it exists whatever these predict. The weight is the
    slope of people's scores on s.

    Parameters
    ----------
    sample : Sample
        Outcome 0 or 1, predictions in [0, 1].

    Returns
    -------
    Inference
        An interval of large samples: see `pilotlm.measures.estimators` for where it is offered.

    References
    ----------
    Angelopoulos, Duchi & Zrnic (2023), PPI++, arXiv 2311.01453; Chen & Chen (2000), A unified approach to regression
    analysis under double-sampling designs, Journal of the Royal Statistical Society B 62, 449-460, for this form;
    the errors are HC2 with the leverages of the weighted design, as in `least_squares`.
    """
    found, pooled = _logit(sample.outcome, sample.predictors), _logit(*sample.everybody)
    if found is None:
        return nothing(sample.n, SEPARATED)
    n, total, k = sample.n, len(sample.unlabelled) + sample.n, sample.predictors.shape[1]
    mine = found[1][:, sample.column] * n
    said = (pooled[1][:n, sample.column] if pooled is not None else np.zeros(n)) * total
    spread = said - said.mean()
    if np.abs(said).max() <= 1e-9 * max(1.0, float(np.abs(mine).max())):
        return logit_people_only(sample)
    slope = float(spread @ mine / (spread @ spread))
    value = found[0][sample.column] - slope * said.mean()
    rest = mine - slope * spread
    # The slope costs a degree of freedom, and what the two groups of people differ by.
    variance = float(rest @ rest) / n**2 * (1 + n * said.mean() ** 2 / float(spread @ spread)) * (n - k) / (n - k - 1)
    shift = slope**2 * float(spread @ spread) / n / total
    return inferred(value, variance + shift, n - k - 1, n, slope * (total - n) / total)


def cross_fitted(sample: Sample, known: FloatArray, known_of_others: FloatArray, rng: np.random.Generator) -> Inference:
    """The coefficient with predictions by a ridge regression that is fitted on these very people, by folds.

    Each person is predicted from what the people of the other folds answered, everybody else by the mean of the
    fitted models. So all n people both teach and rectify, and no language model is needed; what a model's predictions
    are worth shows against this.

    Parameters
    ----------
    sample : Sample
        Its own predictions are used only as far as they are among the columns known.
    known, known_of_others : (n, p) and (m, p) array
        What is known of people beforehand, to be learnt from.
    rng : numpy.random.Generator
        Makes the folds.

    Returns
    -------
    Inference
        Each model's predictions are freed of what goes with the predictors in the others, since models of different
        folds differ in their level; the weight is tuned.

    References
    ----------
    Zrnic & Candès (2024), Cross-prediction-powered inference, Proceedings of the National Academy of Sciences 121,
    e2322083121; with the weight of PPI++ in place of 1.
    """
    folds = rng.permutation(np.arange(sample.n) % FOLDS)
    said, others = np.zeros(sample.n), np.zeros(len(known_of_others))
    for fold in range(FOLDS):
        out = folds == fold
        model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(known[~out], sample.outcome[~out])
        theirs = model.predict(known_of_others)
        level = fitted(theirs, sample.unlabelled_predictors, sample.column, blind=False)
        if level is None:
            return nothing(sample.n, DEPENDENT)
        said[out] = model.predict(known[out]) - sample.predictors[out] @ level.coefficients
        others += level.residuals / FOLDS
    return centred(sample, said, others)


def bootstrapped(sample: Sample, repeats: int, rng: np.random.Generator) -> Inference:
    """The estimate of `tuned` with a percentile interval of the prediction-powered bootstrap.

    People with answers and others are each drawn with replacement, the weight staying as it was estimated. The
    interval is one of large samples: see `pilotlm.measures.estimators`.

    Parameters
    ----------
    sample : Sample
    repeats : int
        Draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Inference
        Its standard error is that of the draws.

    References
    ----------
    Zrnic (2024), A note on the prediction-powered bootstrap, arXiv 2405.18379.
    """
    found = tuned(sample)
    if not np.isfinite(found.value) or not np.isfinite(found.tuning):
        return found
    m, weight = len(sample.unlabelled), found.tuning
    pseudo = sample.outcome - weight * sample.predicted
    draws = _drawn(pseudo, sample.predictors, sample.column, _counts(sample.n, repeats, rng))
    if weight:
        others = _drawn(sample.unlabelled, sample.unlabelled_predictors, sample.column, _counts(m, repeats, rng))
        draws = draws + weight * others
    ends = central(draws)
    return replace(found, low=ends.low, high=ends.high, error=float(np.nanstd(draws, ddof=1)), freedom=float("inf"))


def _counts(n: int, repeats: int, rng: np.random.Generator) -> IntArray:
    return rng.multinomial(n, np.full(n, 1 / n), size=repeats)


def _drawn(outcome: FloatArray, predictors: FloatArray, column: int, counts: IntArray) -> FloatArray:
    """The coefficient in each draw of rows; nan in draws whose predictors are dependent."""
    n, k = predictors.shape
    products = np.einsum("ij,ik->ijk", predictors, predictors).reshape(n, k * k)
    information = (counts @ products).reshape(-1, k, k)
    score = counts @ (predictors * outcome[:, None])
    scale = np.sqrt(np.maximum(np.einsum("rjj->rj", information), 1e-300))
    smallest = np.linalg.eigvalsh(information / scale[:, :, None] / scale[:, None, :])[:, 0]
    known = smallest > 1e-9
    found = np.full(len(counts), np.nan)
    found[known] = np.linalg.solve(information[known], score[known][:, :, None])[:, column, 0]
    return found


def _logit(outcome: FloatArray, predictors: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Coefficients and each row's part of their error, (n, k); None where there is no estimate."""
    n, k = predictors.shape
    if n <= k + 1 or np.ptp(outcome) == 0:
        return None
    with np.errstate(all="ignore"):
        coefficients = _most_likely(outcome, predictors)
        if coefficients is None:
            return None
        linear = predictors @ coefficients
        if not np.isfinite(linear).all() or np.abs(linear).max() > _LARGEST:
            return None
        p = expit(linear)
        weighted = predictors * np.sqrt(p * (1 - p))[:, None]
        information = weighted.T @ weighted
        scale = np.sqrt(np.diag(information))
        # A column of zeros, as of a trait that nobody in a small pilot has, leaves no coefficient.
        if not (np.isfinite(scale) & (scale > 0)).all():
            return None
        if np.linalg.cond(information / np.outer(scale, scale)) > 1e10:
            return None
        inverse = np.linalg.inv(information)
        leverages = np.einsum("ij,jk,ik->i", weighted, inverse, weighted)
    scores = predictors * ((outcome - p) / np.sqrt(np.maximum(1 - leverages, 1e-6)))[:, None]
    return coefficients, scores @ inverse


def _most_likely(outcome: FloatArray, predictors: FloatArray) -> FloatArray | None:
    """Coefficients of a logit by iteratively reweighted least squares; None where the steps do not settle.

    Start and stop are those of statsmodels' GLM, which takes ten times as long: thousands of small pilots are fitted.
    """
    linear: FloatArray = logit((outcome + 0.5) / 2)
    before = np.inf
    for _ in range(_STEPS):
        p = np.clip(expit(linear), _EPSILON, 1 - _EPSILON)
        weighted = predictors * (p * (1 - p))[:, None]
        try:
            found = np.linalg.solve(predictors.T @ weighted, weighted.T @ linear + predictors.T @ (outcome - p))
        except np.linalg.LinAlgError:
            return None
        linear = predictors @ found
        deviance = 2 * float(np.logaddexp(0, linear).sum() - outcome @ linear)
        if abs(before - deviance) <= _SETTLED:
            return np.asarray(found)
        before = deviance
    return None
