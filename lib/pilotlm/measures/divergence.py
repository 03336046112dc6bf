"""Distances between the answers of two samples, read between a human floor and a ceiling at the same sample size.

`compare` and `compare_many` are what is needed for one distance. Several distances of the same answers share their
draws and tables: `draw_halves`, then `tables_of` each column, then `spread` by each distance, then `comparison`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pilotlm.errors import InputError
from pilotlm.measures.intervals import FloatArray, IntArray, central, split_pairs
from pilotlm.measures.jensen_shannon import js_crossed, js_paired, normalised
from pilotlm.measures.u_statistics import Variance, distance_ends, u_statistic_variance

CROSSED = 400
"""The most sets of rows that are crossed: time and memory grow with the square, and the error of a variance no longer
falls by much."""
SPARSE = 2 / 3
"""Cells a row above which tables are sparse. From one half to one, either interval covered 91 to 99 % in simulation."""


@dataclass(frozen=True)
class Comparison:
    """The distance of a simulation to people, with what it is to be read against; see `compare`.

    Attributes
    ----------
    value : float
        Mean distance between n simulated rows and n people, in [0, 1].
    low, high : float
        Its 95 % interval over samples of simulated rows and of people, clipped to [0, 1].
    floor : float
        Mean distance between n people and n other people.
    floor_low, floor_high : float
        Where the distance between two fresh samples of n people would lie in 95 % of cases.
    ceiling : float
        Mean distance between n draws from the reference law (uniform unless given) and n people.
    n : int
        The number of rows on either side of every one of these distances.
    variance : Variance
        The sampling variance of the value.
    """

    value: float
    low: float
    high: float
    floor: float
    floor_low: float
    floor_high: float
    ceiling: float
    n: int
    variance: Variance


@dataclass(frozen=True, eq=False)
class Halves:
    """The rows of all repeats, as indices into n simulated rows and m people; see `compare`.

    Attributes
    ----------
    a, b : (repeats, h) int arrays
        Disjoint people.
    s, apart : (pairs, h) int arrays
        Disjoint simulated rows of each of the pairs that are crossed; a and b of the first repeats are theirs.
    first, second : (repeats, 2q) int arrays
        Half as many people as in a and b in two random orders; the halves of a row are a split of them.
    n, m : int
        How many simulated rows and people there are.
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
    """The counts of one column's answers in all repeats: (repeats, cells) int arrays.

    Attributes
    ----------
    simulated : int array
        The counts of h simulated rows, ``s`` and then ``apart``: (2 pairs, cells).
    floor, ceiling : int array
        The counts of h people and of h draws from the reference law, to be held against ``people``.
    people : int array
        The counts of h other people.
    first, second : pair of int arrays
        The two sides of either split of `Halves`.
    halves : Halves
        The rows counted.
    """

    simulated: IntArray
    floor: IntArray
    ceiling: IntArray
    people: IntArray
    first: tuple[IntArray, IntArray]
    second: tuple[IntArray, IntArray]
    halves: Halves


@dataclass(frozen=True, eq=False)
class Spread:
    """The distances of all repeats.

    Attributes
    ----------
    crossed : (2 pairs, 2 pairs) array
        From each set of simulated rows to each of people, ``b`` and then ``a``. Sets k and pairs + k share no row.
    floor, ceiling : (repeats,) arrays
        From people, and from draws of the reference law, to the people of the same repeat.
    first, second : (repeats,) arrays
        Between the two sides of either split.
    cells : float
        How many cells anybody is in, mean over the columns.
    halves : Halves
        The rows that they are taken between.
    """

    crossed: FloatArray
    floor: FloatArray
    ceiling: FloatArray
    first: FloatArray
    second: FloatArray
    cells: float
    halves: Halves


def counts(codes: ArrayLike, size: int) -> IntArray:
    """How often each code occurs.

    Parameters
    ----------
    codes : (..., n) int array_like
        Codes in 0 to size - 1.
    size : int
        Number of cells.

    Returns
    -------
    (..., size) int array
        Counts over the last axis.

    Raises
    ------
    InputError
        If a code is out of range or not a whole number.
    """
    array = _codes(codes, size)
    rows = array.reshape(-1, array.shape[-1])
    # One bincount for all rows: each row has its own block of cells.
    offset = rows + np.arange(len(rows))[:, None] * size
    return np.bincount(offset.ravel(), minlength=len(rows) * size).reshape(*array.shape[:-1], size)


