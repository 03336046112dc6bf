"""A regression fitted again and again on drawn rows, all draws at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.special import expit, log_ndtr
from scipy.stats import norm

from pilotlm.stats.intervals import BoolArray, FloatArray, IntArray
from pilotlm.stats.linear_models import columns, least_squares
from pilotlm.stats.regressions import Design, Fit, fit_design, identified_columns, kept, tested
from pilotlm.study import Regression

_VALUES = ("coefficient", "standard_error", "p_value", "low", "high", "freedom")
_STEPS = 25
_CLOSE = 1e-11
_FAR = {"logit": 15.0, "probit": 6.0}
"""A linear predictor beyond this may be on its way to infinity; whether it is, `fit_design` finds out."""
_WELL = 1e-9  # the least ratio of eigenvalues of a cross product that is inverted


@dataclass(frozen=True, eq=False)
class Refits:
    """One regression on r draws of rows, without its intercept: (r, k), each line the `fit` of the drawn rows."""

    terms: tuple[str, ...]
    coefficient: FloatArray
    standard_error: FloatArray
    p_value: FloatArray
    low: FloatArray
    high: FloatArray
    freedom: FloatArray

    def only(self, terms: Collection[str]) -> Refits:
        """The same draws with some of the terms, in their order."""
        chosen = np.array([term in terms for term in self.terms], dtype=bool)
        values = [getattr(self, name) for name in _VALUES]
        return Refits(tuple(term for term in self.terms if term in terms), *(v[:, chosen] for v in values))


def refit_each(regressions: Sequence[Regression], designs: Sequence[Design], counts: IntArray) -> tuple[Refits, ...]:
    """`refit` for several regressions on the same draws of the rows of a table."""
    return tuple(refit(r, d, counts) for r, d in zip(regressions, designs, strict=True))


def refit(regression: Regression, design: Design, counts: IntArray) -> Refits:
    """Fit a regression on several draws of the rows of a table; ``counts`` (r, m) says how often each row is drawn.

    All draws are estimated together. A draw in which anything is out of the ordinary (a predictor without variation,
    separation, no convergence) and every regression with clusters goes through `fit_design` instead, so the results are
    those of `pilotlm.stats.regressions.fit` on the drawn rows.
    """
    counts = counts[:, design.rows]
    terms = design.shown
    values = np.full((6, len(counts), len(terms)), np.nan)
    done = np.zeros(len(counts), dtype=bool)
    if design.clusters is None:
        done = _all_at_once(regression, design, counts.astype(float), values)
    for draw in np.flatnonzero(~done):
        values[:, draw] = _one(regression, design, counts[draw])
    return Refits(terms, *values)


def pool_terms(drawn: Sequence[Refits | Fit], like: Sequence[Fit]) -> Refits:
    """The coefficients of several regressions side by side, in the order of people's (``like``); nan where absent.

    Terms are called "regression: term"; a single fit is a draw of its own.
    """
    terms = tuple(f"{human.name}: {term}" for human in like for term in human.terms)
    parts = [
        [_columns_of(np.atleast_2d(getattr(one, name)), one.terms, human.terms) for name in _VALUES]
        for one, human in zip(drawn, like, strict=True)
    ]
    return Refits(terms, *(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _columns_of(values: FloatArray, terms: tuple[str, ...], wanted: tuple[str, ...]) -> FloatArray:
    place = {term: k for k, term in enumerate(terms)}
    columns = np.array([place.get(term, len(terms)) for term in wanted], dtype=np.int64)
    return np.hstack([values, np.full((len(values), 1), np.nan)])[:, columns]


def _one(regression: Regression, design: Design, counts: IntArray) -> FloatArray:
    drawn = kept(design, np.repeat(np.arange(len(counts)), counts))
    if drawn.by_person and drawn.clusters is not None:
        # Who is drawn twice is two people.
        copy = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        drawn = replace(drawn, clusters=drawn.clusters + copy * (drawn.clusters.max() + 1))
    found = fit_design(regression, drawn)
    return np.stack([getattr(found, name) for name in _VALUES])


def _all_at_once(regression: Regression, design: Design, weights: FloatArray, values: FloatArray) -> BoolArray:
    """Fill ``values`` for the draws in which nothing is out of the ordinary, and say which these are."""
    basis, identified = identified_columns(design.predictors)
    scale = np.abs(design.predictors[:, basis]).max(axis=0)
    q, r = qr(design.predictors[:, basis] / scale, mode="economic")
    products = (q[:, :, None] * q[:, None, :]).reshape(len(q), -1)
    fine: BoolArray = weights.sum(axis=1) > len(basis)
    fine[fine] = _well_conditioned(_matrices(weights[fine], products))
    if not fine.any():
        return fine
    back = solve_triangular(r, np.eye(len(r))) / scale[:, None]
    if regression.family != "linear":
        solved = _binary(regression, design.outcome, q, products, weights[fine], back)
    elif regression.covariance == "robust":
        solved = _robust(design.outcome, design.predictors[:, basis], weights[fine])
    else:
        solved = _classical(design.outcome, q, products, weights[fine], back)
    fine[fine] = solved.fine
    coefficient, error, freedom = (
        np.broadcast_to(values, solved.coefficient.shape)[solved.fine]
        for values in (solved.coefficient, solved.error, solved.freedom)
    )
    shown = np.array([design.names[column] in design.shown and bool(identified[column]) for column in basis])
    places = np.cumsum([name in design.shown for name in design.names])[basis] - 1
    found = tested(coefficient[:, shown], error[:, shown], freedom[:, shown])
    values[:, np.flatnonzero(fine)[:, None], places[shown]] = found
    return fine


@dataclass(frozen=True, eq=False)
class _Solved:
    """Estimates of the draws and their standard errors, (r, k), degrees of freedom, and whether each was found."""

    coefficient: FloatArray
    error: FloatArray
    freedom: FloatArray
    fine: BoolArray


def _solved(
    coefficient: FloatArray, covariance: FloatArray, freedom: FloatArray, fine: BoolArray, back: FloatArray
) -> _Solved:
    """Estimates in the orthonormal basis as those of the columns."""
    error = np.sqrt(np.einsum("jk,rkl,jl->rj", back, covariance, back))
    return _Solved(coefficient @ back.T, error, freedom, fine)


def _classical(
    outcome: FloatArray, q: FloatArray, products: FloatArray, weights: FloatArray, back: FloatArray
) -> _Solved:
    bread = np.asarray(np.linalg.inv(_matrices(weights, products)))
    coefficient = np.einsum("rkl,rl->rk", bread, (weights * outcome) @ q)
    n, k = weights.sum(axis=1), q.shape[1]
    left = (weights * np.square(outcome - coefficient @ q.T)).sum(axis=1)
    covariance = bread * (left / (n - k))[:, None, None]
    # An outcome that is all but an exact linear function is left to `fit_design`.
    fine = left > 1e-12 * (weights @ np.square(outcome))
    return _solved(coefficient, covariance, (n - k)[:, None], fine, back)


def _robust(outcome: FloatArray, predictors: FloatArray, weights: FloatArray) -> _Solved:
    """The same with HC2, on the drawn rows themselves: a row that is drawn twice is two rows with a leverage each."""
    drawn = [np.repeat(np.arange(len(outcome)), counts) for counts in weights.astype(np.int64)]
    # Draws of fewer complete rows are filled up with rows of zeros, which change nothing.
    rows = np.full((len(drawn), max(map(len, drawn))), len(outcome))
    for draw, numbers in enumerate(drawn):
        rows[draw, : len(numbers)] = numbers
    y, on = np.append(outcome, 0.0)[rows], columns(np.vstack([predictors, np.zeros(predictors.shape[1])])[rows])
    found = [least_squares(y, on, column) for column in range(predictors.shape[1])]
    coefficient, error, freedom = (
        np.stack([getattr(one, name) for one in found], axis=1) for name in ("value", "error", "freedom")
    )
    residuals = y - (on.predictors @ coefficient[..., None])[..., 0]
    fine = on.known & (np.square(residuals).sum(axis=1) > 1e-12 * np.square(y).sum(axis=1))
    return _Solved(coefficient, error, freedom, fine)


def _binary(
    regression: Regression,
    outcome: FloatArray,
    q: FloatArray,
    products: FloatArray,
    weights: FloatArray,
    back: FloatArray,
) -> _Solved:
    """Newton's method; what has not arrived, or wanders off, is given up."""
    coefficient = np.zeros((len(weights), q.shape[1]))
    share = weights @ outcome / weights.sum(axis=1)
    fine = (share > 0) & (share < 1)
    arrived = np.zeros(len(weights), dtype=bool)
    for _ in range(_STEPS):
        going = np.flatnonzero(fine & ~arrived)
        if not len(going):
            break
        slope, curvature = _derivatives(regression.family, outcome, coefficient[going] @ q.T)
        information = _matrices(weights[going] * curvature, products)
        fine[going] = _well_conditioned(information)
        good = fine[going]
        step = np.linalg.solve(information[good], ((weights[going] * slope)[good] @ q)[:, :, None])[:, :, 0]
        going = going[good]
        coefficient[going] += step
        size = np.abs(coefficient[going]).max(axis=1)
        arrived[going] = np.abs(step).max(axis=1) < _CLOSE * np.maximum(size, 1)
        fine[going] &= size < 1e6
    predictor = coefficient @ q.T
    fine &= arrived & ((np.abs(predictor) * (weights > 0)).max(axis=1) < _FAR[regression.family])
    covariance = np.full((len(weights), q.shape[1], q.shape[1]), np.nan)
    slope, curvature = _derivatives(regression.family, outcome, predictor[fine])
    bread = np.linalg.inv(_matrices(weights[fine] * curvature, products))
    if regression.covariance == "robust":
        covariance[fine] = bread @ _matrices(weights[fine] * np.square(slope), products) @ bread
    else:
        covariance[fine] = bread
    return _solved(coefficient, covariance, np.full((len(weights), 1), np.inf), fine, back)


def _derivatives(family: str, outcome: FloatArray, predictor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First, and minus the second, derivative of each row's log-likelihood in its linear predictor."""
    if family == "logit":
        chance = expit(predictor)
        return outcome - chance, chance * (1 - chance)
    sign = 2 * outcome - 1
    side = sign * predictor
    mills = np.exp(norm.logpdf(side) - log_ndtr(side))
    return sign * mills, mills * (mills + side)


def _matrices(weights: FloatArray, products: FloatArray) -> FloatArray:
    """Weighted cross products of the columns, one matrix a draw: (r, k, k)."""
    k = round(np.sqrt(products.shape[1]))
    return np.asarray(weights @ products).reshape(-1, k, k)


def _well_conditioned(matrices: FloatArray) -> BoolArray:
    values = np.linalg.eigvalsh(matrices)
    return np.asarray(values[:, 0] > _WELL * values[:, -1])
