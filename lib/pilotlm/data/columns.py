"""What the columns of a user's file can become in a study: persona fields, closed questions, treatments, or nothing."""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.data.sources import cell_key, read_text_table, split_rows
from pilotlm.errors import InputError
from pilotlm.study import LARGEST, NAME, RESERVED, Choice, Level, Option, PersonaField, Raw, Scale, Treatment

SEPARATORS = (",", ";", "\t")
MISSING = ("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", ".")
"""Words that stand for a missing answer when a file is drafted."""
MOST_LEVELS = 24
"""A text with more different values is no category."""
MOST_TREATMENTS = 20
FEW = 10
"""A number with no more different values is a category of the persona."""
MOST_STEPS = 100
SHORT_SCALE = 20
"""Up to this length every whole number belongs to a scale, whether somebody gave it or not."""
_LARGEST_WHOLE = 10**15
_IDENTIFIER = re.compile(r"(?:.*[^a-z])?(?:id|uuid|participant|respondent|subject|index)\Z", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+\Z", re.ASCII)
_UNIT = "(%|[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR)?"
_AMOUNT = re.compile(rf"([+-]?){_UNIT}\s?([+-]?[0-9]*[.,]?[0-9]+)\s?{_UNIT}\Z")
"""A number with a currency or a percent sign before or after it."""
_NO_YES = ({"no", "yes"}, {"false", "true"}, {"off", "on"})
_FORMULA_WORDS = frozenset({"C", "I", "Q"})


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the user's file.

    Attributes
    ----------
    source : str
        Its name in the file.
    name : str
        Its name in the study.
    values : tuple of str
        The different values as they first stand in the file: numbers and amounts by size, texts in order of appearance.
    numbers : tuple of float or None
        The same values as numbers, if all are.
    present : (rows,) bool array
        Which rows have a value.
    amounts : tuple of float or None
        The numbers in the values, where these are texts with one unit: "$5", "2.5 %".
    """

    source: str
    name: str
    values: tuple[str, ...]
    numbers: tuple[float, ...] | None
    present: NDArray[np.bool_]
    amounts: tuple[float, ...] | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.present)

    @property
    def filled(self) -> int:
        """The number of rows with a value."""
        return int(self.present.sum())

    @property
    def label(self) -> str:
        """The name in the file, on one line."""
        return visible(self.source)

    @property
    def whole(self) -> bool:
        """Whether every value is a whole number."""
        return self.numbers is not None and all(n == round(n) and abs(n) < _LARGEST_WHOLE for n in self.numbers)

    @property
    def worth(self) -> tuple[float, ...] | None:
        """The numbers that the values are or hold, in the same order; None for words."""
        return self.numbers if self.numbers is not None else self.amounts

    @property
    def raw_values(self) -> tuple[Raw, ...]:
        """The values as a study file says them."""
        if self.numbers is None:
            return self.values
        return tuple(round(n) if self.whole else n for n in self.numbers)

    @property
    def renamed(self) -> str | None:
        """The name in the file, where the study has another."""
        return self.source if self.source != self.name else None

    @property
    def useless(self) -> str | None:
        """Why nothing can be learnt from the column; None where something can."""
        if not self.values:
            return "is empty"
        if len(self.values) == 1:
            return f"has one value, {self.values[0]!r:.40}"
        if 2 * self.filled < self.rows:
            return f"is empty in {self.rows - self.filled} of {self.rows} rows"
        if self._tells_rows_apart:
            return "has another value in every row, like a participant's number"
        if self.numbers is None and len(self.values) > MOST_LEVELS:
            return f"has {len(self.values)} different texts"
        return None

    @property
    def _tells_rows_apart(self) -> bool:
        if len(self.values) < self.filled:
            return False
        if self.numbers is None or _IDENTIFIER.match(self.source):
            return True
        return self.whole and self.numbers[-1] - self.numbers[0] == len(self.values) - 1


def find_separator(path: Path) -> str:
    """The separator that cuts every row into the same number of cells, the largest such number."""
    widths = {s: [len(row) for row in split_rows(path, s) if any(cell.strip() for cell in row)] for s in SEPARATORS}
    even = {s: lengths[0] for s, lengths in widths.items() if len(set(lengths)) == 1}
    if max(even.values(), default=1) > 1:
        return max(even, key=even.__getitem__)
    return max(SEPARATORS, key=lambda s: widths[s][0] if widths[s] else 0)


def read_columns(path: Path, separator: str) -> tuple[list[Column], tuple[str, ...]]:
    """Read the columns of a delimited text file."""
    cells = read_text_table(path, separator)
    names = valid_names(cells.columns, taken=RESERVED)
    found = tuple(word for word in MISSING if (cells == word).to_numpy().any())
    return [_column(path, cells[source], name) for source, name in names.items()], found


def valid_names(sources: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """A valid and unused variable name for each name of a column."""
    used = set(taken)
    names: dict[str, str] = {}
    for source in sources:
        names[source] = valid_name(source, used)
        used.add(names[source])
    return names


def valid_name(words: str, taken: Iterable[str]) -> str:
    """The name itself where it is valid and not taken, else the valid one nearest to it."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    stem = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") if not NAME.match(words) else words
    if not stem[:1].isalpha():
        stem = f"v{stem}" if stem else "variable"
    if keyword.iskeyword(stem) or stem in _FORMULA_WORDS:
        stem = f"{stem}_value"
    used, name, count = set(taken), stem, 1
    while name in used:
        count += 1
        name = f"{stem}_{count}"
    return name


