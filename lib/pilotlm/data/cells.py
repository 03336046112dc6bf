"""What single cells say: numbers however they are written, numbers with words beside them, several answers in a cell.

A comma or a point with three digits behind it may separate thousands or decimals. It is read where other cells of the
column leave no doubt, and else refused, with both readings said; thousands never become decimals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pilotlm.data.words import NO_ANSWER, NO_OPINION, folded, order_of
from pilotlm.variables import Raw

T = TypeVar("T")
MOST_LEVELS = 24
"""A text with more different values is no category."""
_MOST_DIFFERENT = 500
"""In columns with more different cells these stand for single texts."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_UNIT = r"(%|[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR)?"
_AMOUNT = re.compile(rf"([+\-\N{{MINUS SIGN}}]?){_UNIT}\s?([+\-\N{{MINUS SIGN}}]?)([0-9.,](?:[0-9.,'’ \u00a0\u202f]*"
                     rf"[0-9.,])?)\s?{_UNIT}\Z")  # fmt: skip
"""A number with a currency or a percent sign before or after it."""
_COMMA_GROUPS = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?\Z")
_POINT_GROUPS = re.compile(r"[1-9]\d{0,2}(\.\d{3})+(,\d+)?\Z")
_BLANK_GROUPS = re.compile(r"[1-9]\d{0,2}([ '’\u00a0\u202f]\d{3})+([.,]\d+)?\Z")
_DECIMAL_COMMA = re.compile(r"\d*,\d+\Z")
_NUMBERED = (
    re.compile(r"\(?(?P<number>[+-]?\d{1,4})(?:\s*[-–—:.=)]+\s*|\s+\()(?P<words>[^\d\s()][^()]*?)\)?\Z", re.ASCII),
    re.compile(r"(?P<words>.*[^\d\s].*?)\s*\((?P<number>[+-]?\d{1,4})\)\Z", re.ASCII),
    re.compile(r"(?P<number>[+-]?\d{1,4})(?P<blank>\s+)(?P<words>[^\d\W].*)\Z"),
)


@dataclass(frozen=True)
class Meaning:
    """What the cells of a column say.

    Attributes
    ----------
    plain : dict
        Cell, then the number that it is another spelling of: "4,1" is 4.1, "1 - not at all" is 1.
    labels : dict
        Number, as `cell_key` writes it, then the words beside it.
    doubt : (str, str), optional
        The first cell that may be two numbers, and why nothing is read from it.
    """

    plain: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    doubt: tuple[str, str] | None = None


def cell_key(cell: str) -> str:
    """What a cell says whatever its form: '1', '1.0' and ' 1' are the same."""
    text = cell.strip()
    return repr(float(text) + 0.0) if _NUMBER.match(text) else text


def raw_keys(value: Raw) -> tuple[str, ...]:
    """The forms in which a raw value of a study file may stand in a cell; '1', 1 and 1.0 are the same."""
    if isinstance(value, bool):
        # YAML reads a bare yes or no as true or false.
        return ("true", "yes", "on") if value else ("false", "no", "off")
    return (cell_key(str(value)),)


def finder(known: Mapping[str, T]) -> Callable[[Iterable[str]], T | None]:
    """What stands for the first of some spellings that is known: as it is written, else with other capital letters."""
    loose: dict[str, list[T]] = {}
    for key, value in known.items():
        loose.setdefault(folded(key), []).append(value)

    def find(spellings: Iterable[str]) -> T | None:
        for spelling in spellings:
            if spelling in known:
                return known[spelling]
        found = [loose.get(folded(spelling), []) for spelling in spellings]
        return next((values[0] for values in found if values and all(value == values[0] for value in values)), None)

    return find


def is_number(cell: str) -> bool:
    """Whether a cell is a number as a program writes it, and not too large for one."""
    return bool(_NUMBER.match(cell.strip())) and math.isfinite(float(cell))


def is_no_answer(cell: str) -> bool:
    """Whether a cell is empty or a word for a missing answer, whatever stands in the rest of its column."""
    return not cell.strip() or folded(cell) in NO_ANSWER


def meaning_of(cells: Iterable[str], comma_is_decimal: bool, points_group: bool) -> Meaning:
    """What the different cells of a column say.

    Parameters
    ----------
    cells : iterable of str
        The cells, each once.
    comma_is_decimal : bool
        Whether the file may hold decimal commas: in one that commas separate, "4,1" may be two answers as well.
    points_group : bool
        Whether the file is written as where a point may separate thousands: with semicolons or decimal commas.
    """
    known = [cell for cell in cells if not is_no_answer(cell)]
    if all(map(is_number, known)) and not any(len(cell.partition(".")[2]) == 3 for cell in known):
        return Meaning()
    numbers = _numbers(known, comma_is_decimal, points_group)
    return numbers if numbers.plain or numbers.doubt or len(known) > _MOST_DIFFERENT else _numbered(known)


def without_unit(cell: str) -> tuple[str, str]:
    """The unit of an amount and its number as text; the cell itself where it is none."""
    found = _AMOUNT.match(cell)
    if not found or (found[2] and found[5]):
        return "", cell
    return found[2] or found[5] or "", (found[1] + found[3]).replace("\N{MINUS SIGN}", "-") + found[4]


def several_answers(cells: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """The mark between the answers of cells such as "TV;radio", and the answers; None where cells hold one each."""
    if len(cells) > _MOST_DIFFERENT:
        return None
    for mark in (";", "|", ","):
        split = [split_answers(cell, mark) for cell in cells]
        answers = tuple(dict.fromkeys(answer for parts in split for answer in parts))
        joined = [parts for parts in split if len(parts) > 1]
        if len(joined) < 2 or not 2 <= len(answers) <= min(MOST_LEVELS, len(cells)):
            continue
        once = all("" not in parts and len(set(parts)) == len(parts) for parts in split)
        numbers = [[float(answer) for answer in parts] for parts in split] if all(map(is_number, answers)) else []
        alone = any(len(parts) == 1 for parts in split) or any(len(parts) > 2 for parts in split)
        if once and alone and all(sorted(parts) == parts for parts in numbers):
            return mark, answers if not numbers else tuple(sorted(answers, key=float))
    return None


def split_answers(cell: str, mark: str) -> list[str]:
    """The answers in a cell; some programs end the last one with a mark, too."""
    return [answer.strip() for answer in cell.strip().removesuffix(mark).split(mark)]


def _numbers(cells: list[str], comma_is_decimal: bool, points_group: bool) -> Meaning:
    split = {cell: found for cell in cells if (found := _AMOUNT.match(cell)) and re.search(r"\d", found[4])}
    english = {cell: _english(found[4]) for cell, found in split.items()}
    continental = {cell: _continental(found[4]) for cell, found in split.items()}
    if None not in english.values() and None not in continental.values():
        doubtful = next((cell for cell in split if english[cell] != continental[cell]), None)
        if doubtful is None:
            return Meaning(_rewritten(split, english))
        # Beside whole numbers up to 999 the others would be decimals of three digits each.
        grouped = points_group or "," in doubtful or any(re.fullmatch(r"\d{3}", found[4]) for found in split.values())
        return Meaning(doubt=(doubtful, _thousands(doubtful))) if grouped else Meaning()
    if None not in english.values():
        return Meaning(_rewritten(split, english))
    if None in continental.values():
        return Meaning()
    certain = any("." in cell and ("," in cell or cell.count(".") > 1) for cell in split)
    first = next((cell for cell in split if "," in cell), "")
    decimals = {len(cell.partition(",")[2]) for cell in split if "," in cell}
    fixed = next((c for c in split if _COMMA_GROUPS.match(split[c][4]) and c.endswith("0")), None)
    if fixed and len(decimals) > 1 and not certain:
        return Meaning(doubt=(fixed, _thousands(fixed)))
    if certain or comma_is_decimal:
        return Meaning(_rewritten(split, continental))
    return Meaning(doubt=(first, f"{first!r} has a decimal comma; write decimal points, and nothing between thousands, "
                                 "in the file (of several answers in a cell, make one column each)"))  # fmt: skip


def _english(number: str) -> str | None:
    if is_number(number):
        return number
    return re.sub(r"[,'’ \u00a0\u202f]", "", number) if _COMMA_GROUPS.match(number) else _blanks(number)


def _continental(number: str) -> str | None:
    if number.isdigit():
        return number
    if _POINT_GROUPS.match(number) or _DECIMAL_COMMA.match(number):
        return number.replace(".", "").replace(",", ".")
    return _blanks(number)


def _blanks(number: str) -> str | None:
    return re.sub(r"[ '’\u00a0\u202f]", "", number).replace(",", ".") if _BLANK_GROUPS.match(number) else None


def _rewritten(split: dict[str, re.Match[str]], numbers: dict[str, str | None]) -> dict[str, str]:
    """The cells whose number is written otherwise, with the number in their place and the unit as it was."""
    new = {cell: f"{cell[: found.start(4)]}{numbers[cell]}{cell[found.end(4) :]}" for cell, found in split.items()}
    return {cell: text for cell, text in new.items() if text != cell}


def _thousands(cell: str) -> str:
    return (
        f"{cell!r} may have a separator of thousands or of decimals, for three digits follow every one; in the file, "
        f"write thousands without a separator ({re.sub('[.,]', '', cell)}) and decimals with a point"
    )


def _numbered(cells: list[str]) -> Meaning:
    """Numbers of which some have words beside them, or whose two ends are words alone."""
    words = [cell for cell in cells if not is_number(cell) and folded(cell) not in NO_OPINION]
    found = {cell: match for cell in words for known in _NUMBERED if (match := known.match(cell))}
    if len(found) < len(words):
        return _ends(words, [float(cell) for cell in cells if is_number(cell)])
    labels = {cell_key(match["number"]): match["words"].strip() for match in found.values()}
    # Where a blank alone stands between them, "2 children" may be words, and "2 agree" not.
    if any(match.groupdict().get("blank") for match in found.values()) and order_of(list(labels.values())) is None:
        return Meaning()
    pairs = {(cell_key(match["number"]), folded(match["words"])) for match in found.values()}
    if len(cells) < 2 or any(len({pair[k] for pair in pairs}) < len(pairs) for k in (0, 1)):
        return Meaning()
    plain = {cell: match["number"] for cell, match in found.items()}
    return Meaning(plain, labels)


def _ends(words: list[str], numbers: list[float]) -> Meaning:
    """A scale whose ends are words and whose middle is numbers: Not at all, 2, 3, 4, Completely."""
    between = sorted(set(numbers))
    order = order_of(words) if len(words) == 2 and len(between) > 1 else None
    if order is None or between[-1] - between[0] != len(between) - 1 or between[0] != round(between[0]):
        return Meaning()
    low, high = sorted(words, key=lambda word: order[words.index(word)])
    plain = {low: str(round(between[0]) - 1), high: str(round(between[-1]) + 1)}
    return Meaning(plain, {cell_key(number): word for word, number in plain.items()})
