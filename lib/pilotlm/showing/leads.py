"""Which arms beat the logit fitted on the same rows, by how much, and on which measure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotlm.arms import Arm, Arms, load_arms
from pilotlm.showing.evidence import Evidence, Value, gather
from pilotlm.showing.figures import COLOURS, MARKERS, styled
from pilotlm.showing.naming import kind_of
from pilotlm.study import Study

LEAD_COLUMNS = ("study", "arm", "measure", "estimate", "low", "high")
AHEAD, BEHIND, EVEN = "ahead", "behind", "no clear difference"


@dataclass(frozen=True)
class _Placed:
    """Where an arm lies between people (0) and the trivial opponent (1), with half the length of its interval."""

    place: float
    half: float


def leads(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """How far each arm is ahead of the logit that was fitted on its pilot's rows, on every measure.

    A measure is put on the scale on which another sample of people is 0 and the trivial opponent of the measure is 1
    (`pilotlm.analyses.compared.METRIC_COLUMNS`, ``scaled``). The lead is the logit's place less the arm's: above 0 the
    arm is nearer to people; 1 is the whole way from the trivial opponent to people. Conditional association can miss
    people's on either side, so its distance from people's counts. Log-likelihood is compared person by person.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.
    studies : mapping of str to Study
        The studies, in the order of the rows.

    Returns
    -------
    DataFrame
        Columns `LEAD_COLUMNS`, seeds averaged. Negative controls and variants of the prompt are left out. The intervals
        take arm and logit as independent; they share their people, which makes them too long rather than too short,
        but for log-likelihood, whose intervals are paired.
    """
    rows = [
        {"study": evidence.study.name, "arm": arm.name, "measure": measure, **lead}
        for evidence in gather(metrics, studies, load_arms())
        for arm in evidence.present
        if arm.is_model and not arm.is_variant
        for measure, find in _MEASURES.items()
        if (lead := find(evidence, arm)) is not None
    ]
    return pd.DataFrame(rows, columns=list(LEAD_COLUMNS))


def lead_words(row: pd.Series) -> str:
    """Say "ahead", "behind" or "no clear difference", by whether the interval holds 0."""
    return AHEAD if row["low"] > 0 else BEHIND if row["high"] < 0 else EVEN


def lead_table(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """One line a study and arm, a column a measure: the lead with its interval, in words where it is clear.

    Parameters
    ----------
    table : DataFrame
        Of `leads`.
    arms : Arms
        The declared arms.

    Returns
    -------
    DataFrame
        Text.
    """
    cells = table.assign(cell=[_cell(row) for _, row in table.iterrows()])
    wide = cells.pivot_table(index=["study", "arm"], columns="measure", values="cell", aggfunc="first")
    order = table[["study", "arm"]].drop_duplicates().itertuples(index=False, name=None)
    shown = wide.reindex(list(order)).reindex(columns=[m for m in _MEASURES if m in wide.columns]).fillna("–")
    shown = shown.reset_index().rename(columns={"study": "Study", "arm": "Arm"})
    return shown.assign(Arm=[arms.arm(name).label for name in shown["Arm"]])


def lead_figure(table: pd.DataFrame, arms: Arms) -> Figure:
    """A panel a measure, a line a study and arm; right of the line the arm is nearer to people than the logit.

    Parameters are as in `lead_table`.

    Returns
    -------
    Figure
        Closed.
    """
    lines = list(table[["study", "arm"]].drop_duplicates().itertuples(index=False, name=None))
    measures = [measure for measure in _MEASURES if measure in set(table["measure"])]
    columns = min(3, len(measures)) or 1
    rows = -(-len(measures) // columns) or 1
    with styled():
        figure: Figure = plt.figure(figsize=(2.9 + 1.9 * columns, rows * (0.7 + 0.24 * len(lines)) + 0.5))
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axis, measure in zip(axes.flat, measures, strict=False):
            _draw(axis, table[table["measure"] == measure], lines, arms)
            axis.set_title(measure)
        for axis in axes.flat[len(measures) :]:
            axis.set_visible(False)
        for first in axes[:, 0]:
            first.set_yticks(range(len(lines)), [_line(study, arms.arm(arm)) for study, arm in lines], fontsize=7)
        axes.flat[0].set_ylim(len(lines) - 0.5, -0.5)
        figure.supxlabel(
            "lead over the logit on the same rows: 0 level, 1 from the trivial opponent to people", fontsize=8
        )
        figure.tight_layout()
        plt.close(figure)
    return figure


def _draw(axis: Axes, part: pd.DataFrame, lines: list[tuple[str, str]], arms: Arms) -> None:
    axis.axvline(0, color=COLOURS["opponent"], linewidth=1.2)
    for _, row in part.iterrows():
        place, kind = lines.index((row["study"], row["arm"])), kind_of(arms.arm(row["arm"]))
        filled = COLOURS[kind] if lead_words(row) != EVEN else "white"
        axis.plot([row["low"], row["high"]], [place, place], color=COLOURS[kind], linewidth=1.2)
        axis.plot(
            [row["estimate"]], [place], MARKERS[kind], color=COLOURS[kind], markerfacecolor=filled, markersize=4.5
        )


def _line(study: str, arm: Arm) -> str:
    return textwrap.fill(f"{study}: {arm.label}", 34)


def _cell(row: pd.Series) -> str:
    text = f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return text if lead_words(row) == EVEN else f"{text}, {lead_words(row)}"


Find = Callable[[Evidence, Arm], dict[str, float] | None]


def _of(metric: str, item: str | None, either_side: bool = False) -> Find:
    def find(evidence: Evidence, arm: Arm) -> dict[str, float] | None:
        return _lead(*(_placed(evidence.value(name, metric, item), either_side) for name in (arm.name, _logit(arm))))

    return find


def _by_group(evidence: Evidence, arm: Arm) -> dict[str, float] | None:
    """The mean over the groups of the study's first grouping, who are different people."""
    if not evidence.study.subgroups:
        return None
    variable = evidence.study.subgroups[0].variable
    places: list[_Placed | None] = []
    for name in (arm.name, _logit(arm)):
        values = [evidence.value(name, "subgroup_distance", variable, group) for group in evidence.groups(variable)]
        known = [placed for value in values if (placed := _placed(value, False)) is not None]
        half = math.sqrt(sum(placed.half**2 for placed in known)) / len(known) if known else math.nan
        places.append(_Placed(sum(p.place for p in known) / len(known), half) if known else None)
    return _lead(*places)


