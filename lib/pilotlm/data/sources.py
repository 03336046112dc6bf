"""From the raw file of a study to its people: each answer recoded by an explicit mapping, or an error that names it."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from pilotlm.data.sampling import sampling_columns, with_sampling
from pilotlm.data.synthetic import GENERATORS
from pilotlm.errors import InputError, nearest
from pilotlm.randomness import numbered
from pilotlm.records import Places, cache_folder, file_sha256, table_sha256
from pilotlm.responses import HUMAN, PERSON, PILOT, WEIGHT, check_responses, read_responses, response_columns
from pilotlm.study import (
    Download,
    Generated,
    Level,
    LocalFile,
    PackageFile,
    Raw,
    Study,
    Treatment,
    Variable,
)

WHITESPACE = "whitespace"
"""The ``separator`` of files whose columns are separated by any number of blanks."""

MOST_DATA_ROWS = 1_000_000
MOST_DATA_BYTES = 200_000_000
"""Larger files are refused before they are read: their cells are held as text, about ten times the bytes."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+\Z", re.ASCII)
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


@dataclass(frozen=True)
class People:
    """The people of a study.

    Attributes
    ----------
    table : DataFrame
        Their responses, arm ``human``; ``participant`` is the row of the data file, counted from 1.
    sha256 : str
        Of the raw data.
    rows_read, rows_dropped : int
        Rows of the raw data, and how many of them are left out.
    where : str
        Where the raw data came from.
    dropped : dict
        Why rows are left out: a column of the data file, and how many rows lack it; a row may lack several.
    """

    table: pd.DataFrame
    sha256: str
    rows_read: int
    rows_dropped: int
    where: str
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _RawTable:
    """The raw data as text, one column a name; ``where`` is how messages call it, ``origin`` what a manifest says."""

    cells: pd.DataFrame
    sha256: str
    where: str
    origin: str


@dataclass(frozen=True)
class _Column:
    """A column to read: ``codes`` from raw value to number for a category, ``accepts`` for a plain number."""

    name: str
    source: str
    allowed: str
    codes: dict[str, int] | None = None
    accepts: Callable[[float], bool] = lambda number: True
    whole: bool = True


def load_people(study: Study) -> People:
    """Read, recode and check the people of a study; one who has several rows, or a weight, is told by extra columns.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    People

    Raises
    ------
    InputError
        If the data are missing, are not those that the study was written for, or hold a value that it does not allow.
    """
    raw = _read_source(study)
    missing = {key for value in study.missing for key in _keys(value)}
    columns = list(_columns(study, raw.where))
    treatment = _treatments(study, raw, missing)
    values = {column.name: _recode(column, raw, missing) for column in columns}
    table = pd.DataFrame(values)
    extra = sampling_columns(study, lambda name, key: _cells(raw, name, f"'{key}'").map(cell_key), missing, raw.where)
    lacks = {column.source: table[column.name].isna() for column in columns}
    lacks[", ".join(dict.fromkeys(name for t in study.treatments for name in t.when))] = treatment.isna()
    lacks |= {name: extra[key].isna() for key, name in ((PERSON, study.participant), (WEIGHT, study.weight)) if name}
    if WEIGHT in extra:
        lacks[f"{study.weight} above 0"] = extra[WEIGHT] == 0
    complete = ~pd.DataFrame(lacks).any(axis=1)
    _check_allocations(study, table[complete], raw.where)
    if not complete.any():
        raise InputError(f"{raw.where}: no row has a value in every column that study '{study.name}' uses.")
    people = _as_people(study, table[complete], treatment[complete], columns)
    people = with_sampling(people, {name: column[complete] for name, column in extra.items()})
    dropped = {name: int(rows.sum()) for name, rows in lacks.items() if rows.any()}
    return People(people, raw.sha256, len(table), int((~complete).sum()), raw.origin, dropped)


def people_of(study: Study, places: Places) -> pd.DataFrame:
    """The people of a study: as the stage "prepare" wrote them, or read from their source."""
    if places.people.is_file():
        return read_responses(places.people, study, "the notebook 01-prepare")
    return load_people(study).table


