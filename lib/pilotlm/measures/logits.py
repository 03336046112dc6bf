"""Logits of many small samples at once, with robust errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit, logit

from pilotlm.measures.intervals import FloatArray
from pilotlm.measures.least_squares import BoolArray, Columns, Fitted, columns

_STEPS = 50
_SETTLED = 1e-8
"""Difference of two deviances at which the steps end."""
_EPSILON = float(np.finfo(float).eps)
_LARGEST = 30.0
"""A linear predictor beyond it is a probability of 0 or 1 to thirteen digits."""
_SEPARATED = 1e-3
"""The standard deviation of an answer below which it is predicted perfectly: the steps end at some 1e-4."""


@dataclass(frozen=True, eq=False)
class FittedLogit:
    """Logits with all of their coefficients; nan where there is no estimate.

    Attributes
    ----------
    coefficients : (..., k) array
    residuals : (..., n) array
        Outcomes less probabilities, over their standard deviations.
    roots : (..., n) array
        These standard deviations.
    predictors : (..., n, k) array
    """

    coefficients: FloatArray
    residuals: FloatArray
    roots: FloatArray
    predictors: FloatArray

    @cached_property
    def columns(self) -> Columns:
        """The weighted predictors: a logit has the errors of a least-squares fit on these at its last step."""
        return columns(self.predictors * np.where(np.isfinite(self.roots), self.roots, 0.0)[..., None])

    def of(self, column: int) -> Fitted:
        """One of the coefficients; nan where it is infinite, as that of a level whose people all answered alike."""
        squared = np.square(self.columns.inverse[..., column, :])
        separated = (squared * (self.roots < _SEPARATED)).sum(axis=-1) > 0.5 * squared.sum(axis=-1)
        there = ~separated[..., None]
        coefficients, residuals = (np.where(there, values, np.nan) for values in (self.coefficients, self.residuals))
        return Fitted(coefficients, residuals, self.columns, column)


def fit_logit(outcome: FloatArray, predictors: FloatArray) -> FittedLogit:
    """Fit a logit by maximum likelihood, in a stack of samples one to each.

    Parameters
    ----------
    outcome : (..., n) array
        0, 1, or a probability in between.
    predictors : (..., n, k) array
        With a constant, where one is wanted.

    Returns
    -------
    FittedLogit
        nan where outcomes are predicted perfectly, columns are dependent, or rows are too few. The leverages of HC2
        are those of the weighted design. Where only some outcomes are predicted perfectly, such as those of a level
        whose people all answered alike, the coefficients that this makes infinite are nan, and the others are their
        limits.
    """
    *stack, n, k = predictors.shape
    if n <= k + 1:
        nothing = np.full((*stack, n), np.nan)
        return FittedLogit(np.full((*stack, k), np.nan), nothing, nothing, predictors)
    y, x = outcome.reshape(-1, n), predictors.reshape(-1, n, k)
    with np.errstate(all="ignore"):
        found = _most_likely(y, x)
        linear = (x @ found[..., None])[..., 0]
        p = expit(linear)
        roots = np.sqrt(p * (1 - p))
        weighted = x * roots[..., None]
        known = np.isfinite(linear).all(axis=-1) & (np.abs(linear).max(axis=-1) <= _LARGEST)
        known[known] = _well_conditioned(weighted[known].swapaxes(-1, -2) @ weighted[known])
        residuals = (y - p) / roots
    coefficients, residuals, roots = (
        np.where(known[:, None], values, np.nan).reshape(*stack, -1) for values in (found, residuals, roots)
    )
    return FittedLogit(coefficients, residuals, roots, predictors)


def _well_conditioned(information: FloatArray) -> BoolArray:
    """Whether a coefficient is left in each (r, k, k), whatever the units of the columns."""
    scale = np.sqrt(np.diagonal(information, axis1=-2, axis2=-1))
    # A column of zeros, as of a trait that nobody in a small pilot has, leaves no coefficient.
    known = np.asarray((np.isfinite(scale) & (scale > 0)).all(axis=-1))
    scaled = information[known] / (scale[known][:, :, None] * scale[known][:, None, :])
    known[known] = np.linalg.cond(scaled) <= 1e10
    return known


def _most_likely(outcome: FloatArray, predictors: FloatArray) -> FloatArray:
    """Coefficients (r, k) of logits by iteratively reweighted least squares; nan where the steps do not settle.

    Start and stop are those of statsmodels' GLM, which takes much longer: thousands of small pilots are fitted.
    """
    found = np.full((len(outcome), predictors.shape[-1]), np.nan)
    left = np.flatnonzero(np.ptp(outcome, axis=-1) > 0)
    y, x = outcome[left], predictors[left]
    linear, before = logit((y + 0.5) / 2), np.full(len(left), np.inf)
    for _ in range(_STEPS):
        p = np.clip(expit(linear), _EPSILON, 1 - _EPSILON)
        weights = p * (1 - p)
        information = (x * weights[..., None]).swapaxes(-1, -2) @ x
        score = x.swapaxes(-1, -2) @ (weights * linear + y - p)[..., None]
        solvable = np.linalg.slogdet(information)[0] != 0
        step = np.full((len(left), predictors.shape[-1]), np.nan)
        step[solvable] = np.linalg.solve(information[solvable], score[solvable])[..., 0]
        linear = (x @ step[..., None])[..., 0]
        # log(1 + exp(linear)) without overflow.
        losses = np.maximum(linear, 0) + np.log1p(np.exp(-np.abs(linear))) - y * linear
        deviance = 2 * losses.sum(axis=-1)
        settled = np.abs(before - deviance) <= _SETTLED
        found[left[settled]] = step[settled]
        on = solvable & ~settled & np.isfinite(deviance)
        before = deviance
        if not on.all():
            left, y, x, linear, before = (values[on] for values in (left, y, x, linear, before))
        if not len(left):
            break
    return found
