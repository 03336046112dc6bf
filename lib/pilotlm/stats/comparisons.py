"""Distances of a simulation to people beside a human and a random benchmark at the same n.

`compare_many` is what is needed for one distance. Several distances of the same answers share their draws and tables:
`draw_halves`, then `tables_of` each column, then `spread`, then `comparison`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pilotlm.errors import InputError
from pilotlm.stats.distances import (
    Variance,
    checked_codes,
    counts,
    distance_ends,
    js_crossed,
    js_paired,
    normalised,
    u_statistic_variance,
)
from pilotlm.stats.intervals import FloatArray, IntArray, central, split_pairs

Weights = tuple[FloatArray, FloatArray] | None
"""The survey weights of simulated rows and of people; None where all rows count alike."""
CROSSED = 400
"""The most sets of rows that are crossed: time and memory grow with the square."""
SPARSE = 2 / 3
"""Cells a row above which tables are sparse."""
_DISTANCES = ("crossed", "human_benchmark", "random_benchmark", "first", "second", "cells")


@dataclass(frozen=True)
class Comparison:
    """The mean distance in [0, 1] of h simulated rows to h people, with its interval and what it is to be read against.

    ``human_benchmark`` is the mean distance of h people to h others, between ``human_benchmark_low`` and
    ``human_benchmark_high`` in 95 % of fresh samples, ``random_benchmark`` that of draws from a reference distribution;
    ``n`` is h, ``variance`` that of the value.
    """

    value: float
    low: float
    high: float
    human_benchmark: float
    human_benchmark_low: float
    human_benchmark_high: float
    random_benchmark: float
    n: int
    variance: Variance


@dataclass(frozen=True, eq=False)
class Halves:
    """The rows of all repeats, as indices into n simulated rows and m people.

    ``a`` and ``b`` (repeats, h) are disjoint people, ``s`` and ``apart`` (pairs, h) disjoint simulated rows, crossed
    with them; ``first`` and ``second`` (repeats, 2q) are half as many people in two random orders, each split in half.
    """

    a: IntArray
    b: IntArray
    s: IntArray
    apart: IntArray
    first: IntArray
    second: IntArray
    n: int
    m: int

    @property
    def h(self) -> int:
        """The number of rows on either side of a distance."""
        return int(self.a.shape[1])


@dataclass(frozen=True, eq=False)
class Tables:
    """The counts, or summed weights, of one column's answers in all repeats, (repeats, cells).

    ``simulated`` are ``s`` and then ``apart``.

    ``human_benchmark`` and ``random_benchmark`` are held against ``people``; ``first`` and ``second`` are the two
    sides of either split.
    """

    simulated: NDArray[Any]
    human_benchmark: NDArray[Any]
    random_benchmark: NDArray[Any]
    people: NDArray[Any]
    first: tuple[NDArray[Any], NDArray[Any]]
    second: tuple[NDArray[Any], NDArray[Any]]
    halves: Halves


@dataclass(frozen=True, eq=False)
class Spread:
    """The distances of all repeats, (repeats,), and ``crossed`` (2 pairs, 2 pairs), people being ``b`` and then ``a``.

    ``cells`` is how many cells anybody is in, mean over the columns.
    """

    crossed: FloatArray
    human_benchmark: FloatArray
    random_benchmark: FloatArray
    first: FloatArray
    second: FloatArray
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
    mean of d(S, B) over every S and S' with every A and B; the human benchmark the mean of d(A, B), its ends the
    central 95 % of these draws, widened by what fresh samples would differ from these people; the random benchmark that
    of h draws from a reference distribution to B.

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

    Raises
    ------
    InputError
        If a code is out of range, columns do not match, a sample has fewer than two rows, or ``at`` does not fit.
    """
    references = list(random_benchmarks) if random_benchmarks is not None else [None] * len(sizes)
    ours = _columns(simulated, sizes, "simulated")
    people = _columns(human, sizes, "human")
    if len(references) != len(sizes):
        raise InputError(f"A comparison needs one random benchmark a column, got {len(references)} for {len(sizes)}.")
    halves = draw_halves(len(ours[0]), len(people[0]), repeats, rng, at)
    tables = [
        tables_of(x, y, size, halves, rng, reference, weights)
        for x, y, size, reference in zip(ours, people, sizes, references, strict=True)
    ]
    return comparison(mean_spread([spread(table) for table in tables]))


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
    # The people of A, and one of B where A has only one: any random half of those drawn will do.
    first = np.hstack([a, b[:, :1]])[:, : max(2 * (h // 2), 2)]
    return Halves(a, b, s, apart, first, rng.permuted(first, axis=1), n, m)


def tables_of(
    simulated: ArrayLike,
    human: ArrayLike,
    size: int,
    halves: Halves,
    rng: np.random.Generator,
    reference: ArrayLike | None = None,
    weights: Weights = None,
) -> Tables:
    """Count the answers of one column in all repeats; ``reference`` is the distribution of the random benchmark.

    ``weights`` are as in `compare_many`.
    """
    [ours], [people] = _columns([simulated], [size], "simulated"), _columns([human], [size], "human")
    if (len(ours), len(people)) != (halves.n, halves.m):
        raise InputError(f"The rows drawn are of {halves.n} and {halves.m}, the answers {len(ours)} and {len(people)}.")
    chances = _reference(reference, size)
    cells = max(size, len(chances))

    def counted(codes: IntArray, rows: IntArray, side: int) -> NDArray[Any]:
        return counts(codes[rows], cells, None if weights is None else weights[side][rows])

    def sides(rows: IntArray) -> tuple[NDArray[Any], NDArray[Any]]:
        q = rows.shape[1] // 2
        return counted(people, rows[:, :q], 1), counted(people, rows[:, q:], 1)

    if weights is None:
        uniform = rng.multinomial(halves.h, chances, size=len(halves.b))
    else:
        uniform = counts(rng.choice(cells, size=halves.a.shape, p=chances), cells, weights[1][halves.a])
    return Tables(
        simulated=counted(ours, np.vstack([halves.s, halves.apart]), 0),
        human_benchmark=counted(people, halves.a, 1),
        random_benchmark=uniform,
        people=counted(people, halves.b, 1),
        first=sides(halves.first),
        second=sides(halves.second),
        halves=halves,
    )


def spread(tables: Tables) -> Spread:
    """The distances between the tables of all repeats, and between the crossed ones."""
    pairs = len(tables.halves.s)
    both = np.vstack([tables.people[:pairs], tables.human_benchmark[:pairs]])
    return Spread(
        crossed=js_crossed(tables.simulated, both),
        human_benchmark=js_paired(tables.human_benchmark, tables.people),
        random_benchmark=js_paired(tables.random_benchmark, tables.people),
        first=js_paired(*tables.first),
        second=js_paired(*tables.second),
        cells=float((tables.simulated.any(axis=0) | both.any(axis=0)).sum()),
        halves=tables.halves,
    )


def mean_spread(columns: Sequence[Spread]) -> Spread:
    """The mean over columns whose tables count the same rows."""
    if len({id(column.halves) for column in columns}) != 1:
        raise InputError("A mean over columns needs at least one, and the same rows in all of them.")
    means = {name: np.mean([getattr(column, name) for column in columns], axis=0) for name in _DISTANCES}
    return replace(columns[0], **means)


def comparison(distances: Spread) -> Comparison:
    """Sum distances up, with their intervals, as `compare_many` describes."""
    halves = distances.halves
    value, human_benchmark = float(distances.crossed.mean()), float(distances.human_benchmark.mean())
    variance = _variance(distances)
    fall = halves.h / (halves.n * halves.m) if distances.cells > SPARSE * halves.h else None
    low, high = distance_ends(value, variance, human_benchmark, fall, min(halves.n, halves.m) - 1)
    below, above = _human_benchmark_ends(distances.human_benchmark, _between_splits(distances))
    beside = human_benchmark, max(0.0, below), min(1.0, above), float(distances.random_benchmark.mean())
    return Comparison(value, low, high, *beside, halves.h, variance)


def _variance(distances: Spread) -> Variance:
    h = distances.halves.h
    return u_statistic_variance(distances.crossed, (h / distances.halves.n, h / distances.halves.m))


def _between_splits(distances: Spread) -> float:
    """The variance between people of the mean distance over splits: from 2q of m people to 2h fresh ones."""
    m, h, q = distances.halves.m, distances.halves.h, distances.halves.h // 2
    # A covariance that estimates a variance is not negative.
    shared = max(float(np.cov(distances.first, distances.second)[0, 1]), 0.0)
    return 2 * shared * q / h * m / (m - 2 * q)


def _human_benchmark_ends(human_benchmark: FloatArray, between: float) -> tuple[float, float]:
    """The central 95 % of the draws, stretched about their mean so that their variance grows by ``between``."""
    (low, high), centre, within = central(human_benchmark), human_benchmark.mean(), np.var(human_benchmark, ddof=1)
    stretch = np.sqrt(1 + between / within) if within > 0 else 1.0
    return float(centre + (low - centre) * stretch), float(centre + (high - centre) * stretch)


def _columns(columns: Sequence[ArrayLike], sizes: Sequence[int], which: str) -> list[IntArray]:
    if not sizes or len(columns) != len(sizes):
        raise InputError(f"The {which} sample has {len(columns)} columns and {len(sizes)} sizes are given.")
    checked = [checked_codes(column, size) for column, size in zip(columns, sizes, strict=True)]
    lengths = {column.shape for column in checked}
    if len(lengths) > 1 or checked[0].ndim != 1 or len(checked[0]) < 2:
        raise InputError(f"The {which} sample needs columns of one length of at least 2, got {sorted(lengths)}.")
    return checked


def _reference(reference: ArrayLike | None, size: int) -> NDArray[np.float64]:
    if reference is None:
        return np.full(size, 1 / size)
    array = np.asarray(reference, dtype=float)
    if array.ndim != 1 or len(array) < size:
        raise InputError(
            f"The random benchmark needs at least {size} probabilities, got an array of shape {array.shape}."
        )
    return normalised(array)
