"""Words of every page: numbers and lists the same way in every sentence, and texts of a study put on a page as data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import mistune


def number(value: Any, digits: int = 2) -> str:
    """A number with that many decimals, a dash where there is none; what rounds to nought has no sign."""
    return "–" if value is None or math.isnan(value) else f"{float(value):z.{digits}f}"


def with_ends(estimate: float, low: float, high: float, digits: int = 2) -> str:
    """An estimate with its interval where there is one, such as ``0.52 [0.47, 0.58]``; a dash without an estimate."""
    text = number(estimate, digits)
    if not math.isfinite(estimate) or math.isnan(low) or math.isnan(high):
        return text
    return f"{text} [{number(low, digits)}, {number(high, digits)}]"


def percent(value: float, digits: int = 0) -> str:
    """A share as a percentage, such as ``24.7 %``; a dash where there is none."""
    return "–" if math.isnan(value) else f"{number(100 * value, digits)} %"


def percent1(value: float) -> str:
    """A share as a percentage with one decimal."""
    return percent(value, 1)


def whole(value: float) -> str:
    """A number without decimals."""
    return number(value, 0)


def span(values: Sequence[float], written: Callable[[float], str] = number) -> str:
    """The smallest to the largest value, as one where they read the same; values that are not known are left out."""
    known = [value for value in values if not math.isnan(value)]
    low, high = (written(end) for end in ((min(known), max(known)) if known else (math.nan, math.nan)))
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


# Quarto reads Markdown, HTML, citations, shortcodes that may include any file, and code blocks that it may execute. A
# study's texts may use none of these.
_SPECIAL = re.compile(r"([!#$%&()*+\-.:;<=>?@\[\\\]^_`{|}~])")
_WORD_JOINER = "\u2060"


def quoted(text: object) -> str:
    """A text in one line, in which Markdown, HTML, citations and shortcodes are only characters."""
    return _SPECIAL.sub(r"\\\1", without_shortcodes(" ".join(str(text).split())))


def unquoted(text: str) -> str:
    """What was `quoted`, as plain text again."""
    return re.sub(r"\\(.)", r"\1", text).replace(_WORD_JOINER, "")


def without_shortcodes(text: str) -> str:
    """A text in which Quarto finds no shortcode, not even in code: an invisible character parts the braces."""
    return re.sub(r"\{(?=\{)|\}(?=\})", rf"\g<0>{_WORD_JOINER}", text)


def quoted_lines(text: str) -> str:
    """A text with its line breaks, as a block quotation."""
    return "\n".join(f"> {quoted(line)}\\" if line.strip() else "> \\" for line in text.split("\n")).rstrip("\\")


def slug(name: str) -> str:
    """A name as a part of a label: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def card_html(text: str) -> str:
    """A study's card, written in Markdown, as HTML that can do nothing: no HTML of its own, no picture, no script.

    The first heading is left out, since the page has a title, and the others go one level down. Links lead to ``http``
    and ``https`` addresses only; of others the text is kept.
    """
    written = mistune.create_markdown(renderer=_Card(escape=True), plugins=["table"])
    return without_shortcodes(str(written(re.sub(r"\A\s*# .*", "", text))).strip())


class _Card(mistune.HTMLRenderer):
    """Mistune's own, which would fetch pictures and follow any address."""

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        return super().heading(text, min(level + 1, 6), **attributes)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return mistune.escape(text)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, url) if url.startswith(("http://", "https://")) else text
