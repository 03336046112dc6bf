"""Distances of a simulation to people beside a human and a random benchmark at the same n.

`compare_many` is what is needed for one distance. Several distances of the same answers share their draws:
`draw_halves`, then `spread` of each column, then `comparison`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pilotlm.errors import InputError
from pilotlm.stats.distances import (
    checked_codes,
    counts,
    distance_ends,
    js_crossed,
    js_paired,
    normalised,
    u_statistic_variance,
)
from pilotlm.stats.intervals import FloatArray, IntArray, split_pairs

Weights = tuple[FloatArray, FloatArray] | None
"""The survey weights of simulated rows and of people; None where all rows count alike."""
CROSSED = 400
"""The most sets of rows that are crossed: time and memory grow with the square."""
SPARSE = 2 / 3
"""Cells a row above which tables are sparse."""


@dataclass(frozen=True)
class Comparison:
    """The mean distance in [0, 1] of h simulated rows to h people, with its interval and what it is to be read against.

    ``human_benchmark`` is the mean distance of h people to h others, ``random_benchmark`` that of draws from a
    reference distribution; ``n`` is h.
    """

    value: float
    low: float
    high: float
    human_benchmark: float
    random_benchmark: float
    n: int


@dataclass(frozen=True, eq=False)
class Halves:
    """The rows of all repeats, as indices into n simulated rows and m people.

    ``a`` and ``b`` (repeats, h) are disjoint people, ``s`` and ``apart`` (pairs, h) disjoint simulated rows, crossed
    with them.
    """

    a: IntArray
    b: IntArray
    s: IntArray
    apart: IntArray
    n: int
    m: int

    @property
    def h(self) -> int:
        """The number of rows on either side of a distance."""
        return int(self.a.shape[1])


@dataclass(frozen=True, eq=False)
class Spread:
    """The distances of all repeats, (repeats,), and ``crossed`` (2 pairs, 2 pairs), people being ``b`` and then ``a``.

    ``cells`` is how many cells anybody is in, mean over the columns.
    """

    crossed: FloatArray
    human_benchmark: FloatArray
    random_benchmark: FloatArray
    cells: float
    halves: Halves


def compare_many(
    simulated: Sequence[ArrayLike],
    human: Sequence[ArrayLike],
    sizes: Sequence[int],
    repeats: int,
    rng: np.random.Generator,
    random_benchmarks: Sequence[ArrayLike | None] | None = None,
    at: int | None = None,
    weights: Weights = None,
) -> Comparison:
    """The distance of simulated answers to people's, beside both benchmarks, mean over columns of the same rows.

    Every distance is taken between two sets of h rows. In each repeat two disjoint sets A and B of h people are drawn
    without replacement, and for half of the repeats two disjoint sets S and S' of h simulated rows. The value is the
    mean of d(S, B) over every S and S' with every A and B; the human benchmark the mean of d(A, B), the random
    benchmark that of h draws from a reference distribution to B.

    Parameters
    ----------
    simulated, human : sequence of (n,) and of (m,) int array_like
        Codes of the answers, one array a column; at least 2 rows.
    sizes : sequence of int
        Number of cells of each column.
    repeats : int
        Number of splits, at least 2; 200 is enough.
    rng : numpy.random.Generator
        Source of randomness.
    random_benchmarks : sequence of (k,) array_like or None, optional
        The reference distribution of each column, k >= size; uniform when absent.
    at : int, optional
        The number of rows h on either side; min(n, m) // 2 when absent.
    weights : pair of (n,) and (m,) float arrays, optional
        Survey weights of simulated rows and of people; uniform answers are given those of people.
    """
    references = random_benchmarks or [None] * len(sizes)
    if not sizes or len({len(simulated), len(human), len(sizes), len(references)}) > 1:
        given = f"{len(simulated)} and {len(human)} columns, {len(sizes)} sizes, {len(references)} random benchmarks"
        raise InputError(f"A comparison needs as many columns, sizes and random benchmarks, at least one; got {given}.")
    halves = draw_halves(len(np.atleast_1d(simulated[0])), len(np.atleast_1d(human[0])), repeats, rng, at)
    columns = zip(simulated, human, sizes, references, strict=True)
    return comparison(mean_spread([spread(x, y, size, halves, rng, chance, weights) for x, y, size, chance in columns]))


def draw_halves(n: int, m: int, repeats: int, rng: np.random.Generator, at: int | None = None) -> Halves:
    """Draw the rows of all repeats of a comparison of n simulated rows with m people, ``at`` rows a side."""
    if repeats < 2:
        raise InputError(f"A comparison needs 2 repeats or more, got {repeats}.")
    largest = min(n, m) // 2
    h = largest if at is None else at
    if not 1 <= h <= largest:
        raise InputError(f"{n} simulated rows and {m} people can be compared at 1 to {largest} rows, not at {h}.")
    a, b = split_pairs(m, h, repeats, rng)
    s, apart = split_pairs(n, h, min(repeats, CROSSED) // 2, rng)
    # Orders that nothing needs any more: drawn, so that the random benchmarks stay those of earlier runs.
    rng.permuted(np.zeros((repeats, max(2 * (h // 2), 2))), axis=1)
    return Halves(a, b, s, apart, n, m)


def spread(
    simulated: ArrayLike,
    human: ArrayLike,
    size: int,
    halves: Halves,
    rng: np.random.Generator,
    reference: ArrayLike | None = None,
    weights: Weights = None,
) -> Spread:
    """The distances of one column in all repeats; ``reference`` is the distribution of the random benchmark.

    Other parameters are as in `compare_many`.
    """
    ours, people = (checked_codes(codes, size) for codes in (simulated, human))
    if (ours.shape, people.shape) != ((halves.n,), (halves.m,)):
        raise InputError(
            f"The rows drawn are of {halves.n} and {halves.m}, the answers of shapes {ours.shape} and {people.shape}."
        )
    chances = _reference(reference, size)
    cells = max(size, len(chances))

    def counted(codes: IntArray, rows: IntArray, side: int) -> NDArray[Any]:
        return counts(codes[rows], cells, None if weights is None else weights[side][rows])

    if weights is None:
        uniform = rng.multinomial(halves.h, chances, size=len(halves.b))
    else:
        uniform = counts(rng.choice(cells, size=halves.a.shape, p=chances), cells, weights[1][halves.a])
    a, b, pairs = counted(people, halves.a, 1), counted(people, halves.b, 1), len(halves.s)
    mine, theirs = counted(ours, np.vstack([halves.s, halves.apart]), 0), np.vstack([b[:pairs], a[:pairs]])
    return Spread(
        crossed=js_crossed(mine, theirs),
        human_benchmark=js_paired(a, b),
        random_benchmark=js_paired(uniform, b),
        cells=float((mine.any(axis=0) | theirs.any(axis=0)).sum()),
        halves=halves,
    )


def mean_spread(columns: Sequence[Spread]) -> Spread:
    """The mean over columns whose distances are of the same rows."""
    if len({id(column.halves) for column in columns}) != 1:
        raise InputError("A mean over columns needs at least one, and the same rows in all of them.")
    names = ("crossed", "human_benchmark", "random_benchmark", "cells")
    return replace(columns[0], **{name: np.mean([getattr(one, name) for one in columns], axis=0) for name in names})


def comparison(distances: Spread) -> Comparison:
    """Sum distances up, with their intervals, as `compare_many` describes."""
    halves = distances.halves
    h, n, m = halves.h, halves.n, halves.m
    value, human_benchmark = float(distances.crossed.mean()), float(distances.human_benchmark.mean())
    variance = u_statistic_variance(distances.crossed, (h / n, h / m))
    fall = h / (n * m) if distances.cells > SPARSE * h else None
    low, high = distance_ends(value, variance, human_benchmark, fall, min(n, m) - 1)
    return Comparison(value, low, high, human_benchmark, float(distances.random_benchmark.mean()), h)


def _reference(reference: ArrayLike | None, size: int) -> FloatArray:
    if reference is None:
        return np.full(size, 1 / size)
    array = np.asarray(reference, dtype=float)
    if array.ndim != 1 or len(array) < size:
        raise InputError(
            f"The random benchmark needs at least {size} probabilities, got an array of shape {array.shape}."
        )
    return normalised(array)
