"""Baselines: those who answer without a language model, fitted on the same pilot rows.

- bootstrap: a participant is given all answers of one pilot participant, of the same treatment where there is one.
- marginals: each answer from the pilot's smoothed frequencies, independently of everything.
- logit: a penalised multinomial logit, one line of the form after the other, on treatment, persona and the answers
  given before, smoothed by the counts that the marginals add: with the strongest penalty it is nearly the marginals.

Two more stand in modules of their own: `pilotlm.answering.cells` and `pilotlm.answering.trees`. All but the bootstrap
choose one setting for each line by cross-validation inside the pilot and are then fitted on the whole pilot, as
`pilotlm.answering.forms.fit_lines` says. The bootstrap has nothing to choose and draws from the whole pilot.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pilotlm.answering.features import Features
from pilotlm.answering.forms import Folds, FormModel, Law, LineModel, codes_of, fit_line, fit_lines
from pilotlm.instrument.answers import Slot
from pilotlm.study import Study

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates for scikit-learn's ``C``, the inverse strength of the ridge penalty."""
SMOOTHINGS = (0.1, 0.5, 1.0, 2.0)
"""Candidates for the count added to every answer."""


def fit_marginals(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """Smoothed frequencies of each answer, the smoothing chosen by cross-validation.

    Parameters
    ----------
    study : Study
        The study.
    pilot : DataFrame
        The pilot's people.
    folds : (people,) int array
        The fold of each (`pilotlm.answering.forms.draw_folds`).

    Returns
    -------
    FormModel
    """
    return fit_lines(study, pilot, folds, SMOOTHINGS, _marginals)


def fit_logit(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """A penalised multinomial logit for each line, the penalty chosen by cross-validation.

    A pilot of thirty people lacks most answers of a fine scale, and a logit gives them nothing: with n people its law
    p becomes (n p + s) / (n + s K) for the K answers of a line, s being the count that the marginals of the same people
    choose for it.

    Parameters
    ----------
    study, pilot, folds
        As in `fit_marginals`.

    Returns
    -------
    FormModel
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


def marginal_line(slot: Slot, rows: pd.DataFrame, folds: Folds) -> LineModel:
    """The marginal law of one line, its smoothing chosen by cross-validation among some people."""
    return fit_line(slot, rows, folds, SMOOTHINGS, _marginals).model


def bootstrap_answers(
    study: Study, pilot: pd.DataFrame, people: pd.DataFrame, uniforms: NDArray[np.float64]
) -> pd.DataFrame:
    """Give each participant all answers of a random pilot participant.

    Parameters
    ----------
    study : Study
        The study.
    pilot : DataFrame
        The pilot's people.
    people : DataFrame
        Participants to answer for.
    uniforms : (rows,) array
        Uniform numbers in [0, 1).

    Returns
    -------
    DataFrame
        The answers; from the participant's own treatment where the pilot has it, else from the whole pilot.
    """
    answers = pilot[list(study.answer_columns)].to_numpy()
    pools = {name: np.flatnonzero(pilot["treatment"] == name) for name in people["treatment"].unique()}
    everyone = np.arange(len(pilot))
    chosen = []
    for treatment, uniform in zip(people["treatment"], uniforms, strict=True):
        pool = pools[treatment] if len(pools[treatment]) else everyone
        chosen.append(pool[int(uniform * len(pool))])
    return pd.DataFrame(answers[chosen], columns=list(study.answer_columns))


@dataclass(frozen=True)
class _Marginal:
    probabilities: Law

    def law(self, rows: pd.DataFrame) -> Law:
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

    def law(self, rows: pd.DataFrame) -> Law:
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
