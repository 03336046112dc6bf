"""Those who answer without a language model, fitted on the same pilot rows.

- bootstrap: a participant is given all answers of one pilot participant, of the same treatment where there is one.
- marginals: each answer from the pilot's smoothed frequencies, independently of everything.
- logit: a penalised multinomial logit, one line of the form after the other, on treatment, persona and the answers
  given before, smoothed by the counts that the marginals add: with the strongest penalty it is nearly the marginals.

Two more stand in modules of their own: `pilotlm.answering.cells` and `pilotlm.answering.trees`. All but the bootstrap
learn from the training part, and their one setting for each line is chosen on the validation part. The bootstrap has
nothing to choose and draws from the whole pilot.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pilotlm.answering.features import Features
from pilotlm.answering.forms import FormModel, Law, LineModel, codes_of, fit_lines
from pilotlm.instrument.answers import Slot
from pilotlm.study import Study

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for scikit-learn's ``C``, the inverse strength of the ridge penalty."""
SMOOTHINGS = (0.1, 0.5, 1.0, 2.0)
"""Candidates for the count added to every answer."""


def fit_marginals(study: Study, train: pd.DataFrame, validation: pd.DataFrame) -> FormModel:
    """Smoothed frequencies of each answer, the smoothing chosen on the validation part.

    Parameters
    ----------
    study : Study
        The study.
    train, validation : DataFrame
        The two parts of the pilot.

    Returns
    -------
    FormModel
    """
    return fit_lines(study, train, validation, SMOOTHINGS, _Marginal.fit)


def fit_logit(study: Study, train: pd.DataFrame, validation: pd.DataFrame) -> FormModel:
    """A penalised multinomial logit for each line, the penalty chosen on the validation part.

    A pilot of thirty people lacks most answers of a fine scale, and a logit gives them nothing: with n people its law
    p becomes (n p + s) / (n + s K) for the K answers of a line, s being the count that the marginals chose for it.

    Parameters
    ----------
    study : Study
        The study.
    train, validation : DataFrame
        The two parts of the pilot.

    Returns
    -------
    FormModel
    """
    features = Features.of(study, train)
    smoothings = fit_marginals(study, train, validation).settings

    def fit(slot: Slot, rows: pd.DataFrame, penalty: float) -> LineModel:
        return _Logit.fit(slot, rows, penalty, features, smoothings[slot.column])

    return fit_lines(study, train, validation, PENALTIES, fit)


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

    @classmethod
    def fit(cls, slot: Slot, rows: pd.DataFrame, smoothing: float) -> _Marginal:
        counts = np.bincount(codes_of(slot, rows), minlength=len(slot.values)) + smoothing
        return cls(counts / counts.sum())

    def law(self, rows: pd.DataFrame) -> Law:
        return np.tile(self.probabilities, (len(rows), 1))


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

    @classmethod
    def fit(cls, slot: Slot, rows: pd.DataFrame, penalty: float, features: Features, smoothing: float) -> _Logit:
        earlier = features.before(slot.column)
        codes = codes_of(slot, rows)
        scaler = StandardScaler().fit(features.matrix(rows, earlier))
        seen = np.unique(codes)
        model = None
        if len(seen) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = LogisticRegression(C=penalty, max_iter=500)
                model.fit(scaler.transform(features.matrix(rows, earlier)), codes)
        return cls(model, scaler, seen, len(slot.values), len(rows), smoothing, features, earlier)

    def law(self, rows: pd.DataFrame) -> Law:
        counts = np.full((len(rows), self.answers), self.smoothing)
        if self.model is None:
            counts[:, self.seen] += self.people
        else:
            fitted = self.model.predict_proba(self.scaler.transform(self.features.matrix(rows, self.earlier)))
            counts[:, self.seen] += self.people * fitted
        return np.asarray(counts / (self.people + self.smoothing * self.answers))
