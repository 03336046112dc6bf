"""Least squares with HC2 errors and Bell-McCaffrey freedom, logits and probits of many samples at once, and R²."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, log_ndtr, logit, stdtrit
from scipy.stats import norm

from pilotlm.errors import InputError
from pilotlm.stats.intervals import NORMAL_QUANTILE, BoolArray, Estimate, FloatArray, IntArray, half_sampling

_TINY = 1e-10
"""Of the largest singular value: a design below it has no solution."""
_ALONE = 1e-6
"""A row whose leverage lacks less than this of 1 determines its own fitted value: it tells nothing of errors."""
_NONE = 1e-9
"""Of the sum of a coefficient's squared weights: less than this on some rows is rounding."""
_EXACT = 1e-12
"""A residual of less than this, for the size of the outcomes, is rounding."""
_STEPS = 50
_SETTLED = 1e-8
"""Difference of two deviances at which the steps end."""
_EPSILON = float(np.finfo(float).eps)
_LARGEST = 30.0
"""A linear predictor beyond it is a probability of 0 or 1 to thirteen digits."""
_SEPARATED = 1e-3
"""The standard deviation of an answer below which it is predicted perfectly: the steps end at some 1e-4."""


@dataclass(frozen=True, eq=False)
class Inference:
    """An estimate with standard error and interval; in a stack of samples, (...) arrays with those of each.

    ``freedom`` is that of t, infinite for a normal interval; ``tuning`` is the weight of the predictions: 0 people
    only, 1 as published by Angelopoulos et al. (2023).
    """

    value: FloatArray
    error: FloatArray
    low: FloatArray
    high: FloatArray
    freedom: FloatArray
    tuning: FloatArray

    def where(self, condition: BoolArray, other: Inference) -> Inference:
        """What stands here where the condition (...) holds, and what another has elsewhere."""
        names = [field.name for field in fields(self)]
        return Inference(*(np.where(condition, getattr(self, name), getattr(other, name)) for name in names))


def inferred(
    value: FloatArray, variance: FloatArray, freedom: FloatArray | int, tuning: float | FloatArray = np.nan
) -> Inference:
    """The estimate with its t interval at 95 %; without error and interval where variance or freedom leave none."""
    value, variance, freedom = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (value, variance, freedom)))
    known = np.isfinite(value) & (variance > 0) & (freedom > 0)
    finite = np.isfinite(freedom)
    quantile = np.where(finite, stdtrit(np.where(known & finite, freedom, 1.0), 0.975), NORMAL_QUANTILE)
    error = np.where(known, np.sqrt(np.where(known, variance, 1.0)), np.nan)
    half = error * quantile
    return Inference(
        value, error, value - half, value + half, np.where(known, freedom, np.nan), np.where(known, tuning, np.nan)
    )


