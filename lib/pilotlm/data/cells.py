"""What single cells say: numbers however they are written, words in an order, several answers, no answer.

A comma or a point with three digits behind it may separate thousands or decimals. It is read where other cells of the
column leave no doubt, and else refused, with both readings said; thousands never become decimals.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

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


def read_sections(path: Path) -> dict[str, str]:
    """The sections of a text file, each under its name in brackets, as they follow each other."""
    _, *parts = re.split(r"^\[([a-z ]+)\]\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


_SECTIONS = read_sections(Path(__file__).with_name("words.txt"))


def section_lines(section: str) -> list[str]:
    """The lines of a section of ``words.txt``."""
    return [line.strip() for line in _SECTIONS[section].splitlines() if line.strip()]


def pattern(section: str) -> re.Pattern[str]:
    """What matches any text of a section of ``words.txt``."""
    return re.compile("|".join(section_lines(section)))


NO_ANSWER = frozenset("|".join(section_lines("no answer")).split("|"))
"""Words that stand for a missing answer wherever they stand, folded."""
NO_OPINION = frozenset("|".join(section_lines("no opinion")).split("|"))
"""Words that stand for a missing answer among numbers and among words in an order; else they are an option."""
_ORDERS: list[list[tuple[float, re.Pattern[str]]]] = [
    list(enumerate(map(re.compile, line.split(";")))) for line in section_lines("orders")
]
_EDUCATION = [
    (float(rank), re.compile(said)) for rank, _, said in (x.partition(": ") for x in section_lines("education"))
]
_NEUTRAL = pattern("neutral")
_POLE_OF = {
    word: (number, side)
    for number, pair in enumerate(section_lines("opposites"))
    for side, words in zip((-1, 1), pair.split(";"), strict=True)
    for word in words.split("|")
}
_POLE = re.compile(rf"\b({'|'.join(sorted(map(re.escape, _POLE_OF), key=len, reverse=True))})\b")
_DEGREE_OF = {
    word.strip(): float(degree)
    for degree, words in (line.split(":") for line in section_lines("degrees"))
    for word in words.split("|")
}
_DEGREE_FIRST = re.compile(rf"({'|'.join(sorted(filter(None, _DEGREE_OF), key=len, reverse=True))})\b ?(.*)\Z")
_RANGE = re.compile(
    r"(?P<below>under|below|less than|fewer than|younger than|up to|at most|<=?|≤|unter|bis( zu)?|weniger als|moins de"
    r")?[ (]*(?P<above>over|above|more than|older than|at least|from|>=?|≥|über|mehr als|ab|plus de)?"
    r" ?[$€£]?(?P<low>\d+([.,]\d+)?) ?(?P<k>k\b)?[^\d+]*?((-|–|—|to|bis|and|à|until) ?(less than |under )?[$€£]?"
    r"(?P<high>\d+([.,]\d+)?) ?k?)?(?P<more>\+|[^\d]*(or|and|und|et|ou) ?(more|older|over|above|higher|greater|up|mehr|"
    r"älter|plus)\b|plus)?[^\d]*\Z"
)


@lru_cache(maxsize=10_000)
def folded(text: str) -> str:
    """What spellings of one word have in common: capital letters, blanks and forms of letters and quotes aside."""
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'")
    return " ".join(text.casefold().split())


def order_of(texts: Sequence[str]) -> list[float] | None:
    """Where each of some words stands in the order of them all, as numbers that rise; None where no order is known."""
    # No order has more steps than thirty.
    words = [re.sub(r"[\s.!,:;]+\Z|\A[\s.,:;]+", "", folded(text)) for text in texts] if len(texts) <= 30 else []
    found = [_by_degree(words), *(_ranks(words, steps) for steps in (*_ORDERS, _EDUCATION)), _by_range(words)]
    return next((ranks for ranks in found if ranks and len(set(ranks)) == len(words) > 1), None)


def _by_degree(words: list[str]) -> list[float] | None:
    """By a pole and a degree (strongly disagree, slightly likely), or a degree of one thing (not at all afraid)."""
    placed = [place for word in words if (place := _placed(word))]
    about = {what for what, _ in placed if what is not None}
    return [degree for _, degree in placed] if len(placed) == len(words) and len(about) < 2 else None


def _placed(word: str) -> tuple[object, float] | None:
    """What a word is about (None: it does not say) and how far it goes."""
    if _NEUTRAL.fullmatch(word):
        return None, 0.0
    if pole := _POLE.search(word):
        rest = re.sub(r"\b(with|that|it|this|i|to|of)\b", " ", word[: pole.start()] + " " + word[pole.end() :])
        kind, side = _POLE_OF[pole[1]]
        degree = _DEGREE_OF.get(" ".join(rest.split()))
        if degree is not None:
            return kind, side * degree
    found = _DEGREE_FIRST.match(word)
    return (found[2] or None, _DEGREE_OF[found[1]]) if found else None


def _ranks(words: list[str], ranked: Sequence[tuple[float, re.Pattern[str]]]) -> list[float] | None:
    """The rank of the first pattern that each word matches, if all do."""
    found = [rank for word in words for rank in [r for r, known in ranked if known.fullmatch(word)][:1]]
    return found if len(found) == len(words) else None


def _by_range(words: list[str]) -> list[float] | None:
    """By the number at which a range starts: under 18, 18-24, 65+."""
    found = [m for w in words if (m := _RANGE.match(re.sub(r"(?<=\d)[,.' ](?=\d{3}\b)", "", w)))]
    ranges = sum(any(match[part] for part in ("below", "above", "high", "more")) for match in found)
    bare = sum(word.isdigit() for word in words)
    if not 2 < len(words) == len(found) or not ranges or ranges + bare < len(words) - 1:
        return None
    lows = [float(match["low"].replace(",", ".")) * (1000 if match["k"] else 1) for match in found]
    return [low + 0.5 * bool(m["above"]) - 0.5 * bool(m["below"]) for low, m in zip(lows, found, strict=True)]


# Numbers.


@dataclass(frozen=True)
class Meaning:
    """What the cells of a column say.

    ``plain`` has the number that a cell is another spelling of ("4.1" for "4,1", "1" for "1 - not at all"), ``labels``
    the words for a number, by its `cell_key`; ``doubt`` is the first cell that may be two numbers, and why nothing is
    read from it; ``ordered`` says that the labels are amounts.
    """

    plain: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    doubt: tuple[str, str] | None = None
    ordered: bool = False


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


def finder_of(values: Iterable[Raw]) -> Callable[[Iterable[str]], bool]:
    """Whether one of some spellings is among the values of a study file."""
    find = finder({key: True for value in values for key in raw_keys(value)})
    return lambda spellings: bool(find(spellings))


def is_number(cell: str) -> bool:
    """Whether a cell is a number as a program writes it, and not too large for one."""
    return bool(_NUMBER.match(cell.strip())) and math.isfinite(float(cell))


def is_amount(cell: str) -> bool:
    """Whether a cell is a number, perhaps with a currency or a percent sign."""
    return bool(_AMOUNT.match(cell))


def is_no_answer(cell: str) -> bool:
    """Whether a cell is empty or a word for a missing answer, whatever stands in the rest of its column."""
    return not cell.strip() or folded(cell) in NO_ANSWER


def meaning_of(cells: Iterable[str], comma_is_decimal: bool, points_group: bool) -> Meaning:
    """What the different cells of a column say.

    In a file that commas separate, "4,1" may be two answers as well, so that ``comma_is_decimal`` is false; with
    semicolons or decimal commas in it a point may separate thousands: ``points_group``.
    """
    known = [cell for cell in cells if not is_no_answer(cell)]
    if all(map(is_number, known)) and not any(len(cell.partition(".")[2]) == 3 for cell in known):
        return Meaning()
    numbers = _numbers(known, comma_is_decimal, points_group)
    return numbers if numbers.plain or numbers.doubt or len(known) > _MOST_DIFFERENT else _numbered(known)


def _numbers(cells: list[str], comma_is_decimal: bool, points_group: bool) -> Meaning:
    split = {cell: found for cell in cells if (found := _AMOUNT.match(cell)) and re.search(r"\d", found[4])}
    english, continental = ({c: read(found[4]) for c, found in split.items()} for read in (_english, _continental))
    if None not in english.values():
        other = None not in continental.values()
        doubtful = next((cell for cell in split if other and english[cell] != continental[cell]), "")
        # Beside whole numbers up to 999 the others would be decimals of three digits each.
        whole = any(re.fullmatch(r"\d{3}", found[4]) for found in split.values())
        if doubtful and (points_group or "," in doubtful or whole):
            return Meaning(doubt=(doubtful, _thousands(doubtful)))
        return _amounts(cells, split, english)
    if None in continental.values():
        return Meaning()
    certain = any("." in cell and ("," in cell or cell.count(".") > 1) for cell in split)
    decimals = {len(cell.partition(",")[2]) for cell in split if "," in cell}
    fixed = next((c for c in split if _COMMA_GROUPS.match(split[c][4]) and c.endswith("0")), None)
    if fixed and len(decimals) > 1 and not certain:
        return Meaning(doubt=(fixed, _thousands(fixed)))
    if certain or comma_is_decimal:
        return _amounts(cells, split, continental)
    first = next(cell for cell in split if "," in cell)
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


def _amounts(cells: list[str], split: dict[str, re.Match[str]], numbers: dict[str, str | None]) -> Meaning:
    """The number of each cell; where all have one unit and they are few, the cells are the words for the numbers."""
    units = {found[2] or found[5] or "" for found in split.values()}
    signed = {c: f"{f[1] or f[3]}{numbers[c]}".replace("\N{MINUS SIGN}", "-") for c, f in split.items()}
    two = any(found[2] and found[5] for found in split.values())
    if two or len(units) > 1 or (units != {""} and len(split) < len(cells)):
        return Meaning()
    plain = {cell: number for cell, number in signed.items() if number != cell}
    few = units != {""} and len(cells) <= MOST_LEVELS
    return Meaning(plain, {cell_key(n): cell for cell, n in signed.items()} if few else {}, ordered=few)


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
    return Meaning({cell: match["number"] for cell, match in found.items()}, labels)


def _ends(words: list[str], numbers: list[float]) -> Meaning:
    """A scale whose ends are words and whose middle is numbers: Not at all, 2, 3, 4, Completely."""
    between = sorted(set(numbers))
    order = order_of(words) if len(words) == 2 and len(between) > 1 else None
    if order is None or between[-1] - between[0] != len(between) - 1 or between[0] != round(between[0]):
        return Meaning()
    low, high = sorted(words, key=lambda word: order[words.index(word)])
    plain = {low: str(round(between[0]) - 1), high: str(round(between[-1]) + 1)}
    return Meaning(plain, {cell_key(number): word for word, number in plain.items()})


def several_answers(cells: Sequence[str]) -> dict[str, dict[str, str]]:
    """Of cells such as "TV;radio" each answer, with the yes or no that each cell gives it; empty if they hold one."""
    for mark in (";", "|", ",") if len(cells) <= _MOST_DIFFERENT else ():
        # Some programs end the last answer with a mark, too.
        split = {cell: [one.strip() for one in cell.strip().removesuffix(mark).split(mark)] for cell in cells}
        answers = tuple(dict.fromkeys(answer for given in split.values() for answer in given))
        sizes = [len(given) for given in split.values()]
        if sum(size > 1 for size in sizes) < 2 or not 2 <= len(answers) <= min(MOST_LEVELS, len(cells)):
            continue
        once = all("" not in given and len(set(given)) == len(given) for given in split.values())
        numbers = all(map(is_number, answers))
        rising = not numbers or all(sorted(given, key=float) == given for given in split.values())
        if once and rising and (min(sizes) == 1 or max(sizes) > 2):
            order = sorted(answers, key=float) if numbers else answers
            return {one: {cell: "yes" if one in given else "no" for cell, given in split.items()} for one in order}
    return {}
