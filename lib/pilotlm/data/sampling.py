"""What pages say of people with several rows, of survey weights, and of rows that are left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.responses import PERSON, count_people, one_row_each, weights_of
from pilotlm.study import Study

_WEIGHTED = {
    "prepare": "Means and shares",
    "divergence": "Distances of single answers",
    "subgroups": "Distances",
    "rectification": "Targets",
    "decision": "Targets",
}
_NOT_WEIGHTED = {
    "divergence": "; joint distances are not weighted",
    "decision": ", with robust errors; the joint distance is not weighted",
    "rectification": ", with robust errors",
}


def takes_all_rows(stage: str) -> bool:
    """Whether an analysis takes all rows of a person, its errors clustered; the others take one random row of each."""
    return stage in ("regression", "rectification", "decision")


def sampling_note(study: Study, people: pd.DataFrame, stage: str) -> str:
    """What the page of a stage must say of people with several rows, and of weights; "" where there are neither."""
    parts, n = [], count_people(people)
    if PERSON in people.columns:
        whose = f"The {len(people):,} rows are of {n:,} people (column '{study.participant}')"
        if stage == "prepare":
            parts.append(f"{whose}: a pilot is drawn, and every later n counted, by person.")
        elif takes_all_rows(stage):
            scored = " Estimators are scored on one random row of each." if stage == "rectification" else ""
            parts.append(f"{whose}: errors are clustered by person, and every n counts people.{scored}")
        else:
            parts.append(f"{whose}: one random row of each is analysed here.")
    if (weights := weights_of(one_row_each(people))) is not None:
        if stage in _WEIGHTED:
            known = f"an effective n of {effective_n(weights):,.0f} of {len(weights):,}"
            what = f"{_WEIGHTED[stage]} are weighted by '{study.weight}' ({known})"
            parts.append(f"{what}{_NOT_WEIGHTED.get(stage, '')}.")
        else:
            parts.append(f"Numbers on this page are of the sample: they are not weighted by '{study.weight}'.")
    return " ".join(parts)


def dropped_note(rows: int, lacking: Mapping[str, int], left_out: Mapping[str, int]) -> str:
    """Which of so many rows lack a value, and which ``keep`` leaves out, by column; "" where none."""
    parts = []
    for what, counts in (("left out by 'keep'", left_out), ("dropped because a value is missing", lacking)):
        found = sorted(((count, name) for name, count in counts.items() if count), reverse=True)
        by_column = ", ".join(f"'{name}' in {count:,}" for count, name in found)
        several = "; a row may count for several" if len(found) > 1 else ""
        parts += [f"Of {rows:,} rows read some are {what}: {by_column}{several}."] if by_column else []
    return " ".join(parts)


def effective_n(weights: NDArray[np.float64]) -> float:
    """Kish's effective sample size of rows with survey weights, (sum w)² / sum w² (Kish 1965, Survey Sampling)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())
