"""What a file shows by itself: codes for missing answers, ids, weights, rows to leave out, columns of one question.

`new-study` proposes what is found here, and `check` warns of it: both read a file with the same eyes. The names and
words that are looked for stand in ``words.txt``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import pandas as pd
import yaml

from pilotlm.data.cells import finder_of, folded, is_number, pattern
from pilotlm.data.tables import Table
from pilotlm.study import Keep

_CODE = re.compile(r"-\d|[789]|-?([6-9])\1+|-?9+[678]")
_FINISHED, _HANDED_IN, _ATTENTION, _STATUS, _BOT = map(pattern, ("finished", "handed in", "attention", "status", "bot"))
_GOOD, _BAD, _UNWANTED = map(pattern, ("good", "bad", "unwanted"))
_PERSON, _ROUND, _RECORD, _WEIGHT, _BODY = map(pattern, ("person", "round", "record", "weight", "body"))
_MOST_AGREE = 0.7
"""The share of people who give one answer to what looks like a check of attention; the others may have failed it."""


@dataclass(frozen=True)
class Detection:
    """Something that a file shows and a study file can say, of a column (or several that hold one question).

    ``said`` is the warning, with what to write; where names and words leave little doubt (``sure``) a draft says it at
    once. ``keep`` says which rows stay.
    """

    key: Literal["participant", "weight", "keep", "column"]
    columns: tuple[str, ...]
    said: str
    sure: bool = False
    keep: Keep | None = None


def detections_of(table: Table) -> list[Detection]:
    """All that is found in a table."""
    return [*_rows_to_leave_out(table), *repeated_ids(table), *_weights(table), *_apart(table)]


@cache
def snake(name: str) -> str:
    """A column's name in small letters, its words joined by underscores."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()


def is_person(name: str) -> bool:
    """Whether a column is named as the id of a person."""
    return bool(_PERSON.fullmatch(snake(name)))


def is_record(name: str) -> bool:
    """Whether a column is named as survey programs name what nobody was asked: dates, addresses, ids, durations."""
    return any(known.fullmatch(snake(name)) for known in (_RECORD, _PERSON, _ROUND))


# Codes for missing answers.


def is_code(number: float) -> bool:
    """Whether a number is one that data often have for a missing answer."""
    return number == round(number) and bool(_CODE.fullmatch(f"{number:.0f}"))


def missing_codes(numbers: Iterable[float]) -> tuple[float, ...]:
    """Which numbers of a column are codes for a missing answer: such as -9, 8, 99, 999, and far from all others.

    Numbers that look like a code are taken from the nearest on: each joins the others, or is found to lie outside.
    """
    values = set(numbers)
    whole = all(number == round(number) for number in values)
    codes = {number for number in values if is_code(number) and (whole or abs(number) > 90)}
    others, found = sorted(values - codes), []
    if len(others) < 2:
        return ()
    below, above = [-n for n in values if -10 < n < 0], [n for n in values if n > 0 and (n < 10 or n not in codes)]
    mirror, most = max(below, default=0.0), max(above, default=0.0)
    if 0.9 * most <= mirror <= 1.1 * most and 2 * len(below) >= len(above):
        codes -= {-n for n in below}  # a scale around zero
        others = sorted(values - codes)
    for code in sorted(codes, key=lambda n: max(others[0] - n, n - others[-1])):
        if _is_outside(code, others, mirror):
            found.append(code)
        else:
            others = sorted([*others, code])
    return tuple(sorted(found))


def _is_outside(code: float, others: list[float], mirror: float) -> bool:
    """Whether a code lies beyond numbers in their order; the largest one below zero is minus ``mirror``."""
    low, high = others[0], others[-1]
    no_gap = high - low == len(others) - 1
    if code > high:
        known = (low in (0, 1) and no_gap) or (code >= 10 and len(others) > 2)
        return known and code - high >= max(3, 0.2 * (high - low))
    gap = low - code
    if gap < 0:
        return False
    if low < 0:
        return gap >= 3 * (high - low) or (gap >= 3 and no_gap)
    if gap == 1:
        return no_gap and high >= 4 and mirror <= 0.4 * high
    return low >= 1 or code <= -6 or no_gap


# Ids and weights.


