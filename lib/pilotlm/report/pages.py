"""What website and paper are made of: a page a study, the navigation, and the parts that pages include."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.arms import load_arms
from pilotlm.data.form import slots_of
from pilotlm.data.prompts import example_person, prompt_for
from pilotlm.report.decision_page import decided_in_words
from pilotlm.report.labels import answer_words, variable_labels
from pilotlm.report.notebooks import Shown
from pilotlm.report.published import GENERAL_RULE, load_published, rule_text
from pilotlm.report.wording import card_markdown, quoted, quoted_lines, slug, table_of
from pilotlm.stages import ANALYSES
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
    '::: {.callout-warning title="Synthetic"}\nNobody answered this study: its rows come from a generator. '
    "It tests the pipeline and is never evidence about people.\n:::"
)


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


TITLES = {
    "heterogeneity": "Heterogeneity", "divergence": "Distributional divergence", "subgroups": "Subgroup alignment",
    "coherence": "Belief-action coherence", "regression": "Regression recovery",
    "accuracy": "Individual accuracy", "controls": "Negative controls and leakage",
    "rectification": "Prediction-powered inference",
}  # fmt: skip


def navigation(staged: Staged) -> dict[str, Any]:
    """The navigation of the website, as `_quarto.yml` merges it."""
    pages = [{"text": name_of(study), "href": f"{SHOWN}/{name}/index.qmd"} for name, study in staged.studies.items()]
    report = {"text": "Report", "href": f"{SHOWN}/{staged.report.name}.ipynb"}
    decisions: list[dict[str, Any]] = [
        {"text": name_of(staged.studies[name]), "href": f"{SHOWN}/{name}/{notebook.name}.ipynb"}
        for name, notebooks in staged.notebooks.items()
        for notebook in notebooks
        if notebook.name.endswith("-decision")
    ]
    decided = [{"text": "Decisions", "menu": decisions}] if decisions else []
    checks = [
        {"text": "Replication README", "href": "docs/replication.qmd"},
        {"text": "Every measure", "href": "docs/measures.qmd"}, {"text": "Intervals", "href": "docs/intervals.qmd"},
        {"text": "Benchmarks", "href": "docs/benchmarks.qmd"}, {"text": "Known truth", "href": "docs/known-truth.qmd"},
    ]  # fmt: skip
    use = [
        {"text": "Own data", "href": "docs/own-data.qmd"},
        {"text": "Tutorial", "href": "docs/tutorial.qmd"},
        {"text": "GPU and cluster", "href": "docs/cluster.qmd"},
        {"text": "Library reference", "href": "docs/reference/index.qmd"},
    ]
    left = [
        {"text": "Overview", "href": "index.qmd"}, {"text": "Paper", "href": "paper/index.qmd"},
        {"text": "Studies", "menu": pages}, *decided, report,
        {"text": "Checks", "menu": checks}, {"text": "Use it", "menu": use},
    ]  # fmt: skip
    sidebars = [_sidebar(staged, name) for name in staged.studies]
    return {"website": {"navbar": {"left": left}, "sidebar": sidebars, "page-footer": {"left": staged.provenance}}}


def study_page(staged: Staged, name: str) -> str:
    """The page of a study."""
    study = staged.studies[name]
    title = f"{study.title} (synthetic)" if study.synthetic and "synthetic" not in study.title.lower() else study.title
    parts = [
        # The engine that executes nothing, whatever the study's texts hold.
        f"---\ntitle: {json.dumps(quoted(title))}\nengine: markdown\n---",
        SYNTHETIC if study.synthetic else "",
        quoted(study.about),
        _facts(staged, name),
        f"## Treatments\n\n{_treatments(study)}",
        f"## Questions\n\n{_questions(study)}",
        f"## A prompt\n\nOf an invented participant, as a model reads it; the form's lines follow.\n\n{_prompt(study)}",
        f"## Results\n\n{_study_results(staged, name)}",
        f"## Notebooks\n\n{_notebook_list(staged, name)}",
        _card(study),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sidebar(staged: Staged, name: str) -> dict[str, Any]:
    pages = [
        {"text": quoted(notebook.name), "href": f"{SHOWN}/{name}/{notebook.name}.ipynb"}
        for notebook in staged.notebooks[name]
    ]
    first = {"text": "The study", "href": f"{SHOWN}/{name}/index.qmd"}
    return {"id": slug(name), "title": name_of(staged.studies[name]), "contents": [first, *pages]}


def _facts(staged: Staged, name: str) -> str:
    study, facts = staged.studies[name], staged.variables["study"].get(slug(name), {})
    rows = [
        ("People", f"{facts.get('people', 'unknown')}, {facts.get('kind', 'unknown')}"),
        ("Source", study.citation), ("Licence", study.licence), ("Rights", study.rights),
    ]  # fmt: skip
    return table_of(["", ""], rows, (14, 86)) + f"\n\n{rule_of(study)}"


def _treatments(study: Study) -> str:
    return table_of(["Treatment", "What is read"], [(t.label, t.scenario) for t in study.treatments], (22, 78))


def _questions(study: Study) -> str:
    rows = [(q.title, q.role, q.text, q.answer_rule()) for q in study.questions]
    return table_of(["Name", "Role", "Question", "Answers"], rows, (18, 8, 44, 30))


def _prompt(study: Study) -> str:
    lines = [prompt_for(study, example_person(study)).text, ""]
    return quoted_lines("\n".join([*lines, *(f"{slot.label}:" for slot in slots_of(study) if not slot.follows)]))


def _study_results(staged: Staged, name: str) -> str:
    parts = []
    for analysis in ANALYSES:
        found = findings_of(staged, name, analysis)
        embeds = staged.embeds(name, f"fig-{analysis}", f"tbl-{analysis}")
        if found or embeds:
            parts.append(
                "\n\n".join(p for p in (f"### {TITLES[analysis]}", found, embeds, staged.made_by(name, analysis)) if p)
            )
    decision = decision_section(staged, name)
    if decision:
        parts.append(f"### May the pilot be augmented?\n\n{decision}")
    return "\n\n".join(parts) or "No analysis of this study was run."


def decision_section(staged: Staged, name: str) -> str:
    """The verdict on augmenting the study's pilot, with its figure and table, and the way to the notebook."""
    record = staged.decisions.get(name)
    if record is None:
        return ""
    shown = staged.embeds(name, "tbl-trust", "fig-allocation", long=False)
    return "\n\n".join(p for p in (decided_in_words(record), shown, staged.made_by(name, "decision")) if p)


