"""Answering alike over the lines of a battery, for a baseline that takes each line apart.

Lines that offer the same answers, such as five headlines that are each rated on one scale, are a battery. A model of
each line apart must learn from thirty people that who agreed before agrees again. Here an answer is, with one
probability a battery, one of the person's own earlier answers to it, and else that of the model:
p = (1 - w) p_model + w p_own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.baselines.sequential import Folds, FormModel, LineModel, Probabilities, codes_of
from pilotlm.data.prompts import Slot, slots_of
from pilotlm.study import Study

FitForm = Callable[[Study, pd.DataFrame, Folds], FormModel]
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Candidates for the probability w that a person answers as before."""


def fit_with_earlier_answers(fit: FitForm, study: Study, pilot: pd.DataFrame, folds: Folds) -> FormModel:
    """A baseline, mixed on each line of a battery with the person's earlier answers to it.

    ``fit`` fits the baseline. w is the same for all lines of a battery, and has the smallest cross-validated loss of
    all of them together; ``cv_losses`` are under the w that is best in the other folds. Without a battery it is the
    baseline.
    """
    fitted, slots = fit(study, pilot, folds), slots_of(study)
    lines, settings, cv_losses = list(fitted.lines), dict(fitted.settings), dict(fitted.cv_losses)
    batteries = [battery for battery in _batteries(slots) if len(battery) > 1]
    outside = _out_of_fold(fit, study, pilot, folds) if batteries else {}
    for battery in batteries:
        losses = _losses(battery, pilot, outside)
        whole = losses.sum(axis=0)
        best_elsewhere = np.empty(len(pilot), dtype=np.int64)
        for fold in np.unique(folds):
            best_elsewhere[folds == fold] = whole[folds != fold].mean(axis=0).argmin()
        share = SHARES[int(whole.mean(axis=0).argmin())]
        settings[f"as before, {battery[0].column} to {battery[-1].column}"] = share
        for k, slot in enumerate(battery):
            line = slots.index(slot)
            base = lines[line]
            assert base is not None
            if k:
                lines[line] = _Alike(base, slot, tuple(battery[:k]), share)
                cv_losses[slot.column] = float(losses[k, np.arange(len(pilot)), best_elsewhere].mean())
    return FormModel(study, slots, tuple(lines), settings, cv_losses)


@dataclass(frozen=True)
class _Alike:
    """A line's logit, mixed with what the person answered on earlier lines of the battery."""

    base: LineModel
    slot: Slot
    before: tuple[Slot, ...]
    share: float

    def distribution(self, rows: pd.DataFrame) -> Probabilities:
        return _mixed(self.base.distribution(rows), _own(self.before, rows), self.share)


def _mixed(base: Probabilities, own: Probabilities | None, share: float) -> Probabilities:
    return base if own is None else np.asarray((1 - share) * base + share * own)


def _own(before: tuple[Slot, ...], rows: pd.DataFrame) -> Probabilities | None:
    """The share of each answer among a person's earlier ones, (people, answers); None on the first line."""
    if not before:
        return None
    size = len(before[0].values)
    return np.asarray(np.mean([np.eye(size)[codes_of(slot, rows)] for slot in before], axis=0))


def _batteries(slots: tuple[Slot, ...]) -> list[list[Slot]]:
    """Lines with the same answers whose columns differ by the number at their end alone; no part of an allocation."""
    groups: dict[tuple[object, ...], list[Slot]] = {}
    for slot in slots:
        if slot.total is None:
            groups.setdefault((slot.column.rstrip("0123456789"), slot.values, slot.texts), []).append(slot)
    return list(groups.values())


def _out_of_fold(fit: FitForm, study: Study, pilot: pd.DataFrame, folds: Folds) -> dict[str, Probabilities]:
    """For each column the baseline's distributions for people whom it was not fitted on, in the order of the pilot."""
    found: dict[str, NDArray[np.float64]] = {}
    for fold in np.unique(folds):
        out = folds == fold
        fitted = fit(study, pilot[~out], folds[~out])
        for column, distribution in fitted.distributions(pilot[out]).items():
            found.setdefault(column, np.empty((len(pilot), distribution.shape[1])))[out] = distribution
    return found


def _losses(battery: list[Slot], pilot: pd.DataFrame, outside: dict[str, Probabilities]) -> NDArray[np.float64]:
    """The loss of each line of a battery for each person under each of `SHARES`, (lines, people, shares), in nats."""
    rows, losses = np.arange(len(pilot)), np.empty((len(battery), len(pilot), len(SHARES)))
    for k, slot in enumerate(battery):
        own, given = _own(tuple(battery[:k]), pilot), codes_of(slot, pilot)
        for place, share in enumerate(SHARES):
            losses[k, :, place] = -np.log(_mixed(outside[slot.column], own, share)[rows, given])
    return losses
