"""How an arm's prompts are worded, the people of the pilot whom they show included."""

from __future__ import annotations

import pandas as pd

from pilotlm.arms import Arm
from pilotlm.errors import InputError
from pilotlm.instrument.pilot import Pilot, rows_of
from pilotlm.instrument.prompts import Wording
from pilotlm.randomness import generator
from pilotlm.responses import records


def wording_of(arm: Arm, people: pd.DataFrame, pilot: Pilot, seed: int) -> Wording:
    """The wording that an arm declares.

    Parameters
    ----------
    arm : Arm
        The arm.
    people : DataFrame
        All participants.
    pilot : Pilot
        The arm's pilot; the examples are drawn from it.
    seed : int
        The seed of the run: decides who is shown, and in which order.

    Returns
    -------
    Wording

    Raises
    ------
    InputError
        If the pilot has fewer people than the prompt shows.
    """
    if arm.examples > len(pilot.participants):
        raise InputError(
            f"The arm '{arm.name}' shows {arm.examples} people, its pilot has {len(pilot.participants)}; show fewer."
        )
    shown: tuple[dict[str, object], ...] = ()
    if arm.examples:
        order = generator(seed, "examples").permutation(len(pilot.participants))[: arm.examples]
        shown = tuple(records(rows_of(people, pilot.participants).iloc[order]))
    return Wording(arm.persona, arm.persona_first, arm.reversed_options, shown)
