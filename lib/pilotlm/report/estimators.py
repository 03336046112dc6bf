"""What predictions are worth, in figures and tables: estimators and verdicts."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from pilotlm.analyses.rectification import METHODS, WRONG
from pilotlm.arms import Arms
from pilotlm.report.figures import styled
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
    """Coverage of each estimator's intervals, and its effective sample size, against the people with answers."""
    mine = table[table["arm"] == arm]
    kinds = [kind for kind in KINDS if kind in set(mine["item"])]
    with styled():
        figure: Figure = plt.figure(figsize=(1.0 + 2.1 * max(len(kinds), 1), 4.6))
        axes = figure.subplots(2, max(len(kinds), 1), sharex=True, sharey="row", squeeze=False)
        for column, kind in enumerate(kinds):
            part = mine[mine["item"] == kind]
            axes[0, column].axhspan(0.93, 0.97, color="#dddddd", linewidth=0)
            _draw_lines(axes[0, column], part, "estimator_coverage")
            _draw_lines(axes[1, column], part, "estimator_effective")
            axes[0, column].set_title(textwrap.fill(KINDS[kind], 20))
            axes[0, column].set_ylim(0, 1.02)
            axes[1, column].set_yscale("log")
            axes[1, column].yaxis.set_major_locator(FixedLocator([5, 10, 20, 50, 100, 200, 500, 1000]))
            axes[1, column].yaxis.set_major_formatter(ScalarFormatter())
            axes[1, column].yaxis.set_minor_locator(NullLocator())
            axes[1, column].set_xticks(sorted(part["n"].dropna().unique()))
        axes[0, 0].set_ylabel("coverage of 95 % intervals")
        axes[1, 0].set_ylabel("effective sample size")
        figure.supxlabel("people with answers", fontsize=9)
        handles = [
            Line2D([], [], color=_LINES[m][0], linestyle=_LINES[m][1], marker=_LINES[m][2], markersize=4,
                   label=LABELS[m])
            for m in METHODS
        ]  # fmt: skip
        figure.legend(handles=handles, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0), frameon=False)
        figure.tight_layout()
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
