"""The table of laws: how probable an arm held each answer of each person, given that person's own earlier answers.

One row a participant, answer column and value. The responses say what was drawn; the laws say what it was drawn from,
which is what an individual forecast is judged by. A column that follows from others (the last part of an allocation)
is not asked and has no law.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pilotlm.errors import InputError
from pilotlm.records import read_parquet, write_parquet
from pilotlm.study import Study

LAW_COLUMNS = ("participant", "column", "value", "probability")
TOLERANCE = 1e-6
"""How far the probabilities of a person and column may be from summing to 1."""


def asked_columns(study: Study) -> dict[str, tuple[int, ...]]:
    """The answer columns that are asked, in order, each with the values that an answer may have."""
    return {column: question.values for question in study.questions for column in question.asked_columns}


def expected_column(column: str, option: int | None = None) -> str:
    """The column of responses with the mean of the law that an answer was drawn from, or the chance of one option."""
    return f"expected_{column}" if option is None else f"expected_{column}_is_{option}"


def is_nominal(study: Study, column: str) -> bool:
    """Whether the values of an answer column are more than two and in no order, so that they have no mean."""
    return study.question_of(column).nominal


def expected_answers(study: Study, laws: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """What answers are worth before they are drawn: the means of the laws that they are drawn from.

    A mean over such rows has the expectation of a mean over the answers themselves, with less noise: the draw of the
    answer itself is averaged out (Rao and Blackwell), that of the answers before it is not.

    Parameters
    ----------
    study : Study
        The study.
    laws : mapping
        For each column of `asked_columns` the (rows, answers) probabilities of its values, in their order.

    Returns
    -------
    DataFrame
        A row each: `expected_column` of a column, in the unit of the numbers that its answers are worth; for one that
        `is_nominal` the chance of each option.
    """
    means: dict[str, NDArray[np.float64]] = {}
    numbers = {column: question.numbers for question in study.questions for column in question.columns}
    for column, values in asked_columns(study).items():
        law = laws[column]
        if is_nominal(study, column):
            means |= {expected_column(column, value): law[:, k] for k, value in enumerate(values)}
        else:
            means[expected_column(column)] = law @ np.asarray(numbers[column], dtype=np.float64)
    return pd.DataFrame(means)


def as_laws(study: Study, participants: ArrayLike, laws: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Put the laws of an arm in the table.

    Parameters
    ----------
    study : Study
        The study.
    participants : (rows,) int array_like
        Whose laws they are.
    laws : mapping
        For each column of `asked_columns` the (rows, answers) probabilities of its values, in their order.

    Returns
    -------
    DataFrame
        A valid table of laws.

    Raises
    ------
    InputError
        If a column is missing or unknown, a shape is wrong, or the table would not be valid; see `check_laws`.
    """
    people, asked = np.asarray(participants, dtype=np.int64), asked_columns(study)
    if list(laws) != list(asked):
        raise InputError(f"The laws are of {', '.join(laws) or 'no column'}; they must be of {', '.join(asked)}.")
    parts = []
    for column, values in asked.items():
        law = np.asarray(laws[column], dtype=np.float64)
        if law.shape != (len(people), len(values)):
            wanted = f"({len(people)}, {len(values)})"
            raise InputError(f"The law of '{column}' has the shape {law.shape}; people and values make it {wanted}.")
        long = {"participant": np.repeat(people, len(values)), "column": column, "value": np.tile(values, len(people))}
        parts.append(pd.DataFrame({**long, "probability": law.ravel()}))
    return check_laws(study, pd.concat(parts, ignore_index=True), "the laws")


def check_laws(study: Study, table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Give the table back if it holds one law for each person and column.

    Parameters
    ----------
    study : Study
        The study.
    table : DataFrame
        Columns `LAW_COLUMNS`, in any order of rows.
    where : str
        What to call the table in a message.

    Returns
    -------
    DataFrame
        The same table.

    Raises
    ------
    InputError
        If a column is missing, a person lacks an answer or has it twice, or probabilities are not in [0, 1] or do not
        sum to 1; the message names the participant and the column.
    """
    missing = [name for name in LAW_COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{where}: the laws lack the column(s) {', '.join(missing)}.")
    asked = asked_columns(study)
    unknown = sorted(set(table["column"]) - set(asked))
    if unknown:
        raise InputError(f"{where}: '{unknown[0]}' is not asked in study '{study.name}'; asked: {', '.join(asked)}.")
    everybody = set(table["participant"])
    for column, values in asked.items():
        _check_column(table[table["column"] == column], column, values, everybody, where)
    return table


def write_laws(path: Path, study: Study, table: pd.DataFrame) -> None:
    """Write laws as Parquet, whole, after checking them."""
    write_parquet(path, check_laws(study, table, str(path))[list(LAW_COLUMNS)])


def read_laws(path: Path, study: Study, made_by: str) -> pd.DataFrame:
    """Read laws and check that they belong to the study.

    Raises
    ------
    InputError
        If the file is missing, unreadable, or does not fit the study.
    """
    return check_laws(study, read_parquet(path, made_by), str(path))


def laws_of(study: Study, table: pd.DataFrame, participants: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """The laws of some people as arrays.

    Parameters
    ----------
    study : Study
        The study.
    table : DataFrame
        A valid table of laws.
    participants : (rows,) int array_like
        Whose laws are wanted.

    Returns
    -------
    dict
        Answer column, then its (rows, answers) probabilities, rows as in ``participants``.

    Raises
    ------
    InputError
        If one of them has no law in the table.
    """
    people = np.asarray(participants, dtype=np.int64)
    absent = sorted(set(people.tolist()) - set(table["participant"]))
    if absent:
        raise InputError(f"The laws lack the participant {absent[0]}.")
    found = {}
    for column, values in asked_columns(study).items():
        mine = table[table["column"] == column].pivot_table(index="participant", columns="value", values="probability")
        found[column] = mine.loc[people, list(values)].to_numpy(dtype=np.float64)
    return found


def _check_column(table: pd.DataFrame, column: str, values: tuple[int, ...], everybody: set[int], where: str) -> None:
    known = table["value"].isin(values)
    if not known.all():
        bad = table[~known].iloc[0]
        allowed = f"{values[0]} to {values[-1]}"
        raise InputError(
            f"{where}, participant {bad['participant']}, column '{column}': {bad['value']} is not allowed ({allowed})."
        )
    grouped = table.groupby("participant")
    for person in sorted(everybody - set(grouped.groups)):
        raise InputError(f"{where}: participant {person} has no law for column '{column}'.")
    outside = ~table["probability"].between(0, 1)
    wrong = {
        "a value twice or not at all": (grouped["value"].nunique() != len(values)) | (grouped.size() != len(values)),
        "a probability outside [0, 1]": outside.groupby(table["participant"]).any(),
        "probabilities that do not sum to 1": (grouped["probability"].sum() - 1).abs() > TOLERANCE,
    }
    for what, people in wrong.items():
        if people.any():
            raise InputError(f"{where}: participant {people.idxmax()}, column '{column}' has {what}.")
