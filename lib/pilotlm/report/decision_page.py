"""The decision page: the verdict, how often such a verdict is wrong, what would change it, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pilotlm.analyses.decision import Decision, allocation, least_favourable
from pilotlm.analyses.rectification import LEAST_POPULATION, Target
from pilotlm.arms import Arms, load_arms
from pilotlm.records import Places, read_json
from pilotlm.report.figures import COLOURS, MARKERS, drawn
from pilotlm.report.labels import KINDS, kind_of, label_of
from pilotlm.report.runs import read_measures
from pilotlm.report.tables import by_arm, error_table, plain
from pilotlm.report.wording import number, with_ends
from pilotlm.responses import SMALLEST_GROUP
from pilotlm.stats.decision import POWER, VERDICTS, Judgement
from pilotlm.study import Study

NOT_BENCHMARKED = (
    "people of another kind, place or time than these",
    "treatments, questions and wordings that are not in the study file",
    "whatever cannot be put as a mean, an effect or a coefficient of one answer",
    "another model, another prompt, or a model that was trained on these data before it came here",
)
"""What no decision page can vouch for."""
MOST_NAMED = 5
MOST_TOLD = 1_000_000
"""A larger number of people is told as one that cannot be had."""
VERDICT_WORDS: Mapping[str, str] = {
    "use": "use as they are",
    "use with rectification": "use with prediction-powered inference",
    "do not use": "do not use",
}
"""The verdicts on a target, as pages say them."""
MISLEADING, NOT_SHOWN = "would mislead", "are not shown to be safe"
PLACES_IN_WORDS: Mapping[str, str] = {
    "inside": "within the margin",
    "outside": "outside the margin",
    "open": "not settled",
}
NOBODY = (
    f"No arm can be judged: a decision needs a fine-tuned model, or the logit, and at least {SMALLEST_GROUP} held-out "
    "participants with simulated answers."
)
NOT_SCORED = (
    f"How often this verdict is wrong cannot be told from fewer than {LEAST_POPULATION} held-out participants, from "
    "whom pilots are drawn, or from answers that never vary. By construction, where simulated answers miss people's by "
    "the margin or more, at most about 5 % of targets are called usable as they are; where they say nothing about the "
    "person, at most about 5 % are recommended for prediction-powered inference. How often good simulated answers are "
    "refused is unknown; with few people, often."
)
"""What stands beneath the verdict in place of its error rates."""


def advice(decisions: Sequence[Decision], arms: Arms) -> str:
    """The verdict on each arm and what it rests on, all seeds counted: a paragraph an arm, in Markdown."""
    last = {
        "do not use": "Analyse only the people you have.",
        "use with rectification": "Its intervals are valid whatever the simulated answers are.",
    }
    parts = []
    for arm, mine in by_arm_of(decisions).items():
        verdict, judged = least_favourable(mine), [j for one in mine for j in one.judged]
        outside, left = ([t for one in mine for t in one.at(place)] for place in ("outside", "open"))
        of = f"{len(judged)} targets{' (all seeds counted)' if len(mine) > 1 else ''}"
        within = f"within {mine[0].margin:g} standard deviations of people's"
        pays, loses = sum(j.worth.low > j.people for j in judged), sum(j.worth.high < j.people for j in judged)
        names = list(dict.fromkeys(plain(target.label) for target in outside))
        more = f"; and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        said = [f"**{label_of(arms, arm)}: {_headline(verdict, bool(outside))}.**"]
        if verdict == "use":
            said.append(f"On all {of} simulated answers lie {within}: they may stand for answers of people.")
        if outside:
            said.append(f"That is shown on {len(outside)} of {of}: {'; '.join(names[:MOST_NAMED])}{more}.")
        if left:
            said.append(f"On {len(left)} of {of} it is not shown that they lie {within}, nor that they do not.")
        said.append(
            f"Prediction-powered inference gains more than the fine-tuning sample costs on {pays} of {of}, and loses "
            f"people on {loses}; on the others neither is shown."
        )
        parts.append(" ".join(filter(None, [*said, last.get(verdict)])))
    return "\n\n".join(parts) or NOBODY


def by_arm_of(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    """Decisions by arm, in their order."""
    return {arm: [one for one in decisions if one.arm == arm] for arm in dict.fromkeys(one.arm for one in decisions)}


def _headline(verdict: str, misleading: bool) -> str:
    """The verdict; simulated answers are said to mislead only where that was shown."""
    words = VERDICT_WORDS[verdict]
    if verdict == "use":
        return words
    subject = "simulated answers" if verdict == "do not use" else "as they are, simulated answers"
    return f"{words}: {subject} {MISLEADING if misleading else NOT_SHOWN}"


def settling(one: Decision) -> str:
    """How many held-out participants and simulations would settle whether simulated answers may stand for people's."""
    if np.isnan(one.to_settle):
        return (
            "How many people would settle it cannot be told from these: on some target their answers never vary, or "
            "are too few for an estimate."
        )
    if one.to_settle > MOST_TOLD:
        return f"A bias lies so near to the margin that {MOST_TOLD:,} people would not settle it."
    needed = _two_digits(one.to_settle)
    if one.asked < needed <= one.held_out:
        what = f"simulating about {needed:,} of the {one.held_out:,} held-out participants, not {one.asked:,},"
    else:
        what = f"about {needed:,} held-out participants, each simulated once, in place of {one.asked:,}"
    beyond = one.seems_outside
    where = f"on {plain(beyond.label)} lies outside" if beyond else "on each of these targets lies within"
    shows = f"that the bias {where} the margin"
    chance = f"with a chance of {100 * POWER:.0f} % or more"
    return f"If the biases are as they were found, {what} would show {shows}, {chance}."


