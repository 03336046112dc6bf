"""Numbers and lists in words, the same way in every sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


def decimals(value: float, digits: int = 2) -> str:
    """A number with that many decimals; "unknown" where there is none, and no minus before a zero."""
    if math.isnan(value):
        return "unknown"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def number(value: Any, digits: int = 3) -> str:
    """A number with that many decimals, a dash where there is none; what rounds to nought has no sign."""
    return "–" if value is None or math.isnan(value) else f"{float(value):z.{digits}f}"


def percent(value: float, digits: int = 0) -> str:
    """A share as a percentage, such as ``24.7 %``; "unknown" where there is none."""
    return "unknown" if math.isnan(value) else f"{decimals(100 * value, digits)} %"


def percent1(value: float) -> str:
    """A share as a percentage with one decimal."""
    return percent(value, 1)


def whole(value: float) -> str:
    """A number without decimals."""
    return decimals(value, 0)


def span(values: Sequence[float], written: Callable[[float], str] = decimals) -> str:
    """The smallest to the largest value, as one where they read the same; values that are not known are left out."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "unknown"
    low, high = written(min(known)), written(max(known))
    return low if low == high else f"{low} to {high}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 study``, ``2 studies``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return counted(round(seconds), "second")
    return counted(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:.1f} hours"
