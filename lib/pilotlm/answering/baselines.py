"""The baselines of a pilot design as arms: the same table that a language model gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pilotlm.answering.cells import fit_cells
from pilotlm.answering.forms import Folds, folded_pilot
from pilotlm.answering.opponents import bootstrap_answers, fit_logit, fit_marginals
from pilotlm.answering.trees import fit_trees
from pilotlm.arms import Arm, Arms
from pilotlm.instrument.pilot import draw_pilot, simulated_people
from pilotlm.laws import as_laws
from pilotlm.randomness import generator
from pilotlm.responses import as_responses
from pilotlm.study import Study

FITS = {"marginals": fit_marginals, "cells": fit_cells, "logit": fit_logit, "trees": fit_trees}
"""How each baseline that has a law is fitted on a pilot."""


@dataclass(frozen=True)
class Baseline:
    """One baseline's responses.

    Attributes
    ----------
    arm : Arm
        Which baseline.
    responses : DataFrame
        What it answered for the people simulated.
    laws : DataFrame or None
        Its law for them, given their own earlier answers (`pilotlm.laws`); None for the bootstrap, which has no law
        for an answer that the pilot lacks.
    people : int
        How many people of the pilot it is fitted on: all of them.
    cv_loss : float or None
        Cross-validated inside the pilot, in nats a person; None for the bootstrap.
    held_out_nll : float or None
        On the people simulated, in nats a person.
    settings : dict
        What was chosen by cross-validation, for each line of the form.
    """

    arm: Arm
    responses: pd.DataFrame
    laws: pd.DataFrame | None
    people: int
    cv_loss: float | None
    held_out_nll: float | None
    settings: dict[str, float]

    @property
    def facts(self) -> dict[str, float | None]:
        """What the record of the notebook keeps of it."""
        return {"people": self.people, "cv_loss": self.cv_loss, "held_out_nll": self.held_out_nll}


def baselines(
    study: Study, people: pd.DataFrame, arms: Arms, pilot_name: str, seed: int, at_most: int = 0, whom: str = "held-out"
) -> list[Baseline]:
    """Fit the baselines of a pilot design and let them answer.

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
        In the order of `pilotlm.arms.BASELINES`.
    """
    drawn = draw_pilot(study, people, arms.pilot(pilot_name), seed)
    target = simulated_people(study, people, drawn, at_most, seed, whom)
    pilot, folds = folded_pilot(study, people, drawn, seed)
    return [_baseline(study, pilot, folds, target, arm, seed) for arm in arms.baselines_of(pilot_name)]


def _baseline(study: Study, pilot: pd.DataFrame, folds: Folds, target: pd.DataFrame, arm: Arm, seed: int) -> Baseline:
    lines = len(study.answer_columns)
    uniforms = np.stack([generator(seed, int(p), arm.name).random(lines) for p in target["participant"]])
    in_pilot = target["participant"].isin(pilot["participant"])
    fit = FITS.get(arm.answerer)
    law = None if fit is None else fit(study, pilot, folds)
    answers = bootstrap_answers(study, pilot, target, uniforms[:, 0]) if law is None else law.simulate(target, uniforms)
    responses = as_responses(study, target, answers.assign(draw=0), arm.name, seed, in_pilot)
    if law is None:
        return Baseline(arm, responses, None, len(pilot), None, None, {})
    laws = as_laws(study, target["participant"], law.laws(target))
    held_out_nll = float(-law.log_likelihood(target).sum(axis=1).mean())
    return Baseline(arm, responses, laws, len(pilot), law.cv_loss, held_out_nll, law.settings)
