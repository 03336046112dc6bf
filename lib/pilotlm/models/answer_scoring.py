"""Scoring answers: the probability of every valid answer of a line of the form, given the answers before it.

Two readers give the same probabilities. `PiecewiseReader` keeps what was read (`pilotlm.models.prefix_cache`);
`PlainReader` gives the model each whole text anew, in one row an answer: it is the reference, and the way out for
models that cannot be read in pieces. Participants whose texts are still the same share a state.

The end of the line is scored only for an answer that is the beginning of another one, as "1" is of "10". Any other
answer is told from all the rest without it, so a seven-point scale is read from a single place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from pilotlm.models.encoding import Encoder, Tokens
from pilotlm.models.prefix_cache import SharedText, TokenTree, alike, pad_left, read_texts

_ROWS = 8
"""Rows whose logits are normalised together: more would only cost memory."""
Distribution = NDArray[np.float64]
Choose = Callable[[int, Distribution, NDArray[np.int64]], NDArray[np.int64]]
"""Takes the number of the line, the (rows, answers) log-probabilities and the (rows, lines) values answered so far, and
returns the place of the answer chosen in each row."""
_PLAIN_ROWS = 4


@dataclass(frozen=True, eq=False)
class AnswerTree:
    """The valid answers of a line as a tree of tokens, read in one pass; the root is the end of the label.

    Attributes
    ----------
    scored : tuple of tuple of int
        The tokens of each answer that its probability is of; none is the beginning of another.
    lead : tuple of int
        The tokens that all of these begin with, but for an answer's last one; they are read with the label.
    branches : TokenTree
        The further tokens that at least one of them continues.
    edge_from, edge_token : (edges,) int tensor
        For each step of an answer, the node that it leaves (0 is the root, then the lead, then the branches) and its
        token.
    uses : (edges, answers) float64 tensor
        1 where an answer takes the step.
    ways : (answers, branches) bool tensor
        The branches on the way to the last token that is scored of each answer.
    """

    scored: tuple[Tokens, ...]
    lead: Tokens
    branches: TokenTree
    edge_from: torch.Tensor
    edge_token: torch.Tensor
    uses: torch.Tensor
    ways: torch.Tensor

    @classmethod
    def of(cls, answers: tuple[Tokens, ...]) -> AnswerTree:
        """Build the tree of some answers with their ends of line, none of which is the beginning of another."""
        scored = _told_apart(answers)
        # The last token of an answer is never in the lead: it is scored, not read.
        lead = scored[0][: min(alike(scored[0][:-1], answer[:-1]) for answer in scored)]
        inner = _by_length({answer[:k] for answer in scored for k in range(1, len(answer))})
        edges = _by_length({answer[: k + 1] for answer in scored for k in range(len(answer))})
        node = {(): 0, **{path: k + 1 for k, path in enumerate(inner)}}
        behind = inner[len(lead) :]
        return cls(
            scored,
            lead,
            TokenTree([path[len(lead) :] for path in behind]),
            torch.tensor([node[path[:-1]] for path in edges]),
            torch.tensor([path[-1] for path in edges]),
            torch.tensor([[float(_begins(answer, path)) for answer in scored] for path in edges], dtype=torch.float64),
            torch.tensor([[_begins(answer[:-1], path) for path in behind] for answer in scored], dtype=torch.bool),
        )

    def steps(self, logits: torch.Tensor) -> torch.Tensor:
        """The log-probability of each step of an answer among all tokens: a (rows, edges) float64 tensor, in nats."""
        device = logits.device
        normaliser = torch.cat([torch.logsumexp(some.float(), dim=-1) for some in logits.split(_ROWS)]).double()
        edge_from, edge_token = self.edge_from.to(device), self.edge_token.to(device)
        return (logits[:, edge_from, edge_token].double() - normaliser[:, edge_from]).cpu()

    def token_by_token(self, steps: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Log-probabilities of answers whose tokens are renormalised one after the other: constrained decoding."""
        uses, leaves = self.uses.numpy(), self.edge_from.numpy()
        usable = (allowed.astype(float) @ uses.T) > 0
        logs = np.where(usable, steps, -np.inf)
        for node in np.unique(leaves):
            own = leaves == node
            total = np.logaddexp.reduce(logs[:, own], axis=1, keepdims=True)
            logs[:, own] -= np.where(np.isfinite(total), total, 0.0)
        # Zero times minus infinity is no number, so what is not valid is left out of the sum.
        distribution = np.where(usable, logs, 0.0) @ uses
        return np.where(allowed, distribution, -np.inf)