@dataclass(frozen=True, eq=False)
class Columns:
    """Predictors (..., n, k) made ready for outcomes to be fitted on; several outcomes can share them.

    ``left`` (..., n, k) are orthonormal columns that span the same space, ``inverse`` (..., k, n) takes outcomes to
    coefficients, ``known`` (...) says whether the columns are independent and leave a row over. With survey weights
    (..., n) the fit is weighted, and ``left`` spans the columns times their roots. ``groups`` (n,) numbers from 0 whom
    each row is of, where one design has several rows of a person: errors are then clustered.
    """

    predictors: FloatArray
    left: FloatArray
    inverse: FloatArray
    known: BoolArray
    weights: FloatArray | None = None
    groups: IntArray | None = None

    @property
    def roots(self) -> FloatArray | float:
        """The roots of the weights, (..., n); 1 without weights."""
        return 1.0 if self.weights is None else np.sqrt(self.weights)

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
        """Whether a coefficient needs a row of leverage one, (...): the only one of a level, say; or such a person."""
        if self.groups is not None:
            return np.asarray(self.rests_on_a_group(column, self.groups))
        squared = np.square(self.inverse[..., column, :])
        return _is_part((squared * np.isinf(self.unexplained)).sum(axis=-1), squared.sum(axis=-1))

    def rests_on_a_group(self, column: int, groups: IntArray) -> bool:
        """Whether a coefficient of one design needs a group of rows, (n,), that determines its own fitted values."""
        weights = self.inverse[column] / self.roots
        found = 0.0
        for group in np.unique(groups):
            rows = groups == group
            # Directions in which the group's outcomes can be fitted exactly have the singular value 1.
            directions, sizes, _ = np.linalg.svd(self.left[rows], full_matrices=False)
            found += float(np.square(weights[rows] @ directions[:, np.square(sizes) > 1 - _ALONE]).sum())
        return bool(_is_part(found, np.square(weights).sum()))

    def freedom(self, column: int) -> FloatArray:
        """Bell and McCaffrey's degrees of freedom of a HC2 or CR2 variance, (...); nan where there is none."""
        if self.weights is not None or self.groups is not None:
            return self._general_freedom(column)
        squared = np.square(self.inverse[..., column, :])
        w = squared / self.unexplained
        crossed = self.left.swapaxes(-1, -2) @ (w[..., None] * self.left)
        second = np.square(crossed).sum(axis=(-1, -2)) + (np.square(w) * (1 - 2 * self.leverages)).sum(axis=-1)
        known = (second > 0) & ~self.rests_on_one(column)
        return np.where(known, np.square(squared.sum(axis=-1)) / np.where(known, second, 1.0), np.nan)

    def adjusted(self, column: int) -> FloatArray:
        """What residuals are multiplied by to be a coefficient's error, in HC2 or, by person, in CR2, (..., n).

        Source: Bell & McCaffrey (2002); Pustejovsky & Tipton (2018), Journal of Business & Economic Statistics 36.
        """
        weights = self.inverse[..., column, :]
        if self.groups is None:
            return np.asarray(weights / np.sqrt(self.unexplained))
        rows, place = pd.Series(self.groups), pd.Series(self.groups).groupby(self.groups).cumcount()
        blocks, mine = (np.zeros((rows.max() + 1, place.max() + 1, k)) for k in (self.left.shape[-1], 1))
        blocks[rows, place], mine[rows, place, 0] = self.left, weights / self.roots
        directions, sizes, _ = np.linalg.svd(blocks, full_matrices=False)
        left = 1 - np.square(sizes)
        # A direction in which a person's answers are fitted exactly tells nothing of errors.
        more = np.where(left > _ALONE, 1 / np.sqrt(np.where(left > _ALONE, left, 1.0)), 0.0) - 1
        mine = mine + directions @ (more[..., None] * (directions.swapaxes(-1, -2) @ mine))
        return np.asarray(mine[rows, place, 0] * self.roots)

    def by_person(self, values: FloatArray) -> FloatArray:
        """Sums over the rows of each person, (..., n) to (..., people)."""
        return values if self.groups is None else np.bincount(self.groups, weights=values).astype(np.float64)

    def _general_freedom(self, column: int) -> FloatArray:
        """Satterthwaite's, of the quadratic form C (I - H) W (I - H) C' with a row of C for each person."""
        weight = np.ones(1) if self.weights is None else self.weights
        share, left = self.adjusted(column) / self.roots, self.left
        own = self.by_person(np.square(share) * weight)
        first, second = (self._columns_by_person((share * w)[..., None] * left) for w in (1.0, weight))
        middle = left.swapaxes(-1, -2) @ (weight[..., None] * left)
        cross = ((first @ middle) * first).sum(axis=-1) - 2 * (first * second).sum(axis=-1)
        both, k = np.concatenate([first, second], axis=-1), left.shape[-1]
        form = np.zeros((*middle.shape[:-2], 2 * k, 2 * k))
        form[..., :k, :k], form[..., :k, k:], form[..., k:, :k] = middle, -np.eye(k), -np.eye(k)
        product = form @ (both.swapaxes(-1, -2) @ both)
        squared = (np.square(own) + 2 * own * cross).sum(axis=-1) + (product @ product).trace(axis1=-2, axis2=-1)
        known = (squared > 0) & ~self.rests_on_one(column)
        return np.where(known, np.square((own + cross).sum(axis=-1)) / np.where(known, squared, 1.0), np.nan)

    def _columns_by_person(self, values: FloatArray) -> FloatArray:
        return values if self.groups is None else np.stack([self.by_person(one) for one in values.T], axis=-1)


def _is_part(some: FloatArray | float, all_of_them: FloatArray | float) -> BoolArray:
    return np.asarray(np.asarray(some) > _NONE * np.asarray(all_of_them))


