"""How far each model arm is nearer to people than the best baseline fitted on the same people, measure by measure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pilotlm.arms import Arm, Arms, load_arms
from pilotlm.report.evidence import PRIMARY, Evidence, Interval, Value, gather
from pilotlm.report.figures import COLOURS, MARKERS, styled
from pilotlm.report.labels import kind_of
from pilotlm.study import Study

ADVANTAGE_COLUMNS = ("study", "arm", "baseline", "measure", "estimate", "low", "high")
NEARER, FARTHER, UNDECIDED = "nearer", "farther", "undecided"
Advantage = Callable[[Evidence, Arm, Arm], Interval | None]
"""By how much an arm is nearer to people than a baseline; None where it cannot be told."""


def advantages(metrics: pd.DataFrame, studies: Mapping[str, Study]) -> pd.DataFrame:
    """How far each arm is nearer to people than the best baseline of its pilot, on every measure but the primary one.

    A measure is put on the scale on which another sample of people is 0 and the random benchmark 1
    (`pilotlm.report.evidence.Value.placed`). The advantage is the baseline's place less the arm's: above 0 the arm is
    nearer to people; 1 is the whole way from the random benchmark to people. Conditional association can miss people's
    on either side, so its distance from people's counts. Log-likelihood is compared person by person.

    Parameters
    ----------
    metrics : DataFrame
        A tidy table.
    studies : mapping of str to Study
        The studies, in the order of the rows.

    Returns
    -------
    DataFrame
        Columns `ADVANTAGE_COLUMNS`, seeds averaged. Negative controls, variants of the prompt, and arms whose baseline
        the run does not name are left out. The intervals take arm and baseline as independent; they share their people,
        which makes them too long rather than too short, but for log-likelihood, whose intervals are paired.
    """
    rows = [
        (evidence.study.name, arm.name, baseline.name, measure, advantage.estimate, advantage.low, advantage.high)
        for evidence in gather(metrics, studies, load_arms())
        for arm in evidence.present
        if arm.is_model and not arm.is_variant and (baseline := evidence.baseline(arm)) is not None
        for measure, find in MEASURES.items()
        if (advantage := find(evidence, arm, baseline)) is not None
    ]
    return pd.DataFrame(rows, columns=list(ADVANTAGE_COLUMNS))


def advantage_words(row: pd.Series) -> str:
    """Say "nearer", "farther" or "undecided", by whether the interval holds 0."""
    return NEARER if row["low"] > 0 else FARTHER if row["high"] < 0 else UNDECIDED


def advantage_table(table: pd.DataFrame, arms: Arms) -> pd.DataFrame:
    """One line a study and arm, a column a measure: the advantage with its interval, in words where it leaves out 0."""
    lines = []
    for study, arm in table[["study", "arm"]].drop_duplicates().itertuples(index=False, name=None):
        rows = table[(table["study"] == study) & (table["arm"] == arm)]
        cells = {row["measure"]: _cell(row) for _, row in rows.iterrows()}
        labels = {"Study": study, "Arm": arms.arm(arm).label, "Best baseline": arms.arm(rows["baseline"].iloc[0]).label}
        lines.append({**labels, **{measure: cells.get(measure, "–") for measure in _drawn(table)}})
    return pd.DataFrame(lines)


def advantage_figure(table: pd.DataFrame, arms: Arms) -> Figure:
    """A panel a measure, a line a study and arm; right of the line the arm is nearer to people than the baseline.

    Parameters are as in `advantage_table`.
    """
    lines = list(table[["study", "arm"]].drop_duplicates().itertuples(index=False, name=None))
    measures = _drawn(table)
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
        figure.supxlabel("advantage over the best baseline: 0 level, 1 from the random benchmark to people", fontsize=8)
        figure.tight_layout()
        plt.close(figure)
    return figure


def _drawn(table: pd.DataFrame) -> list[str]:
    return [measure for measure in MEASURES if measure in set(table["measure"])]


def _draw(axis: Axes, part: pd.DataFrame, lines: list[tuple[str, str]], arms: Arms) -> None:
    axis.axvline(0, color=COLOURS["baseline"], linewidth=1.2)
    for _, row in part.iterrows():
        place, kind = lines.index((row["study"], row["arm"])), kind_of(arms.arm(row["arm"]))
        filled = COLOURS[kind] if advantage_words(row) != UNDECIDED else "white"
        axis.plot([row["low"], row["high"]], [place, place], color=COLOURS[kind], linewidth=1.2)
        axis.plot(
            [row["estimate"]], [place], MARKERS[kind], color=COLOURS[kind], markerfacecolor=filled, markersize=4.5
        )


def _line(study: str, arm: Arm) -> str:
    return textwrap.fill(f"{study}: {arm.label}", 34)


def _cell(row: pd.Series) -> str:
    text = f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return text if advantage_words(row) == UNDECIDED else f"{text}, {advantage_words(row)}"


def _of(metric: str, item: str | None, either_side: bool = False) -> Advantage:
    def advantage(evidence: Evidence, arm: Arm, baseline: Arm) -> Interval | None:
        values = [evidence.value(one.name, metric, item) for one in (arm, baseline)]
        return _apart(*(_place(value, either_side) for value in values))

    return advantage


def _by_group(evidence: Evidence, arm: Arm, baseline: Arm) -> Interval | None:
    """The mean over the groups of the study's first grouping, who are different people."""
    if not evidence.study.subgroups:
        return None
    variable = evidence.study.subgroups[0].variable
    both = [
        [_place(evidence.value(one.name, "subgroup_distance", variable, group)) for one in (arm, baseline)]
        for group in evidence.groups(variable)
    ]
    known = [(ours, theirs) for ours, theirs in both if ours is not None and theirs is not None]
    return _apart(_mean([ours for ours, _ in known]), _mean([theirs for _, theirs in known])) if known else None