def _two_digits(count: float) -> int:
    """A count rounded up to two digits: no more of it is known."""
    unit = 10 ** max(len(str(math.ceil(count))) - 2, 0)
    return int(math.ceil(count / unit) * unit)


def stamp_table(study: Study, decisions: Sequence[Decision], arms: Arms, model: str) -> pd.DataFrame:
    """What was benchmarked, and what was not."""
    if not decisions:
        return pd.DataFrame()
    one = decisions[0]
    kinds = pd.Series([target.kind for target in one.targets]).value_counts()
    lines = {
        "Study": study.title + (" (synthetic: nobody answered it)" if study.synthetic else ""),
        "Arms": "; ".join(label_of(arms, arm) for arm in by_arm_of(decisions)),
        "Model": model or "none",
        "Seeds": ", ".join(str(seed) for seed in dict.fromkeys(d.seed for d in decisions)),
        "Fine-tuning sample": f"{one.teaching:,} participants",
        "Held-out participants": f"{one.held_out:,}, of whom {one.asked:,} are simulated",
        "Targets": ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items()),
        "Margin": f"{one.margin:g} standard deviations of an answer",
        "People to be simulated": f"{one.others:,}",
        "Not benchmarked": "; ".join(NOT_BENCHMARKED),
    }
    return pd.DataFrame({"": list(lines), "Benchmarked": list(lines.values())})


def target_table(decisions: Sequence[Decision]) -> pd.DataFrame:
    """Each target of the first decision, by kind, and within a kind from the best verdict and smallest bias on."""
    pairs = [pair for one in decisions[:1] for pair in zip(one.targets, one.judged, strict=True)]
    return pd.DataFrame(
        {
            "Of": KINDS[target.kind],
            "Target": target.label,
            "Verdict": VERDICT_WORDS[j.verdict] + (f": {j.withheld}" if j.withheld else ""),
            "Bias (SD)": _ends(j.bias),
            "Shown": PLACES_IN_WORDS[j.place],
            "To settle it": "–" if j.place != "open" else _people(j.to_settle),
            "Correlation": _ends(j.correlation),
            "Needed": number(j.needed),
            "People": str(j.people),
            "Effective sample size": _ends(j.worth, 0),
        }
        for target, j in sorted(pairs, key=lambda pair: _place_of(*pair))
    )


