"""The figures and tables of the paper: studies by their plain names, the same few arms in each, seeds averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pilotlm.analyses.rectification import WRONG
from pilotlm.arms import Arm, Arms, load_arms
from pilotlm.report.decision_page import VERDICT_WORDS, decided
from pilotlm.report.evidence import NOTHING_KNOWN, PRIMARY, ROLES, Evidence, Interval, Value, gather, primary_advantage
from pilotlm.report.figures import MARK_COLUMNS, marks_figure
from pilotlm.report.labels import study_label, variable_labels
from pilotlm.report.published import CONTRADICTED, NOT_TESTABLE, SHOWN, UNDERPOWERED, load_published
from pilotlm.report.runs import pilot_sizes
from pilotlm.report.wording import number, percent1, span, whole, with_ends
from pilotlm.study import Study

Take = Callable[[Evidence, Arm], Interval | None]
"""What is shown of an arm; None where it was not measured."""
MATRIX = {SHOWN: "yes", CONTRADICTED: "no", UNDERPOWERED: "?", NOT_TESTABLE: "–"}
"""A verdict in a cell of the matrix of findings and studies."""


def measured(metric: str, item: str | None) -> Take:
    """A measure of an arm as it is."""
    return lambda evidence, arm: evidence.value(arm.name, metric, item)


def placed(evidence: Evidence, arm: Arm) -> Interval | None:
    """The primary measure on the scale from another sample of people, 0, to random answers, 1."""
    value = evidence.value(arm.name, *PRIMARY)
    return value.placed if value else None


def variety(evidence: Evidence, arm: Arm) -> Interval | None:
    """The count of belief structures as a multiple of what as many people give."""
    count = evidence.value(arm.name, "unique_structures", "beliefs")
    if count is None or not count.human_benchmark:
        return None
    people = count.human_benchmark
    ratio = count.times(1 / people)
    return Value(ratio.estimate, ratio.low, ratio.high, random_benchmark=count.random_benchmark / people)


@dataclass(frozen=True)
class Drawn:
    """How a figure of the paper is drawn: what of which roles, and what the axis and its marks are."""

    take: Take
    axis: str
    roles: tuple[str, ...] = tuple(ROLES)
    lines: Mapping[float, str] | None = None
    benchmarks: tuple[str, str] = ("", "")


ARMS = ("base", "tuned", "pooled", "baseline")
FIGURES: dict[str, Drawn] = {
    "distance": Drawn(placed, "distance of all answers together", ARMS,
                      {0.0: "another sample of people", 1.0: "random answers"}),
    "variety": Drawn(variety, "belief structures, as a multiple of what as many people give",
                     lines={1.0: "as many as people"}, benchmarks=("", "random answers")),
    "coherence": Drawn(measured("gap", None), "share of actions that contradict beliefs",
                       benchmarks=("the same people", "the arm's beliefs and actions paired at random")),
    "persona": Drawn(measured("association", "persona"), "share of the variance of answers that goes with the persona",
                     lines={0.0: ""}, benchmarks=("the same people", "")),
    "likelihood": Drawn(measured("nll_over_baseline", "all"),
                        "loss less that of the best baseline, nats a person", ("base", "tuned", "pooled"),
                        {0.0: "best baseline"}),
    "signs": Drawn(measured("sign_f1", "all"), "F1 of the signs of coefficients",
                   benchmarks=("a fresh draw of as many people", "")),
}  # fmt: skip
"""The figures that have a row a study."""


def studies_in_order(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> list[Evidence]:
    """What the run says of each study: real ones first."""
    return sorted(gather(metrics, studies, load_arms()), key=lambda evidence: evidence.study.synthetic)


def paper_figure(gathered: Sequence[Evidence], name: str) -> Figure:
    """A figure of `FIGURES`: a row a study, a mark an arm."""
    drawn = FIGURES[name]
    marks = [
        _mark(study_label(one.study), role, drawn.take(one, arm))
        for one in gathered
        for role, arm in one.main.items()
        if role in drawn.roles
    ]
    return _figure(marks, drawn.axis, lines=drawn.lines, benchmarks=drawn.benchmarks)


def groups_figure(gathered: Sequence[Evidence]) -> Figure:
    """Distance to the people of each group: a row a group of each study's first grouping."""
    marks = [
        _mark(f"{study_label(one.study)}: {group}", role, one.value(arm.name, "subgroup_distance", variable, group))
        for one in gathered
        for variable in [subgroup.variable for subgroup in one.study.subgroups[:1]]
        for group in one.groups(variable)
        for role, arm in one.main.items()
        if role in ARMS
    ]
    return _figure(marks, "mean distance of single answers", benchmarks=("other people of the group", ""))


