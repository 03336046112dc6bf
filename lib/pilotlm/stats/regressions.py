"""A study's regressions on any table of responses: the design behind a formula, and its fit."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy.linalg import qr
from scipy.optimize import linprog
from scipy.stats import t
from statsmodels.tools.sm_exceptions import PerfectSeparationError

from pilotlm.errors import InputError, nearest
from pilotlm.responses import PERSON, code_column, codes_in
from pilotlm.stats.intervals import BoolArray, FloatArray, IntArray
from pilotlm.stats.linear_models import columns, every_least_squares
from pilotlm.study import Regression

_CATEGORICAL = re.compile(r"C\(\s*(\w+)\s*\)")
_LEVEL = re.compile(r"\[[^\]]*\]")
_IN_TERM = re.compile(r"[A-Za-z]\w*")
_MOST_STEPS = 40  # Newton's method arrives within ten or never
_ZERO = 1e-6  # of a linear predictor scaled to at most the number of coefficients


@dataclass(frozen=True, eq=False)
class Design:
    """The numbers behind a formula: outcome (n,), predictors (n, k) and their names, and clusters if any.

    ``by_person`` says whether the clusters are people with several rows, who are then drawn whole. ``rows`` says which
    row of the table each is; ``shown`` are the columns whose coefficients are reported.
    """

    outcome: FloatArray
    predictors: FloatArray
    names: tuple[str, ...]
    clusters: IntArray | None
    rows: IntArray
    shown: tuple[str, ...]
    by_person: bool = False

    @property
    def people(self) -> int:
        """The rows, or the people whose they are."""
        return len(self.outcome) if not self.by_person or self.clusters is None else len(np.unique(self.clusters))


def design_of(regression: Regression, table: pd.DataFrame, levels_from: pd.DataFrame | None) -> Design:
    """Read the outcome and the predictors of a regression from a table; incomplete rows are left out.

    ``levels_from`` is the table that fixes the levels of every ``C(x)``; the same table when None. Where people have
    several rows, clusters are people unless the regression names others.
    """
    by_person = regression.cluster is None and PERSON in table.columns
    cluster = [PERSON] if by_person else [regression.cluster] if regression.cluster else []
    needed = list(dict.fromkeys([*regression.variables, *cluster, *regression.only]))
    for column in needed:
        if column not in table.columns:
            known = nearest(column, map(str, table.columns))
            raise InputError(f"Regression '{regression.name}' needs the column '{column}'; {known}.")
    codes = [code_column(name) for name in needed if code_column(name) in table.columns]
    data = _used_rows(regression, table[[*needed, *codes]].reset_index(drop=True)).dropna()
    if data.empty:
        raise InputError(f"Regression '{regression.name}': no row has all of {', '.join(needed)}.")
    clusters = pd.factorize(data[cluster[0]])[0].astype(np.int64) if cluster else None
    rows = data.index.to_numpy(dtype=np.int64)
    data = _typed(regression, data, _used_rows(regression, table if levels_from is None else levels_from))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rank deficiency, which is dealt with later and said in the note
        model = smf.ols(regression.formula, data)
    predictors = np.asarray(model.exog, dtype=float)
    names = tuple(model.exog_names)
    outcome = np.asarray(model.endog, dtype=float)
    return Design(outcome, predictors, names, clusters, rows, _shown(regression, names), by_person)


def _shown(regression: Regression, names: tuple[str, ...]) -> tuple[str, ...]:
    within = {name: _IN_TERM.findall(_LEVEL.sub("", name)) for name in names}
    hidden = {name for name, variables in within.items() if set(variables) & set(regression.nuisance)}
    return tuple(name for name in names if name != "Intercept" and name not in hidden)


def _used_rows(regression: Regression, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that ``only`` keeps; a column that the table lacks is complained of where it is needed."""
    kept = np.ones(len(table), dtype=bool)
    for name, codes in regression.only.items():
        if name in table.columns:
            kept &= codes_in(table, name).isin(codes).to_numpy()
    return table[kept]


