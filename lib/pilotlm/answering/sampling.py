"""Answers from a language model, drawn from its distribution over whole valid answers.

For each line of the form, the probability of every valid answer is the product of its tokens' probabilities, the end
of the line included; all answers of a line are read in one pass, as a tree of tokens. The probabilities are then
divided by their sum, the valid mass, which is recorded. Later lines are conditional on the answers given before.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.answering.drawing import draw_answers, row_uniforms
from pilotlm.answering.encoding import Encoder
from pilotlm.answering.filling import Choose, FormLaw, Law
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.respondent import Progress, Respondent, respondent
from pilotlm.instrument.prompts import USUAL, Wording
from pilotlm.laws import expected_answers
from pilotlm.responses import valid_mass_column
from pilotlm.study import Study

Reweigh = Callable[[int, Law, NDArray[np.int64], NDArray[np.int64]], Law]
"""Takes the number of the line, the (rows, answers) log-law, the (rows, lines) values answered so far and the rows'
numbers among the people; returns the (rows, answers) log-weights to draw from."""


def simulate(
    language_model: LanguageModel,
    study: Study,
    people: pd.DataFrame,
    seed: int,
    *,
    draws: int = 1,
    wording: Wording = USUAL,
    temperature: float = 1.0,
    batch: int = 32,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Let a model answer as the given people.

    Each answer depends on the model and on (seed, participant, draw): a generator of its own for each row.

    Parameters
    ----------
    language_model : LanguageModel
        Who answers.
    study : Study
        The study.
    people : DataFrame
        Participants: ``participant``, ``treatment`` and the persona fields.
    seed : int
        The seed of the run.
    draws : int
        How many times each participant is simulated.
    wording : Wording
        What is varied in the prompts.
    temperature : float
        Divides the log-probabilities of whole answers before they are normalised; at 0 the likeliest is taken.
    batch : int
        How many participants are read at a time.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    DataFrame
        One row a participant and draw, the draws of a participant together: ``draw``, the answers, the valid mass of
        each line, and the expected answers (`pilotlm.laws.expected_answers`).
    """
    answering = respondent(language_model, Encoder(study, language_model.tokenizer, wording), people)
    return answer_as(answering, people, seed, draws=draws, temperature=temperature, batch=batch, progress=progress)


def answer_as(
    answering: Respondent,
    people: pd.DataFrame,
    seed: int,
    *,
    draws: int = 1,
    temperature: float = 1.0,
    batch: int = 32,
    reweigh: Reweigh | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Let a respondent answer as the given people; as `simulate`, of which this is the part behind the preparations.

    Parameters
    ----------
    answering : Respondent
        Who answers.
    people, seed, draws, temperature, batch, progress
        As in `simulate`.
    reweigh : callable, optional
        Changes the law of a line before an answer is drawn from it.

    Returns
    -------
    DataFrame
        As `simulate` returns.
    """
    rows = people.iloc[np.repeat(np.arange(len(people)), draws)]
    draw = np.tile(np.arange(draws), len(people))
    uniforms = row_uniforms(seed, rows["participant"].to_numpy(), draw, len(answering.encoder.slots))

    slots = [encoded.slot for encoded in answering.encoder.slots]
    laws = {slot.column: np.zeros((len(rows), len(slot.values))) for slot in slots if not slot.follows}

    def chooser(some: NDArray[np.int64]) -> Choose:
        def choose(line: int, law: Law, values: NDArray[np.int64]) -> NDArray[np.int64]:
            weights = law if reweigh is None else reweigh(line, law, values, some // draws)
            drawn_from = tempered(weights, temperature) if temperature else _likeliest(weights)
            if slots[line].column in laws:
                laws[slots[line].column][some] = np.exp(drawn_from)
            return draw_answers(drawn_from, uniforms[some, line])

        return choose

    filled = answering.fill(rows, chooser, batch, progress)
    expected = expected_answers(answering.encoder.study, laws)
    return pd.concat([_answer_table(answering.encoder, filled), expected], axis=1).assign(draw=draw)


def _likeliest(weights: Law) -> Law:
    """The law that has all of its probability on the first of the likeliest answers."""
    likeliest = np.arange(weights.shape[1]) == weights.argmax(axis=1)[:, None]
    return np.where(likeliest, 0.0, -np.inf)


def tempered(weights: Law, temperature: float) -> Law:
    """The law of some log-weights at a temperature above 0: divided by it, and normalised in each row."""
    divided = weights / temperature
    return np.asarray(divided - np.logaddexp.reduce(divided, axis=1, keepdims=True))


def log_likelihood(
    language_model: LanguageModel,
    study: Study,
    people: pd.DataFrame,
    *,
    wording: Wording = USUAL,
    batch: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The log-probability that a model gives to the answers that people gave.

    Parameters
    ----------
    language_model, study, wording, batch, progress
        As in `simulate`.
    people : DataFrame
        Participants with their answers.

    Returns
    -------
    (rows, lines) array
        In nats, conditional on the participant's own earlier answers; 0 where the answer follows from others.
    """
    answering = respondent(language_model, Encoder(study, language_model.tokenizer, wording), people)
    return given_law(answering, people, batch, progress).log_probability


def given_law(
    answering: Respondent, people: pd.DataFrame, batch: int = 32, progress: Progress | None = None
) -> FormLaw:
    """The exact law of every line, given the answers that people gave to the lines before it.

    Parameters
    ----------
    answering : Respondent
        Whose law it is.
    people : DataFrame
        Participants with their answers.
    batch : int
        How many participants are read at a time.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    FormLaw
        Its values are the people's own.
    """
    encoder = answering.encoder
    given = np.array([[encoder.answer_index(s, value) for value in people[s.slot.column]] for s in encoder.slots]).T

    def chooser(rows: NDArray[np.int64]) -> Choose:
        return lambda line, law, values: given[rows, line]

    return answering.fill(people, chooser, batch, progress)


def _answer_table(encoder: Encoder, law: FormLaw) -> pd.DataFrame:
    columns = {encoded.slot.column: law.values[:, k] for k, encoded in enumerate(encoder.slots)}
    masses = {
        valid_mass_column(encoded.slot.column): law.valid_mass[:, k]
        for k, encoded in enumerate(encoder.slots)
        if not encoded.slot.follows
    }
    return pd.DataFrame({**columns, **masses})
