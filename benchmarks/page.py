"""The page of the benchmarks, `benchmarks/page.md`, from their results: `python -m benchmarks.page` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.errors import InputError
from pilotlm.records import write_text
from pilotlm.report.tables import plain, text_table

FOLDER = Path(__file__).resolve().parent
_KEYS = ("name", "peer", "ratio", "ours", "theirs", "unit", "settings")
_SPEED_NOTE = (
    "An answer is a participant's whole form; an example is a participant's prompt and form. Our program and the peer "
    "were timed one after the other, several times; the ratio is the median of these repeats, and the two rates are "
    "those of the repeat with the median ratio. `transformers` freely writes as many tokens as a form has, without a "
    "check that they are a valid form, which is less work than our program and `outlines` do. The time that "
    "`outlines` needs to compile the "
    "form is left out. A training peer is shown at the batch size, of those tried, at which it does best against ours."
)
_EXACT_NOTE = (
    "Logits: the log-probability of every valid answer against a plain forward pass of the whole text. Gradients: one "
    "step against the plain loss of people read one by one. Batches: whether anybody gets another answer when more or "
    "fewer people are read at a time. Precision: the total variation distance between the distributions of answers in "
    "bfloat16 and in float32, over a study's people and lines; it says what bfloat16 costs and has no aim."
)
_PARTS = (
    ("Speed", ("sampling", "training"), _SPEED_NOTE),
    ("Growth", ("growth",), "The ratio compares the seconds per answer with those at the size named beside it."),
    ("Memory", ("memory",), "The peak memory of a separate process."),
    ("Exactness", ("exactness", "precision"), _EXACT_NOTE),
)
"""Heading, how the names of its rows begin, and what must be said of them."""


@dataclass(frozen=True)
class Result:
    """A row of ``benchmarks/results.json``: ours, the peer's, and ``ours / theirs``; None where there is none.

    ``settings`` are the conditions; ``bar`` and ``bar_kind`` say what it is held to, ``not_run`` why it was not run.
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
    def title(self) -> str:
        """What was measured, at which size and precision."""
        given = self.settings
        size = given.get("size")
        at = "" if size is None else f" at {size}" if self.name.endswith("participants") else f" at {size} times"
        precision = f", {given['precision']}" if given.get("precision") else ""
        return f"{self.name}{at}{precision}"

    @property
    def bar(self) -> str:
        """The bar in words; empty where there is none."""
        return f"{self.settings['bar_kind']} {self.settings['bar']:g}" if "bar" in self.settings else ""


def read_results(path: Path | None = None) -> tuple[Result, ...]:
    """Read the results of the benchmarks; nothing where there is no file.

    Raises
    ------
    InputError
        If the file is not such a list of rows.
    """
    path = path or FOLDER / "results.json"
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Result(**{key: row[key] for key in _KEYS}) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not a list of rows with {', '.join(_KEYS)} ({what}); run `make bench`.") from None


def benchmark_page(results: Sequence[Result]) -> str:
    """Each figure beside its bar, met or not, and the conditions, in Markdown."""
    settings = results[0].settings
    held = [r for r in results if r.met is not None]
    missed = [f"- {plain(r.title)}, against {plain(r.peer)}: {_digits(r.value)}, the aim is {r.bar}"
              for r in held if not r.met]  # fmt: skip
    trial = "**This was a trial with few people and one repeat, on a machine in use: not a result.**"
    parts = [
        trial if settings["quick"] else "",
        f"**{len(held) - len(missed)} of {len(held)} aims are met.**{' Not met:' if missed else ''}",
        "\n".join(missed),
        f"All programs get the same people of the study `{settings['study']}`, with the same text, model "
        f"(`{settings['model']}`), precision and threads ({settings['threads']}), in one run; the scenario's text "
        f"is repeated {settings['scenario_times']} times in the prompt, because the study's own is short.",
    ]
    for heading, names, note in _PARTS:
        rows = [r for r in results if r.name.startswith(names)]
        parts.append(f"## {heading}\n\n{text_table(pd.DataFrame(map(_row, rows)))}\n\n{note}")
    parts.append(f"## Machine and versions\n\n{_machine(settings)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(r: Result) -> dict[str, str]:
    why = r.settings.get("not_run")
    met = {True: "met", False: "not met", None: ""}[r.met] if why is None else f"not run: {why}"
    return {
        "What": r.title, "Against": r.peer, "Ours": _digits(r.ours), "Theirs": _digits(r.theirs), "Unit": r.unit,
        "Ratio": _digits(r.ratio), "Aim": r.bar, "Result": met,
    }  # fmt: skip


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _machine(settings: dict[str, Any]) -> str:
    hardware = settings["hardware"]
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in settings["versions"].items())
    gpus = ", ".join(hardware["gpus"])
    return plain(
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB; {gpus or 'no GPU'}; load at the "
        f"start {settings['load_at_start']}. Versions: {versions}. Started {settings['started']}."
    )


def write_page() -> None:
    """Write the page from the results of the last full run."""
    write_text(FOLDER / "page.md", benchmark_page(read_results()))


if __name__ == "__main__":
    write_page()
