"""How an adapter is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from pilotlm.errors import InputError
from pilotlm.stages import FineTuneParameters, Schedule

SCHEDULES = get_args(Schedule)
_DEFAULT = FineTuneParameters()


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
