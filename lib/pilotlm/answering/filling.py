"""Filling in the form: the law of every line given the answers before it, for a group of participants.

Two readers give the same law. `PiecewiseReader` keeps what was read (see `pilotlm.answering.reading`); `PlainReader`
gives the model each whole text anew, in one row an answer, with nothing remembered. The plain one is the reference, and
the way out for models that cannot be read in pieces.

Participants whose texts are still the same share a state: it is computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from pilotlm.answering.answer_tree import AnswerTree
from pilotlm.answering.attention import SharedText
from pilotlm.answering.encoding import Encoder, Tokens
from pilotlm.answering.reading import pad_left, read_texts

Law = NDArray[np.float64]
Choose = Callable[[int, Law, NDArray[np.int64]], NDArray[np.int64]]
"""Takes the number of the line, the (rows, answers) normalised log-law and the (rows, lines) values answered so far,
and returns the place of the answer chosen in each row."""
_PLAIN_ROWS = 4


@dataclass(frozen=True, eq=False)
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
    laws : tuple of (rows, answers) array
        For each line the log-probability of every valid answer, in nats, given the row's earlier answers; -inf where
        an answer is not allowed. For a line that follows from others, 0 at the answer that follows.
    """

    values: NDArray[np.int64]
    log_probability: NDArray[np.float64]
    valid_mass: NDArray[np.float64]
    laws: tuple[Law, ...]

    def __len__(self) -> int:
        return len(self.values)


class FormReader(Protocol):
    """A model that has read some texts, and goes on with the form; a state is a text."""

    def law(self, label: Tokens, tree: AnswerTree) -> Law:
        """The (states, answers) log-probabilities of whole answers behind a label."""
        ...

    def steps(self, tree: AnswerTree) -> Law:
        """The (states, edges) log-probabilities of the single steps of the answers whose law was asked for last."""
        ...

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        """Go on from some states, each behind one of the answers whose law was asked for last."""
        ...


class PiecewiseReader:
    """Reads the prompt once and each line behind it.

    Parameters
    ----------
    model : PreTrainedModel
        Attending as `pilotlm.answering.attention.attending` says.
    shared : SharedText
        What the texts have in common.
    texts : sequence of tuple of int
        Of each state, what follows.
    """

    def __init__(self, model: PreTrainedModel, shared: SharedText, texts: Sequence[Tokens]) -> None:
        self._reading = read_texts(model, shared, texts)
        self._unread: list[Tokens] = [()] * len(texts)
        self._steps = torch.zeros(0, 0, dtype=torch.float64)

    def law(self, label: Tokens, tree: AnswerTree) -> Law:
        """See `FormReader`."""
        chunks = [unread + label + tree.lead for unread in self._unread]
        size, lead = max(map(len, chunks)), len(tree.lead)
        logits = self._reading.read(chunks, torch.arange(size - lead - 1, size), tree.branches)
        self._steps = tree.steps(logits)
        return np.asarray((self._steps @ tree.uses).numpy())

    def steps(self, tree: AnswerTree) -> Law:
        """See `FormReader`."""
        return np.asarray(self._steps.numpy())

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        """See `FormReader`."""
        if list(states) != list(range(self._reading.rows)):
            self._reading = self._reading.take(states)
        self._reading.follow(ways)
        self._unread = [answer[-1:] for answer in answers]


