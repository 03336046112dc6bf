"""A model that answers one study: which way it is read, what its participants share, and the law of their answers.

A model is read in pieces if that gives the probabilities of its ordinary pass, which is looked at before anything else;
if not, it is read plainly, with a warning: the numbers are the same, the wait is longer.
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

from pilotlm.answering.answer_tree import AnswerTree
from pilotlm.answering.attention import SharedText, attending
from pilotlm.answering.encoding import EncodedPrompt, Encoder, Tokens
from pilotlm.answering.filling import (
    Choose,
    FormLaw,
    FormReader,
    Law,
    PiecewiseReader,
    PlainReader,
    fill_form,
    plain_log_probabilities,
)
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.reading import Reading, read_texts
from pilotlm.errors import InputError
from pilotlm.responses import records

Progress = Callable[[int], object]
ChooseRows = Callable[[NDArray[np.int64]], Choose]
"""Given the numbers of some rows, returns the rule by which they choose."""
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Nats by which rounding alone may move the log-probability of an answer."""


class PlainReadingWarning(UserWarning):
    """A model is read plainly, which takes many times longer."""


class Respondent:
    """A language model that fills in the form of one study.

    Parameters
    ----------
    language_model : LanguageModel
        The model.
    encoder : Encoder
        Of the study.
    plain : bool
        Whether every text is read anew, with nothing remembered.
    token_by_token : bool
        Whether the law is that of constrained decoding, in place of the law of whole answers.
    """

    def __init__(
        self, language_model: LanguageModel, encoder: Encoder, plain: bool = False, token_by_token: bool = False
    ) -> None:
        self.language_model = language_model
        self.encoder = encoder
        self.plain = plain
        self.token_by_token = token_by_token
        self._trees = [AnswerTree.of(slot.answers) for slot in encoder.slots]
        self._shared: dict[tuple[Tokens, ...], SharedText] = {}

    def forget(self) -> None:
        """Forget what was read: the weights have changed."""
        self._shared.clear()

    def fill(
        self,
        people: pd.DataFrame,
        choose: ChooseRows,
        batch: int,
        progress: Progress | None = None,
        lines: int | None = None,
    ) -> FormLaw:
        """Fill in the form for some people, choosing each answer by a given rule.

        Parameters
        ----------
        people : DataFrame
            Participants: ``treatment`` and the persona fields.
        choose : callable
            Given row numbers, returns the rule for those rows.
        batch : int
            How many participants are read at a time; it bounds the memory.
        progress : callable, optional
            Called with the number of rows finished since the last call.
        lines : int, optional
            How many lines are filled in, from the first; all of them when absent.

        Returns
        -------
        FormLaw
            Rows in the order of ``people``.
        """
        parts, order = [], []
        way = nullcontext() if self.plain else attending(self.language_model.model)
        with torch.inference_mode(), way:
            for rows, prompts in self._groups(people, batch):
                texts = list(dict.fromkeys(prompt.persona for prompt in prompts))
                state_of = np.array([texts.index(prompt.persona) for prompt in prompts])
                reader = self._reader(prompts[0], texts)
                parts.append(
                    fill_form(self.encoder, self._trees, reader, state_of, choose(rows), lines, self.token_by_token)
                )
                order.append(rows)
                if progress:
                    progress(len(rows))
        return _in_order(parts, np.concatenate(order))

    def readings(self, people: pd.DataFrame, batch: int) -> Iterator[tuple[NDArray[np.int64], Reading, list[Tokens]]]:
        """Read the prompts of some people, for any use.

        Parameters
        ----------
        people : DataFrame
            Participants.
        batch : int
            How many are read at a time.

        Yields
        ------
        rows : (k,) int array
            Their numbers among ``people``.
        reading : Reading
            A row each, all but the last token of the prompt read; the model must be `attending`.
        unread : list of tuple of int
            That token.
        """
        model = self.language_model.model
        for rows, prompts in self._groups(people, batch):
            shared = self._read((prompts[0].shared, prompts[0].scenario))
            reading = read_texts(model, shared, [prompt.persona[:-1] for prompt in prompts])
            yield rows, reading, [prompt.persona[-1:] for prompt in prompts]

    def _groups(self, people: pd.DataFrame, batch: int) -> Iterator[tuple[NDArray[np.int64], list[EncodedPrompt]]]:
        """Some rows of one scenario at a time, with their prompts; texts that begin alike are together."""
        prompts = [self.encoder.prompt(person) for person in records(people)]
        scenarios = [prompt.scenario for prompt in prompts]
        for scenario in dict.fromkeys(scenarios):
            mine = [row for row, other in enumerate(scenarios) if other == scenario]
            mine.sort(key=lambda row: prompts[row].persona)
            for start in range(0, len(mine), batch):
                rows = mine[start : start + batch]
                yield np.array(rows), [prompts[row] for row in rows]

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

    Parameters
    ----------
    language_model : LanguageModel
        The model.
    encoder : Encoder
        Of the study.
    people : DataFrame
        Participants; the longest and the shortest text are compared, read side by side.
    token_by_token : bool
        As in `Respondent`.

    Returns
    -------
    Respondent

    Warns
    -----
    PlainReadingWarning
        If the model must be read plainly, with the reason.

    Raises
    ------
    InputError
        If the longest text is longer than the model reads, or the model gives no numbers.
    """
    persons = sorted(records(people), key=lambda person: _size(encoder.prompt(person)))
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


def _size(prompt: EncodedPrompt) -> int:
    return len(prompt.shared) + len(prompt.scenario) + len(prompt.persona)


def _check_length(language_model: LanguageModel, encoder: Encoder, prompt: EncodedPrompt) -> None:
    form = sum(len(asked.label) + max(map(len, asked.answers)) for asked in encoder.asked)
    needed = _size(prompt) + form
    most = getattr(language_model.model.config.get_text_config(), "max_position_embeddings", None) or needed
    if needed > most:
        raise InputError(
            f"The model '{language_model.name}' reads {most} tokens at most, and study '{encoder.study.name}' needs "
            f"{needed}; shorten the study's texts or take a model that reads more."
        )


def _check_numbers(language_model: LanguageModel, encoder: Encoder, prompt: EncodedPrompt) -> None:
    text = prompt.shared + prompt.scenario + prompt.persona
    with torch.inference_mode():
        found = plain_log_probabilities(language_model.model, [text], [[1]])[0][0]
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
    if off <= TOLERANCE[respondent.language_model.model.dtype]:
        return ""
    return f"read in pieces it moves the log-probability of an answer by {off:.2g} nats"


def reading_error(respondent: Respondent, people: pd.DataFrame) -> float:
    """By how much reading in pieces moves the log-probability of an answer.

    Each person's form is filled in twice over the same answers: as `Respondent.fill` does, and in one ordinary pass of
    the model over the whole text. The answers are those whose branches stand farthest from the text.

    Parameters
    ----------
    respondent : Respondent
        Reading in pieces.
    people : DataFrame
        Some participants.

    Returns
    -------
    float
        The largest difference, in nats.
    """
    encoder = respondent.encoder
    last = [max(range(len(slot.answers)), key=lambda k: (len(slot.answers[k]), k)) for slot in encoder.slots]

    def choose(line: int, law: Law, values: NDArray[np.int64]) -> NDArray[np.int64]:
        allowed = np.isfinite(law)
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
    prompt = encoder.prompt(person)
    text, starts = prompt.shared + prompt.scenario + prompt.persona, []
    for encoded, value in zip(encoder.slots, values, strict=True):
        if not encoded.slot.follows:
            answer = encoded.answers[encoder.answer_index(encoded, int(value))]
            starts += [len(text), len(text) + len(encoded.label)]
            text += encoded.label + answer
    with torch.inference_mode():
        # Labels and answers take turns.
        return np.array(plain_log_probabilities(respondent.language_model.model, [text], [starts])[0][1::2])


def _in_order(parts: list[FormLaw], order: NDArray[np.int64]) -> FormLaw:
    back = np.argsort(order)
    return FormLaw(
        np.concatenate([part.values for part in parts])[back],
        np.concatenate([part.log_probability for part in parts])[back],
        np.concatenate([part.valid_mass for part in parts])[back],
        tuple(np.concatenate(line)[back] for line in zip(*(part.laws for part in parts), strict=True)),
    )
