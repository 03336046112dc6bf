"""Fine-tuning on a pilot sample: LoRA adapters, a loss on the answers only, settings chosen inside the pilot.

The learning rate and the number of epochs are chosen on the pilot's validation part by the held-out negative
log-likelihood of whole answers, in nats a person. Every candidate learning rate is trained for a first rung of epochs;
the best one then goes on (successive halving, Jamieson & Talwalkar 2016, with two rungs), and training stops when the
validation loss has not improved for ``patience`` epochs. What is kept is the state with the lowest validation loss,
which may be the model as it came.

In a step, the tokens that the participants of a batch share are read once: the batch is one sequence in which each
participant sees the shared texts and itself. The loss and its gradient are those of participants read one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from pilotlm.answering.adapters import CARD
from pilotlm.answering.encoding import Encoder, Tokens
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.sampling import additive_mask, log_likelihood
from pilotlm.errors import InputError
from pilotlm.records import whole_folder, write_json
from pilotlm.study import Study


History = list[dict[str, float]]


@dataclass(frozen=True)
class TuningSettings:
    """How an adapter is trained.

    Attributes
    ----------
    learning_rates : tuple of float
        The candidates, above 0.
    epochs : int
        The most passes over the training part.
    least_steps : int
        A small pilot is given more epochs, up to this number of steps in all.
    patience : int
        Epochs without a better validation loss before training stops.
    batch : int
        Participants a step.
    rank, alpha : int
        Of the adapter; it is on all linear layers.
    warmup : int
        Steps in which the learning rate rises; it is constant afterwards.
    """

    learning_rates: tuple[float, ...] = (3e-4, 1e-3)
    epochs: int = 4
    least_steps: int = 24
    patience: int = 2
    batch: int = 8
    rank: int = 16
    alpha: int = 32
    warmup: int = 3

    def __post_init__(self) -> None:
        positive = {k: v for k, v in asdict(self).items() if k not in ("learning_rates", "warmup", "least_steps")}
        for name, value in positive.items():
            if value < 1:
                raise InputError(f"The tuning setting '{name}' must be at least 1, got {value}.")
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise InputError(f"The learning rates must be above 0, got {list(self.learning_rates)}.")

    def epochs_for(self, rows: int) -> int:
        """The most epochs for a training part of that many rows."""
        return max(self.epochs, math.ceil(self.least_steps / math.ceil(rows / self.batch)))

    def first_rung(self, rows: int) -> int:
        """The epochs that every candidate is given: a third of all."""
        return math.ceil(self.epochs_for(rows) / 3)


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned model and how it came to be.

    Attributes
    ----------
    model : PeftModel
        With the adapter that was kept.
    learning_rate : float
        The one chosen.
    epochs : int
        The number of epochs kept; 0 is the model as it came.
    validation_nll : float
        Of the state kept, in nats a person.
    history : DataFrame
        One row a learning rate and epoch: ``learning_rate``, ``epoch``, ``train_loss`` (nats an answer token, mean
        over the epoch), ``validation_nll`` (nats a person).
    """

    model: PeftModel
    learning_rate: float
    epochs: int
    validation_nll: float
    history: pd.DataFrame


def fine_tune(
    language_model: LanguageModel,
    study: Study,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    settings: TuningSettings,
    seed: int,
    *,
    with_persona: bool = True,
    progress: Callable[[str, int, int], object] | None = None,
) -> Tuned:
    """Train an adapter on a pilot.

    Parameters
    ----------
    language_model : LanguageModel
        The base model; its weights stay as they are.
    study : Study
        The study.
    train, validation : DataFrame
        The two parts of the pilot, with their answers.
    settings : TuningSettings
        How.
    seed : int
        Decides the adapter's first weights and the order of the rows.
    with_persona : bool
        Whether the prompt says who the participant is.
    progress : callable, optional
        Called after each step with what is going on, steps done and steps in all.

    Returns
    -------
    Tuned
    """
    trainer = _Trainer(language_model, study, train, validation, settings, seed, with_persona)
    start = trainer.validate()
    candidates = [_Candidate.at_start(rate, start, trainer.state()) for rate in settings.learning_rates]
    rung, last = settings.first_rung(len(train)), settings.epochs_for(len(train))
    total = trainer.steps_per_epoch * (rung * len(candidates) + last - rung)
    counter = _Counter(total, progress)
    for candidate in candidates:
        trainer.train(candidate, rung, counter)
    best = min(candidates, key=lambda candidate: candidate.best_nll)
    trainer.train(best, last, counter)
    trainer.load(best.best_state)
    history = pd.DataFrame([row for candidate in candidates for row in candidate.history])
    return Tuned(trainer.model, best.learning_rate, best.best_epoch, best.best_nll, history)


