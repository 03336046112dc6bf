"""One answer after another: a predictive distribution for each line of the answer form, from the lines before it.

A line's model gives the probability of each answer from treatment, persona and earlier answers; the form takes away
what is not valid on the line, draws, and says how probable given answers are. Each line has one setting, chosen by
cross-validation inside the pilot, and its model is then fitted on the whole pilot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.data.pilot import Pilot, rows_of
from pilotlm.data.prompts import Slot, slots_of
from pilotlm.predictions import expected_answers
from pilotlm.randomness import generator
from pilotlm.responses import as_numbers, persons_of
from pilotlm.study import Study

Probabilities = NDArray[np.float64]
Folds = NDArray[np.int64]
FOLDS = 5


@dataclass(frozen=True)
class Features:
    """Treatment, persona and earlier answers as numbers.

    More than two levels without an order are indicators, everything else is the number that it is worth. The first
    treatment that the pilot's people were given has no indicator.
    """

    study: Study
    treatments: tuple[str, ...]
    persona: tuple[str, ...]
    indicators: dict[str, tuple[int, ...]]
    answers: tuple[str, ...]

    @classmethod
    def of(cls, study: Study, people: pd.DataFrame) -> Features:
        """The features of a study, with the treatments of some people."""
        unordered = {f.name: tuple(level.code for level in f.levels or ()) for f in study.persona if not f.ordered}
        unordered |= {question.name: question.values for question in study.questions if not question.ordered}
        indicators = {name: codes for name, codes in unordered.items() if len(codes) > 2}
        treatments = tuple(sorted(people["treatment"].unique()))
        return cls(study, treatments, tuple(field.name for field in study.persona), indicators, study.answer_columns)

    def before(self, column: str) -> tuple[str, ...]:
        """The answer columns that stand before one."""
        return self.answers[: self.answers.index(column)]

    def matrix(self, rows: pd.DataFrame, earlier: tuple[str, ...]) -> NDArray[np.float64]:
        """Treatment, persona and some earlier answers as numbers, (rows, features)."""
        given = rows["treatment"].to_numpy()
        columns = [(given == name).astype(float) for name in self.treatments[1:]]
        names = [*self.persona, *earlier]
        numbers = as_numbers(self.study, rows[names])[names].to_numpy(dtype=float).T
        for name, codes, values in zip(names, rows[names].to_numpy(dtype=float).T, numbers, strict=True):
            if name in self.indicators:
                columns += [(codes == code).astype(float) for code in self.indicators[name]]
            else:
                columns.append(values)
        return np.column_stack(columns)


class LineModel(Protocol):
    """The distribution of one line of the form."""

    def distribution(self, rows: pd.DataFrame) -> Probabilities:
        """The probability of each answer, (rows, answers), given background and earlier answers."""


class FitLine(Protocol):
    """How the models of one line are fitted."""

    def __call__(
        self, slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...]
    ) -> Sequence[LineModel]:
        """A model for each candidate setting, from some people and the folds that they are in, and from nobody else."""


@dataclass(frozen=True)
class FormModel:
    """A predictive distribution for each line of the form.

    Attributes
    ----------
    study, slots : Study, tuple of Slot
        The study and its lines.
    lines : tuple of LineModel
        Their models; None where the line follows from others.
    settings, cv_losses : dict
        For each column the setting chosen by cross-validation, and the mean loss inside the pilot, in nats a person.
    """

    study: Study
    slots: tuple[Slot, ...]
    lines: tuple[LineModel | None, ...]
    settings: dict[str, float]
    cv_losses: dict[str, float]

    @property
    def cv_loss(self) -> float:
        """The cross-validated loss of whole answers inside the pilot, in nats a person."""
        return sum(self.cv_losses.values())

    def line_distribution(self, line: int, rows: pd.DataFrame) -> Probabilities:
        """The (rows, answers) probabilities of one line, given what stands on the lines before it."""
        slot, model = self.slots[line], self.lines[line]
        left = left_of(slot, rows)
        if model is None:
            assert left is not None
            return np.asarray(np.asarray(slot.values)[None, :] == left[:, None], dtype=np.float64)
        return _among_valid(model.distribution(rows), slot.allowed(left, len(rows)))

    def line_log_distribution(self, line: int, rows: pd.DataFrame) -> Probabilities:
        """The logarithms of `line_distribution`, in nats; minus infinity where an answer is not valid."""
        with np.errstate(divide="ignore"):
            return np.log(self.line_distribution(line, rows))

    def simulate(self, people: pd.DataFrame, uniforms: NDArray[np.float64]) -> pd.DataFrame:
        """Draw answers for people, with what was expected of them (`pilotlm.predictions.expected_answers`).

        ``uniforms`` are (rows, lines) numbers in [0, 1).
        """
        distributions: dict[str, Probabilities] = {}
        rows = people.drop(columns=[slot.column for slot in self.slots], errors="ignore").reset_index(drop=True)
        for k, slot in enumerate(self.slots):
            distribution = distributions[slot.column] = self.line_distribution(k, rows)
            cumulative = np.cumsum(distribution, axis=1)
            chosen = (cumulative <= uniforms[:, k, None] * cumulative[:, -1:]).sum(axis=1)
            rows[slot.column] = np.asarray(slot.values)[np.minimum(chosen, len(slot.values) - 1)]
        return pd.concat(
            [rows[[slot.column for slot in self.slots]], expected_answers(self.study, distributions)], axis=1
        )

    def distributions(self, people: pd.DataFrame) -> dict[str, Probabilities]:
        """The distribution of each line that is asked, given people's own earlier answers."""
        asked = [k for k, line in enumerate(self.lines) if line is not None]
        return {self.slots[k].column: self.line_distribution(k, people) for k in asked}

    def log_likelihood(self, people: pd.DataFrame) -> NDArray[np.float64]:
        """The log-probability of people's own answers, (rows, lines), in nats; 0 where a line follows from others."""
        rows = np.arange(len(people))
        logs = [self.line_log_distribution(k, people)[rows, codes_of(s, people)] for k, s in enumerate(self.slots)]
        return np.stack(logs, axis=1)


