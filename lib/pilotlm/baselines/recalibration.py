"""A language model as it came, recalibrated on a pilot: one temperature a line and one offset an answer.

The probability of answer k becomes proportional to exp(b log p_k + a_k). Slope and offsets are fitted by penalised
maximum likelihood on the pilot's answers, the penalty chosen by cross-validation; the model itself is not trained.
See Guo, Pleiss, Sun & Weinberger (2017), ICML; the form with offsets is their vector scaling of a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from pilotlm.baselines.sequential import Folds

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for the penalty on the offsets and on the slope's distance from 1."""


@dataclass(frozen=True)
class Recalibration:
    """Of one line: the slope on the log-probabilities, and the offset of each answer in nats, (answers,)."""

    slope: float
    offsets: NDArray[np.float64]

    def apply(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """The recalibrated log-probabilities, (rows, answers); what is excluded stays so."""
        return _normalised(self.slope, self.offsets, log_probabilities)


def recalibrate(
    log_probabilities: Mapping[str, NDArray[np.float64]], given: Mapping[str, NDArray[np.int64]], folds: Folds
) -> dict[str, Recalibration]:
    """Fit every line on a pilot.

    Parameters
    ----------
    log_probabilities : mapping
        Column, then the model's (people, answers) log-probabilities for the pilot's people, in nats.
    given : mapping
        Column, then the place of each person's own answer, (people,).
    folds : (people,) int array
        The fold of each person.
    """
    return {column: _fit_line(logs, given[column], folds) for column, logs in log_probabilities.items()}


def _fit_line(logs: NDArray[np.float64], given: NDArray[np.int64], folds: Folds) -> Recalibration:
    losses = np.zeros(len(STRENGTHS))
    for fold in np.unique(folds):
        out = folds == fold
        for k, strength in enumerate(STRENGTHS):
            fitted = _fit(logs[~out], given[~out], strength).apply(logs[out])
            losses[k] -= fitted[np.arange(int(out.sum())), given[out]].sum()
    return _fit(logs, given, STRENGTHS[int(losses.argmin())])


def _fit(logs: NDArray[np.float64], given: NDArray[np.int64], strength: float) -> Recalibration:
    """The slope and the offsets of the smallest penalised loss, which is convex in both."""
    rows, finite = np.arange(len(given)), np.where(np.isfinite(logs), logs, 0.0)
    own = np.eye(logs.shape[1])[given]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, offsets = parameters[0], parameters[1:]
        fitted = _normalised(slope, offsets, logs)
        left = np.exp(fitted) - own
        away = slope - 1
        value = -fitted[rows, given].sum() + strength / 2 * (away**2 + offsets @ offsets)
        gradient = np.concatenate([[(left * finite).sum() + strength * away], left.sum(axis=0) + strength * offsets])
        return float(value), gradient

    start = np.concatenate([[1.0], np.zeros(logs.shape[1])])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return Recalibration(float(found[0]), found[1:])


def _normalised(slope: float, offsets: NDArray[np.float64], logs: NDArray[np.float64]) -> NDArray[np.float64]:
    possible = np.isfinite(logs)
    return np.asarray(log_softmax(np.where(possible, slope * np.where(possible, logs, 0.0) + offsets, -np.inf), axis=1))
