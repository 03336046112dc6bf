"""Files as people have them, read as tables of text: CSV and TSV of any encoding, Excel, Stata and SPSS.

What was found in a file and left out of it (its encoding, lines above the names, second header rows) is said in notes.
A column whose cells leave a doubt is no error until somebody uses it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.data.cells import T, cell_key, folded, is_no_answer, is_number, meaning_of, several_answers
from pilotlm.errors import InputError, nearest

WHITESPACE = "whitespace"
"""The ``separator`` of files whose columns are separated by any number of blanks."""
SEPARATORS = (",", ";", "\t", "|")
MOST_DATA_ROWS = 1_000_000
MOST_DATA_BYTES = 200_000_000
"""Larger files are refused before they are read: their cells are held as text, about ten times the bytes."""
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_OTHER_FILES = {
    b"\xd0\xcf\x11\xe0": "an Excel file of the old kind (.xls) or has a password; save it as .xlsx or as CSV in UTF-8",
    b"\x1f\x8b": "compressed; unpack it, or save the table from R with write.csv",
    b"%PDF": "a PDF; save the table itself as CSV in UTF-8",
    b"RDX": "a file of R; save the table with write.csv",
    b".por": "a portable file of SPSS; save it as .sav",
}
_STATISTICS = {".sav": "SPSS", ".zsav": "SPSS", ".dta": "Stata"}
_STATISTICS_HEAD = re.compile(rb"\$FL[23]|<stata_dta>|[\x69-\x73][\x01\x02]\x01\0")
_LINES_LOOKED_AT = 2000
_DECIMAL_COMMA = re.compile(r"-?\d+,\d{1,2}\Z", re.ASCII)
_ANSWER_HERE = ("response", "open-ended response")
"""What SurveyMonkey writes below the name of a question that has a single column."""


@dataclass(frozen=True, eq=False)
class Table:
    """A file as text: a row a row of data, "" where a cell is empty; ``where`` is what messages call it.

    By column: ``wordings``, the question as a header row or a label words it; ``labels``, the words for a number (its
    `cell_key`); ``plain``, the number that a cell is another spelling of; ``parts``, the columns of yes and no made of
    several answers a cell; ``doubts``, why it cannot be read. ``ordinal`` columns have an order; ``notes`` say what was
    found and left out.
    """

    cells: pd.DataFrame
    where: str
    separator: str = ","
    wordings: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    plain: dict[str, dict[str, str]] = field(default_factory=dict)
    ordinal: frozenset[str] = frozenset()
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """How often each cell stands in each column."""
        return {str(name): Counter(self.cells[name]) for name in self.cells.columns}

    def column(self, sources: tuple[str, ...], needed_by: str) -> pd.Series:
        """The cells of a column, or of several of which one is filled in each row."""
        for source in sources:
            if source not in self.cells.columns:
                single = "; it has a single column, so check 'separator'" if self.cells.shape[1] == 1 else ""
                doubt = self.doubts.get(source)
                raise InputError(doubt or f"{self.where} has no column '{source}', which {needed_by} needs; "
                                 f"{nearest(source, map(str, self.cells.columns))}{single}.")  # fmt: skip
        joined = self.cells[sources[0]]
        for source in sources[1:]:
            other = self.cells[source]
            both = (joined != "") & (other != "") & (joined != other)
            if both.any():
                row = int(str(both.idxmax()))
                raise InputError(
                    f"{self.where}, row {row + 1}: '{source}' says {other[row]!r} and another column of {needed_by} "
                    f"{joined[row]!r}; of columns that are joined only one may be filled in a row."
                )
            joined = joined.where(joined != "", other)
        return joined

    def spellings(self, sources: tuple[str, ...], cell: str) -> tuple[str, ...]:
        """The forms in which a study file may mean a cell: as it stands, the number in it, and the words for that."""
        key = cell_key(next((self.plain[s][cell] for s in sources if cell in self.plain.get(s, {})), cell))
        words = (self.labels[source][key] for source in sources if key in self.labels.get(source, {}))
        return (cell_key(cell), key, *words)

    def said_of(self, sources: tuple[str, ...], cells: pd.Series, say: Callable[[tuple[str, ...]], T]) -> pd.Series:
        """What is said of each cell of a column by its spellings."""
        return cells.map({cell: say(self.spellings(sources, cell)) for cell in cells.unique()})


def read_data_file(path: Path, separator: str | None = None) -> Table:
    """Read a file of any kind that is known by its first bytes; a text file's separator is found out where absent."""
    if (size := path.stat().st_size) > MOST_DATA_BYTES:
        said = f"{size / 1e6:.0f} MB, at most {MOST_DATA_BYTES / 1e6:g} MB are allowed"
        raise InputError(f"{path} has {said}; keep fewer rows or columns.")
    with path.open("rb") as file:
        head = file.read(16)
    for mark, what in _OTHER_FILES.items():
        if head.startswith(mark) or path.suffix.lower().encode() == mark:
            raise InputError(f"{path} is {what}.")
    if _STATISTICS_HEAD.match(head) or path.suffix.lower() in _STATISTICS:
        return _with_meanings(_statistics_file(path, "SPSS" if head.startswith(b"$") else None))
    if head.startswith(b"PK\x03\x04"):
        return _table(path, *_sheet(path), ",")
    text, notes = _text(path)
    if said_separator := re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text, re.IGNORECASE):
        text, separator = text[said_separator.end() :], said_separator[1]
    separator = separator if separator is not None else find_separator(text)
    try:
        filled = (row for row in _split(path, text, separator) if any(cell.strip() for cell in row))
        rows = list(islice(filled, MOST_DATA_ROWS + 15))
    except csv.Error as error:
        raise InputError(f"{path} is not well-formed CSV ({error}); check its quotes.") from None
    return _table(path, rows, notes, separator)


