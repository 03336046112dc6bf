"""The log-linear pool of two predictive distributions.

The pool of p and q has probabilities proportional to the square root of p q: what either holds improbable stays so. It
is half and half, because a pilot of thirty people would choose another weight little better than chance.
See Genest & Zidek (1986), Statistical Science 1, 114-135, and Hinton (2002), Neural Computation 14, 1771-1800.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp


def pooled(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pool two distributions of one line: (rows, answers) log-probabilities in nats.

    What either excludes (minus infinity) is excluded.

    Raises
    ------
    ValueError
        If the shapes differ, or a row has no answer that both hold possible.
    """
    if first.shape != second.shape:
        raise ValueError(f"The two distributions of a line must have one shape, got {first.shape} and {second.shape}.")
    possible = np.isfinite(first) & np.isfinite(second)
    if not possible.any(axis=1).all():
        row = int(np.flatnonzero(~possible.any(axis=1))[0])
        raise ValueError(f"In row {row} no answer is possible under both distributions.")
    mixed = np.where(possible, (first + second) / 2, -np.inf)
    return np.asarray(mixed - logsumexp(mixed, axis=1, keepdims=True))