def _as_people(study: Study, table: pd.DataFrame, treatment: pd.Series, columns: list[_Column]) -> pd.DataFrame:
    keys = pd.DataFrame({"participant": table.index.to_numpy(dtype=np.int64) + 1, "treatment": treatment.astype(str)})
    keys = keys.assign(study=study.name, arm=HUMAN, seed=0, draw=0, **{PILOT: False})
    whole = {c.name: "int64" for c in columns if c.whole or (table[c.name] == table[c.name].round()).all()}
    joined = pd.concat([keys.set_index(table.index), table.astype(whole)], axis="columns")
    people = joined[response_columns(study)].reset_index(drop=True)
    return check_responses(study, people, f"study '{study.name}'")


# Where the raw data come from.


def _read_source(study: Study) -> _RawTable:
    source = study.source
    if isinstance(source, Generated):
        return _generated(source)
    if isinstance(source, PackageFile):
        path, origin = _package_file(source)
    elif isinstance(source, Download):
        path, origin = _downloaded(study, source)
    else:
        path, origin = _local_file(study, source)
    return _RawTable(read_text_table(path, source.separator), file_sha256(path), str(path), origin)


def _generated(source: Generated) -> _RawTable:
    if source.generator not in GENERATORS:
        raise InputError(f"There is no generator '{source.generator}'; {nearest(source.generator, GENERATORS)}.")
    drawn = GENERATORS[source.generator](source.n, numbered(source.seed))
    where = f"generator '{source.generator}', n {source.n}, seed {source.seed}"
    return _RawTable(drawn.astype(str), table_sha256(drawn), where, where)


def _package_file(source: PackageFile) -> tuple[Path, str]:
    spec = importlib.util.find_spec(source.package) if source.package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"The data lie in the package '{source.package}', which is not installed; "
            "install the version that requirements.lock names."
        )
    try:
        version = importlib.metadata.version(source.package)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    path = Path(next(iter(spec.submodule_search_locations))) / source.file
    found = f"the installed package {source.package} {version}"
    if not path.is_file():
        raise InputError(f"There is no '{source.file}' in {found}; install the version that requirements.lock names.")
    advice = "install the version that requirements.lock names"
    _check_sha256(path, source.sha256, f"'{source.file}' in {found}", advice)
    return path, f"{source.package} {version}, {source.file}"


def _downloaded(study: Study, source: Download) -> tuple[Path, str]:
    named = os.environ.get("PILOTLM_DATA")
    looked = [Path(named).expanduser() / place / source.file for place in (study.name, "")] if named else []
    for path in looked:
        if path.is_file():
            _check_sha256(path, source.sha256, str(path), "take the file of the study's card, or unset PILOTLM_DATA")
            return path, f"{source.file} in the folder that PILOTLM_DATA names (published at {source.url})"
    return _fetch(study, source, looked), source.url


def _fetch(study: Study, source: Download, looked: list[Path]) -> Path:
    """The file from the cache, or from its address."""
    # Only a study that is downloaded needs pooch.
    import pooch

    folder = cache_folder() / "data" / study.name
    level = pooch.get_logger().level
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        found = pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=source.file,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=60),
        )
    except (OSError, ValueError) as error:
        sought = f" (looked for {' and '.join(map(str, looked))})" if looked else ""
        reason = "what came has another sha256" if "hash" in str(error) else type(error).__name__
        raise InputError(
            f"Study '{study.name}' could not download {source.url} ({reason}); it needs the network, or a folder "
            f"named by PILOTLM_DATA that holds {study.name}/{source.file}{sought}."
        ) from None
    finally:
        pooch.get_logger().setLevel(level)
    return Path(found)


def _local_file(study: Study, source: LocalFile) -> tuple[Path, str]:
    path = study.folder / Path(source.file).expanduser()
    if not path.is_file():
        advice = " ".join(source.how_to_get.split()).rstrip(".") or "put it there, or correct 'file' in the study file"
        raise InputError(f"Study '{study.name}' needs the file {path}, which is not there; {advice}.")
    return path, source.file


def _check_sha256(path: Path, wanted: str, what: str, advice: str) -> None:
    found = file_sha256(path)
    if found != wanted.lower():
        raise InputError(
            f"{what} is not the file that the study was written for (sha256 {found[:12]}..., allowed: "
            f"{wanted[:12]}...); {advice}."
        )


