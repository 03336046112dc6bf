"""A law for each line of the answer form: what the opponents are made of.

A line's model gives the probability of each answer from background and earlier answers; the form takes away what is
not valid on the line, draws, and says how probable given answers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.instrument.answers import Slot, slots_of
from pilotlm.laws import expected_answers
from pilotlm.study import Study

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
    study : Study
        The study.
    slots : tuple of Slot
        The lines.
    lines : tuple of LineModel
        Their laws; None where the line follows from others.
    settings : dict
        For each column the setting chosen on the validation part.
    """

    study: Study
    slots: tuple[Slot, ...]
    lines: tuple[LineModel | None, ...]
    settings: dict[str, float]

    @property
    def by_column(self) -> dict[str, LineModel]:
        """The law of each line that is asked, by its column."""
        return {s.column: line for s, line in zip(self.slots, self.lines, strict=True) if line is not None}

    def line_law(self, line: int, rows: pd.DataFrame) -> Law:
        """The law of one line, given what stands on the lines before it.

        Parameters
        ----------
        line : int
            The number of the line, from 0.
        rows : DataFrame
            Participants: ``treatment``, background, and the columns of all earlier lines.

        Returns
        -------
        (rows, answers) array
            Probabilities of the line's values, 0 where one is not valid; each row sums to 1. A line that follows from
            others has all of it on what is left.
        """
        return _line_law(self.slots[line], self.lines[line], rows)

    def line_log_law(self, line: int, rows: pd.DataFrame) -> Law:
        """The logarithms of `line_law`, in nats; minus infinity where an answer is not valid."""
        with np.errstate(divide="ignore"):
            return np.log(self.line_law(line, rows))

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
            The answers, and what was expected of them (`pilotlm.laws.expected_answers`).
        """
        laws: dict[str, Law] = {}
        rows = people.drop(columns=[slot.column for slot in self.slots], errors="ignore").reset_index(drop=True)
        for k, slot in enumerate(self.slots):
            law = laws[slot.column] = self.line_law(k, rows)
            cumulative = np.cumsum(law, axis=1)
            chosen = (cumulative <= uniforms[:, k, None] * cumulative[:, -1:]).sum(axis=1)
            rows[slot.column] = np.asarray(slot.values)[np.minimum(chosen, len(slot.values) - 1)]
        return pd.concat([rows[[slot.column for slot in self.slots]], expected_answers(self.study, laws)], axis=1)

    def laws(self, people: pd.DataFrame) -> dict[str, Law]:
        """The law of each line that is asked, given people's own earlier answers.

        Parameters
        ----------
        people : DataFrame
            Participants with their answers.

        Returns
        -------
        dict
            Answer column, then its (rows, answers) probabilities.
        """
        asked = [k for k, line in enumerate(self.lines) if line is not None]
        return {self.slots[k].column: self.line_law(k, people) for k in asked}

    def log_likelihood(self, people: pd.DataFrame) -> NDArray[np.float64]:
        """The log-probability of people's own answers, (rows, lines), in nats; 0 where a line follows from others."""
        given, rows = given_codes(self.slots, people), np.arange(len(people))
        logs = [self.line_log_law(k, people)[rows, given[:, k]] for k in range(len(self.slots))]
        return np.stack(logs, axis=1)


def fit_lines(
    study: Study,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    candidates: tuple[float, ...],
    fit: Callable[[Slot, pd.DataFrame, float], LineModel],
) -> FormModel:
    """Fit each line with every candidate setting and keep the one with the smallest loss on the validation part.

    Parameters
    ----------
    study : Study
        The study.
    train, validation : DataFrame
        The two parts of the pilot.
    candidates : tuple of float
        The settings to try, in the order in which ties are settled.
    fit : callable
        Takes a line, the training part and a setting, and gives the line's law.

    Returns
    -------
    FormModel
    """
    slots = slots_of(study)
    lines: list[LineModel | None] = [None] * len(slots)
    settings = {}
    for k, slot in enumerate(slots):
        if slot.follows:
            continue
        fitted = {setting: fit(slot, train, setting) for setting in candidates}
        loss = {setting: _loss(slot, line, validation) for setting, line in fitted.items()}
        settings[slot.column] = min(loss, key=lambda setting, loss=loss: loss[setting])  # type: ignore[misc]
        lines[k] = fitted[settings[slot.column]]
    return FormModel(study, slots, tuple(lines), settings)


def given_codes(slots: tuple[Slot, ...], people: pd.DataFrame) -> NDArray[np.int64]:
    """People's own answers as places among the values of each line, (rows, lines)."""
    return np.stack([codes_of(slot, people) for slot in slots], axis=1)


def codes_of(slot: Slot, rows: pd.DataFrame) -> NDArray[np.int64]:
    """The answers of a line as places among its values, (rows,)."""
    place = {value: k for k, value in enumerate(slot.values)}
    return np.array([place[int(value)] for value in rows[slot.column]], dtype=np.int64)


def left_of(slot: Slot, rows: pd.DataFrame) -> NDArray[np.int64] | None:
    """What is left of an allocation's total, (rows,); None where the line is not a part of one."""
    if slot.total is None:
        return None
    return slot.total - rows[list(slot.spent)].sum(axis=1).to_numpy(dtype=np.int64)


def _line_law(slot: Slot, model: LineModel | None, rows: pd.DataFrame) -> Law:
    left = left_of(slot, rows)
    if model is None:
        assert left is not None
        return np.asarray(np.asarray(slot.values)[None, :] == left[:, None], dtype=np.float64)
    valid = np.where(slot.allowed(left, len(rows)), model.law(rows), 0.0)
    return np.asarray(valid / valid.sum(axis=1, keepdims=True))


def _loss(slot: Slot, line: LineModel, rows: pd.DataFrame) -> float:
    law = _line_law(slot, line, rows)
    with np.errstate(divide="ignore"):
        return float(-np.log(law[np.arange(len(rows)), codes_of(slot, rows)]).mean())
