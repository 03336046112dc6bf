"""Baselines: those who answer without a language model, fitted on the same pilot rows.

- bootstrap (the resampled pilot): a participant is given all answers of one pilot participant, of the same treatment
  where there is one.
- marginals: each answer from the pilot's smoothed frequencies, independently of everything.
- logit: a penalised multinomial logit, one line of the form after the other, on treatment, persona and the answers
  given before, smoothed by the counts that the marginals add: with the strongest penalty it is nearly the marginals.
  Where lines are a battery, it also knows that people answer alike (`pilotlm.baselines.lines`).
- copula: a Gaussian copula, one line after the other, on the same columns.

All but the bootstrap choose one setting for each line by cross-validation inside the pilot and are then fitted on the
whole pilot, as `pilotlm.baselines.sequential.fit_lines` says.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pilotlm.arms import Arm, Arms
from pilotlm.baselines.lines import fit_with_earlier_answers
from pilotlm.baselines.sequential import (
    Features,
    Folds,
    FormModel,
    LineModel,
    Probabilities,
    codes_of,
    fit_line,
    fit_lines,
    folded_pilot,
)
from pilotlm.data.pilot import draw_pilot, simulated_people
from pilotlm.data.prompts import Slot
from pilotlm.predictions import as_predictions
from pilotlm.randomness import generator
from pilotlm.responses import as_responses, count_people
from pilotlm.study import Study

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates for scikit-learn's ``C``, the inverse strength of the ridge penalty."""
SMOOTHINGS = (0.1, 0.5, 1.0, 2.0)
"""Candidates for the count added to every answer."""
SHRINKAGES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)
"""Candidates for the weight of no correlation in the copula."""
SMALLEST_VARIANCE = 0.05
"""Of an answer's normal score given all else; a pilot in which nothing is left over would make others impossible."""


