"""The opponents of a pilot design as arms: the same table that a language model gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pilotlm.answering.cells import fit_cells
from pilotlm.answering.forms import FormModel
from pilotlm.answering.opponents import bootstrap_answers, fit_logit, fit_marginals
from pilotlm.answering.trees import fit_trees
from pilotlm.arms import Arm, Arms
from pilotlm.instrument.pilot import Pilot, draw_pilot, rows_of, seed_of, simulated_people
from pilotlm.laws import as_laws
from pilotlm.responses import as_responses
from pilotlm.study import Study

FITS = {"marginals": fit_marginals, "cells": fit_cells, "logit": fit_logit, "trees": fit_trees}
"""How each opponent that has a law is fitted on the two parts of a pilot."""


@dataclass(frozen=True)
class Baseline:
    """One opponent's responses.

    Attributes
    ----------
    arm : Arm
        Which opponent.
    responses : DataFrame
        What it answered for the people simulated.
    laws : DataFrame or None
        Its law for them, given their own earlier answers (`pilotlm.laws`); None for the bootstrap, which has no law
        for an answer that the pilot lacks.
    validation_nll : float or None
        On the pilot's validation part, in nats a person; None for the bootstrap.
    held_out_nll : float or None
        On the people simulated, in nats a person.
    settings : dict
        What was chosen on the validation part, for each line of the form.
    """

    arm: Arm
    responses: pd.DataFrame
    laws: pd.DataFrame | None
    validation_nll: float | None
    held_out_nll: float | None
    settings: dict[str, float]


def baselines(
    study: Study, people: pd.DataFrame, arms: Arms, pilot_name: str, seed: int, at_most: int = 0, whom: str = "held-out"
) -> list[Baseline]:
    """Fit the opponents of a pilot design and let them answer.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        All participants.
    arms : Arms
        The declared arms.
    pilot_name : str
        The pilot design.
    seed : int
        The seed of the run.
    at_most : int
        The most people to simulate; 0 means all that are compared.
    whom : {"held-out", "all"}
        Whether only the people outside the pilot are simulated, or everybody.

    Returns
    -------
    list of Baseline
        In the order of `pilotlm.arms.OPPONENTS`.
    """
    pilot = draw_pilot(study, people, arms.pilot(pilot_name), seed)
    target = simulated_people(study, people, pilot, at_most, seed, whom)
    return [_baseline(study, people, pilot, target, arm, seed) for arm in arms.opponents_of(pilot_name)]


def _baseline(study: Study, people: pd.DataFrame, pilot: Pilot, target: pd.DataFrame, arm: Arm, seed: int) -> Baseline:
    train, validation = rows_of(people, pilot.train), rows_of(people, pilot.validation)
    lines = len(study.answer_columns)
    uniforms = np.stack([seed_of(seed, int(p), arm.name).random(lines) for p in target["participant"]])
    in_pilot = target["participant"].isin(pilot.participants)
    fit = FITS.get(arm.answerer)
    law = None if fit is None else fit(study, train, validation)
    if law is None:
        answers = bootstrap_answers(study, rows_of(people, pilot.participants), target, uniforms[:, 0])
    else:
        answers = law.simulate(target, uniforms)
    responses = as_responses(study, target, answers.assign(draw=0), arm.name, seed, in_pilot)
    if law is None:
        return Baseline(arm, responses, None, None, None, {})
    laws = as_laws(study, target["participant"], law.laws(target))
    return Baseline(arm, responses, laws, _nll(law, validation), _nll(law, target), law.settings)


def _nll(law: FormModel, people: pd.DataFrame) -> float:
    return float(-law.log_likelihood(people).sum(axis=1).mean())
