"""What arms are called and in which order they stand, in every figure and table."""

from __future__ import annotations

from collections.abc import Sequence

from pilotlm.arms import Arm, Arms
from pilotlm.responses import HUMAN


def kind_of(arm: Arm | None) -> str:
    """The kind of answerer that decides an arm's colour: "human", "base", "tuned" or "opponent"."""
    if arm is None:
        return "human"
    return {"base": "base", "tuned": "tuned", "pooled": "tuned"}.get(arm.answerer, "opponent")


def label_of(arms: Arms, name: str) -> str:
    """An arm's name on figures; "People" for people."""
    return "People" if name == HUMAN else arms.arm(name).label


def in_order(arms: Arms, names: Sequence[str]) -> list[str]:
    """Arms in the order of every figure and table: people, models, then opponents by pilot."""
    present = set(names)
    return [*([HUMAN] if HUMAN in present else []), *(name for name in arms.arms if name in present)]