class PlainReader:
    """Reads each whole text anew for every answer, as one ordinary row of the model.

    Parameters
    ----------
    model : PreTrainedModel
        Any causal model. Rows are padded on the right, where a causal model does not look.
    texts : sequence of tuple of int
        Of each state, the whole prompt.
    """

    def __init__(self, model: PreTrainedModel, texts: Sequence[Tokens]) -> None:
        self._model = model
        self._texts = list(texts)
        self._steps: Law = np.zeros((0, 0))

    def law(self, label: Tokens, tree: AnswerTree) -> Law:
        """See `FormReader`."""
        self._texts = [text + label for text in self._texts]
        rows = [
            (text + answer, range(len(text), len(text) + len(answer)))
            for text in self._texts
            for answer in tree.answers
        ]
        some = [rows[start : start + _PLAIN_ROWS] for start in range(0, len(rows), _PLAIN_ROWS)]
        tokens = [own for part in some for own in plain_log_probabilities(self._model, *zip(*part, strict=True))]
        self._steps = np.full((len(self._texts), len(tree.edge_token)), np.nan)
        for number, own in enumerate(tokens):
            state, answer = divmod(number, len(tree.answers))
            self._steps[state, tree.uses[:, answer].numpy() > 0] = own
        return np.array([sum(own) for own in tokens]).reshape(len(self._texts), len(tree.answers))

    def steps(self, tree: AnswerTree) -> Law:
        """See `FormReader`."""
        return self._steps

    def answer(self, states: Sequence[int], answers: Sequence[Tokens], ways: torch.Tensor) -> None:
        """See `FormReader`."""
        self._texts = [self._texts[state] + answer for state, answer in zip(states, answers, strict=True)]


def plain_log_probabilities(
    model: PreTrainedModel, texts: Sequence[Tokens], starts: Sequence[Sequence[int]]
) -> list[list[float]]:
    """The log-probability of parts of some texts, from the model's ordinary pass.

    Parameters
    ----------
    model : PreTrainedModel
        Any causal model.
    texts : sequence of tuple of int
        Rows of tokens.
    starts : sequence of sequence of int
        For each text, where its parts begin, in order and above 0; a part ends where the next begins.

    Returns
    -------
    list of list of float
        For each text and part, the sum over its tokens, in nats.
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
    lines: int | None = None,
    token_by_token: bool = False,
) -> FormLaw:
    """Fill in the form for a group of participants, choosing each answer by a given rule.

    Parameters
    ----------
    encoder : Encoder
        Of the study.
    trees : sequence of AnswerTree
        Of each line.
    reader : FormReader
        Has read the states' prompts.
    state_of : (rows,) int array
        The state that each participant is in.
    choose : callable
        The rule.
    lines : int, optional
        How many lines are filled in, from the first; all of them when absent.
    token_by_token : bool
        Whether the law is that of constrained decoding, in place of the law of whole answers. The valid mass is that
        of whole answers in either case.

    Returns
    -------
    FormLaw
    """
    slots = encoder.slots[:lines]
    rows, lines = len(state_of), len(slots)
    values = np.zeros((rows, lines), dtype=np.int64)
    logs, mass = np.zeros((rows, lines)), np.full((rows, lines), np.nan)
    laws: list[Law] = []
    columns = [encoded.slot.column for encoded in encoder.slots]
    for line, (encoded, tree) in enumerate(zip(slots, trees, strict=False)):
        slot = encoded.slot
        left = None if slot.total is None else slot.total - values[:, [columns.index(c) for c in slot.spent]].sum(1)
        if slot.follows and left is not None:
            values[:, line] = left
            laws.append(np.where(np.asarray(slot.values)[None] == left[:, None], 0.0, -np.inf))
            continue
        found = reader.law(encoded.label, tree)[state_of]
        allowed = slot.allowed(left, rows)
        found = np.where(allowed, found, -np.inf)
        total = np.logaddexp.reduce(found, axis=1)
        law = tree.token_by_token(reader.steps(tree)[state_of], allowed) if token_by_token else found - total[:, None]
        chosen = choose(line, law, values)
        values[:, line] = np.asarray(slot.values)[chosen]
        logs[:, line], mass[:, line] = law[np.arange(rows), chosen], np.exp(total)
        laws.append(law)
        if any(not later.slot.follows for later in slots[line + 1 :]):
            state_of = _answered(reader, encoded.answers, tree, state_of, chosen)
    return FormLaw(values, logs, mass, tuple(laws))


def _answered(
    reader: FormReader,
    answers: Sequence[Tokens],
    tree: AnswerTree,
    state_of: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Tell the reader what was answered; participants who answered alike from one state stay together."""
    pairs, inverse = np.unique(np.stack([state_of, chosen], axis=1), axis=0, return_inverse=True)
    reader.answer(pairs[:, 0].tolist(), [answers[k] for k in pairs[:, 1]], tree.ways[torch.from_numpy(pairs[:, 1])])
    return np.asarray(inverse.reshape(-1), dtype=np.int64)
