"""The figures of the benchmarks: ratios beside their bars, and growth curves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from pilotlm.records import whole_file
from pilotlm.showing.benchmark_page import GROWTH_PICTURE, RATIOS_PICTURE
from pilotlm.showing.benchmarks import GROWTH, Result
from pilotlm.showing.figures import COLOURS

_TEXT = {"font.size": 9.0, "axes.labelsize": 9.0, "font.family": "DejaVu Sans"}
_KINDS = {True: "tuned", False: "opponent", None: "base"}
"""The colour of a ratio whose bar is met, is not met, or is not there."""


def write_pictures(results: Sequence[Result], folder: Path) -> None:
    """Write the pictures that `benchmark_page.benchmark_page` shows, as PNG; none where nothing was run."""
    for name, figure in ((RATIOS_PICTURE, ratios_figure), (GROWTH_PICTURE, growth_figure)):
        if results:
            with whole_file(folder / name) as temporary:
                figure(results).savefig(temporary, format="png", bbox_inches="tight")


def ratios_figure(results: Sequence[Result]) -> Figure:
    """Ours over each peer on a logarithmic scale, each repeat a small dot, the bar beside it.

    Parameters
    ----------
    results : sequence of Result
        All rows of a run.

    Returns
    -------
    Figure
        Closed.
    """
    rows = [r for r in results if r.name in ("sampling", "training") and r.ratio]
    with sns.axes_style("whitegrid"), plt.rc_context(_TEXT):
        figure: Figure = plt.figure(figsize=(6.6, 0.6 + 0.42 * max(len(rows), 1)), dpi=160)
        axis = figure.subplots()
        axis.set_xscale("log")
        axis.axvline(1, color="#555555", linewidth=0.8)
        for place, row in enumerate(rows):
            _draw_ratio(axis, place, row)
        axis.set_yticks(range(len(rows)), [textwrap.fill(_label(row), 44) for row in rows], fontsize=8)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("times as fast as the peer")
        _legend(axis)
        sns.despine(figure, left=True)
        plt.close(figure)
    return figure


def growth_figure(results: Sequence[Result]) -> Figure:
    """The seconds of a run against each of the three sizes, with the line of proportional growth.

    Parameters
    ----------
    results : sequence of Result
        All rows of a run.

    Returns
    -------
    Figure
        Closed. The dashed line goes through the origin and the first point.
    """
    with sns.axes_style("whitegrid"), plt.rc_context(_TEXT):
        figure: Figure = plt.figure(figsize=(7.2, 2.5), dpi=160)
        for axis, (name, label) in zip(figure.subplots(1, 3), GROWTH.items(), strict=True):
            rows = [r for r in results if r.name == name and r.ours is not None]
            _draw_curve(axis, rows)
            axis.set_xlabel(label if name.endswith("participants") else f"{label}, times")
        figure.axes[0].set_ylabel("seconds")
        figure.tight_layout()
        sns.despine(figure)
        plt.close(figure)
    return figure


def _draw_ratio(axis: Axes, place: int, row: Result) -> None:
    colour = COLOURS[_KINDS[row.met]]
    own = np.array(row.settings["seconds_ours"]) / row.settings["done_ours"]
    theirs = np.array(row.settings["seconds_theirs"]) / row.settings["done_theirs"]
    axis.plot(theirs / own, np.full(len(own), place), ".", color=colour, markersize=4, alpha=0.5)
    axis.plot([row.ratio or np.nan], [place], "o", color=colour, markersize=6)
    if "bar" in row.settings:
        axis.plot([row.settings["bar"]], [place], "|", color="#000000", markersize=14, markeredgewidth=1.5)


def _draw_curve(axis: Axes, rows: Sequence[Result]) -> None:
    sizes = np.array([row.settings["size"] for row in rows], dtype=float)
    seconds = np.array([float(np.median(row.settings["seconds_ours"])) for row in rows])
    for row, size in zip(rows, sizes, strict=True):
        raw = row.settings["seconds_ours"]
        axis.plot(np.full(len(raw), size), raw, ".", color=COLOURS["base"], markersize=4)
    if len(rows):
        axis.plot(sizes, seconds[0] / sizes[0] * sizes, "--", color=COLOURS["base"], linewidth=0.8)
    axis.plot(sizes, seconds, "-o", color=COLOURS["tuned"], markersize=4)
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axis.set_ylim(bottom=0)


def _label(row: Result) -> str:
    return f"{row.name}, {row.precision}: {row.peer}"


def _legend(axis: Axes) -> None:
    for met, words in ((True, "bar met"), (False, "bar not met"), (None, "no bar")):
        axis.plot([], [], "o", color=COLOURS[_KINDS[met]], markersize=6, label=words)
    axis.plot([], [], "|", color="#000000", markersize=10, markeredgewidth=1.5, linestyle="none", label="the bar")
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, frameon=False, fontsize=8)
