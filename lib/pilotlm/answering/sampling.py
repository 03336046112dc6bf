"""Answers from a language model, drawn from its distribution over whole valid answers.

For each line of the form, the probability of every valid answer is the product of its tokens' probabilities, the end
of the line included; all answers of a line are read in one pass, as a tree of tokens. The probabilities are then
divided by their sum, the valid mass, which is recorded. Later lines are conditional on the answers given before.

The tokens that participants of one treatment share are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pilotlm.answering.encoding import EncodedPrompt, Encoder, Tokens
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.reading import Branches, Reading
from pilotlm.errors import InputError
from pilotlm.responses import records, valid_mass_column
from pilotlm.study import Study

Progress = Callable[[int], object]
Choose = Callable[[int, NDArray[np.float64]], NDArray[np.int64]]
"""Takes the number of the line and (rows, answers) log-probabilities, and returns the answer chosen in each row."""
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Nats by which rounding alone may move the log-probability of an answer; see `check_reading`."""
_BESIDE = 8


@dataclass(frozen=True)
class AnswerTree:
    """The valid answers of a line as a tree of tokens; the root is the end of the line's label.

    Attributes
    ----------
    branches : Branches
        The tokens that at least one answer continues.
    edge_from : (edges,) int tensor
        For each step of an answer, the node that it leaves (0 is the root, k + 1 is branch k).
    edge_token : (edges,) int tensor
        The token that it takes.
    uses : (edges, answers) float64 tensor
        1 where an answer takes the step.
    """

    branches: Branches
    edge_from: torch.Tensor
    edge_token: torch.Tensor
    uses: torch.Tensor

    @classmethod
    def of(cls, answers: tuple[Tokens, ...]) -> AnswerTree:
        """Build the tree of some answers."""
        inner = sorted({answer[:k] for answer in answers for k in range(1, len(answer))}, key=lambda p: (len(p), p))
        edges = sorted({answer[: k + 1] for answer in answers for k in range(len(answer))}, key=lambda p: (len(p), p))
        node = {(): 0, **{path: k + 1 for k, path in enumerate(inner)}}
        uses = [[float(answer[: len(path)] == path) for answer in answers] for path in edges]
        return cls(
            Branches(inner),
            torch.tensor([node[path[:-1]] for path in edges]),
            torch.tensor([path[-1] for path in edges]),
            torch.tensor(uses, dtype=torch.float64),
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

    Raises
    ------
    InputError
        If the model cannot be read in pieces; see `check_reading`.
    """
    tables = []
    encoder = Encoder(study, language_model.tokenizer, with_persona)
    check_reading(language_model, encoder, people)
    for draw in range(draws):
        uniforms = row_uniforms(seed, people["participant"].to_numpy(), draw, len(encoder.slots))

        def choose(rows: NDArray[np.int64], uniforms: NDArray[np.float64] = uniforms) -> Choose:
            return lambda line, logs: draw_answers(logs / temperature, uniforms[rows, line])

        filled = fill_in(language_model, encoder, people, choose, batch, progress)
        tables.append(_answer_table(encoder, filled).assign(draw=draw))
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

    Raises
    ------
    InputError
        If the model cannot be read in pieces; see `check_reading`.
    """
    encoder = Encoder(study, language_model.tokenizer, with_persona)
    check_reading(language_model, encoder, people)
    return given_law(language_model, encoder, people, batch, progress).log_probability


def given_law(
    language_model: LanguageModel,
    encoder: Encoder,
    people: pd.DataFrame,
    batch: int = 32,
    progress: Progress | None = None,
) -> FormLaw:
    """Fill in the form with the answers that people gave; parameters as in `fill_in`."""
    given = np.array([[encoder.answer_index(s, value) for value in people[s.slot.column]] for s in encoder.slots]).T

    def choose(rows: NDArray[np.int64]) -> Choose:
        return lambda line, law: given[rows, line]

    return fill_in(language_model, encoder, people, choose, batch, progress)


def check_reading(language_model: LanguageModel, encoder: Encoder, people: pd.DataFrame) -> None:
    """Refuse a model that gives other probabilities when it is read in pieces.

    The longest text is read twice: as `fill_in` reads it, beside a longer row and with all answers tried, and alone in
    one pass. An attention that looks back a window shorter than the text, one that takes its places from the width of
    a row, and a memory that cannot be rolled back all give another result, most of them without an error.

    Parameters
    ----------
    language_model : LanguageModel
        The model.
    encoder : Encoder
        Of the study.
    people : DataFrame
        Participants, whose texts are compared by their number of characters.

    Raises
    ------
    InputError
        If the text is longer than the model reads, the model fails on pieces, or the log-probability of an answer is
        off by more than `TOLERANCE`.
    """
    prompt = encoder.prompt(max(records(people), key=lambda person: len(encoder.text(person))))
    name, study = language_model.name, encoder.study.name
    form = sum(len(asked.label) + max(map(len, asked.answers)) for asked in encoder.asked)
    needed = len(prompt.shared) + len(prompt.scenario) + len(prompt.persona) + form + _BESIDE
    most = getattr(language_model.model.config.get_text_config(), "max_position_embeddings", None) or needed
    if needed > most:
        raise InputError(f"The model '{name}' reads {most} tokens at most, and study '{study}' needs {needed}.")
    try:
        with torch.inference_mode():
            off = _difference(language_model, encoder, prompt)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        what = str(error).strip().split("\n")[0]
        raise InputError(f"The model '{name}' cannot be read in pieces ({type(error).__name__}: {what}).") from None
    if not off <= TOLERANCE[language_model.model.dtype]:
        raise InputError(
            f"The model '{name}' cannot be used on study '{study}': read in pieces it moves the log-probability of an "
            f"answer by {off:.2g} nats; take one in which every token attends to all of the text before it."
        )


def _difference(language_model: LanguageModel, encoder: Encoder, prompt: EncodedPrompt) -> float:
    """The largest difference between the two ways of reading in the log-probability of an answer, in nats."""
    law, trees = _blank(2, encoder)
    ranks = [_ranks(slot.answers) for slot in encoder.slots]
    prefix = Reading(language_model.model)
    prefix.read([prompt.shared])
    prefix.read([prompt.scenario])
    personas = [prompt.persona, prompt.persona + prompt.persona[-_BESIDE:]]

    def choose(line: int, logp: NDArray[np.float64]) -> NDArray[np.int64]:
        last: NDArray[np.int64] = np.where(np.isfinite(logp), ranks[line], -1).argmax(axis=1)
        return last

    _fill_rows(prefix.take([0, 0]), personas, encoder, trees, np.arange(2), choose, law)
    text, places = [*prompt.shared, *prompt.scenario, *prompt.persona], []
    asked = [line for line, encoded in enumerate(encoder.slots) if not encoded.slot.follows]
    for line in asked:
        encoded = encoder.slots[line]
        answer = encoded.answers[encoder.answer_index(encoded, law.values[0, line])]
        text += encoded.label
        places.append(torch.arange(len(text), len(text) + len(answer)))
        text += answer
    tokens = torch.tensor(text)
    # A token's probability stands at the token before it.
    keep = (torch.cat(places) - 1).to(language_model.device)
    output = language_model.model(input_ids=tokens[None].to(language_model.device), logits_to_keep=keep)
    steps = output.logits[0].cpu().double().log_softmax(-1).gather(1, tokens[torch.cat(places), None])
    whole = np.array([part.sum().item() for part in steps.split([len(place) for place in places])])
    pieces = law.log_probability[0, asked] + np.log(law.valid_mass[0, asked])
    return float(np.abs(pieces - whole).max())


def _ranks(answers: tuple[Tokens, ...]) -> NDArray[np.int64]:
    """The place of each answer in its tree: the branches of the last one stand farthest from the text."""
    order = sorted(range(len(answers)), key=lambda k: (len(answers[k]), answers[k]))
    return np.argsort(order)


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
    return np.asarray(np.minimum(chosen, last))


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
    law, trees = _blank(len(people), encoder)
    with torch.inference_mode():
        for rows, personas, prefix in _batches(language_model, encoder, people, batch):
            _fill_rows(prefix.take([0] * len(rows)), personas, encoder, trees, rows, choose(rows), law)
            if progress:
                progress(len(rows))
    return law


def _blank(rows: int, encoder: Encoder) -> tuple[FormLaw, list[AnswerTree]]:
    """A law to be written, and the tree of each line."""
    shape = (rows, len(encoder.slots))
    law = FormLaw(np.zeros(shape, dtype=np.int64), np.zeros(shape), np.full(shape, np.nan))
    return law, [AnswerTree.of(slot.answers) for slot in encoder.slots]


def _fill_rows(
    reading: Reading,
    unread: list[Tokens],
    encoder: Encoder,
    trees: list[AnswerTree],
    rows: NDArray[np.int64],
    choose: Choose,
    law: FormLaw,
) -> None:
    columns = [encoded.slot.column for encoded in encoder.slots]
    for line, (encoded, tree) in enumerate(zip(encoder.slots, trees, strict=True)):
        slot = encoded.slot
        earlier = law.values[rows][:, [columns.index(column) for column in slot.spent]]
        left = None if slot.total is None else slot.total - earlier.sum(axis=1)
        if slot.follows and left is not None:
            law.values[rows, line] = left
            continue
        logits = reading.read([tokens + encoded.label for tokens in unread], branches=tree.branches)
        logp = tree.log_probabilities(logits.cpu()).numpy()
        logp = np.where(slot.allowed(left, len(rows)), logp, -np.inf)
        mass = np.logaddexp.reduce(logp, axis=1)
        chosen = choose(line, logp - mass[:, None])
        law.values[rows, line] = np.asarray(slot.values)[chosen]
        law.log_probability[rows, line] = (logp - mass[:, None])[np.arange(len(rows)), chosen]
        law.valid_mass[rows, line] = np.exp(mass)
        unread = [encoded.answers[k] for k in chosen]


def _batches(
    language_model: LanguageModel, encoder: Encoder, people: pd.DataFrame, batch: int
) -> Iterator[tuple[NDArray[np.int64], list[Tokens], Reading]]:
    """Rows of one treatment at a time, with what they share already read."""
    shared = Reading(language_model.model)
    prompts = [encoder.prompt(person) for person in records(people)]
    shared.read([prompts[0].shared])
    for treatment in people["treatment"].unique():
        rows = np.flatnonzero(people["treatment"] == treatment)
        prefix = shared.take([0])
        prefix.read([prompts[rows[0]].scenario])
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            yield some, [prompts[row].persona for row in some], prefix


def _answer_table(encoder: Encoder, law: FormLaw) -> pd.DataFrame:
    columns = {encoded.slot.column: law.values[:, k] for k, encoded in enumerate(encoder.slots)}
    masses = {
        valid_mass_column(encoded.slot.column): law.valid_mass[:, k]
        for k, encoded in enumerate(encoder.slots)
        if not encoded.slot.follows
    }
    return pd.DataFrame({**columns, **masses})
