"""How often actions contradict the beliefs stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import Compared, estimated, human_rows, tidy
from pilotlm.stats.coherence import gap, gap_under_independence
from pilotlm.study import Study


def belief_action_coherence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How often actions contradict the beliefs stated.

    - ``gap``: human benchmark: the gap of the people compared with; random benchmark: the arm's own level under
      independence.
    - ``gap_independent``: that level, with its interval.

    Parameters and result are as in `pilotlm.analyses.heterogeneity.heterogeneity`.
    """
    if study.coherence is None:
        return tidy(study, against, [])
    rule = study.coherence
    everybody = human_rows(people)
    truth = gap(rule, study, everybody.human).value, gap_under_independence(rule, study, everybody.human).value
    rows: list[dict[str, Any]] = []
    for one in [everybody, *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": rule.kind}
        observed, independent = gap(rule, study, one.simulated), gap_under_independence(rule, study, one.simulated)
        rows += [
            {**key, "metric": "gap", **estimated(observed), "human": truth[0],
             "human_benchmark": gap(rule, study, one.human).value, "random_benchmark": independent.value},
            {**key, "metric": "gap_independent", **estimated(independent), "human": truth[1], "n": observed.n},
        ]  # fmt: skip
    return tidy(study, against, rows)