def compare(
    simulated: ArrayLike,
    human: ArrayLike,
    size: int,
    repeats: int,
    rng: np.random.Generator,
    ceiling: ArrayLike | None = None,
    at: int | None = None,
) -> Comparison:
    """Distance of simulated answers to people's, between its human floor and its ceiling.

    Every distance is taken between two sets of h rows, min(n, m) // 2 unless ``at`` says otherwise. In each repeat,
    two disjoint sets A and B of h people are drawn, all without replacement, and for half of the repeats two disjoint
    sets S and S' of h simulated rows. Then:

    - value: the mean of d(S, B) over every S and S' with every A and B of these repeats, and its interval (see Notes);
    - floor: the mean of d(A, B) over the repeats; its interval is the central 95 % of the draws of d(A, B), widened by
      what two fresh samples would differ from these people (see Notes);
    - ceiling: the mean of d(C, B), C being h draws from the reference law.

    Parameters
    ----------
    simulated : (n,) int array_like
        Codes of the simulated answers, 0 to size - 1; at least 2.
    human : (m,) int array_like
        Codes of the people's answers, 0 to size - 1; at least 2.
    size : int
        Number of cells.
    repeats : int
        Number of splits, at least 2; 200 is enough.
    rng : numpy.random.Generator
        Source of randomness.
    ceiling : (k,) array_like, optional
        The reference law of the ceiling, k >= size; uniform over the ``size`` cells when absent. For joint structures
        give `uniform_joint_law`.
    at : int, optional
        The number of rows h on either side, 1 to min(n, m) // 2, so that comparisons of samples of different sizes
        (subgroups) can be read beside each other; the largest when absent.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If a code is out of range, a sample has fewer than two rows, or the law or ``at`` does not fit.

    Notes
    -----
    The value estimates the expected distance between h fresh simulated rows and h fresh people: between finite samples
    even of the same law it is not zero, which is why it is read against the floor. Its variance is told from sets that
    share no row (`u_statistic_variance`), which needs no resampling and takes every part of it into account; the
    interval (`distance_ends`) is longer above than below where the value is near its floor, and treats tables with more
    than `SPARSE` cells a row as sparse.

    Splits of one set of people all have the same union, which makes the draws of the floor too much alike on sparse
    tables: the central 95 % of them held 70 % of fresh pairs in simulation. The missing variance is that of the mean
    over splits; it is estimated as the covariance between two splits of the same half of the people, over halves.

    References
    ----------
    As in `pilotlm.measures.u_statistics`.
    """
    return compare_many([simulated], [human], [size], repeats, rng, None if ceiling is None else [ceiling], at)


def compare_many(
    simulated: Sequence[ArrayLike],
    human: Sequence[ArrayLike],
    sizes: Sequence[int],
    repeats: int,
    rng: np.random.Generator,
    ceilings: Sequence[ArrayLike | None] | None = None,
    at: int | None = None,
) -> Comparison:
    """The same as `compare` for several columns: each distance is the mean over the columns.

    All columns of a repeat use the same rows, so that the answers of one person stay together.

    Parameters
    ----------
    simulated : sequence of (n,) int array_like
        Codes of the simulated answers, one array a column.
    human : sequence of (m,) int array_like
        Codes of the people's answers, same columns.
    sizes : sequence of int
        Number of cells of each column.
    repeats : int
        Number of splits, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    ceilings : sequence of (k,) array_like or None, optional
        The reference law of each column, as in `compare`.
    at : int, optional
        The number of rows on either side, as in `compare`.

    Returns
    -------
    Comparison
        Means over the columns.

    Raises
    ------
    InputError
        If the columns do not match in number or length, or as in `compare`.
    """
    laws = list(ceilings) if ceilings is not None else [None] * len(sizes)
    ours = _columns(simulated, sizes, "simulated")
    people = _columns(human, sizes, "human")
    if len(laws) != len(sizes):
        raise InputError(f"A comparison needs one ceiling a column, got {len(laws)} for {len(sizes)}.")
    halves = draw_halves(len(ours[0]), len(people[0]), repeats, rng, at)
    tables = [
        tables_of(x, y, size, halves, rng, law) for x, y, size, law in zip(ours, people, sizes, laws, strict=True)
    ]
    return comparison(mean_spread([spread(table) for table in tables]))


