"""What the columns of a user's file are: numbers, codes with words, or words, in their order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pilotlm.data.cells import (
    MOST_LEVELS,
    NO_ANSWER,
    NO_OPINION,
    cell_key,
    finder_of,
    folded,
    is_amount,
    is_no_answer,
    is_number,
    order_of,
)
from pilotlm.data.detectors import is_code, is_person, missing_codes
from pilotlm.data.tables import Table
from pilotlm.study import Raw

_Kind = Literal["numbers", "labelled", "words"]
_LARGEST_WHOLE = 10**15
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2})?( ?[AaPp][Mm])?")


@dataclass(frozen=True)
class ColumnValue:
    """A value of a column: how the file mostly writes it, how often it does, its number if any, and its words."""

    cell: str
    count: int
    number: float | None
    text: str


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the user's file, or several of which one is filled in each row.

    ``sources`` are its names in the file, ``name`` is that in the study. ``values`` are numbers by size, or words in
    their order where one is known, else as they appear; where the file has words for every code, those of codes that
    nobody gave are among them. ``place`` (rows,) says which of them each row has, -1 where it is missing. ``guessed``:
    the order was found from what words mean. ``ends`` are words for some numbers of a scale. ``missing`` is taken for
    a missing answer; ``codes`` are the numbers among it that lie far from others. ``twins`` are cells taken for other
    spellings, ``strays`` words where most are numbers. ``doubt`` says why it cannot be read, ``wording`` how the file
    words the question; ``parts`` are the columns that were made of several answers a cell.
    """

    sources: tuple[str, ...]
    name: str
    values: tuple[ColumnValue, ...]
    place: NDArray[np.int64]
    kind: _Kind
    ordered: bool
    guessed: bool
    ends: dict[float, str]
    missing: tuple[Raw, ...]
    codes: tuple[Raw, ...]
    twins: tuple[str, ...]
    strays: tuple[str, ...]
    doubt: str | None
    wording: str | None
    parts: tuple[str, ...]

    @property
    def source(self) -> str:
        """The name in the file, or all of them."""
        return "' and '".join(self.sources)

    @property
    def label(self) -> str:
        """The name in the file, on one line."""
        return visible(" / ".join(self.sources))

    @property
    def filled(self) -> int:
        """The number of rows with a value."""
        return int((self.place >= 0).sum())

    @property
    def given(self) -> tuple[ColumnValue, ...]:
        """The values that stand in a row."""
        return tuple(value for value in self.values if value.count)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values as numbers, by size; none where they are words or have words."""
        return tuple(v.number for v in self.values if v.number is not None) if self.kind == "numbers" else ()

    @property
    def whole(self) -> bool:
        """Whether every value is a whole number or has one for its code."""
        numbers = [v.number for v in self.values if v.number is not None] if self.kind != "words" else []
        return bool(numbers) and all(n == round(n) and abs(n) < _LARGEST_WHOLE for n in numbers)

    def raw(self, value: ColumnValue) -> Raw:
        """A value as a study file says it."""
        return value.cell if value.number is None or self.kind == "words" else _raw(value.number)

    @property
    def useless(self) -> str | None:
        """Why nothing can be learnt from the column by itself; None where something can."""
        rows = len(self.place)
        if self.doubt:
            return "cannot be read: " + self.doubt.split(": ", 1)[-1].rstrip(".")
        if self.parts:
            return "has several answers in a cell, read as columns of yes and no beside it"
        if len(self.given) < 2:
            blank = ", and is else empty; if that means no, name it" if self.filled < rows else ""
            return f"has one value, {self.given[0].cell!r:.40}{blank}" if self.given else "is empty"
        if 2 * self.filled < rows:
            return f"is empty in {rows - self.filled} of {rows} rows"
        if self._tells_rows_apart:
            return "has another value in every row, like a participant's number"
        if all(_DATE.fullmatch(value.cell) for value in self.values):
            return "holds dates or times"
        if self.strays:
            return f"holds words among its numbers: {', '.join(map(repr, self.strays[:3]))}"
        many = self.kind == "words" and len(self.given) > MOST_LEVELS
        return f"has {len(self.given)} different texts" if many else None

    @property
    def _tells_rows_apart(self) -> bool:
        if len(self.values) < self.filled or self.kind == "words" or is_person(self.sources[0]):
            return len(self.values) >= self.filled
        return self.whole and bool(self.numbers) and self.numbers[-1] - self.numbers[0] == len(self.values) - 1


def read_column(table: Table, sources: tuple[str, ...], name: str, declared: Sequence[Raw] = ()) -> Column:
    """Find out what a column of a table is, where some values are declared to be missing."""
    cells = table.column(sources, f"'{name}'")
    counts = Counter(cells)
    is_declared = finder_of(declared)
    gone = [c for c in counts if c and (is_no_answer(c) or is_declared(table.spellings(sources, c)))]
    spelt: dict[float | str, list[str]] = {}  # what is said, then the cells that say it
    for cell in counts:
        if cell and cell not in gone:
            key = table.spellings(sources, cell)[1]
            spelt.setdefault(float(key) if is_number(key) else folded(cell), []).append(cell)
    labels, texts = _labels(table, sources)
    words = [key for key in spelt if isinstance(key, str)]
    numbers = {key for key in spelt if isinstance(key, float)}
    codes, aside = _missing(words, numbers, labels)
    gone += [cell for key in words if key in aside for cell in spelt[key]]
    spelt = {key: found for key, found in spelt.items() if key not in (*codes, *aside)}
    labels = {number: text for number, text in labels.items() if number not in aside}
    most = {key: max(found, key=lambda cell: counts[cell]) for key, found in spelt.items()}

    def text(key: float | str) -> str:
        cell = most[key]
        plain = cell if isinstance(key, str) or is_number(cell) else f"{key:.15g}"
        return visible(texts.get(repr(key) if isinstance(key, float) else key) or texts.get(cell_key(cell)) or plain)

    values = [
        ColumnValue(most[key], sum(counts[cell] for cell in found), key if isinstance(key, float) else None, text(key))
        for key, found in spelt.items()
    ]
    if texts and all(cell_key(value.cell) in texts for value in values):
        values.sort(key=lambda value: value.cell)
    kind, values, ordered, guessed = _in_order(values, labels, any(source in table.ordinal for source in sources))
    places = {value.cell: place for place, value in enumerate(values)}
    of_cell = {cell: places[most[key]] for key, found in spelt.items() for cell in found}
    strays = [v for v in values if v.number is None] if kind == "words" and not ordered else []
    many = len(values) - len(strays) > 2 and 2 * sum(v.count for v in strays) < sum(v.count for v in values)
    raws = [*(_raw(float(cell)) if is_number(cell) else cell for cell in gone),
            *map(_raw, sorted(numbers & {*codes, *aside}))]  # fmt: skip
    return Column(
        sources, name, tuple(values), np.array([of_cell.get(cell, -1) for cell in cells], dtype=np.int64), kind,
        ordered, guessed,
        ends=labels if kind == "numbers" else {},
        missing=tuple({folded(str(raw)): raw for raw in raws}.values()),
        codes=tuple(map(_raw, codes)),
        twins=tuple(c for key in spelt if isinstance(key, str) for c in spelt[key] if c != most[key]),
        strays=tuple(value.cell for value in strays) if many else (),
        doubt=next((table.doubts[source] for source in sources if source in table.doubts), None),
        wording=next((_plain_text(table.wordings[s]) for s in sources if s in table.wordings), None),
        parts=table.parts.get(sources[0], ()) if len(sources) == 1 else (),
    )  # fmt: skip


def _labels(table: Table, sources: tuple[str, ...]) -> tuple[dict[float, str], dict[str, str]]:
    """The words for numbers, without the numbers that stand before them in some files; and all words by their key."""
    labels: dict[float, str] = {}
    found = {key: words for source in sources for key, words in table.labels.get(source, {}).items()}
    for key, words in found.items():
        if is_number(key) and not (is_number(words) and float(words) == float(key)):
            bare = re.sub(rf"\A\(?{float(key):g}\b[\s.:=)-]*", "", words.strip()) or words
            labels[float(key)] = words if is_amount(words) else bare
    texts = {key: words for key, words in found.items() if not is_number(key)}
    return dict(sorted(labels.items())), texts | {repr(number): words for number, words in labels.items()}


def _missing(
    words: list[str], numbers: set[float], labels: dict[float, str]
) -> tuple[tuple[float, ...], set[float | str]]:
    """Codes that lie far from all others, and what is missing by its words: "Refused", and "Don't know" on a scale."""
    said = [key for key in words if key not in NO_OPINION]
    scale = (not said and len(numbers) > 2) or (len(said) > 2 and order_of(said) is not None)
    aside: set[float | str] = {key for key in words if key in NO_OPINION and scale}
    meant = [text for text in labels.values() if folded(text) not in NO_ANSWER | NO_OPINION]
    known = NO_ANSWER | (NO_OPINION if (len(meant) > 2 and order_of(meant)) or numbers - set(labels) else frozenset())
    aside |= {number for number, text in labels.items() if folded(text) in known}
    rest = [number for number in numbers if number not in aside]
    # A number among words stands for none of them if it looks like a code.
    far = missing_codes(rest) if not said else tuple(rest) if len(said) > 1 and all(map(is_code, rest)) else ()
    return tuple(number for number in far if number not in labels), aside


def _in_order(
    values: list[ColumnValue], labels: dict[float, str], ordinal: bool
) -> tuple[_Kind, list[ColumnValue], bool, bool]:
    """The kind of the values, the values in their order, whether it is one, and whether it was guessed from words."""
    if values and all(value.number is not None for value in values):
        there = {value.number for value in values}
        if not labels or not there <= set(labels) or len(labels) > MOST_LEVELS:
            return "numbers", _by_number(values), True, False
        unused = [ColumnValue(f"{n:g}", 0, n, visible(text)) for n, text in labels.items() if n not in there]
        values = _by_number([*values, *unused])
        order = order_of([value.text for value in values])
        monotone = order is not None and order in (sorted(order), sorted(order, reverse=True))
        return "labelled", values, ordinal or monotone, monotone
    order = order_of([value.text for value in values])
    if order is None:
        return "words", values, ordinal, False
    return "words", [value for _, value in sorted(zip(order, values, strict=True), key=lambda one: one[0])], True, True


def _by_number(values: Iterable[ColumnValue]) -> list[ColumnValue]:
    return sorted(values, key=lambda value: value.number or 0.0)


def ticked(column: Column) -> Column:
    """A column of one value that is empty elsewhere, as a box that was ticked: empty is no."""
    if len(column.given) != 1 or column.filled in (0, len(column.place)):
        return column
    yes = replace(column.given[0], number=None, text="yes")
    values = (ColumnValue("", len(column.place) - column.filled, None, "no"), yes)
    place = (column.place >= 0).astype(np.int64)
    return replace(column, values=values, place=place, kind="words", ordered=True, missing=())


def column_said(column: Column) -> Iterator[str]:
    """What a column's cells were taken for, where that may be wrong."""
    if column.codes:
        rest = f" ({column.numbers[0]:g} to {column.numbers[-1]:g})" if column.numbers else ""
        lies = f"{', '.join(map(str, column.codes))} {'lies' if len(column.codes) == 1 else 'lie'}"
        yield f"'{column.source}': {lies} outside the rest{rest} and may stand for a missing answer, under `missing`"
    if column.twins:
        yield f"'{column.source}': read as other spellings of one answer: {', '.join(map(repr, column.twins[:4]))}"


def visible(words: str) -> str:
    """The words of a file on one line, without characters that nobody sees."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split()) or "(no visible text)"


def _plain_text(words: str) -> str:
    """The wording of a question on one line, without the marks of a web page."""
    return visible(unescape(re.sub(r"<[^>]{0,200}>", " ", words))).replace("{", "(").replace("}", ")")


def _raw(number: float) -> Raw:
    return round(number) if number == round(number) else number
