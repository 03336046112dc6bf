"""The one table that everything passes through: one row a participant and draw, people and simulations alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.errors import InputError
from pilotlm.randomness import generator
from pilotlm.records import read_parquet, write_parquet
from pilotlm.study import AnyQuestion, Study

HUMAN = "human"
KEYS = ("study", "arm", "seed", "participant", "draw", "treatment")
"""The columns that say whose answers a row holds."""
PILOT = "in_pilot"
"""True where the answerer was fitted on this participant's own answers."""
PERSON, WEIGHT = "_person", "_weight"
"""Columns that tables have where the study's people have several rows each, or weights; no variable is called so."""

_ARM_AND_SEED = re.compile(r"(?P<arm>[a-z0-9_]+)-s(?P<seed>\d+)\Z")
SMALLEST_GROUP = 20
"""A subgroup with fewer people, or fewer simulated ones, is suppressed."""


def valid_mass_column(column: str) -> str:
    """The column with the probability that the model gave to valid answers of a question (of a part of it)."""
    return f"valid_mass_{column}"


def response_columns(study: Study) -> list[str]:
    """The columns that every table of responses has, in order."""
    return [*KEYS, PILOT, *(variable.name for variable in study.background), *study.answer_columns]


def persons_of(table: pd.DataFrame) -> pd.Series:
    """Who each row is of: the number of a person, which is the participant's own unless people have several rows."""
    return table[PERSON if PERSON in table.columns else "participant"]


def count_people(table: pd.DataFrame) -> int:
    """How many different people the rows are of."""
    return int(persons_of(table).nunique())


def place_in_person(table: pd.DataFrame) -> NDArray[np.int64]:
    """The place of each participant among the rows of the same person, from 0, in an order that is random and fixed."""
    if PERSON not in table.columns or table.empty:
        return np.zeros(len(table), dtype=np.int64)
    who = table["participant"].to_numpy(dtype=np.int64)
    keys = pd.Series(generator("rows of a person").random(int(who.max()) + 1)[who])
    return keys.groupby(table[PERSON].to_numpy()).rank(method="dense").to_numpy(dtype=np.int64) - 1


def one_row_each(table: pd.DataFrame) -> pd.DataFrame:
    """One random row of each person, the same wherever it is among the rows; of several draws of it all."""
    return table[place_in_person(table) == 0] if PERSON in table.columns else table


def weights_of(table: pd.DataFrame) -> NDArray[np.float64] | None:
    """The survey weights of rows, their mean 1; None where the study names none."""
    if WEIGHT not in table.columns:
        return None
    weights = table[WEIGHT].to_numpy(dtype=np.float64)
    return np.asarray(weights / weights.mean())


def as_responses(
    study: Study, people: pd.DataFrame, answers: pd.DataFrame, arm: str, seed: int, in_pilot: pd.Series
) -> pd.DataFrame:
    """Put answers beside the people whose persona and treatment they answer for.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        The participants simulated: their keys and background.
    answers : DataFrame
        Same length and order: ``draw``, the answer columns, and valid masses where the answerer knows them.
    arm, seed : str, int
        The arm's name and the seed of the run.
    in_pilot : Series of bool
        Same length: whether the answerer was fitted on that participant.
    """
    table = people.reset_index(drop=True).drop(columns=[*study.answer_columns, PILOT], errors="ignore")
    table = table.assign(arm=arm, seed=seed, **{PILOT: np.asarray(in_pilot, dtype=bool)})
    table = table.assign(**answers.reset_index(drop=True))
    extra = [column for column in table.columns if column not in response_columns(study)]
    return check_responses(study, table[[*response_columns(study), *extra]], f"arm '{arm}'")


