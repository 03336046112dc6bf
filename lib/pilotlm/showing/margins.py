"""Differences beside the margin within which they do not matter."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotlm.showing.figures import COLOURS, MARKERS, styled

MOST_COLUMNS = 4


def within_margin(
    table: pd.DataFrame, margin: float, axis_label: str, *, panel: str, line: str, kinds: dict[str, str]
) -> Figure:
    """One line a difference: its estimate and interval, beside a band that is the margin of equivalence.

    Parameters
    ----------
    table : DataFrame
        Tidy rows with ``estimate``, ``low`` and ``high``, those of several seeds under each other, and the columns
        named below.
    margin : float
        Half the width of the band, in the unit of the differences, positive.
    axis_label : str
        What the horizontal axis shows.
    panel, line : str
        The columns whose values are the panels and, within each, the lines.
    kinds : dict
        The kind of answerer of each panel, which decides its colour.

    Returns
    -------
    Figure
        Closed. An interval may run out of the panel, an estimate does not.
    """
    panels, lines = (list(dict.fromkeys(table[column])) for column in (panel, line))
    columns = min(len(panels), MOST_COLUMNS) or 1
    rows = -(-len(panels) // columns)
    reach = max(2.5 * margin, 1.15 * float(table["estimate"].abs().max()))
    with styled():
        figure: Figure = plt.figure(figsize=(2.6 + 1.5 * columns, rows * (0.6 + 0.17 * len(lines)) + 0.6))
        axes = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
        for axis, name in zip(axes.flat, panels, strict=False):
            axis.axvspan(-margin, margin, color="#dddddd", zorder=0)
            axis.axvline(0, color="#555555", linewidth=0.8)
            _draw(axis, table[table[panel] == name], line, lines, kinds[name])
            axis.set_title(textwrap.fill(str(name), 22), fontsize=8)
            axis.set_xlim(-reach, reach)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis in axes.flat[: len(panels)][-columns:]:
            axis.tick_params(labelbottom=True)  # also where the panel below is not there
        figure.supxlabel(axis_label, fontsize=9)
        figure.tight_layout()
        plt.close(figure)
    return figure


def _draw(axis: Axes, part: pd.DataFrame, line: str, lines: Sequence[str], kind: str) -> None:
    for place, name in enumerate(lines):
        mine = part[part[line] == name]
        ends = mine[["estimate", "low", "high"]].to_numpy(dtype=float)
        for k, (estimate, low, high) in enumerate(ends):
            height = place + (k - (len(mine) - 1) / 2) * 0.22
            axis.plot([low, high], [height] * 2, color=COLOURS[kind], linewidth=1.2, solid_capstyle="butt")
            axis.plot([estimate], [height], color=COLOURS[kind], marker=MARKERS[kind], markersize=3.5)
    axis.set_yticks(range(len(lines)), lines, fontsize=7)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