def columns(predictors: FloatArray, weights: FloatArray | None = None, groups: IntArray | None = None) -> Columns:
    """Make predictors (..., n, k) ready, the constant among them where one is wanted; see `Columns`."""
    n, k = predictors.shape[-2:]
    if n <= k:
        nothing = np.full(predictors.shape, np.nan)
        return Columns(predictors, nothing, nothing.swapaxes(-1, -2), np.zeros(predictors.shape[:-2], dtype=bool))
    largest = np.abs(predictors).max(axis=-2)
    scale = np.where(largest > 0, largest, 1.0)
    roots = np.ones(1) if weights is None else np.sqrt(weights)
    left, sizes, right = np.linalg.svd(predictors / scale[..., None, :] * roots[..., None], full_matrices=False)
    known = sizes[..., -1] > _TINY * sizes[..., 0]
    sizes = np.where(known[..., None], sizes, np.nan)
    inverse = (right.swapaxes(-1, -2) / sizes[..., None, :]) @ left.swapaxes(-1, -2) / scale[..., None]
    if weights is not None:
        inverse = inverse * roots[..., None, :]
    return Columns(predictors, left, inverse, np.asarray(known), weights, groups)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A least-squares fit, seen from one of its coefficients; nan where the columns are dependent.

    ``coefficients`` (..., k), ``residuals`` (..., n), what it was fitted on, and which of the coefficients is wanted.
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
        """What each row, or person, adds to the error, (..., n): their squares sum to HC2, or CR2."""
        on = self.columns
        if on.groups is None:
            parts = self.weights * self.residuals / np.sqrt(on.unexplained)
        else:
            parts = on.by_person(on.adjusted(self.column) * self.residuals)
        return np.where(self.columns.rests_on_one(self.column)[..., None], np.nan, parts)

    @property
    def influence(self) -> FloatArray:
        """What each row, or person, adds to the coefficient beyond what it is in all, (..., n)."""
        return self.columns.by_person(self.weights * self.residuals)

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
    """A coefficient of least squares of outcomes (..., n) with HC2 errors and Bell and McCaffrey's degrees of freedom.

    For a mean that is the t interval with n - 1 degrees of freedom. Without error and interval where the coefficient
    rests on a single row, or all rows behind it are fitted exactly.

    Source: MacKinnon & White (1985), Journal of Econometrics 29, 305-325; Bell & McCaffrey (2002), Survey Methodology
    28, 169-181; Imbens & Kolesár (2016), Review of Economics and Statistics 98, 701-712.
    """
    fit = fitted(outcome, on, column)
    return inferred(fit.value, squares(fit.parts), fit.freedom)


def every_least_squares(outcome: FloatArray, on: Columns) -> tuple[FloatArray, FloatArray, FloatArray]:
    """All coefficients with errors and degrees of freedom of `least_squares`, (..., k) each."""
    found = [least_squares(outcome, on, column) for column in range(on.predictors.shape[-1])]
    value, error, freedom = np.stack([(one.value, one.error, one.freedom) for one in found], axis=-1)
    return value, error, freedom


@dataclass(frozen=True, eq=False)
class FittedBinary:
    """Logits or probits with all of their coefficients (..., k); nan where there is no estimate.

    ``roots`` (..., n) are those of the curvature of each row's log-likelihood (of a logit the standard deviations of
    outcomes), ``residuals`` its slope over them; ``weights`` and ``groups`` as in `Columns`.
    """

    coefficients: FloatArray
    residuals: FloatArray
    roots: FloatArray
    predictors: FloatArray
    weights: FloatArray | None = None
    groups: IntArray | None = None

    @property
    def settled(self) -> BoolArray:
        """Whether there is an estimate and no answer is predicted perfectly, (...)."""
        return np.asarray(np.isfinite(self.coefficients).all(axis=-1) & (self.roots > _SEPARATED).all(axis=-1))

    @cached_property
    def columns(self) -> Columns:
        """The weighted predictors: the errors are those of a least-squares fit on these at the last step."""
        usable = np.where(np.isfinite(self.roots), self.roots, 0.0)[..., None]
        return columns(self.predictors * usable, self.weights, self.groups)

    def of(self, column: int) -> Fitted:
        """One of the coefficients; nan where it is infinite, as that of a level whose people all answered alike."""
        squared = np.square(self.columns.inverse[..., column, :])
        separated = (squared * (self.roots < _SEPARATED)).sum(axis=-1) > 0.5 * squared.sum(axis=-1)
        there = ~separated[..., None]
        coefficients, residuals = (np.where(there, values, np.nan) for values in (self.coefficients, self.residuals))
        return Fitted(coefficients, residuals, self.columns, column)


