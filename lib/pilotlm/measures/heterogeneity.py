"""How varied answers are: joint answers ("structures") counted and rarefied, and their entropy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy
from scipy.stats import binom, hypergeom

from pilotlm.errors import InputError
from pilotlm.measures.intervals import (
    Estimate,
    FloatArray,
    IntArray,
    normal_quantile,
)

_NONE = 1e-9
"""Fewer rows than this that repeat another are rounding."""


def structures(values: ArrayLike) -> IntArray:
    """Number the joint answers: two rows have the same code if and only if all their answers are the same.

    Parameters
    ----------
    values : (n, k) array_like of numbers
        Answers, one column a question.

    Returns
    -------
    (n,) int array
        Codes from 0, in the lexical order of the answers.

    Raises
    ------
    InputError
        If the array is not a table or an answer is missing.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2:
        raise InputError(f"Joint answers need a table of rows and columns, got an array of shape {table.shape}.")
    if np.isnan(table).any():
        raise InputError("A joint answer cannot be numbered where an answer is missing.")
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def expected_unique(codes: ArrayLike, n: int) -> float:
    """Rarefaction: the expected number of different codes among n rows drawn without replacement.

    With N rows in all and N_i of code i it is the sum over i of 1 - C(N - N_i, n) / C(N, n), exactly.

    Parameters
    ----------
    codes : (N,) array_like
        Codes.
    n : int
        Rows drawn, 0 to N.

    Returns
    -------
    float
        Between 0 and the number of different codes.

    Raises
    ------
    InputError
        If n is out of range.

    References
    ----------
    Hurlbert (1971), The nonconcept of species diversity: a critique and alternative parameters, Ecology 52, 577-586.
    """
    frequencies = _frequencies(codes)
    total = int(frequencies.sum())
    if not 0 <= n <= total:
        raise InputError(f"Rarefaction to {n} rows needs at least as many, there are {total}.")
    return _rarefied(frequencies, n)


def unique_interval(codes: ArrayLike, size: int, level: float = 0.95) -> Estimate:
    """The expected number of different codes among ``size`` rows, with an interval over fresh samples of all N rows.

    The standard error is that of the jackknife that leaves one row out. The interval is symmetric on the scale of the
    square root of the number of rows that repeat another, ``size`` less the number of codes: among few rows hardly any
    do, and that number then varies as a Poisson count does. Where none does, the number of pairs that are alike is a
    Poisson count of 0, whose upper limit is known. In simulation it covers 94 to 98 % from 5 rows to all N, and 99 %
    where nearly all codes are different: the jackknife counts what pairs of rows add twice. Where several rows gave
    every code it has hardly any width, and the expected number may be less than one below it.

    Parameters
    ----------
    codes : (N,) int array_like
        Codes, at least 2.
    size : int
        Rows at which to count, 1 to N.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        The rarefied number; the interval is clipped to 1 and ``size``; ``n`` is ``size``. Where all codes are equal
        nothing tells how the number varies and the interval has no width.

    Raises
    ------
    InputError
        If there are under 2 rows, or size or level is out of range.

    References
    ----------
    Smith & van Belle (1984), Nonparametric estimation of species richness, Biometrics 40, 119-129, for resampling in
    counts of codes; Anscombe (1948), The transformation of Poisson, binomial and negative-binomial data, Biometrika 35,
    246-254, for the square root; Garwood (1936), Fiducial limits for the Poisson distribution, Biometrika 28, 437-442,
    for the limit of a count of 0.
    """
    array = np.asarray(codes)
    if len(array) < 2 or not 1 <= size <= len(array):
        raise InputError(
            f"A count of unique answers at {size} rows needs as many, and 2 or more; there are {len(array)} rows."
        )
    frequencies, fewer = _frequencies(array), len(array) - 1
    value = _rarefied(frequencies, size)
    variance = _jackknife_variance(frequencies, lambda counted: 1 - _missed(counted, fewer, min(size, fewer)))
    most, least = _shortfall(size - value, variance, _pairs_alike(frequencies, size, level), level)
    return Estimate(value, max(1.0, size - most), min(float(size), size - least), size)