def save_adapter(tuned: Tuned, folder: Path, language_model: LanguageModel, facts: dict[str, Any]) -> None:
    """Write an adapter with its card, whole.

    Parameters
    ----------
    tuned : Tuned
        What to write.
    folder : Path
        Where.
    language_model : LanguageModel
        The base model; the adapter fits no other.
    facts : dict
        What else the card says: study, arm, seed, the pilot's checksum, settings.
    """
    card = {
        "base_model": language_model.name,
        "base_revision": language_model.revision,
        "learning_rate": tuned.learning_rate,
        "epochs": tuned.epochs,
        "validation_nll": tuned.validation_nll,
        **facts,
    }
    with whole_folder(folder) as temporary:
        tuned.model.save_pretrained(temporary, safe_serialization=True)
        tuned.history.to_csv(temporary / "history.csv", index=False, lineterminator="\n")
        write_json(temporary / CARD, card)
        (temporary / "README.md").write_text(_card_text(card), encoding="utf-8")


def with_adapter(language_model: LanguageModel, folder: Path, card: dict[str, Any]) -> LanguageModel:
    """The base model with an adapter merged into its weights.

    Parameters
    ----------
    language_model : LanguageModel
        The base model; it is changed in place, so load it anew for another adapter.
    folder : Path
        Where the adapter lies.
    card : dict
        Its card.

    Returns
    -------
    LanguageModel

    Raises
    ------
    InputError
        If the adapter was trained on another model or revision.
    """
    asked, trained = (language_model.name, language_model.revision), (card["base_model"], card["base_revision"])
    if asked != trained:
        raise InputError(
            f"The adapter in {folder} was trained on {trained[0]} at {trained[1]}, not on {asked[0]} at {asked[1]}; "
            "fine-tune again or ask for its own base model."
        )
    try:
        merged = PeftModel.from_pretrained(language_model.model, folder).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"The adapter in {folder} cannot be read ({str(error).splitlines()[0]}); fine-tune again.") from None
    return replace(language_model, model=merged.eval())