def _typed(regression: Regression, data: pd.DataFrame, levels_from: pd.DataFrame) -> pd.DataFrame:
    """Categories with fixed levels, of codes as the outcome of a logit is; everything else as floats."""
    categorical = set(_CATEGORICAL.findall(regression.formula))
    outcome = regression.variables[0]
    columns: dict[str, Any] = {}
    for name in regression.variables:
        if name in categorical:
            columns[name] = _category(regression, name, data, levels_from)
        elif pd.api.types.is_numeric_dtype(data[name].dtype):
            is_binary = regression.family != "linear" and name == outcome
            columns[name] = (codes_in(data, name) if is_binary else data[name]).astype(float)
        else:
            raise InputError(
                f"Regression '{regression.name}': '{name}' is not numeric; write C({name}) for a category."
            )
    if regression.family != "linear" and not columns[outcome].isin([0.0, 1.0]).all():
        raise InputError(
            f"Regression '{regression.name}': the outcome '{outcome}' of a {regression.family} must be 0 or 1."
        )
    return pd.DataFrame(columns)


def _category(regression: Regression, name: str, data: pd.DataFrame, levels_from: pd.DataFrame) -> pd.Categorical:
    if name not in levels_from.columns:
        raise InputError(f"Regression '{regression.name}': the people's table lacks the column '{name}'.")
    values, allowed = _whole_numbers(codes_in(data, name)), _whole_numbers(codes_in(levels_from, name).dropna())
    levels = sorted(allowed.unique().tolist())
    strange = sorted(set(values.unique().tolist()) - set(levels), key=str)
    if strange:
        raise InputError(f"Regression '{regression.name}': '{name}' has {strange}; the people have {levels}.")
    return pd.Categorical(values, categories=levels)


def _whole_numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Codes read back as 2.0 are 2 again, so that a term is C(x)[T.2] whatever the file format did to it."""
    if pd.api.types.is_numeric_dtype(values.dtype) and (values % 1 == 0).all():
        return values.astype(int)
    return values


def kept(design: Design, rows: IntArray | BoolArray) -> Design:
    """The design of some of its own rows."""
    clusters = None if design.clusters is None else design.clusters[rows]
    outcome, predictors = design.outcome[rows], design.predictors[rows]
    return replace(design, outcome=outcome, predictors=predictors, clusters=clusters, rows=design.rows[rows])


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted regression, without its intercept: (k,) arrays in the order of ``terms``, named as in formulas.

    A coefficient without an estimate is nan; ``note`` says why in sentences. ``low`` and ``high`` are the 95 %
    interval, ``freedom`` the degrees of freedom of t behind it (infinite for the normal distribution), ``n`` the rows
    used, or the people whose they are; ``converged`` is False where all coefficients are nan.
    """

    name: str
    terms: tuple[str, ...]
    coefficient: FloatArray
    standard_error: FloatArray
    p_value: FloatArray
    low: FloatArray
    high: FloatArray
    freedom: FloatArray
    n: int
    converged: bool
    note: str


def fit(regression: Regression, table: pd.DataFrame, levels_from: pd.DataFrame | None = None) -> Fit:
    """Fit a regression of the study; whatever cannot be estimated is nan and is explained, never invented.

    - An outcome without variation, too few rows, an exact linear outcome, one cluster: all coefficients are nan.
    - A predictor that is constant, or a linear combination of the others: its coefficient is nan, the others are
      estimated.
    - A coefficient with a robust covariance that rests on a single row, or cluster: its standard error is nan.
    - Separation in a logit or probit: the infinite coefficients are nan, the others are their limits.

    Parameters
    ----------
    regression : Regression
        Formula, family and covariance. ``robust`` is HC2 with Bell and McCaffrey's degrees of freedom for linear
        models, HC0 for logit and probit. Linear models use t (with clusters: their number less one), logit and probit
        the normal.
    table : DataFrame
        A row an observation; rows with a missing variable, and those that ``only`` excludes, are left out.
    levels_from : DataFrame, optional
        The people's table, when ``table`` is a simulation: its values fix the levels of every ``C(x)``.

    Raises
    ------
    InputError
        If a variable is missing or not numeric, the outcome of a logit or probit is not 0 or 1, or a ``C(x)`` has a
        value that ``levels_from`` lacks.

    References
    ----------
    Albert & Anderson (1984), Biometrika 71, 1-10, for separation; Konis (2007, thesis, Oxford), for finding it; Geyer
    (2009), Electronic Journal of Statistics 3, 259-289, for the limits; White (1980), Econometrica 48, 817-838, for
    HC0.
    """
    return fit_design(regression, design_of(regression, table, levels_from))


