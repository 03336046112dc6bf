"""Cell frequencies: each answer as often as in the people of the same treatment and group, shrunk to the marginals.

Where n(c, y) of the n(c) people of cell c that it is fitted on give answer y, and p(y) is the marginal law of the same
people (`pilotlm.answering.opponents.fit_marginals`), the law of the cell is (n(c, y) + k p(y)) / (n(c) + k): the
posterior mean under a Dirichlet prior worth k people. A cell that nobody of the pilot is in has the marginal law.

References
----------
Fienberg & Holland (1973), Simultaneous estimation of multinomial cell probabilities, Journal of the American
Statistical Association 68, 683-691.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pilotlm.answering.forms import Folds, FormModel, Law, LineModel, codes_of, fit_lines
from pilotlm.answering.opponents import marginal_line
from pilotlm.instrument.answers import Slot
from pilotlm.responses import subgroup_of
from pilotlm.study import Study

PRIORS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates for the number of people that the marginal law is worth."""


def fit_cells(study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """Smoothed frequencies by treatment and first subgroup, their shrinkage chosen by cross-validation.

    Parameters
    ----------
    study : Study
        The study. Its first subgroup whose variable the persona holds makes the cells, beside the treatment; a study
        without one has a cell a treatment.
    pilot : DataFrame
        The pilot's people.
    folds : (people,) int array
        The fold of each (`pilotlm.answering.forms.draw_folds`).

    Returns
    -------
    FormModel
    """

    def fit(slot: Slot, rows: pd.DataFrame, folds: Folds, candidates: tuple[float, ...]) -> list[_Cells]:
        base, cells, codes = marginal_line(slot, rows, folds), _cells(study, rows), codes_of(slot, rows)
        counts = {
            cell: np.bincount(codes[cells == cell], minlength=len(slot.values)).astype(np.float64)
            for cell in np.unique(cells)
        }
        return [_Cells(study, counts, prior, base) for prior in candidates]

    return fit_lines(study, pilot, folds, PRIORS, fit)


@dataclass(frozen=True)
class _Cells:
    study: Study
    counts: dict[str, Law]
    prior: float
    base: LineModel

    def law(self, rows: pd.DataFrame) -> Law:
        base = self.base.law(rows)
        nobody = np.zeros(base.shape[1])
        counts = np.stack([self.counts.get(cell, nobody) for cell in _cells(self.study, rows)])
        return np.asarray((counts + self.prior * base) / (counts.sum(axis=1, keepdims=True) + self.prior))


def _cells(study: Study, rows: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """The cell of each row, as a text."""
    persona = {field.name for field in study.persona}
    variable = next((s.variable for s in study.subgroups if s.variable in persona), None)
    groups = [""] * len(rows) if variable is None else subgroup_of(study, rows, variable).astype(str)
    return np.array([f"{t}\n{g}" for t, g in zip(rows["treatment"], groups, strict=True)], dtype=np.str_)