def repeated_ids(table: Table) -> list[Detection]:
    """The column that says who answered, where people have several rows each: by its name, or by what it holds."""
    found = []
    for name, cells in table.counts.items():
        counts = [count for cell, count in cells.items() if cell]
        people, rows, same = len(counts), sum(counts), len(set(counts)) == 1
        # Some leave early, but the ages or regions of people stand in as many rows as it happens.
        alike = 5 * max(Counter(counts).values(), default=0) >= 4 * people
        if (
            name in table.parts
            or people < 5
            or 10 * rows < 9 * len(table.cells)
            or not (2 * rows >= 3 * people or _are_rounds(table, name))
        ):
            continue
        named, numbers = is_person(name), all(map(is_number, filter(None, cells)))
        whole = not any(is_number(cell) and float(cell) % 1 for cell in cells)
        # A few numbers under a name such as PID may be a scale.
        if (named and (people > 24 or not numbers or same)) or (
            people > 4 + 4 * (not named) and (alike or named) and whole and _traits(table.cells, name) > (not named)
        ):
            each = f"{people} people in {rows} rows, {'' if same else 'about '}{rows / people:.0f} rows each"
            said = f"'{name}' looks like the id of people with several rows each ({each})"
            said += f": rows are not people; if it is, write participant: {name}"
            found.append(((named, people, not numbers), Detection("participant", (name,), said, named)))
    return [max(found, key=lambda one: one[0])[1]] if found else []


def _are_rounds(table: Table, name: str) -> bool:
    """Whether rows with the same id are told apart by a round, a wave or the like."""
    rounds = [other for other in table.counts if _ROUND.fullmatch(snake(other)) and len(table.counts[other]) > 1]
    twice = table.cells[table.cells[name] != ""]
    return (
        is_person(name)
        and any(not twice.duplicated([name, other]).any() for other in rounds)
        and bool(twice.duplicated(name).any())
    )


def _traits(cells: pd.DataFrame, name: str) -> int:
    """How many columns differ between the values of a column, and never within one."""
    first = cells.groupby(cells[name], sort=False).transform("first")
    same = [other for other in first.columns if (first[other] == cells[other]).all()]
    return sum(len(cells[other].unique()) > 1 for other in same)


def _weights(table: Table) -> Iterator[Detection]:
    """The columns that look like survey weights: named so and not a body's, or positive with a mean of 1."""
    for name, counts in table.counts.items():
        plain = table.plain.get(name, {})
        cells = [(plain.get(cell, cell), count) for cell, count in counts.items() if cell]
        different = len(cells)
        if different < 2 or not all(is_number(cell) for cell, _ in cells):
            continue
        numbers = pd.Series([float(cell) for cell, _ in cells]).repeat([count for _, count in cells])
        named = _WEIGHT.fullmatch(snake(name)) and not _BODY.fullmatch(snake(name))
        body = numbers.min() >= 20 and 35 <= numbers.median() <= 300
        fine = different > 5 and any(len(cell.partition(".")[2]) > 2 for cell, _ in cells)
        mean_one = fine and numbers.between(0.001, 50).all() and abs(numbers.mean() - 1) < 0.005
        looks = (named and not body) or mean_one
        if looks and numbers.min() >= 0:
            said = f"'{name}' looks like a survey weight and is not used: all numbers are of the sample, not of the "
            yield Detection("weight", (name,), f"{said}population; to use it, write weight: {name}")


# Rows to leave out.


def _rows_to_leave_out(table: Table) -> Iterator[Detection]:
    """Who did not finish, previews and spam, failed checks of attention, ids that are there twice."""
    already: list[pd.Series] = []
    for name in sorted(table.counts, key=lambda name: snake(name) == "progress"):
        counts = table.counts[name]
        keep, sure = _condition(snake(name), [cell for cell in counts if cell]), True
        filled, different = len(table.cells) - counts.get("", 0), len(counts) - ("" in counts)
        if keep is None and _ATTENTION.fullmatch(snake(name)) and 1 < different < 12:
            (most, count), sure = counts.most_common(1)[0], False
            keep = Keep(is_in=(most,)) if count >= _MOST_AGREE * len(table.cells) else None
        elif keep is None and is_person(name) and different < filled < 1.5 * different and not _are_rounds(table, name):
            keep = Keep(first=True)
        gone = ~rows_kept(table, name, keep) if keep is not None else pd.Series(dtype=bool)
        # Several columns may say the same of the same rows.
        if keep is not None and 0 < gone.sum() < len(gone) and not any(gone.equals(other) for other in already):
            already.append(gone)
            content = {key: int(value) if isinstance(value, float) and value == round(value) else value
                       for key, value in keep.model_dump(exclude_defaults=True, mode="json").items()}  # fmt: skip
            condition = yaml.safe_dump({name: content}, default_flow_style=True, allow_unicode=True, width=10**6)
            said = f"keep: {condition.strip()} leaves out {gone.sum()} of {len(gone)} rows"
            yield Detection("keep", (name,), said, sure, keep)


