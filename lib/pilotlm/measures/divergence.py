"""Distances between the answers of two samples, read between a human floor and a ceiling at the same sample size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlog1py, xlogy

from pilotlm.errors import InputError
from pilotlm.measures.intervals import FloatArray, IntArray, central, normal_quantile, split_pairs, subsets


@dataclass(frozen=True)
class Comparison:
    """The distance of a simulation to people, with what it is to be read against; see `compare`.

    Attributes
    ----------
    value : float
        Mean Jensen-Shannon distance between n simulated rows and n people, in [0, 1].
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
    """

    value: float
    low: float
    high: float
    floor: float
    floor_low: float
    floor_high: float
    ceiling: float
    n: int


def js_distance(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Jensen-Shannon distance: the square root of the Jensen-Shannon divergence, logarithms to base 2.

    JSD = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2. The plug-in value from samples is biased upwards, the
    more so the more cells there are for each row: compare distances only at equal sample sizes.

    Parameters
    ----------
    p, q : (..., k) array_like
        Counts or probabilities over the same k cells; each is divided by its sum. Leading axes broadcast.

    Returns
    -------
    (...) float array
        In [0, 1]: 0 for equal laws, 1 for laws without a common cell.

    Raises
    ------
    InputError
        If an entry is negative or not finite, or nothing is counted.

    Notes
    -----
    Computed cell by cell as s/4 [(1+t) log(1+t) + (1-t) log(1-t)] with s = p + q, t = (p - q) / s, which is the same
    sum; unlike the usual form it has no cancellation, so that equal laws are exactly 0 apart.

    References
    ----------
    Lin (1991), Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37, 145-151;
    Endres & Schindelin (2003), A new metric for probability distributions, same journal 49, 1858-1860.
    """
    first, second = _normalised(p), _normalised(q)
    total = first + second
    t = np.divide(first - second, total, out=np.zeros_like(total), where=total > 0)
    cells = total / 4 * (xlog1py(1 + t, t) + xlog1py(1 - t, -t))
    divergence = cells.sum(axis=-1) / np.log(2)
    return np.asarray(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def total_variation(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Total variation distance: half the sum of absolute differences, the largest difference over all events.

    Parameters
    ----------
    p, q : (..., k) array_like
        Counts or probabilities over the same k cells; each is divided by its sum. Leading axes broadcast.

    Returns
    -------
    (...) float array
        In [0, 1].

    Raises
    ------
    InputError
        If an entry is negative or not finite, or nothing is counted.

    References
    ----------
    Levin & Peres (2017), Markov Chains and Mixing Times, 2nd edition, proposition 4.2.
    """
    return np.asarray(np.abs(_normalised(p) - _normalised(q)).sum(axis=-1) / 2)


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
    """Jensen-Shannon distance of simulated answers to people's, between its human floor and its ceiling.

    Every distance is taken between two sets of h rows, min(n, m) // 2 unless ``at`` says otherwise. In each repeat,
    two disjoint sets A and B of h people and a set S of h simulated rows are drawn, all without replacement. Then over
    the repeats:

    - value: the mean of d(S, B); its interval is the value ± 1.96 standard deviations, from half-sampling with the
      simulated rows' part and the people's part of the variance told apart (see Notes);
    - floor: the mean of d(A, B); its interval is the central 95 % of the draws of d(A, B), widened by what two fresh
      samples would differ from these people (see Notes);
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
    The value estimates the expected distance between h fresh simulated rows and h fresh people. Write v(S) and v(B)
    for the variance of d that is due to either side. d(S, B) of one repeat and d(S, B') with the B' of the next share
    only S, so their covariance is v(S) (h to h); times h / (n - h) it is that side's sampling variance at n, as in
    `pilotlm.measures.intervals.half_sampling_sd`. The people's part goes the same way. The interval is of the right
    length where the two laws differ, and longer than needed (it covers 99 %) where they are the same.

    Splits of one set of people all have the same union, which makes the draws of the floor too much alike on sparse
    tables: the central 95 % of them held 70 % of fresh pairs in simulation. The missing variance is that of the mean
    over splits; it is estimated as the covariance between two splits of the same half of the people, over halves.

    References
    ----------
    Shao & Wu (1989) and Wu (1990), cited in `pilotlm.measures.intervals.half_sampling`, for the half-sampling.
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
    """The same as `compare` for several columns: in each repeat the distance is the mean over the columns.

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
    if len(laws) != len(sizes) or repeats < 2:
        raise InputError(f"A comparison needs one ceiling a column and 2 repeats or more, got {len(laws)}, {repeats}.")
    n, m = len(ours[0]), len(people[0])
    largest = min(n, m) // 2
    h = largest if at is None else at
    if not 1 <= h <= largest:
        raise InputError(f"{n} simulated rows and {m} people can be compared at 1 to {largest} rows, not at {at}.")
    a, b = split_pairs(m, h, repeats, rng)
    draws = _Draws(a, b, subsets(n, h, repeats, rng), *_two_splits(m, h, repeats, rng))
    distances = [
        _distances(x, y, size, _law(law, size), draws, rng)
        for x, y, size, law in zip(ours, people, sizes, laws, strict=True)
    ]
    return _comparison(np.mean(distances, axis=0), n, m, h)


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


@dataclass(frozen=True, eq=False)
class _Draws:
    """The rows of all repeats: people a and b, simulated s (h each); first and second, two splits of the same."""

    a: IntArray
    b: IntArray
    s: IntArray
    first: IntArray
    second: IntArray


def _two_splits(m: int, h: int, repeats: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Half as many people as a and b together, in two orders; the halves of a row are its split."""
    rows = subsets(m, max(2 * (h // 2), 2), repeats, rng)
    return rows, rng.permuted(rows, axis=1)


def _distances(
    simulated: IntArray, human: IntArray, size: int, law: FloatArray, draws: _Draws, rng: np.random.Generator
) -> FloatArray:
    """d(S, B), d(S, next B), d(A, B), d(C, B) and the two splits' distances of each repeat: a (6, repeats) array."""
    cells = max(size, len(law))
    ours, reference = counts(simulated[draws.s], cells), counts(human[draws.b], cells)
    drawn = rng.multinomial(draws.b.shape[1], law, size=len(draws.b))
    return np.stack(
        [
            _js_of_counts(ours, reference),
            _js_of_counts(ours, np.roll(reference, -1, axis=0)),
            _js_of_counts(counts(human[draws.a], cells), reference),
            _js_of_counts(drawn, reference),
            *(_split_distance(human[rows], cells) for rows in (draws.first, draws.second)),
        ]
    )


def _split_distance(codes: IntArray, cells: int) -> FloatArray:
    half = codes.shape[1] // 2
    return _js_of_counts(counts(codes[:, :half], cells), counts(codes[:, half:], cells))


def _js_of_counts(first: IntArray, second: IntArray) -> FloatArray:
    """`js_distance` of tables with one common total, many times faster: logarithms of whole numbers are looked up.

    With total h it is 1 + [sum a log2 a + sum b log2 b - sum (a + b) log2 (a + b)] / 2h.
    """
    total = int(first[0].sum())
    values = np.arange(2 * total + 1)
    log = xlogy(values, values) / np.log(2)
    divergence = 1 + (log[first] + log[second] - log[first + second]).sum(axis=-1) / (2 * total)
    # Rounding leaves some 1e-15 where tables are equal; those that differ are at least about 1 / total² apart.
    return np.asarray(np.sqrt(np.where(divergence < 1e-13, 0.0, np.minimum(divergence, 1.0))))


def _comparison(distances: FloatArray, n: int, m: int, h: int) -> Comparison:
    value, shifted, floor, ceiling, first, second = distances
    centre = float(value.mean())
    half = normal_quantile(0.95) * np.sqrt(_value_variance(value, shifted, n, m, h))
    low, high = _floor_ends(floor, 2 * _covariance(first, second) * _split_factor(m, h))
    return Comparison(
        value=centre,
        low=float(max(0.0, centre - half)),
        high=float(min(1.0, centre + half)),
        floor=float(floor.mean()),
        floor_low=max(0.0, low),
        floor_high=min(1.0, high),
        ceiling=float(ceiling.mean()),
        n=h,
    )


def _value_variance(value: FloatArray, shifted: FloatArray, n: int, m: int, h: int) -> float:
    simulated_part = _covariance(value, shifted) * h / (n - h)
    human_part = _covariance(np.roll(value, -1), shifted) * h / (m - h)
    return simulated_part + human_part


def _split_factor(m: int, h: int) -> float:
    """From the variance over the people split (2q of m) to the sampling variance with 2h fresh people."""
    q = h // 2
    return q / h * m / (m - 2 * q)


def _floor_ends(floor: FloatArray, between: float) -> tuple[float, float]:
    """The central 95 % of the draws, stretched about their mean so that their variance grows by ``between``."""
    ends, centre, within = central(floor), floor.mean(), np.var(floor, ddof=1)
    stretch = np.sqrt(1 + between / within) if within > 0 else 1.0
    return float(centre + (ends.low - centre) * stretch), float(centre + (ends.high - centre) * stretch)


def _covariance(x: FloatArray, y: FloatArray) -> float:
    """A covariance that estimates a variance, hence not negative."""
    return max(float(np.cov(x, y)[0, 1]), 0.0)


def _normalised(weights: ArrayLike) -> FloatArray:
    array = np.asarray(weights, dtype=float)
    total = array.sum(axis=-1, keepdims=True)
    if not np.isfinite(array).all() or (array < 0).any() or (total <= 0).any():
        raise InputError("A distance needs counts or probabilities that are not negative and do not sum to zero.")
    return np.asarray(array / total)


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
    return _normalised(array)
