"""One arm of a run made ready to be asked about any participant, real or invented."""

from __future__ import annotations

import pandas as pd

from pilotlm.answering.adapters import read_card
from pilotlm.answering.adapting import with_adapter
from pilotlm.answering.encoding import Encoder
from pilotlm.answering.laws import law_table
from pilotlm.answering.models import load_model
from pilotlm.answering.respondent import Respondent, respondent
from pilotlm.arms import Arm, Arms
from pilotlm.errors import InputError
from pilotlm.instrument.pilot import draw_pilot
from pilotlm.instrument.wordings import wording_of
from pilotlm.laws import asked_columns, laws_of
from pilotlm.records import Places
from pilotlm.stages import ExploreParameters
from pilotlm.study import Study


def ready(
    study: Study, people: pd.DataFrame, arm: Arm, arms: Arms, places: Places, parameters: ExploreParameters
) -> Respondent:
    """Load an arm's model, with its adapter where it has one, to answer a study in the arm's own wording.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        Its people.
    arm : Arm
        A language model.
    arms : Arms
        All declared arms.
    places : Places
        Where the run keeps adapters.
    parameters : ExploreParameters
        The seed, and which model.

    Returns
    -------
    Respondent

    Raises
    ------
    InputError
        If the adapter is missing or was trained on another model, or the pilot cannot be drawn.
    """
    seed = parameters.seed
    pilot = draw_pilot(study, people, arms.pilot(arm.pilot), arm.draws_pilot_by(seed))
    answerer = load_model(parameters.model, parameters.revision, parameters.dtype)
    card = read_card(places, arm, seed)
    if card is not None:
        answerer = with_adapter(answerer, places.adapter(arm.adapter, seed), card)
    encoder = Encoder(study, answerer.tokenizer, wording_of(arm, people, pilot, seed))
    return respondent(answerer, encoder, people, token_by_token=arm.law == "token")


def law_after(answering: Respondent, form: pd.DataFrame, column: str) -> pd.Series:
    """The exact law of a question after what a form answers before it, in one reading of the form.

    Parameters
    ----------
    answering : Respondent
        Whose law it is.
    form : DataFrame
        One participant with their answers; those to the question and to what comes after it are not looked at.
    column : str
        The answer's column.

    Returns
    -------
    Series
        The probability of each value; they sum to 1.
    """
    study = answering.encoder.study
    law = laws_of(study, law_table(answering, form), form["participant"])[column][0]
    return pd.Series(law, index=list(asked_columns(study)[column]))


def fine_tuned(arms: Arms, places: Places, seed: int) -> tuple[str, ...]:
    """The arms of a run whose adapter is there and fits."""
    return tuple(arm.name for arm in arms.arms.values() if arm.is_trained and _has_card(places, arm, seed))


def _has_card(places: Places, arm: Arm, seed: int) -> bool:
    try:
        return read_card(places, arm, seed) is not None
    except InputError:
        return False
