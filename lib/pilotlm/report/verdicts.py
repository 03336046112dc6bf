"""The paper's findings beside ours: what was published, what was found, and a verdict by a rule that is stated.

The published values and what is tested of each are read from ``paper/published.yml``; when which verdict is given says
`pilotlm.report.published.GENERAL_RULE`. Both are printed in the supplement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pilotlm.analyses.subgroups import CLAIMS, DISTANCE_MARGIN
from pilotlm.arms import BASELINES, Arm, Arms, load_arms
from pilotlm.report.evidence import (
    NOTHING_KNOWN,
    PRIMARY,
    Advantage,
    Evidence,
    Interval,
    Value,
    coefficients_advantage,
    coherence_advantage,
    gather,
    primary_advantage,
    values_of,
)
from pilotlm.report.published import (
    ALWAYS,
    COLLAPSE,
    CONTRADICTED,
    FINDING_VERDICTS,
    GAP_MARGIN,
    NOT_TESTABLE,
    SHOWN,
    UNDERPOWERED,
    load_published,
)
from pilotlm.report.tables import plain
from pilotlm.report.wording import counted, listed, number, percent1, span, whole
from pilotlm.responses import HUMAN
from pilotlm.stages import ANALYSES
from pilotlm.study import Study

VERDICT_COLUMNS = ("study", "claim", "published", "ours", "verdict", "why")
_NO_BASE = "The base model was not run."
_NO_TUNED = "No fine-tuned arm was run."
_NO_BELIEFS = "There is no count of belief structures."
_NO_DISTANCE = "There is no distance to compare."
_NO_RULE = "The study has no rule by which an action contradicts beliefs."
NO_BASELINE = "The run does not say which baseline is the best."
MOST_TIMES = 1000
"""Nobody asks more people than so many times those here: beyond it a number would say too much."""


@dataclass(frozen=True)
class Statement:
    """A statement in one arm or group: by how much each of its quantities lies on its side of the threshold."""

    where: str
    excess: tuple[Interval, ...]


@dataclass(frozen=True)
class Found:
    """What was found on one finding in one study: our values in words, and the statement in each arm or group.

    ``said`` is why it cannot be tested, or what must be said beside the verdict; ``unit`` what it is tested in.
    """

    ours: str
    tested: tuple[Statement, ...] = ()
    said: str = ""
    unit: str = "arm"


Finder = Callable[[Evidence, Mapping[str, float]], Found]
"""Finds in one study what is tested of a finding, given the published values."""


def verdicts(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """Judge each finding in each study; seeds are averaged (`pilotlm.report.evidence.over_seeds`)."""
    findings = sorted(load_published().all.items(), key=lambda pair: ANALYSES.index(pair[1].analysis))
    rows: list[dict[str, Any]] = []
    for evidence in gather(metrics, studies, load_arms()):
        for key, finding in findings:
            found = _FINDINGS[key](evidence, finding.values)
            verdict, counts = judged(found.tested, found.unit)
            if verdict == NOT_TESTABLE and not found.said:
                counts = "No quantity that it needs has an interval here."
            needed = _pilots_needed(found.tested) if verdict == UNDERPOWERED else ""
            rows.append(
                {"study": evidence.study.name, "claim": finding.claim, "published": finding.text, "key": key,
                 "analysis": finding.analysis, "ours": found.ours, "verdict": verdict,
                 "why": " ".join(text for text in (counts, needed, found.said) if text)}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=[*VERDICT_COLUMNS, "key", "analysis"])


def finding(study: Study, table: pd.DataFrame, analysis: str) -> str:
    """What the tidy table of an analysis says on the paper's findings, in Markdown.

    A paragraph a finding: the claim, what was published, the verdict, our values and why.
    """
    published = load_published().findings
    rows = verdicts(table, {study.name: study})
    rows = rows[(rows["analysis"] == analysis) & rows["key"].isin(list(published))]
    return "\n\n".join(
        f"{plain(claim)} (published: {plain(text)}). **{verdict.capitalize()}.** "
        f"{'' if ours == '–' else f'Here: {plain(ours)}. '}{plain(why)}"
        for claim, text, ours, verdict, why in rows[list(VERDICT_COLUMNS[1:])].astype(str).to_numpy()
    )


def shown_side(rows: pd.DataFrame, arms: Arms, below: str, above: str, at: str | float = 0.0) -> str:
    """Say of each arm on which side of a value its own interval lies; nothing is adjusted for the number of arms.

    Parameters
    ----------
    rows : DataFrame
        A row an arm, of one measure and item, seeds averaged (`pilotlm.report.evidence.over_seeds`).
    below, above : str
        What is shown of an arm whose whole interval lies below, or above, as in "forecasts people better than ...".
    at : str or float
        The value, or the column that holds it.

    Returns
    -------
    str
        A sentence a side, and one on the arms of which neither is shown; empty without rows that have an interval.
    """
    there = rows[rows["arm"] != HUMAN].dropna(subset=["low", "high"])
    value = there[at] if isinstance(at, str) else at
    lower, upper = there["high"] < value, there["low"] > value
    labels = there["arm"].map(lambda name: arms.arm(name).label)
    sides = {f"Shown that it {below}": lower, f"Shown that it {above}": upper, "Neither is shown": ~lower & ~upper}
    said = " ".join(f"{words}: {'; '.join(labels[side])}." for words, side in sides.items() if side.any())
    return f"{said} (Each by its own 95 % interval.)" if said else ""


def judged(tested: Sequence[Statement], unit: str = "arm") -> tuple[str, str]:
    """The verdict on a statement about every arm or group, by `pilotlm.report.published.GENERAL_RULE`.

    A sentence says in how many of them, which ``unit`` names, it is what; it is empty of fewer than two.
    """
    comparisons = sum(not math.isnan(one.low) for statement in tested for one in statement.excess)
    each = [_of_parts([_of_one(one, comparisons) for one in statement.excess]) for statement in tested]
    against = [statement.where for statement, verdict in zip(tested, each, strict=True) if verdict == CONTRADICTED]
    testable = [verdict for verdict in each if verdict != NOT_TESTABLE]
    if len(each) < 2:
        return _of_parts(testable), ""
    first, *others = (f"{verdict} in {each.count(verdict)}" for verdict in FINDING_VERDICTS if verdict in each)
    sentence = ", ".join([f"{first[0].upper()}{first[1:]} of {counted(len(each), unit)}", *others]) + "."
    if against and len(against) < len(each):
        sentence += f" Contradicted: {'; '.join(against)}."
    return _of_parts(testable), sentence


def times_as_many(tested: Sequence[Statement]) -> float:
    """About how many times as many pilots, each with as many people, would decide what is underpowered.

    Of the parts that lie on the wrong side one is enough, so the one that takes the fewest counts; else all must be
    shown. Every estimate is taken to stay as it is, and lengths to fall with the root of the number of pilots: more
    people in each would not shorten what differs between pilots.
    """
    parts = [one for statement in tested for one in statement.excess if not math.isnan(one.low)]
    against = [one.among(len(parts)).times_longer for one in parts if one.estimate < 0]
    for_it = [one.times_longer for one in parts if _of_one(one, len(parts)) == UNDERPOWERED]
    return min(against) if against else max(for_it, default=math.nan)


def _pilots_needed(tested: Sequence[Statement]) -> str:
    times = times_as_many(tested)
    many = f"about {max(2, math.ceil(times)):,}" if times <= MOST_TIMES else f"more than {MOST_TIMES:,}"
    said = f"If the estimates stayed as they are, {many} times as many pilots, each with as many people, would tell."
    return "" if math.isnan(times) else said


def acts_on_beliefs(evidence: Evidence) -> str:
    """The verdict on: every fine-tuned arm's gap lies below the arm's own level under independence."""
    gaps = {} if _incoherent_people(evidence) else values_of(evidence, evidence.tuned, "gap")
    return judged([Statement(arm.label, (_at_most(gap, gap.random_benchmark),)) for arm, gap in gaps.items()])[0]


def _of_one(excess: Interval, comparisons: int) -> str:
    if math.isnan(excess.low) or math.isnan(excess.high):
        return NOT_TESTABLE
    if excess.low > 0:
        return SHOWN
    return CONTRADICTED if excess.among(comparisons).high < 0 else UNDERPOWERED


def _of_parts(verdicts_on_parts: Sequence[str]) -> str:
    """Of a statement that holds where each of its parts does."""
    found = set(verdicts_on_parts)
    if not found or NOT_TESTABLE in found:
        return NOT_TESTABLE
    if CONTRADICTED in found:
        return CONTRADICTED
    return SHOWN if found == {SHOWN} else UNDERPOWERED


def _structures_base(evidence: Evidence, values: Mapping[str, float]) -> Found:
    if evidence.base is None:
        return Found("–", said=_NO_BASE)
    counts = values_of(evidence, [evidence.base], "unique_structures", "beliefs")
    tested = tuple(
        Statement(arm.label, (_at_most(count, COLLAPSE * count.human_benchmark),)) for arm, count in counts.items()
    )
    return Found(_structures(evidence, counts), tested, "" if counts else _NO_BELIEFS)


def _structures_tuned(evidence: Evidence, values: Mapping[str, float]) -> Found:
    counts = values_of(evidence, evidence.tuned, "unique_structures", "beliefs")
    least, most = values["least"] / values["people"], values["high"] / values["people"]

    def inside(arm: Arm, count: Value) -> Statement:
        return Statement(
            arm.label, (count.minus(least * count.human_benchmark), _at_most(count, most * count.human_benchmark))
        )

    base = values_of(evidence, [evidence.base] if evidence.base else [], "unique_structures", "beliefs")
    as_well = [arm for arm, count in base.items() if judged([inside(arm, count)])[0] == SHOWN]
    said = "The base model's count lies in that range as well, so a count there is no gain." if as_well else ""
    tested = tuple(inside(arm, count) for arm, count in counts.items())
    return Found(_structures(evidence, counts), tested, said if counts else _without(evidence, _NO_BELIEFS))


def _joint_distance(evidence: Evidence, values: Mapping[str, float]) -> Found:
    base = evidence.value(evidence.base.name, *PRIMARY) if evidence.base else None
    ours = {arm: value.placed for arm, value in values_of(evidence, evidence.tuned, *PRIMARY).items()}
    if evidence.base is None or base is None or not ours:
        return Found("–", said=_NO_BASE if evidence.base is None else _without(evidence, _NO_DISTANCE))
    tested = {arm: Statement(arm.label, (base.placed.minus(place),)) for arm, place in ours.items()}
    # Only what is told from the base model may be said to be like people.
    like_people = sum(judged([tested[arm]])[0] == SHOWN and place.low <= 0 for arm, place in ours.items())
    return Found(
        f"fine-tuned {_values(ours)}, base model {_values({evidence.base: base.placed})}, on the scale from other "
        "people (0) to random answers (1)",
        tuple(tested.values()),
        f"The interval of {like_people} of {counted(len(ours), 'arm')} holds another sample of people."
        if like_people
        else "",
    )


def _subgroups(evidence: Evidence, values: Mapping[str, float]) -> Found:
    variable, grouping = _grouping(evidence)
    if evidence.base is None:
        return Found("–", said=_NO_BASE)
    tested: list[Statement] = []
    ratios, benchmarks = [], []
    for group in evidence.groups(variable):
        base = evidence.value(evidence.base.name, "subgroup_distance", variable, group)
        for arm in evidence.tuned:
            ours = evidence.value(arm.name, "subgroup_distance", variable, group)
            if base is None or ours is None or not base.estimate:
                continue
            limit = base.times(values["ratio"])
            possible = ours.human_benchmark <= limit.estimate
            tested.append(Statement(f"{group}, {arm.label}", (limit.minus(ours) if possible else NOTHING_KNOWN,)))
            ratios.append(ours.estimate / base.estimate)
            benchmarks.append(ours.human_benchmark / base.estimate)
    if not tested:
        return Found("–", said=_without(evidence, "No group of people is large enough."))
    said = f"by {grouping}: {span(ratios)} of the base model's distance, other people of the groups {span(benchmarks)}"
    possible = max(benchmarks) <= values["ratio"]
    why = "" if possible else "It is not testable where even other people of the group are farther away than that."
    return Found(said, tuple(tested), why, "comparison")


def _changed(name: str, side: int) -> Finder:
    """That a change of the arm does not move the distance to one side by the margin, in any group."""
    claim = next(claim for claim in CLAIMS if claim.name == name)

    def found(evidence: Evidence, values: Mapping[str, float]) -> Found:
        variable, grouping = _grouping(evidence)
        metric, groups = f"equivalence_{name}", evidence.groups(variable)
        arms = [arm for arm in evidence.tuned if claim.reference_of(arm.name)]
        rows = {(arm, group): evidence.value(arm.name, metric, variable, group) for arm in arms for group in groups}
        moved = [(group, value) for (_, group), value in rows.items() if value is not None]
        if not moved:
            return Found("–", said="No arm was run with and without this change, or no group is large enough.")
        tested = [Statement(group, (_at_most(value.times(side), DISTANCE_MARGIN),)) for group, value in moved]
        changes = span([value.estimate for _, value in moved])
        return Found(f"by {grouping}: the distance changes by {changes}", tuple(tested), unit="group")

    return found


def _gap_base(evidence: Evidence, values: Mapping[str, float]) -> Found:
    if evidence.base is None:
        return Found("–", said=_NO_BASE)
    gaps, said = values_of(evidence, [evidence.base], "gap"), _incoherent_people(evidence)
    tested = tuple(Statement(arm.label, (gap.minus(ALWAYS),)) for arm, gap in gaps.items())
    return Found(_gaps(gaps), () if said else tested, said)


def _gap_tuned(evidence: Evidence, values: Mapping[str, float]) -> Found:
    everywhere = [arm for arm in evidence.tuned if evidence.arms.pilot(arm.pilot).treatments == "all"]
    gaps = values_of(evidence, everywhere or evidence.tuned, "gap")
    said, people = _incoherent_people(evidence), evidence.value(HUMAN, "gap")
    if said or people is None or not gaps:
        return Found(_gaps(gaps), said=said or _without(evidence, _NO_RULE))

    def like_people(arm: Arm, gap: Value) -> Statement:
        apart = gap.minus(people)
        return Statement(
            arm.label, (_at_most(gap, gap.random_benchmark), apart.minus(-GAP_MARGIN), _at_most(apart, GAP_MARGIN))
        )

    note = "" if everywhere else "No arm was trained on every treatment here, so those trained on one are judged."
    return Found(_gaps(gaps), tuple(like_people(arm, gap) for arm, gap in gaps.items()), note)


def _regression(evidence: Evidence, values: Mapping[str, float]) -> Found:
    f1, rate = (values_of(evidence, evidence.tuned, name, "all") for name in ("sign_f1", "false_positive_rate"))
    if not f1:
        return Found("–", said=_without(evidence, "The study has no regressions with coefficients to score."))
    tested = tuple(Statement(arm.label, (_at_most(score, score.human_benchmark),)) for arm, score in f1.items())
    return Found(
        f"F1 {_values(f1)} at a false-positive rate of {_values(rate)}; a fresh draw of as many people "
        f"{_human_benchmarks(f1)} at {_human_benchmarks(rate)}",
        tested,
    )


def _against_baseline(find: Advantage, of_coherence: bool = False) -> Finder:
    """That every fine-tuned arm that is told the persona is nearer to people than the best baseline."""

    def found(evidence: Evidence, values: Mapping[str, float]) -> Found:
        said = _incoherent_people(evidence) if of_coherence else ""
        best = {arm: baseline for arm in evidence.tuned if arm.persona and (baseline := evidence.baseline(arm))}
        if said or not best:
            return Found("–", said=said or _without(evidence, NO_BASELINE))
        ahead = {arm: find(evidence, arm, baseline) or NOTHING_KNOWN for arm, baseline in best.items()}
        names = listed(list(dict.fromkeys(BASELINES[baseline.answerer].lower() for baseline in best.values())))
        ours = f"advantage over the best baseline ({names}) {_values(ahead)}; 1 is the way from random to people"
        return Found(
            ours if any(advantage.known for advantage in ahead.values()) else "–",
            tuple(Statement(arm.label, (advantage,)) for arm, advantage in ahead.items()),
        )

    return found


def _incoherent_people(evidence: Evidence) -> str:
    """Why nothing can be said on coherence; empty where people's own actions are shown to follow their beliefs."""
    if evidence.study.coherence is None:
        return _NO_RULE
    gap = evidence.value(HUMAN, "gap")
    if gap is None or math.isnan(gap.high) or math.isnan(gap.random_benchmark):
        return "There is no interval of people's own gap."
    if gap.high < gap.random_benchmark:
        return ""
    return (
        f"People's own gap, {_values({HUMAN: gap}, percent1)}, is not shown to lie below its level under independence, "
        f"{percent1(gap.random_benchmark)}: by this rule not even people's actions follow from their beliefs."
    )


