"""Figures of one family: a column wide, seeds averaged, people black, each arm with its own mark, legible in grey."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from pilotlm.arms import Arms
from pilotlm.report.evidence import EVIDENCE_KEYS, over_seeds
from pilotlm.report.labels import KINDS, kind_of, label_of, main_arms
from pilotlm.responses import HUMAN
from pilotlm.stats.estimators import LABELS

COLOURS = {
    "human": "#000000", "base": "#8c8c8c", "tuned": "#0072b2", "pooled": "#56b4e9", "baseline": "#d55e00",
    "bootstrap": "#e69f00",
}  # fmt: skip
"""From Okabe and Ito's palette, which colour-blind readers can tell apart; marks tell kinds apart in grey."""
MARKERS = {"human": "D", "base": "s", "tuned": "ohpH*8", "pooled": "PXD", "baseline": "^v<>", "bootstrap": "d"}
"""The marks of a kind: further arms of it take the next."""
ESTIMATORS = {
    "people": ("#000000", "-", "D"), "simulation": ("#cc79a7", ":", "s"), "pooling": ("#e69f00", ":", "v"),
    "ppi": ("#56b4e9", "--", "^"), "tuned": ("#0072b2", "-", "o"),
}  # fmt: skip
"""Colour, dash and mark of each estimator."""
WIDTH = 4.8
"""Inches: scaled to a phone's width, text of ten points keeps ten pixels."""
STYLE = {
    "figure.dpi": 160, "savefig.bbox": "tight", "font.size": 10.0, "axes.titlesize": 10.0, "axes.labelsize": 10.0,
    "xtick.labelsize": 10.0, "ytick.labelsize": 10.0, "legend.fontsize": 10.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "grid.color": "#e5e5e5",
    "ytick.left": False, "font.family": "DejaVu Sans", "text.parse_math": False,
}  # fmt: skip
"""What all figures share."""
MARK_COLUMNS = ("row", "label", "kind", "estimate", "low", "high", "human_benchmark", "random_benchmark")
STEP, GAP = 0.16, 0.14
"""Inches from mark to mark, and from row to row beside that."""