class _NoEstimateError(Exception):
    """Nothing can be estimated; the message says why."""


def fit_design(regression: Regression, design: Design) -> Fit:
    """`fit` where the design is known already, for example of drawn rows."""
    notes: list[str] = []
    values = np.full((6, len(design.names)), np.nan)
    converged = True
    try:
        _estimate(regression, design, values, notes)
    except _NoEstimateError as reason:
        values[:] = np.nan
        notes, converged = [str(reason)], False
    shown = np.array([name in design.shown for name in design.names])
    terms, n, note = design.shown, design.people, " ".join(notes)
    coefficient, standard_error, p_value, low, high, freedom = values[:, shown]
    return Fit(regression.name, terms, coefficient, standard_error, p_value, low, high, freedom, n, converged, note)


def _estimate(regression: Regression, design: Design, values: FloatArray, notes: list[str]) -> None:
    """Fill ``values``: coefficient, standard error, p-value, low, high and freedom of each; add to ``notes``."""
    _check_estimable(design)
    basis, identified = identified_columns(design.predictors)
    _note_unidentified(design, identified, notes)
    if len(design.outcome) <= len(basis):
        raise _NoEstimateError(f"There are {len(design.outcome)} rows for {len(basis)} coefficients.")
    result = _run(regression, design, basis)
    direction = None if _reached_maximum(regression, result) else _separation(design, basis)
    if direction is not None:
        overlapping = np.abs(direction) < _ZERO
        if len(np.unique(design.outcome[overlapping])) < 2:
            raise _NoEstimateError("Separation: all outcomes are predicted perfectly, so no estimate exists.")
        notes.append(f"Separation: {int((~overlapping).sum())} of {len(direction)} outcomes are predicted perfectly.")
        _estimate(regression, kept(design, overlapping), values, notes)
        return
    if not _reached_maximum(regression, result):
        raise _NoEstimateError("The maximum-likelihood estimation did not converge.")
    if _has_hc2(regression, design):
        on = columns(design.predictors[:, basis] / _scale(design, basis))
        found = tested(*every_least_squares(design.outcome, on))
    else:
        found = _reported(design, result)
    chosen = identified[basis]
    shown = [int(k) for k in np.flatnonzero(chosen) if design.names[basis[k]] in design.shown]
    alone = _alone(design, basis, shown) if regression.covariance == "robust" or design.clusters is not None else []
    found[1:, alone] = np.nan
    found[[0, 1, 3, 4]] /= _scale(design, basis)
    values[:, basis[chosen]] = found[:, chosen]
    what = "row" if design.clusters is None else "cluster"
    exact = [k for k in shown if np.isnan(found[1, k]) and k not in alone]
    for places, why in ((alone, f"Rests on a single {what}"), (exact, "Rests on rows that are fitted exactly")):
        if places:
            names = ", ".join(design.names[basis[k]] for k in places)
            notes.append(f"{why}, so it has no standard error: {names}.")


def _alone(design: Design, basis: IntArray, places: list[int]) -> list[int]:
    """Which of the columns of a basis have a coefficient that rests on a single row, or a single cluster."""
    on = columns(design.predictors[:, basis])
    if design.clusters is None:
        return [k for k in places if on.rests_on_one(k)]
    return [k for k in places if on.rests_on_a_group(k, design.clusters)]


def _has_hc2(regression: Regression, design: Design) -> bool:
    return regression.family == "linear" and regression.covariance == "robust" and design.clusters is None


def _reported(design: Design, result: Any) -> FloatArray:
    low, high = result.conf_int(0.05).T
    freedom = result.df_resid if design.clusters is None else len(np.unique(design.clusters)) - 1
    used = freedom if result.use_t else np.inf
    return np.vstack([result.params, result.bse, result.pvalues, low, high, np.full(len(low), used)])


