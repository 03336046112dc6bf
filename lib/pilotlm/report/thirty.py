"""What helps at thirty people, shown: the finding in words, a figure, and a table."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from pilotlm.analyses.small_pilots import NAMED_BEFOREHAND, WITH_MODEL, label_of_trial_arm
from pilotlm.report.figures import marks_figure
from pilotlm.report.labels import study_label
from pilotlm.report.wording import listed, number, with_ends
from pilotlm.study import load_study

SMALL = 0.05
"""Nats a person below which a lead is called small."""
_PEOPLE = {"n_30": "thirty", "n_60": "sixty"}


def over_best(leads: pd.DataFrame, pilot: str) -> pd.DataFrame:
    """The leads of the arms with a model over the best arm without one, at one size of pilot."""
    mine = leads[(leads["pilot"] == pilot) & leads["arm"].isin(WITH_MODEL)]
    best = leads[leads["pilot"] == pilot].groupby("study")["opponent"].last()
    return mine[mine["opponent"] == mine["study"].map(best)]


def leads_figure(leads: pd.DataFrame, pilot: str) -> Figure:
    """The lead of each arm with a model over the best arm without one, a row a study."""
    shown = over_best(leads, pilot)
    marks = pd.DataFrame(
        {
            "row": shown["study"].map(_title),
            "label": shown["arm"].map(label_of_trial_arm),
            "kind": shown["arm"].map(lambda arm: "pooled" if "+" in arm else "tuned" if arm == "tuned" else "base"),
            "estimate": shown["lead"], "low": shown["low"], "high": shown["high"],
            "human_benchmark": float("nan"), "random_benchmark": float("nan"),
        }
    )  # fmt: skip
    return marks_figure(marks, "lead over the best arm without a model, nats a person", lines={0.0: "no lead"})


def leads_table(leads: pd.DataFrame, pilot: str) -> pd.DataFrame:
    """Each study's best opponent, and the leads of the arms with a model over it and over the logit."""
    lines = []
    for study, rows in over_best(leads, pilot).groupby("study", sort=False):
        for _, row in rows.iterrows():
            logit = leads[(leads["study"] == study) & (leads["pilot"] == pilot) & (leads["arm"] == row["arm"]) &
                          (leads["opponent"] == "logit")].iloc[0]  # fmt: skip
            lines.append(
                {"Study": _title(str(study)), "Arm": label_of_trial_arm(row["arm"]),
                 "Lead over the best without a model": _ends(row), "Lead over the logit": _ends(logit),
                 "rho_S": number(row["rho_S"], 2)}
            )  # fmt: skip
    return pd.DataFrame(lines)


def opponents_sentence(leads: pd.DataFrame, pilot: str) -> str:
    """Which arm without a model was best in each study."""
    best = over_best(leads, pilot).groupby("study", sort=False)["opponent"].first()
    parts = [f"{_title(str(study))}: {label_of_trial_arm(arm).lower()}" for study, arm in best.items()]
    return f"The best arm without a language model: {'; '.join(parts)}."


def trial_finding(leads: pd.DataFrame, pilot: str) -> str:
    """The answer to the plan's main question, in words that the leads choose."""
    rows = over_best(leads, pilot)
    rows = rows[rows["arm"] == NAMED_BEFOREHAND]
    groups: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for _, row in rows.iterrows():
        verdict = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "open"
        small = ", a small lead" if verdict == "better" and row["lead"] < SMALL else ""
        groups[verdict].append(f"{_title(row['study'])} ({_ends(row)}{small})")
    people = _PEOPLE.get(pilot, pilot)
    counted = {
        "better": "the fine-tuned model pooled with the logit forecasts people better than the best arm without a "
        "language model in {}",
        "worse": "it forecasts them worse in {}",
        "open": "these pilots cannot tell in {}",
    }
    said = [text.format(listed(groups[which])) for which, text in counted.items() if groups[which]]
    if not groups["better"]:
        said.insert(0, "the fine-tuned model pooled with the logit is shown to be better than the best arm without a "
                       "language model in no study")  # fmt: skip
        said = [text.replace("it forecasts them worse", "it is worse") for text in said]
    total, wins = len(rows), len(groups["better"])
    everywhere = f" The goal, better in all {total} studies, is {'met' if wins == total else 'not met'}."
    return f"With {people} people {'; '.join(said)}.{everywhere}"


def _title(study: str) -> str:
    return study_label(load_study(study))


def _ends(row: pd.Series) -> str:
    return with_ends(row["lead"], row["low"], row["high"])
