"""What predictions are worth, in figures and tables: correlations, estimators and verdicts."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from pilotlm.analyses.rectification import METHODS, WRONG
from pilotlm.arms import Arms
from pilotlm.measures.estimators import LABELS
from pilotlm.showing.figures import COLOURS, MARKERS, styled
from pilotlm.showing.naming import in_order, kind_of, label_of
from pilotlm.showing.tables import number

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


def correlation_figure(table: pd.DataFrame, arms: Arms, labels: Mapping[str, str]) -> Figure:
    """How each arm's predictions go together with people's answers: a panel a kind of target, a line a target.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the analysis.
    arms : Arms
        The declared arms.
    labels : mapping
        Target, then its name in words.

    Returns
    -------
    Figure
        Closed. Arms that are variants, and baselines other than the logit, are left out.
    """
    names = judged_arms(table, arms)
    rows = table[(table["metric"] == "answer_correlation") & table["arm"].isin(names)]
    panels = {kind: [i for i in dict.fromkeys(rows["item"]) if i.startswith(f"{kind}: ")] for kind in KINDS}
    panels = {kind: items for kind, items in panels.items() if items}
    heights = [len(items) * (0.16 + 0.09 * len(names)) + 0.3 for items in panels.values()]
    with styled():
        figure: Figure = plt.figure(figsize=(7.2, sum(heights) + 1.0))
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axis, (kind, items) in zip(axes.flat, panels.items(), strict=True):
            _draw_correlations(axis, rows, names, items, arms)
            axis.set_yticks(range(len(items)), [textwrap.fill(labels.get(i, i), 48) for i in items], fontsize=7)
            axis.set_ylim(len(items) - 0.5, -0.5)
            axis.set_title(KINDS[kind], loc="left", fontsize=9)
            axis.set_xlim(-1, 1)
        axes.flat[-1].set_xlabel("correlation of answers and predictions, as far as they matter for the target")
        handles = [
            Line2D([], [], color=_colour(arms, k, name), marker=MARKERS[kind_of(arms.arm(name))], markersize=4,
                   label=label_of(arms, name))
            for k, name in enumerate(names)
        ]  # fmt: skip
        figure.legend(handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), frameon=False)
        figure.tight_layout()
        plt.close(figure)
    return figure


def estimator_figure(table: pd.DataFrame, arm: str) -> Figure:
    """Coverage of each estimator's intervals, and its effective sample size, against the people with answers.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the analysis.
    arm : str
        Whose predictions are used.

    Returns
    -------
    Figure
        Closed. A column a kind of target; above coverage with the band of 93 to 97 %, below the effective sample size.
    """
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
    """Each estimator with n people: coverage, and width and effective sample size over those of people alone.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the analysis.
    arms : Arms
        The declared arms.
    n : int
        People with answers.

    Returns
    -------
    DataFrame
        Text; a line an arm, a kind of target and an estimator. Seeds are averaged.
    """
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
    """How often the verdict on a target is wrong, by arm, kind of target and number of people asked.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the analysis.
    arms : Arms
        The declared arms.

    Returns
    -------
    DataFrame
        Text.
    """
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


def _colour(arms: Arms, place: int, name: str) -> str:
    shades = {"tuned": ("#0072b2", "#56b4e9", "#004d80", "#009e73"), "opponent": ("#d55e00", "#e69f00")}
    kind = kind_of(arms.arm(name))
    return shades[kind][place % len(shades[kind])] if kind in shades else COLOURS[kind]


def _draw_correlations(axis: Axes, rows: pd.DataFrame, names: Sequence[str], items: list[str], arms: Arms) -> None:
    offsets = np.linspace(-0.3, 0.3, len(names)) if len(names) > 1 else np.zeros(1)
    for k, (name, offset) in enumerate(zip(names, offsets, strict=True)):
        means = rows[rows["arm"] == name].groupby("item")[["estimate", "low", "high"]].mean()
        there = [place for place, item in enumerate(items) if item in means.index]
        for place in there:
            one = means.loc[items[place]]
            colour, marker = _colour(arms, k, name), MARKERS[kind_of(arms.arm(name))]
            axis.plot([one["low"], one["high"]], [place + offset] * 2, color=colour, linewidth=1.2)
            axis.plot([one["estimate"]], [place + offset], marker, color=colour, markersize=3.5)
    axis.axvline(0, color="#555555", linewidth=0.8)
    axis.grid(axis="y", visible=False)


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
