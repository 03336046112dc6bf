"""The paper's findings beside ours: what was published, what was found, and a verdict by a rule that is stated.

The published values are read from ``paper/published.yml``; the rules stand in `pilotlm.showing.published.RULES` and are
printed in the paper. What is a "clear" difference is said in `pilotlm.showing.evidence.clear_sign`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd

from pilotlm.arms import load_arms
from pilotlm.showing.duels import opponents_distance, opponents_gap, opponents_regression
from pilotlm.showing.evidence import Evidence, gather
from pilotlm.showing.judged_actions import gap_base, gap_tuned, regression
from pilotlm.showing.judged_answers import (
    balanced,
    joint_distance,
    persona,
    structures_base,
    structures_tuned,
    subgroups,
)
from pilotlm.showing.published import (
    Judged,
    load_published,
)
from pilotlm.stages import ANALYSES
from pilotlm.study import Study

VERDICT_COLUMNS = ("study", "claim", "published", "ours", "verdict", "why")


class Judge(Protocol):
    """A rule: None where the arms that it needs were not run."""

    def __call__(self, evidence: Evidence, values: Mapping[str, float]) -> Judged | None:
        """Judge one study."""


def verdicts(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """Judge each finding in each study in which the arms that it needs were run.

    Seeds are averaged (`pilotlm.showing.evidence.over_seeds`). The verdicts are "as published", "same direction,
    weaker", "mixed" (arms or groups disagree), "not seen", "opposite" and "cannot be told" (a value does not exist);
    for the questions that we add "model ahead", "opponent ahead", "no clear difference" and "mixed". When which one is
    given is said for each finding in `pilotlm.showing.published.RULES`.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table (`pilotlm.analyses.compared.METRIC_COLUMNS`).
    studies : mapping of str to Study
        The studies to judge, in the order of the rows.

    Returns
    -------
    DataFrame
        Columns `VERDICT_COLUMNS`, ``key`` and ``analysis``; within a study in the paper's order.
    """
    published = load_published()
    findings = sorted(published.all.items(), key=lambda pair: ANALYSES.index(pair[1].analysis))
    rows: list[dict[str, Any]] = []
    for evidence in gather(metrics, studies, load_arms()):
        for key, finding in findings:
            judged = _JUDGES[key](evidence, finding.values)
            if judged is not None:
                rows.append(
                    {"study": evidence.study.name, "claim": finding.claim, "published": finding.text, "key": key,
                     "analysis": finding.analysis, "ours": judged.ours, "verdict": judged.verdict, "why": judged.why}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=[*VERDICT_COLUMNS, "key", "analysis"])


_JUDGES: dict[str, Judge] = {
    "structures_base": structures_base,
    "structures_tuned": structures_tuned,
    "joint_distance": joint_distance,
    "subgroups": subgroups,
    "balanced": balanced,
    "persona": persona,
    "gap_base": gap_base,
    "gap_tuned": gap_tuned,
    "regression": regression,
    "opponents_distance": opponents_distance,
    "opponents_gap": opponents_gap,
    "opponents_regression": opponents_regression,
}