def draw_halves(n: int, m: int, repeats: int, rng: np.random.Generator, at: int | None = None) -> Halves:
    """Draw the rows of all repeats of a comparison of n simulated rows with m people.

    Parameters
    ----------
    n, m : int
        How many there are, at least 2.
    repeats : int
        Number of repeats, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    at : int, optional
        The number of rows h on either side, 1 to min(n, m) // 2; the largest when absent.

    Raises
    ------
    InputError
        If one of them is out of range.
    """
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
    law: ArrayLike | None = None,
) -> Tables:
    """Count the answers of one column in all repeats.

    Parameters
    ----------
    simulated, human, size
        As in `compare`.
    halves : Halves
        The rows.
    rng : numpy.random.Generator
        Source of randomness, for the draws from the law.
    law : (k,) array_like, optional
        The reference law of the ceiling, as in `compare`.

    Raises
    ------
    InputError
        If a code is out of range, or samples or law do not fit.
    """
    [ours], [people] = _columns([simulated], [size], "simulated"), _columns([human], [size], "human")
    if (len(ours), len(people)) != (halves.n, halves.m):
        raise InputError(f"The rows drawn are of {halves.n} and {halves.m}, the answers {len(ours)} and {len(people)}.")
    reference = _law(law, size)
    cells = max(size, len(reference))

    def sides(rows: IntArray) -> tuple[IntArray, IntArray]:
        q = rows.shape[1] // 2
        return counts(people[rows[:, :q]], cells), counts(people[rows[:, q:]], cells)

    return Tables(
        simulated=counts(ours[np.vstack([halves.s, halves.apart])], cells),
        floor=counts(people[halves.a], cells),
        ceiling=rng.multinomial(halves.h, reference, size=len(halves.b)),
        people=counts(people[halves.b], cells),
        first=sides(halves.first),
        second=sides(halves.second),
        halves=halves,
    )


