"""The page on known truth: which intervals cover, which estimators are biased, which tests hold their level."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pilotlm.records import project_folder
from pilotlm.showing.staged import table_of

LEAST, MOST = 0.93, 0.97
"""A 95 % interval should cover between these shares; one of 90 % between .88 and .92."""
COVERS, WIDE, NARROW, UNSURE = "as it should", "too wide", "too narrow", "cannot be told"
NONE_YET = "Nothing has been run here yet: `make truth` writes `truth/results.json`."
REASONS_WIDE = {
    "unique_structures": "Where nearly all structures are different the jackknife counts what pairs add twice.",
    "classifier_auc": "No estimator of its variance is unbiased; that of one split is taken a little large.",
    "association": "The larger of two standard errors is taken where few rows are behind them.",
    "false_positive_rate": "It is a share of few coefficients, so coarse that an interval cannot hold exactly.",
    "concordance": "Why is not known.",
}
"""Why intervals are longer than they need be: claims are rarer than they could be, none is made too easily."""


def results_path() -> Path:
    """Where `make truth` writes."""
    return project_folder() / "truth" / "results.json"


def read_truth() -> pd.DataFrame | None:
    """What `make truth` wrote; None where it has not run."""
    path = results_path()
    return pd.read_json(path, orient="records") if path.is_file() else None


def truth_page(lines: pd.DataFrame | None) -> str:
    """The page's text.

    Parameters
    ----------
    lines : DataFrame or None
        What ``truth/results.json`` holds; None where it does not exist.

    Returns
    -------
    str
        Markdown that Quarto and nbconvert both read.
    """
    if lines is None or lines.empty:
        return NONE_YET + "\n"
    estimates, tests = lines[lines["rejected"].isna()], lines[lines["rejected"].notna()]
    intervals = estimates[estimates["coverage"].notna()]
    verdicts = intervals.apply(coverage_verdict, axis=1)
    parts = [
        _counted(verdicts),
        f"## Intervals and estimators\n\n{_estimates_table(estimates)}",
        f"## Where intervals are too narrow\n\n{_narrow(intervals[verdicts == NARROW])}",
        f"## Where intervals are too wide\n\n{_wide(intervals[verdicts == WIDE])}",
        f"## Tests\n\n{_tests_table(tests)}",
    ]
    return "\n\n".join(parts) + "\n"


def coverage_verdict(line: pd.Series) -> str:
    """Whether an interval covers as often as it says, as far as the replications can tell."""
    shift = 0.05 if line["level"] < 0.95 else 0.0
    if line["coverage_high"] < LEAST - shift or line["coverage"] < LEAST - shift - 0.01:
        return NARROW
    if line["coverage_low"] > MOST - shift or line["coverage"] > MOST - shift + 0.01:
        return WIDE
    return COVERS if LEAST - shift <= line["coverage"] <= MOST - shift else UNSURE


def _counted(verdicts: pd.Series) -> str:
    counts = verdicts.value_counts()
    said = [f"{counts.get(v, 0)} {words}" for v, words in (
        (COVERS, "cover as they should"), (WIDE, "cover too often, which makes claims rarer"),
        (NARROW, "cover too rarely"), (UNSURE, "are at the edge, where the replications do not decide"),
    )]  # fmt: skip
    return f"Of {len(verdicts)} kinds of interval (a measure, a size, a distribution), {', '.join(said)}."


def _estimates_table(lines: pd.DataFrame) -> str:
    return table_of(
        ["Measure", "n", "Distribution", "Replications", "Coverage", "It covers", "Bias", "Benchmark less estimate"],
        [
            [
                str(line["metric"]).replace("_", " "), f"{line['n']:.0f}", str(line["law"]),
                f"{line['replications']:.0f}", _coverage(line),
                coverage_verdict(line) if pd.notna(line["coverage"]) else "no interval",
                _with_error(line["bias"], line["bias_error"]), _with_error(line["floor_gap"], line["floor_error"]),
            ]
            for _, line in lines.iterrows()
        ],
        (24, 6, 8, 10, 18, 12, 14, 14),
    )  # fmt: skip


def _tests_table(lines: pd.DataFrame) -> str:
    return table_of(
        ["Test", "n", "Replications", "Rejected at 5 %", "99 % Monte-Carlo interval"],
        [
            [
                str(line["metric"]).replace("_", " "), f"{line['n']:.0f}", f"{line['replications']:.0f}",
                f"{line['rejected']:.3f}", f"{line['rejected_low']:.3f} to {line['rejected_high']:.3f}",
            ]
            for _, line in lines.iterrows()
        ],
        (36, 8, 14, 16, 26),
    )  # fmt: skip


def _narrow(lines: pd.DataFrame) -> str:
    return _named(lines, {}, "min")


def _wide(lines: pd.DataFrame) -> str:
    said = _named(lines, REASONS_WIDE, "max")
    return (
        f"They are conservative: a difference that they show is there, and some that are there are not shown.\n\n{said}"
    )


def _named(lines: pd.DataFrame, reasons: dict[str, str], which: str) -> str:
    if lines.empty:
        return "Nowhere."
    names = dict.fromkeys(str(name) for name in lines["metric"])
    worst = lines.groupby("metric")["coverage"].agg(which)
    return "\n".join(
        f"- {name.replace('_', ' ')}: {worst[name]:.3f} at worst. {reasons.get(name, 'Why is not known.')}"
        for name in names
    )


def _coverage(line: pd.Series) -> str:
    if pd.isna(line["coverage"]):
        return "–"
    least = f" (least {line['least_coverage']:.3f})" if line["items"] > 1 else ""
    return f"{line['coverage']:.3f}{least}"


def _with_error(value: float, error: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f} ± {error:.3f}"
