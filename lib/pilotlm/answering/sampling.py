"""Answers from a language model, drawn from its distribution over whole valid answers.

For each line of the form, the probability of every valid answer is the product of its tokens' probabilities, the end
of the line included; all answers of a line are read in one pass, as a tree of tokens. The probabilities are then
divided by their sum, the valid mass, which is recorded. Later lines are conditional on the answers given before.

The tokens that participants of one treatment share are read once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from pilotlm.answering.encoding import EncodedPrompt, EncodedSlot, Encoder, Tokens
from pilotlm.answering.models import LanguageModel
from pilotlm.responses import valid_mass_column
from pilotlm.study import Study

Progress = Callable[[int], object]
Choose = Callable[[int, NDArray[np.float64]], NDArray[np.int64]]
"""Takes the number of the line and (rows, answers) log-probabilities, and returns the answer chosen in each row."""


@dataclass(frozen=True)
class AnswerTree:
    """The valid answers of a line as a tree of tokens; the root is the end of the line's label.

    Attributes
    ----------
    tokens : (nodes,) int tensor
        The tokens that at least one answer continues, the root left out.
    depth : (nodes,) int tensor
        The distance to the root, at least 1.
    sees : (nodes, nodes) bool tensor
        Which nodes lie on the way from the root to each node, itself included.
    edge_from : (edges,) int tensor
        For each step of an answer, the node that it leaves (0 is the root, k + 1 is node k).
    edge_token : (edges,) int tensor
        The token that it takes.
    uses : (edges, answers) float tensor
        1 where an answer takes the step.
    """

    tokens: torch.Tensor
    depth: torch.Tensor
    sees: torch.Tensor
    edge_from: torch.Tensor
    edge_token: torch.Tensor
    uses: torch.Tensor

    @classmethod
    def of(cls, answers: tuple[Tokens, ...]) -> AnswerTree:
        """Build the tree of some answers."""
        inner = sorted({answer[:k] for answer in answers for k in range(1, len(answer))}, key=lambda p: (len(p), p))
        edges = sorted({answer[: k + 1] for answer in answers for k in range(len(answer))}, key=lambda p: (len(p), p))
        node = {(): 0, **{path: k + 1 for k, path in enumerate(inner)}}
        return cls(
            torch.tensor([path[-1] for path in inner], dtype=torch.long),
            torch.tensor([len(path) for path in inner], dtype=torch.long),
            torch.tensor([[path[: len(q)] == q for q in inner] for path in inner], dtype=torch.bool).reshape(len(inner), -1),
            torch.tensor([node[path[:-1]] for path in edges]),
            torch.tensor([path[-1] for path in edges]),
            torch.tensor([[float(answer[: len(path)] == path) for answer in answers] for path in edges], dtype=torch.float64),
        )

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The log-probability of each whole answer.

        Parameters
        ----------
        logits : (rows, 1 + nodes, vocabulary) tensor
            At the root and at each node.

        Returns
        -------
        (rows, answers) float64 tensor
        """
        normaliser = torch.logsumexp(logits.float(), dim=-1).double()
        steps = logits[:, self.edge_from, self.edge_token].double() - normaliser[:, self.edge_from]
        return steps @ self.uses


@dataclass(frozen=True)
class FormLaw:
    """What filling in the form gave, for some participants.

    Attributes
    ----------
    values : (rows, lines) int array
        The answers.
    log_probability : (rows, lines) array
        The log-probability of each answer among the valid ones, in nats.
    valid_mass : (rows, lines) array
        The probability of valid answers, in [0, 1]; nan for a line that follows from others.
    """

    values: NDArray[np.int64]
    log_probability: NDArray[np.float64]
    valid_mass: NDArray[np.float64]


