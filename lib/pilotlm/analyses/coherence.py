"""How often actions contradict the beliefs stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.compared import Compared, human_rows, tidy
from pilotlm.measures.coherence import coherence, gap
from pilotlm.study import Study


def belief_action_coherence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How often actions contradict the beliefs stated, beside how often they would if the two were independent.

    - ``gap``: floor: the gap of the people compared with; ceiling: the arm's own level under independence.
    - ``gap_independent``: that level, with its interval.
    - ``gap_not_applicable``: the share of rows to which the rule does not apply.

    Parameters and result are as in `heterogeneity`.
    """
    if study.coherence is None:
        return tidy(study, against, [])
    rule = study.coherence
    rows: list[dict[str, Any]] = []
    truth = None
    for one in [human_rows(people), *compared]:
        result = coherence(rule, study, one.simulated, repeats, one.generator(study, "coherence"))
        truth = truth or result
        key = {"arm": one.arm, "seed": one.seed, "item": rule.kind, "n": result.n}
        floor = gap(rule, study, one.human).value
        rows += [
            {**key, "metric": "gap", "estimate": result.gap, "low": result.low, "high": result.high,
             "human": truth.gap, "floor": floor, "ceiling": result.independent},
            {**key, "metric": "gap_independent", "estimate": result.independent, "low": result.independent_low,
             "high": result.independent_high, "human": truth.independent},
            {**key, "metric": "gap_not_applicable", "estimate": result.not_applicable, "human": truth.not_applicable,
             "n": len(one.simulated)},
        ]  # fmt: skip
    return tidy(study, against, rows)