def _condition(name: str, values: list[str]) -> Keep | None:
    """Which values of a column stay, where its name and the words in it say so."""
    if name == "progress" and values and all(map(is_number, values)) and max(map(float, values)) == 100:
        return Keep(at_least=100)
    if _HANDED_IN.fullmatch(name):
        return Keep(not_in=("",))
    if name.endswith("_complete") and "2" in values and set(values) <= {"0", "1", "2"}:
        return Keep(is_in=("2",))
    if not any(known.fullmatch(name) for known in (_BOT, _FINISHED, _ATTENTION, _STATUS)):
        return None
    good, bad, unwanted = (
        tuple(value for value in values if words.fullmatch(folded(value))) for words in (_GOOD, _BAD, _UNWANTED)
    )
    if _STATUS.fullmatch(name):
        # In Qualtrics' numbers for a status, of which 0 is an ordinary one, these bits are previews, tests and spam.
        flagged = tuple(v for v in values if v.isascii() and v.isdigit() and int(v) & 0b1011) if "0" in values else ()
        return Keep(not_in=unwanted or flagged) if unwanted or flagged else None
    if not good or len(good) + len(bad) < len(values):
        return None
    return Keep(is_in=good) if not _BOT.fullmatch(name) else Keep(not_in=good) if bad else None


def rows_kept(table: Table, column: str, keep: Keep, among: pd.Series | None = None) -> pd.Series:
    """Which rows a condition keeps; the first with an id is the first of those ``among`` which it is looked for."""
    cells = table.column((column,), "'keep'")
    is_in, not_in = finder_of(keep.is_in), finder_of(keep.not_in)
    low, high = (-float("inf") if keep.at_least is None else keep.at_least,
                 float("inf") if keep.at_most is None else keep.at_most)  # fmt: skip

    def stays(spellings: tuple[str, ...]) -> bool:
        number = next((float(spelling) for spelling in spellings if is_number(spelling)), float("nan"))
        within = (keep.at_least is None and keep.at_most is None) or low <= number <= high
        return within and (not keep.is_in or is_in(spellings)) and not not_in(spellings)

    found = table.said_of((column,), cells, stays).astype(bool)
    if not keep.first:
        return found
    ids = cells.where(found if among is None else found & among, "")
    return found & ~((ids != "") & ids.duplicated())


def rows_kept_by_all(table: Table, conditions: dict[str, Keep]) -> pd.Series:
    """Which rows all conditions keep; which row is the first with an id is asked last."""
    among = pd.Series(True, index=table.cells.index)
    for column, keep in sorted(conditions.items(), key=lambda item: item[1].first):
        among &= rows_kept(table, column, keep, among)
    return among


# Columns that belong together.


def _apart(table: Table) -> Iterator[Detection]:
    """Columns of which one is filled in each row, with the same answers: one question asked in several arms."""
    filled = {str(name): table.cells[name] != "" for name in table.cells.columns}
    some = [name for name, rows in filled.items() if 0.02 < rows.mean() < 0.98]
    while some:
        first, *some = some
        group, covered, values = [first], filled[first], set(table.cells[first][filled[first]])
        for name in some:
            own = set(table.cells[name][filled[name]])
            if not (covered & filled[name]).any() and 3 * len(own & values) >= 2 * min(len(own), len(values)):
                group, covered, values = [*group, name], covered | filled[name], values | own
        if len(group) > 1 and covered.mean() > 0.9:
            said = f"{' and '.join(map(repr, group))} are filled in different rows"
            yield Detection(
                "column", tuple(group), f"{said}; if they are one question, write column: [{', '.join(group)}]"
            )
            some = [name for name in some if name not in group]


def conjoint_task(table: Table, person: str | None, action: str) -> str | None:
    """The column of the tasks of a conjoint: each person has several rows in each task, one of which is chosen."""
    chosen = table.cells[action].map(lambda c: float(c) if is_number(c) else float(folded(c) in ("yes", "true")))
    if set(chosen.unique()) != {0.0, 1.0}:
        return None
    who = [table.cells[person]] if person else []
    for name in map(str, table.cells.columns):
        if name not in (person, action) and 1 < len(table.counts[name]) <= len(table.cells) / 2:
            tasks = chosen.groupby([*who, table.cells[name]])
            if tasks.size().between(2, 6).all() and (tasks.sum() == 1).all():
                return name
    return None