def fit_binary(
    outcome: FloatArray,
    predictors: FloatArray,
    weights: FloatArray | None = None,
    groups: IntArray | None = None,
    family: str = "logit",
) -> FittedBinary:
    """Fit a logit or probit of outcomes (..., n) on predictors (..., n, k), in a stack of samples one to each.

    Outcomes lie in [0, 1], those of a probit are 0 or 1. With survey weights the pseudo-likelihood is maximised; see
    `Columns` for ``weights`` and ``groups``. All samples are fitted at once, by Newton's method: a hundred draws of 944
    rows take 0.08 s, a tenth of the time of statsmodels one by one.

    nan where outcomes are predicted perfectly, columns are dependent, or rows are too few. Where only some outcomes are
    predicted perfectly, such as those of a level whose people all answered alike, the infinite coefficients are nan and
    the others are their limits.
    """
    *stack, n, k = predictors.shape
    if n <= k + 1:
        nothing = np.full((*stack, n), np.nan)
        return FittedBinary(np.full((*stack, k), np.nan), nothing, nothing, predictors)
    y, x = outcome.reshape(-1, n), predictors.reshape(-1, n, k)
    with np.errstate(all="ignore"):
        found = _most_likely(y, x, None if weights is None else weights.reshape(-1, n), family)
        linear = (x @ found[..., None])[..., 0]
        slope, curvature = _derivatives(family, y, linear)
        roots = np.sqrt(curvature)
        weighted = x * roots[..., None]
        known = np.isfinite(linear).all(axis=-1) & (np.abs(linear).max(axis=-1) <= _LARGEST)
        known[known] = _well_conditioned(weighted[known].swapaxes(-1, -2) @ weighted[known])
        residuals = slope / roots
    coefficients, residuals, roots = (
        np.where(known[:, None], values, np.nan).reshape(*stack, -1) for values in (found, residuals, roots)
    )
    return FittedBinary(coefficients, residuals, roots, predictors, weights, groups)


def _derivatives(family: str, outcome: FloatArray, linear: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First, and minus the second, derivative of each row's log-likelihood in its linear predictor."""
    if family == "logit":
        p = expit(linear)
        return outcome - p, p * (1 - p)
    sign = 2 * outcome - 1
    mills = np.exp(norm.logpdf(linear) - log_ndtr(sign * linear))
    return sign * mills, mills * (mills + sign * linear)


def _losses(family: str, outcome: FloatArray, linear: FloatArray) -> FloatArray:
    """Minus each row's log-likelihood."""
    if family == "logit":
        # log(1 + exp(linear)) without overflow.
        return np.asarray(np.maximum(linear, 0) + np.log1p(np.exp(-np.abs(linear))) - outcome * linear)
    return np.asarray(-log_ndtr((2 * outcome - 1) * linear))


def _well_conditioned(information: FloatArray) -> BoolArray:
    """Whether a coefficient is left in each (r, k, k), whatever the units of the columns."""
    scale = np.sqrt(np.diagonal(information, axis1=-2, axis2=-1))
    # A column of zeros, as of a trait that nobody in a small pilot has, leaves no coefficient.
    known = np.asarray((np.isfinite(scale) & (scale > 0)).all(axis=-1))
    scaled = information[known] / (scale[known][:, :, None] * scale[known][:, None, :])
    known[known] = np.linalg.cond(scaled) <= 1e10
    return known


def _most_likely(outcome: FloatArray, predictors: FloatArray, survey: FloatArray | None, family: str) -> FloatArray:
    """Coefficients (r, k) by iteratively reweighted least squares; nan where the steps do not settle."""
    found = np.full((len(outcome), predictors.shape[-1]), np.nan)
    left = np.flatnonzero(np.ptp(outcome, axis=-1) > 0)
    y, x = outcome[left], predictors[left]
    each = np.ones((len(left), 1)) if survey is None else survey[left]
    linear, before = logit((y + 0.5) / 2), np.full(len(left), np.inf)
    for _ in range(_STEPS):
        slope, curvature = _derivatives(family, y, linear)
        curvature = np.maximum(curvature, _EPSILON)
        information = (x * (each * curvature)[..., None]).swapaxes(-1, -2) @ x
        score = x.swapaxes(-1, -2) @ (each * (curvature * linear + slope))[..., None]
        solvable = np.linalg.slogdet(information)[0] != 0
        step = np.full((len(left), predictors.shape[-1]), np.nan)
        step[solvable] = np.linalg.solve(information[solvable], score[solvable])[..., 0]
        linear = (x @ step[..., None])[..., 0]
        deviance = 2 * (each * _losses(family, y, linear)).sum(axis=-1)
        settled = np.abs(before - deviance) <= _SETTLED
        found[left[settled]] = step[settled]
        on = solvable & ~settled & np.isfinite(deviance)
        before = deviance
        if not on.all():
            left, y, x, each, linear, before = (values[on] for values in (left, y, x, each, linear, before))
        if not len(left):
            break
    return found


def explained_share(outcomes: ArrayLike, explaining: ArrayLike, given: ArrayLike | None = None) -> float:
    """The adjusted partial R² of outcomes (rows, outcomes) on columns beyond those given, mean over outcomes.

    With nothing to explain its expectation is 0, so it may be negative; nan where there are not more rows than columns.
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
