"""How often actions contradict the beliefs stated, and whether they depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pilotlm.analyses.common import Compared, estimated, human_rows, same_participants, tidy
from pilotlm.stats.coherence import association, choices_of, gap, gap_under_independence
from pilotlm.study import CoherenceRule, Study


def belief_action_coherence(
    study: Study, compared: Sequence[Compared], people: pd.DataFrame, against: str, repeats: int
) -> pd.DataFrame:
    """How often actions contradict the beliefs stated, and whether they depend on them.

    - ``gap``: human benchmark: the gap of the people compared with; random benchmark: the arm's own level under
      independence.
    - ``gap_independent``: that level, with its interval.
    - ``association``: the log odds ratio of doing what one's beliefs predict, given the treatment. Human benchmark:
      that of the same participants themselves; random benchmark: 0, as if belief and action were independent.

    Of several draws of a participant the association takes the first. Parameters and result are as in
    `pilotlm.analyses.heterogeneity.heterogeneity`.
    """
    if study.coherence is None:
        return tidy(study, against, [])
    rule = study.coherence
    people = human_rows(people).human
    truth = gap(rule, study, people).value, gap_under_independence(rule, study, people).value
    everybody = _association(rule, study, human_rows(people))["estimate"]
    rows: list[dict[str, Any]] = []
    for one in [human_rows(people), *compared]:
        key = {"arm": one.arm, "seed": one.seed, "item": rule.kind}
        observed, independent = gap(rule, study, one.simulated), gap_under_independence(rule, study, one.simulated)
        rows += [
            {**key, "metric": "gap", **estimated(observed), "human": truth[0],
             "human_benchmark": gap(rule, study, one.human).value, "random_benchmark": independent.value},
            {**key, "metric": "gap_independent", **estimated(independent), "human": truth[1], "n": observed.n},
        ]  # fmt: skip
        rows.append({**key, "human": everybody, **_association(rule, study, one)})
    return tidy(study, against, rows)


def _association(rule: CoherenceRule, study: Study, one: Compared) -> dict[str, Any]:
    simulated, human = same_participants(one.simulated, one.human)
    arm, people = (association(choices_of(rule, study, table)) for table in (simulated, human))
    return {"metric": "association", **estimated(arm), "human_benchmark": people.value, "random_benchmark": 0.0}