@dataclass(frozen=True)
class ChosenLine:
    """A line's model, fitted on everybody given, with the setting of the smallest mean loss over all folds.

    ``losses`` holds each person's, in nats, under models fitted on the other folds with the setting that is best there:
    those of the setting chosen would be too small, the more so the more settings there are to choose from.
    """

    model: LineModel
    setting: float
    losses: NDArray[np.float64]


def folded_pilot(study: Study, people: pd.DataFrame, pilot: Pilot, seed: int) -> tuple[pd.DataFrame, Folds]:
    """A pilot's rows, in the order of ``people``, and their folds by person, shared by all baselines and candidates."""
    rows = rows_of(people, pilot.participants)
    who = pd.factorize(persons_of(rows))[0]
    return rows, draw_folds(who.max() + 1, generator(seed, study.name, "folds of the pilot"))[who]


def draw_folds(people: int, rng: np.random.Generator) -> Folds:
    """The fold of each of a pilot's people, (people,): `FOLDS` folds whose sizes differ by one at most, at random."""
    if people < 3:
        raise ValueError(f"Cross-validation needs at least 3 people, got {people}.")
    return rng.permutation(np.arange(people) % FOLDS)


def fit_lines(
    study: Study, pilot: pd.DataFrame, folds: Folds, candidates: tuple[float, ...], fit: FitLine
) -> FormModel:
    """Choose the setting of each line by cross-validation and fit it on the whole pilot.

    ``folds`` holds the (people,) folds of `draw_folds`, ``candidates`` the settings in the order in which ties are
    settled; ``fit`` fits the models of a line.
    """
    slots = slots_of(study)
    pilot = pilot.copy()  # as few blocks of memory, of which it is quick to take some people
    chosen = [None if slot.follows else fit_line(slot, pilot, folds, candidates, fit) for slot in slots]
    asked = {slot.column: line for slot, line in zip(slots, chosen, strict=True) if line is not None}
    return FormModel(
        study,
        slots,
        tuple(None if line is None else line.model for line in chosen),
        {column: line.setting for column, line in asked.items()},
        {column: float(line.losses.mean()) for column, line in asked.items()},
    )


def fit_line(slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...], fit: FitLine) -> ChosenLine:
    """Choose the setting of one line by cross-validation and fit it on all people given; parameters of `fit_lines`."""
    losses = np.empty((len(rows), len(candidates)))
    for fold in np.unique(folds):
        out = folds == fold
        models = fit(slot, rows[~out], folds[~out], candidates)
        losses[out] = _losses(slot, models, rows[out])
    best_elsewhere = np.empty(len(rows), dtype=np.int64)
    for fold in np.unique(folds):
        best_elsewhere[folds == fold] = losses[folds != fold].mean(axis=0).argmin()
    setting = candidates[int(losses.mean(axis=0).argmin())]
    (model,) = fit(slot, rows, folds, (setting,))
    return ChosenLine(model, setting, losses[np.arange(len(rows)), best_elsewhere])


def codes_of(slot: Slot, rows: pd.DataFrame) -> NDArray[np.int64]:
    """The answers of a line as places among its values, (rows,)."""
    place = {value: k for k, value in enumerate(slot.values)}
    return np.array([place[int(value)] for value in rows[slot.column]], dtype=np.int64)


def left_of(slot: Slot, rows: pd.DataFrame) -> NDArray[np.int64] | None:
    """What is left of an allocation's total, (rows,); None where the line is not a part of one."""
    if slot.total is None:
        return None
    return slot.total - rows[list(slot.spent)].sum(axis=1).to_numpy(dtype=np.int64)


def _among_valid(distribution: Probabilities, allowed: NDArray[np.bool_]) -> Probabilities:
    valid = np.where(allowed, distribution, 0.0)
    return np.asarray(valid / valid.sum(axis=1, keepdims=True))


def _losses(slot: Slot, models: Sequence[LineModel], rows: pd.DataFrame) -> NDArray[np.float64]:
    """The loss of each person's own answer under each model, (rows, models), in nats."""
    allowed, own = slot.allowed(left_of(slot, rows), len(rows)), (np.arange(len(rows)), codes_of(slot, rows))
    with np.errstate(divide="ignore"):
        return np.stack([-np.log(_among_valid(model.distribution(rows), allowed)[own]) for model in models], axis=1)
