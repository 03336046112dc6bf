"""How often actions contradict the beliefs stated, and whether they depend on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.compared import Compared, human_rows, same_participants, tidy
from pilotlm.measures.association import Interaction, association, interaction
from pilotlm.measures.choices import choices_of
from pilotlm.measures.coherence import coherence, gap
from pilotlm.measures.ecological import group_correlation, group_interaction, quarters_left_out
from pilotlm.measures.equivalence import holm
from pilotlm.responses import HUMAN
from pilotlm.study import CoherenceRule, Study

INTERACTIONS = ("association_interaction", "group_association_interaction")


def belief_action_coherence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How often actions contradict the beliefs stated, and whether they depend on them.

    - ``gap``: floor: the gap of the people compared with; ceiling: the arm's own level under independence.
    - ``gap_independent``: that level, with its interval.
    - ``gap_not_applicable``: the share of rows to which the rule does not apply.
    - ``association``: the log odds ratio of doing what one's beliefs predict, given the treatment. Floor: that of the
      same participants themselves; ceiling: 0, as if belief and action were independent.
    - ``association_interaction``: the arm's less its participants' own, with its 95 % interval.
    - ``group_association``: the correlation over the groups that were treated differently of what beliefs predict
      with what is done, where there are at least `pilotlm.measures.ecological.LEAST_GROUPS`. Floor and ceiling
      likewise.
    - ``group_association_interaction``: the difference, on Fisher's scale.
    - ``association_interaction_p``, ``group_association_interaction_p``: the p-values of no difference, adjusted by
      Holm within their family: all arms of one study, one seed and one of the two levels.

    An arm and its people are held against each other on the same participants, so that their number is the same and
    what they share cancels; of several draws of a participant the first is taken.

    Parameters and result are as in `heterogeneity`.
    """
    if study.coherence is None:
        return tidy(study, against, [])
    rule = study.coherence
    truth = coherence(rule, study, people)
    everybody = {row["metric"]: row["estimate"] for row in _associations(rule, study, human_rows(people), repeats)}
    rows: list[dict[str, Any]] = []
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": rule.kind}
        result = truth if one.arm == HUMAN else coherence(rule, study, one.simulated)
        rows += [
            {**key, "metric": "gap", "estimate": result.gap, "low": result.low, "high": result.high,
             "human": truth.gap, "floor": gap(rule, study, one.human).value, "ceiling": result.independent,
             "n": result.n},
            {**key, "metric": "gap_independent", "estimate": result.independent, "low": result.independent_low,
             "high": result.independent_high, "human": truth.independent, "n": result.n},
            {**key, "metric": "gap_not_applicable", "estimate": result.not_applicable, "human": truth.not_applicable,
             "n": len(one.simulated)},
        ]  # fmt: skip
        rows += [{**key, "human": everybody.get(row["metric"]), **row}
                 for row in _associations(rule, study, one, repeats)]  # fmt: skip
    return tidy(study, against, [*rows, *_adjusted(rows)])


def _associations(rule: CoherenceRule, study: Study, one: Compared, repeats: int) -> Iterator[dict[str, Any]]:
    simulated, human = same_participants(one.simulated, one.human)
    ours, theirs = (choices_of(rule, study, table) for table in (simulated, human))
    arm, people = association(ours), association(theirs)
    yield {"metric": "association", "estimate": arm.value, "low": arm.low, "high": arm.high,
           "floor": people.value, "ceiling": 0.0, "n": len(arm.rows)}  # fmt: skip
    counts = quarters_left_out(human["treatment"].to_numpy(), repeats, one.generator(study, "groups"))
    groups, peoples = group_correlation(ours, counts), group_correlation(theirs, counts)
    measured = pd.notna(peoples.estimate.value)
    if measured:
        found = groups.estimate
        yield {"metric": "group_association", "estimate": found.value, "low": found.low, "high": found.high,
               "floor": peoples.estimate.value, "ceiling": 0.0, "n": len(arm.rows)}  # fmt: skip
    if one.arm == HUMAN:
        return
    yield _row(INTERACTIONS[0], interaction(arm, people), len(arm.rows))
    if measured:
        yield _row(INTERACTIONS[1], group_interaction(groups, peoples), len(arm.rows))


def _row(metric: str, found: Interaction, n: int) -> dict[str, Any]:
    return {"metric": metric, "estimate": found.value, "low": found.low, "high": found.high, "human": 0.0,
            "p": found.p_value, "n": n}  # fmt: skip


def _adjusted(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The p-values of the interaction tests, adjusted within the arms of a seed."""
    for metric in INTERACTIONS:
        tests = [row for row in rows if row["metric"] == metric]
        for seed in dict.fromkeys(row["seed"] for row in tests):
            family = [row for row in tests if row["seed"] == seed]
            for row, p_value in zip(family, holm([row["p"] for row in family]), strict=True):
                keys = {name: row[name] for name in ("arm", "seed", "item", "n")}
                yield {**keys, "metric": f"{metric}_p", "estimate": p_value}
