"""Figures of what depends on the number of people: rarefaction, counts beside distances, and the bias of distances."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pilotlm.arms import Arms
from pilotlm.responses import HUMAN
from pilotlm.showing.figures import COLOURS, MARKERS, styled
from pilotlm.showing.naming import in_order, kind_of, label_of

UNIFORM = "#999999"
_CROSS: dict[str, Any] = {
    "marker": "x", "color": "#555555", "markersize": 8, "markeredgewidth": 2, "linestyle": "none",
}  # fmt: skip
_DASHES = ("-", "--", ":", "-.")
_WORDS = {"human": "people", "base": "base model", "tuned": "fine-tuned", "opponent": "baseline, same people"}


def rarefaction_curves(table: pd.DataFrame, arms: Arms) -> Figure:
    """Different structures expected among so many rows: a panel an arm, with people and uniform answers in each.

    Parameters
    ----------
    table : DataFrame
        Tidy rows of the metric ``rarefaction``, people's among them.
    arms : Arms
        The declared arms.

    Returns
    -------
    Figure
        Closed. Bands are 95 % intervals; an arm with several seeds has a line for each.
    """
    names = [name for name in in_order(arms, table["arm"].unique().tolist()) if name != HUMAN] or [HUMAN]
    largest = table.loc[table["arm"].isin(names), "n"].max()
    people = table[(table["arm"] == HUMAN) & (table["n"] <= largest)]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    with styled():
        figure: Figure = plt.figure(figsize=(1.1 + 1.6 * columns, 1.1 + 1.6 * rows))
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis, name in zip(axes.flat, names, strict=False):
            ours = table[table["arm"] == name]
            once = ours[ours["seed"] == ours["seed"].min()]
            axis.plot(once["n"], once["ceiling"], color=UNIFORM, linestyle="--", linewidth=1)
            _curve(axis, people, COLOURS["human"])
            for _, seed in ours[ours["arm"] != HUMAN].groupby("seed"):
                _curve(axis, seed, COLOURS[kind_of(arms.arm(name))])
            axis.set_title(textwrap.fill(label_of(arms, name), 24), fontsize=7)
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        figure.supxlabel("people", fontsize=9)
        figure.supylabel("different structures", fontsize=9)
        _curve_legend(figure, arms, names)
        figure.tight_layout()
        plt.close(figure)
    return figure


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
        Closed. People and uniform answers stand at their mean floor and ceiling over the arms.
    """
    index = ["arm", "seed"]
    joint = table[(table["metric"] == "joint_distance") & (table["item"] == "beliefs")].set_index(index)
    count = table[table["metric"] == "unique_structures"].set_index(index).loc[joint.index]
    relative = count[["estimate", "low", "high", "ceiling"]].div(count["floor"], axis=0)
    names = [str(name) for name in joint.index.get_level_values("arm")]
    with styled():
        figure: Figure = plt.figure(figsize=(5.2, 3.6))
        axis = figure.subplots()
        for name, (_, x), (_, y) in zip(names, relative.iterrows(), joint.iterrows(), strict=True):
            kind = kind_of(arms.arm(name))
            axis.plot([x["estimate"]] * 2, [y["low"], y["high"]], color=COLOURS[kind], linewidth=1.2)
            axis.plot([x["low"], x["high"]], [y["estimate"]] * 2, color=COLOURS[kind], linewidth=1.2)
            axis.plot([x["estimate"]], [y["estimate"]], MARKERS[kind], color=COLOURS[kind], markersize=5)
        axis.plot([1], [joint["floor"].mean()], MARKERS["human"], color=COLOURS["human"], markersize=7)
        axis.plot([relative["ceiling"].mean()], [joint["ceiling"].mean()], **_CROSS)
        axis.axvline(1, color=COLOURS["human"], linewidth=0.8, linestyle=":")
        axis.set_xlabel("unique structures, as a multiple of what as many people give")
        axis.set_ylabel("joint distance to people")
        _scatter_legend(figure, arms, names)
        figure.tight_layout()
        plt.close(figure)
    return figure


def bias_curve(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """How far apart two samples of one law are, against their size.

    Parameters
    ----------
    table : DataFrame
        ``item``, ``n``, ``estimate``, ``low`` and ``high``, as `pilotlm.analyses.divergence.same_law` gives them.
    titles : mapping
        What the items are called.

    Returns
    -------
    Figure
        Closed. Bands hold 95 % of pairs of samples.
    """
    with styled():
        figure: Figure = plt.figure(figsize=(5.2, 3.2))
        axis = figure.subplots()
        for dashes, (item, rows) in zip(_DASHES, table.groupby("item", sort=False), strict=False):
            _curve(axis, rows, COLOURS["human"], dashes)
            last = rows.iloc[-1]
            axis.annotate(f" {titles.get(str(item), item)}", (last["n"], last["estimate"]), fontsize=8, va="center")
        axis.set_xscale("log")
        ticks = [tick for tick in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if tick <= table["n"].max()]
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.set_xticks([], minor=True)
        axis.set_xlim(table["n"].min() * 0.9, table["n"].max() * 3.2)
        axis.set_ylim(0, 1.02)
        axis.set_xlabel("people in each of the two samples")
        axis.set_ylabel("Jensen-Shannon distance")
        figure.tight_layout()
        plt.close(figure)
    return figure


def _curve(axis: Axes, rows: pd.DataFrame, colour: str, dashes: str = "-") -> None:
    rows = rows.sort_values("n")
    axis.fill_between(rows["n"], rows["low"], rows["high"], color=colour, alpha=0.18, linewidth=0)
    axis.plot(rows["n"], rows["estimate"], color=colour, linewidth=1.3, linestyle=dashes)


def _kinds(arms: Arms, names: list[str]) -> list[str]:
    return list(dict.fromkeys(kind_of(arms.arm(name)) for name in in_order(arms, names) if name != HUMAN))


def _curve_legend(figure: Figure, arms: Arms, names: list[str]) -> None:
    kinds = ["human", *_kinds(arms, names)]
    handles = [Line2D([], [], color=COLOURS[kind], label=_WORDS[kind]) for kind in kinds]
    handles.append(Line2D([], [], color=UNIFORM, linestyle="--", label="uniform answers"))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), bbox_to_anchor=(0.5, 1.0), frameon=False)


def _scatter_legend(figure: Figure, arms: Arms, names: list[str]) -> None:
    handles = [
        Line2D([], [], marker=MARKERS[kind], color=COLOURS[kind], linestyle="none", label=_WORDS[kind])
        for kind in ["human", *_kinds(arms, names)]
    ]
    handles.append(Line2D([], [], label="uniform answers", **_CROSS))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), bbox_to_anchor=(0.5, 1.0), frameon=False)
