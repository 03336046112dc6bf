"""The study's regressions on any table of responses, and how well a simulation recovers the signs that people give."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import linprog
from statsmodels.tools.sm_exceptions import PerfectSeparationError

from pilotlm.errors import InputError, nearest
from pilotlm.measures.intervals import Estimate, FloatArray, IntArray, central, resample_within
from pilotlm.study import Regression

BoolArray = NDArray[np.bool_]
INTERCEPT = "Intercept"
_CATEGORICAL = re.compile(r"C\(\s*(\w+)\s*\)")
_ZERO = 1e-6  # of a linear predictor scaled to at most the number of coefficients


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted regression, without its intercept.

    Attributes
    ----------
    name : str
        The regression's name.
    terms : tuple of str
        The k coefficients, named as formulas name them: ``age``, ``C(educ)[T.2]``, ``treat:age``.
    coefficient, standard_error, p_value : (k,) float arrays
        nan where a coefficient has no estimate; the note says why. The p-values are two-sided.
    low, high : (k,) float arrays
        The 95 % interval.
    n : int
        Number of rows used.
    converged : bool
        Whether the estimation reached its end; False where all coefficients are nan.
    note : str
        What is wrong, in sentences; empty if nothing is.
    """

    name: str
    terms: tuple[str, ...]
    coefficient: FloatArray
    standard_error: FloatArray
    p_value: FloatArray
    low: FloatArray
    high: FloatArray
    n: int
    converged: bool
    note: str


@dataclass(frozen=True)
class SignScores:
    """How well a simulation recovers the significant signs of people's regressions; see `sign_scores`.

    Attributes
    ----------
    f1, precision, recall : float
        In [0, 1]: 2 TP / (2 TP + FP + FN), TP / (TP + FP), TP / (TP + FN); nan where the denominator is 0.
    false_positive_rate : float
        In [0, 1]: share of the people's null coefficients that the simulation calls significant; nan without any.
    significant_human, null_human : int
        Number of coefficients that are significant for people, and that are not.
    true_positive : int
        TP: significant for both, same sign.
    false_positive : int
        FP: significant in the simulation, but null for people or of the opposite sign.
    false_negative : int
        FN: significant for people, but not in the simulation or of the opposite sign there.
    """

    f1: float
    precision: float
    recall: float
    false_positive_rate: float
    significant_human: int
    null_human: int
    true_positive: int
    false_positive: int
    false_negative: int


@dataclass(frozen=True)
class SignFloor:
    """What fresh draws of people score against all people; see `human_floor_sign_scores`.

    Attributes
    ----------
    f1, false_positive_rate : Estimate
        Mean over the draws, the central part of the draws, and the rows of a draw as n; nan draws are left out.
    """

    f1: Estimate
    false_positive_rate: Estimate


def fit(regression: Regression, table: pd.DataFrame, levels_from: pd.DataFrame | None = None) -> Fit:
    """Fit a regression of the study; whatever cannot be estimated is nan and is explained, never invented.

    - An outcome without variation, too few rows, an exact linear outcome, one cluster: all coefficients are nan.
    - A predictor that is constant, or a linear combination of the others, in this table: its coefficient is nan, and
      the others are estimated (they do not depend on what is put in its place).
    - Separation in a logit or probit (some outcomes are predicted perfectly, so some estimates are infinite): the
      infinite ones are nan; the others are their limits, which are the estimates on the rows not so predicted.

    Parameters
    ----------
    regression : Regression
        Formula, family and covariance. ``robust`` is HC1. Linear models use the t distribution (with clusters: their
        number less one as degrees of freedom), logit and probit the normal.
    table : DataFrame
        A row an observation, with the variables of the formula as numbers; rows with a missing one, and those that
        the regression's ``only`` excludes, are left out.
    levels_from : DataFrame, optional
        The people's table, when ``table`` is a simulation or a part: its values fix the levels of every ``C(x)``, so
        that terms and reference level are the same in both.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        If a variable is missing or not numeric, the outcome of a logit or probit is not 0 or 1, or a ``C(x)`` has a
        value that ``levels_from`` lacks.

    References
    ----------
    Albert & Anderson (1984), On the existence of maximum likelihood estimates in logistic regression models,
    Biometrika 71, 1-10, for separation; Konis (2007), Linear programming algorithms for detecting separated data in
    binary logistic regression models (thesis, Oxford), for finding it; Geyer (2009), Likelihood inference in
    exponential families and directions of recession, Electronic Journal of Statistics 3, 259-289, for the limits;
    MacKinnon & White (1985), Journal of Econometrics 29, 305-325, for HC1.
    """
    return _fit_design(regression, _design(regression, table, levels_from))


