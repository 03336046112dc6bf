"""Rows as numbers for a classifier: answers, persona, treatment, and what goes with what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.responses import as_numbers
from pilotlm.study import Study, Variable

FloatArray = NDArray[np.float64]


def features_of(study: Study, tables: Sequence[pd.DataFrame]) -> list[FloatArray]:
    """The features of several tables of responses: the same columns for all.

    - each answer as 0 or 1 for each of its values, so that any difference of a margin can be seen;
    - answers as numbers where they are in an order, else as indicators; persona and treatment likewise;
    - the products of every two of those answers, and of each with each of persona and treatment, so that answers that
      do not fit together, or not the persona, can be seen.

    Parameters
    ----------
    study : Study
        The study.
    tables : sequence of DataFrame
        Responses, or people. Before they are multiplied, numbers are centred and scaled as the first table, people's,
        has them, so that an arm's features do not depend on what it is compared with.

    Returns
    -------
    list of (rows, p) arrays
        One a table.
    """
    together = pd.concat([table[_columns(study)] for table in tables], ignore_index=True)
    answers = _standardised(_answers(study, together), len(tables[0]))
    beside = _standardised(_background(study, together), len(tables[0]))
    first, second = np.triu_indices(answers.shape[1], 1)
    among = answers[:, first] * answers[:, second]
    across = (answers[:, :, None] * beside[:, None, :]).reshape(len(answers), -1)
    features = np.hstack([_indicators(study, together), answers, beside, among, across])
    return np.split(features, np.cumsum([len(table) for table in tables])[:-1])


def _columns(study: Study) -> list[str]:
    return [*study.answer_columns, *(field.name for field in study.persona), "treatment"]


def _indicators(study: Study, table: pd.DataFrame) -> FloatArray:
    return np.stack(
        [table[column] == value for q in study.questions for column in q.columns for value in q.values], axis=1
    ).astype(float)


def _answers(study: Study, table: pd.DataFrame) -> FloatArray:
    columns: list[pd.Series] = []
    numbers = as_numbers(study, table)
    for question in study.questions:
        if question.ordered:
            columns += [numbers[column] for column in question.columns]
        else:
            columns += [table[question.name] == value for value in question.values[1:]]
    return np.stack(columns, axis=1).astype(float)


def _background(study: Study, table: pd.DataFrame) -> FloatArray:
    numbers = as_numbers(study, table)
    columns = [column for field in study.persona for column in _coded(field, table, numbers)]
    columns += [table["treatment"] == treatment.name for treatment in study.treatments[1:]]
    return np.stack(columns, axis=1).astype(float)


def _coded(field: Variable, table: pd.DataFrame, numbers: pd.DataFrame) -> list[pd.Series]:
    if field.levels is None or field.ordered:
        return [numbers[field.name]]
    return [table[field.name] == level.code for level in field.levels[1:]]


def _standardised(columns: FloatArray, first: int) -> FloatArray:
    """With the mean and the spread of the first rows."""
    centre, spread = columns[:first].mean(axis=0), columns[:first].std(axis=0)
    return np.asarray((columns - centre) / np.where(spread > 0, spread, 1.0))