def _likelihood(evidence: Evidence, arm: Arm) -> dict[str, float] | None:
    """The paired difference, over the way from uniform answers to other people's frequencies."""
    paired, own = evidence.value(arm.name, "nll_over_baseline", "all"), evidence.value(arm.name, "nll", "all")
    if paired is None or own is None or not paired.known or not own.ceiling > own.floor:
        return None
    width = own.ceiling - own.floor
    return {"estimate": -paired.estimate / width, "low": -paired.high / width, "high": -paired.low / width}


def _logit(arm: Arm) -> str:
    return f"logit_{arm.pilot}"


def _placed(value: Value | None, either_side: bool) -> _Placed | None:
    if value is None or not value.known or math.isnan(value.low):
        return None
    width = value.ceiling - value.floor
    # The rule of `pilotlm.analyses.compared.scaled`: between floor and ceiling that nearly coincide there is no scale.
    if math.isnan(width) or abs(width) <= max(value.half, 1e-9):
        return None
    place = (value.estimate - value.floor) / width
    return _Placed(abs(place) if either_side else place, value.half / abs(width))


def _lead(ours: _Placed | None, logit: _Placed | None) -> dict[str, float] | None:
    if ours is None or logit is None:
        return None
    estimate, half = logit.place - ours.place, math.hypot(ours.half, logit.half)
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half}


_MEASURES: dict[str, Find] = {
    "belief structures": _of("joint_distance", "beliefs"),
    "all answers together": _of("joint_distance", "answers"),
    "told from people": _of("classifier_auc", "answers"),
    "groups": _by_group,
    "actions on beliefs": _of("association", None, either_side=True),
    "coefficients": _of("concordance", "all"),
    "log-likelihood": _likelihood,
}