def simulate(
    language_model: LanguageModel,
    study: Study,
    people: pd.DataFrame,
    seed: int,
    *,
    draws: int = 1,
    with_persona: bool = True,
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
    with_persona : bool
        Whether the prompt says who the participant is.
    temperature : float
        Divides the log-probabilities of whole answers before they are normalised; above 0.
    batch : int
        How many participants are read at a time.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    DataFrame
        One row a participant and draw, in the order of ``people`` within each draw: ``draw``, the answers, and the
        valid mass of each line.
    """
    tables = []
    encoder = Encoder(study, language_model.tokenizer, with_persona)
    for draw in range(draws):
        uniforms = row_uniforms(seed, people["participant"].to_numpy(), draw, len(encoder.slots))

        def choose(rows: NDArray[np.int64], uniforms: NDArray[np.float64] = uniforms) -> Choose:
            return lambda line, law: draw_answers(law / temperature, uniforms[rows, line])

        law = fill_in(language_model, encoder, people, choose, batch, progress)
        tables.append(_answer_table(encoder, law).assign(draw=draw))
    return pd.concat(tables, ignore_index=True)


def log_likelihood(
    language_model: LanguageModel,
    study: Study,
    people: pd.DataFrame,
    *,
    with_persona: bool = True,
    batch: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The log-probability that a model gives to the answers that people gave.

    Parameters
    ----------
    language_model, study, with_persona, batch, progress
        As in `simulate`.
    people : DataFrame
        Participants with their answers.

    Returns
    -------
    (rows, lines) array
        In nats, conditional on the participant's own earlier answers; 0 where the answer follows from others.
    """
    encoder = Encoder(study, language_model.tokenizer, with_persona)
    given = np.array(
        [[encoder.answer_index(s, value) for value in people[s.slot.column]] for s in encoder.slots]
    ).T

    def choose(rows: NDArray[np.int64]) -> Choose:
        return lambda line, law: given[rows, line]

    return fill_in(language_model, encoder, people, choose, batch, progress).log_probability


def row_uniforms(seed: int, participants: NDArray[np.int64], draw: int, lines: int) -> NDArray[np.float64]:
    """Uniform numbers that depend on (seed, participant, draw) alone, one a line of the form."""
    return np.stack([np.random.default_rng([seed, int(person), draw]).random(lines) for person in participants])


def draw_answers(law: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw an answer in each row by inverting its distribution function.

    Parameters
    ----------
    law : (rows, answers) array
        Log-weights; need not be normalised.
    uniforms : (rows,) array
        In [0, 1).

    Returns
    -------
    (rows,) int array
    """
    weights = np.exp(law - law.max(axis=1, keepdims=True))
    cumulative = np.cumsum(weights, axis=1)
    chosen = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(axis=1)
    # An answer of weight zero at the end must not be reached through rounding.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.minimum(chosen, last)


def fill_in(
    language_model: LanguageModel,
    encoder: Encoder,
    people: pd.DataFrame,
    choose: Callable[[NDArray[np.int64]], Choose],
    batch: int,
    progress: Progress | None = None,
) -> FormLaw:
    """Fill in the form for some people, choosing each answer by a given rule.

    Parameters
    ----------
    language_model : LanguageModel
        Whose distribution it is.
    encoder : Encoder
        Of the study.
    people : DataFrame
        Participants.
    choose : callable
        Given row numbers, returns the rule for those rows.
    batch : int
        How many participants are read at a time.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    FormLaw
        Rows in the order of ``people``.
    """
    shape = (len(people), len(encoder.slots))
    law = FormLaw(np.zeros(shape, dtype=np.int64), np.zeros(shape), np.full(shape, np.nan))
    trees = [AnswerTree.of(slot.answers) for slot in encoder.slots]
    with torch.inference_mode():
        for rows, prompts, prefix in _batches(language_model, encoder, people, batch):
            reading = _Reading(language_model, prefix, [prompt.persona for prompt in prompts])
            _fill_rows(reading, encoder, trees, rows, choose(rows), law)
            if progress:
                progress(len(rows))
    return law


def _fill_rows(
    reading: _Reading, encoder: Encoder, trees: list[AnswerTree], rows: NDArray[np.int64], choose: Choose, law: FormLaw
) -> None:
    columns = [encoded.slot.column for encoded in encoder.slots]
    for line, encoded in enumerate(encoder.slots):
        slot = encoded.slot
        earlier = law.values[rows][:, [columns.index(column) for column in slot.spent]]
        left = None if slot.total is None else slot.total - earlier.sum(axis=1)
        if slot.follows and left is not None:
            law.values[rows, line] = left
            continue
        logp = reading.answers(encoded, trees[line])
        logp = np.where(slot.allowed(left, len(rows)), logp, -np.inf)
        mass = np.logaddexp.reduce(logp, axis=1)
        chosen = choose(line, logp - mass[:, None])
        law.values[rows, line] = np.asarray(slot.values)[chosen]
        law.log_probability[rows, line] = (logp - mass[:, None])[np.arange(len(rows)), chosen]
        law.valid_mass[rows, line] = np.exp(mass)
        reading.say([encoded.answers[k] for k in chosen])


class _Reading:
    """A batch of participants part of the way through the form: the cache of what was read, and what is still to read.

    Rows are padded on the left of each chunk; a padded token is hidden from all others by the mask.
    """

    def __init__(self, language_model: LanguageModel, prefix: DynamicCache, personas: list[Tokens]) -> None:
        self._lm = language_model
        self._rows = len(personas)
        self._cache = copy.deepcopy(prefix)
        self._cache.batch_repeat_interleave(self._rows)
        length = self._cache.get_seq_length()
        self._seen = torch.ones(self._rows, length, dtype=torch.bool)
        self._position = torch.full((self._rows,), length)
        self._unread = personas

    def say(self, answers: list[Tokens]) -> None:
        """Put the chosen answers after what was read."""
        self._unread = answers

    def answers(self, encoded: EncodedSlot, tree: AnswerTree) -> NDArray[np.float64]:
        """Read up to the end of a line's label, and give the log-probability of each whole answer."""
        chunk, real = _pad_left([tokens + encoded.label for tokens in self._unread])
        ids = torch.cat([chunk, tree.tokens.expand(self._rows, -1)], dim=1)
        position = self._position[:, None] + real.cumsum(1) - 1
        end = position[:, -1:]
        positions = torch.cat([position.clamp(min=0), end + tree.depth], dim=1)
        keep = torch.arange(chunk.shape[1] - 1, ids.shape[1])
        logits = self._forward(ids, positions, self._mask(real, tree), keep)
        if len(tree.tokens):
            self._cache.crop(-len(tree.tokens))
        self._seen = torch.cat([self._seen, real], dim=1)
        self._position = end[:, 0] + 1
        return tree.log_probabilities(logits.cpu()).numpy()

    def _mask(self, real: torch.Tensor, tree: AnswerTree) -> torch.Tensor:
        """(rows, queries, keys): what each new token may see."""
        size, nodes = real.shape[1], len(tree.tokens)
        sees = torch.zeros(self._rows, size + nodes, size + nodes, dtype=torch.bool)
        sees[:, :size, :size] = torch.ones(size, size, dtype=torch.bool).tril() & real[:, None, :]
        sees[:, size:, :size] = real[:, None, :]
        sees[:, size:, size:] = tree.sees
        # A padded token sees itself: attention over nothing is not a number.
        sees |= torch.eye(size + nodes, dtype=torch.bool)
        before = self._seen[:, None, :].expand(-1, size + nodes, -1)
        return torch.cat([before, sees], dim=2)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        model, device = self._lm.model, self._lm.device
        output = model(
            input_ids=ids.to(device),
            attention_mask=additive_mask(sees, model.dtype).to(device),
            position_ids=positions.to(device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=keep.to(device),
        )
        return output.logits


def additive_mask(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(rows, queries, keys) of what may be seen, as the (rows, 1, queries, keys) mask that is added to the scores."""
    mask = torch.zeros(sees.shape, dtype=dtype)
    return mask.masked_fill(~sees, torch.finfo(dtype).min)[:, None]


def _batches(
    language_model: LanguageModel, encoder: Encoder, people: pd.DataFrame, batch: int
) -> Iterator[tuple[NDArray[np.int64], list[EncodedPrompt], DynamicCache]]:
    """Rows of one treatment at a time, with what they share already read."""
    for treatment in people["treatment"].unique():
        rows = np.flatnonzero(people["treatment"] == treatment)
        prompts = [encoder.prompt(people.iloc[row].to_dict()) for row in rows]
        shared = torch.tensor([prompts[0].shared + prompts[0].scenario], device=language_model.device)
        prefix = language_model.model(input_ids=shared, use_cache=True, logits_to_keep=1).past_key_values
        for start in range(0, len(rows), batch):
            yield rows[start : start + batch], prompts[start : start + batch], prefix


def _pad_left(rows: list[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens as a rectangle, and which of them are real."""
    length = max(len(row) for row in rows)
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    real = torch.zeros(len(rows), length, dtype=torch.bool)
    for k, row in enumerate(rows):
        tokens[k, length - len(row) :] = torch.tensor(row)
        real[k, length - len(row) :] = True
    return tokens, real


def _answer_table(encoder: Encoder, law: FormLaw) -> pd.DataFrame:
    columns = {encoded.slot.column: law.values[:, k] for k, encoded in enumerate(encoder.slots)}
    masses = {
        valid_mass_column(encoded.slot.column): law.valid_mass[:, k]
        for k, encoded in enumerate(encoder.slots)
        if not encoded.slot.follows
    }
    return pd.DataFrame({**columns, **masses})