def tested(coefficient: FloatArray, error: FloatArray, freedom: FloatArray) -> FloatArray:
    """What a fit says of coefficients with standard errors and degrees of freedom of t."""
    freedom = np.broadcast_to(freedom, coefficient.shape)
    error = np.where(np.isnan(freedom), np.nan, error)
    half = t.ppf(0.975, freedom) * error
    p_value = 2 * t.sf(np.abs(coefficient / error), freedom)
    return np.stack([coefficient, error, p_value, coefficient - half, coefficient + half, freedom])


def _check_estimable(design: Design) -> None:
    if not len(design.outcome):
        raise _NoEstimateError("There are no rows.")
    if np.ptp(design.outcome) == 0:
        raise _NoEstimateError("The outcome does not vary.")
    if design.clusters is not None and len(np.unique(design.clusters)) < 2:
        raise _NoEstimateError("All rows are in one cluster, so standard errors do not exist.")


def identified_columns(predictors: FloatArray) -> tuple[IntArray, BoolArray]:
    """Columns that span the design, and which columns no combination of the others equals."""
    scale = np.abs(predictors).max(axis=0)
    scaled = predictors / np.where(scale > 0, scale, 1)
    _, r, pivots = qr(scaled, mode="economic", pivoting=True)
    tolerance = np.abs(r[0, 0]) * max(scaled.shape) * np.finfo(float).eps
    rank = int((np.abs(np.diag(r)) > tolerance).sum())
    # A column is a combination of others if and only if it takes part in a direction that the design does not see.
    blind = np.linalg.solve(r[:rank, :rank], r[:rank, rank:])
    identified = np.zeros(predictors.shape[1], dtype=bool)
    identified[pivots[:rank]] = (np.abs(blind) < 1e-8).all(axis=1)
    return np.sort(pivots[:rank]).astype(np.int64), identified


def _note_unidentified(design: Design, identified: BoolArray, notes: list[str]) -> None:
    varies = np.ptp(design.predictors, axis=0) > 0
    for lost, why in ((~varies, "Without variation"), (varies, "A linear combination of other predictors")):
        names = [name for k, name in enumerate(design.names) if lost[k] and not identified[k] and name in design.shown]
        if names:
            notes.append(f"{why}: {', '.join(names)}.")


def _run(regression: Regression, design: Design, basis: IntArray) -> Any:
    """The statsmodels result; None where the estimation broke down."""
    model = {"linear": sm.OLS, "logit": sm.Logit, "probit": sm.Probit}[regression.family]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what they say is found out here and said in the note
        built = model(design.outcome, design.predictors[:, basis] / _scale(design, basis))
        if regression.family == "linear":
            result = built.fit(use_t=True, **_covariance(regression, design))
            if result.ssr <= 1e-20 * np.square(design.outcome).sum():
                raise _NoEstimateError("The outcome is an exact linear function of the predictors.")
            return result
        try:
            return built.fit(disp=0, maxiter=_MOST_STEPS, **_covariance(regression, design))
        except (np.linalg.LinAlgError, PerfectSeparationError):
            return None


def _scale(design: Design, basis: IntArray) -> FloatArray:
    """The largest absolute value of each column."""
    return np.asarray(np.abs(design.predictors[:, basis]).max(axis=0))


def _covariance(regression: Regression, design: Design) -> dict[str, Any]:
    if design.clusters is not None:
        return {"cov_type": "cluster", "cov_kwds": {"groups": design.clusters}}
    robust = regression.covariance == "robust" and not _has_hc2(regression, design)
    return {"cov_type": "HC0" if robust else "nonrobust"}


def _reached_maximum(regression: Regression, result: Any) -> bool:
    return regression.family == "linear" or (result is not None and bool(result.mle_retvals["converged"]))


def _separation(design: Design, basis: IntArray) -> FloatArray | None:
    """A linear predictor that is never on the wrong side of an outcome and somewhere on the right one, or None."""
    scaled = design.predictors[:, basis] / _scale(design, basis)
    right = scaled * (2 * design.outcome - 1)[:, None]
    found = linprog(-right.sum(axis=0), A_ub=-right, b_ub=np.zeros(len(right)), bounds=(-1, 1), method="highs")
    if found.x is None:
        return None
    predictor = np.asarray(scaled @ found.x)
    return predictor if np.abs(predictor).max() > _ZERO else None
