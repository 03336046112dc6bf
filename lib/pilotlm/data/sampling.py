"""Who a row is of and what it weighs: the columns that a study names as ``participant`` and ``weight``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.errors import InputError
from pilotlm.responses import PERSON, WEIGHT, count_people, one_row_each, weights_of
from pilotlm.study import Study


def sampling_columns(
    study: Study, cells_of: Callable[[str, str], pd.Series], missing: set[str], where: str
) -> dict[str, pd.Series]:
    """The columns `PERSON` and `WEIGHT` of the raw rows, where the study names them; nan where a cell is missing.

    Parameters
    ----------
    study : Study
        The study.
    cells_of : callable
        Given the name of a column and of the key that needs it, the column's cells as `cell_key` writes them.
    missing : set of str
        The codes for missing answers, written likewise.
    where : str
        What to call the file in a message.

    Raises
    ------
    InputError
        If a weight is not a number of at least 0.
    """
    found = {}
    for key, column, read in (("participant", study.participant, _numbered), ("weight", study.weight, _weights)):
        if column is not None:
            cells = cells_of(column, key)
            cells = cells.where(~cells.isin({"", *missing}))
            found[PERSON if key == "participant" else WEIGHT] = read(cells, f"{where}, row {{row}}, column '{column}'")
    return found


def with_sampling(people: pd.DataFrame, extra: dict[str, pd.Series]) -> pd.DataFrame:
    """People with those columns for the rows that are kept; nobody is told apart where nobody has several rows."""
    extra = dict(extra)
    if PERSON in extra:
        numbers = pd.factorize(extra[PERSON])[0] + 1
        extra[PERSON] = pd.Series(numbers, index=extra[PERSON].index, dtype="int64")
        if extra[PERSON].is_unique:
            del extra[PERSON]
    return people.assign(**{name: column.to_numpy() for name, column in extra.items()})


def _numbered(ids: pd.Series, where: str) -> pd.Series:
    codes = pd.factorize(ids)[0]
    return pd.Series(codes, index=ids.index, dtype=float).where(codes >= 0)


def _weights(cells: pd.Series, where: str) -> pd.Series:
    weights = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = cells.notna() & ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(str(wrong.idxmax()))
        raise InputError(
            f"{where.format(row=row + 1)}: {cells.loc[row]!r} is no weight; allowed: numbers above 0, and 0 for rows "
            "that are left out (list a code for a missing weight under 'missing')."
        )
    return weights


_ALL_ROWS = ("regression", "rectification", "decision")
"""The analyses of all rows of a person; the others take one random row of each."""
_WEIGHTED = {
    "prepare": "Means and shares",
    "divergence": "Distances of single answers",
    "subgroups": "Distances",
    "rectification": "Targets",
    "decision": "Targets",
}
_NOT_WEIGHTED = {
    "divergence": "; joint distances are not weighted",
    "decision": ", with robust errors; the joint distance is not weighted",
    "rectification": ", with robust errors",
}


def takes_all_rows(stage: str) -> bool:
    """Whether an analysis takes all rows of a person, its errors clustered; the others take one random row of each."""
    return stage in _ALL_ROWS


def sampling_note(study: Study, people: pd.DataFrame, stage: str) -> str:
    """What the page of a stage must say of people with several rows, and of weights; "" where there are neither."""
    parts, n = [], count_people(people)
    if PERSON in people.columns:
        whose = f"The {len(people):,} rows are of {n:,} people (column '{study.participant}')"
        if stage == "prepare":
            parts.append(f"{whose}: a pilot is drawn, and every later n counted, by person.")
        elif takes_all_rows(stage):
            scored = " Estimators are scored on one random row of each." if stage == "rectification" else ""
            parts.append(f"{whose}: errors are clustered by person, and every n counts people.{scored}")
        else:
            parts.append(f"{whose}: one random row of each is analysed here.")
    if (weights := weights_of(one_row_each(people))) is not None:
        if stage in _WEIGHTED:
            known = f"an effective n of {effective_n(weights):,.0f} of {len(weights):,}"
            what = f"{_WEIGHTED[stage]} are weighted by '{study.weight}' ({known})"
            parts.append(f"{what}{_NOT_WEIGHTED.get(stage, '')}.")
        else:
            parts.append(f"Numbers on this page are of the sample: they are not weighted by '{study.weight}'.")
    return " ".join(parts)


def dropped_note(rows: int, lacking: Mapping[str, int], left_out: Mapping[str, int]) -> str:
    """Which of so many rows lack a value, and which ``keep`` leaves out, by column; "" where none."""
    parts = []
    for what, counts in (("left out by 'keep'", left_out), ("dropped because a value is missing", lacking)):
        found = sorted(((count, name) for name, count in counts.items() if count), reverse=True)
        by_column = ", ".join(f"'{name}' in {count:,}" for count, name in found)
        parts += [f"Of {rows:,} rows read some are {what}: {by_column}."] if by_column else []
    return " ".join(parts)


def effective_n(weights: NDArray[np.float64]) -> float:
    """Kish's effective sample size of rows with survey weights, (sum w)² / sum w² (Kish 1965, Survey Sampling)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())