def spread(tables: Tables) -> Spread:
    """The distances between the tables of all repeats, and between the crossed ones."""
    pairs = len(tables.halves.s)
    both = np.vstack([tables.people[:pairs], tables.floor[:pairs]])
    return Spread(
        crossed=js_crossed(tables.simulated, both),
        floor=js_paired(tables.floor, tables.people),
        ceiling=js_paired(tables.ceiling, tables.people),
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
    """Sum distances up, with their intervals, as `compare` describes."""
    halves = distances.halves
    value, floor, variance = float(distances.crossed.mean()), float(distances.floor.mean()), _variance(distances)
    fall = halves.h / (halves.n * halves.m) if distances.cells > SPARSE * halves.h else None
    ends = distance_ends(value, variance, floor, fall, min(halves.n, halves.m) - 1)
    low, high = _floor_ends(distances.floor, _between_splits(distances))
    return Comparison(
        value=value,
        low=ends.low,
        high=ends.high,
        floor=floor,
        floor_low=max(0.0, low),
        floor_high=min(1.0, high),
        ceiling=float(distances.ceiling.mean()),
        n=halves.h,
        variance=variance,
    )


def joint_codes(simulated: ArrayLike, human: ArrayLike) -> tuple[IntArray, IntArray, int]:
    """Number the joint answers of two samples over the union of those observed.

    Parameters
    ----------
    simulated : (n, k) array_like of numbers
        Simulated answers, one column a question.
    human : (m, k) array_like of numbers
        People's answers, same columns.

    Returns
    -------
    simulated_codes : (n,) int array
    human_codes : (m,) int array
    size : int
        Number of different joint answers in the union; codes run from 0 to size - 1.

    Raises
    ------
    InputError
        If the columns differ in number or an answer is missing.
    """
    ours, people = np.asarray(simulated, dtype=float), np.asarray(human, dtype=float)
    if ours.ndim != 2 or people.ndim != 2 or ours.shape[1] != people.shape[1]:
        raise InputError(
            f"Joint answers need tables with the same columns, got shapes {ours.shape} and {people.shape}."
        )
    both = np.concatenate([ours, people])
    if np.isnan(both).any():
        raise InputError("A joint answer cannot be numbered where an answer is missing.")
    unique, codes = np.unique(both, axis=0, return_inverse=True)
    codes = codes.reshape(-1).astype(np.int64)
    return codes[: len(ours)], codes[len(ours) :], len(unique)


def uniform_joint_law(size: int, grid: int) -> FloatArray:
    """The uniform law over all possible joint answers, on the observed ones and one cell for all others.

    The distance does not change when the cells in which people have nothing are joined into one: such a cell adds
    p/2 to the divergence (in bits), which is additive in p. So the law on size + 1 cells gives the same distances to
    people as the law on the whole grid, however large that is.

    Parameters
    ----------
    size : int
        Number of joint answers observed (of `joint_codes`).
    grid : int
        Number of joint answers that the questions allow, at least ``size``.

    Returns
    -------
    (size + 1,) float array
        Probabilities.

    Raises
    ------
    InputError
        If the grid has fewer cells than were observed.
    """
    if not 1 <= size <= grid:
        raise InputError(f"{size} joint answers were observed, but the questions allow only {grid}.")
    return np.append(np.full(size, 1 / grid), (grid - size) / grid)


_DISTANCES = ("crossed", "floor", "ceiling", "first", "second", "cells")


def _variance(distances: Spread) -> Variance:
    h = distances.halves.h
    return u_statistic_variance(distances.crossed, (h / distances.halves.n, h / distances.halves.m))


def _between_splits(distances: Spread) -> float:
    """The variance between people of the mean distance over splits: from 2q of m people to 2h fresh ones."""
    m, h, q = distances.halves.m, distances.halves.h, distances.halves.h // 2
    # A covariance that estimates a variance is not negative.
    shared = max(float(np.cov(distances.first, distances.second)[0, 1]), 0.0)
    return 2 * shared * q / h * m / (m - 2 * q)


def _floor_ends(floor: FloatArray, between: float) -> tuple[float, float]:
    """The central 95 % of the draws, stretched about their mean so that their variance grows by ``between``."""
    ends, centre, within = central(floor), floor.mean(), np.var(floor, ddof=1)
    stretch = np.sqrt(1 + between / within) if within > 0 else 1.0
    return float(centre + (ends.low - centre) * stretch), float(centre + (ends.high - centre) * stretch)


def _codes(codes: ArrayLike, size: int) -> IntArray:
    array = np.asarray(codes)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"Codes must be whole numbers, got {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() >= size):
        raise InputError(f"Codes must lie in 0 to {size - 1}, got {array.min()} to {array.max()}.")
    return array.astype(np.int64)


def _columns(columns: Sequence[ArrayLike], sizes: Sequence[int], which: str) -> list[IntArray]:
    if not sizes or len(columns) != len(sizes):
        raise InputError(f"The {which} sample has {len(columns)} columns and {len(sizes)} sizes are given.")
    checked = [_codes(column, size) for column, size in zip(columns, sizes, strict=True)]
    lengths = {column.shape for column in checked}
    if len(lengths) > 1 or checked[0].ndim != 1 or len(checked[0]) < 2:
        raise InputError(f"The {which} sample needs columns of one length of at least 2, got {sorted(lengths)}.")
    return checked


def _law(law: ArrayLike | None, size: int) -> NDArray[np.float64]:
    if law is None:
        return np.full(size, 1 / size)
    array = np.asarray(law, dtype=float)
    if array.ndim != 1 or len(array) < size:
        raise InputError(f"The ceiling's law needs at least {size} probabilities, got an array of shape {array.shape}.")
    return normalised(array)