def check_responses(study: Study, table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Give the table back if each answer in it is valid; ``where`` is what to call it in a message.

    Raises
    ------
    InputError
        If a column is missing or an answer is not among those allowed; the message names row and column.
    """
    missing = [column for column in response_columns(study) if column not in table.columns]
    if missing:
        raise InputError(f"{where}: the responses lack the column(s) {', '.join(missing)}.")
    treatments = {treatment.name for treatment in study.treatments}
    _check_allowed(table, "treatment", treatments, where)
    for question in study.questions:
        for column in question.columns:
            _check_allowed(table, column, set(question.values), where)
        if question.total is not None:
            _check_total(table, question, where)
    return table


def code_column(column: str) -> str:
    """The column with the codes of a column that `as_numbers` made numbers."""
    return f"code of {column}"


def codes_in(table: pd.DataFrame, column: str) -> pd.Series:
    """The codes of a column, whether or not the table went through `as_numbers`."""
    return table[code_column(column) if code_column(column) in table.columns else column]


def as_numbers(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Put the number that a code is worth in its place, in the columns whose options or levels have a ``value``.

    Responses hold codes, which say which option was chosen. Whatever takes an answer or a background variable for a
    number (means, differences, distances along a scale, regressions, thresholds) reads it from here. The table is a new
    one with the codes in `code_column`, and the same where no column of it has a ``value``.
    """
    added: dict[str, pd.Series] = {}
    for column, numbers in study.numbers.items():
        if column in table.columns:
            codes = codes_in(table, column)
            added |= {column: codes.map(numbers).astype(float), code_column(column): codes}
    return table.assign(**added) if added else table


def write_responses(path: Path, study: Study, table: pd.DataFrame) -> None:
    """Write responses as Parquet, whole, after checking them."""
    write_parquet(path, check_responses(study, table, str(path)))


def read_responses(path: Path, study: Study, made_by: str) -> pd.DataFrame:
    """Read responses and check that they are those of the study, and of the arm and seed that the file's name says."""
    table = check_responses(study, read_parquet(path, made_by), str(path))
    named = _ARM_AND_SEED.match(path.stem)
    wanted = (study.name, named["arm"], int(named["seed"])) if named else (study.name, HUMAN, 0)
    found = [tuple(row) for row in table[["study", "arm", "seed"]].drop_duplicates().to_numpy()]
    # Free text of which not one form could be read leaves an arm without rows; people there always are.
    unread = named is not None and not found
    if found != [wanted] and not unread:
        given = "nothing" if not found else f"study {found[0][0]!r}, arm {found[0][1]!r}, seed {found[0][2]!r}"
        raise InputError(
            f"{path} holds the answers of {given}, not of study '{wanted[0]}', arm '{wanted[1]}', seed {wanted[2]}; "
            f"remove it, and {made_by} makes it anew."
        )
    twice = table.duplicated(["participant", "draw"])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        person = f"participant {table['participant'].iloc[row]}, draw {table['draw'].iloc[row]}"
        raise InputError(f"{path}, row {row + 1}: {person} appears twice; remove it, and {made_by} makes it anew.")
    return table


def with_analysis_columns(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Make of responses what the regressions use: numbers, design variables of the treatments, derived variables."""
    codes = {treatment.name: treatment.codes for treatment in study.treatments}
    added = as_numbers(study, table).copy()
    for column in study.design_columns:
        added[column] = table["treatment"].map({name: code[column] for name, code in codes.items()}).astype(float)
    for derived in study.derived:
        values = added[list(derived.of)].astype(float)
        if derived.at_least is None:
            added[derived.name] = values.mean(axis=1)
        else:
            added[derived.name] = (values >= derived.at_least).any(axis=1).astype(float)
    return added


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries, by column."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def subgroup_of(study: Study, table: pd.DataFrame, variable: str) -> pd.Series:
    """The name of the subgroup of each row; missing where a row belongs to none."""
    subgroup = next(s for s in study.subgroups if s.variable == variable)
    if subgroup.cuts:
        values = as_numbers(study, table)[variable]
        edges = [-np.inf, *subgroup.cuts, np.inf]
        first, last = f"under {subgroup.cuts[0]:g}", f"{subgroup.cuts[-1]:g} and over"
        middle = [f"{low:g} to under {high:g}" for low, high in zip(subgroup.cuts[:-1], subgroup.cuts[1:], strict=True)]
        return pd.cut(values, edges, right=False, labels=[first, *middle, last]).astype(object)
    levels = next(v for v in study.background if v.name == variable).levels or ()
    groups = subgroup.groups or {level.text: (level.code,) for level in levels}
    names = {code: name for name, members in groups.items() for code in members}
    return codes_in(table, variable).map(names)


def _check_allowed(table: pd.DataFrame, column: str, allowed: set[int] | set[str], where: str) -> None:
    bad = ~table[column].isin(allowed)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        shown = sorted(allowed)
        listed = ", ".join(map(str, shown)) if len(shown) <= 12 else f"{shown[0]}, {shown[1]}, ..., {shown[-1]}"
        given = f"{where}, row {row + 1}, column '{column}': {str(table[column].iloc[row])!r}"
        raise InputError(f"{given} is not allowed; allowed: {listed}.")


def _check_total(table: pd.DataFrame, question: AnyQuestion, where: str) -> None:
    totals = table[list(question.columns)].sum(axis=1)
    bad = totals != question.total
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        found = f"the parts of '{question.name}' sum to {totals.iloc[row]:g}"
        raise InputError(f"{where}, row {row + 1}: {found}, not to {question.total}.")
