"""Those who answer without a language model, fitted on the same pilot rows.

- bootstrap: a participant is given all answers of one pilot participant, of the same treatment where there is one.
- marginals: each answer from the pilot's smoothed frequencies, independently of everything.
- logit: a penalised multinomial logit, one line of the form after the other, on treatment, persona and the answers
  given before. The penalty of each line is chosen on the pilot's validation part, like the language model's settings.

Marginals and logit learn from the training part, and their one setting is chosen on the validation part. The
bootstrap has nothing to choose and draws from the whole pilot.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pilotlm.instrument.answers import Slot, slots_of
from pilotlm.study import Choice, Study

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for scikit-learn's ``C``, the inverse strength of the ridge penalty."""
SMOOTHINGS = (0.1, 0.5, 1.0, 2.0)
"""Candidates for the count added to every answer."""
Law = NDArray[np.float64]


class LineModel(Protocol):
    """The law of one line of the form."""

    def law(self, rows: pd.DataFrame) -> Law:
        """The probability of each answer, (rows, answers), given background and earlier answers."""


@dataclass(frozen=True)
class FormModel:
    """A law for each line of the form.

    Attributes
    ----------
    slots : tuple of Slot
        The lines.
    lines : tuple of LineModel
        Their laws; None where the line follows from others.
    settings : dict
        For each column the setting chosen on the validation part.
    """

    slots: tuple[Slot, ...]
    lines: tuple[LineModel | None, ...]
    settings: dict[str, float]

    def simulate(self, people: pd.DataFrame, uniforms: NDArray[np.float64]) -> pd.DataFrame:
        """Draw answers for people.

        Parameters
        ----------
        people : DataFrame
            Participants: treatment and background.
        uniforms : (rows, lines) array
            Uniform numbers in [0, 1).

        Returns
        -------
        DataFrame
            The answers.
        """
        rows = people.drop(columns=[slot.column for slot in self.slots], errors="ignore").reset_index(drop=True)
        for k, (slot, line) in enumerate(zip(self.slots, self.lines, strict=True)):
            left = _left(slot, rows)
            if line is None and left is not None:
                rows[slot.column] = left
                continue
            assert line is not None
            cumulative = np.cumsum(_among_valid(line.law(rows), slot, left), axis=1)
            chosen = (cumulative <= uniforms[:, k, None] * cumulative[:, -1:]).sum(axis=1)
            rows[slot.column] = np.asarray(slot.values)[np.minimum(chosen, len(slot.values) - 1)]
        return rows[[slot.column for slot in self.slots]]

    def log_likelihood(self, people: pd.DataFrame) -> NDArray[np.float64]:
        """The log-probability of people's own answers, (rows, lines), in nats."""
        result = np.zeros((len(people), len(self.slots)))
        for k, (slot, line) in enumerate(zip(self.slots, self.lines, strict=True)):
            if line is not None:
                law = _among_valid(line.law(people), slot, _left(slot, people))
                result[:, k] = np.log(law[np.arange(len(people)), _codes(slot, people)])
        return result


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
    return _fit_lines(study, train, validation, SMOOTHINGS, _Marginal.fit)


