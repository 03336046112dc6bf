"""The one exception that a user is meant to read, and how what users wrote is put into messages and pages."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST = 80
"""Characters of what the user wrote that a message repeats."""
MOST_NAMES = 20
"""Allowed names that a message lists."""


class InputError(ValueError):
    """Something the user gave is wrong; the message is one sentence that says what, where and what is allowed."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Say which names are allowed: "did you mean 'arm'? Allowed: arm, seed, study"."""
    names = sorted(allowed)
    close = difflib.get_close_matches(str(name)[:LONGEST], names, n=1, cutoff=0.5)
    hint = f"did you mean {shown(close[0])}? " if close else ""
    listed = ", ".join(shown(known, quotes=False) for known in names[:MOST_NAMES]) or "none"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{hint}Allowed: {listed}{more}"


def shown(value: object, quotes: bool = True) -> str:
    """What a user gave, as a message may repeat it: on one line, not too long, control characters escaped.

    Where letters of several alphabets stand together, the first that is not Latin is named: it may look like one.
    """
    said = repr(str(value)[: 2 * LONGEST])
    said = said if quotes and isinstance(value, str) else said[1:-1]
    return (said if len(said) <= LONGEST else f"{said[: LONGEST - 3]}...") + _look_alike(value)


def plain(text: str) -> str:
    """A text in which Markdown, HTML and shortcodes are only characters."""
    for mark in "\\`*_{}[]<>|#$~^@":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _look_alike(value: object) -> str:
    text = value[:LONGEST] if isinstance(value, str) else ""
    strange = [c for c in text if c.isalpha() and "LATIN" not in unicodedata.name(c, "")]
    if not strange or not any(c.isascii() and c.isalpha() for c in text):
        return ""
    return f" (its {strange[0]!r} is {unicodedata.name(strange[0], 'a letter without a name')})"
