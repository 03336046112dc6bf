"""How often actions contradict the beliefs stated, and whether they depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.compared import Compared, human_rows, same_participants, tidy
from pilotlm.measures.association import association
from pilotlm.measures.choices import choices_of
from pilotlm.measures.coherence import coherence, gap
from pilotlm.responses import HUMAN
from pilotlm.study import CoherenceRule, Study


def belief_action_coherence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How often actions contradict the beliefs stated, and whether they depend on them.

    - ``gap``: floor: the gap of the people compared with; ceiling: the arm's own level under independence.
    - ``gap_independent``: that level, with its interval.
    - ``association``: the log odds ratio of doing what one's beliefs predict, given the treatment. Floor: that of the
      same participants themselves; ceiling: 0, as if belief and action were independent.

    An arm and its people are held against each other on the same participants, so that their number is the same and
    what they share cancels; of several draws of a participant the first is taken.

    Parameters and result are as in `heterogeneity`.
    """
    if study.coherence is None:
        return tidy(study, against, [])
    rule = study.coherence
    truth = coherence(rule, study, people)
    everybody = _association(rule, study, human_rows(people))["estimate"]
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
        ]  # fmt: skip
        rows.append({**key, "human": everybody, **_association(rule, study, one)})
    return tidy(study, against, rows)


def _association(rule: CoherenceRule, study: Study, one: Compared) -> dict[str, Any]:
    simulated, human = same_participants(one.simulated, one.human)
    arm, people = (association(choices_of(rule, study, table)) for table in (simulated, human))
    return {"metric": "association", "estimate": arm.value, "low": arm.low, "high": arm.high, "floor": people.value,
            "ceiling": 0.0, "n": len(arm.rows)}  # fmt: skip
