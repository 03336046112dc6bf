"""The table of predictive distributions: how probable an arm held each answer of each person.

One row a participant, answer column and value, given that person's own earlier answers. The responses say what was
drawn; the distributions say what it was drawn from, which is what an individual forecast is judged by. A column that
follows from others (the last part of an allocation) is not asked and has no distribution.
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

PREDICTION_COLUMNS = ("participant", "column", "value", "probability")
TOLERANCE = 1e-6
"""How far the probabilities of a person and column may be from summing to 1."""


def asked_columns(study: Study) -> dict[str, tuple[int, ...]]:
    """The answer columns that are asked, in order, each with the values that an answer may have."""
    return {column: question.values for question in study.questions for column in question.asked_columns}


def expected_column(column: str, option: int | None = None) -> str:
    """The column with the mean of the distribution that an answer was drawn from, or the chance of one option."""
    return f"expected_{column}" if option is None else f"expected_{column}_is_{option}"


def is_nominal(study: Study, column: str) -> bool:
    """Whether the values of an answer column are more than two and in no order, so that they have no mean."""
    return study.question_of(column).nominal


def expected_answers(study: Study, distributions: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """What answers are worth before they are drawn: the means of the distributions that they are drawn from.

    A mean over such rows has the expectation of a mean over the answers themselves, with less noise: the draw of the
    answer itself is averaged out (Rao and Blackwell), that of the answers before it is not.

    ``distributions`` holds for each column of `asked_columns` the (rows, answers) probabilities of its values, in their
    order. The table has for each column its `expected_column`, in the unit of the numbers that its answers are worth,
    or for one that `is_nominal` the chance of each option.
    """
    means: dict[str, NDArray[np.float64]] = {}
    for column, values in asked_columns(study).items():
        distribution = distributions[column]
        if is_nominal(study, column):
            means |= {expected_column(column, value): distribution[:, k] for k, value in enumerate(values)}
        else:
            numbers = study.question_of(column).numbers
            means[expected_column(column)] = distribution @ np.asarray(numbers, dtype=np.float64)
    return pd.DataFrame(means)


def as_predictions(study: Study, participants: ArrayLike, distributions: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Put the distributions of an arm in the table."""
    people, asked = np.asarray(participants, dtype=np.int64), asked_columns(study)
    if list(distributions) != list(asked):
        raise InputError(
            f"The distributions are of {', '.join(distributions) or 'no column'}; they must be of {', '.join(asked)}."
        )
    parts = []
    for column, values in asked.items():
        distribution = np.asarray(distributions[column], dtype=np.float64)
        if distribution.shape != (len(people), len(values)):
            wanted = f"({len(people)}, {len(values)})"
            raise InputError(
                f"The distribution of '{column}' has the shape {distribution.shape}, not {wanted} (people, values)."
            )
        long = {"participant": np.repeat(people, len(values)), "column": column, "value": np.tile(values, len(people))}
        parts.append(pd.DataFrame({**long, "probability": distribution.ravel()}))
    return check_predictions(study, pd.concat(parts, ignore_index=True), "the distributions")


def check_predictions(study: Study, table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Give the table back if it holds one distribution for each person and column."""
    missing = [name for name in PREDICTION_COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{where}: the distributions lack the column(s) {', '.join(missing)}.")
    asked = asked_columns(study)
    unknown = sorted(set(table["column"]) - set(asked))
    if unknown:
        raise InputError(f"{where}: '{unknown[0]}' is not asked in study '{study.name}'; asked: {', '.join(asked)}.")
    everybody = set(table["participant"])
    for column, values in asked.items():
        _check_column(table[table["column"] == column], column, values, everybody, where)
    return table


def write_predictions(path: Path, study: Study, table: pd.DataFrame) -> None:
    """Write distributions as Parquet, whole, after checking them."""
    write_parquet(path, check_predictions(study, table, str(path))[list(PREDICTION_COLUMNS)])


def read_predictions(path: Path, study: Study, made_by: str) -> pd.DataFrame:
    """Read distributions and check that they belong to the study."""
    return check_predictions(study, read_parquet(path, made_by), str(path))


def predictions_of(study: Study, table: pd.DataFrame, participants: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """The distributions of some people as arrays."""
    people = np.asarray(participants, dtype=np.int64)
    absent = sorted(set(people.tolist()) - set(table["participant"]))
    if absent:
        raise InputError(f"The distributions lack the participant {absent[0]}.")
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
        raise InputError(f"{where}: participant {person} has no distribution for column '{column}'.")
    outside = ~table["probability"].between(0, 1)
    wrong = {
        "a value twice or not at all": (grouped["value"].nunique() != len(values)) | (grouped.size() != len(values)),
        "a probability outside [0, 1]": outside.groupby(table["participant"]).any(),
        "probabilities that do not sum to 1": (grouped["probability"].sum() - 1).abs() > TOLERANCE,
    }
    for what, people in wrong.items():
        if people.any():
            raise InputError(f"{where}: participant {people.idxmax()}, column '{column}' has {what}.")
