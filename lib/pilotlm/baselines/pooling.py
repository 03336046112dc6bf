"""The log-linear pool of two predictive distributions.

The pool of p and q with weight w has probabilities proportional to p^w q^(1-w): what either holds improbable stays so.
See Genest & Zidek (1986), Statistical Science 1, 114-135, and Hinton (2002), Neural Computation 14, 1771-1800.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

HALF = 0.5
"""The weight of every pool here: a pilot of thirty people would choose it little better than chance."""


def pooled(first: NDArray[np.float64], second: NDArray[np.float64], weight: float = HALF) -> NDArray[np.float64]:
    """Pool two distributions of one line.

    Parameters
    ----------
    first, second : (rows, answers) float arrays
        Log-probabilities in nats; what either excludes (minus infinity) is excluded.
    weight : float
        Of the first, in [0, 1].

    Returns
    -------
    (rows, answers) float array
        Log-probabilities; each row's probabilities sum to 1.

    Raises
    ------
    ValueError
        If the weight is out of range, the shapes differ, or a row has no answer that both hold possible.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"The weight of a pool must lie in [0, 1], got {weight!r}.")
    if first.shape != second.shape:
        raise ValueError(f"The two distributions of a line must have one shape, got {first.shape} and {second.shape}.")
    possible = np.isfinite(first) & np.isfinite(second)
    if not possible.any(axis=1).all():
        row = int(np.flatnonzero(~possible.any(axis=1))[0])
        raise ValueError(f"In row {row} no answer is possible under both distributions.")
    # Zero times minus infinity is not a number, so what is excluded is kept out of the sum.
    kept = weight * np.where(possible, first, 0.0) + (1 - weight) * np.where(possible, second, 0.0)
    mixed = np.where(possible, kept, -np.inf)
    return np.asarray(mixed - logsumexp(mixed, axis=1, keepdims=True))
