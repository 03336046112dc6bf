"""A coefficient of least squares with an interval that holds with few rows, whatever the spread of its errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from pilotlm.measures.intervals import FloatArray, normal_quantile

DEPENDENT = "The predictors are linearly dependent in these rows, or there are too few rows."
_TINY = 1e-10
"""Of the largest singular value: a design below it has no solution; 1 - leverage below it leaves nothing to learn."""


@dataclass(frozen=True)
class Inference:
    """An estimate, its standard error and its confidence interval.

    Attributes
    ----------
    value : float
        nan where it cannot be estimated.
    error : float
        Its standard error.
    low, high : float
        nan where there is no interval to be offered; the note says why.
    freedom : float
        Degrees of freedom of the t distribution that the interval uses; infinite for a normal one.
    n : int
        People whose answers it rests on.
    tuning : float
        The weight of the predictions: 0 people only, 1 as published by Angelopoulos et al. (2023); nan where there is
        no such thing.
    note : str
        What is wrong; "" if nothing is.
    """

    value: float
    error: float
    low: float
    high: float
    freedom: float
    n: int
    tuning: float = float("nan")
    note: str = ""

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.high - self.low


def inferred(value: float, variance: float, freedom: float, n: int, tuning: float = float("nan")) -> Inference:
    """The estimate with its t interval at 95 %, or a note where variance or freedom leave none."""
    if not (np.isfinite(value) and variance > 0 and freedom > 0):
        return nothing(n, "There is no standard error: the answers do not vary, or there are too few of them.", value)
    error = float(np.sqrt(variance))
    half = error * (stdtrit(freedom, 0.975) if np.isfinite(freedom) else normal_quantile(0.95))
    return Inference(float(value), error, float(value - half), float(value + half), float(freedom), n, tuning)


def nothing(n: int, note: str, value: float = float("nan")) -> Inference:
    """No interval, and why."""
    nan = float("nan")
    return Inference(float(value), nan, nan, nan, nan, n, note=note)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A least-squares fit, seen from one of its coefficients.

    Attributes
    ----------
    coefficients : (k,) array
    residuals : (n,) array
    weights : (n,) array
        The coefficient is the sum of weights times outcomes.
    leverages : (n,) array
        How far each outcome draws its own fitted value, 0 to 1.
    blind : (n, n) array
        What takes outcomes to residuals; empty where it was not asked for.
    """

    coefficients: FloatArray
    residuals: FloatArray
    weights: FloatArray
    leverages: FloatArray
    blind: FloatArray

    @property
    def parts(self) -> FloatArray:
        """What each row adds to the error of the coefficient; the sum of squares is HC2's variance."""
        return self.weights * self.residuals / np.sqrt(np.maximum(1 - self.leverages, _TINY))

    @property
    def freedom(self) -> float:
        """Bell and McCaffrey's degrees of freedom of that variance, from its first two moments with equal errors."""
        w = self.weights**2 / np.maximum(1 - self.leverages, _TINY)
        second = float(w @ self.blind**2 @ w)
        return float((self.weights @ self.weights) ** 2 / second) if second > 0 else 0.0


def fitted(outcome: FloatArray, predictors: FloatArray, column: int, blind: bool = True) -> Fitted | None:
    """Fit by least squares.

    Parameters
    ----------
    outcome : (n,) array
    predictors : (n, k) array
    column : int
        The coefficient that is wanted.
    blind : bool
        Whether `Fitted.freedom` will be asked for, which takes n² numbers.

    Returns
    -------
    Fitted or None
        None where the columns are linearly dependent or leave no row over.
    """
    n, k = predictors.shape
    if n <= k:
        return None
    left, sizes, right = np.linalg.svd(predictors / _scale(predictors), full_matrices=False)
    if sizes[-1] <= _TINY * sizes[0]:
        return None
    inverse = (right.T / sizes) @ left.T / _scale(predictors)[:, None]
    coefficients = inverse @ outcome
    seen = left @ left.T if blind else np.empty((0, 0))
    leverages = np.square(left).sum(axis=1)
    residuals = outcome - predictors @ coefficients
    return Fitted(coefficients, residuals, inverse[column], leverages, np.eye(n) - seen if blind else seen)


def least_squares(outcome: FloatArray, predictors: FloatArray, column: int = 0) -> Inference:
    """A coefficient of least squares with HC2 errors and Bell and McCaffrey's degrees of freedom.

    For a mean that is the t interval with n - 1 degrees of freedom; for two groups of one size it is Welch's standard
    error. Larger errors in one group, or an outcome that is 0 or 1, do not make it wrong, and with few rows or an
    uneven design the degrees of freedom are few.

    Parameters
    ----------
    outcome : (n,) array
    predictors : (n, k) array
        With a constant, where one is wanted.
    column : int
        Which coefficient.

    Returns
    -------
    Inference

    References
    ----------
    MacKinnon & White (1985), Some heteroskedasticity-consistent covariance matrix estimators with improved finite
    sample properties, Journal of Econometrics 29, 305-325, for HC2; Bell & McCaffrey (2002), Bias reduction in standard
    errors for linear regression with multi-stage samples, Survey Methodology 28, 169-181, and Imbens & Kolesár (2016),
    Robust standard errors in small samples: some practical advice, Review of Economics and Statistics 98, 701-712, for
    the degrees of freedom.
    """
    fit = fitted(outcome, predictors, column)
    if fit is None:
        return nothing(len(outcome), DEPENDENT)
    return inferred(fit.coefficients[column], float(fit.parts @ fit.parts), fit.freedom, len(outcome))


def _scale(predictors: FloatArray) -> FloatArray:
    largest = np.abs(predictors).max(axis=0)
    return np.asarray(np.where(largest > 0, largest, 1.0))
