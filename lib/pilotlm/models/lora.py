"""Fine-tuning on a pilot sample: LoRA adapters, a loss on the answers only, one recipe for every study.

The adapter is trained on all of the pilot with settings fixed beforehand: choosing them on the six people that a fifth
of thirty is costs those people, twice the time, and picks little better than chance (docs/thirty.qmd).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
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
from pilotlm.models.simulate import respondent
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
    learning_rate : float
        Above 0.
    epochs : int
        Passes over the pilot.
    least_steps : int
        A small pilot is passed over more often, until this number of steps is reached.
    batch : int
        Participants a step.
    rank, alpha : int
        Of the adapter; it is on all linear layers.
    warmup : int
        Steps in which the learning rate rises.
    schedule : {"constant", "cosine"}
        What it does afterwards: stay, or fall along half a cosine that reaches 0 at the last step.
    at_a_time : int
        Participants of a step whose gradients are computed together; the others are added, so it bounds the memory and
        changes nothing else.
    """

    learning_rate: float = _DEFAULT.learning_rate
    epochs: int = _DEFAULT.epochs
    least_steps: int = _DEFAULT.least_steps
    batch: int = _DEFAULT.batch
    rank: int = _DEFAULT.rank
    alpha: int = _DEFAULT.alpha
    warmup: int = _DEFAULT.warmup
    schedule: Schedule = _DEFAULT.schedule
    at_a_time: int = _DEFAULT.at_a_time

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "rank", "alpha", "at_a_time", "least_steps", "warmup"):
            least = 0 if name in ("least_steps", "warmup") else 1
            if getattr(self, name) < least:
                raise InputError(f"The tuning setting '{name}' must be at least {least}, got {getattr(self, name)}.")
        if self.schedule not in SCHEDULES:
            raise InputError(f"The schedule must be one of {', '.join(SCHEDULES)}, got '{self.schedule}'.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"The learning rate must be a number above 0, got {self.learning_rate}.")

    def epochs_for(self, people: int) -> int:
        """The epochs for a pilot of so many people."""
        return max(self.epochs, math.ceil(self.least_steps / math.ceil(people / self.batch)))

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 1, of a number of steps in all."""
        rate = self.learning_rate * min(1.0, step / max(1, self.warmup))
        if self.schedule == "constant":
            return rate
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


@dataclass
class Training:
    """Where a training stands: epochs done, the adapter's weights, the optimiser, and the mean loss of each epoch."""

    state: dict[str, torch.Tensor]
    epoch: int = 0
    optimiser: dict[str, Any] | None = None
    losses: list[float] = field(default_factory=list)


class Checkpoint:
    """Where a training stands, in a file written whole after each epoch; a file with another key is not used."""

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key

    def save(self, training: Training) -> None:
        """Write where the training stands."""
        if self._path is not None:
            with whole_file(self._path) as temporary:
                torch.save({"key": self._key, "training": vars(training)}, temporary)

    def load(self, device: torch.device) -> Training | None:
        """What was kept; None where there is nothing of this training."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            kept = torch.load(self._path, map_location=device, weights_only=True)
            return Training(**kept["training"]) if kept["key"] == self._key else None
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, UnpicklingError):
            return None


@dataclass(frozen=True)
class Tuned:
    """A model with its adapter, and how it was trained.

    ``history`` has one row an epoch: ``epoch``, ``train_loss`` (nats an answer token, mean over the epoch's steps).
    """

    model: PeftModel
    settings: TuningSettings
    history: pd.DataFrame


def fine_tune(
    language_model: LanguageModel,
    study: Study,
    pilot: pd.DataFrame,
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
    study, pilot : Study, DataFrame
        The study and the pilot's people, with their answers.
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

    Raises
    ------
    InputError
        If the model has an adapter already, or reads too little.
    """
    if hasattr(language_model.model, "peft_config"):
        raise InputError(f"The model '{language_model.name}' has an adapter already; load it anew for another.")
    encoder = Encoder(study, language_model.tokenizer, wording)
    plain = respondent(language_model, encoder, pilot).plain
    kept = Checkpoint(
        checkpoint,
        fingerprint(language_model, prompt_sha256(study), table_sha256(pilot), asdict(settings), seed, wording),
    )
    # Dropout, which some architectures have, would draw from a generator that is not the run's.
    model = _with_new_adapter(language_model.model, settings, seed).eval()
    examples = [example_of(encoder, person) for person in records(pilot)]
    accumulate: Any = accumulate_plainly if plain else accumulate_gradient
    way: Any = nullcontext if plain else lambda: attending(model)  # type: ignore[arg-type]

    training = kept.load(language_model.device) or Training(_state_of(model))
    set_peft_model_state_dict(model, training.state)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    if training.optimiser:
        optimiser.load_state_dict(training.optimiser)
    per_epoch = math.ceil(len(examples) / settings.batch)
    epochs = settings.epochs_for(len(examples))
    steps = per_epoch * epochs
    for epoch in range(training.epoch, epochs):
        losses = []
        for number, rows in enumerate(_batches(len(examples), settings.batch, seed, epoch)):
            step = epoch * per_epoch + number + 1
            for group in optimiser.param_groups:
                group["lr"] = settings.rate_at(step, steps)
            optimiser.zero_grad()
            with way():
                losses.append(accumulate(model, [examples[row] for row in rows], settings.at_a_time))
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            if progress:
                progress(f"epoch {epoch + 1}, loss {losses[-1]:.3f}", step, steps)
        training.losses.append(float(np.mean(losses)))
        training.epoch, training.state, training.optimiser = epoch + 1, _state_of(model), optimiser.state_dict()
        kept.save(training)
    history = pd.DataFrame({"epoch": range(1, epochs + 1), "train_loss": training.losses})
    return Tuned(model, settings, history)


def _state_of(model: PeftModel) -> dict[str, torch.Tensor]:
    """A copy of the adapter's weights."""
    return {name: weight.detach().clone() for name, weight in get_peft_model_state_dict(model).items()}


def _batches(people: int, size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The rows of each step of an epoch."""
    order = numbered(seed, epoch).permutation(people)
    return [order[start : start + size] for start in range(0, people, size)]


def _with_new_adapter(model: Any, settings: TuningSettings, seed: int) -> PeftModel:
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)  # type: ignore[return-value]