def fit_logit(study: Study, train: pd.DataFrame, validation: pd.DataFrame) -> FormModel:
    """A penalised multinomial logit for each line, the penalty chosen on the validation part.

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
    features = _Features.of(study, train)

    def fit(slot: Slot, rows: pd.DataFrame, penalty: float) -> LineModel:
        return _Logit.fit(slot, rows, penalty, features)

    return _fit_lines(study, train, validation, PENALTIES, fit)


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


def _fit_lines(
    study: Study,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    candidates: tuple[float, ...],
    fit: Callable[[Slot, pd.DataFrame, float], LineModel],
) -> FormModel:
    slots = slots_of(study)
    lines: list[LineModel | None] = []
    settings = {}
    for slot in slots:
        if slot.follows:
            lines.append(None)
            continue
        fitted = {setting: fit(slot, train, setting) for setting in candidates}
        best = min(fitted, key=lambda setting: _loss(fitted[setting], slot, validation))
        lines.append(fitted[best])
        settings[slot.column] = best
    return FormModel(slots, tuple(lines), settings)


def _loss(line: LineModel, slot: Slot, rows: pd.DataFrame) -> float:
    law = _among_valid(line.law(rows), slot, _left(slot, rows))
    return float(-np.log(law[np.arange(len(rows)), _codes(slot, rows)]).mean())


@dataclass(frozen=True)
class _Marginal:
    probabilities: Law

    @classmethod
    def fit(cls, slot: Slot, rows: pd.DataFrame, smoothing: float) -> _Marginal:
        counts = np.bincount(_codes(slot, rows), minlength=len(slot.values)) + smoothing
        return cls(counts / counts.sum())

    def law(self, rows: pd.DataFrame) -> Law:
        return np.tile(self.probabilities, (len(rows), 1))


@dataclass(frozen=True)
class _Features:
    """How rows become numbers: more than two levels without an order as indicators, everything else as it is coded."""

    treatments: tuple[str, ...]
    persona: tuple[str, ...]
    indicators: dict[str, tuple[int, ...]]
    answers: tuple[str, ...]

    @classmethod
    def of(cls, study: Study, train: pd.DataFrame) -> _Features:
        unordered = {f.name: tuple(level.code for level in f.levels or ()) for f in study.persona if not f.ordered}
        unordered |= {
            q.name: tuple(option.code for option in q.options)
            for q in study.questions
            if isinstance(q, Choice) and not q.ordered
        }
        indicators = {name: codes for name, codes in unordered.items() if len(codes) > 2}
        treatments = tuple(sorted(train["treatment"].unique()))
        return cls(treatments, tuple(field.name for field in study.persona), indicators, study.answer_columns)

    def matrix(self, rows: pd.DataFrame, earlier: tuple[str, ...]) -> Law:
        """(rows, features): treatment, persona, and the earlier answers."""
        columns = [(rows["treatment"] == name).to_numpy(dtype=float) for name in self.treatments[1:]]
        for name in (*self.persona, *earlier):
            if name in self.indicators:
                columns += [(rows[name] == code).to_numpy(dtype=float) for code in self.indicators[name]]
            else:
                columns.append(rows[name].to_numpy(dtype=float))
        return np.column_stack(columns)


@dataclass(frozen=True)
class _Logit:
    """The logit's law, mixed with a little of every answer: what was not seen in the pilot may be answered."""

    model: LogisticRegression | None
    scaler: StandardScaler
    seen: NDArray[np.int64]
    answers: int
    unseen: float
    features: _Features
    earlier: tuple[str, ...]

    @classmethod
    def fit(cls, slot: Slot, rows: pd.DataFrame, penalty: float, features: _Features) -> _Logit:
        earlier = features.answers[: features.answers.index(slot.column)]
        codes = _codes(slot, rows)
        scaler = StandardScaler().fit(features.matrix(rows, earlier))
        seen = np.unique(codes)
        model = None
        if len(seen) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = LogisticRegression(C=penalty, max_iter=500)
                model.fit(scaler.transform(features.matrix(rows, earlier)), codes)
        return cls(model, scaler, seen, len(slot.values), 1 / (len(rows) + 1), features, earlier)

    def law(self, rows: pd.DataFrame) -> Law:
        law = np.full((len(rows), self.answers), self.unseen / self.answers)
        if self.model is None:
            law[:, self.seen] += 1 - self.unseen
        else:
            fitted = self.model.predict_proba(self.scaler.transform(self.features.matrix(rows, self.earlier)))
            law[:, self.seen] += (1 - self.unseen) * fitted
        return law


def _codes(slot: Slot, rows: pd.DataFrame) -> NDArray[np.int64]:
    place = {value: k for k, value in enumerate(slot.values)}
    return np.array([place[int(value)] for value in rows[slot.column]], dtype=np.int64)


def _left(slot: Slot, rows: pd.DataFrame) -> NDArray[np.int64] | None:
    if slot.total is None:
        return None
    return slot.total - rows[list(slot.spent)].sum(axis=1).to_numpy(dtype=np.int64)


def _among_valid(law: Law, slot: Slot, left: NDArray[np.int64] | None) -> Law:
    valid = np.where(slot.allowed(left, len(law)), law, 0.0)
    return np.asarray(valid / valid.sum(axis=1, keepdims=True))
