"""The summary with a line a measure: its items together, those with too few replications left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

FORECASTS = ("nll",)
"""Of a forecast that is wrong by design; their human benchmark is another forecast's, so the two need not agree."""
FEWEST = 100
"""Below this many replications a coverage of .95 cannot be told from one of .89."""
COLUMNS = (
    "n", "distribution", "metric", "truth_from", "items", "replications", "level", "intervals", "coverage",
    "coverage_low", "coverage_high", "least_coverage", "bias", "bias_error", "human_benchmark_gap",
    "human_benchmark_error", "rejected", "rejected_low", "rejected_high",
)  # fmt: skip


def gathered(lines: pd.DataFrame) -> pd.DataFrame:
    """Put the items of a measure in the lines of `truth.summary.summary` together, in `COLUMNS`.

    Coverage is the mean over the items, its Monte-Carlo ends (99 %) are those of a single item, since the items of a
    replication depend on each other, and ``least_coverage`` is that of the item covered least; bias and human benchmark
    gap are those of the item where they are largest in their own Monte-Carlo errors. Of tests the line holds the
    rejection rate.
    """
    enough = lines[lines["replications"] >= FEWEST]
    estimates, tests = enough[enough["rejected"].isna()], enough[enough["rejected"].notna()]
    rows = [*_of_estimates(estimates), *tests.to_dict("records")]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def _of_estimates(lines: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for (n, distribution, metric, source), rows in lines.groupby(
        ["n", "distribution", "metric", "truth_from"], sort=False
    ):
        # Whether a p-value is right is asked of the tests.
        if str(metric).endswith(("_p", "p_value")):
            continue
        row = {"n": n, "distribution": distribution, "metric": metric, "truth_from": source, "items": len(rows)}
        row |= {"replications": int(rows["replications"].min()), "level": rows["level"].max()}
        known = rows[rows["intervals"] >= FEWEST]
        row |= {"intervals": int(known["intervals"].sum()), "least_coverage": known["coverage"].min()}
        row |= {name: known[name].mean() for name in ("coverage", "coverage_low", "coverage_high")}
        bias = (rows["mean"] - rows["truth"]).mask(rows["truth_from"] == "estimates")
        row["bias"], row["bias_error"] = _largest(bias, np.hypot(rows["mean_error"], rows["truth_error"]))
        gaps = rows["human_benchmark_gap"].mask(rows["metric"].isin(FORECASTS))
        gap, error = _largest(gaps, rows["human_benchmark_error"])
        yield {**row, "human_benchmark_gap": gap, "human_benchmark_error": error}


def _largest(value: pd.Series, error: pd.Series) -> tuple[float, float]:
    """The value that is largest in its own errors, and its error."""
    size = (value.abs() / error.where(error > 0)).dropna()
    return (np.nan, np.nan) if size.empty else (float(value[size.idxmax()]), float(error[size.idxmax()]))
