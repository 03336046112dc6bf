"""Simulating people: answers drawn from a model's distribution over whole valid answers.

For each line of the form, the probability of every valid answer is the product of its tokens' probabilities, the end of
the line included where the answer is the beginning of another. The probabilities are divided by their sum, the valid
mass, which is recorded. Later lines are conditional on the answers given before. A model is read in pieces if that
gives the probabilities of its ordinary pass, which is looked at before anything else; if not, it is read plainly, with
a warning: the same numbers, a longer wait.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pilotlm.errors import InputError
from pilotlm.models.answer_scoring import (
    AnswerTree,
    Choose,
    Distribution,
    FilledForm,
    FormReader,
    PiecewiseReader,
    PlainReader,
    fill_form,
    plain_log_probabilities,
)
from pilotlm.models.encoding import EncodedPrompt, Encoder, Tokens
from pilotlm.models.loading import LanguageModel
from pilotlm.models.prefix_cache import Reading, SharedText, attending
from pilotlm.predictions import as_predictions, expected_answers
from pilotlm.randomness import numbered
from pilotlm.responses import records, valid_mass_column

Progress = Callable[[int], object]
ChooseRows = Callable[[NDArray[np.int64]], Choose]
"""Given the numbers of some rows, returns the rule by which they choose."""
ROUNDING = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Nats by which rounding alone may move the log-probability of an answer."""
_SORTED = 2048
"""People whose prompts are held and sorted at once, so that memory does not grow with their number."""
Reweigh = Callable[[int, Distribution, NDArray[np.int64], NDArray[np.int64]], Distribution]
"""Takes the number of the line, the (rows, answers) log-probabilities, the (rows, lines) values answered so far and the
rows' numbers among the people; returns the (rows, answers) log-weights to draw from."""


def row_uniforms(
    seed: int, participants: NDArray[np.int64], draws: NDArray[np.int64], lines: int
) -> NDArray[np.float64]:
    """Uniform numbers that depend on (seed, participant, draw) alone, one a line of the form."""
    pairs = zip(participants, draws, strict=True)
    rows = [numbered(seed, int(person), int(draw)).random(lines) for person, draw in pairs]
    return np.array(rows).reshape(len(rows), lines)


