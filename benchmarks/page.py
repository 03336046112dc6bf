"""The page of the benchmarks, `benchmarks/page.md`, from their results: `python -m benchmarks.page` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring import Row
from pilotlm.errors import InputError
from pilotlm.records import write_text
from pilotlm.report.tables import plain, text_table

FOLDER = Path(__file__).resolve().parent
_KEYS = tuple(field.name for field in fields(Row))
PEOPLE = ("participants", "people")
"""How the names of rows end whose size is a number of people."""
_SPEED_NOTE = (
    "An answer is a participant's whole form; an example is a participant's prompt and form. Our program and its peers "
    "were timed one after the other, several times; the ratio is the median of these repeats, and the two rates are "
    "those of the repeat with the median ratio. Each peer has the batch size, of those tried, at which it is fastest. "
    "The constrained peers draw every answer from the tokens that a valid form allows, as ours does; free generation "
    "writes as many tokens as a form has, valid or not, which is less work. Ours computes the probability of every "
    "valid answer beside the one that is drawn. The time that `outlines` needs to compile the form is left out. Not "
    "run: vLLM, whose wheel needs a GPU, and llama.cpp, which computes with the embedded model's four-bit weights and "
    "has no wheel here."
)
_EXACT_NOTE = (
    "Logits: the log-probability of every valid answer against a plain forward pass of the whole text. Gradients: one "
    "step against the plain loss of people read one by one. Batches: whether anybody gets another answer when more or "
    "fewer people are read at a time. Precision: the total variation distance between the distributions of answers in "
    "bfloat16 and in float32, over a study's people and lines; it says what bfloat16 costs and has no aim."
)
_GROWTH_NOTE = (
    "The ratio compares the seconds of an answer with those at the size named beside it. The model of random weights "
    "stands in for the embedded one up to 100,000 people, each in a process of its own. A longer scenario costs more "
    "than its own reading, done once: every later token attends to it, which in a model as small as this one adds a "
    "tenth of the operations for each 340 tokens."
)
_PARTS = (
    ("Speed", ("sampling", "training"), _SPEED_NOTE),
    ("Growth", ("growth",), _GROWTH_NOTE),
    ("Memory", ("memory",), "The peak memory of a separate process."),
    ("Exactness", ("exactness", "precision"), _EXACT_NOTE),
)
"""Heading, how the names of its rows begin, and what must be said of them."""


def read_results(path: Path | None = None) -> tuple[Row, ...]:
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
        return tuple(Row(**{key: row[key] for key in _KEYS}) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is not a list of rows with {', '.join(_KEYS)} ({what}); run `make bench`.") from None


def benchmark_page(results: Sequence[Row]) -> str:
    """Each figure beside its bar, met or not, and the conditions, in Markdown."""
    settings = results[0].settings
    held = [r for r in results if r.met is not None]
    missed = [f"- {plain(_title(r))}, against {plain(r.peer)}: {_digits(r.value)}, the aim is {_bar(r)}"
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


def _row(r: Row) -> dict[str, str]:
    why = r.settings.get("not_run")
    met = {True: "met", False: "not met", None: ""}[r.met] if why is None else f"not run: {why}"
    return {
        "What": _title(r), "Against": r.peer, "Ours": _digits(r.ours), "Theirs": _digits(r.theirs), "Unit": r.unit,
        "Ratio": _digits(r.ratio), "Aim": _bar(r), "Result": met,
    }  # fmt: skip


def _title(row: Row) -> str:
    """What was measured, at which size and precision."""
    size, precision = row.settings.get("size"), row.settings.get("precision")
    unit = "" if row.name.endswith(PEOPLE) else " times"
    return f"{row.name}{'' if size is None else f' at {size:,}{unit}'}{f', {precision}' if precision else ''}"


def _bar(row: Row) -> str:
    return f"{row.settings['bar_kind']} {row.settings['bar']:g}" if "bar" in row.settings else ""


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _machine(settings: dict[str, Any]) -> str:
    hardware = settings["hardware"]
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in settings["versions"].items())
    gpus, flags = ", ".join(hardware["gpus"]), ", ".join(hardware["flags"])
    return plain(
        f"{hardware['cpu']} ({flags or 'no flags known'}), {hardware['cores']} cores, {hardware['memory_gib']} GiB; "
        f"{gpus or 'no GPU'}; load at the "
        f"start {settings['load_at_start']}. Versions: {versions}. Started {settings['started']}."
    )


def write_page() -> None:
    """Write the page from the results of the last full run."""
    write_text(FOLDER / "page.md", benchmark_page(read_results()))


if __name__ == "__main__":
    write_page()
