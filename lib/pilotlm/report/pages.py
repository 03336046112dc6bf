"""What website and papers are made of: a page a study, the navigation, and the parts that pages include."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.data.prompts import example_person, prompt_for, slots_of
from pilotlm.records import project_folder
from pilotlm.report.decision_page import decided_in_words
from pilotlm.report.labels import answer_words, study_label, variable_labels
from pilotlm.report.notebooks import Shown
from pilotlm.report.published import GENERAL_RULE, load_published
from pilotlm.report.tables import text_table
from pilotlm.report.wording import card_html, quoted, quoted_lines, slug
from pilotlm.study import (
    Download,
    Generated,
    LocalFile,
    MaximisesExpectedPay,
    NearestOption,
    PackageFile,
    SignAgreement,
    Study,
    Threshold,
    load_study,
    study_names,
)

SHOWN = "results/shown"
"""Where the generated pages lie in the project; `_quarto.yml` names it too."""
SYNTHETIC = (
    "Nobody answered this study: its rows come from a generator. It tests the pipeline and is never evidence about "
    "people."
)
CALLOUT = '::: {{.callout-warning title="{title}"}}\n{text}\n:::'
OF_REPORT = (
    "fig-distance", "tbl-distance", "tbl-studies", "tbl-power", "fig-variety", "fig-groups", "fig-persona",
    "fig-coherence", "fig-likelihood", "fig-signs", "tbl-signs", "tbl-decision", "tbl-matrix", "tbl-robustness",
)  # fmt: skip
"""The figures and tables of the notebook 14 that pages include."""
NOTHING_HERE = "::: {{#{label}}}\nThis run holds nothing to show here.\n\nNothing to show.\n:::"
"""What stands in the place of a figure or table that a run lacks, so that the text can point there."""


@dataclass(frozen=True, eq=False)
class Staged:
    """All that the pages are made from; ``provenance`` is the line at the foot of every page."""

    studies: Mapping[str, Study]
    notebooks: Mapping[str, Sequence[Shown]]
    report: Shown
    verdicts: pd.DataFrame
    variables: Mapping[str, Any]
    provenance: str = ""
    decisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def parts(self, study: str, *labels: str) -> list[str]:
        """Those of a study's labelled figures and tables that there are, without long tables."""
        found = [one.part(label) for label in labels for one in self.notebooks[study] if label not in one.long]
        return [part for part in found if part]

    def made_by(self, study: str, analysis: str) -> str:
        """A line that leads from the numbers to the notebook that made them; on the website only."""
        found = (one.name for one in self.notebooks[study] if one.name.endswith(f"-{analysis}"))
        link = next((f"[{name}](/{SHOWN}/{study}/{name}.ipynb)" for name in found), "")
        says = f'::: {{.content-visible when-format="html"}}\nMade by the notebook {link}, which has every arm.\n:::'
        return says if link else ""


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


TITLES = {
    "heterogeneity": "Heterogeneity", "divergence": "Distributional divergence", "subgroups": "Subgroup alignment",
    "coherence": "Belief-action coherence", "regression": "Regression recovery",
    "accuracy": "Forecasts of single people", "controls": "Negative controls and copies",
    "rectification": "Prediction-powered inference", "decision": "May the pilot be augmented?",
}  # fmt: skip


def navigation(staged: Staged) -> dict[str, Any]:
    """The navigation of the website, as `_quarto.yml` merges it."""

    def menu(text: str, **parts: Sequence[dict[str, str]]) -> dict[str, Any]:
        shown = [one for heading, pages in parts.items() for one in ({"text": heading.replace("_", " ")}, *pages)]
        return {"text": text, "menu": shown}

    left = [
        _entry("Answer", "index.qmd"),
        {"text": "Paper", "menu": [
            _entry("Paper", "paper/index.qmd"), _entry("Paper (PDF)", "paper/index.pdf"),
            _entry("Supplement (PDF)", "paper/supplement.pdf"),
            _entry("What helps at thirty people", "docs/thirty.qmd"),
            _entry("All tables and figures", f"{SHOWN}/{staged.report.name}.ipynb"),
        ]},
        {"text": "Studies", "menu": [
            _entry(quoted(study_label(study)), f"{SHOWN}/{name}/index.qmd") for name, study in staged.studies.items()
        ]},
        menu("Your data", Tutorial=[_entry("From a CSV file to a verdict", "docs/tutorial.qmd")],
             How_to=[_entry("Use your own data", "docs/own-data.qmd"), _entry("Use a GPU", "docs/cluster.qmd")]),
        _entry("Reproduce", "docs/replication.qmd"),
        menu("Reference", Reference=[
                _entry("Every measure", "docs/measures.qmd"), _entry("Rules of the verdicts", "docs/rules.qmd"),
                _entry("Benchmarks", "docs/benchmarks.qmd"), _entry("Library", "docs/reference/index.qmd"),
             ],
             Explanation=[_entry("Intervals", "docs/intervals.qmd"), _entry("Known truth", "docs/known-truth.qmd")]),
    ]  # fmt: skip
    sidebars = [_sidebar(staged, name) for name in staged.studies]
    return {"website": {"navbar": {"left": left}, "sidebar": sidebars, "page-footer": {"left": staged.provenance}}}


