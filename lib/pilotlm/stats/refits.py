"""A regression fitted again and again on drawn rows, all draws at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pilotlm.stats.intervals import BoolArray, FloatArray, IntArray
from pilotlm.stats.linear_models import Columns, columns, every_least_squares, fit_binary, fitted, squares
from pilotlm.stats.regressions import Design, Fit, fit_design, identified_columns, kept, tested
from pilotlm.study import Regression

_VALUES = ("coefficient", "standard_error", "p_value", "low", "high", "freedom")
_MOST_CELLS = 2_000_000
"""Numbers in the predictors of the draws that are fitted at a time, 16 MB."""


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
    values = np.full((6, len(counts), len(design.shown)), np.nan)
    done = np.zeros(len(counts), dtype=bool)
    if design.clusters is None:
        size = max(_MOST_CELLS // design.predictors.size, 1)
        for some in (slice(first, first + size) for first in range(0, len(counts), size)):
            done[some] = _all_at_once(regression, design, counts[some], values[:, some])
    for draw in np.flatnonzero(~done):
        values[:, draw] = _one(regression, design, counts[draw])
    return Refits(design.shown, *values)


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


def _all_at_once(regression: Regression, design: Design, counts: IntArray, values: FloatArray) -> BoolArray:
    """Fill ``values`` for the draws in which nothing is out of the ordinary, and say which these are."""
    basis, identified = identified_columns(design.predictors)
    scale = np.abs(design.predictors[:, basis]).max(axis=0)
    outcome, predictors = _drawn(design.outcome, design.predictors[:, basis] / scale, counts)
    n, k = counts.sum(axis=1), len(basis)
    robust = regression.covariance == "robust"
    with np.errstate(divide="ignore", invalid="ignore"):
        if regression.family == "linear":
            coefficient, error, freedom, fine = _linear(outcome, columns(predictors), n, robust)
        else:
            fit = fit_binary(outcome, predictors, family=regression.family)
            residuals = fit.residuals[:, None, :] if robust else 1.0
            error = np.sqrt(squares(fit.columns.inverse * residuals))
            coefficient, freedom, fine = fit.coefficients, np.full(error.shape, np.inf), fit.settled
    fine &= n > k
    shown = np.array([design.names[column] in design.shown and bool(identified[column]) for column in basis])
    places = np.cumsum([name in design.shown for name in design.names])[basis] - 1
    parts = (part[fine][:, shown] for part in (coefficient / scale, error / scale, freedom))
    values[:, np.flatnonzero(fine)[:, None], places[shown]] = tested(*parts)
    return np.asarray(fine)


def _linear(
    outcome: FloatArray, on: Columns, n: IntArray, robust: bool
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Coefficients, errors and degrees of freedom, (r, k); not fine is an outcome that is fitted exactly."""
    fit = fitted(outcome, on, 0)
    left = squares(fit.residuals)
    fine = on.known & (left > 1e-12 * squares(outcome))
    if robust:
        return *every_least_squares(outcome, on), fine
    freedom = np.broadcast_to((n - on.predictors.shape[-1])[:, None], fit.coefficients.shape)
    return fit.coefficients, np.sqrt(left[:, None] / freedom * squares(on.inverse)), freedom, fine


def _drawn(outcome: FloatArray, predictors: FloatArray, counts: IntArray) -> tuple[FloatArray, FloatArray]:
    """The rows of each draw, (r, n) and (r, n, k); rows of zeros, which change nothing, fill up the shorter draws."""
    drawn = [np.repeat(np.arange(len(outcome)), times) for times in counts]
    rows = np.full((len(drawn), max(map(len, drawn))), len(outcome))
    for draw, numbers in enumerate(drawn):
        rows[draw, : len(numbers)] = numbers
    return np.append(outcome, 0.0)[rows], np.vstack([predictors, np.zeros(predictors.shape[1])])[rows]
