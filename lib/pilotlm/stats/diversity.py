"""How varied answers are: the number of different joint answers ("structures")."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from pilotlm.errors import InputError
from pilotlm.stats.intervals import NORMAL_QUANTILE, Estimate, FloatArray, IntArray

_NONE = 1e-9
"""Fewer rows than this that repeat another are rounding."""


def structures(values: ArrayLike) -> IntArray:
    """Number the joint answers (n, k): rows have the same code if and only if all their answers are the same."""
    table = np.asarray(values, dtype=float)
    if table.ndim != 2:
        raise InputError(f"Joint answers need a table of rows and columns, got an array of shape {table.shape}.")
    if np.isnan(table).any():
        raise InputError("A joint answer cannot be numbered where an answer is missing.")
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def expected_unique(codes: ArrayLike, n: int) -> float:
    """Rarefaction: the expected number of different codes among n of the N rows, drawn without replacement.

    The sum over codes i of 1 - C(N - N_i, n) / C(N, n), exactly. Source: Hurlbert (1971), Ecology 52, 577-586.
    """
    frequencies = _frequencies(codes)
    total = int(frequencies.sum())
    if not 0 <= n <= total:
        raise InputError(f"Rarefaction to {n} rows needs at least as many, there are {total}.")
    return _rarefied(frequencies, n)


def unique_interval(codes: ArrayLike, size: int) -> Estimate:
    """`expected_unique` of ``size`` rows with a 95 % interval over fresh samples of all rows.

    The jackknife's standard error, symmetric in the square root of the number of rows that repeat another, which among
    few rows varies as a Poisson count does (Anscombe 1948); where none does, the number of pairs that are alike is a
    Poisson count of 0 (Garwood 1936). No width where all codes are equal.
    """
    array = np.asarray(codes)
    if len(array) < 2 or not 1 <= size <= len(array):
        raise InputError(
            f"A count of unique answers at {size} rows needs as many, and 2 or more; there are {len(array)} rows."
        )
    frequencies, fewer = _frequencies(array), len(array) - 1
    value = _rarefied(frequencies, size)
    repeats = size - value
    if repeats < _NONE:
        # The upper limit of the number of pairs that are alike, where among all rows there is none.
        alike = -math.log(1 - 0.975) * size * (size - 1) / (len(array) * fewer)
        return Estimate(value, max(1.0, size - alike), float(size), size)
    variance = _jackknife_variance(frequencies, min(size, fewer))
    root, half = math.sqrt(repeats), NORMAL_QUANTILE * math.sqrt(variance) / (2 * math.sqrt(repeats))
    most, least = (root + half) ** 2, max(root - half, 0.0) ** 2
    return Estimate(value, max(1.0, size - most), min(float(size), size - least), size)


def unique_under_uniform(possible: int, n: int) -> float:
    """The expected number of structures if n people answered uniformly: S (1 - (1 - 1/S)^n), S being possible."""
    if possible == 1:
        return float(min(n, 1))
    # 1 - (1 - 1/S)^n is lost to rounding for a large S; expm1 and log1p keep it.
    return float(-possible * math.expm1(n * math.log1p(-1 / possible)))


def _jackknife_variance(frequencies: IntArray, size: int) -> float:
    """The jackknife's variance of `expected_unique` of ``size`` rows, with one row fewer in turn."""
    total = int(frequencies.sum())
    values, times = np.unique(frequencies, return_counts=True)
    whole, less = (1 - _missed(counted, total - 1, size) for counted in (values, values - 1))
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
