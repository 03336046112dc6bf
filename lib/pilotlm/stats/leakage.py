"""Whether simulated people are copies of those an answerer learnt from."""

from __future__ import annotations

import pandas as pd

from pilotlm.errors import InputError
from pilotlm.stats.intervals import Estimate, wilson


def copied_share(rows: pd.DataFrame, known: pd.DataFrame, level: float = 0.95) -> Estimate:
    """The share of rows that equal a known row in every column."""
    if list(rows.columns) != list(known.columns):
        raise InputError(f"The columns differ: {', '.join(rows.columns)} and {', '.join(known.columns)}.")
    there = set(known.itertuples(index=False, name=None))
    return wilson(sum(row in there for row in rows.itertuples(index=False, name=None)), len(rows), level)