def _told_apart(answers: tuple[Tokens, ...]) -> tuple[Tokens, ...]:
    """The answers without their last token, the end of the line, but for those that would then begin another one."""

    def begins_another(k: int) -> bool:
        return any(_begins(other, answers[k][:-1]) for j, other in enumerate(answers) if j != k)

    return tuple(answer if len(answer) == 1 or begins_another(k) else answer[:-1] for k, answer in enumerate(answers))


def _by_length(paths: set[Tokens]) -> list[Tokens]:
    return sorted(paths, key=lambda path: (len(path), path))


def _begins(text: Tokens, path: Tokens) -> bool:
    return text[: len(path)] == path


@dataclass(frozen=True, eq=False)
class FilledForm:
    """What filling in the form gave, for some participants.

    Attributes
    ----------
    values : (rows, lines) int array
        The answers.
    log_probability : (rows, lines) array
        The log-probability of each answer among the valid ones, in nats.
    valid_mass : (rows, lines) array
        The probability of valid answers, in [0, 1]; nan for a line that follows from others.
    distributions : tuple of (rows, answers) array
        For each line the log-probability of every valid answer, in nats, given the row's earlier answers; -inf where
        an answer is not allowed. For a line that follows from others, 0 at the answer that follows.
    """

    values: NDArray[np.int64]
    log_probability: NDArray[np.float64]
    valid_mass: NDArray[np.float64]
    distributions: tuple[Distribution, ...]

    def __len__(self) -> int:
        return len(self.values)


class FormReader(Protocol):
    """A model that has read some texts, and goes on with the form; a state is a text."""

    def distribution(self, label: Tokens, tree: AnswerTree) -> Distribution:
        """The (states, answers) log-probabilities of the answers behind a label, of what is scored of each."""

    def steps(self, tree: AnswerTree) -> Distribution:
        """The (states, edges) log-probabilities of the single steps of the answers that were asked for last."""

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        """Go on from some states, each behind one of the answers whose distribution was asked for last.

        ``answers`` are whole, the ends of their lines included; ``ways`` are the rows of `AnswerTree.ways`.
        """


class PiecewiseReader:
    """Reads the prompt once and each line behind it; the model attends as `prefix_cache.attending` says."""

    def __init__(self, model: PreTrainedModel, shared: SharedText, texts: Sequence[Tokens]) -> None:
        self._reading = read_texts(model, shared, texts)
        self._unread: list[Tokens] = [()] * len(texts)
        self._lead = 0
        self._steps = torch.zeros(0, 0, dtype=torch.float64)

    def distribution(self, label: Tokens, tree: AnswerTree) -> Distribution:
        """See `FormReader`."""
        chunks = [unread + label + tree.lead for unread in self._unread]
        size, lead = max(map(len, chunks)), len(tree.lead)
        self._lead = lead
        logits = self._reading.read(chunks, torch.arange(size - lead - 1, size), tree.branches)
        self._steps = tree.steps(logits)
        return np.asarray((self._steps @ tree.uses).numpy())

    def steps(self, tree: AnswerTree) -> Distribution:
        """See `FormReader`."""
        return np.asarray(self._steps.numpy())

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        """See `FormReader`."""
        if list(states) != list(range(self._reading.rows)):
            self._reading = self._reading.take(states)
        self._reading.follow(ways)
        read = (self._lead + ways.sum(1)).tolist()
        self._unread = [answer[done:] for answer, done in zip(answers, read, strict=True)]


