"""Can a classifier tell simulated people from real ones? A two-sample test that sees all answers and the persona."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from pilotlm.errors import InputError
from pilotlm.stats.intervals import Estimate, FloatArray, IntArray, normal_quantile

CLASSIFIER_FOLDS = 5
LEAST = 4 * CLASSIFIER_FOLDS
"""The fewest rows of either kind: below it a fold has too few of them for an area under the curve."""
PENALTY = 0.03
"""scikit-learn's C. Fixed beforehand: areas differed by less than .02 between .003 and .1 on the shipped studies."""
INFLATION, FOLDING, APART = 1.85, 0.27, 0.75
"""The variance of the AUC of one split over DeLong's, which takes the classifiers as given, the part of it that is due
to the folds, and the AUC from which on single rows add up; see `classifier_test`."""


@dataclass(frozen=True)
class ClassifierTest:
    """The AUC of people against simulated rows, other people (one half in theory), and uniform answers."""

    value: Estimate
    human_benchmark: Estimate
    random_benchmark: Estimate


def classifier_test(
    human: ArrayLike,
    simulated: ArrayLike,
    uniform: ArrayLike,
    human_ids: ArrayLike,
    simulated_ids: ArrayLike,
    splits: int,
    rng: np.random.Generator,
) -> ClassifierTest:
    """Classifier two-sample test: the cross-validated area under the ROC curve (AUC) of a ridge logistic regression.

    One half: nothing tells the two apart. One: everything does. In each split h people are drawn for the real side from
    those who leave h simulated ones for the other, with the answers simulated for them (value) and with uniform ones
    (random benchmark); the human benchmark is of two random sets of h people. Nobody is on both sides of a split: a
    simulated row shares
    its persona with a person, and a classifier that remembers personas would fall below one half for a perfect
    simulation.

    The interval is normal on the scale of log-odds. DeLong's variance takes the classifiers as given; that of one split
    was 1.6 to 2.1 times it in simulation, `FOLDING` of it from the folds, and is taken as `INFLATION` times. Of the
    rest the rows that splits share are common to all of them.

    Parameters
    ----------
    human : (m, p) array_like
        Features of people: answers, persona, treatment, and their interactions (the regression adds none).
    simulated, uniform : (n, p) array_like
        The same of simulated rows, and of their personas with uniform answers.
    human_ids, simulated_ids : (m,) and (n,) array_like
        Who they are; everybody simulated is among the people. Of several rows for one person a split takes one.
    splits : int
        Number of splits, at least 1.
    rng : numpy.random.Generator
        Source of randomness.

    Raises
    ------
    InputError
        If shapes do not fit, somebody simulated is not among the people, or h is under `LEAST`.

    References
    ----------
    Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests, ICLR; Bengio & Grandvalet (2004), Journal of
    Machine Learning Research 5, 1089-1105: no estimator of the variance of a cross-validated score is unbiased.
    """
    features = [np.asarray(table, dtype=float) for table in (human, simulated, uniform)]
    people, ours = np.asarray(human_ids), np.asarray(simulated_ids)
    _check(features, people, ours, splits)
    h = min(len(np.unique(ours)), len(people) // 2)
    if h < LEAST:
        raise InputError(f"A classifier test needs {LEAST} people and as many others, there are {h}.")
    where = {person: row for row, person in enumerate(people.tolist())}
    real = np.array([where[person] for person in ours.tolist()])
    drawn = [_draw_split(len(people), real, h, rng) for _ in range(splits)]
    areas, variances = np.mean([_areas(features, one, rng) for one in drawn], axis=0).T
    shared = _shared([one.real for one in drawn], [one.simulated for one in drawn])
    value, human_benchmark, random_benchmark = (
        _estimate(area, variance * _of_mean(area, shared, splits), h)
        for area, variance in zip(areas, variances, strict=True)
    )
    return ClassifierTest(value, human_benchmark, random_benchmark)


def cross_validated_auc(first: FloatArray, second: FloatArray, folds: tuple[IntArray, IntArray]) -> tuple[float, float]:
    """The AUC of a ridge logistic regression that tells (m, p) from (n, p) features, mean over folds; its variance."""
    # Scaled before the folds are taken: the scale does not know which sample a row is of.
    features, tested = scale(np.vstack([first, second])), np.concatenate(folds)
    side = np.repeat([0, 1], [len(first), len(second)])
    found = []
    for fold in range(CLASSIFIER_FOLDS):
        model = LogisticRegression(C=PENALTY, tol=1e-3, max_iter=1000)
        model.fit(features[tested != fold], side[tested != fold])
        scores, of = model.decision_function(features[tested == fold]), side[tested == fold]
        found.append(auc_with_variance(scores[of == 0], scores[of == 1]))
    areas, variances = np.array(found).T
    return float(areas.mean()), float(variances.sum()) / CLASSIFIER_FOLDS**2


def auc_with_variance(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """The share of pairs in which the row of the second kind has the higher score, ties half; DeLong's variance.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    n, m = len(a), len(b)
    ranks = rankdata(np.concatenate([a, b]))
    # A row's rank among all less its rank among its own kind is the number of opposite rows below it.
    above = 1 - (ranks[:n] - rankdata(a)) / m
    below = (ranks[n:] - rankdata(b)) / n
    return float(below.mean()), float(above.var(ddof=1) / n + below.var(ddof=1) / m)


@dataclass(frozen=True, eq=False)
class _Split:
    """The rows of one split, h each: people, simulated rows, and two sets of people for the human benchmark."""

    real: IntArray
    simulated: IntArray
    human_benchmark: tuple[IntArray, IntArray]


def _draw_split(people: int, real: IntArray, h: int, rng: np.random.Generator) -> _Split:
    shuffled = rng.permutation(len(real))
    # The first row of each person in random order, then h of the persons.
    b = shuffled[rng.permutation(np.unique(real[shuffled], return_index=True)[1])[:h]]
    a = rng.permutation(np.setdiff1d(np.arange(people), real[b]))[:h]
    anybody = rng.permutation(people)
    return _Split(a, b, (anybody[:h], anybody[h : 2 * h]))


def _areas(features: list[FloatArray], split: _Split, rng: np.random.Generator) -> list[tuple[float, float]]:
    """AUC and variance of simulated rows, of other people and of uniform rows against h people."""
    human, simulated, uniform = features
    h = len(split.real)
    folds = rng.permutation(np.arange(h) % CLASSIFIER_FOLDS), rng.permutation(np.arange(h) % CLASSIFIER_FOLDS)
    first, second = split.human_benchmark
    people = human[split.real]
    sides = (people, simulated[split.simulated]), (human[first], human[second]), (people, uniform[split.simulated])
    return [cross_validated_auc(one, other, folds) for one, other in sides]


def _shared(real: Sequence[IntArray], simulated: Sequence[IntArray]) -> float:
    """The share of the rows of a split that are in another one, mean over pairs of splits."""
    pairs = itertools.combinations(range(len(real)), 2)
    shares = [
        len(np.intersect1d(rows[i], rows[j])) / len(rows[i]) for i, j in pairs for rows in (real, simulated)
    ]  # fmt: skip
    return float(np.mean(shares)) if shares else 0.0


def _of_mean(area: float, shared: float, splits: int) -> float:
    """The variance of the mean over splits, in DeLong's variances of one."""
    power = 2 - min(1.0, abs(area - 0.5) / (APART - 0.5))
    common = (1 - FOLDING) * float(shared**power)
    return INFLATION * (common + (1 - common) / splits)


def _estimate(area: float, variance: float, h: int) -> Estimate:
    if not 0 < area < 1:
        return Estimate(float(area), float(area), float(area), h)
    half = normal_quantile(0.95) * np.sqrt(variance) / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-half, half]))
    return Estimate(float(area), float(low), float(high), h)


def _check(features: list[FloatArray], people: ArrayLike, ours: ArrayLike, splits: int) -> None:
    human, simulated, uniform = features
    if {table.ndim for table in features} != {2} or len({table.shape[1] for table in features}) != 1:
        raise InputError("A classifier test needs the same features of people, simulated rows and uniform answers.")
    if np.shape(people) != human.shape[:1] or np.shape(ours) != simulated.shape[:1] or simulated.shape != uniform.shape:
        raise InputError("A classifier test needs one person a row, and as many uniform rows as simulated ones.")
    if len(np.unique(people)) != len(human) or not np.isin(ours, people).all():
        raise InputError("Everybody simulated must be among the people, and nobody there twice.")
    if splits < 1:
        raise InputError(f"A classifier test needs 1 split or more, got {splits}.")
