"""Figures of one family: people black, a colour for each kind of answerer, intervals, both benchmarks always."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pilotlm.arms import Arms
from pilotlm.report.evidence import over_seeds
from pilotlm.report.labels import in_order, kind_of, label_of
from pilotlm.responses import HUMAN

COLOURS = {"human": "#000000", "base": "#7f7f7f", "tuned": "#0072b2", "baseline": "#d55e00"}
"""From Okabe and Ito's palette, which colour-blind readers can tell apart; their greys differ too."""
MARKERS = {"human": "D", "base": "s", "tuned": "o", "baseline": "^"}
_WORDS = {"human": "people", "base": "base model", "tuned": "fine-tuned", "baseline": "baseline, same people"}
SIDE_BY_SIDE = 3
"""As many panels stand in a row."""
STYLE = {
    "figure.dpi": 160, "savefig.bbox": "tight", "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "grid.color": "#e5e5e5",
    "ytick.left": False, "font.family": "DejaVu Sans", "text.parse_math": False,
}  # fmt: skip
"""What all figures share."""


@contextmanager
def styled() -> Iterator[None]:
    """Figures that are made inside look as all others do."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        yield


def dots(
    table: pd.DataFrame,
    arms: Arms,
    axis_label: str,
    *,
    facet: str | None = None,
    titles: dict[str, str] | None = None,
    random_benchmark: str = "uniform answers",
    limits: tuple[float, float] | None = None,
    own_lines: bool = False,
) -> Figure:
    """One line an arm: the estimate with its interval, the human and the random benchmark at the same n.

    Of more than three panels side by side `main_arms` alone are drawn, so that the lines stay legible.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of one metric.
    arms : Arms
        The declared arms, for names and colours.
    axis_label : str
        What the horizontal axis shows.
    facet : str, optional
        A column; a panel for each of its values.
    titles : dict, optional
        The titles of the panels, by value.
    random_benchmark : str
        What the random benchmark is, for the legend; "" where there is none.
    limits : (float, float), optional
        Of the horizontal axis.
    own_lines : bool
        Whether each panel has lines for its own arms only, one panel under another.

    Returns
    -------
    Figure
        Closed, so that a notebook shows it once.
    """
    panels = list(dict.fromkeys(table[facet])) if facet else [None]
    table = main_arms(table, arms) if len(panels) > SIDE_BY_SIDE and not own_lines else table
    parts = [table if panel is None else table[table[facet] == panel] for panel in panels]
    # What has no panel still has lines, so that an empty table makes an empty figure.
    lines = [in_order(arms, (part if own_lines else table)["arm"].unique().tolist()) for part in parts or [table]]
    columns = 1 if own_lines else min(len(panels), SIDE_BY_SIDE) or 1
    rows = -(-max(len(panels), 1) // columns)
    counts = [len(names) for names in lines[::columns]]
    with styled():
        size = (2.6 + {1: 3.6, 2: 2.4}.get(columns, 1.9) * columns, 0.5 * rows + 0.25 * sum(counts) + 0.8)
        figure, axes = _panels(rows, columns, size, [max(count, 1) for count in counts])
        for axis, panel, part, names in zip(axes.flat, panels, parts, lines, strict=False):
            _draw_panel(axis, part, arms, names)
            if panel is not None:
                axis.set_title((titles or {}).get(str(panel), str(panel)))
            if limits:
                axis.set_xlim(*limits)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(not panels)
        if table.empty:
            axes.flat[0].text(0.5, 0.5, "nothing to show", transform=axes.flat[0].transAxes, ha="center", va="center")
        figure.supxlabel(axis_label, fontsize=9)
        _legend(figure, table, arms, random_benchmark)
        figure.tight_layout()
        plt.close(figure)
    return figure


def forest(table: pd.DataFrame, arms: Arms) -> Figure:
    """Coefficients of each of the `main_arms` beside people's, a panel an arm, in people's standard errors.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the metric ``coefficient``, people's among them.
    arms : Arms
        The declared arms.

    Returns
    -------
    Figure
        Closed. Terms differ in scale by orders of magnitude; divided by people's standard error they share an axis. Of
        several seeds it has means, with the intervals of `pilotlm.report.evidence.over_seeds`.
    """
    table = over_seeds(main_arms(table, arms))
    human = table[table["arm"] == HUMAN].set_index("item")
    errors = (human["high"] - human["low"]) / (2 * 1.96)
    terms = list(human.index)
    names = [name for name in in_order(arms, table["arm"].unique().tolist()) if name != HUMAN]
    columns = min(len(names), 4) or 1
    rows = -(-max(len(names), 1) // columns)
    with styled():
        size = (2.4 + 1.5 * columns, rows * (0.6 + 0.17 * len(terms)) + 0.8)
        figure, axes = _panels(rows, columns, size)
        for axis, name in zip(axes.flat, names, strict=False):
            _draw_terms(axis, human, errors, terms, -0.16, "human")
            _draw_terms(
                axis, table[table["arm"] == name].set_index("item"), errors, terms, 0.16, kind_of(arms.arm(name))
            )
            axis.axvline(0, color="#555555", linewidth=0.8)
            axis.set_title(textwrap.fill(arms.arm(name).label, 22), fontsize=8)
            axis.set_yticks(range(len(terms)), terms, fontsize=7)
            axis.set_xlim(*_window(human, errors))
        for axis in axes[:, 0]:
            axis.invert_yaxis()
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        figure.supxlabel("coefficient, in people's standard errors", fontsize=9)
        _legend(figure, table, arms, "")
        figure.tight_layout()
        plt.close(figure)
    return figure


def main_arms(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """The rows of people and of the arms that a figure of many panels has room for."""
    declared = {name: arms.arm(name) for name in table["arm"].unique() if name != HUMAN}
    left_out = [n for n, arm in declared.items() if (arm.is_variant if arm.is_model else arm.answerer != "logit")]
    return table[~table["arm"].isin(left_out)]


def _panels(
    rows: int, columns: int, size: tuple[float, float], heights: Sequence[float] | None = None
) -> tuple[Figure, Any]:
    """A figure with panels that share their axes along rows and columns, and the (rows, columns) array of them."""
    figure: Figure = plt.figure(figsize=size)
    return figure, figure.subplots(rows, columns, sharey="row", sharex=True, squeeze=False, height_ratios=heights)


def _draw_panel(axis: Axes, part: pd.DataFrame, arms: Arms, names: list[str]) -> None:
    for place, name in enumerate(names):
        kind = kind_of(None if name == HUMAN else arms.arm(name))
        mine = part[part["arm"] == name]
        offsets = np.linspace(-0.2, 0.2, len(mine)) if len(mine) > 1 else np.zeros(len(mine))
        for offset, row in zip(offsets, mine.itertuples(), strict=True):
            _draw_row(axis, row, place + offset, kind)
    axis.set_yticks(range(len(names)), [label_of(arms, name) for name in names])
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def _draw_row(axis: Axes, row: object, place: float, kind: str) -> None:
    estimate, low, high, human_benchmark, random_benchmark = (
        float(getattr(row, name)) for name in ("estimate", "low", "high", "human_benchmark", "random_benchmark")
    )
    if kind != "human":
        for value, colour, marker, size in (
            (human_benchmark, COLOURS["human"], "|", 9),
            (random_benchmark, "#999999", "x", 5),
        ):
            if np.isfinite(value):
                axis.plot([value], [place], color=colour, marker=marker, markersize=size, linestyle="none")
    if np.isfinite(low) and np.isfinite(high):
        axis.plot([low, high], [place, place], color=COLOURS[kind], linewidth=1.6, solid_capstyle="butt")
    if np.isfinite(estimate):
        axis.plot([estimate], [place], marker=MARKERS[kind], color=COLOURS[kind], markersize=5, linestyle="none")


def _draw_terms(
    axis: Axes, values: pd.DataFrame, errors: pd.Series, terms: list[str], offset: float, kind: str
) -> None:
    for place, term in enumerate(terms):
        if term not in values.index or pd.isna(values["estimate"][term]):
            continue
        estimate, low, high = (values.loc[term, name] / errors[term] for name in ("estimate", "low", "high"))
        axis.plot([low, high], [place + offset] * 2, color=COLOURS[kind], linewidth=1.2)
        axis.plot([estimate], [place + offset], marker=MARKERS[kind], color=COLOURS[kind], markersize=3.5)


def _window(human: pd.DataFrame, errors: pd.Series) -> tuple[float, float]:
    """Wide enough for people's intervals; an arm's interval may run out of the panel."""
    low, high = (human["low"] / errors).min(), (human["high"] / errors).max()
    # Where everybody answered alike there are no errors to measure in.
    return (float(low) - 3, float(high) + 3) if np.isfinite([low, high]).all() else (-3.0, 3.0)


def _legend(figure: Figure, table: pd.DataFrame, arms: Arms, random_benchmark: str) -> None:
    names = in_order(arms, table["arm"].unique().tolist())
    kinds = dict.fromkeys(kind_of(None if name == HUMAN else arms.arm(name)) for name in names)
    handles = [
        Line2D([], [], color=COLOURS[kind], marker=MARKERS[kind], linewidth=1.6, markersize=5, label=_WORDS[kind])
        for kind in kinds
    ]
    if random_benchmark and table["human_benchmark"].notna().any():
        handles.append(
            Line2D([], [], color="#000000", marker="|", linestyle="none", markersize=9, label="as many other people")
        )
    if random_benchmark and table["random_benchmark"].notna().any():
        handles.append(
            Line2D([], [], color="#999999", marker="x", linestyle="none", markersize=5, label=random_benchmark)
        )
    figure.legend(
        handles=handles, loc="lower center", ncols=min(len(handles), 3), bbox_to_anchor=(0.5, 1.0), frameon=False
    )


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


_CROSS: dict[str, Any] = {
    "marker": "x", "color": "#555555", "markersize": 8, "markeredgewidth": 2, "linestyle": "none",
}  # fmt: skip


def count_against_distance(table: pd.DataFrame, arms: Arms) -> Figure:
    """The count of structures, as a multiple of people's, against their joint distance to people.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of ``unique_structures`` and of the ``joint_distance`` of beliefs.
    arms : Arms
        The declared arms.

    Returns
    -------
    Figure
        Closed. People and uniform answers stand at their mean human benchmark and random benchmark over the arms.
    """
    index = ["arm", "seed"]
    joint = table[(table["metric"] == "joint_distance") & (table["item"] == "beliefs")].set_index(index)
    count = table[table["metric"] == "unique_structures"].set_index(index).loc[joint.index]
    relative = count[["estimate", "low", "high", "random_benchmark"]].div(count["human_benchmark"], axis=0)
    names = [str(name) for name in joint.index.get_level_values("arm")]
    with styled():
        figure: Figure = plt.figure(figsize=(5.2, 3.6))
        axis = figure.subplots()
        for name, (_, x), (_, y) in zip(names, relative.iterrows(), joint.iterrows(), strict=True):
            kind = kind_of(arms.arm(name))
            axis.plot([x["estimate"]] * 2, [y["low"], y["high"]], color=COLOURS[kind], linewidth=1.2)
            axis.plot([x["low"], x["high"]], [y["estimate"]] * 2, color=COLOURS[kind], linewidth=1.2)
            axis.plot([x["estimate"]], [y["estimate"]], MARKERS[kind], color=COLOURS[kind], markersize=5)
        axis.plot([1], [joint["human_benchmark"].mean()], MARKERS["human"], color=COLOURS["human"], markersize=7)
        axis.plot([relative["random_benchmark"].mean()], [joint["random_benchmark"].mean()], **_CROSS)
        axis.axvline(1, color=COLOURS["human"], linewidth=0.8, linestyle=":")
        axis.set_xlabel("unique structures, as a multiple of what as many people give")
        axis.set_ylabel("joint distance to people")
        _scatter_legend(figure, arms, names)
        figure.tight_layout()
        plt.close(figure)
    return figure


def _scatter_legend(figure: Figure, arms: Arms, names: list[str]) -> None:
    handles = [
        Line2D([], [], marker=MARKERS[kind], color=COLOURS[kind], linestyle="none", label=_WORDS[kind])
        for kind in dict.fromkeys(["human", *(kind_of(arms.arm(name)) for name in in_order(arms, names))])
    ]
    handles.append(Line2D([], [], label="uniform answers", **_CROSS))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), bbox_to_anchor=(0.5, 1.0), frameon=False)
