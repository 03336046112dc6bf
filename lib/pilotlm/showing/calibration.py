"""The figure of calibration: how often what is held probable comes true."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotlm.arms import Arms
from pilotlm.showing.figures import COLOURS, MARKERS
from pilotlm.showing.naming import in_order, kind_of, label_of


def calibration_curves(table: pd.DataFrame, arms: Arms) -> Figure:
    """A panel an arm: the share of forecasts that came true against their probability, on the diagonal where right.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the metric ``calibration`` (`pilotlm.analyses.accuracy.accuracy`); seeds are drawn side by side.
    arms : Arms
        The declared arms, for names and colours.

    Returns
    -------
    Figure
        Closed. The area of a mark goes with the number of forecasts.
    """
    names = in_order(arms, table["arm"].unique().tolist())
    columns = min(len(names), 4) or 1
    rows = -(-max(len(names), 1) // columns)
    with (
        sns.axes_style("whitegrid"),
        plt.rc_context({"font.size": 8.0, "axes.titlesize": 8.0, "text.parse_math": False}),
    ):
        figure: Figure = plt.figure(figsize=(1.9 * columns + 0.6, 2.1 * rows + 0.4), dpi=160)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis, name in zip(axes.flat, names, strict=False):
            _draw(axis, table[table["arm"] == name], kind_of(arms.arm(name)))
            axis.set_title(textwrap.fill(label_of(arms, name), 24))
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        figure.supxlabel("probability of the most probable answer")
        figure.supylabel("share that gave it")
        figure.tight_layout()
        plt.close(figure)
    return figure


def _draw(axis: Axes, rows: pd.DataFrame, kind: str) -> None:
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    for _, curve in rows.groupby("seed"):
        ordered = curve.sort_values("floor")
        x, y = ordered["floor"].to_numpy(), ordered["estimate"].to_numpy()
        axis.vlines(x, ordered["low"], ordered["high"], color=COLOURS[kind], linewidth=1.0)
        axis.plot(x, y, color=COLOURS[kind], linewidth=1.0)
        sizes = 6 + 60 * np.sqrt(ordered["n"].to_numpy(float) / ordered["n"].sum())
        axis.scatter(x, y, s=sizes, color=COLOURS[kind], marker=MARKERS[kind], zorder=3)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
