"""Draws that depend on a row alone: uniform numbers of (seed, participant, draw), and an answer from a law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pilotlm.randomness import numbered


def row_uniforms(
    seed: int, participants: NDArray[np.int64], draws: NDArray[np.int64], lines: int
) -> NDArray[np.float64]:
    """Uniform numbers that depend on (seed, participant, draw) alone, one a line of the form.

    Parameters
    ----------
    seed : int
        Of the run, at least 0.
    participants, draws : (rows,) int array
        Whose row it is.
    lines : int
        How many numbers a row has.

    Returns
    -------
    (rows, lines) array
        In [0, 1).
    """
    pairs = zip(participants, draws, strict=True)
    rows = [numbered(seed, int(person), int(draw)).random(lines) for person, draw in pairs]
    return np.array(rows).reshape(len(rows), lines)


def draw_answers(law: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw an answer in each row by inverting its distribution function.

    Parameters
    ----------
    law : (rows, answers) array
        Log-weights; need not be normalised.
    uniforms : (rows,) array
        In [0, 1).

    Returns
    -------
    (rows,) int array

    Raises
    ------
    ValueError
        If the weights of a row are no numbers, or none of them is above zero: any answer would do.
    """
    top = law.max(axis=1, keepdims=True)
    if not np.isfinite(top).all():
        row = int(np.argmin(np.isfinite(top)))
        raise ValueError(f"row {row} has no law to draw from, its log-weights are {law[row]}")
    weights = np.exp(law - top)
    cumulative = np.cumsum(weights, axis=1)
    chosen = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(axis=1)
    # An answer of weight zero at the end must not be reached through rounding.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum(chosen, last))
