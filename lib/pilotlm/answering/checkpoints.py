"""Training that survives being killed: where every candidate stands after each epoch, in one file written whole."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pilotlm.records import whole_file

History = list[dict[str, float]]


@dataclass
class Candidate:
    """A learning rate on its way: where its training stands, and the best state so far.

    Attributes
    ----------
    learning_rate : float
        Which candidate it is.
    state, best_state : dict of str to tensor
        The adapter's weights now, and at the lowest validation loss.
    best_nll : float
        That loss, in nats a person.
    history : list of dict
        One entry an epoch, 0 being the model as it came.
    optimiser : dict, optional
        The optimiser's state; None before the first step.
    best_epoch, epoch : int
        Whole epochs at the best state and now.
    """

    learning_rate: float
    state: dict[str, torch.Tensor]
    best_nll: float
    best_state: dict[str, torch.Tensor]
    history: History
    optimiser: dict[str, Any] | None = None
    best_epoch: int = 0
    epoch: int = 0

    @classmethod
    def at_start(cls, learning_rate: float, nll: float, state: dict[str, torch.Tensor]) -> Candidate:
        """A candidate that has not learnt anything."""
        row = {"learning_rate": learning_rate, "epoch": 0, "train_loss": math.nan, "validation_nll": nll}
        return cls(learning_rate, state, nll, state, [row])


_SCALARS = ("learning_rate", "best_nll", "history", "best_epoch", "epoch")


class Checkpoint:
    """The file in which candidates are kept.

    Parameters
    ----------
    path : Path or None
        Where; None keeps nothing.
    key : str
        What the training depends on: a file with another key is not gone on from.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key

    def save(self, candidates: list[Candidate]) -> None:
        """Write where all candidates stand."""
        if self._path is None:
            return
        tensors: dict[str, torch.Tensor] = {}
        scalars = []
        for number, candidate in enumerate(candidates):
            entry: dict[str, Any] = {name: getattr(candidate, name) for name in _SCALARS}
            parts = {"state": candidate.state, "best": candidate.best_state}
            if candidate.optimiser is not None:
                entry["groups"] = candidate.optimiser["param_groups"]
                parts |= {f"optimiser/{k}": values for k, values in candidate.optimiser["state"].items()}
            for part, values in parts.items():
                tensors |= {f"{number}/{part}/{name}": value.contiguous().clone() for name, value in values.items()}
            scalars.append(entry)
        with whole_file(self._path) as temporary:
            save_file(tensors, temporary, {"key": self._key, "candidates": json.dumps(scalars)})

    def load(self, device: torch.device) -> list[Candidate] | None:
        """The candidates kept; None where there are none of this training."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with safe_open(self._path, "pt", device=str(device)) as file:
                facts = file.metadata() or {}
                if facts.get("key") != self._key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return [_candidate(number, entry, tensors) for number, entry in enumerate(json.loads(facts["candidates"]))]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    def remove(self) -> None:
        """Forget what was kept: the training is finished and saved."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _candidate(number: int, entry: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Candidate:
    def part(name: str) -> dict[str, torch.Tensor]:
        lead = f"{number}/{name}/"
        return {key.removeprefix(lead): value for key, value in tensors.items() if key.startswith(lead)}

    optimiser = None
    if "groups" in entry:
        numbers = [k for group in entry["groups"] for k in group["params"]]
        optimiser = {"state": {k: part(f"optimiser/{k}") for k in numbers}, "param_groups": entry["groups"]}
    scalars = {name: entry[name] for name in _SCALARS}
    return Candidate(**scalars, state=part("state"), best_state=part("best"), optimiser=optimiser)
