"""Exact distributions of answers, in place of draws: what is computed from them carries no sampling noise."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.answering.encoding import Encoder
from pilotlm.answering.filling import Choose
from pilotlm.answering.respondent import Progress, Respondent
from pilotlm.answering.sampling import Reweigh, given_law, tempered
from pilotlm.errors import InputError
from pilotlm.laws import as_laws

MOST_WAYS = 5000
"""Ways to answer the questions before one, beyond which its law is not summed over them."""


def question_law(
    answering: Respondent, people: pd.DataFrame, column: str, batch: int = 32, progress: Progress | None = None
) -> pd.DataFrame:
    """The exact law of one question, whatever was answered before it: the sum over all ways to get there.

    Parameters
    ----------
    answering : Respondent
        Whose law it is.
    people : DataFrame
        Participants: ``treatment`` and the persona fields; their answers, if any, are not looked at.
    column : str
        The answer's column.
    batch : int
        How many rows are read at a time; a participant has one for each way to answer what comes before.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    DataFrame
        A row a participant, a column a value; rows sum to 1.

    Raises
    ------
    InputError
        If there is no such column, or there are more than `MOST_WAYS` ways to answer the questions before it.
    """
    encoder = answering.encoder
    columns = [encoded.slot.column for encoded in encoder.slots]
    if column not in columns:
        raise InputError(f"Study '{encoder.study.name}' has no answer '{column}'; it has {', '.join(columns)}.")
    line = columns.index(column)
    ways = _ways(encoder, line, column)
    rows = people.iloc[np.repeat(np.arange(len(people)), len(ways))].reset_index(drop=True)
    given = np.tile(ways, (len(people), 1))

    def chooser(some: NDArray[np.int64]) -> Choose:
        # At the question itself anything may be chosen: nothing comes after it.
        return lambda at, law, values: given[some, at] if at < line else np.zeros(len(some), dtype=np.int64)

    filled = answering.fill(rows, chooser, batch, progress, lines=line + 1)
    weight = np.exp(filled.log_probability[:, :line].sum(axis=1))
    law = (weight[:, None] * np.exp(filled.laws[line])).reshape(len(people), len(ways), -1).sum(axis=1)
    # Equal states read beside others differ in the seventh digit, and with them the weights of the ways.
    law /= law.sum(axis=1, keepdims=True)
    return pd.DataFrame(law, index=people.index, columns=list(encoder.slots[line].slot.values))


def law_table(
    answering: Respondent,
    people: pd.DataFrame,
    *,
    temperature: float = 1.0,
    batch: int = 32,
    reweigh: Reweigh | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The exact law of every question, given what each person answered to the questions before it.

    Parameters
    ----------
    answering : Respondent
        Whose law it is.
    people : DataFrame
        Participants with their answers.
    temperature : float
        As in `pilotlm.answering.sampling.simulate`, above 0.
    batch : int
        How many participants are read at a time.
    reweigh : callable, optional
        As in `pilotlm.answering.sampling.answer_as`.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    DataFrame
        A table of laws; see `pilotlm.laws`.
    """
    filled = given_law(answering, people, batch, progress)
    rows, laws = np.arange(len(people)), {}
    for line, (encoded, law) in enumerate(zip(answering.encoder.slots, filled.laws, strict=True)):
        if not encoded.slot.follows:
            weights = law if reweigh is None else reweigh(line, law, filled.values, rows)
            laws[encoded.slot.column] = np.exp(tempered(weights, temperature))
    return as_laws(answering.encoder.study, people["participant"], laws)


def _ways(encoder: Encoder, line: int, column: str) -> NDArray[np.int64]:
    """The ways to answer the lines before one, as places among each line's answers: a (ways, lines) array."""
    slots = [encoded.slot for encoded in encoder.slots[:line]]
    count = int(np.prod([len(slot.values) for slot in slots if not slot.follows], dtype=float))
    if count > MOST_WAYS * 50:
        raise InputError(
            f"There are {count} ways to answer what comes before '{column}'; at most {MOST_WAYS} are read."
        )
    found = []
    for way in itertools.product(*(range(1 if slot.follows else len(slot.values)) for slot in slots)):
        values: dict[str, int] = {}
        for slot, place in zip(slots, way, strict=True):
            left = None if slot.total is None else slot.total - sum(values[name] for name in slot.spent)
            values[slot.column] = left if slot.follows and left is not None else slot.values[place]
            if left is not None and values[slot.column] > left:
                break
        else:
            found.append(way)
    if len(found) > MOST_WAYS:
        raise InputError(
            f"There are {len(found)} ways to answer what comes before '{column}'; at most {MOST_WAYS} are read."
        )
    return np.array(found, dtype=np.int64).reshape(len(found), line)