def distance_table(gathered: Sequence[Evidence], manifest: Mapping[str, Any]) -> pd.DataFrame:
    """The primary measure of each study: base model, fine-tuned model, best baseline on the same people, pool."""
    lines = []
    for one in gathered:
        tuned, best = one.main.get("tuned"), one.main.get("baseline")
        cells = {role: _ends(placed(one, arm)) for role, arm in one.main.items()}
        sizes = pilot_sizes(manifest, one.study.name, tuned.name) if tuned else []
        lines.append({
            "Study": study_label(one.study),
            "Pilot": f"{span(sizes, whole)} people" if sizes else one.arms.pilot(tuned.pilot).label if tuned else "–",
            "Base model": cells.get("base", "–"),
            "Fine-tuned": cells.get("tuned", "–"),
            "Best baseline": f"{cells['baseline']} ({best.answerer})" if best else "–",
            "Pool": cells.get("pooled", "–"),
        })  # fmt: skip
    return pd.DataFrame(lines)


def studies_table(studies: Mapping[str, Study], manifest: Mapping[str, Any]) -> pd.DataFrame:
    """What was asked of whom: a line a study."""
    lines = []
    for study in sorted(studies.values(), key=lambda study: study.synthetic):
        labels = variable_labels(study)
        people = manifest["studies"].get(study.name, {}).get("participants")
        beliefs, actions = ([q.title for q in study.questions if q.role == role] for role in ("belief", "action"))
        lines.append({
            "Study": study_label(study),
            "People": "generated" if study.synthetic else str(people or "unknown"),
            "Treatments": str(len(study.treatments)),
            "Beliefs": _some(beliefs), "Action": _some(actions),
            "Groups": _some([subgroup.label for subgroup in study.subgroups[:1]]).lower(),
            "Regressions": "; ".join(dict.fromkeys(labels[r.variables[0]] for r in study.regressions)) or "–",
        })  # fmt: skip
    return pd.DataFrame(lines)


def power_table(gathered: Sequence[Evidence]) -> pd.DataFrame:
    """How large a difference had to be: `Interval.detectable` of each comparison, and what as many people score."""
    lines = []
    for one in gathered:
        tuned, base, best = (one.main.get(role) for role in ("tuned", "base", "baseline"))
        if tuned is None:
            continue
        own, gap, f1 = (one.value(tuned.name, m, i) for m, i in (PRIMARY, ("gap", None), ("sign_f1", "all")))
        lines.append({
            "Study": study_label(one.study),
            "People compared": number(own.n, 0) if own else "–",
            "Distance, against the base model": _detectable(primary_advantage(one, tuned, base)) if base else "–",
            "Distance, against the best baseline": _detectable(primary_advantage(one, tuned, best)) if best else "–",
            "Gap, against chance": _detectable(gap),
            "F1 of as many people": number(f1.human_benchmark) if f1 else "–",
        })  # fmt: skip
    return pd.DataFrame(lines)


def signs_table(gathered: Sequence[Evidence]) -> pd.DataFrame:
    """F1 of the signs and false-positive rate, beside what a fresh draw of as many people scores."""
    lines = []
    for one in gathered:
        for role, arm in one.main.items():
            f1, rate = (one.value(arm.name, metric, "all") for metric in ("sign_f1", "false_positive_rate"))
            if role in ARMS and f1 and rate:
                lines.append({
                    "Study": study_label(one.study), "Arm": ROLES[role], "F1": _ends(f1),
                    "F1 of people": number(f1.human_benchmark), "False positives": _ends(rate),
                    "Of people": number(rate.human_benchmark),
                })  # fmt: skip
    return pd.DataFrame(lines)


