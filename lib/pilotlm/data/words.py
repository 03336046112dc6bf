"""What words in people's files mean: missing answers, and the order of words of degree, frequency, level and range."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_MOST_WORDS = 30
"""No order has more steps."""


def read_sections(path: Path) -> dict[str, str]:
    """The sections of a text file, each under its name in brackets, as they follow each other."""
    _, *parts = re.split(r"^\[([a-z ]+)\]\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


_SECTIONS = read_sections(Path(__file__).with_suffix(".txt"))


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
_ORDERS = [[re.compile(step) for step in line.split(";")] for line in section_lines("orders")]
_EDUCATION = [
    (float(rank), re.compile(words)) for rank, words in (x.split(": ", 1) for x in section_lines("education"))
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
    if len(texts) > _MOST_WORDS:
        return None
    words = [re.sub(r"[\s.!,:;]+\Z|\A[\s.,:;]+", "", folded(text)) for text in texts]
    found = [_by_degree(words), *(_ranks(words, list(enumerate(steps))) for steps in _ORDERS)]
    found += [_ranks(words, _EDUCATION), _by_range(words)]
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
