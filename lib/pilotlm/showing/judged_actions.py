"""The paper's findings on what follows from answers: coherence and regressions, judged by the stated rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pilotlm.showing.evidence import Evidence, Value, scores, values_of
from pilotlm.showing.published import ALWAYS, AS_PUBLISHED, MIXED, NOT_SEEN, OPPOSITE, UNKNOWN, WEAKER, Judged
from pilotlm.showing.wording import counted, decimals, percent1, span


def gap_base(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """The base model's actions nearly always contradict its beliefs."""
    gap = evidence.value(evidence.base.name, "gap") if evidence.base else None
    if gap is None:
        return None
    if not gap.known:
        verdict = UNKNOWN
    elif gap.estimate >= ALWAYS:
        verdict = AS_PUBLISHED
    elif gap.low > gap.floor:
        verdict = WEAKER
    else:
        verdict = OPPOSITE if gap.high < gap.floor else NOT_SEEN
    return Judged(_gap_text([gap]), verdict, f"{_WHY_GAP[verdict]} {_independence_sentence(gap)}")


_WHY_GAP = {
    UNKNOWN: "The rule applies to no answer of the base model.",
    AS_PUBLISHED: "Nearly all actions of the base model contradict its beliefs.",
    WEAKER: "The base model contradicts itself more often than people do, but not nearly always.",
    NOT_SEEN: "The base model's gap cannot be told from people's.",
    OPPOSITE: "The base model contradicts itself less often than people do.",
}


def _independence_sentence(gap: Value) -> str:
    if not gap.known or math.isnan(gap.ceiling):
        return ""
    if gap.high < gap.ceiling:
        return "Its actions follow its beliefs more often than if the two were independent."
    if gap.low > gap.ceiling:
        return "Its actions contradict its beliefs more often than if the two were independent."
    return "That is its level under independence: the actions do not depend on the beliefs, whatever the gap is."


def _gap_text(gaps: Sequence[Value]) -> str:
    return (
        f"{span([gap.estimate for gap in gaps], percent1)}, under independence "
        f"{span([gap.ceiling for gap in gaps], percent1)}; people {span([gap.floor for gap in gaps], percent1)}"
    )


def gap_tuned(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Actions of the fine-tuned model follow its beliefs as people's do."""
    everywhere = [arm for arm in evidence.tuned if evidence.arms.pilot(arm.pilot).treatments == "all"]
    gaps = values_of(evidence, everywhere or evidence.tuned, "gap")
    if not gaps:
        return None
    each = {name: _gap_verdict(gap) for name, gap in gaps.items()}
    found = set(each.values())
    verdict = found.pop() if len(found) == 1 else WEAKER if found <= {AS_PUBLISHED, WEAKER} else MIXED
    note = "" if everywhere else " No arm was trained on every treatment here, so those trained on one are judged."
    if len(each) == 1:
        why = _independence_sentence(next(iter(gaps.values()))) + note
        return Judged(_gap_text(list(gaps.values())), verdict, why or "The rule applies to no answer.")
    learnt = [name for name, one in each.items() if one in (AS_PUBLISHED, WEAKER)]
    rest = "" if len(learnt) == len(each) else "; in the others no coherence was learnt, however small the gap is"
    why = f"In {len(learnt)} of {counted(len(each), 'arm')} the gap lies below the arm's own level under independence"
    return Judged(_gap_text(list(gaps.values())), verdict, f"{why}{rest}.{note}")


def _gap_verdict(gap: Value) -> str:
    if not gap.known or math.isnan(gap.ceiling):
        return UNKNOWN
    if gap.low > gap.ceiling:
        return OPPOSITE
    if gap.high >= gap.ceiling:
        return NOT_SEEN
    return AS_PUBLISHED if gap.low <= gap.floor <= gap.high else WEAKER


def regression(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """The best fine-tuned model does not recover the regressions."""
    found = scores(evidence, evidence.tuned)
    if not found:
        return None
    known = {name: pair for name, pair in found.items() if pair[0].known and pair[1].known}
    if not known:
        return Judged("no score", UNKNOWN, "People have no significant or no null coefficient, so there is no score.")
    name, (f1, rate) = max(known.items(), key=lambda pair: pair[1][0].estimate)
    reached = f1.estimate >= f1.floor and rate.estimate <= rate.floor
    beyond = f1.estimate > values["f1"] and rate.estimate < values["fpr"]
    verdict = OPPOSITE if reached else WEAKER if beyond else AS_PUBLISHED
    ours = (
        f"F1 {decimals(f1.estimate)} at a false-positive rate of {decimals(rate.estimate)}, at best; as many people "
        f"{decimals(f1.floor)} at {decimals(rate.floor)}"
    )
    return Judged(ours, verdict, f"The best arm is: {evidence.arms.arm(name).label}. {_WHY_REGRESSION[verdict]}")


_WHY_REGRESSION = {
    OPPOSITE: "It recovers signs as well as a fresh draw of as many people would.",
    WEAKER: "It recovers signs better than was published, but not as a fresh draw of as many people would.",
    AS_PUBLISHED: "A fresh draw of as many people would recover the signs better.",
}
