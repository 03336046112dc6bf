"""The first figure: the primary measure of the base model, the fine-tuned models and the best baseline."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pilotlm.arms import Arms, load_arms
from pilotlm.showing.evidence import PRIMARY, gather
from pilotlm.study import Study

PRIMARY_AXIS = "distance of all answers together: 0 another sample of people, 1 random answers"


def primary_places(metrics: pd.DataFrame, studies: Mapping[str, Study], arms: Arms | None = None) -> pd.DataFrame:
    """Where arms lie between people and random answers in the primary measure, seeds averaged.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.
    studies : mapping of str to Study
        The studies, in the order of the rows.
    arms : Arms, optional
        The declared arms; those of ``config/arms.yml`` when absent.

    Returns
    -------
    DataFrame
        ``study``, ``arm``, ``estimate``, ``low``, ``high``, ``floor`` (0) and ``ceiling`` (1): the base model, every
        fine-tuned arm that is no control or variant, and the best baseline of each of their pilots, where the run says
        which that is.
    """
    rows = []
    for evidence in gather(metrics, studies, arms or load_arms()):
        models = [arm for arm in evidence.present if arm == evidence.base or arm in evidence.tuned]
        best = [evidence.baseline(arm) for arm in evidence.tuned]
        for arm in dict.fromkeys([*models, *(arm for arm in best if arm is not None)]):
            value = evidence.value(arm.name, *PRIMARY)
            if value is not None:
                place = value.placed
                rows.append((evidence.study.name, arm.name, place.estimate, place.low, place.high, 0.0, 1.0))
    return pd.DataFrame(rows, columns=["study", "arm", "estimate", "low", "high", "floor", "ceiling"])
