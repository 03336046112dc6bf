"""Words of every page: numbers and lists the same way in every sentence, and texts of a study put on a page as data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any


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
# study's texts may use none of these; its card may use the small part of Markdown in `card_markdown`.
_SPECIAL = re.compile(r"([!#$%&()*+\-.:;<=>?@\[\\\]^_`{|}~])")
_INLINE = re.compile(r"`(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*\n]+)\*\*|\[(?P<text>[^\]\n]+)\]\((?P<target>[^)\s]+)\)")
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


def table_of(heads: Sequence[str], rows: Iterable[Iterable[object]], widths: Sequence[int]) -> str:
    """A pipe table of texts that are data; the widths are shares of the line."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('-' * width for width in widths)}|"]
    lines += [f"| {' | '.join(quoted(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def slug(name: str) -> str:
    """A name as a part of a label: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def card_markdown(text: str) -> str:
    """A study's card with headings, lists, tables, bold, code and links, and nothing else that Markdown can do.

    The first heading is left out, since the page has a title, and the others go one level down. Links lead to
    ``http`` and ``https`` addresses only; of others the text is kept.
    """
    written = ""
    last = None
    for block in _blocks(text):
        kind = _kind(block)
        together = kind == last and kind in ("row", "item")
        written += ("\n" if together else "\n\n") + _block_markdown(kind, block)
        last = kind
    return written.strip() + "\n"


def _blocks(text: str) -> list[str]:
    """Headings, rows of tables, list items and paragraphs, the last two with their wrapped lines joined."""
    blocks: list[str] = []
    joins = False
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("```", "~~~")):
            joins = False
        elif _kind(stripped) != "paragraph":
            blocks.append(stripped)
            joins = _kind(stripped) == "item"
        elif joins:
            blocks[-1] += f" {stripped}"
        else:
            blocks.append(stripped)
            joins = True
    return [block for block in blocks if not block.startswith("# ")]


def _kind(block: str) -> str:
    if re.match(r"#{1,5} ", block):
        return "heading"
    if block.startswith("|"):
        return "row"
    return "item" if re.match(r"([-*]|\d+[.)]) ", block) else "paragraph"


def _block_markdown(kind: str, block: str) -> str:
    if kind == "paragraph":
        return _inline(block)
    if kind == "row":
        if re.fullmatch(r"[\s:|-]+", block) and "-" in block:
            return block
        cells = re.split(r"(?<!\\)\|", block.strip("|"))
        return f"| {' | '.join(_inline(cell.strip()) for cell in cells)} |"
    mark, _, rest = block.partition(" ")
    return f"#{mark} {_inline(rest)}" if kind == "heading" else f"{mark} {_inline(rest)}"


def _inline(text: str) -> str:
    parts, position = [], 0
    for match in _INLINE.finditer(text):
        parts += [_quoted_part(text[position : match.start()]), _marked(match)]
        position = match.end()
    return "".join([*parts, _quoted_part(text[position:])])


def _quoted_part(text: str) -> str:
    """`quoted`, with the spaces at both ends kept."""
    inner = quoted(text)
    if not inner:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{inner}{' ' if text[-1].isspace() else ''}"


def _marked(match: re.Match[str]) -> str:
    if match["code"] is not None:
        return f"`{without_shortcodes(match['code'])}`"
    if match["bold"] is not None:
        return f"**{_inline(match['bold'])}**"
    if re.match(r"https?://[^\s<>\"'`{}|\\]+\Z", match["target"]):
        return f"[{quoted(match['text'])}]({match['target']})"
    return quoted(match["text"])