def unique_under_uniform(sizes: Sequence[int], n: int) -> float:
    """The expected number of different structures if n people answered every question uniformly at random.

    With S possible structures, the product of ``sizes``, it is S (1 - (1 - 1/S)^n).

    Parameters
    ----------
    sizes : sequence of int
        The number of possible answers of each question, at least 1 (or the one number of possible structures).
    n : int
        Number of people, at least 0.

    Returns
    -------
    float
        Between 0 and min(n, S).

    Raises
    ------
    InputError
        If a size is under 1 or n under 0.

    References
    ----------
    The classical occupancy problem: Feller (1968), An Introduction to Probability Theory and Its Applications,
    volume 1, 3rd edition, section IV.2.
    """
    if not sizes or min(sizes) < 1 or n < 0:
        raise InputError(f"Numbers of possible answers must be at least 1 and n at least 0, got {list(sizes)} and {n}.")
    possible = math.prod(sizes)
    if possible == 1:
        return float(min(n, 1))
    # 1 - (1 - 1/S)^n is lost to rounding for a large S; expm1 and log1p keep it.
    return float(-possible * math.expm1(n * math.log1p(-1 / possible)))


def expected_entropy(codes: ArrayLike, n: int) -> float:
    """The expected plug-in entropy of n rows drawn without replacement, in bits: entropy brought to another n.

    A code with N_i of the N rows has K rows among the n, K being hypergeometric; the entropy is
    log2 n - sum over i of E[K log2 K] / n, exactly.

    Parameters
    ----------
    codes : (N,) array_like
        Codes.
    n : int
        Rows drawn, 1 to N.

    Returns
    -------
    float
        Between 0 and log2(n).

    Raises
    ------
    InputError
        If n is out of range.
    """
    frequencies = _frequencies(codes)
    total = int(frequencies.sum())
    if not 1 <= n <= total:
        raise InputError(f"Entropy at {n} rows needs 1 row or more and as many as that, there are {total}.")
    values, times = np.unique(frequencies, return_counts=True)
    return _entropy(float(times @ _expected_terms(values, total, n)), n)


def entropy_under_uniform(possible: int, n: int) -> float:
    """The expected plug-in entropy if n people chose one of the possible structures uniformly at random, in bits.

    The number of people with one structure is binomial, so it is log2 n - S E[K log2 K] / n with S structures.

    Parameters
    ----------
    possible : int
        The number of possible structures S, at least 1.
    n : int
        Number of people, at least 1.

    Returns
    -------
    float
        Between 0 and log2(min(n, S)).

    Raises
    ------
    InputError
        If a number is under 1.
    """
    if possible < 1 or n < 1:
        raise InputError(f"Structures and people must be at least 1, got {possible} and {n}.")
    k = np.arange(n + 1)
    return _entropy(float(possible * (binom.pmf(k, n, 1 / possible) @ _log_terms(k))), n)


def entropy_interval(codes: ArrayLike, size: int, level: float = 0.95) -> Estimate:
    """`expected_entropy` at ``size`` rows, with an interval over fresh samples of all N rows.

    Its standard error is that of the jackknife that leaves one row out. On sparse tables, where most structures occur
    once, that is right or a little long, while the spread over random halves and the variance formula for known
    probabilities were up to 13 % and 30 % short in simulation. What is short of the largest entropy, log2(size), is
    then made by a few rows that repeat another, and is skewed as their number is: the interval is symmetric on the
    scale of its square root, as that of `unique_interval`, and where no row repeats another it begins where a Poisson
    count of pairs has its limit, each taking 2 / size bits away. In simulation it covers 93 to 98 % from 48 rows to
    200 on laws from sparse to skewed, where a symmetric one covered 91 to 98 %; 99 % at 20 rows that are nearly all
    different, and only 61 to 92 % up to 100 rows of which 95 % are alike.

    Parameters
    ----------
    codes : (N,) array_like
        Codes, at least 2.
    size : int
        Rows at which to take the entropy, 1 to N.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        In bits, the interval clipped to 0 and log2(size); ``n`` is ``size``. Where all codes are equal nothing tells
        how the entropy varies and the interval has no width.

    Raises
    ------
    InputError
        If there are under 2 rows or size or level is out of range.

    References
    ----------
    Zahl (1977), Jackknifing an index of diversity, Ecology 58, 907-913; Anscombe (1948) and Garwood (1936), cited in
    `unique_interval`.
    """
    frequencies = _frequencies(codes)
    total = int(frequencies.sum())
    if total < 2:
        raise InputError("The interval of an entropy needs 2 rows or more, there is 1.")
    if len(frequencies) == 1:
        expected_entropy(codes, size)  # refuses a size out of range
        return Estimate(0.0, 0.0, 0.0, size)
    value, largest = expected_entropy(codes, size), math.log2(size)
    pairs = _pairs_alike(frequencies, size, level)
    most, least = _shortfall(
        largest - value, _entropy_error(frequencies, min(size, total - 1)) ** 2, 2 / size * pairs, level
    )
    return Estimate(value, max(0.0, largest - most), largest - least, size)