def draw_answers(distribution: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw an answer in each row by inverting its distribution function."""
    top = distribution.max(axis=1, keepdims=True)
    if not np.isfinite(top).all():
        row = int(np.argmin(np.isfinite(top)))
        raise ValueError(f"row {row} has no distribution to draw from, its log-weights are {distribution[row]}")
    weights = np.exp(distribution - top)
    cumulative = np.cumsum(weights, axis=1)
    chosen = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(axis=1)
    # An answer of weight zero at the end must not be reached through rounding.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum(chosen, last))


class PlainReadingWarning(UserWarning):
    """A model is read plainly, which takes many times longer."""


class Respondent:
    """A language model that fills in the form of one study; ``plain`` reads every text anew, with nothing remembered.

    What was read is remembered: where the weights change, another respondent is made.

    With ``token_by_token`` the distribution is that of constrained decoding, in place of that of whole answers.
    """

    def __init__(
        self, language_model: LanguageModel, encoder: Encoder, plain: bool = False, token_by_token: bool = False
    ) -> None:
        self.language_model = language_model
        self.encoder = encoder
        self.plain = plain
        self.token_by_token = token_by_token
        self.trees = [AnswerTree.of(slot.answers) for slot in encoder.slots]
        self._shared: dict[tuple[Tokens, ...], SharedText] = {}

    def fill(
        self, people: pd.DataFrame, choose: ChooseRows, batch: int, progress: Progress | None = None
    ) -> FilledForm:
        """Fill in the form for some people, ``batch`` of them at a time; rows in the order of ``people``.

        ``choose`` is given the numbers of some rows and returns the rule by which each of their answers is chosen.
        """
        parts, order = [], []
        way = nullcontext() if self.plain else attending(self.language_model.model)
        with torch.inference_mode(), way:
            for rows, prompts in self._groups(people, batch):
                texts = list(dict.fromkeys(prompt.persona for prompt in prompts))
                state_of = np.array([texts.index(prompt.persona) for prompt in prompts])
                reader = self._reader(prompts[0], texts)
                parts.append(fill_form(self.encoder, self.trees, reader, state_of, choose(rows), self.token_by_token))
                order.append(rows)
                if progress:
                    progress(len(rows))
        return _in_order(parts, np.concatenate(order))

    def _groups(self, people: pd.DataFrame, batch: int) -> Iterator[tuple[NDArray[np.int64], list[EncodedPrompt]]]:
        """Some rows of one scenario at a time, with their prompts; texts that begin alike are together."""
        for first in range(0, len(people), _SORTED):
            prompts = [self.encoder.prompt(person) for person in records(people.iloc[first : first + _SORTED])]
            scenarios = [prompt.scenario for prompt in prompts]
            for scenario in dict.fromkeys(scenarios):
                mine = [row for row, other in enumerate(scenarios) if other == scenario]
                mine.sort(key=lambda row: prompts[row].persona)
                for start in range(0, len(mine), batch):
                    rows = mine[start : start + batch]
                    yield np.array(rows) + first, [prompts[row] for row in rows]

    def _reader(self, prompt: EncodedPrompt, texts: list[Tokens]) -> FormReader:
        model = self.language_model.model
        if self.plain:
            return PlainReader(model, [prompt.shared + prompt.scenario + text for text in texts])
        return PiecewiseReader(model, self._read((prompt.shared, prompt.scenario)), texts)

    def _read(self, pieces: tuple[Tokens, ...]) -> SharedText:
        """Read what participants share, the first time only."""
        if pieces not in self._shared:
            before = self._read(pieces[:-1]) if len(pieces) > 1 else None
            if before is not None and not pieces[-1]:
                return before
            reading = Reading(self.language_model.model, 1, before)
            reading.read(pieces[-1:])
            self._shared[pieces] = reading.as_shared()
        return self._shared[pieces]


def respondent(
    language_model: LanguageModel, encoder: Encoder, people: pd.DataFrame, token_by_token: bool = False
) -> Respondent:
    """A model that fills in the form, read in pieces if that gives what its ordinary pass gives.

    An attention that looks back a window shorter than the text, one that takes its places from the width of a row, and
    a memory that is not keys and values all give another result when read in pieces, most of them without an error.
    The longest and the shortest text of ``people`` are compared, read side by side.

    Warns
    -----
    PlainReadingWarning
        If the model must be read plainly, with the reason.

    Raises
    ------
    InputError
        If the longest text is longer than the model reads, or the model gives no numbers.
    """
    persons = sorted(records(people), key=lambda person: len(encoder.prompt(person).whole))
    longest, shortest = persons[-1], persons[0]
    _check_length(language_model, encoder, encoder.prompt(longest))
    made = Respondent(language_model, encoder)
    # Only texts of one scenario are read side by side, where the shorter one is padded.
    why = _why_not_in_pieces(made, pd.DataFrame([longest, {**shortest, "treatment": longest["treatment"]}]))
    if not why:
        made.token_by_token = token_by_token
        return made
    _check_numbers(language_model, encoder, encoder.prompt(longest))
    warnings.warn(
        f"The model '{language_model.name}' is read plainly, each text anew for every answer, which takes many times "
        f"longer: {why}.",
        PlainReadingWarning,
        stacklevel=2,
    )
    return Respondent(language_model, encoder, plain=True, token_by_token=token_by_token)


def _check_length(language_model: LanguageModel, encoder: Encoder, prompt: EncodedPrompt) -> None:
    form = sum(len(asked.label) + max(map(len, asked.answers)) for asked in encoder.asked)
    needed = len(prompt.whole) + form
    most = getattr(language_model.model.config.get_text_config(), "max_position_embeddings", None) or needed
    if needed > most:
        raise InputError(
            f"The model '{language_model.name}' reads {most} tokens at most, and study '{encoder.study.name}' needs "
            f"{needed}; shorten the study's texts or take a model that reads more."
        )


def _check_numbers(language_model: LanguageModel, encoder: Encoder, prompt: EncodedPrompt) -> None:
    with torch.inference_mode():
        found = plain_log_probabilities(language_model.model, [prompt.whole], [[1]])[0][0]
    if np.isnan(found):
        raise InputError(
            f"The model '{language_model.name}' gives no probabilities for study '{encoder.study.name}': its ordinary "
            "pass ends in what is no number; take another dtype, or weights that are whole."
        )


def _why_not_in_pieces(respondent: Respondent, people: pd.DataFrame) -> str:
    """Why a model cannot be read in pieces; empty if it can."""
    try:
        off = reading_error(respondent, people)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        # Whatever a foreign architecture trips over; what counts is that it did.
        return f"read in pieces it fails ({type(error).__name__}: {str(error).strip().split(chr(10))[0]})"
    if off <= ROUNDING[respondent.language_model.model.dtype]:
        return ""
    return f"read in pieces it moves the log-probability of an answer by {off:.2g} nats"


def reading_error(respondent: Respondent, people: pd.DataFrame) -> float:
    """By how much reading in pieces moves the log-probability of an answer.

    Each person's form is filled in twice over the same answers: as `Respondent.fill` does, and in one ordinary pass of
    the model over the whole text. The answers are those whose branches stand farthest from the text.
    """
    encoder = respondent.encoder
    last = [max(range(len(slot.answers)), key=lambda k: (len(slot.answers[k]), k)) for slot in encoder.slots]

    def choose(line: int, distribution: Distribution, values: NDArray[np.int64]) -> NDArray[np.int64]:
        allowed = np.isfinite(distribution)
        return np.where(allowed[:, last[line]], last[line], allowed.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1))

    filled = respondent.fill(people, lambda rows: choose, len(people))
    asked = [k for k, slot in enumerate(encoder.slots) if not slot.slot.follows]
    worst = 0.0
    for row, person in enumerate(records(people)):
        steps = _plain_steps(respondent, person, filled.values[row])
        pieces = filled.log_probability[row, asked] + np.log(filled.valid_mass[row, asked])
        # What is no number stays none here; Python's max would drop it.
        worst = float(np.maximum(worst, np.abs(pieces - steps).max()))
    return worst if np.isfinite(worst) else float("inf")


def _plain_steps(respondent: Respondent, person: dict[str, Any], values: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log-probability of each answer asked for, in the model's ordinary pass over the whole text."""
    encoder = respondent.encoder
    text, starts = encoder.prompt(person).whole, []
    for encoded, tree, value in zip(encoder.slots, respondent.trees, values, strict=True):
        if not encoded.slot.follows:
            place = encoder.answer_index(encoded, int(value))
            before = len(text) + len(encoded.label)
            starts += [len(text), before, before + len(tree.scored[place])]
            text += encoded.label + encoded.answers[place]
    with torch.inference_mode():
        # A label, what is scored of an answer, and its rest take turns.
        return np.array(plain_log_probabilities(respondent.language_model.model, [text], [starts])[0][1::3])


def _in_order(parts: list[FilledForm], order: NDArray[np.int64]) -> FilledForm:
    back = np.argsort(order)
    return FilledForm(
        np.concatenate([part.values for part in parts])[back],
        np.concatenate([part.log_probability for part in parts])[back],
        np.concatenate([part.valid_mass for part in parts])[back],
        tuple(np.concatenate(line)[back] for line in zip(*(part.distributions for part in parts), strict=True)),
    )


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
    """Let a model answer as the given people.

    Each answer depends on the model and on (seed, participant, draw): a generator of its own for each row.

    Parameters
    ----------
    answering : Respondent
        Who answers.
    people : DataFrame
        Participants: ``participant``, ``treatment`` and the persona fields.
    seed, draws : int
        The seed of the run, and how many times each participant is simulated.
    temperature : float
        Divides the log-probabilities of whole answers before they are normalised; at 0 the likeliest is taken.
    batch : int
        How many participants are read at a time; it bounds the memory.
    reweigh : callable, optional
        Changes the distribution of a line before an answer is drawn from it.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    DataFrame
        One row a participant and draw, the draws of a participant together: ``draw``, the answers, the valid mass of
        each line, and the expected answers (`pilotlm.predictions.expected_answers`).
    """
    rows = people.iloc[np.repeat(np.arange(len(people)), draws)]
    draw = np.tile(np.arange(draws), len(people))
    uniforms = row_uniforms(seed, rows["participant"].to_numpy(), draw, len(answering.encoder.slots))

    slots = [encoded.slot for encoded in answering.encoder.slots]
    distributions = {slot.column: np.zeros((len(rows), len(slot.values))) for slot in slots if not slot.follows}

    def chooser(some: NDArray[np.int64]) -> Choose:
        def choose(line: int, distribution: Distribution, values: NDArray[np.int64]) -> NDArray[np.int64]:
            weights = distribution if reweigh is None else reweigh(line, distribution, values, some // draws)
            if temperature:
                drawn_from = tempered(weights, temperature)
            else:
                likeliest = np.arange(weights.shape[1]) == weights.argmax(axis=1)[:, None]
                drawn_from = np.where(likeliest, 0.0, -np.inf)
            if slots[line].column in distributions:
                distributions[slots[line].column][some] = np.exp(drawn_from)
            return draw_answers(drawn_from, uniforms[some, line])

        return choose

    filled = answering.fill(rows, chooser, batch, progress)
    answers = {slot.column: filled.values[:, k] for k, slot in enumerate(slots)}
    masses = {valid_mass_column(s.column): filled.valid_mass[:, k] for k, s in enumerate(slots) if not s.follows}
    expected = expected_answers(answering.encoder.study, distributions)
    return pd.DataFrame({**answers, **masses, **expected, "draw": draw})


def tempered(weights: Distribution, temperature: float) -> Distribution:
    """The distribution of some log-weights at a temperature above 0: divided by it, and normalised in each row."""
    divided = weights / temperature
    return np.asarray(divided - np.logaddexp.reduce(divided, axis=1, keepdims=True))


def given_distributions(
    answering: Respondent, people: pd.DataFrame, batch: int = 32, progress: Progress | None = None
) -> FilledForm:
    """The exact distribution of every line, given the answers that people gave to the lines before it."""
    encoder = answering.encoder
    given = np.array([[encoder.answer_index(s, value) for value in people[s.slot.column]] for s in encoder.slots]).T

    def chooser(rows: NDArray[np.int64]) -> Choose:
        return lambda line, distribution, values: given[rows, line]

    return answering.fill(people, chooser, batch, progress)


def predictive_distributions(
    answering: Respondent,
    people: pd.DataFrame,
    *,
    temperature: float = 1.0,
    batch: int = 32,
    reweigh: Reweigh | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The exact distribution of every question, given what each person answered to the questions before it.

    A table of distributions (`pilotlm.predictions`). The parameters are those of `answer_as`; ``people`` have answers,
    and the temperature is above 0.
    """
    filled = given_distributions(answering, people, batch, progress)
    rows, distributions = np.arange(len(people)), {}
    for line, (encoded, distribution) in enumerate(zip(answering.encoder.slots, filled.distributions, strict=True)):
        if not encoded.slot.follows:
            weights = distribution if reweigh is None else reweigh(line, distribution, filled.values, rows)
            distributions[encoded.slot.column] = np.exp(tempered(weights, temperature))
    return as_predictions(answering.encoder.study, people["participant"], distributions)
