"""Valid answers: the lines of the answer form, what may stand on each, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotlm.study import AnyQuestion, Study


@dataclass(frozen=True)
class Slot:
    """One line of the answer form.

    Attributes
    ----------
    column : str
        Its column in the responses.
    label : str
        What stands before the answer.
    values : tuple of int
        The values that an answer may stand for, in order.
    texts : tuple of str
        Same length: how each is written.
    spent : tuple of str
        For a part of an allocation: the columns of the earlier parts.
    total : int or None
        For a part of an allocation: what the parts sum to.
    follows : bool
        True for the last part of an allocation, which is what is left and is not asked.
    """

    column: str
    label: str
    values: tuple[int, ...]
    texts: tuple[str, ...]
    spent: tuple[str, ...] = ()
    total: int | None = None
    follows: bool = False

    def allowed(self, left: NDArray[np.int64] | None, rows: int) -> NDArray[np.bool_]:
        """Which answers are valid for each row."""
        if left is None:
            return np.ones((rows, len(self.values)), dtype=bool)
        return np.asarray(self.values)[None, :] <= left[:, None]


def slots_of(study: Study) -> tuple[Slot, ...]:
    """The lines of a study's answer form, in the order asked."""
    return tuple(slot for question in study.questions for slot in _slots(question))


def _slots(question: AnyQuestion) -> Iterator[Slot]:
    columns = question.columns
    for k, (column, label) in enumerate(zip(columns, question.form_labels, strict=True)):
        follows = column not in question.asked_columns
        yield Slot(column, label, question.values, question.written, columns[:k], question.total, follows)