def _at_most(value: Interval, limit: float) -> Interval:
    return value.minus(limit).times(-1)


def _grouping(evidence: Evidence) -> tuple[str, str]:
    """Variable and label of the study's first grouping."""
    first = evidence.study.subgroups[:1]
    return (first[0].variable, first[0].label.lower()) if first else ("", "")


def _without(evidence: Evidence, otherwise: str) -> str:
    return otherwise if evidence.tuned else _NO_TUNED


def _structures(evidence: Evidence, counts: Mapping[Arm, Value]) -> str:
    """Counts, never without the joint distance: a count does not say which structures."""
    if not counts:
        return "–"
    joint = values_of(evidence, list(counts), "joint_distance", "beliefs")
    distance = f"; joint distance {_values(joint)}, people to people {_human_benchmarks(joint)}" if joint else ""
    return f"{_values(counts, whole)} where as many people give {_human_benchmarks(counts, whole)}{distance}"


def _gaps(gaps: Mapping[Arm, Value]) -> str:
    """Gaps, never without the level under independence."""
    if not gaps:
        return "–"
    independent = span([gap.random_benchmark for gap in gaps.values()], percent1)
    return f"{_values(gaps, percent1)}, under independence {independent}; people {_human_benchmarks(gaps, percent1)}"


def _values(values: Mapping[Any, Interval], written: Callable[[float], str] = number) -> str:
    """A single value with its interval, of several the smallest to the largest."""
    if len(values) != 1:
        return span([value.estimate for value in values.values()], written)
    value = next(iter(values.values()))
    ends = "" if math.isnan(value.low) else f" [{written(value.low)}, {written(value.high)}]"
    return f"{written(value.estimate)}{ends}"


def _human_benchmarks(values: Mapping[Arm, Value], written: Callable[[float], str] = number) -> str:
    return span([value.human_benchmark for value in values.values()], written)


_FINDINGS: dict[str, Finder] = {
    "structures_base": _structures_base,
    "structures_tuned": _structures_tuned,
    "joint_distance": _joint_distance,
    "subgroups": _subgroups,
    "balanced": _changed("balanced", -1),
    "persona": _changed("nopersona", 1),
    "gap_base": _gap_base,
    "gap_tuned": _gap_tuned,
    "regression": _regression,
    "baselines_distance": _against_baseline(primary_advantage),
    "baselines_coherence": _against_baseline(coherence_advantage, of_coherence=True),
    "baselines_regression": _against_baseline(coefficients_advantage),
}
