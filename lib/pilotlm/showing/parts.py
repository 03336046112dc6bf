"""The generated parts that paper and overview include, in the order of the paper."""

from __future__ import annotations

from collections.abc import Callable

from pilotlm.showing.pages import decision_section
from pilotlm.showing.published import load_published, rule_text
from pilotlm.showing.quoting import quoted, slug
from pilotlm.showing.staged import SHOWN, Staged, findings_of, name_of, rule_of, table_of
from pilotlm.stages import ANALYSES

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
            return "Nothing to analyse: the study has no rule, groups or regressions for it, or too few people."
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
    return "\n".join(f"- **{quoted(f.claim)}.** {quoted(rule_text(key, f))}" for key, f in findings.items()) + "\n"
