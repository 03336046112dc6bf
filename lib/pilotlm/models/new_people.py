"""Answers of people who were never asked: a fine-tuned model answers for backgrounds drawn from a study's people."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pilotlm.arms import Arm, Arms
from pilotlm.data.pilot import draw_pilot
from pilotlm.data.prompts import wording_of
from pilotlm.models.adapters import read_card, with_adapter
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import load_model
from pilotlm.models.simulate import Progress, answer_as, respondent
from pilotlm.randomness import generator
from pilotlm.records import Places
from pilotlm.responses import PILOT, as_responses
from pilotlm.stages import LARGEST_SEED
from pilotlm.study import Study


def answer_for_new_people(
    study: Study,
    people: pd.DataFrame,
    rows: pd.DataFrame,
    places: Places,
    arms: Arms,
    arm: Arm,
    seed: int,
    dtype: str = "float32",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The responses of a fine-tuned arm of a run for new people.

    Parameters
    ----------
    study, people : Study, DataFrame
        The study and all its participants, of whom the arm's pilot was drawn.
    rows : DataFrame
        The new people (`pilotlm.data.pilot.draw_new_people`).
    places, arms, arm, seed
        Where the run's adapter lies, the declared arms, the one that answers, and the seed that it was fine-tuned in.
    dtype, progress
        As in `pilotlm.models.loading.load_model` and `pilotlm.models.simulate.answer_as`.

    Raises
    ------
    InputError
        If the adapter is missing, or does not belong to the study, arm and seed.
    """
    card = read_card(places, arm, seed) or {}
    model = load_model(card["base_model"], card["base_revision"], dtype)
    model = with_adapter(model, places.adapter(arm.adapter, seed), card)
    pilot = draw_pilot(study, people, arms.pilot(arm.pilot), arm.draws_pilot_by(seed))
    encoder = Encoder(study, model.tokenizer, wording_of(arm, people, pilot, seed))
    answering = respondent(model, encoder, rows, token_by_token=arm.decoding == "token")
    # Other uniform numbers than the run's participants had.
    own_seed = int(generator(seed, study.name, "answers of new people").integers(LARGEST_SEED))
    answers = answer_as(answering, rows, own_seed, temperature=arm.temperature, progress=progress)
    return as_responses(study, rows, answers, arm.name, seed, pd.Series(np.zeros(len(rows), dtype=bool), name=PILOT))
