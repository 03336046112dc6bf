"""What predictions are worth, in figures and tables: estimators and verdicts."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from pilotlm.analyses.rectification import METHODS, WRONG
from pilotlm.arms import Arms
from pilotlm.report.figures import WIDTH, styled
from pilotlm.report.labels import in_order, label_of
from pilotlm.report.wording import number
from pilotlm.stats.estimators import LABELS

KINDS: Mapping[str, str] = {
    "mean": "Means and shares",
    "effect": "Effects of the treatment",
    "coefficient": "Coefficients",
    "logit": "Logit coefficients",
}
"""The kinds of target, with their titles."""
WRONG_WORDS: Mapping[str, str] = {
    "wrongly used": "Wrongly used as they are",
    "wrongly rectified": "Wrongly advised prediction-powered",
    "wrongly refused": "Wrongly refused",
}
"""How a verdict is wrong, with its column's heading."""
_LINES: Mapping[str, tuple[str, str, str]] = {
    "people": ("#000000", "-", "D"),
    "simulation": ("#cc79a7", ":", "s"),
    "pooling": ("#e69f00", ":", "v"),
    "ppi": ("#56b4e9", "--", "^"),
    "tuned": ("#0072b2", "-", "o"),
}
"""Colour, dash and marker of each estimator."""


def judged_arms(table: pd.DataFrame, arms: Arms) -> list[str]:
    """The arms of which pilots were drawn, in order."""
    return in_order(arms, table[table["metric"] == "estimator_effective"]["arm"].unique().tolist())


def estimator_figure(table: pd.DataFrame, arm: str) -> Figure:
    """Coverage of each estimator's intervals, and its effective sample size, against the people with answers.

    A row of panels a kind of target, means over targets and seeds.
    """
    mine = table[table["arm"] == arm]
    kinds = [kind for kind in KINDS if kind in set(mine["item"])]
    with styled():
        figure: Figure = plt.figure(figsize=(WIDTH, 0.7 + 1.7 * max(len(kinds), 1)))
        axes = figure.subplots(max(len(kinds), 1), 2, sharex=True, sharey="col", squeeze=False)
        for (left, right), kind in zip(axes, kinds, strict=False):
            part = mine[mine["item"] == kind]
            left.axhspan(0.93, 0.97, color="#dddddd", linewidth=0)
            _draw_lines(left, part, "estimator_coverage")
            _draw_lines(right, part, "estimator_effective")
            left.set_title(KINDS[kind], loc="left")
            left.set_ylim(0, 1.02)
            right.set_yscale("log")
            right.yaxis.set_major_locator(FixedLocator([5, 20, 50, 200, 1000]))
            right.yaxis.set_major_formatter(ScalarFormatter())
            right.yaxis.set_minor_locator(NullLocator())
            right.set_xticks(sorted(part["n"].dropna().unique()))
        axes[-1, 0].set_xlabel("people with answers\nCoverage of 95 % intervals")
        axes[-1, 1].set_xlabel("people with answers\nEffective sample size")
        handles = [
            Line2D([], [], color=colour, linestyle=dash, marker=marker, markersize=4, label=LABELS[method])
            for method, (colour, dash, marker) in _LINES.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), frameon=False)
        figure.tight_layout(pad=0.3)
        plt.close(figure)
    return figure


def estimator_table(table: pd.DataFrame, arms: Arms, n: int) -> pd.DataFrame:
    """Each estimator with n people: coverage, and width and effective sample size over those of people alone."""
    rows = table[table["n"] == n]
    lines = []
    for name in judged_arms(table, arms):
        for kind, title in KINDS.items():
            for method in METHODS:
                part = rows[(rows["arm"] == name) & (rows["item"] == kind) & (rows["subgroup"] == method)]
                if part.empty:
                    continue
                means = part.groupby("metric")[["estimate", "low", "high"]].mean()
                lines.append(
                    {"Arm": label_of(arms, name), "Of": title, "Estimator": LABELS[method],
                     "Coverage": _value(means, "estimator_coverage", ends=True),
                     "Width": _value(means, "estimator_width"),
                     "Effective sample size": _value(means, "estimator_effective")}
                )  # fmt: skip
    return pd.DataFrame(lines)


def error_table(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """How often the verdict on a target is wrong, by arm, kind of target and number of people asked."""
    metrics = [how.replace(" ", "_") for how in WRONG]
    rows = table[table["metric"].isin(metrics)]
    lines = []
    for name in judged_arms(table, arms):
        for (kind, n), part in rows[rows["arm"] == name].groupby(["item", "n"], sort=False):
            means = part.groupby("metric")[["estimate", "low", "high"]].mean()
            shown = {WRONG_WORDS[how]: _value(means, m, ends=True) for how, m in zip(WRONG, metrics, strict=True)}
            lines.append({"Arm": label_of(arms, name), "Of": KINDS[str(kind)], "People": f"{n:.0f}", **shown})
    return pd.DataFrame(lines)


def _value(means: pd.DataFrame, metric: str, ends: bool = False) -> str:
    if metric not in means.index:
        return "–"
    row = means.loc[metric]
    text = number(row["estimate"], 2)
    return f"{text} [{number(row['low'], 2)}, {number(row['high'], 2)}]" if ends else text


def _draw_lines(axis: Axes, part: pd.DataFrame, metric: str) -> None:
    rows = part[part["metric"] == metric]
    for method in METHODS:
        colour, dash, marker = _LINES[method]
        mine = rows[rows["subgroup"] == method].groupby("n")[["estimate", "low", "high"]].mean().sort_index()
        if mine.empty:
            continue
        values = mine["estimate"] * mine.index if metric == "estimator_effective" else mine["estimate"]
        axis.plot(mine.index, values, color=colour, linestyle=dash, marker=marker, markersize=3.5, linewidth=1.2)
        if mine["low"].notna().any():
            axis.vlines(mine.index, mine["low"], mine["high"], color=colour, linewidth=1)