def persona_field(column: Column) -> PersonaField:
    """A column as something that the prompt says of the participant."""
    label = _without_braces(column.label)
    text = f"{label}: {{value}}."
    if column.numbers is not None and len(column.values) > FEW:
        low, high = column.raw_values[0], column.raw_values[-1]
        ends = (float(low), float(high))
        return PersonaField(name=column.name, column=column.renamed, label=label, text=text, range=ends)
    if len(column.values) > MOST_LEVELS or not column.values:
        raise InputError(
            f"The column '{column.source}' {_too_many(column)} and cannot be a persona field; group its values in the "
            f"file into at most {MOST_LEVELS}, or name other columns with --persona."
        )
    levels = tuple(_coded(column, from_zero=False))
    ordered = column.worth is not None and len(levels) > 2
    return PersonaField(name=column.name, column=column.renamed, label=label, text=text, levels=levels, ordered=ordered)


def closed_question(column: Column, role: Literal["belief", "action"]) -> Choice | Scale | None:
    """A column as a closed question: a scale, a choice, or None where it has too many different values or too few."""
    text = f"What is your answer to '{column.label}'?"
    step = _step(column)
    if step is not None and column.numbers is not None:
        low, high = round(column.numbers[0]), round(column.numbers[-1])
        return Scale(
            name=column.name, column=column.renamed, role=role, label=column.label, text=text,
            low=low, high=high, step=step,
        )  # fmt: skip
    if not 2 <= len(column.values) <= MOST_LEVELS:
        return None
    options = tuple(
        # Where the code is not the number, the model reads and writes the number.
        Option(**dict(level), answer=level.text if level.value is not None else None)
        for level in _coded(column, from_zero=True)
    )
    ordered = column.worth is not None
    return Choice(
        name=column.name, column=column.renamed, role=role, label=column.label, text=text,
        ordered=ordered, options=options,
    )  # fmt: skip


def needs_closed_question(column: Column, role: Literal["belief", "action"]) -> Choice | Scale:
    """The same as `closed_question`."""
    question = closed_question(column, role)
    if question is None:
        option = "--beliefs" if role == "belief" else "--action"
        raise InputError(
            f"The column '{column.source}' {_too_many(column)}, so the {role} cannot be a closed question; round or "
            f"group it in the file (at most {MOST_STEPS + 1} whole numbers at equal steps, or {MOST_LEVELS} "
            f"categories), or name another column with {option}."
        )
    return question


def treatments(column: Column | None, taken: Iterable[str]) -> tuple[Treatment, ...]:
    """The values of a column as treatments, the first one the baseline; a single treatment without a column."""
    if column is None:
        scenario = "You take part in a survey."
        return (Treatment(name="everyone", label="Everyone", scenario=scenario),)
    if not 1 <= len(column.values) <= MOST_TREATMENTS:
        raise InputError(
            f"The column '{column.source}' {_too_many(column)} and cannot name the treatments (at most "
            f"{MOST_TREATMENTS}); name another column with --treatment."
        )
    stems = [v if column.numbers is None else f"{column.name}_{v}" for v in column.values]
    used, names = {*taken, *RESERVED}, []
    for stem in stems:
        names.append(valid_name(stem, used))
        used.add(names[-1])
    return tuple(
        Treatment(
            name=name,
            label=visible(value) if column.numbers is None else f"{column.label} {value}",
            when={column.source: raw},
            codes={other: float(other == name) for other in names[1:]},
            scenario=f"Your treatment is: {visible(value)}.",
        )
        for name, value, raw in zip(names, column.values, column.raw_values, strict=True)
    )


