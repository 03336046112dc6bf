"""How every measure changes with the number of people in the pilot, for the model and the logit on the same people."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotlm.arms import Arms, load_arms
from pilotlm.showing.evidence import Evidence, Value, gather
from pilotlm.showing.figures import COLOURS, MARKERS, styled
from pilotlm.study import Study

FEWEST_SIZES = 3
"""Fewer sizes of pilot are no curve."""
SIZE_COLUMNS = ("study", "kind", "people", "measure", "estimate", "low", "high", "floor", "ceiling")
_MEASURES: Mapping[str, tuple[str, str | None]] = {
    "belief structures, distance": ("joint_distance", "beliefs"),
    "all answers, distance": ("joint_distance", "answers"),
    "told from people, AUC": ("classifier_auc", "answers"),
    "belief-action gap": ("gap", None),
    "concordance of coefficients": ("concordance", "all"),
    "F1 of signs": ("sign_f1", "all"),
    "loss, nats a person": ("nll", "all"),
}
"""Panel, then metric and item."""
_WORDS = {"tuned": "fine-tuned (0: base model)", "opponent": "logit on the same people"}


def size_lines(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """The measures of the arms whose pilots were drawn by their number of people.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.
    studies : mapping of str to Study
        The studies.

    Returns
    -------
    DataFrame
        Columns `SIZE_COLUMNS`, seeds averaged; ``kind`` is "tuned" or "opponent" (the logit), and the base model is the
        one fine-tuned on 0 people. Empty where a study has fewer than `FEWEST_SIZES` pilots of that kind.
    """
    arms, rows = load_arms(), []
    for evidence in gather(metrics, studies, arms):
        sizes = _sizes(evidence, arms)
        if len({people for _, kind, people in sizes if kind == "tuned" and people}) < FEWEST_SIZES:
            continue
        for name, kind, people in sizes:
            for measure, (metric, item) in _MEASURES.items():
                value = evidence.value(name, metric, item)
                if value is not None and value.known:
                    rows.append((evidence.study.name, kind, people, measure, *_numbers(value)))
    return pd.DataFrame(rows, columns=list(SIZE_COLUMNS))


def size_figure(lines: pd.DataFrame) -> Figure:
    """A panel a measure: its value against the people in the pilot, on a square-root axis that has a zero.

    Parameters
    ----------
    lines : DataFrame
        Of `size_lines`, of one study.

    Returns
    -------
    Figure
        Closed. Dotted black is another sample of people, dotted grey the trivial opponent.
    """
    panels = [measure for measure in _MEASURES if measure in set(lines["measure"])]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with styled():
        figure: Figure = plt.figure(figsize=(1.0 + 2.1 * columns, 0.8 + 1.8 * rows))
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw(axis, lines[lines["measure"] == panel])
            axis.set_title(panel, fontsize=8)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        figure.supxlabel("people in the pilot", fontsize=9)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), frameon=False)
        figure.tight_layout()
        plt.close(figure)
    return figure


def _sizes(evidence: Evidence, arms: Arms) -> list[tuple[str, str, int]]:
    """Arm, kind and people of each arm on the curve."""
    found = [("base", "tuned", 0)] if evidence.base is not None else []
    for arm in evidence.present:
        people = arms.pilot(arm.pilot).people
        if people is not None and (arm.answerer == "logit" or arm in evidence.tuned):
            found.append((arm.name, "opponent" if arm.answerer == "logit" else "tuned", people))
    return found


def _numbers(value: Value) -> tuple[float, ...]:
    return value.estimate, value.low, value.high, value.floor, value.ceiling


def _draw(axis: Axes, part: pd.DataFrame) -> None:
    for kind, words in _WORDS.items():
        mine = part[part["kind"] == kind].sort_values("people")
        if mine.empty:
            continue
        place = np.sqrt(mine["people"].to_numpy(dtype=float)) + (0.12 if kind == "opponent" else -0.12)
        axis.plot(place, mine["estimate"], color=COLOURS[kind], marker=MARKERS[kind], markersize=4, label=words)
        axis.vlines(place, mine["low"], mine["high"], color=COLOURS[kind], linewidth=1)
    for name, colour in (("floor", COLOURS["human"]), ("ceiling", "#999999")):
        if part[name].notna().any():
            axis.axhline(part[name].mean(), color=colour, linestyle=":", linewidth=1)
    shown = sorted(part["people"].unique())
    axis.set_xticks(np.sqrt(shown), [str(people) for people in shown], fontsize=7)
