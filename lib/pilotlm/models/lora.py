"""Fine-tuning on a pilot sample: LoRA adapters, a loss on the answers only, settings chosen inside the pilot.

The learning rate and the number of epochs are chosen on the pilot's validation part by the negative log-likelihood of
whole answers, in nats a person. Every candidate learning rate is trained for a first rung of epochs; the best one goes
on (successive halving, Jamieson & Talwalkar 2016, with two rungs) until the validation loss has not improved for
``patience`` epochs. The state with the lowest validation loss is kept, which may be the model as it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from pilotlm.data.prompts import USUAL, Wording, prompt_sha256
from pilotlm.errors import InputError
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import LanguageModel, fingerprint
from pilotlm.models.loss import accumulate_gradient, accumulate_plainly, example_of
from pilotlm.models.prefix_cache import attending
from pilotlm.models.simulate import Respondent, given_distributions, respondent
from pilotlm.randomness import numbered
from pilotlm.records import table_sha256, whole_file
from pilotlm.responses import records
from pilotlm.stages import FineTuneParameters, Schedule
from pilotlm.study import Study

SCHEDULES = get_args(Schedule)
_DEFAULT = FineTuneParameters()
TrainingProgress = Callable[[str, int, int], object]


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
        Steps in which the learning rate rises.
    schedule : {"constant", "cosine"}
        What it does afterwards: stay, or fall along half a cosine that reaches 0 at the last step of all epochs.
    at_a_time : int
        Participants of a step whose gradients are computed together; the others are added, so it bounds the memory and
        changes nothing else.
    """

    learning_rates: tuple[float, ...] = tuple(float(rate) for rate in _DEFAULT.learning_rates.split())
    epochs: int = _DEFAULT.epochs
    least_steps: int = _DEFAULT.least_steps
    patience: int = _DEFAULT.patience
    batch: int = _DEFAULT.batch
    rank: int = _DEFAULT.rank
    alpha: int = _DEFAULT.alpha
    warmup: int = _DEFAULT.warmup
    schedule: Schedule = _DEFAULT.schedule
    at_a_time: int = _DEFAULT.at_a_time

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch", "rank", "alpha", "at_a_time"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"The tuning setting '{name}' must be at least 1, got {value}.")
        for name in ("least_steps", "warmup"):
            if getattr(self, name) < 0:
                raise InputError(f"The tuning setting '{name}' must be at least 0, got {getattr(self, name)}.")
        if self.schedule not in SCHEDULES:
            raise InputError(f"The schedule must be one of {', '.join(SCHEDULES)}, got '{self.schedule}'.")
        if not self.learning_rates or not all(0 < rate < math.inf for rate in self.learning_rates):
            raise InputError(f"The learning rates must be numbers above 0, got {list(self.learning_rates)}.")

    def epochs_for(self, rows: int) -> int:
        """The most epochs for a training part of that many rows."""
        return max(self.epochs, math.ceil(self.least_steps / math.ceil(rows / self.batch)))

    def first_rung(self, rows: int) -> int:
        """The epochs that every candidate is given: a third of all."""
        return math.ceil(self.epochs_for(rows) / 3)

    def rate_at(self, learning_rate: float, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 1, of a number of steps in all."""
        rate = learning_rate * min(1.0, step / max(1, self.warmup))
        if self.schedule == "constant":
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


@dataclass
class Candidate:
    """A learning rate on its way: the adapter's weights now and at the lowest validation loss, and how it got there.

    ``history`` has a row an epoch, 0 being the model as it came; losses are in nats a person.
    """

    learning_rate: float
    state: dict[str, torch.Tensor]
    best_nll: float
    best_state: dict[str, torch.Tensor]
    history: list[dict[str, float]]
    optimiser: dict[str, Any] | None = None
    best_epoch: int = 0
    epoch: int = 0


class Checkpoint:
    """Where all candidates stand, in a file written whole after each epoch; a file with another key is not used."""

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key

    def save(self, candidates: list[Candidate]) -> None:
        """Write where all candidates stand."""
        if self._path is not None:
            with whole_file(self._path) as temporary:
                torch.save({"key": self._key, "candidates": [vars(candidate) for candidate in candidates]}, temporary)

    def load(self, device: torch.device) -> list[Candidate] | None:
        """The candidates kept; None where there are none of this training."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            kept = torch.load(self._path, map_location=device, weights_only=True)
            return [Candidate(**entry) for entry in kept["candidates"]] if kept["key"] == self._key else None
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, UnpicklingError):
            return None


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
    wording: Wording = USUAL,
    progress: TrainingProgress | None = None,
    checkpoint: Path | None = None,
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
    wording : Wording
        What is varied in the prompts.
    progress : callable, optional
        Called after each step with what is going on, steps done and steps in all.
    checkpoint : Path, optional
        A file that is written after each epoch: after a kill the training goes on from there, to the result of one
        that was not killed. It is removed when the stage is recorded.

    Returns
    -------
    Tuned

    Raises
    ------
    InputError
        If the model has an adapter already, or reads too little.
    """
    if hasattr(language_model.model, "peft_config"):
        raise InputError(f"The model '{language_model.name}' has an adapter already; load it anew for another.")
    encoder = Encoder(study, language_model.tokenizer, wording)
    plain = respondent(language_model, encoder, pd.concat([train, validation])).plain
    facts = (prompt_sha256(study), table_sha256(train), table_sha256(validation), asdict(settings), seed, wording)
    kept = Checkpoint(checkpoint, fingerprint(language_model, *facts))
    trainer = _Trainer(language_model, encoder, train, validation, settings, seed, plain)
    candidates = kept.load(language_model.device) or trainer.start()
    rung, last = settings.first_rung(len(train)), settings.epochs_for(len(train))
    total = trainer.steps_per_epoch * (rung * len(candidates) + last - rung)
    done = sum(candidate.epoch * trainer.steps_per_epoch for candidate in candidates)
    counter = _Counter(total, done, progress)

    for candidate in candidates:
        trainer.train(candidate, rung, counter, lambda: kept.save(candidates))
    best = min(candidates, key=lambda candidate: candidate.best_nll)
    trainer.train(best, last, counter, lambda: kept.save(candidates))
    trainer.load(best.best_state)
    history = pd.DataFrame([row for candidate in candidates for row in candidate.history])
    return Tuned(trainer.model, best.learning_rate, best.best_epoch, best.best_nll, history)


class _Counter:
    """Counts steps for the progress bar."""

    def __init__(self, total: int, done: int, progress: TrainingProgress | None) -> None:
        self.total, self.done, self.progress = total, done, progress

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
        plain: bool,
    ) -> None:
        self._validation = validation
        self._examples = [example_of(encoder, person) for person in records(train)]
        self._settings, self._seed = settings, seed
        self._accumulate = accumulate_plainly if plain else accumulate_gradient
        # Dropout, which some architectures have, would draw from a generator that is not the run's.
        self.model = _with_new_adapter(language_model.model, settings, seed).eval()
        self._respondent = Respondent(replace(language_model, model=self.model), encoder, plain)
        self._attending: Any = nullcontext if plain else lambda: attending(self.model)  # type: ignore[arg-type]
        self.steps_per_epoch = math.ceil(len(train) / settings.batch)
        self._steps = self.steps_per_epoch * settings.epochs_for(len(train))

    def start(self) -> list[Candidate]:
        """Every learning rate before the first step."""
        nll = self.validate()
        start = {"epoch": 0, "train_loss": math.nan, "validation_nll": nll}
        return [
            Candidate(rate, self.state(), nll, self.state(), [{"learning_rate": rate, **start}])
            for rate in self._settings.learning_rates
        ]

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the adapter's weights."""
        return {name: weight.detach().clone() for name, weight in get_peft_model_state_dict(self.model).items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Put weights into the adapter."""
        set_peft_model_state_dict(self.model, state)

    def validate(self) -> float:
        """The validation loss in nats a person: whole answers, given the person's own earlier answers."""
        self._respondent.forget()
        distribution = given_distributions(self._respondent, self._validation)
        return float(-distribution.log_probability.sum(axis=1).mean())

    def train(self, candidate: Candidate, until: int, counter: _Counter, save: Callable[[], None]) -> None:
        """Train a candidate up to an epoch, or until its validation loss has stopped falling."""
        if self._over(candidate, until):
            return
        self.load(candidate.state)
        optimiser = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=candidate.learning_rate, weight_decay=0.0
        )
        if candidate.optimiser:
            optimiser.load_state_dict(candidate.optimiser)
        while not self._over(candidate, until):
            losses = list(self._epoch(candidate, optimiser, counter))
            self._end_epoch(candidate, float(np.mean(losses)))
            candidate.state, candidate.optimiser = self.state(), optimiser.state_dict()
            save()

    def _over(self, candidate: Candidate, until: int) -> bool:
        return candidate.epoch >= until or candidate.epoch - candidate.best_epoch >= self._settings.patience

    def _epoch(self, candidate: Candidate, optimiser: torch.optim.Optimizer, counter: _Counter) -> Iterator[float]:
        """Take the steps of an epoch; yields the loss of each."""
        for number, rows in enumerate(self._batches(candidate.epoch)):
            step = candidate.epoch * self.steps_per_epoch + number + 1
            for group in optimiser.param_groups:
                group["lr"] = self._settings.rate_at(candidate.learning_rate, step, self._steps)
            optimiser.zero_grad()
            with self._attending():
                loss = self._accumulate(self.model, [self._examples[row] for row in rows], self._settings.at_a_time)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            counter.step(f"learning rate {candidate.learning_rate:g}, epoch {candidate.epoch + 1}, loss {loss:.3f}")
            yield loss

    def _end_epoch(self, candidate: Candidate, train_loss: float) -> None:
        """Validate, and keep the state if it is the best so far."""
        nll = self.validate()
        candidate.epoch += 1
        row = {"epoch": candidate.epoch, "train_loss": train_loss, "validation_nll": nll}
        candidate.history.append({"learning_rate": candidate.learning_rate, **row})
        if nll < candidate.best_nll:
            candidate.best_nll, candidate.best_epoch, candidate.best_state = nll, candidate.epoch, self.state()

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        order = numbered(self._seed, epoch).permutation(len(self._examples))
        for start in range(0, len(order), self._settings.batch):
            yield order[start : start + self._settings.batch]


def _with_new_adapter(model: Any, settings: TuningSettings, seed: int) -> PeftModel:
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)  # type: ignore[return-value]
