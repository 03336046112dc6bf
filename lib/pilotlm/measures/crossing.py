"""Distances between many tables of counts at once, every one with every other, and what their spread says.

A table here is a row of counts over k cells. All tables of one call have the same total, so that counts can be
compared without dividing, and logarithms of whole numbers be looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.special import xlogy

from pilotlm.errors import InputError
from pilotlm.measures.intervals import FloatArray, IntArray


@dataclass(frozen=True)
class Distance:
    """A distance between tables of counts with one common total.

    Attributes
    ----------
    crossed : callable
        Takes (r, k) and (s, k) int arrays; gives the (r, s) distances of each of the first to each of the second.
    paired : callable
        Takes two (r, k) int arrays; gives the (r,) distances of their rows.
    """

    crossed: Callable[[IntArray, IntArray], FloatArray]
    paired: Callable[[IntArray, IntArray], FloatArray]


def wasserstein(positions: ArrayLike) -> Distance:
    """The first Wasserstein distance between tables over ordered cells, as a share of the range of the positions.

    Parameters
    ----------
    positions : (k,) array_like
        Where the cells lie on the scale, no two at one place; at least 2.

    Raises
    ------
    InputError
        If there are fewer than two positions or two are equal.
    """
    order, gaps = along_the_scale(positions)

    def steps(tables: IntArray) -> FloatArray:
        """Cumulative counts times the gaps: their L1 distance is the Wasserstein distance times the total."""
        return np.asarray(np.cumsum(tables[..., order], axis=-1)[..., :-1] * gaps)

    return Distance(
        lambda first, second: _l1_crossed(steps(first), steps(second)) / _total(first),
        lambda first, second: np.abs(steps(first) - steps(second)).sum(axis=-1) / _total(first),
    )


def along_the_scale(positions: ArrayLike) -> tuple[IntArray, FloatArray]:
    """The order of cells along their scale, and the gaps between neighbours as shares of the range.

    Parameters
    ----------
    positions : (k,) array_like
        Where the cells lie.

    Returns
    -------
    order : (k,) int array
        The cells from the smallest position to the largest.
    gaps : (k - 1,) array
        They sum to 1.

    Raises
    ------
    InputError
        If there are fewer than two positions or two are equal.
    """
    places = np.asarray(positions, dtype=float)
    if places.ndim != 1 or len(np.unique(places)) != len(places) or len(places) < 2:
        raise InputError(f"A Wasserstein distance needs 2 or more different positions, got {places.tolist()}.")
    order = np.argsort(places)
    return order, np.diff(places[order]) / np.ptp(places)


def _js_crossed(first: IntArray, second: IntArray) -> FloatArray:
    """1 - sum [(a + b) log2 (a + b) - a log2 a - b log2 b] / 2h over the cells that both sides use, rooted.

    A cell that one side leaves empty adds nothing to the sum, which is why sparse tables are cheap.
    """
    total = _total(first)
    log = _logarithms(total)
    used = first.any(axis=0) & second.any(axis=0)
    ours, theirs = np.ascontiguousarray(first.T[used]), np.ascontiguousarray(second.T[used])
    shared = -log[ours].sum(axis=0)[:, None] - log[theirs].sum(axis=0)
    for a, b in zip(ours, theirs, strict=True):
        shared += log.take(a[:, None] + b)
    return _rooted(1 - shared / (2 * total))


def _js_paired(first: IntArray, second: IntArray) -> FloatArray:
    total = _total(first)
    log = _logarithms(total)
    return _rooted(1 + (log[first] + log[second] - log[first + second]).sum(axis=-1) / (2 * total))


def _logarithms(total: int) -> FloatArray:
    """The products v log2 v of the whole numbers v from 0 to twice the total."""
    values = np.arange(2 * total + 1)
    return np.asarray(xlogy(values, values) / np.log(2))


def _rooted(divergence: FloatArray) -> FloatArray:
    # Rounding leaves some 1e-15 where tables are equal; those that differ are at least about 1 / total² apart.
    return np.asarray(np.sqrt(np.where(divergence < 1e-13, 0.0, np.minimum(divergence, 1.0))))


def _l1_crossed(first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    return np.asarray(cdist(first, second, "cityblock"))


def _total(tables: IntArray) -> int:
    return int(tables[0].sum())


JENSEN_SHANNON = Distance(_js_crossed, _js_paired)
"""The square root of the Jensen-Shannon divergence to base 2: `pilotlm.measures.divergence.js_distance`."""

TOTAL_VARIATION = Distance(
    lambda first, second: _l1_crossed(first, second) / (2 * _total(first)),
    lambda first, second: np.abs(first - second).sum(axis=-1) / (2 * _total(first)),
)
"""Half the sum of absolute differences: `pilotlm.measures.divergence.total_variation`."""
