"""Write the table of results in ``README.md`` from ``results/reference``: `python docs/readme.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pilotlm.arms import load_arms
from pilotlm.records import read_json, write_text
from pilotlm.report.evidence import PRIMARY, Evidence, gather
from pilotlm.report.results import read_table
from pilotlm.report.wording import number
from pilotlm.study import Study, load_study

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference"
TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end of results -->)", re.DOTALL)
TUNED = ("tuned_all_25", "tuned_n_60")
"""The fine-tuned arm shown: the first of these that a study has."""


def results_table() -> str:
    """The primary measure of the base model, a fine-tuned one and the best baseline on the same people, in Markdown."""
    manifest = read_json(REFERENCE / "manifest.json", "`make reference`")
    studies: Mapping[str, Study] = {name: load_study(name) for name in manifest["studies"]}
    lines = [
        _line(evidence) for evidence in gather(read_table(REFERENCE / "metrics.csv", "14-report"), studies, load_arms())
    ]
    head = "| study | base model | fine-tuned on | | best baseline on the same people | |\n|---|---|---|---|---|---|\n"
    return head + "".join(lines)


def _line(evidence: Evidence) -> str:
    tuned = next(evidence.arms.arm(name) for name in TUNED if evidence.arms.arm(name) in evidence.present)
    baseline = evidence.baseline(tuned)
    pilot = evidence.arms.pilot(tuned.pilot).label
    cells = [
        f"`{evidence.study.name}`",
        _place(evidence, evidence.base.name if evidence.base else ""),
        pilot,
        _place(evidence, tuned.name),
        _place(evidence, baseline.name) if baseline else "–",
        baseline.label.split(",")[0].lower() if baseline else "–",
    ]
    return f"| {' | '.join(cells)} |\n"


def _place(evidence: Evidence, arm: str) -> str:
    value = evidence.value(arm, *PRIMARY)
    if value is None:
        return "–"
    place = value.placed
    return f"{number(place.estimate, 2)} [{number(place.low, 2)}, {number(place.high, 2)}]"


def with_table(text: str) -> str:
    """The README with the table as the reference run has it."""
    return TABLE.sub(lambda _: results_table(), text)


if __name__ == "__main__":
    write_text(README, with_table(README.read_text(encoding="utf-8")))
