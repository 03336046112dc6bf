"""Equivalence claims: two one-sided tests against a stated margin, verdicts, and Holm's adjustment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from pilotlm.errors import InputError
from pilotlm.measures.intervals import FloatArray

EQUIVALENT = "equivalent"
DIFFERENT = "different"
UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class Equivalence:
    """Whether differences are negligible; arrays of one shape.

    Attributes
    ----------
    estimate : float array
        The differences.
    low, high : float arrays
        The interval of level 1 - 2 alpha, 90 % for tests at 5 %: it lies within ± margin exactly where both
        one-sided tests reject.
    equivalence_p : float array
        The p-value of "the difference is at least the margin", the larger of the two one-sided ones.
    difference_p : float array
        The two-sided p-value of "there is no difference".
    """

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    equivalence_p: FloatArray
    difference_p: FloatArray


def two_one_sided(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    margin: float,
    level: float = 0.05,
    freedom: ArrayLike = np.inf,
) -> Equivalence:
    """Test for equivalence, and for a difference, with the t distribution.

    With z = (estimate ± margin) / standard error the one-sided tests are of "difference <= -margin" and
    "difference >= margin"; equivalence is claimed where both are rejected at ``level``.

    Parameters
    ----------
    estimate : array_like
        Differences; nan where there is none, which makes everything else nan.
    standard_error : array_like
        Their standard errors, same shape, not negative; with 0 the difference is taken as known.
    margin : float
        The largest difference that does not matter, in the same unit, positive.
    level : float
        Level of each test, between 0 and 0.5.
    freedom : array_like
        Degrees of freedom of the standard errors; with infinitely many the distribution is normal.

    Returns
    -------
    Equivalence

    Raises
    ------
    InputError
        If the margin or the level is out of range.

    References
    ----------
    Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach for assessing the
    equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """
    if not margin > 0 or not 0 < level < 0.5:
        raise InputError(f"Equivalence needs a margin above 0 and a level in (0, 0.5), got {margin} and {level}.")
    difference, error = np.asarray(estimate, dtype=float), np.asarray(standard_error, dtype=float)
    df = np.asarray(freedom, dtype=float)
    half = t.ppf(1 - level, df) * error
    below, above = t.sf(_over(difference + margin, error), df), t.cdf(_over(difference - margin, error), df)
    apart = 2 * t.sf(np.abs(_over(difference, error)), df)
    return Equivalence(difference, difference - half, difference + half, np.maximum(below, above), np.asarray(apart))


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust the p-values of a family so that the chance of any false rejection in it stays at the level.

    The i-th smallest of k is multiplied by k + 1 - i, and none may be smaller than one before it. The same as
    ``statsmodels.stats.multitest.multipletests``, for many families at once.

    Parameters
    ----------
    p_values : (..., k) array_like
        Families along the last axis; a nan was not tested, does not count, and stays nan.

    Returns
    -------
    (..., k) float array
        Adjusted p-values, to be held against the level itself.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, axis=-1)  # nan last
    left = (~np.isnan(values)).sum(axis=-1, keepdims=True) - np.arange(values.shape[-1])
    raised = np.minimum(np.fmax.accumulate(np.take_along_axis(values, order, axis=-1) * left, axis=-1), 1.0)
    adjusted = np.full(values.shape, np.nan)
    np.put_along_axis(adjusted, order, raised, axis=-1)
    adjusted[np.isnan(values)] = np.nan
    return adjusted


def verdict(equivalence_p: float, difference_p: float, level: float = 0.05) -> str:
    """What two tests together say of a difference.

    Parameters
    ----------
    equivalence_p, difference_p : float
        As in `Equivalence`, adjusted where they belong to a family.
    level : float
        Level of the tests.

    Returns
    -------
    {"equivalent", "different", "undecided"}
        "equivalent" where the difference is shown to be smaller than the margin, even if it is shown not to be 0;
        "different" where it is shown not to be 0 and not shown to be small; else "undecided", also where nothing was
        tested: the data do not tell, which is no evidence for either.

    References
    ----------
    Tryon (2001), Evaluating statistical difference, equivalence, and indeterminacy using inferential confidence
    intervals, Psychological Methods 6, 371-386.
    """
    if equivalence_p < level:
        return EQUIVALENT
    return DIFFERENT if difference_p < level else UNDECIDED


def _over(difference: FloatArray, error: FloatArray) -> FloatArray:
    """The ratio; of something over nothing infinite, of nothing over nothing 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where((difference == 0) & (error == 0), 0.0, difference / error))
