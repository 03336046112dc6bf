"""The rows of ``benchmarks/results.json``: what was measured, and whether it meets its bar."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotlm.errors import InputError
from pilotlm.records import project_folder

GROWTH = {
    "growth, participants": "participants", "growth, scenario": "length of the scenario",
    "growth, answers": "answers on the form",
}  # fmt: skip
"""The growth curves and what their sizes are."""
_KEYS = ("name", "peer", "ratio", "ours", "theirs", "unit", "settings")


@dataclass(frozen=True)
class Result:
    """A row of the benchmarks' results.

    Attributes
    ----------
    name, peer : str
        What was measured, and what ours is held against.
    ratio, ours, theirs : float or None
        ``ours / theirs`` and both values in ``unit``; None where there is none.
    unit : str
        Of ``ours`` and ``theirs``.
    settings : dict
        The conditions; ``bar`` and ``bar_kind`` say what the row is held to, ``not_run`` why it was not run.
    """

    name: str
    peer: str
    ratio: float | None
    ours: float | None
    theirs: float | None
    unit: str
    settings: dict[str, Any]

    @property
    def value(self) -> float | None:
        """What the bar speaks of: the ratio, or our own value where there is no ratio."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar. What was not run has not met its bar."""
        if "bar" not in self.settings:
            return None
        if self.value is None:
            return False
        bar = float(self.settings["bar"])
        return self.value >= bar if self.settings["bar_kind"] == "at least" else self.value <= bar

    @property
    def precision(self) -> str:
        """The precision, "" where it was not run."""
        return str(self.settings.get("precision", ""))


def results_file() -> Path:
    """Where the results of the benchmarks lie."""
    return project_folder() / "benchmarks" / "results.json"


def read_results(path: Path) -> tuple[Result, ...]:
    """Read the results of the benchmarks.

    Parameters
    ----------
    path : Path
        The file; nothing is read where there is none.

    Returns
    -------
    tuple of Result

    Raises
    ------
    InputError
        If the file is not such a list of rows.
    """
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Result(**{key: row[key] for key in _KEYS}) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not a list of rows with {', '.join(_KEYS)} ({what}); run `make bench`.") from None
