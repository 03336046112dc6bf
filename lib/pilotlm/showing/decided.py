"""The decision page: the verdict in words, what it rests on, what it would take to change it, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pilotlm.analyses.decision import Decision, allocation, least_favourable
from pilotlm.arms import Arms, load_arms
from pilotlm.measures.decisions import VERDICTS
from pilotlm.records import Places, read_json
from pilotlm.showing.estimators import error_table
from pilotlm.showing.figures import COLOURS, styled
from pilotlm.showing.naming import label_of
from pilotlm.showing.report import read_measures
from pilotlm.showing.tables import by_arm, number
from pilotlm.study import Study

NOT_BENCHMARKED = (
    "people of another kind, place or time than these",
    "treatments, questions and wordings that are not in the study file",
    "whatever cannot be put as a mean, an effect or a coefficient of one answer",
    "another model, another prompt, or a model that was trained on these data before it came here",
)
"""What no decision page can vouch for."""
_ADVICE: Mapping[str, str] = {
    "use": "Simulated people may stand for people in what was benchmarked, within the margin stated.",
    "use with rectification": "Do not take simulated answers for people's. Keep people aside who taught nothing, and "
    "rectify with their answers: their intervals are valid, and here they are worth more than their number.",
    "do not use": "Analyse the people you have, alone. Simulated answers would mislead, and rectifying them is worth "
    "less than having asked all people in the first place.",
}


def advice(decisions: Sequence[Decision], arms: Arms) -> str:
    """The verdict on each arm and what to do, in Markdown.

    Parameters
    ----------
    decisions : sequence of Decision
        Of one study.
    arms : Arms
        The declared arms.

    Returns
    -------
    str
    """
    parts = []
    for arm, mine in by_arm_of(decisions).items():
        verdict = least_favourable(mine)
        parts.append(f"**{label_of(arms, arm)}: {verdict}.** {_ADVICE[verdict]}")
        parts.append(" ".join(_counted(one, len(mine) > 1) for one in mine))
    return "\n\n".join(parts)


def by_arm_of(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    """Decisions by arm, in their order."""
    return {arm: [one for one in decisions if one.arm == arm] for arm in dict.fromkeys(one.arm for one in decisions)}


def _counted(one: Decision, seeds: bool) -> str:
    counts = [f"{one.counted(verdict)} {verdict!r}" for verdict in VERDICTS]
    where = f"Seed {one.seed}: of" if seeds else "Of"
    return f"{where} {len(one.judged)} targets {counts[0]}, {counts[1]}, {counts[2]}."


def stamp_table(study: Study, decisions: Sequence[Decision], arms: Arms, model: str) -> pd.DataFrame:
    """What was benchmarked, and what was not.

    Parameters
    ----------
    study : Study
        The study.
    decisions : sequence of Decision
        Of it.
    arms : Arms
        The declared arms.
    model : str
        The language model with its revision; "" where none was used.

    Returns
    -------
    DataFrame
        Text, columns "" and "Benchmarked".
    """
    one = decisions[0]
    kinds = pd.Series([target.kind for target in one.targets]).value_counts()
    lines = {
        "Study": study.title + (" (synthetic: nobody answered it)" if study.synthetic else ""),
        "Arms": "; ".join(label_of(arms, arm) for arm in by_arm_of(decisions)),
        "Model": model or "none",
        "Seeds": ", ".join(str(seed) for seed in dict.fromkeys(d.seed for d in decisions)),
        "People who taught": str(one.teaching),
        "People whom it is held against": str(one.asked),
        "Targets": ", ".join(f"{count} {kind}s" for kind, count in kinds.items()),
        "Margin": f"{one.margin:g} standard deviations of an answer",
        "People simulated": f"{one.others:,}",
        "Not benchmarked": "; ".join(NOT_BENCHMARKED),
    }
    return pd.DataFrame({"": list(lines), "Benchmarked": list(lines.values())})


def target_table(one: Decision) -> pd.DataFrame:
    """Each target: the bias, the correlation and its ceiling, what people are worth, and the verdict.

    Parameters
    ----------
    one : Decision
        Of one arm and seed.

    Returns
    -------
    DataFrame
        Text. The interval of the bias is of 90 %, the others of 95 %.
    """
    return pd.DataFrame(
        [
            {
                "Target": target.label,
                "Bias (SD)": _ends(j.bias),
                "Correlation": _ends(j.ceiling.correlation),
                "Ceiling": number(j.ceiling.gain.value, 2),
                "People": str(j.people),
                "Worth": _ends(j.worth, 0),
                "Correlation needed": number(j.needed, 2),
                "Verdict": f"{j.verdict}: {j.withheld}" if j.withheld else j.verdict,
            }
            for target, j in zip(one.targets, one.judged, strict=True)
        ]
    )


def change(one: Decision, arms: Arms) -> str:
    """What it would take to change the verdict, in a sentence or two.

    Parameters
    ----------
    one : Decision
    arms : Arms
        The declared arms.

    Returns
    -------
    str
    """
    name = label_of(arms, one.arm)
    worst = max((abs(j.bias.value) for j in one.judged if np.isfinite(j.bias.value)), default=float("nan"))
    said = (
        f"{name}: to be used as it is, every target would have to be within {one.margin:g} standard deviations of "
        f"people with its whole interval; the farthest is {number(worst, 2)} away."
    )
    if not np.isfinite(one.correlation):
        return f"{said} Its predictions do not vary with the person, so rectification can gain nothing."
    if not np.isfinite(one.people_needed) or one.people_needed > 1e6:
        return f"{said} At its median correlation of {one.correlation:.2f} rectification never pays."
    return (
        f"{said} At its median correlation of {one.correlation:.2f}, rectification makes up for the {one.teaching} "
        f"people who taught from {one.people_needed:,.0f} further people with answers on, if simulated people cost "
        f"nothing; there were {one.asked}."
    )


def floor_table(places: Places, arms: Arms, decisions: Sequence[Decision]) -> pd.DataFrame:
    """The joint distance of the arms judged, and of the opponents on the same rows, beside floor and ceiling.

    Parameters
    ----------
    places : Places
        Where the measures of the run lie.
    arms : Arms
        The declared arms.
    decisions : sequence of Decision
        Of one study.

    Returns
    -------
    DataFrame
        Text; a line that says so where the analysis of divergence has not run.
    """
    pilots = {arms.arm(one.arm).pilot for one in decisions}
    names = {one.arm for one in decisions} | {o.name for pilot in pilots for o in arms.opponents_of(pilot)}
    path = places.measures("divergence")
    if not path.is_file():
        return pd.DataFrame({"": ["The analysis of divergence has not run yet."]})
    table = read_measures(path)
    rows = table[(table["metric"] == "joint_distance") & (table["item"] == "answers") & table["arm"].isin(names)]
    columns = {"joint_distance": "Distance", "joint_distance/floor": "People", "joint_distance/ceiling": "Trivial"}
    return by_arm(rows, arms, columns, digits=2)


def trust_table(places: Places, arms: Arms, decisions: Sequence[Decision]) -> pd.DataFrame:
    """How often verdicts like these are wrong, from the analysis of rectification; empty where that drew no pilots."""
    path = places.measures("rectification")
    if not path.is_file():
        return pd.DataFrame()
    table = read_measures(path)
    return error_table(table[table["arm"].isin({one.arm for one in decisions})], arms)


def cost_table(decisions: Sequence[Decision], places: Places, arms: Arms, person: float, hour: float) -> pd.DataFrame:
    """What the machine's time bought, beside the price of asking people.

    Parameters
    ----------
    decisions : sequence of Decision
        Of one study.
    places : Places
        Where the records of the run lie.
    arms : Arms
        The declared arms.
    person, hour : float
        Prices of asking a person and of an hour of the machine, in one currency.

    Returns
    -------
    DataFrame
        Text. Time is that of this run: fine-tuning, and simulating the people held out.
    """
    lines = []
    for one in decisions:
        hours = _hours(places, arms, one)
        gained = one.worth - (one.teaching + one.asked)
        lines.append(
            {
                "Arm": label_of(arms, one.arm), "Seed": str(one.seed),
                "Hours of the machine": number(hours, 2), "Its price": number(hours * hour, 2),
                "People": str(one.teaching + one.asked), "Worth": number(one.worth, 0),
                "Gained": number(gained, 0), "Asking as many": number(max(gained, 0.0) * person, 2),
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def _hours(places: Places, arms: Arms, one: Decision) -> float:
    adapter = arms.arm(one.arm).adapter
    nodes = [f"02-finetune-{adapter}-s{one.seed}", f"03-simulate-{one.arm}-s{one.seed}"]
    found = [_seconds(places.record(node)) for node in nodes]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) / 3600 if known else float("nan")


def _seconds(path: Path) -> float | None:
    if not path.is_file():
        return None
    return float(read_json(path, "its notebook")["wall_seconds"])


def allocation_figure(decisions: Sequence[Decision], arms: Arms) -> Figure:
    """Of these people, how many should teach? What all are worth by that, at the correlations found.

    Parameters
    ----------
    decisions : sequence of Decision
        Of one study.
    arms : Arms
        The declared arms.

    Returns
    -------
    Figure
        Closed. Left: worth at the median correlation of each arm, and the number of people. Right: the correlation
        that is needed, and those found. The curves take the correlation as it was found with the people who did teach.
    """
    first = decisions[0]
    people = first.teaching + first.asked
    with styled():
        figure: Figure = plt.figure(figsize=(7.2, 3.0))
        left, right = figure.subplots(1, 2)
        needed = allocation(people, 0.0, first.others)
        right.plot(needed.teaching, needed.needed, color=COLOURS["human"], linewidth=1.4)
        right.annotate("needed", (needed.teaching[24], needed.needed[24]), xytext=(8, -14),
                       textcoords="offset points", fontsize=8)  # fmt: skip
        for k, one in enumerate(one for one in decisions if np.isfinite(one.correlation)):
            colour = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")[k % 6]
            curve = allocation(people, one.correlation, one.others)
            label = label_of(arms, one.arm) + (f", seed {one.seed}" if len({d.seed for d in decisions}) > 1 else "")
            left.plot(curve.teaching, curve.worth, color=colour, linewidth=1.4, label=label)
            left.plot([one.teaching], [one.worth], "o", color=colour, markersize=4)
            every = [abs(j.ceiling.correlation.value) for j in one.judged]
            right.plot([one.teaching] * len(every), every, "o", color=colour, markersize=3, alpha=0.5)
        left.axhline(people, color=COLOURS["human"], linewidth=0.8, linestyle=":")
        left.set_xlabel("people who teach")
        left.set_ylabel(f"people alone that {people} are worth")
        right.set_xlabel("people who teach")
        right.set_ylabel("correlation")
        right.set_ylim(0, 1)
        if left.get_legend_handles_labels()[0]:
            figure.legend(loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1.0), frameon=False)
        figure.tight_layout()
        plt.close(figure)
    return figure


def decision_record(study: Study, decisions: Sequence[Decision]) -> dict[str, Any]:
    """What is written of a decision: the verdicts, and what they rest on."""
    return {
        "study": study.name,
        "arms": {
            arm: {
                "verdict": least_favourable(mine),
                "seeds": {
                    str(one.seed): {
                        "verdict": one.verdict,
                        "teaching": one.teaching,
                        "asked": one.asked,
                        "margin": one.margin,
                        "targets": {t.name: j.verdict for t, j in zip(one.targets, one.judged, strict=True)},
                    }
                    for one in mine
                },
            }
            for arm, mine in by_arm_of(decisions).items()
        },
    }


def decided_in_words(record: Mapping[str, Any]) -> str:
    """What was decided on each arm, in Markdown, from what `decision_record` wrote."""
    arms, lines = load_arms(), []
    for arm, mine in record["arms"].items():
        said = [list(seed["targets"].values()) for seed in mine["seeds"].values()]
        counts = [f'{sum(s.count(verdict) for s in said)} "{verdict}"' for verdict in VERDICTS]
        seeds = f" over {len(said)} seeds" if len(said) > 1 else ""
        total = sum(map(len, said))
        lines.append(
            f"- {label_of(arms, arm)}: **{mine['verdict']}**. Of {total} targets{seeds} {counts[0]}, {counts[1]}, "
            f"{counts[2]}."
        )
    return "\n".join(lines)


def _ends(value: Any, digits: int = 2) -> str:
    if not np.isfinite(value.value):
        return "–"
    return f"{number(value.value, digits)} [{number(value.low, digits)}, {number(value.high, digits)}]"