@contextmanager
def drawn(height: float, *grid: int, **shared: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure of the family and its axes, one or a grid; closed at the end, so that a notebook shows it once."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure: Figure = plt.figure(figsize=(WIDTH, height))
        yield figure, figure.subplots(*grid, **shared)
        figure.tight_layout(pad=0.3)
        plt.close(figure)


def marks_figure(
    marks: pd.DataFrame,
    axis_label: str,
    *,
    lines: Mapping[float, str] | None = None,
    benchmarks: tuple[str, str] = ("", ""),
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Rows of marks with intervals, one mark an arm, whose label the legend has; one row an arm where there is no row.

    Parameters
    ----------
    marks : DataFrame
        Columns `MARK_COLUMNS`; ``row`` is "" where each mark has a line of its own, named by its label.
    lines : mapping, optional
        Vertical lines: where, and what they are.
    benchmarks : (str, str)
        What the human and the random benchmark of a mark are, for the legend; "" for one that is not drawn.
    limits : (float, float), optional
        The most that the horizontal axis shows; an interval may run out of it.
    """
    marks = marks.assign(row=marks["row"].where(marks["row"] != "", marks["label"]))
    styles = _styles(marks)
    rows = list(dict.fromkeys(marks["row"]))
    legend = -(-(len(styles) + 2 + len(lines or ())) // 2)
    with drawn(len(marks) * STEP + len(rows) * GAP + 0.6 + 0.2 * legend) as (figure, axis):
        for place in lines or ():
            axis.axvline(place, color="#555555", linewidth=0.9, linestyle="--" if place else "-")
        ticks, place = [], 0.0
        for row in rows:
            mine = marks[marks["row"] == row]
            ticks.append(place + (len(mine) - 1) * STEP / 2)
            for mark in mine.itertuples():
                _draw(axis, mark, place, *styles[str(mark.label)], bool(benchmarks[0]), bool(benchmarks[1]))
                place += STEP
            place += GAP
            axis.axhline(place - (STEP + GAP) / 2, color="#e5e5e5", linewidth=0.6)
        wrapped = [textwrap.fill(row, 20 if len(mine) > 1 else 26) for row in rows]
        axis.set_yticks(ticks, wrapped)
        axis.set_ylim(max(place, STEP) - (STEP + GAP) / 2, -(STEP + GAP) / 2)
        axis.grid(axis="y", visible=False)
        if limits:
            low, high = axis.get_xlim()
            axis.set_xlim(max(low, limits[0]), min(high, limits[1]))
        if marks.empty:
            axis.text(0.5, 0.5, "nothing to show", transform=axis.transAxes, ha="center", va="center")
        axis.set_xlabel(textwrap.fill(axis_label, 40))
        _legend(figure, marks, styles, lines or {}, benchmarks)
    return figure


def dots(
    table: pd.DataFrame,
    arms: Arms,
    axis_label: str,
    *,
    facet: str | None = None,
    titles: Mapping[str, str] | None = None,
    random_benchmark: str = "uniform answers",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """The main arms of a study in tidy rows of one metric: estimates with intervals, both benchmarks at the same n.

    With the column ``facet`` there is a row for each of its values, by the name that ``titles`` has for it.
    """
    means = over_seeds(table)
    if facet and facet not in EVIDENCE_KEYS:
        added = table[[*EVIDENCE_KEYS, facet]].drop_duplicates(EVIDENCE_KEYS)
        means = means.merge(added, on=EVIDENCE_KEYS, how="left")
    rows = means[facet].map(lambda value: (titles or {}).get(str(value), str(value))) if facet else ""
    marks = _marks_of(means.assign(row=rows), arms)
    marks.loc[marks["kind"] == "human", ["human_benchmark", "random_benchmark"]] = np.nan
    return marks_figure(marks, axis_label, benchmarks=("as many other people", random_benchmark), limits=limits)


def forest(table: pd.DataFrame, arms: Arms) -> Figure:
    """Coefficients of the main arms beside people's, in people's standard errors: terms differ in scale by magnitudes.

    ``table`` has the tidy rows of the metric ``coefficient``, people's among them.
    """
    means = over_seeds(table)
    human = means[means["arm"] == HUMAN].set_index("item")
    errors = (human["high"] - human["low"]) / (2 * 1.96)
    unit = means["item"].map(errors)
    scaled = means.assign(row=means["item"], **{name: means[name] / unit for name in ("estimate", "low", "high")})
    people = scaled[scaled["arm"] == HUMAN]
    window = (float(people["low"].min()) - 3, float(people["high"].max()) + 3)
    # Where everybody answered alike there are no errors to measure in.
    limits = window if np.isfinite(window).all() else (-3.0, 3.0)
    return marks_figure(
        _marks_of(scaled, arms), "coefficient, in people's standard errors", lines={0.0: ""}, limits=limits
    )


def estimator_figure(table: pd.DataFrame, arm: str) -> Figure:
    """Coverage of each estimator's intervals, and its effective sample size, against the people with answers.

    A row of panels a kind of target, means over targets and seeds.
    """
    mine = table[table["arm"] == arm]
    kinds = [kind for kind in KINDS if kind in set(mine["item"])]
    rows = max(len(kinds), 1)
    with drawn(0.7 + 1.7 * rows, rows, 2, sharex=True, sharey="col", squeeze=False) as (figure, axes):
        for (left, right), kind in zip(axes, kinds, strict=False):
            part = mine[mine["item"] == kind]
            left.axhspan(0.93, 0.97, color="#dddddd", linewidth=0)
            _draw_estimators(left, part, "estimator_coverage")
            _draw_estimators(right, part, "estimator_effective")
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
            for method, (colour, dash, marker) in ESTIMATORS.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def training_curve(history: pd.DataFrame) -> Figure:
    """The mean loss of each epoch; ``history`` as in `pilotlm.models.lora.Tuned`."""
    with drawn(2.8) as (figure, axis):
        axis.plot(history["epoch"], history["train_loss"], color=COLOURS["tuned"], marker="o", markersize=4)
        axis.set_xlabel("epoch")
        axis.set_ylabel("nats an answer token")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw_estimators(axis: Axes, part: pd.DataFrame, metric: str) -> None:
    rows = part[part["metric"] == metric]
    for method, (colour, dash, marker) in ESTIMATORS.items():
        mine = rows[rows["subgroup"] == method].groupby("n")[["estimate", "low", "high"]].mean().sort_index()
        if mine.empty:
            continue
        values = mine["estimate"] * mine.index if metric == "estimator_effective" else mine["estimate"]
        axis.plot(mine.index, values, color=colour, linestyle=dash, marker=marker, markersize=3.5, linewidth=1.2)
        if mine["low"].notna().any():
            axis.vlines(mine.index, mine["low"], mine["high"], color=colour, linewidth=1)


def _marks_of(means: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """The marks of people and of the main arms, in their order."""
    names = main_arms(means["arm"], arms)
    order = {name: place for place, name in enumerate(names)}
    mine = means[means["arm"].isin(names)].sort_values("arm", key=lambda a: a.map(order), kind="stable")
    kinds = mine["arm"].map(lambda name: kind_of(None if name == HUMAN else arms.arm(name)))
    return mine.assign(label=mine["arm"].map(lambda name: label_of(arms, name)), kind=kinds)


def _styles(marks: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and marker of each label, kinds in the order of `COLOURS`."""
    left = {kind: cycle(markers) for kind, markers in MARKERS.items()}
    pairs = list(marks[["label", "kind"]].drop_duplicates().itertuples(index=False, name=None))
    pairs.sort(key=lambda pair: list(COLOURS).index(pair[1]))
    return {str(label): (COLOURS[kind], next(left[kind])) for label, kind in pairs}


def _draw(axis: Axes, mark: object, place: float, colour: str, marker: str, human: bool, random: bool) -> None:
    estimate, low, high, other, noise = (float(getattr(mark, name)) for name in MARK_COLUMNS[3:])
    if human and np.isfinite(other):
        axis.plot([other], [place], color="#000000", marker="|", markersize=10, markeredgewidth=1.6, linestyle="none")
    if random and np.isfinite(noise):
        axis.plot([noise], [place], color="#555555", marker="x", markersize=5, linestyle="none")
    if np.isfinite(low) and np.isfinite(high):
        axis.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
    if np.isfinite(estimate):
        axis.plot([estimate], [place], marker=marker, color=colour, markersize=5.5, linestyle="none")


def _legend(
    figure: Figure,
    marks: pd.DataFrame,
    styles: Mapping[str, tuple[str, str]],
    lines: Mapping[float, str],
    benchmarks: tuple[str, str],
) -> None:
    handles = []
    if not (marks["row"] == marks["label"]).all():
        for label, (colour, marker) in styles.items():
            handles.append(Line2D([], [], color=colour, marker=marker, linewidth=1.6, markersize=5.5, label=label))
    shapes = (("human_benchmark", "|", "#000000", 10), ("random_benchmark", "x", "#555555", 5))
    for words, (column, marker, colour, size) in zip(benchmarks, shapes, strict=True):
        if words and marks[column].notna().any():
            handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=size, label=words))
    for place, words in lines.items():
        if words:
            handles.append(Line2D([], [], color="#555555", linestyle="--" if place else "-", label=words))
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        figure.legend(
            handles=handles, loc="lower center", ncols=1 if longest > 30 else 2, bbox_to_anchor=(0.5, 1.0),
            frameon=False, handlelength=1.6, columnspacing=1.2,
        )  # fmt: skip
