"""Answers from a language model that writes the form as free text, token by token, read by a strict parser.

This is the law of papers that let a model write and parse what comes. It differs from `pilotlm.answering.sampling` in
two ways: the model may write anything, so that a form can fail and a participant can be lost; and what it may write
next is never narrowed to valid answers. A form that fails is counted with its reason, and nothing is repaired.

The labels of the lines are written by the model too, or they are given and it writes the answers alone. A model that
was fine-tuned here has learned from answers behind given labels only (`pilotlm.answering.tuning`), so that it does not
know that it should write labels.

Tokens are drawn by inverting the distribution function of the model's next token, without truncation (no top-k, no
top-p), from a counter-based generator (Salmon, Moraes, Dror & Shaw 2011, doi:10.1145/2063384.2063405) of each row's
own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pilotlm.answering.attention import attending
from pilotlm.answering.drawing import draw_answers
from pilotlm.answering.encoding import Encoder, Tokens
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.reading import Reading
from pilotlm.answering.respondent import Progress, Respondent
from pilotlm.errors import InputError
from pilotlm.instrument.parsing import FailedForm, Rule, parse_form
from pilotlm.responses import records, valid_mass_column

Labels = Literal["written", "given"]
QUOTED = 40
"""A wrong line is written on to this many characters, so that the record shows what stood there."""
_FAILURE = ("participant", "draw", "attempt", "line", "column", "rule", "stood")


@dataclass(frozen=True)
class WrittenForm:
    """What a model wrote for one participant.

    Attributes
    ----------
    tokens : tuple of int
        What it wrote, labels that were given included, without the token that ends a text.
    text : str
        The same as text; special tokens are written out.
    ended : bool
        Whether the text ended there, and was not stopped.
    read : tuple of int or FailedForm
        The value of each line, or why it is not a form.
    """

    tokens: Tokens
    text: str
    ended: bool
    read: tuple[int, ...] | FailedForm

    @property
    def failed(self) -> bool:
        """Whether it is not a form."""
        return isinstance(self.read, FailedForm)

    @property
    def unfinished(self) -> bool:
        """Whether more text could still make it a form."""
        return isinstance(self.read, FailedForm) and self.read.rule is Rule.UNFINISHED

    @property
    def goes_on(self) -> bool:
        """Whether more text is wanted."""
        if self.unfinished or not isinstance(self.read, FailedForm):
            return self.unfinished
        stood = self.read.stood
        return not self.ended and self.text.endswith(stood) and 0 < len(stood) < QUOTED


@dataclass(frozen=True)
class Generated:
    """Answers from forms that could be read, and what failed.

    Attributes
    ----------
    answers : DataFrame
        The table of `pilotlm.answering.sampling.simulate`, with the rows whose form could be read. The valid masses
        are missing: this law does not know them.
    kept : (people * draws,) bool array
        Which rows of that table there are; the draws of a participant stand together.
    failures : DataFrame
        One row a form that failed, those of attempts that were made good later included: ``participant``, ``draw``,
        ``attempt``, ``line``, ``column``, ``rule`` and ``stood`` (see `pilotlm.instrument.parsing.FailedForm`).
    """

    answers: pd.DataFrame
    kept: NDArray[np.bool_]
    failures: pd.DataFrame

    def packed(self) -> pd.DataFrame:
        """All of it as one table, to be kept in a file; see `unpacked`."""
        rows = pd.DataFrame({"kept": self.kept.astype(float)})
        return (
            pd.concat([rows, self.answers, self.failures], keys=["row", "answer", "failure"], names=["kind", None])
            .reset_index("kind")
            .reset_index(drop=True)
        )

    @classmethod
    def unpacked(cls, table: pd.DataFrame) -> Generated:
        """What `packed` made a table of; several such tables may stand behind one another."""
        kind = table["kind"]
        names = [name for name in table.columns if name not in {"kind", "kept", *_FAILURE} - {"draw"}]
        answers = table.loc[kind == "answer", names]
        whole = {name: np.int64 for name in names if not name.startswith(valid_mass_column(""))}
        failures = table.reindex(columns=list(_FAILURE))[kind == "failure"]
        numbers = {name: np.int64 for name in ("participant", "draw", "attempt", "line")}
        return cls(
            answers.astype(whole).reset_index(drop=True),
            table.loc[kind == "row", "kept"].to_numpy().astype(bool),
            failures.astype(numbers).reset_index(drop=True),
        )

    def facts(self) -> dict[str, Any]:
        """What the manifest says: how many forms were written and failed, how many rows were lost, and why."""
        return {
            "forms_written": int(self.kept.sum()) + len(self.failures),
            "forms_failed": len(self.failures),
            "rows_lost": int((~self.kept).sum()),
            "failed_by_rule": {
                str(rule): {str(column): int(n) for column, n in broken["column"].value_counts(sort=False).items()}
                for rule, broken in self.failures.groupby("rule")
            },
        }


def generate_answers(
    answering: Respondent,
    people: pd.DataFrame,
    seed: int,
    *,
    draws: int = 1,
    temperature: float = 1.0,
    batch: int = 32,
    attempts: int = 1,
    labels: Labels = "written",
    progress: Progress | None = None,
) -> Generated:
    """Let a model write the form as the given people, and keep the forms that can be read.

    A row depends on the model and on (seed, participant, draw, attempt). With more attempts a row tends to the model's
    law given that its form is valid (rejection sampling); with few, rows are lost, and not at random: who is lost
    depends on the persona and on what the model was about to answer.

    Parameters
    ----------
    answering : Respondent
        Who answers.
    people : DataFrame
        Participants: ``participant``, ``treatment`` and the persona fields.
    seed : int
        The seed of the run.
    draws : int
        How many times each participant is simulated.
    temperature : float
        Divides the logits of the next token; 0 always takes the likeliest token. At least 0.
    batch : int
        How many participants write at a time.
    attempts : int
        How often a form is written, at most, until one can be read; at least 1.
    labels : {"written", "given"}
        Whether the model writes the lines' labels too, or each line's label is put there and it writes the answer.
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Returns
    -------
    Generated

    Raises
    ------
    InputError
        If the temperature or the number of attempts is out of range, more than one attempt is asked for at
        temperature 0, the model has too few places, or it cannot be read in pieces.
    """
    _check_settings(temperature, attempts, labels)
    encoder = answering.encoder
    if answering.plain:
        raise InputError(f"The model '{answering.language_model.name}' cannot be read in pieces; use the law 'whole'.")
    _check_room(answering.language_model, encoder, people)
    rows = people.iloc[np.repeat(np.arange(len(people)), draws)]
    draw = np.tile(np.arange(draws), len(people))
    latest: dict[int, WrittenForm] = {}
    failures: list[dict[str, Any]] = []
    for attempt in range(attempts):
        left = [row for row in range(len(rows)) if row not in latest or latest[row].failed]
        some = rows.iloc[left]
        uniforms = token_uniforms(seed, some["participant"].to_numpy(), draw[left], attempt, longest_form(encoder))
        counted = _finished_rows(progress, last=attempt + 1 == attempts)
        written = write_forms(answering, some, uniforms, temperature, batch, labels, counted)
        latest.update(zip(left, written, strict=True))
        failures += _failures(some["participant"], draw[left], attempt, written)
    forms = [latest[row] for row in range(len(rows))]
    return Generated(*_answer_table(encoder, forms, draw), pd.DataFrame(failures, columns=list(_FAILURE)))


def write_forms(
    answering: Respondent,
    people: pd.DataFrame,
    uniforms: NDArray[np.float64],
    temperature: float = 1.0,
    batch: int = 32,
    labels: Labels = "written",
    done: Callable[[list[WrittenForm]], object] | None = None,
) -> list[WrittenForm]:
    """Let a model write one form for each of some people.

    A row stops where its text is a form, where a line of it is wrong (and long enough to be recognised, see `QUOTED`),
    where the model ends it, or where its uniform numbers are used up.

    Parameters
    ----------
    answering : Respondent
        Who writes.
    people : DataFrame
        Participants.
    uniforms : (people, tokens) array
        In [0, 1): what decides each token; at temperature 0 only their number counts.
    temperature, batch, labels
        As in `generate_answers`.
    done : callable, optional
        Called with the forms of each batch.

    Returns
    -------
    list of WrittenForm
        In the order of ``people``.
    """
    if not len(people):
        return []
    writer = _Writer(answering.encoder, _ends(answering.language_model), temperature, labels)
    forms: dict[int, WrittenForm] = {}
    with torch.inference_mode(), attending(answering.language_model.model):
        for rows, reading, unread in answering.readings(people, batch):
            written = writer.write(reading, unread, uniforms[rows])
            forms.update(zip(rows.tolist(), written, strict=True))
            if done:
                done(written)
    return [forms[row] for row in range(len(people))]


def token_uniforms(
    seed: int, participants: NDArray[np.int64], draws: NDArray[np.int64], attempt: int, tokens: int
) -> NDArray[np.float64]:
    """Uniform numbers that depend on (seed, participant, draw, attempt) alone, one a token."""
    keys = [[seed, int(person), int(draw), attempt] for person, draw in zip(participants, draws, strict=True)]
    rows = [np.random.Generator(np.random.Philox(np.random.SeedSequence(key))).random(tokens) for key in keys]
    return np.array(rows).reshape(len(participants), tokens)


def longest_form(encoder: Encoder) -> int:
    """The most tokens that a valid form has when it is encoded as in training, all lines written out.

    A model can spell a form in more tokens than its tokenizer would; such a form is cut off and counted as unfinished.
    """
    return sum(len(encoded.label) + max(map(len, encoded.answers)) for encoded in encoder.slots)


@dataclass(frozen=True)
class _Writer:
    """Writes forms of one study, some rows at a time."""

    encoder: Encoder
    ends: frozenset[int]
    temperature: float
    labels: Labels

    def write(self, reading: Reading, unread: list[Tokens], uniforms: NDArray[np.float64]) -> list[WrittenForm]:
        """Go on from a reading, a row of which has still to read its ``unread`` tokens."""
        forms = [self._labelled(self._form((), ended=False)) for _ in unread]
        unread = [tokens + form.tokens for tokens, form in zip(unread, forms, strict=True)]
        active = np.arange(len(unread))
        for step in range(uniforms.shape[1]):
            logits = reading.read(unread)[:, -1]
            before = [len(forms[row].tokens) for row in active]
            for row, token in zip(active, self._next(logits, uniforms[active, step]), strict=True):
                forms[row] = self._after(forms[row], token)
            going = [place for place, row in enumerate(active) if forms[row].goes_on]
            if not going:
                break
            unread = [forms[active[place]].tokens[before[place] :] for place in going]
            if len(going) < len(active):
                reading, active = reading.take(going), active[going]
        return forms

    def _after(self, form: WrittenForm, token: int) -> WrittenForm:
        if token in self.ends:
            return self._form(form.tokens, ended=True)
        return self._labelled(self._form((*form.tokens, token), ended=False))

    def _labelled(self, form: WrittenForm) -> WrittenForm:
        """The form with the label of the next line, where labels are given and a line is due."""
        read = form.read
        if self.labels == "written" or not isinstance(read, FailedForm) or not form.unfinished or read.stood:
            return form
        left = [encoded for encoded in self.encoder.slots[read.line - 1 :] if not encoded.slot.follows]
        # What follows from other answers has no label to be given, so a form that ends with it is whole.
        return self._form(form.tokens + left[0].label, ended=False) if left else self._form(form.tokens, ended=True)

    def _form(self, tokens: Tokens, ended: bool) -> WrittenForm:
        tokenizer, slots = self.encoder.tokenizer, [encoded.slot for encoded in self.encoder.slots]
        # Special tokens stay, so that a form with one inside fails.
        text = tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return WrittenForm(tokens, str(text), ended, parse_form(slots, str(text), ended))

    def _next(self, logits: torch.Tensor, uniforms: NDArray[np.float64]) -> list[int]:
        """The next token of each row."""
        if self.temperature == 0:
            return [int(token) for token in logits.argmax(dim=-1)]
        law = logits.cpu().double().numpy()
        law = (law - law.max(axis=1, keepdims=True)) / self.temperature
        return [int(token) for token in draw_answers(law, uniforms)]


def _check_settings(temperature: float, attempts: int, labels: str) -> None:
    if labels not in get_args(Labels):
        raise InputError(f"The labels of a form cannot be '{labels}'; allowed: {', '.join(get_args(Labels))}.")
    if not (np.isfinite(temperature) and temperature >= 0):
        raise InputError(f"The temperature is {temperature}; allowed: 0 (always the likeliest token) or more.")
    if attempts < 1:
        raise InputError(f"The number of attempts is {attempts}; allowed: 1 or more.")
    if temperature == 0 and attempts > 1:
        raise InputError(
            f"At temperature 0 each of the {attempts} attempts writes the same text; allowed: 1 attempt, or a "
            "temperature above 0."
        )


def _check_room(language_model: LanguageModel, encoder: Encoder, people: pd.DataFrame) -> None:
    """Refuse a model whose places end before the longest form does."""
    prompts = [encoder.prompt(person) for person in records(people)]
    longest = max(len(prompt.shared) + len(prompt.scenario) + len(prompt.persona) for prompt in prompts)
    needed = longest + longest_form(encoder)
    most = getattr(language_model.model.config.get_text_config(), "max_position_embeddings", None) or needed
    if needed > most:
        raise InputError(
            f"The model '{language_model.name}' reads {most} tokens at most, and study '{encoder.study.name}' needs "
            f"{needed} for a written form."
        )


def _ends(language_model: LanguageModel) -> frozenset[int]:
    """The tokens that end a text: those of the tokenizer, of the model, and of its settings for generation."""
    told = [
        language_model.tokenizer.eos_token_id,
        getattr(language_model.model.config.get_text_config(), "eos_token_id", None),
        getattr(language_model.model.generation_config, "eos_token_id", None),
    ]
    return frozenset(int(token) for ends in told if ends is not None for token in np.atleast_1d(ends))


def _finished_rows(progress: Progress | None, last: bool) -> Callable[[list[WrittenForm]], object] | None:
    """Count the rows that will not be written again."""
    if progress is None:
        return None
    return lambda forms: progress(sum(last or not form.failed for form in forms))


def _failures(
    participants: pd.Series, draws: NDArray[np.int64], attempt: int, forms: list[WrittenForm]
) -> list[dict[str, Any]]:
    """A row of `Generated.failures` for each form that failed."""
    return [
        {"participant": participant, "draw": int(draw), "attempt": attempt}
        | asdict(form.read)
        | {"rule": form.read.rule.value}
        for participant, draw, form in zip(participants, draws, forms, strict=True)
        if isinstance(form.read, FailedForm)
    ]


def _answer_table(
    encoder: Encoder, forms: list[WrittenForm], draw: NDArray[np.int64]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """The answers of the forms that could be read, and which those are."""
    read = [form.read for form in forms if not isinstance(form.read, FailedForm)]
    kept = np.array([not form.failed for form in forms], dtype=bool)
    columns = [encoded.slot.column for encoded in encoder.slots]
    values = np.array(read, dtype=np.int64).reshape(len(read), len(columns))
    masses = [valid_mass_column(encoded.slot.column) for encoded in encoder.asked]
    return pd.DataFrame(values, columns=columns).assign(**dict.fromkeys(masses, np.nan), draw=draw[kept]), kept