def sign_scores(simulated: Fit, human: Fit, level: float = 0.05) -> SignScores:
    """F1 of the sign and false-positive rate of a simulation's coefficients against people's.

    A coefficient of the people is a signal if p < level and null otherwise (not considered if it is nan). Terms are
    matched by name; a term that the simulation lacks, or where it is nan, counts as not significant. The paper
    replicated reports these two scores but its exact definitions are not known to us: these are assumed.

    Parameters
    ----------
    simulated : Fit
        The fit on simulated rows; for a fair score with as many rows as people.
    human : Fit
        The fit on people.
    level : float
        Level of the two-sided tests, between 0 and 1.

    Returns
    -------
    SignScores

    Raises
    ------
    InputError
        If the level lies outside (0, 1).
    """
    return pooled_sign_scores([(simulated, human)], level)


def pooled_sign_scores(pairs: Sequence[tuple[Fit, Fit]], level: float = 0.05) -> SignScores:
    """`sign_scores` over the coefficients of several regressions together.

    Parameters
    ----------
    pairs : sequence of (Fit, Fit)
        For each regression the fit on simulated rows and the fit on people.
    level : float
        Level of the two-sided tests, between 0 and 1.

    Returns
    -------
    SignScores

    Raises
    ------
    InputError
        If the level lies outside (0, 1).
    """
    if not 0 < level < 1:
        raise InputError(f"The level of a test must lie between 0 and 1, got {level!r}.")
    outcomes = [_sign_outcomes(simulated, human, level) for simulated, human in pairs]
    signal, called, same = (np.concatenate([o[i] for o in outcomes] or [np.zeros(0, bool)]) for i in range(3))
    true_positive = int((signal & called & same).sum())
    false_positive = int(called.sum()) - true_positive
    false_negative = int(signal.sum()) - true_positive
    return SignScores(
        f1=_ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        precision=_ratio(true_positive, true_positive + false_positive),
        recall=_ratio(true_positive, true_positive + false_negative),
        false_positive_rate=_ratio(int((called & ~signal).sum()), int((~signal).sum())),
        significant_human=int(signal.sum()),
        null_human=int((~signal).sum()),
        true_positive=true_positive,
        false_positive=false_positive,
        false_negative=false_negative,
    )


def human_floor_sign_scores(
    regressions: Sequence[Regression],
    people: pd.DataFrame,
    n: int,
    repeats: int,
    rng: np.random.Generator,
    level: float = 0.05,
) -> SignFloor:
    """What a fresh draw of n people would score against all people: the scores that a perfect simulation has.

    Each draw takes n rows of people with replacement, each treatment with its share, and is scored against all people,
    the regressions pooled. It thus answers for a population in which people's own estimates are the truth: a
    coefficient that is null for them is seldom exactly 0, so the false-positive rate may exceed the level. Clustered
    errors keep each row's cluster.

    Parameters
    ----------
    regressions : sequence of Regression
        The regressions to score together, at least one.
    people : (m rows) DataFrame
        All people, with the variables of the regressions and ``treatment``.
    n : int
        Rows of a draw, at least 1.
    repeats : int
        Number of draws, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    level : float
        Level of the two-sided tests, between 0 and 1.

    Returns
    -------
    SignFloor
        With the central 95 % of the draws.

    Raises
    ------
    InputError
        As in `fit`, or if there is no regression or repeats, n or level is out of range.
    """
    if not regressions or repeats < 2 or "treatment" not in people.columns:
        raise InputError("The people's own sign scores need a regression, 2 repeats and the column 'treatment'.")
    designs = [_design(regression, people, None) for regression in regressions]
    truth = [_fit_design(regression, design) for regression, design in zip(regressions, designs, strict=True)]
    return _resampled_scores(regressions, designs, truth, people["treatment"].to_numpy(), n, repeats, rng, level)