def _notebook_list(staged: Staged, name: str) -> str:
    arms = load_arms().arms
    lines = []
    for notebook in staged.notebooks[name]:
        arm = next((a.label for a in arms.values() if f"-{a.name}-s" in notebook.name), "")
        note = f" {quoted(arm)}" if arm else ""
        lines.append(f"- [{quoted(notebook.name)}](/{SHOWN}/{name}/{notebook.name}.ipynb){note}")
    return "\n".join(lines)


def _card(study: Study) -> str:
    path = Path(study.folder) / "card.md"
    if not path.is_file():
        return ""
    return f"## The study's card\n\n{card_markdown(path.read_text(encoding='utf-8'))}"


SYNTHETIC_BLOCK = "::: {.block sticky=true}\n**Synthetic: not evidence about people.**\n:::"
"""Printed, it stays on the page of what follows it."""
NO_DECISION = "No decision was made on this study in this run."


def parts_of_paper(staged: Staged) -> dict[str, str]:
    """The generated parts that paper and overview include: file name, then Markdown."""
    return {
        "_overview.qmd": _overview(staged),
        "_warning.qmd": _warning(staged),
        "_figure.qmd": _report_embed(staged, "fig-overview"),
        "_leads.qmd": _report_embed(staged, "fig-leads"),
        "_data.qmd": _sections(staged, _data_section, "###"),
        **{f"_{analysis}.qmd": _analysis(staged, analysis) for analysis in ANALYSES},
        "_decision.qmd": _sections(staged, lambda s, name: decision_section(s, name) or NO_DECISION, "####"),
        "_verdicts.qmd": _verdict_tables(staged),
        "_rules.qmd": _rules(),
        "_run.qmd": _report_embed(staged, "tbl-run"),
    }


def _warning(staged: Staged) -> str:
    text = staged.variables["answer"]["warning"]
    return f'::: {{.callout-warning title="Read this first"}}\n{text}\n:::\n' if text else ""


def _overview(staged: Staged) -> str:
    answer = staged.variables["answer"]
    links = [
        f"- [{name_of(study)}](/{SHOWN}/{name}/index.qmd): {quoted(study.title)}, "
        f"{staged.variables['study'].get(slug(name), {}).get('people', 'no')} "
        f"{'synthetic' if study.synthetic else 'real'} people"
        for name, study in staged.studies.items()
    ]
    figure = _report_embed(staged, "fig-overview")
    reading = "Left is nearer to people: 0 is another sample of people of the same size, 1 is random answers."
    text = [
        _warning(staged),
        answer["headline"],
        answer["counted"],
        figure,
        reading if figure else "",
        "\n".join(links),
    ]
    return "\n\n".join(part for part in text if part) + "\n"