def _place_of(target: Target, judged: Judgement) -> tuple[int, int, float]:
    bias = abs(judged.bias.value)
    return list(KINDS).index(target.kind), VERDICTS.index(judged.verdict), bias if np.isfinite(bias) else np.inf


def _people(count: float) -> str:
    return f"{_two_digits(count):,}" if np.isfinite(count) and count <= MOST_TOLD else "–"


def change(decisions: Sequence[Decision], arms: Arms) -> str:
    """What would change the verdict on each arm, from its first seed: a paragraph an arm, in Markdown."""
    return "\n\n".join(
        f"**{label_of(arms, arm)}.** {_to_use(mine[0])} {_to_pay(mine[0])}"
        for arm, mine in by_arm_of(decisions).items()
    )


def _to_use(one: Decision) -> str:
    if one.verdict == "use":
        return "It may be used."
    found = [abs(j.bias.value) for j in one.judged if np.isfinite(j.bias.value)]
    farthest = f"; the farthest is {number(max(found))} away" if found else ""
    said = (
        f"To be used as they are, simulated answers must lie within {one.margin:g} standard deviations of people's "
        f"with the whole interval of every target{farthest}."
    )
    return said if one.at("outside") else f"{said} {settling(one)}"


def _to_pay(one: Decision) -> str:
    if not np.isfinite(one.correlation):
        return "Answers or predictions do not vary, so prediction-powered inference can gain nothing."
    at = f"At the median correlation of {one.correlation:.2f} prediction-powered inference"
    if not np.isfinite(one.people_needed) or one.people_needed > MOST_TOLD:
        return f"{at} never pays."
    return (
        f"{at} makes up for the fine-tuning sample of {one.teaching} from {one.people_needed:,.0f} held-out "
        f"participants on, if simulated people cost nothing; there were {one.asked}."
    )


def human_benchmark_table(places: Places, arms: Arms, decisions: Sequence[Decision]) -> pd.DataFrame:
    """The joint distance of the arms judged, and of the baselines on the same rows, beside both benchmarks."""
    pilots = {arms.arm(one.arm).pilot for one in decisions}
    names = {one.arm for one in decisions} | {o.name for pilot in pilots for o in arms.baselines_of(pilot)}
    path = places.measures("divergence")
    if not path.is_file():
        return pd.DataFrame({"": ["The analysis of divergence has not run yet."]})
    table = read_measures(path)
    rows = table[(table["metric"] == "joint_distance") & (table["item"] == "answers") & table["arm"].isin(names)]
    columns = {
        "joint_distance": "Distance",
        "joint_distance/human_benchmark": "Human benchmark",
        "joint_distance/random_benchmark": "Random benchmark",
    }
    return by_arm(rows, arms, columns, digits=2)


def trust_table(places: Places, arms: Arms, decisions: Sequence[Decision]) -> pd.DataFrame:
    """How often verdicts like these are wrong, from the notebook 12; empty where that drew no pilots."""
    path = places.measures("rectification")
    if not path.is_file():
        return pd.DataFrame()
    table = read_measures(path)
    return error_table(table[table["arm"].isin({one.arm for one in decisions})], arms)


