"""Further estimators from people and predictions: logit coefficients, cross-fitting, and the bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pilotlm.measures.intervals import FloatArray, IntArray, central
from pilotlm.measures.least_squares import Inference, fitted, inferred, squares
from pilotlm.measures.rectified import centred, tuned
from pilotlm.measures.samples import Sample

FOLDS = 5
PENALTIES = np.logspace(-1, 4, 11)


def logit_people_only(sample: Sample) -> Inference:
    """A logit coefficient in the people whose answers are known, with robust errors and a t interval.

    Parameters
    ----------
    sample : Sample
        Its outcome is 0 or 1.

    Returns
    -------
    Inference
        Without estimate where the outcomes are predicted perfectly, as those of a level that one person has.
    """
    found = sample.logit.of(sample.column)
    return replace(_as_if_answers(found.value, found.parts, sample.predictors), tuning=np.zeros(sample.stack))


def _as_if_answers(value: FloatArray, parts: FloatArray, predictors: FloatArray) -> Inference:
    n, k = predictors.shape[-2:]
    return inferred(value, squares(parts), n - k)


def logit_difference(sample: Sample) -> Inference:
    """By how much a logit coefficient in predictions exceeds that in the answers of the same people.

    Parameters
    ----------
    sample : Sample
        Outcome 0 or 1, predictions in [0, 1].

    Returns
    -------
    Inference
        Both coefficients have errors which go together; their parts are subtracted row by row.
    """
    ours, theirs = (fit.of(sample.column) for fit in (sample.logit, sample.predicted_logit))
    return _as_if_answers(theirs.value - ours.value, theirs.parts - ours.parts, sample.predictors)


def logit_simulation_only(sample: Sample) -> Inference:
    """The same in the predictions of everybody, which may be probabilities; compare `simulation_only`."""
    found = sample.everybody_logit.of(sample.column)
    return _as_if_answers(found.value, found.parts, sample.all_predictors)


def logit_naive_pooling(sample: Sample) -> Inference:
    """The same in answers and others' predictions together; compare `naive_pooling`."""
    found = sample.pooled_logit.of(sample.column)
    return _as_if_answers(found.value, found.parts, sample.all_predictors)


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
    found, pooled = (fit.of(sample.column) for fit in (sample.logit, sample.everybody_logit))
    n, total, k = sample.n, sample.all_predicted.shape[-1], sample.predictors.shape[-1]
    mine = found.parts * n
    # Where everybody's predictions have no logit they say nothing.
    said = np.nan_to_num(pooled.parts[..., :n]) * total
    level = said.mean(axis=-1)
    spread = said - level[..., None]
    flat = np.abs(said).max(axis=-1) <= 1e-9 * np.fmax(1.0, np.abs(mine).max(axis=-1))
    size = np.where(flat, 1.0, squares(spread))
    slope = (spread * mine).sum(axis=-1) / size
    rest = mine - slope[..., None] * spread
    # The slope costs a degree of freedom, and what the two groups of people differ by.
    lost = (n - k) / (n - k - 1) if n > k + 1 else np.nan
    variance = squares(rest) / n**2 * (1 + n * np.square(level) / size) * lost
    shift = np.square(slope) * size / n / total
    value = found.value - slope * level
    rich = inferred(value, variance + shift, n - k - 1, slope * (total - n) / total)
    return logit_people_only(sample).where(flat, rich)


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
        level = fitted(theirs, sample.other_columns, sample.column)
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
    error = np.nanstd(draws, ddof=1)
    return replace(
        found, low=np.array(ends.low), high=np.array(ends.high), error=np.array(error), freedom=np.array(np.inf)
    )


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