def find_separator(text: str) -> str:
    """The separator that cuts the most rows into the same number of cells, the largest such number."""
    best = (0.0, 0, ",")
    for separator in SEPARATORS:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            widths = [len(row) for row in islice(lines, _LINES_LOOKED_AT) if any(cell.strip() for cell in row)]
        except csv.Error:
            continue
        width, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if width > 1 and (count / len(widths), width) > best[:2]:
            best = (count / len(widths), width, separator)
    return best[2]


def _text(path: Path) -> tuple[str, list[str]]:
    """The text of a file, and a note where it is not UTF-8."""
    data = path.read_bytes()
    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and 0 < len(data[:64]) <= 2 * data[:64].count(0):
        encoding = "utf-16-le" if data[1] == 0 else "utf-16-be"
    try:
        found = [f"the file was read as {encoding.upper()}"] if encoding != "utf-8" else []
        return data.decode(encoding).removeprefix("\ufeff"), found
    except UnicodeDecodeError as error:
        text = data.decode(encoding, "replace")
        if encoding != "utf-8" or sum(not c.isascii() for c in text) > 2 * text.count("\ufffd"):
            where = f"{path}, line {data[: error.start].count(10) + 1}"
            raise InputError(
                f"{where}: {encoding.upper()} with a broken letter; save the file anew in UTF-8."
            ) from None
    text = data.decode("windows-1252", "replace")
    # No word of Western Europe has four letters with accents in a row, or these signs; words of other scripts have.
    if re.search(r"[\ufffd†‡ƒˆ¶]|[^\W\d_a-zA-Z]{4}", text):
        raise InputError(f"{path} is neither UTF-8, UTF-16 nor Windows-1252 (Latin-1) text; save it as CSV in UTF-8.")
    # A name of a column shows whether that is right; an answer is nobody's business.
    word = re.match(r"[^\r\n]*?(\w*[^\x00-\x7f]\w*)", text)
    shows = f", so that a column is called {word[1]!r}" if word else ""
    return text, [f"the file was read as Windows-1252 (Latin-1){shows}"]


def _split(path: Path, text: str, separator: str) -> Iterator[list[str]]:
    if "\0" in text or re.match(r"\s*(<|\{|\[\s*\{)", text):
        raise InputError(f"{path} is not a text file of rows and columns; save the table as CSV in UTF-8.")
    if separator == WHITESPACE:
        return (line.split() for line in text.splitlines())
    if len(separator) != 1:
        raise InputError(
            f"{path}: the separator {separator!r} is not allowed; allowed: one character such as ',' ';' '\\t', "
            f"or the word {WHITESPACE}."
        )
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _sheet(path: Path) -> tuple[list[list[str]], list[str]]:
    """The rows of the first sheet of a workbook that holds a table."""
    try:
        sheets: dict[str, pd.DataFrame] = pd.read_excel(
            path, sheet_name=None, header=None, dtype=object, na_filter=False, nrows=MOST_DATA_ROWS + 15
        )
    except Exception as error:
        # A broken workbook ends in errors of many kinds, from zipfile to XML.
        raise InputError(
            f"{path} is no Excel workbook that can be read ({type(error).__name__}); save the table as .xlsx or as CSV "
            "in UTF-8."
        ) from None
    rows: list[list[str]] = []
    title = ""
    for name, sheet in sheets.items():
        title = name
        lines = ([_said(cell) for cell in row] for row in sheet.to_numpy().tolist())
        rows = [line for line in lines if any(line)]
        if sum(sum(map(bool, row)) > 1 for row in rows) > 1:
            break
    others = ", ".join(repr(name) for name in sheets if name != title)
    return rows, [f"the file was read from the sheet '{title}', not from {others}"] if others else []


