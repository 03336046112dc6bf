"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave is wrong; the message is one sentence that says what, where and what is allowed."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Say which allowed names there are, the most similar one first.

    Parameters
    ----------
    name : str
        The name that was not known.
    allowed : iterable of str
        The names that are.

    Returns
    -------
    str
        For example ``"did you mean 'arm'? Allowed: arm, seed, study"``.
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Allowed: {', '.join(names) if names else 'none'}"