def _likelihood(evidence: Evidence, arm: Arm, baseline: Arm) -> Interval | None:
    """The paired difference, over the way from uniform answers to other people's frequencies."""
    paired, own = evidence.value(arm.name, "nll_over_baseline", "all"), evidence.value(arm.name, "nll", "all")
    if paired is None or own is None or math.isnan(paired.low) or not own.random_benchmark > own.human_benchmark:
        return None
    return paired.times(-1 / (own.random_benchmark - own.human_benchmark))


def _place(value: Value | None, either_side: bool = False) -> Interval | None:
    if value is None or math.isnan(value.placed.low):
        return None
    place = value.placed
    if not either_side:
        return place
    low, high = sorted(abs(end) for end in (place.low, place.high))
    return replace(place, estimate=abs(place.estimate), low=0.0 if place.holds(0) else low, high=high)


def _mean(places: Sequence[Interval]) -> Interval:
    """The mean of independent estimates."""
    centre = sum(place.estimate for place in places) / len(places)
    below = math.hypot(*(place.estimate - place.low for place in places)) / len(places)
    above = math.hypot(*(place.high - place.estimate for place in places)) / len(places)
    return Interval(centre, centre - below, centre + above, min(place.degrees for place in places))


def _apart(ours: Interval | None, theirs: Interval | None) -> Interval | None:
    return None if ours is None or theirs is None else theirs.minus(ours)


primary_advantage = _of(*PRIMARY)
"""The advantage in the primary measure."""
coherence_advantage = _of("association", None, either_side=True)
coefficients_advantage = _of("concordance", "all")
MEASURES: dict[str, Advantage] = {
    "belief structures": _of("joint_distance", "beliefs"),
    "groups": _by_group,
    "actions on beliefs": coherence_advantage,
    "coefficients": coefficients_advantage,
    "log-likelihood": _likelihood,
}
"""The measures beside the primary one, which stand apart from it."""