class PlainReader:
    """Reads each whole text anew for every answer, as one ordinary row of any causal model, padded on the right."""

    def __init__(self, model: PreTrainedModel, texts: Sequence[Tokens]) -> None:
        self._model = model
        self._texts = list(texts)
        self._steps: Distribution = np.zeros((0, 0))

    def distribution(self, label: Tokens, tree: AnswerTree) -> Distribution:
        """See `FormReader`."""
        self._texts = [text + label for text in self._texts]
        rows = [
            (text + answer, range(len(text), len(text) + len(answer))) for text in self._texts for answer in tree.scored
        ]
        some = [rows[start : start + _PLAIN_ROWS] for start in range(0, len(rows), _PLAIN_ROWS)]
        tokens = [own for part in some for own in plain_log_probabilities(self._model, *zip(*part, strict=True))]
        self._steps = np.full((len(self._texts), len(tree.edge_token)), np.nan)
        for number, own in enumerate(tokens):
            state, answer = divmod(number, len(tree.scored))
            self._steps[state, tree.uses[:, answer].numpy() > 0] = own
        return np.array([sum(own) for own in tokens]).reshape(len(self._texts), len(tree.scored))

    def steps(self, tree: AnswerTree) -> Distribution:
        """See `FormReader`."""
        return self._steps

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        """See `FormReader`."""
        self._texts = [self._texts[state] + answer for state, answer in zip(states, answers, strict=True)]


def plain_log_probabilities(
    model: PreTrainedModel, texts: Sequence[Tokens], starts: Sequence[Sequence[int]]
) -> list[list[float]]:
    """The log-probability of parts of some texts, in nats, from the model's ordinary pass.

    ``starts`` says where the parts of each text begin, in order and above 0; a part ends where the next begins.
    """
    tokens = pad_left([text[::-1] for text in texts])[0].flip(1)
    output: Any = model(input_ids=tokens.to(model.device), use_cache=False)
    found = []
    for row, (text, begins) in enumerate(zip(texts, starts, strict=True)):
        steps = output.logits[row, begins[0] - 1 : len(text) - 1].double().log_softmax(-1).cpu()
        picked = steps.gather(1, torch.tensor(text[begins[0] :])[:, None])[:, 0]
        ends = [*begins[1:], len(text)]
        found.append([float(picked[a - begins[0] : b - begins[0]].sum()) for a, b in zip(begins, ends, strict=True)])
    return found


def fill_form(
    encoder: Encoder,
    trees: Sequence[AnswerTree],
    reader: FormReader,
    state_of: NDArray[np.int64],
    choose: Choose,
    token_by_token: bool = False,
) -> FilledForm:
    """Fill in the form for a group of participants, choosing each answer by a given rule.

    ``state_of`` holds the (rows,) states of the reader that participants are in.
    """
    slots = encoder.slots
    rows, lines = len(state_of), len(slots)
    values = np.zeros((rows, lines), dtype=np.int64)
    logs, mass = np.zeros((rows, lines)), np.full((rows, lines), np.nan)
    distributions: list[Distribution] = []
    columns = [encoded.slot.column for encoded in slots]
    for line, (encoded, tree) in enumerate(zip(slots, trees, strict=True)):
        slot = encoded.slot
        left = None if slot.total is None else slot.total - values[:, [columns.index(c) for c in slot.spent]].sum(1)
        if slot.follows and left is not None:
            values[:, line] = left
            distributions.append(np.where(np.asarray(slot.values)[None] == left[:, None], 0.0, -np.inf))
            continue
        found = reader.distribution(encoded.label, tree)[state_of]
        allowed = slot.allowed(left, rows)
        found = np.where(allowed, found, -np.inf)
        total = np.logaddexp.reduce(found, axis=1)
        distribution = (
            tree.token_by_token(reader.steps(tree)[state_of], allowed) if token_by_token else found - total[:, None]
        )
        chosen = choose(line, distribution, values)
        values[:, line] = np.asarray(slot.values)[chosen]
        logs[:, line], mass[:, line] = distribution[np.arange(rows), chosen], np.exp(total)
        distributions.append(distribution)
        if any(not later.slot.follows for later in slots[line + 1 :]):
            # Participants who answered alike from one state stay together.
            pairs, inverse = np.unique(np.stack([state_of, chosen], axis=1), axis=0, return_inverse=True)
            answers = [encoded.answers[k] for k in pairs[:, 1]]
            reader.answer(pairs[:, 0].tolist(), answers, tree.ways[torch.from_numpy(pairs[:, 1])])
            state_of = inverse.reshape(-1)
    return FilledForm(values, logs, mass, tuple(distributions))