def resampled_sign_scores(
    regressions: Sequence[Regression],
    simulated: pd.DataFrame,
    people: pd.DataFrame,
    repeats: int,
    rng: np.random.Generator,
    level: float = 0.05,
) -> SignFloor:
    """How far the sign scores of a simulation move when its rows are drawn anew.

    Each draw takes as many simulated rows as there are, with replacement within treatments, and is scored against all
    people, the regressions pooled. The range says how much of a score is the luck of these rows. It is a percentile
    range of a statistic that jumps, and resampled rows vary more than fresh ones, so it is rather too wide than too
    narrow, and its mean is not the score itself.

    Parameters
    ----------
    regressions : sequence of Regression
        The regressions to score together, at least one.
    simulated : (n rows) DataFrame
        Simulated rows, with the variables of the regressions and ``treatment``.
    people : (m rows) DataFrame
        All people, likewise.
    repeats : int
        Number of draws, at least 2.
    rng : numpy.random.Generator
        Source of randomness.
    level : float
        Level of the two-sided tests, between 0 and 1.

    Returns
    -------
    SignFloor
        Means and the central 95 % of the draws.

    Raises
    ------
    InputError
        As in `fit`, or if there is no regression or repeats or level is out of range.
    """
    if not regressions or repeats < 2:
        raise InputError(f"Resampled sign scores need a regression and 2 repeats or more, got {repeats}.")
    truth = [fit(regression, people) for regression in regressions]
    designs = [_design(regression, simulated, people) for regression in regressions]
    treatments = simulated["treatment"].to_numpy()
    return _resampled_scores(regressions, designs, truth, treatments, len(simulated), repeats, rng, level)


def _resampled_scores(
    regressions: Sequence[Regression],
    designs: Sequence[_Design],
    truth: Sequence[Fit],
    treatments: NDArray[Any],
    n: int,
    repeats: int,
    rng: np.random.Generator,
    level: float,
) -> SignFloor:
    def draw() -> SignScores:
        rows = resample_within(treatments, n, rng)
        drawn = [_fit_design(r, _taken(d, rows)) for r, d in zip(regressions, designs, strict=True)]
        return pooled_sign_scores(list(zip(drawn, truth, strict=True)), level)

    scores = [draw() for _ in range(repeats)]
    return SignFloor(
        f1=_mean_and_range(np.array([score.f1 for score in scores]), n),
        false_positive_rate=_mean_and_range(np.array([score.false_positive_rate for score in scores]), n),
    )


@dataclass(frozen=True, eq=False)
class _Design:
    """The numbers behind a formula.

    Attributes
    ----------
    outcome : (n,) float array
    predictors : (n, k) float array
    names : tuple of str
        The k columns.
    clusters : (n,) int array or None
    rows : (n,) int array
        Which row of the table each is.
    """

    outcome: FloatArray
    predictors: FloatArray
    names: tuple[str, ...]
    clusters: IntArray | None
    rows: IntArray


class _NoEstimateError(Exception):
    """Nothing can be estimated; the message says why."""


def _design(regression: Regression, table: pd.DataFrame, levels_from: pd.DataFrame | None) -> _Design:
    cluster = [regression.cluster] if regression.cluster else []
    needed = list(dict.fromkeys([*regression.variables, *cluster, *regression.only]))
    for column in needed:
        if column not in table.columns:
            known = nearest(column, map(str, table.columns))
            raise InputError(f"Regression '{regression.name}' needs the column '{column}'; {known}.")
    data = _used_rows(regression, table[needed].reset_index(drop=True)).dropna()
    if data.empty:
        raise InputError(f"Regression '{regression.name}': no row has all of {', '.join(needed)}.")
    clusters = pd.factorize(data[regression.cluster])[0].astype(np.int64) if regression.cluster else None
    rows = data.index.to_numpy(dtype=np.int64)
    data = _typed(regression, data, _used_rows(regression, table if levels_from is None else levels_from))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rank deficiency, which is dealt with later and said in the note
        model = smf.ols(regression.formula, data)
    predictors = np.asarray(model.exog, dtype=float)
    return _Design(np.asarray(model.endog, dtype=float), predictors, tuple(model.exog_names), clusters, rows)


