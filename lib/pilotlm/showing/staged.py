"""What the pages are made from, and the pieces that several of them share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pilotlm.showing.benchmarks import Result
from pilotlm.showing.labels import answer_words, variable_labels
from pilotlm.showing.notebooks import Shown
from pilotlm.showing.quoting import quoted, slug
from pilotlm.study import MaximisesExpectedPay, NearestOption, SignAgreement, Study, Threshold

SHOWN = "results/shown"
"""Where the generated pages lie in the project; `_quarto.yml` names it too."""
SYNTHETIC = (
    '::: {.callout-warning title="Synthetic"}\nNobody answered this study: its rows come from a generator. '
    "It tests the pipeline and is never evidence about people.\n:::"
)


@dataclass(frozen=True, eq=False)
class Staged:
    """All that the pages are made from.

    Attributes
    ----------
    studies : dict
        The studies of the run, in order.
    notebooks : dict
        Study, then its notebooks on the site.
    report : Shown
        The report's notebook.
    verdicts : DataFrame
        Of `pilotlm.showing.verdicts.verdicts`.
    variables : dict
        Of `pilotlm.showing.sentences.variables`.
    benchmarks : tuple of Result
        Of `pilotlm.showing.benchmarks.read_results`; empty where no benchmark was run.
    provenance : str
        Of `pilotlm.showing.provenance.provenance`: the line at the foot of every page.
    decisions : dict
        Study, then what its decision notebook wrote.
    """

    studies: Mapping[str, Study]
    notebooks: Mapping[str, Sequence[Shown]]
    report: Shown
    verdicts: pd.DataFrame
    variables: Mapping[str, Any]
    benchmarks: tuple[Result, ...] = ()
    provenance: str = ""
    decisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def embeds(self, study: str, *labels: str, long: bool = True) -> str:
        """The lines that embed those of a study's labelled cells that there are, without long tables if so asked."""
        parts = []
        for label in labels:
            for notebook in self.notebooks[study]:
                if label in notebook.labels and (long or label not in notebook.long):
                    path = f"/{SHOWN}/{study}/{notebook.name}.ipynb"
                    parts.append(f"{{{{< embed {path}#{label}-{slug(study)} >}}}}")
        return "\n\n".join(parts)

    def made_by(self, study: str, analysis: str) -> str:
        """A line that leads from the numbers to the notebook that made them; on the website only."""
        found = [n for n in self.notebooks[study] if n.name.endswith(f"-{analysis}")]
        if not found:
            return ""
        link = f"[{found[0].name}](/{SHOWN}/{study}/{found[0].name}.ipynb)"
        return f'::: {{.content-visible when-format="html"}}\nMade by the notebook {link}.\n:::'


def name_of(study: Study) -> str:
    """The name of a study, marked where it is synthetic."""
    return quoted(f"{study.name} (synthetic)" if study.synthetic and "synthetic" not in study.name else study.name)


def rule_of(study: Study) -> str:
    """When a participant counts as incoherent, in words."""
    rule = study.coherence
    if rule is None:
        return "The study has no rule of coherence."
    if isinstance(rule, MaximisesExpectedPay):
        text = "another action has a higher expected pay under the stated beliefs"
    elif isinstance(rule, NearestOption):
        text = "another option is placed nearer to oneself than the chosen one; ties do not count"
    elif isinstance(rule, Threshold):
        labels, done = variable_labels(study), answer_words(study, rule.action, rule.acts)
        belief, action = labels[rule.belief], f"{labels[rule.action]}: {done}"
        text = quoted(f'"{belief}" is {rule.at_least:g} or more without "{action}", or less with it')
    else:
        assert isinstance(rule, SignAgreement)
        text = "belief and action have opposite signs in any pair; zero agrees with everything"
    return f"A participant is incoherent where {text}."


def findings_of(staged: Staged, name: str, analysis: str) -> str:
    """What was found in a study by an analysis: a line a finding, with its verdict."""
    rows = staged.verdicts[(staged.verdicts["study"] == name) & (staged.verdicts["analysis"] == analysis)]
    return "\n".join(
        f"- {quoted(row.claim)}. {'' if row.ours == '–' else f'Here: {quoted(row.ours)}. '}{quoted(row.why)} "
        f"*Verdict: {quoted(row.verdict)}.*"
        for row in rows.itertuples()
    )


def table_of(heads: Sequence[str], rows: Iterable[Iterable[object]], widths: Sequence[int]) -> str:
    """A pipe table of texts that are data; the widths are shares of the line."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('-' * width for width in widths)}|"]
    lines += [f"| {' | '.join(quoted(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
