"""The number of belief structures beside their distance to people."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pilotlm.arms import Arms
from pilotlm.responses import HUMAN
from pilotlm.showing.figures import COLOURS, MARKERS, styled
from pilotlm.showing.naming import in_order, kind_of

UNIFORM = "#999999"
_CROSS: dict[str, Any] = {
    "marker": "x", "color": "#555555", "markersize": 8, "markeredgewidth": 2, "linestyle": "none",
}  # fmt: skip
_DASHES = ("-", "--", ":", "-.")
_WORDS = {"human": "people", "base": "base model", "tuned": "fine-tuned", "opponent": "baseline, same people"}


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


def _kinds(arms: Arms, names: list[str]) -> list[str]:
    return list(dict.fromkeys(kind_of(arms.arm(name)) for name in in_order(arms, names) if name != HUMAN))


def _scatter_legend(figure: Figure, arms: Arms, names: list[str]) -> None:
    handles = [
        Line2D([], [], marker=MARKERS[kind], color=COLOURS[kind], linestyle="none", label=_WORDS[kind])
        for kind in ["human", *_kinds(arms, names)]
    ]
    handles.append(Line2D([], [], label="uniform answers", **_CROSS))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), bbox_to_anchor=(0.5, 1.0), frameon=False)
