"""Fine-tuning on a pilot sample: LoRA adapters, a loss on the answers only, settings chosen inside the pilot.

The learning rate and the number of epochs are chosen on the pilot's validation part by the held-out negative
log-likelihood of whole answers, in nats a person. Every candidate learning rate is trained for a first rung of epochs;
the best one then goes on (successive halving, Jamieson & Talwalkar 2016, with two rungs), and training stops when the
validation loss has not improved for ``patience`` epochs. What is kept is the state with the lowest validation loss,
which may be the model as it came.

In a step, the texts that the participants of a batch share are read once, and gradients flow back through them from
every participant. The loss and its gradient are those of participants read one by one.
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
from safetensors import SafetensorError

from pilotlm.answering.adapters import CARD
from pilotlm.answering.encoding import Encoder, Tokens
from pilotlm.answering.models import LanguageModel
from pilotlm.answering.reading import Reading
from pilotlm.answering.sampling import check_reading, given_law
from pilotlm.errors import InputError
from pilotlm.records import whole_folder, write_json
from pilotlm.responses import records
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
        for name in ("least_steps", "warmup"):
            if getattr(self, name) < 0:
                raise InputError(f"The tuning setting '{name}' must be at least 0, got {getattr(self, name)}.")
        if not self.learning_rates or not all(0 < rate < math.inf for rate in self.learning_rates):
            raise InputError(f"The learning rates must be numbers above 0, got {list(self.learning_rates)}.")

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
        The base model; its weights stay as they are, but the adapter is put into it: load it anew for anything else.
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

    Raises
    ------
    InputError
        If the model has an adapter already, or cannot be read in pieces (see `sampling.check_reading`).
    """
    if hasattr(language_model.model, "peft_config"):
        raise InputError(f"The model '{language_model.name}' has an adapter already; load it anew for another.")
    encoder = Encoder(study, language_model.tokenizer, with_persona)
    check_reading(language_model, encoder, pd.concat([train, validation]))
    trainer = _Trainer(language_model, encoder, train, validation, settings, seed)
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
    lacking = [name for name in ("adapter_config.json", "adapter_model.safetensors") if not (folder / name).is_file()]
    if lacking:
        raise InputError(f"The adapter in {folder} lacks {' and '.join(lacking)}; fine-tune again.")
    try:
        merged = PeftModel.from_pretrained(language_model.model, folder).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(
            f"The adapter in {folder} cannot be read ({str(error).splitlines()[0]}); fine-tune again."
        ) from None
    return replace(language_model, model=merged.eval())


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


def accumulate_gradient(model: Any, examples: Sequence[_Example], at_a_time: int = 2) -> float:
    """Add the gradient of the answers' mean cross-entropy to the adapter's weights; no other token counts.

    What the participants share is read once. The rows then read on from a copy of the cache, a few at a time, each
    leaving its gradient on the copy; at the end the sum goes back through what is shared. The result is the gradient
    of all participants at once, in less memory.

    Parameters
    ----------
    model : PeftModel
        With an adapter; gradients are added to those it has.
    examples : sequence of _Example
        The participants of a step.
    at_a_time : int
        How many rows are held in memory together, at least 1.

    Returns
    -------
    float
        The loss, in nats an answer token.
    """
    shared = _read_shared(model, examples)
    copy, roots, leaves = _detached(shared)
    tokens = sum(len(example.targets) for example in examples)
    total = 0.0
    for start in range(0, len(examples), at_a_time):
        rows = range(start, min(start + at_a_time, len(examples)))
        loss = _rows_loss(copy.take(list(rows)), [examples[row] for row in rows]) / tokens
        loss.backward()
        total += loss.item()
    torch.autograd.backward(roots, [leaf.grad for leaf in leaves])
    return total


def _read_shared(model: Any, examples: Sequence[_Example]) -> Reading:
    """Read the instructions once and each scenario once; the result has a row for each example."""
    scenarios = list(dict.fromkeys(example.pieces[1] for example in examples))
    reading = Reading(model)
    reading.read([examples[0].pieces[0]])
    reading = reading.take([0] * len(scenarios))
    reading.read(scenarios)
    return reading.take([scenarios.index(example.pieces[1]) for example in examples])


def _detached(reading: Reading) -> tuple[Reading, list[torch.Tensor], list[torch.Tensor]]:
    """A copy of a reading at which gradients stop, with the tensors of both, in the same order."""
    copy = Reading(reading.model, reading.rows)
    copy.seen, copy.position = reading.seen, reading.position
    roots, leaves = [], []
    for number, layer in enumerate(reading.cache.layers):
        pair = [tensor.detach().requires_grad_() for tensor in (layer.keys, layer.values)]
        roots += [layer.keys, layer.values]
        leaves += pair
        # Set, not updated: an update would put a concatenated copy in place of the leaf.
        copy.cache.update(*(leaf[:, :, :0] for leaf in pair), number)
        copy.cache.layers[number].keys, copy.cache.layers[number].values = pair
    return copy, roots, leaves


def _rows_loss(reading: Reading, examples: Sequence[_Example]) -> torch.Tensor:
    """The summed cross-entropy of the rows' answers."""
    own = [example.pieces[2] for example in examples]
    longest = max(len(row) for row in own)
    # Rows are padded on the left, so a token's column is counted from the right.
    columns = [[longest - len(row) + k for k in e.targets] for row, e in zip(own, examples, strict=True)]
    keep = sorted({column - 1 for row in columns for column in row})
    logits = reading.read(own, keep=torch.tensor(keep))
    rows = torch.tensor([number for number, row in enumerate(columns) for _ in row])
    places = torch.tensor([keep.index(column - 1) for row in columns for column in row])
    targets = torch.tensor([row[k] for row, e in zip(own, examples, strict=True) for k in e.targets])
    picked = logits[rows.to(logits.device), places.to(logits.device)]
    return torch.nn.functional.cross_entropy(picked.float(), targets.to(logits.device), reduction="sum")


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
        encoder: Encoder,
        train: pd.DataFrame,
        validation: pd.DataFrame,
        settings: TuningSettings,
        seed: int,
    ) -> None:
        self._encoder, self._validation = encoder, validation
        self._examples = [_example(encoder, person) for person in records(train)]
        self._settings, self._seed = settings, seed
        self._lm = language_model
        # Dropout, which some architectures have, would draw from a generator that is not the run's.
        self.model = _with_new_adapter(language_model.model, settings, seed).eval()
        self.steps_per_epoch = math.ceil(len(train) / settings.batch)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the adapter's weights."""
        return {name: weight.detach().clone() for name, weight in get_peft_model_state_dict(self.model).items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Put weights into the adapter."""
        set_peft_model_state_dict(self.model, state)

    def validate(self) -> float:
        """The validation loss in nats a person: whole answers, given the person's own earlier answers."""
        tuned = replace(self._lm, model=self.model)
        law = given_law(tuned, self._encoder, self._validation)
        return float(-law.log_probability.sum(axis=1).mean())

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
        losses = []
        for number, rows in enumerate(self._batches(candidate.epoch)):
            step = candidate.epoch * self.steps_per_epoch + number + 1
            for group in optimiser.param_groups:
                group["lr"] = candidate.learning_rate * min(1.0, step / max(1, self._settings.warmup))
            optimiser.zero_grad()
            loss = accumulate_gradient(self.model, [self._examples[row] for row in rows])
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss)
            counter.step(
                f"learning rate {candidate.learning_rate:g}, epoch {candidate.epoch + 1}, loss {losses[-1]:.3f}"
            )
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
