"""Whether simulated people are copies of those an answerer learnt from: nearest rows and exact copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pilotlm.errors import InputError
from pilotlm.measures.intervals import Estimate, FloatArray, wilson


def nearest_distances(rows: ArrayLike, known: ArrayLike, spans: ArrayLike) -> FloatArray:
    """The distance of each row to the nearest known row.

    Gower's distance: the mean over columns of the absolute difference divided by the column's span, for a column
    without an order of whether the two differ.

    Parameters
    ----------
    rows : (rows, columns) array_like
        Rows to judge.
    known : (known, columns) array_like
        The rows that an answerer was fitted on, at least one.
    spans : (columns,) array_like
        The largest possible difference in each column; 0 for a column without an order.

    Returns
    -------
    (rows,) float array
        In [0, 1] where no difference exceeds its span; 0 for a copy.

    Raises
    ------
    InputError
        If the columns differ in number, a value is not finite, a span is negative, or no row is known.

    References
    ----------
    Gower (1971), A general coefficient of similarity and some of its properties, Biometrics 27, 857-871.
    """
    ours, theirs, widths = (np.asarray(values, dtype=float) for values in (rows, known, spans))
    if ours.ndim != 2 or theirs.ndim != 2 or not ours.shape[1] == theirs.shape[1] == len(widths) or not len(theirs):
        shapes = f"{ours.shape}, {theirs.shape} and {widths.shape}"
        raise InputError(f"Rows, known rows and spans must have the same columns and a row known, got {shapes}.")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all() and (widths >= 0).all()):
        raise InputError("Every value must be finite and no span negative.")
    total = np.zeros((len(ours), len(theirs)))
    for k, width in enumerate(widths):
        difference = np.abs(ours[:, k, None] - theirs[None, :, k])
        total += difference / width if width > 0 else difference > 0
    return np.asarray(total.min(axis=1) / len(widths))


def copied_share(rows: pd.DataFrame, known: pd.DataFrame, level: float = 0.95) -> Estimate:
    """The share of rows that equal a known row in every column.

    Parameters
    ----------
    rows, known : DataFrame
        The same columns.
    level : float
        Nominal coverage of Wilson's interval, for rows drawn anew with the known rows as they are.

    Returns
    -------
    Estimate
        A share, in [0, 1].

    Raises
    ------
    InputError
        If the columns differ.
    """
    if list(rows.columns) != list(known.columns):
        raise InputError(f"The columns differ: {', '.join(rows.columns)} and {', '.join(known.columns)}.")
    there = set(known.itertuples(index=False, name=None))
    return wilson(sum(row in there for row in rows.itertuples(index=False, name=None)), len(rows), level)
