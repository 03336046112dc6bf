"""Whether what is found depends on how the model is asked: each variant of an arm beside the plain arm."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from pilotlm.arms import Arm, Arms, load_arms
from pilotlm.showing.evidence import Evidence, gather
from pilotlm.showing.tables import number
from pilotlm.study import Study

MEASURES = {
    "Joint distance": ("joint_distance", "answers"),
    "Marginal distance": ("marginal_distance", "mean"),
    "Entropy, bits": ("entropy", "beliefs"),
    "Gap": ("gap", None),
    "Association": ("association", None),
    "F1 of signs": ("sign_f1", "all"),
}
"""Heading, then metric and item."""


def plain_of(arm: Arm, arms: Arms) -> Arm | None:
    """The arm that a variant varies: the same with the usual prompt, temperature and law.

    Parameters
    ----------
    arm : Arm
        A declared arm.
    arms : Arms
        The declared arms.

    Returns
    -------
    Arm or None
        None for an arm that is no variant, for a negative control, which `pilotlm.arms.Arms.unshuffled` holds against
        its own arm, and where the plain arm is not declared.
    """
    if not arm.is_variant or arm.shuffled:
        return None
    usual = {"persona_first": False, "reversed_options": False, "examples": 0, "temperature": 1.0, "law": "whole"}
    others = (
        other
        for other in arms.arms.values()
        if other == arm.model_copy(update={**usual, **other.model_dump(include={"name", "label", "adapter_of"})})
    )
    return next((other for other in others if arm.adapter_of in ("", other.name)), None)


def robustness_table(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """What each variant's measures are, less those of its plain arm.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.
    studies : mapping of str to Study
        The studies, in the order of the rows.

    Returns
    -------
    DataFrame
        Text: a line a study and variant, a column a measure of `MEASURES`: the variant less the plain arm, seeds
        averaged, with an interval that takes the two as independent. They share their people, which makes it too long
        rather than too short. Empty where no variant was run beside its plain arm.
    """
    arms = load_arms()
    rows = [
        {"Study": evidence.study.name, "Variant": arm.label, "Plain arm": plain.label}
        | {heading: _difference(evidence, arm, plain, *measure) for heading, measure in MEASURES.items()}
        for evidence in gather(metrics, studies, arms)
        for arm in evidence.present
        if (plain := plain_of(arm, arms)) is not None and plain in evidence.present
    ]
    return pd.DataFrame(rows, columns=["Study", "Variant", "Plain arm", *MEASURES])


def _difference(evidence: Evidence, arm: Arm, plain: Arm, metric: str, item: str | None) -> str:
    ours, theirs = (evidence.value(one.name, metric, item) for one in (arm, plain))
    if ours is None or theirs is None or not ours.known or not theirs.known:
        return "–"
    apart = ours.minus(theirs)
    ends = "" if math.isnan(apart.low) else f" [{number(apart.low)}, {number(apart.high)}]"
    return f"{number(apart.estimate)}{ends}"
