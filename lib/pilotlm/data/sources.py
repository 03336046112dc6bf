"""From the raw file of a study to its people: each answer recoded by an explicit mapping, or an error that names it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pilotlm.data.cells import finder, finder_of, is_number, raw_keys
from pilotlm.data.detectors import rows_kept, rows_kept_by_all
from pilotlm.data.synthetic import GENERATORS
from pilotlm.data.tables import Table, read_data_file
from pilotlm.errors import InputError, nearest
from pilotlm.randomness import numbered
from pilotlm.records import Places, cache_folder, file_sha256, table_sha256
from pilotlm.responses import HUMAN, PERSON, PILOT, WEIGHT, check_responses, read_responses, response_columns
from pilotlm.study import Download, Generated, Level, LocalFile, PackageFile, Raw, Study


@dataclass(frozen=True)
class People:
    """The people of a study: their responses, arm ``human``; ``participant`` is the row of the data file, from 1.

    ``sha256`` is of the raw data, ``where`` they came from. ``dropped`` and ``left_out`` say for a column of the file
    how many rows lack it, and how many its condition of ``keep`` excludes by itself; a row may count for several.
    ``raw`` is the raw data, the rows that are left out apart.
    """

    table: pd.DataFrame
    sha256: str
    rows_read: int
    rows_dropped: int
    where: str
    dropped: dict[str, int]
    left_out: dict[str, int]
    raw: Table


@dataclass(frozen=True)
class _Column:
    """A column to read: ``number`` gives what some spellings of a cell stand for, None where they are not allowed."""

    name: str
    sources: tuple[str, ...]
    missing: tuple[Raw, ...]
    allowed: str
    number: Callable[[tuple[str, ...]], float | None]
    category: bool = False
    whole: bool = True


def load_people(study: Study) -> People:
    """Read, recode and check the people of a study; one who has several rows, or a weight, is told by extra columns.

    Raises
    ------
    InputError
        If the data are missing, are not those that the study was written for, or hold a value that it does not allow.
    """
    table, sha256, origin = _read_source(study)
    where = table.where
    left_out, counted = _left_out(study, table)
    columns = list(_columns(study, where))
    treatment = _treatments(study, table, counted)
    answers = pd.DataFrame({column.name: _recode(column, table, counted, study.missing) for column in columns})
    extra = _sampling(study, table, counted)
    lacks = {"' and '".join(column.sources): answers[column.name].isna() for column in columns}
    lacks["' and '".join(_deciding(study))] = treatment.isna()
    lacks |= {name: extra[key].isna() for key, name in ((PERSON, study.participant), (WEIGHT, study.weight)) if name}
    if WEIGHT in extra:
        lacks[f"{study.weight} above 0"] = extra[WEIGHT] == 0
    complete = ~pd.DataFrame(lacks).any(axis=1)
    _check_allocations(study, answers[complete], where)
    if not complete.any():
        raise InputError(f"{where}: no row has a value in every column that study '{study.name}' uses.")
    people = _as_people(study, answers[complete], treatment[complete], columns)
    extra = {name: column[complete] for name, column in extra.items()}
    if PERSON in extra and extra[PERSON].is_unique:
        # Nobody has several rows, so that rows are people.
        del extra[PERSON]
    elif PERSON in extra:
        extra[PERSON] = pd.Series(pd.factorize(extra[PERSON])[0] + 1, dtype="int64")
    people = people.assign(**{name: column.to_numpy() for name, column in extra.items()})
    dropped = {name: int(rows.sum()) for name, rows in lacks.items() if rows.any()}
    read, rows_dropped = replace(table, cells=table.cells.loc[counted]), int((~complete).sum())
    return People(people, sha256, len(table.cells), rows_dropped, origin, dropped, left_out, read)


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


def _read_source(study: Study) -> tuple[Table, str, str]:
    """The raw data, their sha256, and what a manifest says of where they came from."""
    source = study.source
    if isinstance(source, Generated):
        if source.generator not in GENERATORS:
            raise InputError(f"There is no generator '{source.generator}'; {nearest(source.generator, GENERATORS)}.")
        drawn = GENERATORS[source.generator](source.n, numbered(source.seed))
        where = f"generator '{source.generator}', n {source.n}, seed {source.seed}"
        return Table(drawn.astype(str).astype(object), where), table_sha256(drawn), where
    if isinstance(source, PackageFile):
        path, origin = _package_file(source)
    elif isinstance(source, Download):
        path, origin = _downloaded(study, source)
    else:
        path, origin = _local_file(study, source)
    return read_data_file(path, source.separator), file_sha256(path), origin


def _package_file(source: PackageFile) -> tuple[Path, str]:
    spec = importlib.util.find_spec(source.package) if source.package.isidentifier() else None
    advice = "install the version that requirements.lock names"
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"The data lie in the package '{source.package}', which is not installed; {advice}.")
    try:
        version = importlib.metadata.version(source.package)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    path = Path(next(iter(spec.submodule_search_locations))) / source.file
    found = f"the installed package {source.package} {version}"
    if not path.is_file():
        raise InputError(f"There is no '{source.file}' in {found}; {advice}.")
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
        web, known = pooch.HTTPDownloader(timeout=60), f"sha256:{source.sha256}"
        found = pooch.retrieve(source.url, known_hash=known, fname=source.file, path=folder, downloader=web)
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
    path = study.folder / source.file
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


# Which rows count.


def _left_out(study: Study, table: Table) -> tuple[dict[str, int], pd.Index]:
    """How many rows each condition of ``keep`` leaves out by itself, and the rows that all of them keep."""
    left_out = {column: int((~rows_kept(table, column, keep)).sum()) for column, keep in study.keep.items()}
    rows = table.cells.index[rows_kept_by_all(table, study.keep)]
    if rows.empty:
        conditions = ", ".join(f"'{column}' ({count} rows)" for column, count in left_out.items())
        raise InputError(f"{table.where}: 'keep' leaves out every row, by {conditions}; allow more values in it.")
    return left_out, rows


# What each column may hold.


def _columns(study: Study, where: str) -> Iterator[_Column]:
    for variable in study.background:
        own, (least, most) = (variable.source_column,), variable.range or (0, 0)
        if variable.levels is not None:
            yield _category(variable.name, own, variable.missing, variable.levels, where)
        else:
            allowed = f"a number from {least:g} to {most:g}"
            yield _Column(variable.name, own, variable.missing, allowed, _number_in(least, most), whole=False)
    for question in study.questions:
        for name, sources in question.source_columns.items():
            if question.options:
                yield _category(name, sources, question.missing, question.options, where)
            else:
                low, step, high = question.values[0], question.values[1] - question.values[0], question.values[-1]
                allowed = f"whole numbers from {low} to {high}" + (f" in steps of {step}" if step > 1 else "")
                yield _Column(name, sources, question.missing, allowed, _number_in(low, high, step))


def _number_in(low: float, high: float, step: float = 0) -> Callable[[tuple[str, ...]], float | None]:
    def number(spellings: tuple[str, ...]) -> float | None:
        found = next((float(key) for key in spellings if is_number(key)), np.nan)
        return found if low <= found <= high and (not step or (found - low) % step == 0) else None

    return number


def _category(
    name: str, sources: tuple[str, ...], missing: tuple[Raw, ...], levels: tuple[Level, ...], where: str
) -> _Column:
    codes: dict[str, float] = {}
    for level in levels:
        for key in raw_keys(level.raw_value):
            if codes.setdefault(key, level.code) != level.code:
                raise InputError(f"{where}: two levels of '{name}' have the same raw value {level.raw_value!r}.")
    allowed = ", ".join(str(level.raw_value) for level in levels)
    return _Column(name, sources, missing, allowed, finder(codes), category=True)


# Recoding.


def _recode(column: _Column, table: Table, rows: pd.Index, missing: tuple[Raw, ...]) -> pd.Series:
    """The numbers of a column; not-a-number where the cell is empty or holds a code for missing."""
    cells = table.column(column.sources, f"'{column.name}'")[rows]
    doubt = next((table.doubts[source] for source in column.sources if source in table.doubts), None)
    if doubt and not column.category:
        raise InputError(doubt)
    is_missing, numbers = finder_of((*missing, *column.missing)), {}
    for cell in cells.unique():
        spellings = table.spellings(column.sources, cell)
        number, gone, problem = column.number(spellings), cell.strip() and is_missing(spellings), ""
        if gone and number is not None:
            problem = "stands under 'missing' and is also an allowed value; take it out of one of the two"
        elif number is None and cell.strip() and not gone:
            problem = f"is not allowed; allowed: {column.allowed} (list a code for a missing answer under 'missing')"
        if problem:
            row, names = int(str((cells == cell).idxmax())) + 1, "' and '".join(column.sources)
            raise InputError(doubt or f"{table.where}, row {row}, column '{names}': {cell!r} {problem}.")
        numbers[cell] = np.nan if number is None else number
    return cells.map(numbers).astype(float)


def _sampling(study: Study, table: Table, rows: pd.Index) -> dict[str, pd.Series]:
    """Whose each row is and what it weighs, in the columns `PERSON` and `WEIGHT`; nan where that is missing."""
    found, is_missing = {}, finder_of(("", *study.missing))

    def said_in(name: str, key: str) -> pd.Series:
        cells = table.column((name,), f"'{key}'")[rows]
        return table.said_of((name,), cells, lambda spellings: None if is_missing(spellings) else spellings[1])

    if study.participant is not None:
        codes = pd.Series(pd.factorize(said_in(study.participant, "participant"))[0], index=rows, dtype=float)
        found[PERSON] = codes.where(codes >= 0)
    if study.weight is not None:
        said = said_in(study.weight, "weight")
        weights = found[WEIGHT] = pd.to_numeric(said, errors="coerce").astype(float)
        wrong = said.notna() & ~(np.isfinite(weights) & (weights >= 0))
        if wrong.any():
            row = int(str(wrong.idxmax()))
            raise InputError(
                f"{table.where}, row {row + 1}, column '{study.weight}': {said.loc[row]!r} is no weight; allowed: "
                "numbers above 0, and 0 for rows that are left out (list a code for a missing weight under 'missing')."
            )
    return found


def _deciding(study: Study) -> list[str]:
    """The columns that decide which treatment a row belongs to."""
    return list(dict.fromkeys(name for treatment in study.treatments for name in treatment.when))


def _treatments(study: Study, table: Table, rows: pd.Index) -> pd.Series:
    """The treatment of each row; missing where a cell that decides it is."""
    used = _deciding(study)
    cells = {name: table.column((name,), "the treatments' 'when'")[rows] for name in used}
    is_missing = finder_of(("", *study.missing))

    def found(wanted: Mapping[str, Callable[[tuple[str, ...]], bool]]) -> pd.DataFrame:
        said = {name: table.said_of((name,), cells[name], find) for name, find in wanted.items()}
        return pd.DataFrame(said, index=rows, dtype=bool)

    absent = found(dict.fromkeys(used, is_missing)).any(axis=1)
    conditions = {t.name: {name: finder_of((value,)) for name, value in t.when.items()} for t in study.treatments}
    matches = pd.DataFrame({name: found(wanted).all(axis=1) for name, wanted in conditions.items()})
    count = matches.sum(axis=1)
    wrong = ~absent & (count != 1)
    if wrong.any():
        raise InputError(_no_treatment(study, table, used, matches, int(wrong.index[np.flatnonzero(wrong)[0]])))
    return matches.idxmax(axis=1).astype(object).where(~absent)


def _no_treatment(study: Study, table: Table, used: list[str], matches: pd.DataFrame, row: int) -> str:
    values = ", ".join(f"{name} = {table.cells[name].loc[row]!r}" for name in used) or "no condition"
    found = [name for name in matches.columns if matches[name].loc[row]]
    what = f"more than one treatment ({', '.join(found)})" if found else "no treatment"
    allowed = "; ".join(
        f"{t.name}: {', '.join(f'{name} = {value}' for name, value in t.when.items()) or 'every row'}"
        for t in study.treatments
    )
    return f"{table.where}, row {row + 1}: {values} belongs to {what}; allowed: {allowed}."


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