def fit_marginals(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """Smoothed frequencies of each answer, the smoothing chosen by cross-validation.

    ``folds`` holds the fold of each of the pilot's people (`pilotlm.baselines.sequential.draw_folds`).
    """
    return fit_lines(study, pilot, folds, SMOOTHINGS, _marginals)


def fit_logit(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """A penalised multinomial logit for each line, the penalty chosen by cross-validation; as `fit_marginals`.

    A pilot of thirty people lacks most answers of a fine scale, and a logit gives them nothing: with n people its p
    becomes (n p + s) / (n + s K) for the K answers of a line, s being the count that the marginals of the
    same people choose for it.
    """
    features = Features.of(study, pilot)

    def fit(slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...]) -> list[_Logit]:
        earlier, codes = features.before(slot.column), codes_of(slot, rows)
        known, seen = features.matrix(rows, earlier), np.unique(codes)
        scaler = StandardScaler().fit(known)
        scaled, counts = scaler.transform(known), (len(slot.values), len(rows))
        smoothing = fit_line(slot, rows, folds, SMOOTHINGS, _marginals).setting
        return [
            _Logit(_penalised(scaled, codes, penalty), scaler, seen, *counts, smoothing, features, earlier)
            for penalty in candidates
        ]

    return fit_lines(study, pilot, folds, PENALTIES, fit)


def fit_copula(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """A Gaussian copula for each line, its shrinkage chosen by cross-validation; as `fit_marginals`.

    Treatment, persona and earlier answers become normal scores of their ranks; an answer is an interval of a standard
    normal score that is as probable as its smoothed frequency (`fit_marginals`). The scores' correlations are shrunk
    towards none, and an answer's probability is that of its interval given the scores known (Hoff 2007, Annals of
    Applied Statistics 1, 265-283). The marginals count as one more person, so that no answer is impossible. An answer
    without an order is taken in that of its options.

    Of this, trees and nearest neighbours it had the smallest cross-validated loss in pilots of 30 and 60 people (four
    studies, three draws each, before the marginals counted as a person): .18 and .08 nats a person below the trees, .30
    and .21 below the neighbours on average.
    """
    features = Features.of(study, pilot)

    def fit(slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...]) -> list[_Copula]:
        earlier, base = features.before(slot.column), fit_line(slot, rows, folds, SMOOTHINGS, _marginals).model
        ranks = _Ranks(np.sort(features.matrix(rows, earlier), axis=0))
        scores, cuts = ranks.scores(features.matrix(rows, earlier)), _cuts(base, rows)
        answers = _means_between(cuts)[codes_of(slot, rows)]
        return [_Copula(*_conditional(scores, answers, s), cuts, base, ranks, features, earlier) for s in candidates]

    return fit_lines(study, pilot, folds, SHRINKAGES, fit)


def bootstrap_answers(
    study: Study, pilot: pd.DataFrame, people: pd.DataFrame, uniforms: NDArray[np.float64]
) -> pd.DataFrame:
    """Give each participant all answers of a random pilot participant.

    They come from the participant's own treatment where the pilot has it, else from the whole pilot; ``uniforms`` are
    (rows,) numbers in [0, 1).
    """
    answers = pilot[list(study.answer_columns)].to_numpy()
    pools = {name: np.flatnonzero(pilot["treatment"] == name) for name in people["treatment"].unique()}
    everyone = np.arange(len(pilot))
    chosen = []
    for treatment, uniform in zip(people["treatment"], uniforms, strict=True):
        pool = pools[treatment] if len(pools[treatment]) else everyone
        chosen.append(pool[int(uniform * len(pool))])
    return pd.DataFrame(answers[chosen], columns=list(study.answer_columns))


def fit_lines_together(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """The logit, on the lines of a battery mixed with a person's earlier answers; as `fit_marginals`.

    Without a battery it is the logit. On the five images of `loomba2021` (three pilots of 240 people) it loses 10.3
    nats a held-out person, the logit alone 11.6 and the copula 10.9.
    """
    return fit_with_earlier_answers(fit_logit, study, pilot, folds)


FITS = {"marginals": fit_marginals, "logit": fit_lines_together, "copula": fit_copula}
"""How each baseline that has a predictive distribution is fitted on a pilot."""


@dataclass(frozen=True)
class Baseline:
    """One baseline's responses.

    Attributes
    ----------
    arm, responses : Arm, DataFrame
        Which baseline, and what it answered for the people simulated.
    predictions : DataFrame or None
        Its predictive distributions for them, given their own earlier answers (`pilotlm.predictions`); None for the
        bootstrap, which has none for an answer that the pilot lacks.
    people : int
        How many people of the pilot it is fitted on: all of them.
    cv_loss, held_out_nll : float or None
        Cross-validated inside the pilot, and on the people simulated, in nats a person; None for the bootstrap.
    settings : dict
        What was chosen by cross-validation, for each line of the form.
    """

    arm: Arm
    responses: pd.DataFrame
    predictions: pd.DataFrame | None
    people: int
    cv_loss: float | None
    held_out_nll: float | None
    settings: dict[str, float]

    @property
    def facts(self) -> dict[str, float | None]:
        """What the record of the notebook keeps of it."""
        return {"people": self.people, "cv_loss": self.cv_loss, "held_out_nll": self.held_out_nll}


def baselines(
    study: Study, people: pd.DataFrame, arms: Arms, pilot_name: str, seed: int, at_most: int = 0, whom: str = "held-out"
) -> list[Baseline]:
    """Fit the baselines of a pilot design and let them answer, in the order of `pilotlm.arms.BASELINES`.

    ``people`` are all participants; ``whom`` says whether only those outside the pilot are simulated or everybody,
    ``at_most`` how many at most, 0 meaning all that are compared.
    """
    drawn = draw_pilot(study, people, arms.pilot(pilot_name), seed)
    target = simulated_people(study, people, drawn, at_most, seed, whom)
    pilot, folds = folded_pilot(study, people, drawn, seed)
    return [_baseline(study, pilot, folds, target, arm, seed) for arm in arms.baselines_of(pilot_name)]


def _baseline(study: Study, pilot: pd.DataFrame, folds: Folds, target: pd.DataFrame, arm: Arm, seed: int) -> Baseline:
    lines = len(study.answer_columns)
    uniforms = np.stack([generator(seed, int(p), arm.name).random(lines) for p in target["participant"]])
    model = FITS[arm.answerer](study, pilot, folds) if arm.answerer in FITS else None
    answers = model.simulate(target, uniforms) if model else bootstrap_answers(study, pilot, target, uniforms[:, 0])
    in_pilot = target["participant"].isin(pilot["participant"])
    responses = as_responses(study, target, answers.assign(draw=0), arm.name, seed, in_pilot)
    if model is None:
        return Baseline(arm, responses, None, count_people(pilot), None, None, {})
    predictions = as_predictions(study, target["participant"], model.distributions(target))
    held_out_nll = float(-model.log_likelihood(target).sum(axis=1).mean())
    return Baseline(arm, responses, predictions, count_people(pilot), model.cv_loss, held_out_nll, model.settings)


@dataclass(frozen=True)
class _Marginal:
    probabilities: Probabilities

    def distribution(self, rows: pd.DataFrame) -> Probabilities:
        return np.tile(self.probabilities, (len(rows), 1))


def _marginals(slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...]) -> Sequence[_Marginal]:
    counts = np.bincount(codes_of(slot, rows), minlength=len(slot.values))
    return [_Marginal((counts + added) / (counts + added).sum()) for added in candidates]


@dataclass(frozen=True)
class _Logit:
    model: LogisticRegression | None
    scaler: StandardScaler
    seen: NDArray[np.int64]
    answers: int
    people: int
    smoothing: float
    features: Features
    earlier: tuple[str, ...]

    def distribution(self, rows: pd.DataFrame) -> Probabilities:
        counts = np.full((len(rows), self.answers), self.smoothing)
        if self.model is None:
            counts[:, self.seen] += self.people
        else:
            fitted = self.model.predict_proba(self.scaler.transform(self.features.matrix(rows, self.earlier)))
            counts[:, self.seen] += self.people * fitted
        return np.asarray(counts / (self.people + self.smoothing * self.answers))


def _penalised(known: NDArray[np.float64], codes: NDArray[np.int64], penalty: float) -> LogisticRegression | None:
    """A multinomial logit; None where everybody gave one answer."""
    if len(np.unique(codes)) == 1:
        return None
    with warnings.catch_warnings():
        # Not wholly converged, or nearly as many answers as people: neither matters to a small pilot's fine scale.
        warnings.simplefilter("ignore", UserWarning)
        return LogisticRegression(C=penalty, max_iter=500).fit(known, codes)


@dataclass(frozen=True)
class _Ranks:
    """What a pilot's people hold in each column, sorted, (people, columns)."""

    known: NDArray[np.float64]

    def scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The normal score of the middle of each value's ranks, (rows, columns)."""
        people = len(self.known)
        middle = [
            (np.searchsorted(own, given, "left") + np.searchsorted(own, given, "right")) / 2
            for own, given in zip(self.known.T, values.T, strict=True)
        ]
        return np.asarray(ndtri(np.clip(np.stack(middle, axis=1), 0.5, people - 0.5) / people))


@dataclass(frozen=True)
class _Copula:
    slopes: NDArray[np.float64]
    deviation: float
    cuts: NDArray[np.float64]
    base: LineModel
    ranks: _Ranks
    features: Features
    earlier: tuple[str, ...]

    def distribution(self, rows: pd.DataFrame) -> Probabilities:
        scores = self.ranks.scores(self.features.matrix(rows, self.earlier))
        below = ndtr((self.cuts[None, :] - (scores @ self.slopes)[:, None]) / self.deviation)
        people = len(self.ranks.known)
        return np.asarray((people * np.diff(below, axis=1) + self.base.distribution(rows)) / (people + 1))


def _cuts(base: LineModel, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Where a standard normal score passes from one answer to the next, (answers + 1,)."""
    below = np.cumsum(base.distribution(rows.head(1))[0])
    return np.concatenate([[-np.inf], ndtri(below[:-1]), [np.inf]])


def _means_between(cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of a standard normal score in each interval, (answers,)."""
    density = np.exp(-np.square(cuts) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(-np.diff(density) / np.diff(ndtr(cuts)))


def _conditional(
    scores: NDArray[np.float64], answers: NDArray[np.float64], shrinkage: float
) -> tuple[NDArray[np.float64], float]:
    """The slopes of an answer's score on those known, and its standard deviation around them."""
    both = np.column_stack([scores, answers])
    spread = both.std(axis=0)
    standardised = (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    correlations = (1 - shrinkage) * standardised.T @ standardised / len(both)
    np.fill_diagonal(correlations, 1.0)
    slopes = np.linalg.solve(correlations[:-1, :-1], correlations[:-1, -1])
    left = max(1 - float(slopes @ correlations[:-1, -1]), SMALLEST_VARIANCE)
    # The scores of ties spread less than a standard normal one does.
    return slopes / np.where(spread[:-1] > 0, spread[:-1], np.inf), float(np.sqrt(left))