def decision_table(gathered: Sequence[Evidence], decisions: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The verdict on each study's fine-tuned and pooled arm, and how often the rules err on pilots of the same people.

    ``decisions`` has the record of each study (`pilotlm.report.decision_page.decision_record`).
    """
    lines = []
    for one in gathered:
        for role, arm in one.main.items():
            found = decided(decisions.get(one.study.name, {}), arm.name)
            if role not in ("tuned", "pooled") or found is None:
                continue
            verdict, targets, outside = found
            wrong = {how.capitalize(): percent1(error_rate(one, arm, how)) for how in WRONG}
            lines.append({
                "Study": study_label(one.study), "Arm": ROLES[role], "Verdict": VERDICT_WORDS[verdict],
                "Targets": str(len(targets)), "Shown to mislead": str(outside),
                "Wrongly used": wrong["Wrongly used"], "Wrongly advised": wrong["Wrongly rectified"],
                "Wrongly refused": wrong["Wrongly refused"],
            })  # fmt: skip
    return pd.DataFrame(lines)


def error_rate(evidence: Evidence, arm: Arm, how: str) -> float:
    """How often verdicts on an arm are wrong in a way, mean over targets, seeds and sizes; nan if unknown."""
    rows = evidence.measured
    mine = rows[(rows["arm"] == arm.name) & (rows["metric"] == how.replace(" ", "_"))]["estimate"]
    return float(mine.mean()) if len(mine) else math.nan


def verdict_matrix(found: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """Every finding beside what was published, a column a study: yes, no, ?, or – where it cannot be tested.

    ``found`` is what `pilotlm.report.verdicts.verdicts` returns.
    """
    verdict = {(row.key, row.study): MATRIX[str(row.verdict)] for row in found.itertuples()}
    ordered = sorted(studies.values(), key=lambda study: study.synthetic)
    return pd.DataFrame(
        {"Finding": finding.claim, "Published": finding.text}
        | {study_label(study): verdict[key, study.name] for study in ordered if (key, study.name) in verdict}
        for key, finding in load_published().all.items()
        if len(found)
    )


ROBUSTNESS_MEASURES = {
    "Joint distance": ("joint_distance", "answers"),
    "Marginal distance": ("marginal_distance", "mean"),
    "Gap": ("gap", None),
    "F1 of signs": ("sign_f1", "all"),
}
"""Heading, then metric and item."""


def plain_of(arm: Arm, arms: Arms) -> Arm | None:
    """The arm that is asked, or answers, in the usual way; None of one that is no such variant."""
    if not arm.is_variant or arm.shuffled or arm.pilot_seed is not None:
        return None
    plain = {"persona_first": False, "reversed_options": False, "examples": 0, "temperature": 1.0, "decoding": "whole"}
    usual = arm.model_copy(update=plain)
    own = ("name", "label", "adapter_of")
    others = (a for a in arms.arms.values() if usual.model_copy(update={key: getattr(a, key) for key in own}) == a)
    return next((other for other in others if arm.adapter_of in ("", other.name)), None)


def robustness_table(gathered: Sequence[Evidence]) -> pd.DataFrame:
    """What each variant's measures are, less those of its plain arm."""
    rows = [
        {"Study": study_label(one.study), "Variant": arm.label}
        | {heading: _difference(one, arm, plain, *measure) for heading, measure in ROBUSTNESS_MEASURES.items()}
        for one in gathered
        for arm in one.present
        if (plain := plain_of(arm, one.arms)) is not None and plain in one.present
    ]
    return pd.DataFrame(rows, columns=["Study", "Variant", *ROBUSTNESS_MEASURES])


def _figure(marks: Sequence[dict[str, Any]], axis: str, **how: Any) -> Figure:
    known = [mark for mark in marks if not math.isnan(mark["estimate"])]
    return marks_figure(pd.DataFrame(known, columns=list(MARK_COLUMNS)), axis, **how)


def _mark(row: str, role: str, value: Interval | None) -> dict[str, Any]:
    found = value or NOTHING_KNOWN
    benchmarks = (getattr(found, name, math.nan) for name in ("human_benchmark", "random_benchmark"))
    ends = (found.estimate, found.low, found.high)
    return dict(zip(MARK_COLUMNS, (row, ROLES[role], role, *ends, *benchmarks), strict=True))


def _detectable(value: Interval | None) -> str:
    return "–" if value is None or not value.half else number(value.detectable)


def _ends(value: Interval | None) -> str:
    return "–" if value is None else with_ends(value.estimate, value.low, value.high)


def _some(words: Sequence[str]) -> str:
    """Up to three words; of more, the first and how many others there are."""
    return "; ".join(words) if len(words) <= 3 else f"{words[0]}; and {len(words) - 1} more"


def _difference(evidence: Evidence, arm: Arm, plain: Arm, metric: str, item: str | None) -> str:
    ours, theirs = (evidence.value(one.name, metric, item) for one in (arm, plain))
    return _ends(ours.minus(theirs) if ours and theirs else None)