def cost_table(decisions: Sequence[Decision], places: Places, arms: Arms, person: float, hour: float) -> pd.DataFrame:
    """What the machine's time cost and gained, beside the price of asking people."""
    lines = []
    for one in decisions:
        hours = _hours(places, arms, one)
        gained = one.worth - (one.teaching + one.asked)
        lines.append(
            {
                "Arm": label_of(arms, one.arm), "Seed": str(one.seed),
                "Hours of the machine": number(hours), "Its price": number(hours * hour),
                "People": str(one.teaching + one.asked), "Effective sample size": number(one.worth, 0),
                "Gained": number(gained, 0), "Price of asking as many": number(max(gained, 0.0) * person),
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def _hours(places: Places, arms: Arms, one: Decision) -> float:
    adapter = arms.arm(one.arm).adapter
    nodes = (f"02-finetune-{adapter}-s{one.seed}", f"03-simulate-{one.arm}-s{one.seed}")
    paths = [path for node in nodes if (path := places.record(node)).is_file()]
    seconds = [float(read_json(path, "its notebook")["wall_seconds"]) for path in paths]
    return sum(seconds) / 3600 if seconds else math.nan


def allocation_figure(decisions: Sequence[Decision], arms: Arms) -> Figure:
    """Of these people, how many should be the fine-tuning sample? The effective sample size of all, by that.

    A line an arm, of its first seed, at the median correlation; the marks are the samples as they were.
    """
    firsts = [mine[0] for mine in by_arm_of(decisions).values()]
    people = firsts[0].teaching + firsts[0].asked
    with drawn(3.0) as (figure, axis):
        kinds = {kind: cycle(markers) for kind, markers in MARKERS.items()}
        for one in firsts:
            kind = kind_of(arms.arm(one.arm))
            if np.isfinite(one.correlation):
                curve = allocation(people, one.correlation, one.others)
                axis.plot(curve.teaching, curve.worth, color=COLOURS[kind], linewidth=1.4)
                axis.plot([one.teaching], [one.worth], next(kinds[kind]), color=COLOURS[kind], markersize=6,
                          label=label_of(arms, one.arm))  # fmt: skip
        axis.axhline(people, color=COLOURS["human"], linewidth=0.8, linestyle=":")
        axis.set_xlabel("people in the fine-tuning sample")
        axis.set_ylabel(f"effective sample size\nof {people} people")
        if axis.get_legend_handles_labels()[0]:
            figure.legend(loc="lower center", ncols=1, bbox_to_anchor=(0.5, 1.0), frameon=False)
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
                        "outside": [target.name for target in one.at("outside")],
                        "to_settle": one.to_settle if np.isfinite(one.to_settle) else None,
                        "targets": {t.name: j.verdict for t, j in zip(one.targets, one.judged, strict=True)},
                    }
                    for one in mine
                },
            }
            for arm, mine in by_arm_of(decisions).items()
        },
    }


def decided(record: Mapping[str, Any], arm: str) -> tuple[str, list[str], int] | None:
    """The verdict on an arm, those on its targets in all seeds, and how many of them simulated answers mislead on.

    ``record`` is what `decision_record` wrote; None where it does not have the arm.
    """
    mine = record.get("arms", {}).get(arm)
    if mine is None:
        return None
    seeds = list(mine["seeds"].values())
    targets = [verdict for seed in seeds for verdict in seed["targets"].values()]
    return mine["verdict"], targets, sum(len(seed.get("outside", ())) for seed in seeds)


def decided_in_words(record: Mapping[str, Any]) -> str:
    """What was decided on each arm, a line an arm, in Markdown, from what `decision_record` wrote."""
    arms, lines = load_arms(), []
    for arm in record["arms"]:
        verdict, said, outside = decided(record, arm) or ("", [], 0)
        counts = ", ".join(f'"{VERDICT_WORDS[one]}" on {said.count(one)}' for one in VERDICTS if one in said)
        shown = f"; simulated answers are shown to mislead on {outside}" if outside else ""
        lines.append(
            f"- {label_of(arms, arm)}: **{_headline(verdict, outside > 0)}**. Of {len(said)} targets, all seeds "
            f"counted: {counts}{shown}."
        )
    return "\n".join(lines) or NOBODY


def _ends(value: Any, digits: int = 2) -> str:
    return with_ends(value.value, value.low, value.high, digits)