def _column(path: Path, cells: pd.Series, name: str) -> Column:
    present = ((cells != "") & ~cells.isin(MISSING)).to_numpy(dtype=bool)
    filled = cells[present]
    first: dict[str, str] = {}
    for cell in filled:
        first.setdefault(cell_key(cell), cell)
    numbers = _numbers(first)
    if numbers is not None:
        values = tuple(first[key] for key in sorted(first, key=float))
        return Column(str(cells.name), name, values, numbers, present)
    _check_decimal_comma(path, cells, filled)
    amounts = _amounts(first.values())
    if amounts is not None:
        return Column(str(cells.name), name, tuple(amounts), None, present, tuple(amounts.values()))
    return Column(str(cells.name), name, _no_before_yes(tuple(first.values())), None, present)


def _numbers(keys: Iterable[str]) -> tuple[float, ...] | None:
    listed = list(keys)
    try:
        numbers = sorted(float(key) for key in listed)
    except ValueError:
        return None
    # Python reads '1_000' and 'inf' as numbers too; the file's reader does not.
    same = all(key == cell_key(repr(float(key))) for key in listed)
    return tuple(numbers) if numbers and same and all(map(math.isfinite, numbers)) else None


def _amounts(texts: Iterable[str]) -> dict[str, float] | None:
    """The number in each text by size, where all have the same unit and no two the same number."""
    split = {text: _without_unit(text) for text in texts}
    if len({unit for unit, _ in split.values()}) != 1 or _numbers(cell_key(bare) for _, bare in split.values()) is None:
        return None
    found = {text: float(bare) for text, (_, bare) in sorted(split.items(), key=lambda item: float(item[1][1]))}
    return found if len(set(found.values())) == len(found) else None


def _without_unit(cell: str) -> tuple[str, str]:
    """The unit of an amount and its number as text; the cell itself where it is none."""
    match = _AMOUNT.match(cell.replace("\N{MINUS SIGN}", "-"))
    if not match or (match[2] and match[4]):
        return "", cell
    return match[2] or match[4] or "", match[1] + match[3]


def _check_decimal_comma(path: Path, cells: pd.Series, filled: pd.Series) -> None:
    bare = filled.map(lambda cell: _without_unit(cell)[1])
    with_comma = filled[bare.map(lambda cell: bool(_DECIMAL_COMMA.match(cell)))]
    if len(with_comma) and _numbers(cell_key(cell.replace(",", ".")) for cell in bare):
        row = cells.tolist().index(with_comma.iloc[0]) + 1
        raise InputError(
            f"{path}, row {row}, column '{cells.name}': {with_comma.iloc[0]!r} has a decimal comma; write decimal "
            "points, and nothing between thousands, in the file."
        )


def _no_before_yes(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(values, key=str.casefold)) if {v.casefold() for v in values} in _NO_YES else values


def _coded(column: Column, from_zero: bool) -> list[Level]:
    """The levels of a column: raw only where it is not the code, values only where the codes are not the numbers."""
    texts = [visible(value) for value in column.values]
    raws = column.raw_values
    if column.whole and not (from_zero and len(raws) == 2):
        return [Level(code=int(raw), text=text) for raw, text in zip(raws, texts, strict=True)]
    # Two answers are 0 and 1, as a logit needs them.
    start = 0 if len(raws) == 2 else 1
    codes = tuple(range(start, start + len(raws)))
    values: Sequence[float | None] = column.worth or ()
    if values == codes or any(abs(value or 0) > LARGEST for value in values):
        values = ()
    return [
        Level(code=code, raw=None if raw == code and column.whole else raw, text=text, value=value)
        for code, raw, text, value in zip_longest(codes, raws, texts, values)
    ]


def _step(column: Column) -> int | None:
    """The step of the scale that holds all values; None where they are none."""
    if not column.whole or column.numbers is None or len(column.numbers) < 3:
        return None
    values = [round(number) for number in column.numbers]
    length = values[-1] - values[0]
    if length <= SHORT_SCALE:
        return 1
    step = math.gcd(*(value - values[0] for value in values))
    return step if length // step <= MOST_STEPS else None


def _too_many(column: Column) -> str:
    if len(column.values) < 2:
        return "is empty" if not column.values else f"has one value, {column.values[0]!r:.40}"
    if column.numbers is None:
        return f"has {len(column.values)} different texts"
    return f"has {len(column.values)} different numbers from {column.numbers[0]:g} to {column.numbers[-1]:g}"


def visible(words: str) -> str:
    """The words of a file on one line, without characters that nobody sees."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split()) or "(no visible text)"


def _without_braces(words: str) -> str:
    return words.replace("{", "(").replace("}", ")")
