"""The generated pages and parts of pages: study pages, what the paper includes, and the navigation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.arms import load_arms
from pilotlm.instrument.answers import slots_of
from pilotlm.instrument.prompts import prompt_for
from pilotlm.showing.describing import example_person
from pilotlm.showing.notebooks import Shown
from pilotlm.showing.published import load_published, rule_text
from pilotlm.showing.quoting import card_markdown, quoted, quoted_lines, slug
from pilotlm.stages import ANALYSES
from pilotlm.study import (
    Allocation,
    Choice,
    MaximisesExpectedPay,
    NearestOption,
    Scale,
    SignAgreement,
    Study,
    Threshold,
)

SHOWN = "results/shown"
"""Where the generated pages lie in the project; `_quarto.yml` names it too."""
TITLES = {
    "heterogeneity": "Heterogeneity", "divergence": "Distributional divergence", "subgroups": "Subgroup alignment",
    "coherence": "Belief-action coherence", "regression": "Regression recovery",
}  # fmt: skip
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
    """

    studies: Mapping[str, Study]
    notebooks: Mapping[str, Sequence[Shown]]
    report: Shown
    verdicts: pd.DataFrame
    variables: Mapping[str, Any]

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


def parts_of_paper(staged: Staged) -> dict[str, str]:
    """The generated parts that paper and overview include: file name, then Markdown."""
    return {
        "_run-make-paper-first.qmd": _overview(staged),
        "_warning.qmd": _warning(staged),
        "_figure.qmd": _report_embed(staged, "fig-overview"),
        "_data.qmd": _sections(staged, _data_section, "###"),
        **{f"_{analysis}.qmd": _analysis(staged, analysis) for analysis in ANALYSES},
        "_verdicts.qmd": _verdict_tables(staged),
        "_rules.qmd": _rules(),
        "_run.qmd": _report_embed(staged, "tbl-run"),
    }


def navigation(staged: Staged) -> dict[str, Any]:
    """The navigation of the website, as `_quarto.yml` merges it."""
    pages = [{"text": _name(study), "href": f"{SHOWN}/{name}/index.qmd"} for name, study in staged.studies.items()]
    report = {"text": "Report", "href": f"{SHOWN}/{staged.report.name}.ipynb"}
    own = {"text": "Own data", "href": "docs/own-data.qmd"}
    left = [
        {"text": "Overview", "href": "index.qmd"}, {"text": "Paper", "href": "paper/index.qmd"},
        {"text": "Studies", "menu": pages}, report, own,
    ]  # fmt: skip
    return {"website": {"navbar": {"left": left}, "sidebar": [_sidebar(staged, name) for name in staged.studies]}}


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
    return {"id": slug(name), "title": _name(staged.studies[name]), "contents": [first, *pages]}


def _name(study: Study) -> str:
    return quoted(f"{study.name} (synthetic)" if study.synthetic and "synthetic" not in study.name else study.name)


def _warning(staged: Staged) -> str:
    text = staged.variables["answer"]["warning"]
    return f'::: {{.callout-warning title="Read this first"}}\n{text}\n:::\n' if text else ""


def _overview(staged: Staged) -> str:
    answer = staged.variables["answer"]
    links = [
        f"- [{_name(study)}](/{SHOWN}/{name}/index.qmd): {quoted(study.title)}, "
        f"{staged.variables['study'].get(slug(name), {}).get('people', 'no')} "
        f"{'synthetic' if study.synthetic else 'real'} people"
        for name, study in staged.studies.items()
    ]
    figure = _report_embed(staged, "fig-overview")
    reading = "In each panel, left is nearer to people. Another sample of people is not at zero: that is the bar."
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
    parts = [f"{mark} {_name(study)}\n\n{section(staged, name)}" for name, study in staged.studies.items()]
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
        f"Beliefs: {quoted(', '.join(beliefs))}. Action: {quoted(', '.join(actions))}. {_rule(study)} "
        f"Source: {quoted(study.citation)}{doi} Licence: {quoted(study.licence)}.\n\n"
        f"{staged.embeds(name, 'tbl-people')}"
    )


def _plain_doi(doi: str) -> bool:
    return all(letter.isalnum() or letter in "./-_();" for letter in doi) and "(" not in doi


def _rule(study: Study) -> str:
    rule = study.coherence
    if rule is None:
        return "The study has no rule of coherence."
    if isinstance(rule, MaximisesExpectedPay):
        text = "another action has a higher expected pay under the stated beliefs"
    elif isinstance(rule, NearestOption):
        text = "another option is placed nearer to oneself than the chosen one; ties do not count"
    elif isinstance(rule, Threshold):
        text = quoted(f"({rule.belief} ≥ {rule.at_least:g}) differs from ({rule.action} = {rule.acts})")
    else:
        assert isinstance(rule, SignAgreement)
        text = "belief and action have opposite signs in any pair; zero agrees with everything"
    return f"A participant is incoherent where {text}."