def _shortfall(value: float, variance: float, at_none: float, level: float) -> tuple[float, float]:
    """The largest and the smallest of what a measure is short of its maximum, symmetric in the square root."""
    if value < _NONE:
        return at_none, 0.0
    half = normal_quantile(level) * math.sqrt(variance) / (2 * math.sqrt(value))
    return (math.sqrt(value) + half) ** 2, max(math.sqrt(value) - half, 0.0) ** 2


def _pairs_alike(frequencies: IntArray, size: int, level: float) -> float:
    """The upper limit of the number of pairs of ``size`` rows that are alike, where among all N rows there is none."""
    total = int(frequencies.sum())
    return -math.log((1 - level) / 2) * size * (size - 1) / (total * (total - 1))


def _log_terms(k: NDArray[Any]) -> FloatArray:
    return np.asarray(xlogy(k, k) / np.log(2))


def _entropy(terms: float, n: int) -> float:
    return max(0.0, math.log2(n) - terms / n)


def _expected_terms(frequencies: IntArray, total: int, n: int) -> FloatArray:
    """E[K log2 K] of codes with so many of ``total`` rows among n rows drawn."""
    k = np.arange(min(int(frequencies.max()), n) + 1)
    return np.asarray(hypergeom.pmf(k, total, frequencies[:, None], n) @ _log_terms(k))


def _entropy_error(frequencies: IntArray, size: int) -> float:
    total = int(frequencies.sum())
    terms = _jackknife_variance(frequencies, lambda counted: _expected_terms(counted, total - 1, size))
    return math.sqrt(terms) / size


def _jackknife_variance(frequencies: IntArray, part: Callable[[IntArray], FloatArray]) -> float:
    """The jackknife's variance of a sum over codes, ``part`` of its frequency for each, with one row fewer.

    All rows of codes with the same frequency give the same when left out, so they are worked out once.
    """
    total = int(frequencies.sum())
    values, times = np.unique(frequencies, return_counts=True)
    whole, less = part(values), part(values - 1)
    without = times @ whole - whole + less
    weights = values * times / total
    return (total - 1) * float(weights @ (without - weights @ without) ** 2)


def _frequencies(codes: ArrayLike) -> IntArray:
    array = np.asarray(codes)
    if array.ndim != 1 or not array.size:
        raise InputError(f"Codes must be a list of at least one, got an array of shape {array.shape}.")
    return np.unique(array, return_counts=True)[1].astype(np.int64)


def _rarefied(frequencies: IntArray, n: int) -> float:
    return float(len(frequencies) - _missed(frequencies, int(frequencies.sum()), n).sum())


def _missed(frequencies: IntArray, total: int, n: int) -> FloatArray:
    """The probability that n rows drawn from ``total`` hold none of a code with so many: C(N - N_i, n) / C(N, n)."""
    # A code with more than total - n rows is in every draw; elsewhere by log-factorials.
    rest = np.maximum(total - frequencies, n)
    log_missed = gammaln(rest + 1) - gammaln(rest - n + 1) - gammaln(total + 1) + gammaln(total - n + 1)
    return np.where(total - frequencies >= n, np.exp(log_missed), 0.0)