def _report_embed(staged: Staged, label: str) -> str:
    if label not in staged.report.labels:
        return ""
    return f"{{{{< embed /{SHOWN}/{staged.report.name}.ipynb#{label} >}}}}\n"


def _sections(staged: Staged, section: Callable[[Staged, str], str], mark: str) -> str:
    parts = [f"{mark} {name_of(study)}\n\n{section(staged, name)}" for name, study in staged.studies.items()]
    return "\n\n".join(parts) + "\n"


def _data_section(staged: Staged, name: str) -> str:
    study, facts = staged.studies[name], staged.variables["study"].get(slug(name), {})
    doi = f" [doi\\:{quoted(study.doi)}](https://doi.org/{study.doi})" if study.doi and _plain_doi(study.doi) else ""
    kind = "**Synthetic.** " if study.synthetic else ""
    beliefs = [q.title.lower() for q in study.questions if q.role == "belief"]
    actions = [q.title.lower() for q in study.questions if q.role == "action"]
    return (
        f"{kind}{quoted(study.about)} {facts.get('people', 'No')} participants, "
        f"{len(study.treatments)} {'treatment' if len(study.treatments) == 1 else 'treatments'}. "
        f"Beliefs: {quoted(', '.join(beliefs))}. Action: {quoted(', '.join(actions))}. {rule_of(study)} "
        f"Source: {quoted(study.citation)}{doi} Licence: {quoted(study.licence)}.\n\n"
        f"{staged.embeds(name, 'tbl-people')}"
    )


def _plain_doi(doi: str) -> bool:
    return all(letter.isalnum() or letter in "./-_();" for letter in doi) and "(" not in doi


def _analysis(staged: Staged, analysis: str) -> str:
    """One analysis in each study: what was found in words, figure, table, and the way to the notebook."""

    def section(staged: Staged, name: str) -> str:
        synthetic = SYNTHETIC_BLOCK if staged.studies[name].synthetic else ""
        shown = staged.embeds(name, f"fig-{analysis}", f"tbl-{analysis}", long=False)
        body = [synthetic, findings_of(staged, name, analysis), shown]
        if not body[1] and not body[2]:
            return "Nothing to analyse: the study has too few people for it."
        return "\n\n".join(part for part in [*body, staged.made_by(name, analysis)] if part)

    return _sections(staged, section, "####")


def _verdict_tables(staged: Staged) -> str:
    tables = []
    for name, study in staged.studies.items():
        rows = staged.verdicts[staged.verdicts["study"] == name]
        if len(rows):
            cells = rows[["claim", "published", "ours", "verdict"]].to_numpy()
            table = table_of(["Finding", "Published", "Here", "Verdict"], cells, (27, 23, 34, 16))
            caption = f"Published and found: {name_of(study)}"
            tables.append(f"{table}\n\n: {caption} {{#tbl-verdicts-{slug(name)}}}")
    if not tables:
        return "The arms that the findings need were not run.\n"
    # These tables may be longer than a page, all others are kept whole.
    start, end = "#[\n#show figure: set block(breakable: true)", "]"
    return "\n\n".join([f"```{{=typst}}\n{start}\n```", *tables, f"```{{=typst}}\n{end}\n```"]) + "\n"


def _rules() -> str:
    findings = load_published().all
    lines = [f"- **{quoted(f.claim)}.** {quoted(rule_text(key, f))}" for key, f in findings.items()]
    return "\n".join([f"{quoted(GENERAL_RULE)} What is tested of each finding:\n", *lines]) + "\n"


def data_statements() -> str:
    """Availability and rights of every study of the project, as its file states them: a summary, a section a study."""
    studies = [load_study(name) for name in study_names()]
    summary = table_of(
        ["Study", "People", "Public", "How it is had"],
        [(s.name, "synthetic" if s.synthetic else "real", *_access(s)) for s in studies],
        (22, 12, 12, 54),
    )
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
    rows = [
        ("Source", study.citation), ("doi", study.doi or "none"), ("Licence", study.licence), ("Rights", study.rights),
        ("Address", source.url if isinstance(source, Download) else "none"),
        ("sha256", checksum or "none; a run's manifest holds that of its rows"),
    ]  # fmt: skip
    return f"### {quoted(study.name)} {{#data-{slug(study.name)}}}\n\n{table_of(['What', 'Statement'], rows, (14, 86))}"