def _analysis(staged: Staged, analysis: str) -> str:
    """One analysis in each study: what was found in words, figure, table, and the way to the notebook."""

    def section(staged: Staged, name: str) -> str:
        synthetic = "**Synthetic: not evidence about people.**" if staged.studies[name].synthetic else ""
        shown = staged.embeds(name, f"fig-{analysis}", f"tbl-{analysis}", long=False)
        body = [synthetic, _found(staged, name, analysis), shown]
        if not body[1] and not body[2]:
            return "Nothing to analyse: the study has no rule, groups or regressions for it, or too few people."
        return "\n\n".join(part for part in [*body, staged.made_by(name, analysis)] if part)

    return _sections(staged, section, "####")


def _found(staged: Staged, name: str, analysis: str) -> str:
    rows = staged.verdicts[(staged.verdicts["study"] == name) & (staged.verdicts["analysis"] == analysis)]
    return "\n".join(
        f"- {quoted(row.claim)}. Here: {quoted(row.ours)}. {quoted(row.why)} *Verdict: {quoted(row.verdict)}.*"
        for row in rows.itertuples()
    )


def _verdict_tables(staged: Staged) -> str:
    tables = []
    for name, study in staged.studies.items():
        rows = staged.verdicts[staged.verdicts["study"] == name]
        if len(rows):
            cells = rows[["claim", "published", "ours", "verdict"]].to_numpy()
            table = _table(["Finding", "Published", "Here", "Verdict"], cells, (27, 23, 34, 16))
            caption = f"Published and found: {_name(study)}"
            tables.append(f"{table}\n\n: {caption} {{#tbl-verdicts-{slug(name)}}}")
    if not tables:
        return "The arms that the findings need were not run.\n"
    # These tables may be longer than a page, all others are kept whole.
    start, end = "#[\n#show figure: set block(breakable: true)", "]"
    return "\n\n".join([f"```{{=typst}}\n{start}\n```", *tables, f"```{{=typst}}\n{end}\n```"]) + "\n"


def _rules() -> str:
    findings = load_published().all
    return "\n".join(f"- **{quoted(f.claim)}.** {quoted(rule_text(key, f))}" for key, f in findings.items()) + "\n"


def _facts(staged: Staged, name: str) -> str:
    study, facts = staged.studies[name], staged.variables["study"].get(slug(name), {})
    rows = [
        ("People", f"{facts.get('people', 'unknown')}, {facts.get('kind', 'unknown')}"),
        ("Source", study.citation), ("Licence", study.licence), ("Rights", study.rights),
    ]  # fmt: skip
    return _table(["", ""], rows, (14, 86)) + f"\n\n{_rule(study)}"


def _treatments(study: Study) -> str:
    return _table(["Treatment", "What is read"], [(t.label, t.scenario) for t in study.treatments], (22, 78))


def _questions(study: Study) -> str:
    rows = [(q.title, q.role, q.text, _allowed(q)) for q in study.questions]
    return _table(["Name", "Role", "Question", "Answers"], rows, (18, 8, 44, 30))


def _allowed(question: Choice | Scale | Allocation) -> str:
    if isinstance(question, Choice):
        return "; ".join(option.text for option in question.options)
    if isinstance(question, Scale):
        return f"{question.low} to {question.high}"
    return f"{', '.join(part.text for part in question.parts)}; steps of {question.step}, sum {question.total}"


def _prompt(study: Study) -> str:
    lines = [prompt_for(study, example_person(study)).text, ""]
    return quoted_lines("\n".join([*lines, *(f"{slot.label}:" for slot in slots_of(study) if not slot.follows)]))


def _study_results(staged: Staged, name: str) -> str:
    parts = []
    for analysis in ANALYSES:
        found = _found(staged, name, analysis)
        embeds = staged.embeds(name, f"fig-{analysis}", f"tbl-{analysis}")
        if found or embeds:
            parts.append(
                "\n\n".join(p for p in (f"### {TITLES[analysis]}", found, embeds, staged.made_by(name, analysis)) if p)
            )
    return "\n\n".join(parts) or "No analysis of this study was run."


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


def _table(heads: Sequence[str], rows: Iterable[Iterable[object]], widths: Sequence[int]) -> str:
    """A pipe table of texts that are data; the widths are shares of the line."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('-' * width for width in widths)}|"]
    lines += [f"| {' | '.join(quoted(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
