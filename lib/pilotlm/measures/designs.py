"""What stands behind a formula: outcome and predictors as numbers, with the same terms in people and simulations."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from numpy.typing import NDArray

from pilotlm.errors import InputError, nearest
from pilotlm.measures.intervals import FloatArray, IntArray
from pilotlm.responses import code_column, codes_in
from pilotlm.study import Regression

BoolArray = NDArray[np.bool_]
INTERCEPT = "Intercept"
_CATEGORICAL = re.compile(r"C\(\s*(\w+)\s*\)")
_LEVEL = re.compile(r"\[[^\]]*\]")
_IN_TERM = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True, eq=False)
class Design:
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
    shown : tuple of str
        The columns whose coefficients are reported: neither the constant nor what stands for a nuisance.
    """

    outcome: FloatArray
    predictors: FloatArray
    names: tuple[str, ...]
    clusters: IntArray | None
    rows: IntArray
    shown: tuple[str, ...]


def design_of(regression: Regression, table: pd.DataFrame, levels_from: pd.DataFrame | None) -> Design:
    """Read the outcome and the predictors of a regression from a table.

    Parameters
    ----------
    regression : Regression
        The regression.
    table : DataFrame
        A row an observation, with the variables of the formula; incomplete rows are left out.
    levels_from : DataFrame or None
        The table that fixes the levels of every ``C(x)``; the same table when None.

    Returns
    -------
    Design

    Raises
    ------
    InputError
        If a variable is missing or not numeric, the outcome of a logit or probit is not 0 or 1, or a ``C(x)`` has a
        value that ``levels_from`` lacks.
    """
    cluster = [regression.cluster] if regression.cluster else []
    needed = list(dict.fromkeys([*regression.variables, *cluster, *regression.only]))
    for column in needed:
        if column not in table.columns:
            known = nearest(column, map(str, table.columns))
            raise InputError(f"Regression '{regression.name}' needs the column '{column}'; {known}.")
    codes = [code_column(name) for name in needed if code_column(name) in table.columns]
    data = _used_rows(regression, table[[*needed, *codes]].reset_index(drop=True)).dropna()
    if data.empty:
        raise InputError(f"Regression '{regression.name}': no row has all of {', '.join(needed)}.")
    clusters = pd.factorize(data[regression.cluster])[0].astype(np.int64) if regression.cluster else None
    rows = data.index.to_numpy(dtype=np.int64)
    data = _typed(regression, data, _used_rows(regression, table if levels_from is None else levels_from))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rank deficiency, which is dealt with later and said in the note
        model = smf.ols(regression.formula, data)
    predictors = np.asarray(model.exog, dtype=float)
    names = tuple(model.exog_names)
    outcome = np.asarray(model.endog, dtype=float)
    return Design(outcome, predictors, names, clusters, rows, _shown(regression, names))


def _shown(regression: Regression, names: tuple[str, ...]) -> tuple[str, ...]:
    within = {name: _IN_TERM.findall(_LEVEL.sub("", name)) for name in names}
    hidden = {name for name, variables in within.items() if set(variables) & set(regression.nuisance)}
    return tuple(name for name in names if name != INTERCEPT and name not in hidden)


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
    return Design(
        design.outcome[rows], design.predictors[rows], design.names, clusters, design.rows[rows], design.shown
    )
