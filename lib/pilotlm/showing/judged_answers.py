"""The paper's findings on answers: how varied they are and how near to people's, judged by the stated rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pilotlm.analyses.claims import CLAIMS, DISTANCE_MARGIN
from pilotlm.showing.evidence import Evidence, Value, clear_sign, values_of
from pilotlm.showing.published import AS_PUBLISHED, COLLAPSE, MIXED, NOT_SEEN, OPPOSITE, UNKNOWN, WEAKER, Judged
from pilotlm.showing.wording import counted, decimals, listed, span, whole


def structures_base(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """The base model's belief structures collapse."""
    count = evidence.value(evidence.base.name, "unique_structures") if evidence.base else None
    if evidence.base is None or count is None:
        return None
    share = count.estimate / count.floor
    if not count.known:
        verdict = UNKNOWN
    elif share <= COLLAPSE:
        verdict = AS_PUBLISHED
    elif count.high < count.floor:
        verdict = WEAKER
    else:
        verdict = OPPOSITE if count.low > count.floor else NOT_SEEN
    joint = evidence.value(evidence.base.name, "joint_distance", "beliefs")
    ours = f"{decimals(count.estimate, 0)} where as many people ({count.n:.0f}) give {decimals(count.floor, 0)}"
    return Judged(f"{ours}{_joint_beside(joint)}", verdict, f"{_WHY_BASE[verdict]}{_count_is_not_enough(joint)}")


_WHY_BASE = {
    UNKNOWN: "There is no count.",
    AS_PUBLISHED: "The base model's answers are nearly all alike.",
    WEAKER: "The base model is less varied than people, but far from a collapse.",
    NOT_SEEN: "The base model's count cannot be told from people's, so there is no collapse to mend.",
    OPPOSITE: "The base model is more varied than people, as answers near to noise are; there is no collapse to mend.",
}


def _joint_beside(joint: Value | None) -> str:
    if joint is None:
        return ""
    return f"; joint distance {decimals(joint.estimate)}, people to people {decimals(joint.floor)}"


def _count_is_not_enough(joint: Value | None) -> str:
    if joint is None or not joint.low > joint.floor:
        return ""
    return " A count does not say which structures: these are clearly farther from people's than other people's are."