def packed(rows: Sequence[tuple[Tokens, ...]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]:
    """Put rows that share their first pieces into one sequence that holds each shared piece once.

    Parameters
    ----------
    rows : sequence of tuples of token tuples
        Each row is a few pieces; two rows share a piece when it and all pieces before it are equal.

    Returns
    -------
    tokens : (length,) int tensor
        The sequence.
    positions : (length,) int tensor
        The place of each token in its own row.
    sees : (length, length) bool tensor
        Which tokens each token may see: those before it in its own row.
    starts : list of int
        Where the last piece of each row starts in the sequence.
    """
    places: dict[tuple[Tokens, ...], tuple[int, int]] = {}
    tokens: list[int] = []
    positions: list[int] = []
    ancestors: list[tuple[tuple[int, int], ...]] = []
    starts = []
    for number, row in enumerate(rows):
        before: tuple[tuple[int, int], ...] = ()
        for k, piece in enumerate(row):
            last = k == len(row) - 1
            # The last piece is the row's own even when two rows are equal.
            key = (*row[: k + 1], (number,)) if last else row[: k + 1]
            if key not in places:
                places[key] = (len(tokens), len(tokens) + len(piece))
                offset = sum(end - start for start, end in before)
                positions += range(offset, offset + len(piece))
                tokens += piece
                ancestors += [before] * len(piece)
            if last:
                starts.append(places[key][0])
            before = (*before, places[key])
    sees = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    for start, end in places.values():
        sees[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        for first, stop in ancestors[start]:
            sees[start:end, first:stop] = True
    return torch.tensor(tokens), torch.tensor(positions), sees, starts


@dataclass(frozen=True)
class _Example:
    """A participant's tokens: the pieces of the prompt, the last one with the form filled in.

    ``targets`` are the places of the answers' tokens within the last piece.
    """

    pieces: tuple[Tokens, ...]
    targets: tuple[int, ...]


def _example(encoder: Encoder, person: dict[str, Any]) -> _Example:
    prompt = encoder.prompt(person)
    own = list(prompt.persona)
    targets: list[int] = []
    for encoded in encoder.asked:
        own += encoded.label
        answer = encoded.answers[encoder.answer_index(encoded, person[encoded.slot.column])]
        targets += range(len(own), len(own) + len(answer))
        own += answer
    return _Example((prompt.shared, prompt.scenario, tuple(own)), tuple(targets))


def answer_loss(model: torch.nn.Module, examples: Sequence[_Example]) -> torch.Tensor:
    """The mean cross-entropy of the answers' tokens, in nats a token; no other token counts."""
    tokens, positions, sees, starts = packed([example.pieces for example in examples])
    places = torch.tensor([start + k for start, e in zip(starts, examples, strict=True) for k in e.targets])
    device = next(model.parameters()).device
    output = model(
        input_ids=tokens[None].to(device),
        attention_mask=additive_mask(sees[None], next(model.parameters()).dtype).to(device),
        position_ids=positions[None].to(device),
        use_cache=False,
        logits_to_keep=(places - 1).to(device),
    )
    return torch.nn.functional.cross_entropy(output.logits[0].float(), tokens[places].to(device))


@dataclass
class _Candidate:
    """A learning rate on its way: where its training stands, and the best state so far."""

    learning_rate: float
    state: dict[str, torch.Tensor]
    best_nll: float
    best_state: dict[str, torch.Tensor]
    history: History
    optimiser: dict[str, Any] | None = None
    best_epoch: int = 0
    epoch: int = 0

    @classmethod
    def at_start(cls, learning_rate: float, nll: float, state: dict[str, torch.Tensor]) -> _Candidate:
        row = {"learning_rate": learning_rate, "epoch": 0, "train_loss": math.nan, "validation_nll": nll}
        return cls(learning_rate, state, nll, state, [row])


class _Counter:
    """Counts steps for the progress bar."""

    def __init__(self, total: int, progress: Callable[[str, int, int], object] | None) -> None:
        self.total, self.done, self.progress = total, 0, progress

    def step(self, what: str) -> None:
        self.done += 1
        if self.progress:
            self.progress(what, self.done, self.total)


class _Trainer:
    """The model with an adapter, and the two parts of the pilot."""

    def __init__(
        self,
        language_model: LanguageModel,
        study: Study,
        train: pd.DataFrame,
        validation: pd.DataFrame,
        settings: TuningSettings,
        seed: int,
        with_persona: bool,
    ) -> None:
        encoder = Encoder(study, language_model.tokenizer, with_persona)
        self._examples = [_example(encoder, person) for person in train.to_dict("records")]
        self._study, self._validation, self._with_persona = study, validation, with_persona
        self._settings, self._seed = settings, seed
        self._lm = language_model
        self.model = _with_new_adapter(language_model.model, settings, seed)
        self.steps_per_epoch = math.ceil(len(train) / settings.batch)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the adapter's weights."""
        return {name: weight.detach().clone() for name, weight in get_peft_model_state_dict(self.model).items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Put weights into the adapter."""
        set_peft_model_state_dict(self.model, state)

    def validate(self) -> float:
        """The validation loss in nats a person: whole answers, given the person's own earlier answers."""
        self.model.eval()
        tuned = replace(self._lm, model=self.model)
        law = log_likelihood(tuned, self._study, self._validation, with_persona=self._with_persona)
        return float(-law.sum(axis=1).mean())

    def train(self, candidate: _Candidate, until: int, counter: _Counter) -> None:
        """Train a candidate up to an epoch, or until its validation loss has stopped falling."""
        self.load(candidate.state)
        optimiser = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=candidate.learning_rate, weight_decay=0.0
        )
        if candidate.optimiser:
            optimiser.load_state_dict(candidate.optimiser)
        while candidate.epoch < until and candidate.epoch - candidate.best_epoch < self._settings.patience:
            loss = self._epoch(candidate, optimiser, counter)
            candidate.epoch += 1
            nll = self.validate()
            row = {"epoch": candidate.epoch, "train_loss": loss, "validation_nll": nll}
            candidate.history.append({"learning_rate": candidate.learning_rate, **row})
            if nll < candidate.best_nll:
                candidate.best_nll, candidate.best_epoch, candidate.best_state = nll, candidate.epoch, self.state()
        candidate.state, candidate.optimiser = self.state(), optimiser.state_dict()

    def _epoch(self, candidate: _Candidate, optimiser: torch.optim.Optimizer, counter: _Counter) -> float:
        self.model.train()
        losses = []
        for number, rows in enumerate(self._batches(candidate.epoch)):
            step = candidate.epoch * self.steps_per_epoch + number + 1
            for group in optimiser.param_groups:
                group["lr"] = candidate.learning_rate * min(1.0, step / max(1, self._settings.warmup))
            loss = answer_loss(self.model, [self._examples[row] for row in rows])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
            counter.step(f"learning rate {candidate.learning_rate:g}, epoch {candidate.epoch + 1}, loss {losses[-1]:.3f}")
        return float(np.mean(losses))

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._examples))
        for start in range(0, len(order), self._settings.batch):
            yield order[start : start + self._settings.batch]


def _with_new_adapter(model: Any, settings: TuningSettings, seed: int) -> PeftModel:
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)  # type: ignore[return-value]


def _card_text(card: dict[str, Any]) -> str:
    lines = "\n".join(f"- {key}: {value}" for key, value in sorted(card.items()))
    return (
        "# Adapter\n\nA LoRA adapter fine-tuned on a pilot sample. It holds what it learnt of these people's answers: "
        f"treat it as you treat the data.\n\n{lines}\n"
    )