def _entry(text: str, href: str) -> dict[str, str]:
    return {"text": text, "href": href}


def _sidebar(staged: Staged, name: str) -> dict[str, Any]:
    pages = [_entry(quoted(one.name), f"{SHOWN}/{name}/{one.name}.ipynb") for one in staged.notebooks[name]]
    first = _entry("The study", f"{SHOWN}/{name}/index.qmd")
    return {"id": slug(name), "title": quoted(study_label(staged.studies[name])), "contents": [first, *pages]}


def study_page(staged: Staged, name: str) -> str:
    """The page of a study."""
    study = staged.studies[name]
    title = f"{study.title} (synthetic)" if study.synthetic and "synthetic" not in study.title.lower() else study.title
    prompt = "Of an invented participant, as a model reads it; the form's lines follow."
    treatments = pd.DataFrame({"Treatment": one.label, "What is read": one.scenario} for one in study.treatments)
    questions = pd.DataFrame(
        {"Name": one.title, "Role": one.role, "Question": one.text, "Answers": one.answer_rule()}
        for one in study.questions
    )
    parts = [
        # The engine that executes nothing, whatever the study's texts hold.
        f"---\ntitle: {json.dumps(quoted(title))}\nengine: markdown\n---",
        _described(staged, name),
        f"## Results\n\n{study_results(staged, name)}",
        f"## Treatments\n\n{text_table(treatments)}",
        f"## Questions\n\n{text_table(questions)}",
        f"## A prompt\n\n{prompt}\n\n{quoted_lines(example_prompt(study))}",
        _card(study),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _described(staged: Staged, name: str) -> str:
    study, facts = staged.studies[name], staged.variables["study"][slug(name)]
    people = {"People": f"{facts['people']}, {facts['kind']}"}
    parts = [
        CALLOUT.format(title="Synthetic", text=SYNTHETIC) if study.synthetic else "",
        quoted(study.about),
        _statements(people | _rights(study)),
        rule_of(study),
    ]
    return "\n\n".join(part for part in parts if part)


def study_results(staged: Staged, name: str, tables: bool = False) -> str:
    """What each analysis found in a study: findings in words, the figure, short tables if asked for, the notebook."""
    parts = []
    for analysis, title in TITLES.items():
        record = staged.decisions.get(name) if analysis == "decision" else None
        words = decided_in_words(record) if record else _findings(staged, name, analysis)
        labels = [f"fig-{analysis}", *([f"tbl-{analysis}"] if tables else [])]
        found = staged.parts(name, *(["tbl-trust"] if analysis == "decision" else labels))
        if words or found:
            parts += [f"### {title}", words, *found, staged.made_by(name, analysis)]
    return "\n\n".join(part for part in parts if part) or "No analysis of this study was run."


def _findings(staged: Staged, name: str, analysis: str) -> str:
    rows = staged.verdicts[(staged.verdicts["study"] == name) & (staged.verdicts["analysis"] == analysis)]
    return "\n".join(
        f"- {quoted(row.claim)}. {'' if row.ours == '–' else f'Here: {quoted(row.ours)}. '}{quoted(row.why)} "
        f"*Verdict: {quoted(row.verdict)}.*"
        for row in rows.itertuples()
    )


def _rights(study: Study) -> dict[str, str]:
    return {"Source": study.citation, "doi": study.doi or "none", "Licence": study.licence, "Rights": study.rights}


def _statements(facts: Mapping[str, str]) -> str:
    return text_table(pd.DataFrame({"What": list(facts), "Statement": list(facts.values())}))


def example_prompt(study: Study) -> str:
    """The prompt of a made-up participant and the empty form."""
    lines = [prompt_for(study, example_person(study)).text, ""]
    return "\n".join([*lines, *(f"{slot.label}:" for slot in slots_of(study) if not slot.follows)])


def _card(study: Study) -> str:
    path = Path(study.folder) / "card.md"
    if not path.is_file():
        return ""
    written = card_html(path.read_text(encoding="utf-8"))
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", f"`{written}")))
    return f"## The study's card\n\n{fence}{{=html}}\n{written}\n{fence}"


def parts_of_pages(staged: Staged) -> dict[str, str]:
    """The generated parts that pages include: file name, then Markdown."""
    warning = staged.variables["answer"]["warning"]
    return {
        **{f"_{one}.qmd": f"{staged.report.part(one) or NOTHING_HERE.format(label=one)}\n" for one in OF_REPORT},
        "_warning.qmd": f"{CALLOUT.format(title='Read this first', text=warning)}\n" if warning else "",
        "_sources.qmd": "\n".join(_source(study) for study in staged.studies.values()) + "\n",
        "_supplement.qmd": "\n\n".join(
            f"## {quoted(study_label(study))}\n\n{_described(staged, name)}\n\n"
            f"{study_results(staged, name, tables=True)}"
            for name, study in staged.studies.items()
        ) + "\n",
        "_rules.qmd": rules_text(),
        **{f"_{name}.qmd": _page_of_docs(name) for name in ("measures", "intervals")},
        "_data-statements.qmd": data_statements(),
    }  # fmt: skip


def _page_of_docs(name: str) -> str:
    """A page of the documentation as a part of the supplement: without its title and its links to other pages."""
    text = (project_folder() / "docs" / f"{name}.qmd").read_text(encoding="utf-8").split("---\n", 2)[2]
    return re.sub(r"\[([^\]]+)\]\([\w-]+\.qmd[^)]*\)", r"\1", text)


def _source(study: Study) -> str:
    """A study's source in a list; a doi leads to it where it is a plain one."""
    plain = study.doi and all(letter.isalnum() or letter in "./-_" for letter in study.doi)
    link = f" [doi\\:{quoted(study.doi)}](https://doi.org/{study.doi})" if plain else ""
    return f"- **{quoted(study_label(study))}.** {quoted(study.citation)}{link} {rule_of(study)}"


def rules_text() -> str:
    """When which verdict is given, and what is tested of each finding."""
    lines = [f"- **{quoted(one.claim)}.** {quoted(one.tested)}" for one in load_published().all.values()]
    return "\n".join([f"{quoted(GENERAL_RULE)} What is tested of each finding:\n", *lines]) + "\n"


def data_statements() -> str:
    """Availability and rights of every study of the project, as its file states them: a summary, a section a study."""
    studies = [load_study(name) for name in study_names()]
    rows = [(s.name, "synthetic" if s.synthetic else "real", *_access(s)) for s in studies]
    summary = text_table(pd.DataFrame(rows, columns=["Study", "People", "Public", "How it is had"]))
    return "\n\n".join([summary, *(_statement(study) for study in studies)]) + "\n"


def _access(study: Study) -> tuple[str, str]:
    """Whether a study's data are public, and how they are had."""
    source = study.source
    if isinstance(source, PackageFile):
        return "yes", f"inside the package {source.package} of the lock, file {source.file}"
    if isinstance(source, Download):
        return "yes", f"downloaded on first use as {source.file}, or put below the folder that PILOTLM_DATA names"
    if isinstance(source, Generated):
        return "yes", f"drawn by the generator {source.generator}, {source.n} rows, seed {source.seed}"
    assert isinstance(source, LocalFile)
    return "no", source.how_to_get or f"a file of one's own, {source.file}"


def _statement(study: Study) -> str:
    source = study.source
    checksum = source.sha256 if isinstance(source, PackageFile | Download) else None
    facts = _rights(study) | {
        "Address": source.url if isinstance(source, Download) else "none",
        "sha256": checksum or "none; a run's manifest holds that of its rows",
    }
    return f"### {quoted(study.name)} {{#data-{slug(study.name)}}}\n\n{_statements(facts)}"
