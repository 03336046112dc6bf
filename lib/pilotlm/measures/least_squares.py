"""Least squares with errors that hold with few rows, whatever their spread: HC2 and Bell-McCaffrey freedom."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from pilotlm.measures.intervals import FloatArray, IntArray, normal_quantile

BoolArray = NDArray[np.bool_]
_TINY = 1e-10
"""Of the largest singular value: a design below it has no solution."""
_ALONE = 1e-6
"""A row whose leverage lacks less than this of 1 determines its own fitted value: it tells nothing of errors."""
_NONE = 1e-9
"""Of the sum of a coefficient's squared weights: less than this on some rows is rounding."""
_EXACT = 1e-12
"""A residual of less than this, for the size of the outcomes, is rounding."""


@dataclass(frozen=True, eq=False)
class Inference:
    """An estimate, its standard error and its confidence interval; in a stack of samples, those of each.

    Attributes
    ----------
    value : (...) float array
        nan where it cannot be estimated.
    error : (...) float array
        Its standard error.
    low, high : (...) float array
        nan where there is no interval to be offered.
    freedom : (...) float array
        Degrees of freedom of the t distribution that the interval uses; infinite for a normal one.
    tuning : (...) float array
        The weight of the predictions: 0 people only, 1 as published by Angelopoulos et al. (2023); nan where there is
        no such thing.
    """

    value: FloatArray
    error: FloatArray
    low: FloatArray
    high: FloatArray
    freedom: FloatArray
    tuning: FloatArray

    def where(self, condition: BoolArray, other: Inference) -> Inference:
        """What stands here where the condition (...) holds, and what another has elsewhere."""
        return Inference(*(np.where(condition, a, b) for a, b in zip(self._arrays, other._arrays, strict=True)))

    def without_interval(self, condition: BoolArray) -> Inference:
        """The same estimate without its interval where the condition (...) holds."""
        low, high = (np.where(condition, np.nan, end) for end in (self.low, self.high))
        return Inference(self.value, self.error, low, high, self.freedom, self.tuning)

    @property
    def _arrays(self) -> tuple[FloatArray, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


def stacked(found: list[Inference]) -> Inference:
    """Inferences of single samples as those of a stack."""
    return Inference(*(np.array(values) for values in zip(*(one._arrays for one in found), strict=True)))


def inferred(
    value: FloatArray, variance: FloatArray, freedom: FloatArray | int, tuning: float | FloatArray = np.nan
) -> Inference:
    """The estimate with its t interval at 95 %; without error and interval where variance or freedom leave none.

    Parameters
    ----------
    value, variance, freedom : (...) array
        nan where there is nothing; an infinite freedom is that of the normal distribution.
    tuning : (...) array
        See `Inference`.

    Returns
    -------
    Inference
    """
    value, variance, freedom = np.broadcast_arrays(
        *(np.asarray(a, dtype=np.float64) for a in (value, variance, freedom))
    )
    known = np.isfinite(value) & (variance > 0) & (freedom > 0)
    finite = np.isfinite(freedom)
    quantile = np.where(finite, stdtrit(np.where(known & finite, freedom, 1.0), 0.975), normal_quantile(0.95))
    error = np.where(known, np.sqrt(np.where(known, variance, 1.0)), np.nan)
    half = error * quantile
    return Inference(
        value, error, value - half, value + half, np.where(known, freedom, np.nan), np.where(known, tuning, np.nan)
    )


@dataclass(frozen=True, eq=False)
class Columns:
    """Predictors made ready for outcomes to be fitted on; several outcomes can share them.

    Attributes
    ----------
    predictors : (..., n, k) array
    left : (..., n, k) array
        Orthonormal columns that span the same space.
    inverse : (..., k, n) array
        What takes outcomes to coefficients.
    known : (...) bool array
        Whether the columns are linearly independent and leave a row over.
    """

    predictors: FloatArray
    left: FloatArray
    inverse: FloatArray
    known: BoolArray

    @cached_property
    def leverages(self) -> FloatArray:
        """How far each outcome draws its own fitted value, (..., n), 0 to 1."""
        return np.asarray(np.square(self.left).sum(axis=-1))

    @cached_property
    def unexplained(self) -> FloatArray:
        """1 - leverage; infinite for rows that tell nothing of errors, so that they add nothing."""
        left = 1 - self.leverages
        return np.where(left > _ALONE, left, np.inf)

    def rests_on_one(self, column: int) -> BoolArray:
        """Whether a coefficient needs a row of leverage one, (...): the only one of a level, say.

        Such a row has no residual, whatever its outcome, so that nothing is known of the coefficient's error.
        """
        squared = np.square(self.inverse[..., column, :])
        return _is_part((squared * np.isinf(self.unexplained)).sum(axis=-1), squared.sum(axis=-1))

    def rests_on_a_group(self, column: int, groups: IntArray) -> bool:
        """Whether a coefficient of a single design needs a group of rows, (n,), that determines its own fitted values.

        It is what `rests_on_one` is where not rows but clusters are independent of each other.
        """
        weights = self.inverse[column]
        found = 0.0
        for group in np.unique(groups):
            rows = groups == group
            # Directions in which the group's outcomes can be fitted exactly have the singular value 1.
            directions, sizes, _ = np.linalg.svd(self.left[rows], full_matrices=False)
            found += float(np.square(weights[rows] @ directions[:, np.square(sizes) > 1 - _ALONE]).sum())
        return bool(_is_part(found, np.square(weights).sum()))

    def freedom(self, column: int) -> FloatArray:
        """Bell and McCaffrey's degrees of freedom of a coefficient's HC2 variance, (...); nan where there is none.

        They are Satterthwaite's with equal errors, from the first two moments. With M what takes outcomes to residuals
        and w the squared weights over 1 - leverage, the second is the sum over rows i and j of w_i w_j M_ij²; as
        M = I - L L' that takes n k² operations, not n².
        """
        squared = np.square(self.inverse[..., column, :])
        w = squared / self.unexplained
        crossed = self.left.swapaxes(-1, -2) @ (w[..., None] * self.left)
        second = np.square(crossed).sum(axis=(-1, -2)) + (np.square(w) * (1 - 2 * self.leverages)).sum(axis=-1)
        known = (second > 0) & ~self.rests_on_one(column)
        return np.where(known, np.square(squared.sum(axis=-1)) / np.where(known, second, 1.0), np.nan)


def _is_part(some: FloatArray | float, all_of_them: FloatArray | float) -> BoolArray:
    return np.asarray(np.asarray(some) > _NONE * np.asarray(all_of_them))


def columns(predictors: FloatArray) -> Columns:
    """Make predictors (..., n, k) ready, the constant among them where one is wanted."""
    n, k = predictors.shape[-2:]
    if n <= k:
        nothing = np.full(predictors.shape, np.nan)
        return Columns(predictors, nothing, nothing.swapaxes(-1, -2), np.zeros(predictors.shape[:-2], dtype=bool))
    largest = np.abs(predictors).max(axis=-2)
    scale = np.where(largest > 0, largest, 1.0)
    left, sizes, right = np.linalg.svd(predictors / scale[..., None, :], full_matrices=False)
    known = sizes[..., -1] > _TINY * sizes[..., 0]
    sizes = np.where(known[..., None], sizes, np.nan)
    inverse = (right.swapaxes(-1, -2) / sizes[..., None, :]) @ left.swapaxes(-1, -2) / scale[..., None]
    return Columns(predictors, left, inverse, np.asarray(known))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A least-squares fit, seen from one of its coefficients; nan where the columns are dependent.

    Attributes
    ----------
    coefficients : (..., k) array
    residuals : (..., n) array
    columns : Columns
        What it was fitted on.
    column : int
        Which of the coefficients.
    """

    coefficients: FloatArray
    residuals: FloatArray
    columns: Columns
    column: int

    @property
    def value(self) -> FloatArray:
        """The coefficient, (...)."""
        return np.asarray(self.coefficients[..., self.column])

    @property
    def weights(self) -> FloatArray:
        """The coefficient is the sum of weights (..., n) times outcomes."""
        return np.asarray(self.columns.inverse[..., self.column, :])

    @property
    def parts(self) -> FloatArray:
        """What each row adds to the error of the coefficient, (..., n); the sum of squares is HC2's variance.

        nan where the coefficient rests on a single row, which has no residual.
        """
        parts = self.weights * self.residuals / np.sqrt(self.columns.unexplained)
        return np.where(self.columns.rests_on_one(self.column)[..., None], np.nan, parts)

    @property
    def freedom(self) -> FloatArray:
        """Degrees of freedom of that variance, (...)."""
        return self.columns.freedom(self.column)


def fitted(outcome: FloatArray, on: Columns, column: int) -> Fitted:
    """Fit outcomes (..., n) by least squares, the coefficient of one of the columns being wanted."""
    coefficients = (on.inverse @ outcome[..., None])[..., 0]
    residuals = outcome - (on.predictors @ coefficients[..., None])[..., 0]
    rounding = _EXACT * np.abs(outcome).max(axis=-1, keepdims=True, initial=0.0)
    return Fitted(coefficients, np.where(np.abs(residuals) <= rounding, 0.0, residuals), on, column)


def squares(values: FloatArray) -> FloatArray:
    """The sum of squares of each row, (..., n) to (...)."""
    return np.asarray(np.square(values).sum(axis=-1))


def least_squares(outcome: FloatArray, on: Columns, column: int = 0) -> Inference:
    """A coefficient of least squares with HC2 errors and Bell and McCaffrey's degrees of freedom.

    For a mean that is the t interval with n - 1 degrees of freedom; for two groups of one size it is Welch's standard
    error. Larger errors in one group, or an outcome that is 0 or 1, do not make it wrong, and with few rows or an
    uneven design the degrees of freedom are few.

    Parameters
    ----------
    outcome : (..., n) array
    on : Columns
        With a constant, where one is wanted.
    column : int
        Which coefficient.

    Returns
    -------
    Inference
        Without error and interval where the coefficient rests on a single row, or all rows behind it are fitted
        exactly.

    References
    ----------
    MacKinnon & White (1985), Some heteroskedasticity-consistent covariance matrix estimators with improved finite
    sample properties, Journal of Econometrics 29, 305-325, for HC2; Bell & McCaffrey (2002), Bias reduction in standard
    errors for linear regression with multi-stage samples, Survey Methodology 28, 169-181, and Imbens & Kolesár (2016),
    Robust standard errors in small samples: some practical advice, Review of Economics and Statistics 98, 701-712, for
    the degrees of freedom.
    """
    fit = fitted(outcome, on, column)
    return inferred(fit.value, squares(fit.parts), fit.freedom)
