"""Draws of rows within treatments, as counts: how often each row is taken in each draw."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pilotlm.errors import InputError
from pilotlm.measures.intervals import IntArray, resample_within


def with_replacement(treatments: NDArray[Any], n: int, repeats: int, rng: np.random.Generator) -> IntArray:
    """How often each row is drawn, with replacement within treatments, in each of several draws.

    Parameters
    ----------
    treatments : (m,) array
        The treatment of each row.
    n : int
        Rows of a draw, at least 1; each treatment gets its share of them.
    repeats : int
        Number of draws, at least 2.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (repeats, m) int array
        Counts; each line sums to n.

    Raises
    ------
    InputError
        If repeats or n is out of range.
    """
    _need_repeats(repeats)
    m = len(treatments)
    return np.stack([np.bincount(resample_within(treatments, n, rng), minlength=m) for _ in range(repeats)])


def without_replacement(treatments: NDArray[Any], n: int, repeats: int, rng: np.random.Generator) -> IntArray:
    """Which rows are drawn, each at most once, each treatment with its share, in each of several draws.

    Parameters
    ----------
    treatments, repeats, rng
        As in `with_replacement`.
    n : int
        Rows of a draw, 1 to m.

    Returns
    -------
    (repeats, m) int array
        0 or 1; each line sums to n.

    Raises
    ------
    InputError
        If repeats or n is out of range.
    """
    _need_repeats(repeats)
    if not 1 <= n <= len(treatments):
        raise InputError(f"{n} different rows cannot be drawn from {len(treatments)}.")
    codes = np.unique(treatments, return_inverse=True)[1].reshape(-1)
    return np.stack([_every_nth(codes, n, rng) for _ in range(repeats)])


def _need_repeats(repeats: int) -> None:
    if repeats < 2:
        raise InputError(f"Draws of rows need 2 repeats or more, got {repeats}.")


def _every_nth(treatments: NDArray[np.int64], n: int, rng: np.random.Generator) -> IntArray:
    """A systematic sample of rows in random order within treatments: every treatment gets its share, rounded."""
    m = len(treatments)
    order = np.lexsort((rng.random(m), treatments))
    places = np.floor((np.arange(n) + rng.random()) * m / n).astype(np.int64)
    return np.bincount(order[np.minimum(places, m - 1)], minlength=m)
