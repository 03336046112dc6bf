"""The card of an adapter, read without loading a model: what is missing or foreign is said before the wait."""

from __future__ import annotations

import json
from typing import Any

from pilotlm.arms import Arm
from pilotlm.errors import InputError, shown
from pilotlm.records import Places

CARD = "pilotlm.json"
_NEEDED = ("base_model", "base_revision", "study", "arm", "seed")


def read_card(places: Places, arm: Arm, seed: int) -> dict[str, Any] | None:
    """Read the card of an arm's adapter.

    Parameters
    ----------
    places : Places
        Of the study and run.
    arm : Arm
        The arm.
    seed : int
        Its seed.

    Returns
    -------
    dict or None
        None for an arm that has no adapter.

    Raises
    ------
    InputError
        If the adapter is missing, its card cannot be read, or it belongs to something else.
    """
    if not arm.adapter:
        return None
    path = places.adapter(arm.adapter, seed) / CARD
    if not path.is_file():
        raise InputError(
            f"The arm '{arm.name}' of study '{places.study}' has no adapter for seed {seed} in run '{places.run}': run "
            f"02-finetune with the parameters run={places.run} study={places.study} arm={arm.adapter} seed={seed} "
            "first."
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{path} is not a readable card; remove the adapter's folder and fine-tune again.") from None
    missing = [name for name in _NEEDED if not isinstance(card, dict) or name not in card]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; remove the adapter's folder and fine-tune again.")
    found, wanted = (card["study"], card["arm"], card["seed"]), (places.study, arm.adapter, seed)
    if found != wanted:
        foreign = shown(str(found), quotes=False)
        raise InputError(f"{path} is the card of {foreign}, not of {wanted}; remove the folder and fine-tune again.")
    return dict(card)
