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
    subsets,
)


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


def unique_count(codes: ArrayLike) -> int:
    """How many different codes there are; it grows with n, so compare it at equal n (`expected_unique`).

    Parameters
    ----------
    codes : (n,) array_like
        Codes, for example of `structures`.
    """
    return len(_frequencies(codes))


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


def unique_interval(
    codes: ArrayLike, size: int, repeats: int, rng: np.random.Generator, level: float = 0.95
) -> Estimate:
    """The expected number of different codes among ``size`` rows, with an interval over fresh samples of all N rows.

    Parameters
    ----------
    codes : (N,) int array_like
        Codes, at least 2.
    size : int
        Rows at which to count, 1 to N.
    repeats : int
        Number of random halves, at least 2; used only where size exceeds N / 2.
    rng : numpy.random.Generator
        Source of randomness.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Estimate
        The rarefied number; the interval is normal and clipped to 1 and ``size``; ``n`` is ``size``. Where all codes
        are equal, or all different, nothing tells how the number varies and the interval has no width.

    Raises
    ------
    InputError
        If there are under 2 rows, or size, repeats or level is out of range.

    Notes
    -----
    Half-sampling alone is wrong here: the number grows with n, and its spread over halves was about half of its
    sampling spread in simulation. Write U(m) for the expected number among m rows and r = size / N. If the number of
    rows of each code is Poisson, the variance of the rarefied number is U(2 size) - U(2 size - size r); at size = N
    this is Karlin's U(2N) - U(N). Since N is given, size r U'(size)² is to be taken off. U is rarefied up to N and
    extrapolated beyond it by Good & Toulmin's alternating series in Efron & Thisted's smoothed form. Where that is
    needed, the result is noisy if few codes are rare, and the variance over random halves serves as its lower bound.
    Up to N / 4 rows the number is nearly a mean over rows, and its variance is that of the jackknife that leaves one
    row out; at 10 rows and fewer the above was up to half too short.

    References
    ----------
    Karlin (1967), Central limit theorems for certain infinite urn schemes, Journal of Mathematics and Mechanics 17,
    373-401; Good & Toulmin (1956), The number of new species, and the increase in population coverage, when a sample
    is increased, Biometrika 43, 45-63; Efron & Thisted (1976), Estimating the number of unseen species: how many
    words did Shakespeare know?, Biometrika 63, 435-447.
    """
    array = np.asarray(codes)
    if len(array) < 2 or not 1 <= size <= len(array) or repeats < 2:
        raise InputError(
            f"A count of unique answers at {size} rows needs as many, 2 or more, and 2 repeats; "
            f"there are {len(array)} rows and {repeats} repeats."
        )
    frequencies = _frequencies(array)
    value = _rarefied(frequencies, size)
    variance = max(_unique_variance(frequencies, size), 0.0)
    if 4 * size <= len(array):
        variance = _jackknife_variance(frequencies, lambda counted: 1 - _missed(counted, len(array) - 1, size))
    elif 2 * size > len(array):
        variance = max(variance, _variance_over_halves(array, size, repeats, rng))
    half = normal_quantile(level) * math.sqrt(variance)
    return Estimate(value, max(1.0, value - half), min(float(size), value + half), size)


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


def entropy_bits(codes: ArrayLike) -> float:
    """Plug-in Shannon entropy of codes, in bits.

    It is biased downwards, by about (number of codes - 1) / (2 n ln 2) bits: compare it at equal n.

    Parameters
    ----------
    codes : (n,) array_like
        Codes, at least one.

    Returns
    -------
    float
        Between 0 and log2(n).

    Raises
    ------
    InputError
        If there are none.

    References
    ----------
    Shannon (1948), A mathematical theory of communication, Bell System Technical Journal 27, 379-423; for the bias
    Miller (1955), Note on the bias of information estimates, in Quastler (ed.), Information Theory in Psychology.
    """
    shares = _frequencies(codes) / np.size(codes)
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


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
    """`expected_entropy` at ``size`` rows, with a normal interval over fresh samples of all N rows.

    Its standard error is that of the jackknife that leaves one row out. On sparse tables, where most structures occur
    once, that is right or a little long, while the spread over random halves and the variance formula for known
    probabilities were up to 13 % and 30 % short in simulation.

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
    Zahl (1977), Jackknifing an index of diversity, Ecology 58, 907-913.
    """
    frequencies = _frequencies(codes)
    total = int(frequencies.sum())
    if total < 2:
        raise InputError("The interval of an entropy needs 2 rows or more, there is 1.")
    value = expected_entropy(codes, size)
    half = normal_quantile(level) * _entropy_error(frequencies, min(size, total - 1))
    return Estimate(value, max(0.0, value - half), min(math.log2(size), value + half), size)


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


def _unique_variance(frequencies: IntArray, size: int) -> float:
    share = size / int(frequencies.sum())
    slope = _rarefied(frequencies, size) - _rarefied(frequencies, size - 1)
    more, less = _curve(frequencies, 2.0 * size), _curve(frequencies, 2 * size - size * share)
    return more - less - size * share * slope**2


def _curve(frequencies: IntArray, n: float) -> float:
    """The expected number among n rows: rarefied, with a straight line between whole n; extrapolated beyond N."""
    total = int(frequencies.sum())
    if n > total:
        return len(frequencies) + _new_among(frequencies, n / total - 1)
    below = math.floor(n)
    above = min(below + 1, total)
    return _rarefied(frequencies, below) * (1 - (n - below)) + _rarefied(frequencies, above) * (n - below)


def _new_among(frequencies: IntArray, t: float, order: int = 10) -> float:
    """Good & Toulmin's expected number of new codes among t N more rows, the series smoothed to ``order`` terms."""
    times = np.bincount(frequencies, minlength=order + 1)[1 : order + 1]
    k = np.arange(1, order + 1)
    weights = binom.sf(k - 1, order, 1 / (1 + t))
    return float(-((-t) ** k * weights * times).sum())


def _variance_over_halves(codes: NDArray[Any], size: int, repeats: int, rng: np.random.Generator) -> float:
    half = len(codes) // 2
    numbers = [
        _rarefied(_frequencies(codes[rows]), min(size, half)) for rows in subsets(len(codes), half, repeats, rng)
    ]
    return float(np.var(numbers, ddof=1))