def _said(value: Any) -> str:
    """A value of a workbook or a statistics file as text, numbers as they were typed in."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    return f"{value:.15g}" if isinstance(value, float) else str(value).strip()


def _statistics_file(path: Path, kind: str | None) -> Table:
    """A file of SPSS or Stata: codes as cells, labels as words, empty cells for what the file declares missing."""
    import pyreadstat

    kind = kind or _STATISTICS.get(path.suffix.lower(), "Stata")
    read: Any = pyreadstat.read_dta if kind == "Stata" else pyreadstat.read_sav
    wanted: dict[str, Any] = {"user_missing": True, "row_limit": MOST_DATA_ROWS + 15}
    try:
        try:
            frame, known = read(str(path), **wanted)
        except pyreadstat.ReadstatError as error:
            if "encoding" not in str(error):
                raise
            frame, known = read(str(path), encoding="WINDOWS-1252", **wanted)
    except Exception as error:
        # Among them errors of its own, of decoding, and of Python's.
        raise InputError(
            f"{path} is no {kind} file that can be read ({error}); save it anew or as CSV in UTF-8."
        ) from None
    columns, declared = {}, []
    for name in frame.columns:
        words = {value: _said(value) for value in frame[name].unique()}
        gone = [value for value in words if words[value] and _declared(known, name, value)]
        declared += [f"{', '.join(words[value] for value in gone)} in '{name}'"] if gone else []
        columns[str(name)] = frame[name].astype(object).map(words | dict.fromkeys(gone, "")).fillna("")
    cells = pd.DataFrame(columns, dtype=object)
    cells = cells[(cells != "").any(axis=1)].reset_index(drop=True)
    _check_rows(path, len(cells))
    labels = {
        str(name): {cell_key(_said(c)): str(w).strip() for c, w in said.items() if not _declared(known, name, c)}
        for name, said in known.variable_value_labels.items()
    }
    ordinal = frozenset(str(name) for name, measure in known.variable_measure.items() if measure == "ordinal")
    notes = (f"values that the file declares missing are read so: {'; '.join(declared)}",) if declared else ()
    wordings = {str(name): said for name, said in known.column_names_to_labels.items() if said}
    return Table(cells, str(path), ",", wordings, labels, ordinal=ordinal, notes=notes)


def _declared(known: Any, name: Any, value: Any) -> bool:
    """Whether a statistics file says that a value of a column means that there is none."""
    ranges = known.missing_ranges.get(name, [])
    if isinstance(value, str):
        return value in known.missing_user_values.get(name, []) or any(value == one["lo"] for one in ranges)
    numbers = [one for one in ranges if isinstance(value, int | float) and not isinstance(one["lo"], str)]
    return any(one["lo"] <= value <= one["hi"] for one in numbers)


# Names, header rows and rows.


def _table(path: Path, rows: list[list[str]], notes: list[str], separator: str) -> Table:
    rows, notes = [[cell.strip() for cell in row] for row in rows], list(notes)
    if above := _lines_above(rows):
        titles = "; ".join(cell for row in rows[:above] for cell in row if cell)
        notes.append(f"lines above the column names are left out: {titles}")
    rows = rows[above:]
    _check_rows(path, min(len(rows) - 1, MOST_DATA_ROWS))
    names = [re.sub(r"""\A(['"])(.*)\1\Z""", r"\2", name).strip() for name in rows[0]]
    while not names[-1] and not any(len(row) >= len(names) and row[len(names) - 1] for row in rows):
        names.pop()
    for number, row in enumerate(rows[1:], start=1):
        if len(row) < len(names) or any(row[len(names) :]):
            raise InputError(
                f"{path}, row {number}: {len(row)} cells, but there are {len(names)} column names; "
                f"check the quotes and the 'separator' (now {separator!r})."
            )
    headers, qualtrics = _header_rows(names, rows[1:])
    wordings: dict[str, str] = {}
    for header in rows[1 : 1 + headers]:
        if not any('"ImportId"' in cell for cell in header):
            names, wordings = _worded(names, header)
    if headers:
        which = "line 2 says" if headers == 1 else "lines 2 and 3 say"
        notes.append(f"{which} what the columns are, nobody's answers: left out, so that row 1 is line {headers + 2}")
    body = rows[1 + headers :]
    _check_rows(path, len(body))
    twice = {name for name, count in Counter(names).items() if name and count > 1}
    doubts = {n: f"{path}: the column name '{n}' stands more than once; rename one of the columns." for n in twice}
    # Columns without a name are row numbers; nothing can refer to them.
    kept = {name: [row[i] for row in body] for i, name in enumerate(names) if name and name not in twice}
    if not kept:
        raise InputError(next(iter(doubts.values())))
    table = Table(pd.DataFrame(kept, dtype=object), str(path), separator, wordings, doubts=doubts, notes=tuple(notes))
    points_group = separator == ";" or any(_DECIMAL_COMMA.match(c) for counts in table.counts.values() for c in counts)
    return _with_meanings(table, separator in (";", "\t", WHITESPACE) and not qualtrics, points_group)


def _check_rows(path: Path, count: int) -> None:
    if count < 1:
        raise InputError(f"{path} has no rows of data; a line of column names and a line for each person are needed.")
    if count > MOST_DATA_ROWS:
        raise InputError(f"{path} has more than {MOST_DATA_ROWS} rows of data; draw a sample of them.")


def _lines_above(rows: list[list[str]]) -> int:
    """How many lines stand above the column names: titles, each of a single cell."""
    alone = next((k for k, row in enumerate(rows[:10]) if sum(map(bool, row)) > 1), 0)
    named = alone and len(rows) > alone + 1 and not any(map(is_number, rows[alone]))
    return alone if named else 0


def _header_rows(names: list[str], rows: list[list[str]]) -> tuple[int, bool]:
    """How many rows below the names say what the columns are; whether Qualtrics wrote them."""
    for k, row in enumerate(rows[:2]):
        if sum('"ImportId"' in cell for cell in row) * 2 > sum(map(bool, row)):
            return k + 1, True
    below = 0
    while below < 2 and _says_what_columns_are(names, rows[below : below + 300]):
        below += 1
    return below, False


def _says_what_columns_are(names: list[str], rows: list[list[str]]) -> bool:
    """Whether the first of some rows is unlike the others in every column in which these are alike."""
    sure = likely = 0
    for i, (name, cell) in enumerate(zip(names, rows[0] if rows else (), strict=False)):
        others = [row[i] for row in rows[1:] if not is_no_answer(row[i])]
        if is_no_answer(cell) or not others:
            continue
        numbers = sum(map(is_number, others)) > 0.9 * len(others)
        if (is_number(cell) and numbers) or (cell in others and set(others) != {cell}):
            return False
        if numbers or not name or _bare(cell) == _bare(name) or folded(cell) in _ANSWER_HERE:
            sure += cell not in others
        elif 2 * len(set(others)) <= len(others) and cell not in others:
            likely += 1
    return sure > 1 or (sure + likely > 2 and len(rows) > 20)


def _bare(words: str) -> str:
    return re.sub(r"[\W_]", "", words.casefold())


def _worded(names: list[str], header: list[str]) -> tuple[list[str], dict[str, str]]:
    """The names with those of a header row, where one name stands for several columns; and what the others ask."""
    new, wordings, group = [], {}, ""
    for i, (name, said) in enumerate(zip(names, header, strict=False)):
        said = "" if folded(said) in _ANSWER_HERE else said
        group = name or group
        shared = not name or (i + 1 < len(names) and not names[i + 1] and said)
        new.append(f"{group}: {said}" if shared and said else name)
        if said and not shared and said != name:
            wordings[name] = said
    return new, wordings


def _with_meanings(table: Table, comma_is_decimal: bool = False, points_group: bool = False) -> Table:
    """The table with what its cells say, and a column of yes and no for each of several answers in a cell."""
    cells: dict[str, pd.Series] = {}
    labels, wordings, doubts = dict(table.labels), dict(table.wordings), dict(table.doubts)
    plain: dict[str, dict[str, str]] = {}
    parts: dict[str, tuple[str, ...]] = {}
    ordinal, notes = set(table.ordinal), list(table.notes)
    for name in table.cells.columns:
        column = cells[name] = table.cells[name]
        found = meaning_of(column.unique(), comma_is_decimal, points_group)
        if found.doubt:
            row = int((column == found.doubt[0]).to_numpy().argmax()) + 1
            doubts[name] = f"{table.where}, row {row}, column '{name}': {found.doubt[1]}."
        plain |= {name: found.plain} if found.plain else {}
        labels |= {name: found.labels} if found.labels else {}
        ordinal |= {name} if found.ordered else set()
        given = [cell for cell in column.unique() if not is_no_answer(cell)]
        answers = {} if found.plain else {f"{name}: {one}": said for one, said in several_answers(given).items()}
        if answers:
            cells |= {part: column.map(said).fillna("") for part, said in answers.items()}
            parts[name] = tuple(answers)
            wordings |= {part: f"{wordings[name]} {part[len(name) + 2 :]}" for part in answers if name in wordings}
            notes.append(f"'{name}' has several answers in a cell, read as columns of yes and no: {', '.join(answers)}")
    return replace(table, cells=pd.DataFrame(cells, dtype=object), wordings=wordings, labels=labels, plain=plain,
                   ordinal=frozenset(ordinal), parts=parts, doubts=doubts, notes=tuple(notes))  # fmt: skip
