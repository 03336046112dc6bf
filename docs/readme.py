"""Write the answer and the table of results in ``README.md`` from ``results/reference``: `python docs/readme.py`."""

from __future__ import annotations

import re
from pathlib import Path

from pilotlm.records import read_json, write_text
from pilotlm.report.paper import distance_table, studies_in_order
from pilotlm.report.runs import read_metrics
from pilotlm.report.sentences import variables
from pilotlm.report.wording import unquoted
from pilotlm.study import load_study

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference"
RESULTS = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end of results -->)", re.DOTALL)


def results_text() -> str:
    """The answer in two sentences, the setting, and the primary measure of each study, in Markdown."""
    manifest = read_json(REFERENCE / "manifest.json", "`make reference`")
    studies = {name: load_study(name) for name in manifest["studies"]}
    metrics = read_metrics(REFERENCE)
    answer = variables(metrics, manifest, studies)["answer"]
    table = distance_table(studies_in_order(metrics, studies), manifest).to_markdown(index=False)
    rule = "|" + "---|" * (table.splitlines()[0].count("|") - 1)
    lines = [re.sub(r" +\|", " |", line) for line in table.splitlines()]
    parts = [
        f"**{unquoted(answer['headline'])}**",
        unquoted(answer["setting"]),
        "\n".join([lines[0], rule, *lines[2:]]),
    ]
    return "\n\n".join(parts) + "\n"


def with_results(text: str) -> str:
    """The README with the results as the reference run has them."""
    return RESULTS.sub(lambda _: results_text(), text)


if __name__ == "__main__":
    write_text(README, with_results(README.read_text(encoding="utf-8")))