def structures_tuned(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Fine-tuned models give about as many belief structures as people."""
    counts = values_of(evidence, evidence.tuned, "unique_structures")
    if not counts:
        return None
    shares = [count.estimate / count.floor for count in counts.values()]
    base = evidence.value(evidence.base.name, "unique_structures") if evidence.base else None
    least, most = values["least"] / values["people"], values["high"] / values["people"]
    inside = [count.estimate / count.floor >= least and count.low / count.floor <= most for count in counts.values()]
    verdict = AS_PUBLISHED if all(inside) else _nearer_count(shares, base)
    joints = values_of(evidence, evidence.tuned, "joint_distance", "beliefs")
    ours = (
        f"{span([count.estimate for count in counts.values()], whole)} where as many people give "
        f"{span([count.floor for count in counts.values()], whole)}{_joints_beside(joints)}"
    )
    why = f"{sum(inside)} of {counted(len(inside), 'fine-tuned arm')} within the published range"
    if base is not None:
        reached = least <= base.estimate / base.floor and base.low / base.floor <= most
        why += ", but the base model is too, so the count shows no gain" if reached and all(inside) else ""
    return Judged(ours, verdict, f"{why}.{_tuned_joint_sentence(evidence, joints)}")


def _nearer_count(shares: Sequence[float], base: Value | None) -> str:
    if base is None or any(share <= 0 or math.isnan(share) for share in shares):
        return UNKNOWN
    limit = abs(math.log(base.estimate / base.floor))
    nearer = [abs(math.log(share)) < limit for share in shares]
    return WEAKER if all(nearer) else MIXED if any(nearer) else OPPOSITE


def _joints_beside(joints: Mapping[str, Value]) -> str:
    if not joints:
        return ""
    distances, floors = [j.estimate for j in joints.values()], [j.floor for j in joints.values()]
    return f"; joint distance {span(distances)}, people to people {span(floors)}"


def _tuned_joint_sentence(evidence: Evidence, joints: Mapping[str, Value]) -> str:
    base = evidence.value(evidence.base.name, "joint_distance", "beliefs") if evidence.base else None
    if base is None or not joints:
        return ""
    signs = [clear_sign(base, joint) for joint in joints.values()]
    if all(sign > 0 for sign in signs):
        return f" The structures themselves are nearer to people's than the base model's ({decimals(base.estimate)})."
    if any(sign > 0 for sign in signs):
        return f" The structures of some arms are nearer to people's than the base model's ({decimals(base.estimate)})."
    return f" The structures are not clearly nearer to people's than the base model's ({decimals(base.estimate)})."


def joint_distance(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Fine-tuning brings the distribution of answers nearer to people's."""
    joint, base = _against_base(evidence, "joint_distance", "answers")
    single, single_base = _against_base(evidence, "marginal_distance", "mean")
    if not joint or base is None or not single or single_base is None:
        return None
    signs = [clear_sign(base, v) for v in joint.values()] + [clear_sign(single_base, v) for v in single.values()]
    ours = (
        f"all answers together {span([v.estimate for v in joint.values()])}, base {decimals(base.estimate)}, people to "
        f"people {span([v.floor for v in joint.values()])}; single answers "
        f"{span([v.estimate for v in single.values()])}, base {decimals(single_base.estimate)}, people to people "
        f"{span([v.floor for v in single.values()])}"
    )
    return Judged(ours, _from_signs(signs), _WHY_NEARER[_from_signs(signs)] + _at_floor_sentence([*joint.values()]))


_WHY_NEARER = {
    AS_PUBLISHED: "Every fine-tuned arm is clearly nearer to people than the base model.",
    WEAKER: "Some distances are clearly smaller than the base model's and none is clearly larger.",
    MIXED: "Some distances are clearly smaller than the base model's and some are not or are larger.",
    NOT_SEEN: "No distance differs clearly from the base model's.",
    OPPOSITE: "Every fine-tuned arm is clearly farther from people than the base model.",
    UNKNOWN: "There is no distance to compare.",
}


def _at_floor_sentence(values: Sequence[Value]) -> str:
    at_floor = [value.low <= value.floor for value in values]
    if all(at_floor):
        return " They cannot be told from another sample of people."
    if any(at_floor):
        return " Some of them cannot be told from another sample of people."
    return " None of them is as near as another sample of people."


def subgroups(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """The distance to people is at least halved in every group."""
    pairs = _group_pairs(evidence)
    if not pairs:
        return None
    ratios = [ours.estimate / base.estimate for _, ours, base in pairs]
    best = [ours.floor / base.estimate for _, ours, base in pairs]
    verdict = _halving_verdict(pairs, ratios, [other <= values["ratio"] for other in best], values["ratio"])
    halved = sum(ratio <= values["ratio"] for ratio in ratios)
    ours_text = (
        f"by {_grouping(evidence)}: {span(ratios)} of the base model's distance in "
        f"{counted(len(pairs), 'comparison')}, at most {values['ratio']:g} in {halved}"
    )
    worst = max(zip(ratios, pairs, strict=True), key=lambda pair: pair[0])
    low, high = _ratio_ends(worst[1][1], worst[1][2])
    possible = "possible" if max(best) <= values["ratio"] else "not possible in every group"
    why = (
        f"The largest ratio is {decimals(worst[0])} [{decimals(low)}, {decimals(high)}], {worst[1][0]}. Other people "
        f"of the same groups would be at {span(best)}, so halving was {possible} at this n."
    )
    return Judged(ours_text, verdict, why)


def _halving_verdict(
    pairs: Sequence[tuple[str, Value, Value]], ratios: Sequence[float], possible: Sequence[bool], limit: float
) -> str:
    if all(ratio <= limit for ratio in ratios):
        return AS_PUBLISHED
    if all(ratio <= limit for ratio, could in zip(ratios, possible, strict=True) if could):
        return UNKNOWN
    return _short_of(_from_signs([clear_sign(base, ours) for _, ours, base in pairs]))


def _short_of(verdict: str) -> str:
    """Clearly nearer everywhere, but not by half, is weaker than published."""
    return WEAKER if verdict == AS_PUBLISHED else verdict


def _ratio_ends(ours: Value, base: Value) -> tuple[float, float]:
    """The interval of a ratio by the delta method on logarithms."""
    ratio = ours.estimate / base.estimate
    factor = math.exp(math.hypot(ours.half / ours.estimate, base.half / base.estimate)) if ours.estimate else math.nan
    return ratio / factor, ratio * factor


def balanced(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """A balanced pilot does not serve groups better than a random one."""
    return _changed(evidence, "balanced", -1)


def persona(evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
    """Leaving the persona out of the prompt does not worsen the alignment of groups."""
    return _changed(evidence, "nopersona", 1)


def _changed(evidence: Evidence, claim: str, side: int) -> Judged | None:
    """Whether a change of the arm is shown not to move the distance by the margin, to one side, in any group.

    Each group is tested at 5 %, and all must pass, so that no adjustment is needed: an intersection-union test.
    """
    arm, variable = next(c.changed for c in CLAIMS if c.name == claim), _grouping_variable(evidence)
    rows = {group: evidence.value(arm, f"equivalence_{claim}", variable, group) for group in evidence.groups(variable)}
    found = {group: value for group, value in rows.items() if value is not None and value.known}
    if not found:
        return None
    word = "larger" if side > 0 else "smaller"
    ends = {group: (v.low, v.high) if side > 0 else (-v.high, -v.low) for group, v in found.items()}
    excluded = [group for group, (_, far) in ends.items() if far < DISTANCE_MARGIN]
    moved = [group for group, (near, _) in ends.items() if near > 0]
    if moved:
        verdict = OPPOSITE if len(moved) == len(found) else MIXED
        why = f"The distance is clearly {word} in {listed(moved)}."
    else:
        verdict = AS_PUBLISHED if len(excluded) == len(found) else UNKNOWN
        why = f"It is clearly {word} in no group."
    many = f"{len(excluded)} of {counted(len(found), 'group')}"
    return Judged(
        f"by {_grouping(evidence)}: the distance changes by {span([value.estimate for value in found.values()])}",
        verdict,
        f"{why} That it is {word} by {DISTANCE_MARGIN:g} or more is excluded in {many}.",
    )


def _against_base(evidence: Evidence, metric: str, item: str) -> tuple[dict[str, Value], Value | None]:
    base = evidence.value(evidence.base.name, metric, item) if evidence.base else None
    return values_of(evidence, evidence.tuned, metric, item), base


def _grouping_variable(evidence: Evidence) -> str:
    return evidence.study.subgroups[0].variable if evidence.study.subgroups else ""


def _grouping(evidence: Evidence) -> str:
    return evidence.study.subgroups[0].label.lower()


def _group_pairs(evidence: Evidence) -> list[tuple[str, Value, Value]]:
    """Each fine-tuned arm beside the base model in each group of the first grouping."""
    variable = _grouping_variable(evidence)
    if evidence.base is None:
        return []
    return [
        (f"{group}, {arm.label}", ours, base)
        for arm in evidence.tuned for group in evidence.groups(variable)
        if (ours := evidence.value(arm.name, "subgroup_distance", variable, group))
        and (base := evidence.value(evidence.base.name, "subgroup_distance", variable, group))
    ]  # fmt: skip


def _from_signs(signs: Sequence[int]) -> str:
    if all(sign > 0 for sign in signs):
        return AS_PUBLISHED
    if all(sign < 0 for sign in signs):
        return OPPOSITE
    if all(sign == 0 for sign in signs):
        return NOT_SEEN
    return WEAKER if all(sign >= 0 for sign in signs) else MIXED
