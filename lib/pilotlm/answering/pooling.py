"""Two laws pooled log-linearly: the language model's and the logit's, fitted on the same pilot.

The pool of laws p and q with weight w has probabilities proportional to p^w q^(1-w). The weight chosen here is the one
under which some people's answers are most likely: 0 says that the language model adds nothing to the logit, 1 that the
logit adds nothing to the language model. The log-likelihood is concave in w (the normaliser is a
log-sum-exp of affine functions), so there is one best weight in [0, 1].

References
----------
Genest & Zidek (1986), Combining probability distributions, Statistical Science 1, 114-135; Hinton (2002), Training
products of experts by minimizing contrastive divergence, Neural Computation 14, 1771-1800.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

Law = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """What was chosen on people whom neither part was fitted on.

    Attributes
    ----------
    weight : float
        Of the language model, in [0, 1].
    nll, language_model_nll, logit_nll : float
        Loss of the pool and of its two parts on these people, in nats a person.
    """

    weight: float
    nll: float
    language_model_nll: float
    logit_nll: float


def pooled(log_language_model: Law, log_logit: Law, weight: float) -> Law:
    """The pool of two laws of one line.

    Parameters
    ----------
    log_language_model, log_logit : (rows, answers) array
        Log-probabilities, in nats, of the same answers for the same rows; minus infinity where an answer is not valid.
        They need not be normalised.
    weight : float
        Of the language model, in [0, 1].

    Returns
    -------
    (rows, answers) array
        Log-probabilities; an answer that either law excludes is excluded, whatever the weight.

    Raises
    ------
    ValueError
        If the weight is out of range, the shapes differ, or a row has no answer that both laws allow.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"The weight of a pool must lie in [0, 1], got {weight!r}.")
    first, second = _comparable(log_language_model, log_logit)
    mixed = _mixed(first, second, weight)
    return np.asarray(mixed - logsumexp(mixed, axis=1, keepdims=True))


def choose_weight(log_language_model: Sequence[Law], log_logit: Sequence[Law], given: NDArray[np.int64]) -> Pool:
    """Choose the weight under which people's own answers are most likely.

    Parameters
    ----------
    log_language_model, log_logit : sequence of (rows, answers) arrays
        One a line that is asked: log-probabilities in nats, given people's own earlier answers, of people whom neither
        was fitted on.
    given : (rows, lines) int array
        The place of each person's own answer among the answers of each of these lines.

    Returns
    -------
    Pool

    Raises
    ------
    ValueError
        If the numbers of lines or rows differ, or a given answer is impossible under either law.
    """
    if not len(log_language_model) == len(log_logit) == given.shape[1]:
        counts = f"{len(log_language_model)}, {len(log_logit)} and {given.shape[1]}"
        raise ValueError(f"The laws and the answers must be of the same lines; there are {counts} of them.")
    pairs = [_comparable(a, b) for a, b in zip(log_language_model, log_logit, strict=True)]
    _check_given(pairs, given)
    best = _where_zero(lambda weight: _slope(pairs, given, weight))
    return Pool(best, *(_nll(pairs, given, weight) for weight in (best, 1.0, 0.0)))


def _comparable(first: Law, second: Law) -> tuple[Law, Law]:
    """Two laws with the same answers excluded in both."""
    if first.shape != second.shape:
        raise ValueError(f"The two laws of a line must have one shape, got {first.shape} and {second.shape}.")
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any(axis=1).all():
        row = int(np.flatnonzero(~both.any(axis=1))[0])
        raise ValueError(f"In row {row} no answer is possible under both laws.")
    return np.where(both, first, -np.inf), np.where(both, second, -np.inf)


def _mixed(first: Law, second: Law, weight: float) -> Law:
    possible = np.isfinite(first)
    # Zero times minus infinity is not a number, so what is excluded is kept out of the sum.
    kept = weight * np.where(possible, first, 0.0) + (1 - weight) * np.where(possible, second, 0.0)
    return np.where(possible, kept, -np.inf)


def _check_given(pairs: Sequence[tuple[Law, Law]], given: NDArray[np.int64]) -> None:
    rows = np.arange(len(given))
    for line, (first, _) in enumerate(pairs):
        if len(first) != len(given):
            raise ValueError(f"Line {line} has the laws of {len(first)} people, but {len(given)} gave answers.")
        impossible = ~np.isfinite(first[rows, given[:, line]])
        if impossible.any():
            where = f"row {int(np.flatnonzero(impossible)[0])}, line {line}"
            raise ValueError(f"The answer given in {where} is impossible under one of the two laws.")


def _slope(pairs: Sequence[tuple[Law, Law]], given: NDArray[np.int64], weight: float) -> float:
    """The derivative of the loss in the weight: how far the pool expects the difference of the logs above the given."""
    rows, total = np.arange(len(given)), 0.0
    for line, (first, second) in enumerate(pairs):
        possible = np.isfinite(first)
        difference = np.where(possible, first, 0.0) - np.where(possible, second, 0.0)
        expected = (np.exp(pooled(first, second, weight)) * difference).sum(axis=1)
        total += float((expected - difference[rows, given[:, line]]).sum())
    return total


def _where_zero(slope: Callable[[float], float]) -> float:
    """Where an increasing function on [0, 1] is zero; the nearer end where it is not."""
    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    return float(brentq(slope, 0.0, 1.0))


def _nll(pairs: Sequence[tuple[Law, Law]], given: NDArray[np.int64], weight: float) -> float:
    rows = np.arange(len(given))
    logs = [pooled(*pair, weight)[rows, given[:, line]] for line, pair in enumerate(pairs)]
    return float(-np.sum(logs, axis=0).mean())
