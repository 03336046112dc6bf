"""How much of the variance of answers goes with what is known of a person."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray, half_sampling


def explained_share(outcomes: ArrayLike, explaining: ArrayLike, given: ArrayLike | None = None) -> float:
    """The share of variance that some columns explain beyond others, adjusted for their number, mean over outcomes.

    With residual variances s² of the linear regressions on the given columns, and on given and explaining columns
    together (each with its degrees of freedom), it is 1 - s²(both) / s²(given): the adjusted partial R². Because it
    is adjusted its expectation is 0 where there is nothing to explain, and it may then be negative.

    Parameters
    ----------
    outcomes : (rows, outcomes) array_like
        Numbers; an outcome that does not vary beyond the given columns has a share of 0.
    explaining : (rows, columns) array_like
        Numbers and indicators; columns that are sums of others do no harm.
    given : (rows, columns) array_like, optional
        The same; nothing when absent. An intercept is always given.

    Returns
    -------
    float
        At most 1; nan where there are not more rows than columns.

    Raises
    ------
    InputError
        If the numbers of rows differ.

    References
    ----------
    Ezekiel (1930), Methods of Correlation Analysis, chapter 12, for the adjustment.
    """
    y, x = np.asarray(outcomes, dtype=float), np.asarray(explaining, dtype=float)
    z = np.empty((len(y), 0)) if given is None else np.asarray(given, dtype=float)
    if y.ndim != 2 or x.ndim != 2 or z.ndim != 2 or not len(y) == len(x) == len(z):
        shapes = f"{y.shape}, {x.shape} and {z.shape}"
        raise InputError(f"Outcomes, explaining and given columns must be tables of the same rows, got {shapes}.")
    z = np.column_stack([np.ones(len(y)), z])
    before, after = _residual_variance(y, z), _residual_variance(y, np.column_stack([z, x]))
    varies = before > 1e-12 * np.maximum(1.0, np.square(y).mean(axis=0))
    return float(np.mean(1 - np.divide(after, before, out=np.ones_like(after), where=varies)))


def explained(
    outcomes: FloatArray, explaining: FloatArray, given: FloatArray | None, repeats: int, rng: np.random.Generator
) -> Estimate:
    """`explained_share` with a 95 % interval from half-samples of rows; parameters as there."""

    def statistic(rows: IntArray) -> float:
        return explained_share(outcomes[rows], explaining[rows], None if given is None else given[rows])

    return half_sampling(statistic, len(outcomes), repeats, rng)


def _residual_variance(y: FloatArray, x: FloatArray) -> FloatArray:
    solution, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    left = len(y) - int(rank)
    if left < 1:
        return np.full(y.shape[1], np.nan)
    return np.asarray(np.square(y - x @ solution).sum(axis=0) / left)
