"""How long the prompts of a study are for a model, and about how long and how large its run will be."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from pilotlm.answering.encoding import Encoder
from pilotlm.answering.models import LanguageModel, load_model
from pilotlm.arms import load_arms
from pilotlm.errors import InputError
from pilotlm.instrument.pilot import draw_pilot
from pilotlm.instrument.sources import load_people
from pilotlm.profile import Profile
from pilotlm.study import Study, load_study

BRANCHES = 1.6
"""Tokens read for an answer, over those of the answer itself: the other answers of a closed question are read too."""
SAMPLING, TRAINING = 2.3, 2.5
"""Time over that of the arithmetic alone, as measured for the embedded model on two cores (docs/benchmarks.qmd)."""
STEP = 8
"""Examples in a step of fine-tuning, which share the text of their treatment."""
PARTS = 1.0
"""GiB of libraries and working memory beside the weights."""
PEOPLE = 200
PILOT, MOST_SIMULATED = 0.25, 500
"""What the profile `decide` does: the share of the fine-tuning sample, and the most people simulated in an arm."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of a study's prompts, medians over people.

    Attributes
    ----------
    shared, own, answers : int
        What all people of a treatment read, what is said of a person, and the form with its answers.
    longest : int
        The longest prompt with its form.
    """

    shared: int
    own: int
    answers: int
    longest: int


@dataclass(frozen=True)
class Expected:
    """What a run may take; a guess from the arithmetic, right within a factor of two or three.

    Attributes
    ----------
    training_minutes : float
        Fine-tuning on the pilot, two epochs at two learning rates.
    simulating_minutes : float
        Simulating the people, once.
    memory_gib : float
        The larger of the two.
    """

    training_minutes: float
    simulating_minutes: float
    memory_gib: float


def prompt_lengths(study: Study, people: pd.DataFrame, language_model: LanguageModel) -> Lengths:
    """Count the tokens of the prompts of a study's first people.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        Participants with their answers; the first `PEOPLE` are looked at.
    language_model : LanguageModel
        Whose tokens.

    Returns
    -------
    Lengths
    """
    encoder, counts = Encoder(study, language_model.tokenizer), []
    for person in people.head(PEOPLE).to_dict("records"):
        prompt = encoder.prompt({str(key): value for key, value in person.items()})
        form = sum(
            len(slot.label) + len(slot.answers[encoder.answer_index(slot, person[slot.slot.column])])
            for slot in encoder.asked
        )
        counts.append((len(prompt.shared) + len(prompt.scenario), len(prompt.persona), form))
    shared, own, answers = (int(value) for value in np.median(np.array(counts), axis=0))
    return Lengths(shared, own, answers, int(np.array(counts).sum(axis=1).max()))


def expected_run(lengths: Lengths, language_model: LanguageModel, pilot: int, simulated: int) -> Expected:
    """Guess time and memory of fine-tuning on a pilot and of simulating people, on this machine, one process.

    Parameters
    ----------
    lengths : Lengths
        Of `prompt_lengths`.
    language_model : LanguageModel
        The model.
    pilot, simulated : int
        People.

    Returns
    -------
    Expected
        From 2 operations a parameter and token read, 6 where gradients are made, and the speed of a product of
        matrices measured now.
    """
    size = sum(parameter.numel() for parameter in language_model.model.parameters())
    a_token = 2 * size / _operations_a_second()
    read = lengths.own + BRANCHES * lengths.answers
    learnt = 3 * (lengths.own + lengths.answers + lengths.shared / STEP)
    simulating, training = SAMPLING * a_token * read * simulated, TRAINING * a_token * learnt * pilot * 2 * 2
    weights = 4 * size / 2**30
    return Expected(training / 60, simulating / 60, PARTS + 3.5 * weights)


@dataclass
class NodeGuesses:
    """Guesses for the nodes of a profile that work with its model, by `expected_run`.

    Attributes
    ----------
    profile : Profile
        The profile.
    """

    profile: Profile
    _lengths: dict[str, Lengths] = field(default_factory=dict)

    def __call__(self, stage: str, study: str, arm: str, seed: int) -> tuple[float, float] | None:
        """Guess seconds and MiB of a node.

        Parameters
        ----------
        stage : {"finetune", "simulate"}
            What it does.
        study, arm : str
            Of the profile.
        seed : int
            Its seed.

        Returns
        -------
        tuple of float or None
            None where the model or the people cannot be had.
        """
        try:
            read, arms, model = load_study(study), load_arms(), self._model
            people, declared = load_people(read).table, arms.arm(arm)
            pilot = draw_pilot(read, people, arms.pilot(declared.pilot), declared.draws_pilot_by(seed))
            if study not in self._lengths:
                self._lengths[study] = prompt_lengths(read, people, model)
        except InputError:
            return None
        there = len(people) if self.profile.people == "all" else len(pilot.held_out)
        simulated = min(self.profile.studies[study].simulated or there, there)
        run = expected_run(self._lengths[study], model, len(pilot.participants), simulated)
        return 60 * (run.training_minutes if stage == "finetune" else run.simulating_minutes), 1024 * run.memory_gib

    @cached_property
    def _model(self) -> LanguageModel:
        return load_model(self.profile.model, self.profile.revision)


def _operations_a_second() -> float:
    a = torch.ones(768, 768)
    best = np.inf
    for _ in range(5):
        started = time.perf_counter()
        torch.matmul(a, a)
        best = min(best, time.perf_counter() - started)
    return float(2 * 768**3 / best)


def describe_run(study: Study, people: pd.DataFrame, model: str, revision: str = "") -> str:
    """Say how long a study's prompts are for a model, and what its decision page may take.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        Its participants.
    model, revision : str
        As in `pilotlm.answering.models.load_model`.

    Returns
    -------
    str
        A paragraph; it says so where the model cannot be had.
    """
    try:
        language_model = load_model(model, revision)
    except InputError as error:
        return f"Tokens and time cannot be told without the model: {error}\n"
    lengths = prompt_lengths(study, people, language_model)
    pilot = round(PILOT * len(people))
    simulated = min(len(people) - pilot, MOST_SIMULATED)
    run = expected_run(lengths, language_model, pilot, simulated)
    window = getattr(language_model.model.config, "max_position_embeddings", None)
    too_long = window is not None and lengths.longest > window
    lines = [
        *Encoder(study, language_model.tokenizer).notes,
        f"For the model {language_model.name} (tokens, medians over people):",
        f"  {lengths.shared} of the treatment, {lengths.own} of the person, {lengths.answers} of the form",
        f"  the longest prompt with its form has {lengths.longest}"
        + (f": MORE than the model reads ({window}); shorten the texts" if too_long else ""),
        f"The decision page, with {pilot} people in the fine-tuning sample and {simulated} simulated, about:",
        f"  {run.training_minutes:.0f} minutes of fine-tuning and {run.simulating_minutes:.0f} minutes for each arm "
        "simulated, on one core",
        f"  {run.memory_gib:.1f} GiB of memory a process, of {memory_of_machine():.0f} here",
    ]
    return "\n".join(lines) + "\n"


def memory_of_machine() -> float:
    """The machine's memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
