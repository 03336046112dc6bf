"""The generated pages of the website: a page a study, and the navigation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pilotlm.arms import load_arms
from pilotlm.instrument.form import slots_of
from pilotlm.instrument.prompts import example_person, prompt_for
from pilotlm.showing.decided import decided_in_words
from pilotlm.showing.quoting import card_markdown, quoted, quoted_lines, slug
from pilotlm.showing.staged import SHOWN, SYNTHETIC, Staged, findings_of, name_of, rule_of, table_of
from pilotlm.stages import ANALYSES
from pilotlm.study import Study

TITLES = {
    "heterogeneity": "Heterogeneity", "divergence": "Distributional divergence", "subgroups": "Subgroup alignment",
    "coherence": "Belief-action coherence", "regression": "Regression recovery",
    "accuracy": "Individual accuracy", "controls": "Negative controls and leakage",
    "rectification": "Rectified inference",
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
        {"text": "From figure to file", "href": "docs/exhibits.qmd"},
        {"text": "Replication README", "href": "docs/replication.qmd"},
        {"text": "Benchmarks", "href": "docs/benchmarks.qmd"}, {"text": "Known truth", "href": "docs/known-truth.qmd"},
    ]  # fmt: skip
    use = [
        {"text": "Own data", "href": "docs/own-data.qmd"},
        {"text": "Tutorial", "href": "docs/tutorial.qmd"},
        {"text": "GPU and cluster", "href": "docs/cluster.qmd"},
        {"text": "Library reference", "href": "docs/reference.qmd"},
    ]
    left = [
        {"text": "Overview", "href": "index.qmd"}, {"text": "Paper", "href": "paper/index.qmd"},
        {"text": "Studies", "menu": pages}, *decided, {"text": "Compare arms", "href": "docs/compare.qmd"}, report,
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
