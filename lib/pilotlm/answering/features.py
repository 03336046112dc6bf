"""How rows become numbers for the baselines: treatment, persona and earlier answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.responses import as_numbers
from pilotlm.study import Study


@dataclass(frozen=True)
class Features:
    """More than two levels without an order as indicators, everything else as the number that it is worth.

    Attributes
    ----------
    study : Study
        The study.
    treatments : tuple of str
        Those that the pilot's people were given; the first has no indicator.
    persona : tuple of str
        The persona fields.
    indicators : dict
        Column, then its codes, for what becomes indicators.
    answers : tuple of str
        All answer columns, in the order asked.
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
