"""Scores against the number of rows that they are taken from."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pilotlm.arms import Arms
from pilotlm.showing.figures import COLOURS, MARKERS, styled
from pilotlm.showing.naming import in_order, kind_of, label_of

_DODGE = 0.03  # of the logarithm of the number of rows, so that intervals do not hide each other
_LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))


def score_curves(table: pd.DataFrame, arms: Arms, titles: Mapping[str, str], levels: Mapping[str, float]) -> Figure:
    """One panel a score, one curve an arm with intervals, and in black what a fresh draw of as many people scores.

    Parameters
    ----------
    table : DataFrame
        Tidy rows; the seeds of an arm are averaged.
    arms : Arms
        The declared arms.
    titles : mapping
        The metrics to show, in order, with the titles of their panels.
    levels : mapping
        For some metrics, a value to mark with a thin line.

    Returns
    -------
    Figure
        Closed.
    """
    with styled():
        figure: Figure = plt.figure(figsize=(3.4 * len(titles), 3.0))
        axes = figure.subplots(1, len(titles), sharex=True, squeeze=False)[0]
        for axis, (metric, title) in zip(axes, titles.items(), strict=True):
            _draw(axis, table[table["metric"] == metric], arms)
            if metric in levels:
                axis.axhline(levels[metric], color="#555555", linewidth=0.8)
            axis.set_title(title)
            axis.set_ylim(-0.03, 1.03)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), frameon=False)
        figure.supxlabel("rows, logarithmic scale", fontsize=9)
        figure.tight_layout()
        plt.close(figure)
    return figure


def _draw(axis: Axes, part: pd.DataFrame, arms: Arms) -> None:
    people = part.groupby("n")["floor"].mean()
    axis.plot(people.index, people, color=COLOURS["human"], marker=MARKERS["human"], markersize=4, label="People")
    drawn: dict[str, int] = {}
    names = in_order(arms, part["arm"].unique().tolist())
    for place, name in enumerate(names):
        kind = kind_of(arms.arm(name))
        style = _LINES[drawn.get(kind, 0) % len(_LINES)]
        drawn[kind] = drawn.get(kind, 0) + 1
        mean = part[part["arm"] == name].groupby("n")[["estimate", "low", "high"]].mean()
        at = mean.index.to_numpy(dtype=float) * np.exp(_DODGE * (place - (len(names) - 1) / 2))
        axis.vlines(at, mean["low"], mean["high"], color=COLOURS[kind], linewidth=0.8, alpha=0.6)
        axis.plot(
            at, mean["estimate"], color=COLOURS[kind], linestyle=style, marker=MARKERS[kind], markersize=4,
            label=label_of(arms, name),
        )  # fmt: skip
    axis.set_xscale("log")
    sizes = _apart(sorted(set(part["n"].astype(int))))
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())


def _apart(sizes: list[int]) -> list[int]:
    """Those of the sizes whose labels do not run into each other."""
    kept: list[int] = []
    for size in sizes:
        if not kept or np.log(size / kept[-1]) > 0.3:
            kept.append(size)
    return kept