# Reading the raw table, as text.


def read_text_table(path: Path, separator: str) -> pd.DataFrame:
    """The cells of a delimited text file, as text; the column names without quotes and blanks."""
    try:
        filled = (row for row in split_rows(path, separator) if any(cell.strip() for cell in row))
        rows = list(islice(filled, MOST_DATA_ROWS + 2))
    except csv.Error as error:
        raise InputError(f"{path} is not well-formed CSV ({error}); check its quotes.") from None
    if len(rows) > MOST_DATA_ROWS + 1:
        raise InputError(f"{path} has more than {MOST_DATA_ROWS} rows of data; draw a sample of them.")
    if len(rows) < 2:
        raise InputError(f"{path} has no rows of data; a line of column names and a line for each person are needed.")
    names = [name.strip().strip("'\"").strip() for name in rows[0]]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column name '{twice[0]}' stands more than once; rename one of the columns.")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise InputError(
                f"{path}, row {number}: {len(row)} cells, but there are {len(names)} column names; "
                f"check the quotes and the 'separator' (now {separator!r})."
            )
    # Columns without a name are row numbers; nothing can refer to them.
    return pd.DataFrame({name: [row[i].strip() for row in rows[1:]] for i, name in enumerate(names) if name}, dtype=str)


def split_rows(path: Path, separator: str) -> Iterator[list[str]]:
    """The cells of a delimited text file, row by row."""
    if path.stat().st_size > MOST_DATA_BYTES:
        size = f"{path.stat().st_size / 1e6:.0f} MB"
        raise InputError(
            f"{path} has {size}, at most {MOST_DATA_BYTES / 1e6:g} MB are allowed; keep fewer rows or columns."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save the table as CSV in UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{path} is not a text file; save the table as CSV in UTF-8.")
    if separator == WHITESPACE:
        return (line.split() for line in text.splitlines())
    if len(separator) != 1:
        raise InputError(
            f"{path}: the separator {separator!r} is not allowed; allowed: one character such as ',' ';' '\\t', "
            f"or the word {WHITESPACE}."
        )
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _cells(raw: _RawTable, source: str, needed_by: str) -> pd.Series:
    if source not in raw.cells.columns:
        single = "; it has a single column, so check 'separator'" if raw.cells.shape[1] == 1 else ""
        raise InputError(
            f"{raw.where} has no column '{source}', which {needed_by} needs; "
            f"{nearest(source, raw.cells.columns)}{single}."
        )
    return raw.cells[source]


# What each column may hold.


def _columns(study: Study, where: str) -> Iterator[_Column]:
    for variable in study.background:
        yield _variable_column(variable, where)
    for question in study.questions:
        for name, source in question.source_columns.items():
            if question.options:
                yield _category(name, source, question.options, where)
            else:
                yield _grid(name, source, question.values)


def _variable_column(variable: Variable, where: str) -> _Column:
    if variable.levels is not None:
        return _category(variable.name, variable.source_column, variable.levels, where)
    low, high = variable.range or (-np.inf, np.inf)
    allowed = f"a number from {low:g} to {high:g}"
    return _Column(variable.name, variable.source_column, allowed, accepts=lambda x: low <= x <= high, whole=False)


def _category(name: str, source: str, levels: tuple[Level, ...], where: str) -> _Column:
    codes: dict[str, int] = {}
    for level in levels:
        for key in _keys(level.raw_value):
            if codes.setdefault(key, level.code) != level.code:
                raise InputError(f"{where}: two levels of '{name}' have the same raw value {level.raw_value!r}.")
    return _Column(name, source, ", ".join(str(level.raw_value) for level in levels), codes)


def _grid(name: str, source: str, values: tuple[int, ...]) -> _Column:
    allowed = set(values)
    step = values[1] - values[0]
    shown = f"whole numbers from {values[0]} to {values[-1]}" + (f" in steps of {step}" if step > 1 else "")
    return _Column(name, source, shown, accepts=lambda number: number in allowed)


def _keys(value: Raw) -> tuple[str, ...]:
    """The forms in which a raw value may stand in a cell; '1', 1 and 1.0 are the same."""
    if isinstance(value, bool):
        # YAML reads a bare yes or no as true or false.
        words = _TRUE if value else _FALSE
        return tuple(cell_key(form) for word in words for form in (word, word.title(), word.upper()))
    return (cell_key(str(value)),)


def cell_key(cell: str) -> str:
    """What a cell says whatever its form: '1', '1.0' and ' 1' are the same."""
    text = cell.strip()
    return repr(float(text) + 0.0) if _NUMBER.match(text) else text


# Recoding.


def _recode(column: _Column, raw: _RawTable, missing: set[str]) -> pd.Series:
    """The numbers of a column; not-a-number where the cell is empty or holds a code for missing."""
    cells = _cells(raw, column.source, f"'{column.name}'")
    mapping = {cell: _value(column, cell, missing) for cell in cells.unique()}
    for row, cell in enumerate(cells, start=1):
        problem = mapping[cell]
        if isinstance(problem, str):
            raise InputError(f"{raw.where}, row {row}, column '{column.source}': {problem}.")
    return cells.map(mapping).astype(float)


def _value(column: _Column, cell: str, missing: set[str]) -> float | str:
    """The number that a cell stands for, or what is wrong with it."""
    key = cell_key(cell)
    if not cell.strip():
        return np.nan
    if column.codes is not None:
        known = key in column.codes
        number = float(column.codes[key]) if known else np.nan
    else:
        number = float(key) if _NUMBER.match(key) else np.nan
        known = not np.isnan(number) and column.accepts(number)
    if key in missing:
        both = f"{cell!r} stands under 'missing' and is also an allowed value; take it out of one of the two"
        return both if known else np.nan
    if known:
        return number
    if column.codes is None and _DECIMAL_COMMA.match(cell.strip()):
        return f"{cell!r} has a decimal comma; write a decimal point"
    return f"{cell!r} is not allowed; allowed: {column.allowed} (list a code for a missing answer under 'missing')"


def _treatments(study: Study, raw: _RawTable, missing: set[str]) -> pd.Series:
    """The treatment of each row; missing where a cell that decides it is."""
    used = list(dict.fromkeys(name for treatment in study.treatments for name in treatment.when))
    cells = {name: _cells(raw, name, "the treatments' 'when'").map(cell_key) for name in used}
    absent = pd.Series(False, index=raw.cells.index)
    for name in used:
        absent |= cells[name].isin({"", *missing})
    matches = pd.DataFrame({t.name: _matches(t, cells, raw.cells.index) for t in study.treatments})
    count = matches.sum(axis=1)
    wrong = ~absent & (count != 1)
    if wrong.any():
        raise InputError(_no_treatment(study, raw, used, matches, int(np.flatnonzero(wrong)[0])))
    return matches.idxmax(axis=1).astype(object).where(~absent)


def _matches(treatment: Treatment, cells: dict[str, pd.Series], index: pd.Index) -> pd.Series:
    match = pd.Series(True, index=index)
    for name, value in treatment.when.items():
        match &= cells[name].isin(_keys(value))
    return match


def _no_treatment(study: Study, raw: _RawTable, used: list[str], matches: pd.DataFrame, row: int) -> str:
    values = ", ".join(f"{name} = {raw.cells[name].iloc[row]!r}" for name in used) or "no condition"
    found = [name for name in matches.columns if matches[name].iloc[row]]
    what = f"more than one treatment ({', '.join(found)})" if found else "no treatment"
    allowed = "; ".join(
        f"{t.name}: {', '.join(f'{name} = {value}' for name, value in t.when.items()) or 'every row'}"
        for t in study.treatments
    )
    return f"{raw.where}, row {row + 1}: {values} belongs to {what}; allowed: {allowed}."


def _check_allocations(study: Study, table: pd.DataFrame, where: str) -> None:
    for question in study.questions:
        if question.total is not None:
            totals = table[list(question.columns)].sum(axis=1)
            wrong = totals[totals != question.total]
            if len(wrong):
                raise InputError(
                    f"{where}, row {int(wrong.index[0]) + 1}: the parts of '{question.name}' sum to "
                    f"{wrong.iloc[0]:g}; allowed: {question.total}."
                )