def _used_rows(regression: Regression, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that ``only`` keeps; a column that the table lacks is complained of where it is needed."""
    kept = np.ones(len(table), dtype=bool)
    for name, codes in regression.only.items():
        if name in table.columns:
            kept &= table[name].isin(codes).to_numpy()
    return table[kept]


def _typed(regression: Regression, data: pd.DataFrame, levels_from: pd.DataFrame) -> pd.DataFrame:
    """Categories with fixed levels, everything else as floats."""
    categorical = set(_CATEGORICAL.findall(regression.formula))
    columns: dict[str, Any] = {}
    for name in regression.variables:
        if name in categorical:
            columns[name] = _category(regression, data[name], levels_from)
        elif pd.api.types.is_numeric_dtype(data[name].dtype):
            columns[name] = data[name].astype(float)
        else:
            raise InputError(
                f"Regression '{regression.name}': '{name}' is not numeric; write C({name}) for a category."
            )
    outcome = regression.variables[0]
    if regression.family != "linear" and not columns[outcome].isin([0.0, 1.0]).all():
        raise InputError(
            f"Regression '{regression.name}': the outcome '{outcome}' of a {regression.family} must be 0 or 1."
        )
    return pd.DataFrame(columns)


def _category(regression: Regression, values: pd.Series[Any], levels_from: pd.DataFrame) -> pd.Categorical:
    if values.name not in levels_from.columns:
        raise InputError(f"Regression '{regression.name}': the people's table lacks the column '{values.name}'.")
    values, allowed = _whole_numbers(values), _whole_numbers(levels_from[values.name].dropna())
    levels = sorted(allowed.unique().tolist())
    strange = sorted(set(values.unique().tolist()) - set(levels), key=str)
    if strange:
        raise InputError(f"Regression '{regression.name}': '{values.name}' has {strange}; the people have {levels}.")
    return pd.Categorical(values, categories=levels)


def _whole_numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Codes read back as 2.0 are 2 again, so that a term is C(x)[T.2] whatever the file format did to it."""
    if pd.api.types.is_numeric_dtype(values.dtype) and (values % 1 == 0).all():
        return values.astype(int)
    return values


def _taken(design: _Design, table_rows: IntArray) -> _Design:
    """The design of some rows of the table, perhaps with repeats; rows with a missing value fall out again."""
    where = np.full(max(int(design.rows.max()), int(table_rows.max())) + 1, -1)
    where[design.rows] = np.arange(len(design.rows))
    found = where[table_rows]
    return _kept(design, found[found >= 0])


def _kept(design: _Design, rows: IntArray | BoolArray) -> _Design:
    clusters = None if design.clusters is None else design.clusters[rows]
    return _Design(design.outcome[rows], design.predictors[rows], design.names, clusters, design.rows[rows])


def _fit_design(regression: Regression, design: _Design) -> Fit:
    notes: list[str] = []
    values = np.full((5, len(design.names)), np.nan)
    converged = True
    try:
        _estimate(regression, design, values, notes)
    except _NoEstimateError as reason:
        values[:] = np.nan
        notes, converged = [str(reason)], False
    shown = np.array([name != INTERCEPT for name in design.names])
    terms = tuple(name for name in design.names if name != INTERCEPT)
    coefficient, standard_error, p_value, low, high = values[:, shown]
    n, note = len(design.outcome), " ".join(notes)
    return Fit(regression.name, terms, coefficient, standard_error, p_value, low, high, n, converged, note)


def _estimate(regression: Regression, design: _Design, values: FloatArray, notes: list[str]) -> None:
    """Fill ``values``: coefficient, standard error, p-value, low and high, a column each; add to ``notes``."""
    _check_estimable(design)
    basis, identified = _identified(design.predictors)
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
        _estimate(regression, _kept(design, overlapping), values, notes)
        return
    if not _reached_maximum(regression, result):
        raise _NoEstimateError("The maximum-likelihood estimation did not converge.")
    unit = _scale(design, basis)
    low, high = result.conf_int(0.05).T
    found = np.vstack([result.params / unit, result.bse / unit, result.pvalues, low / unit, high / unit])
    chosen = identified[basis]
    values[:, basis[chosen]] = found[:, chosen]


def _check_estimable(design: _Design) -> None:
    if not len(design.outcome):
        raise _NoEstimateError("There are no rows.")
    if np.ptp(design.outcome) == 0:
        raise _NoEstimateError("The outcome does not vary.")
    if design.clusters is not None and len(np.unique(design.clusters)) < 2:
        raise _NoEstimateError("All rows are in one cluster, so standard errors do not exist.")


def _identified(predictors: FloatArray) -> tuple[IntArray, BoolArray]:
    """Columns that span the design, and which columns no combination of the others equals.

    Only the coefficients of the latter are determined by the data; all of them are in any set that spans.
    """
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


def _note_unidentified(design: _Design, identified: BoolArray, notes: list[str]) -> None:
    lost = [i for i, name in enumerate(design.names) if not identified[i] and name != INTERCEPT]
    constant = [design.names[i] for i in lost if np.ptp(design.predictors[:, i]) == 0]
    dependent = [design.names[i] for i in lost if np.ptp(design.predictors[:, i]) > 0]
    if constant:
        notes.append(f"Without variation: {', '.join(constant)}.")
    if dependent:
        notes.append(f"A linear combination of other predictors: {', '.join(dependent)}.")


def _run(regression: Regression, design: _Design, basis: IntArray) -> Any:
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
            return built.fit(disp=0, maxiter=100, **_covariance(regression, design))
        except (np.linalg.LinAlgError, PerfectSeparationError):
            return None


def _scale(design: _Design, basis: IntArray) -> FloatArray:
    """The largest absolute value of each column.

    Newton's method stops when coefficients move by less than 1e-8, which for a column in millions is at once: estimates
    are made on columns of one scale and put back.
    """
    return np.asarray(np.abs(design.predictors[:, basis]).max(axis=0))


def _covariance(regression: Regression, design: _Design) -> dict[str, Any]:
    if design.clusters is not None:
        return {"cov_type": "cluster", "cov_kwds": {"groups": design.clusters}}
    return {"cov_type": "HC1" if regression.covariance == "robust" else "nonrobust"}


def _reached_maximum(regression: Regression, result: Any) -> bool:
    return regression.family == "linear" or (result is not None and bool(result.mle_retvals["converged"]))


def _separation(design: _Design, basis: IntArray) -> FloatArray | None:
    """A linear predictor that is never on the wrong side of an outcome and somewhere on the right one, or None."""
    scaled = design.predictors[:, basis] / _scale(design, basis)
    right = scaled * (2 * design.outcome - 1)[:, None]
    found = linprog(-right.sum(axis=0), A_ub=-right, b_ub=np.zeros(len(right)), bounds=(-1, 1), method="highs")
    if found.x is None:
        return None
    predictor = np.asarray(scaled @ found.x)
    return predictor if np.abs(predictor).max() > _ZERO else None


def _sign_outcomes(simulated: Fit, human: Fit, level: float) -> tuple[BoolArray, BoolArray, BoolArray]:
    """For each coefficient that people have: is it a signal, is it called by the simulation, are the signs the same."""
    considered = np.flatnonzero(~np.isnan(human.p_value))
    place = {term: i for i, term in enumerate(simulated.terms)}
    theirs = np.array([place.get(human.terms[i], -1) for i in considered], dtype=np.int64)
    p_value = np.append(simulated.p_value, np.nan)[theirs]
    sign = np.sign(np.append(simulated.coefficient, np.nan)[theirs])
    return human.p_value[considered] < level, p_value < level, sign == np.sign(human.coefficient[considered])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _mean_and_range(draws: FloatArray, n: int) -> Estimate:
    known = draws[~np.isnan(draws)]
    ends = central(draws)
    return Estimate(float(known.mean()) if len(known) else float("nan"), ends.low, ends.high, n)
