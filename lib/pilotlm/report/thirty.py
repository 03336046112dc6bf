"""What helps at thirty people, shown: the finding in words, a figure, and a table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pilotlm.analyses.small_pilots import NAMED_BEFOREHAND, NAMED_LATER, WITH_MODEL, label_of_trial_arm
from pilotlm.profile import load_profile
from pilotlm.records import read_csv, results_folder
from pilotlm.report.figures import marks_figure
from pilotlm.report.labels import study_label
from pilotlm.report.notebooks import stage_notebook
from pilotlm.report.wording import listed, number, with_ends
from pilotlm.study import load_study

SMALL = 0.05
"""Nats a person below which a lead is called small."""
LOGIT = "Logit"
"""Among the ways of using the persona, statistics on the same rows."""
RUN = "thirty"
"""The profile of the trials, and the folder of their results."""
NOT_RUN = "The trials have not been run here: `make thirty` runs them."
DRAWN = ("recalibrated", "tuned", "tuned+logit", "tuned+lines", "tuned+copula")
"""The arms of the figure; the table has all."""
ASKED_LATER = "n_30"
"""The size of the pilots of the second question."""
_PEOPLE = {"n_30": "thirty", "n_60": "sixty"}
_POOLED_WITH = {NAMED_BEFOREHAND: "logit", NAMED_LATER: "copula"}


def thirty_in_words() -> str:
    """The finding on the smallest pilots, and which trials are still to be run."""
    if not _leads_file().is_file():
        return NOT_RUN
    leads = _read_leads()
    return " ".join(filter(None, [trial_finding(leads, leads["pilot"].iloc[0]), _still_to_run(leads)]))


def thirty_page(folder: Path) -> str:
    """The result of the trials as Markdown; their notebook and its figure are staged in a folder."""
    if not _leads_file().is_file():
        return NOT_RUN
    leads = _read_leads()
    shown = stage_notebook(_leads_file().parent / f"{RUN}.ipynb", folder / f"{RUN}.ipynb", "", "", folder / "pictures")
    said = [
        f"**{trial_finding(leads, pilot)}** {rivals_sentence(leads, pilot)} {second_finding(leads, pilot)}"
        for pilot in leads["pilot"].unique()
    ]
    used = f"## Does the model use who answers?\n\n{ways_in_words()}"
    proof = f"How it was computed: [the notebook of the trials](/results/shown/{RUN}.ipynb)."
    parts = [*said, _still_to_run(leads), *shown.figures.values(), shown.part("tbl-thirty")]
    parts += [used, shown.part("tbl-ways"), proof]
    return "\n\n".join(part for part in parts if part)


def ways_in_words() -> str:
    """The finding on ways of using the persona."""
    path = _leads_file().with_name("ways.csv")
    return ways_finding(read_csv(path, "make thirty", ["study", "way"])) if path.is_file() else NOT_RUN


def _leads_file() -> Path:
    return results_folder() / RUN / "leads.csv"


def _read_leads() -> pd.DataFrame:
    return read_csv(_leads_file(), "make thirty", ["study", "pilot", "arm", "rival"])


def _still_to_run(leads: pd.DataFrame) -> str:
    """Which trials of the plan are not there yet; "" where all are."""
    # An arm that was added later has fewer pilots than its study.
    there = leads.groupby(["pilot", "study"])["pilots"].max().groupby("pilot").min()
    parts, whole = [], []
    for pilot, seeds in load_profile(RUN).trials.items():
        people, run = f"{_PEOPLE.get(pilot, pilot)} people", int(there.get(pilot, 0))
        if run < len(seeds):
            parts.append(f"{run} of {len(seeds)} pilots of {people}")
        else:
            whole.append(people)
    if not parts:
        return ""
    if whole:
        return f"All pilots of {listed(whole)} have been run, and {listed(parts)}."
    return f"This is an interim look: of the plan {listed(parts)} have been run, and what is said here may change."


def over_best(leads: pd.DataFrame, pilot: str) -> pd.DataFrame:
    """The leads of the arms with a model over the best arm without one, at one size of pilot."""
    mine = leads[(leads["pilot"] == pilot) & leads["arm"].isin(WITH_MODEL)]
    # Each of these arms is held against the logit first, then against the best, which may be the logit.
    best = mine.groupby("study")["rival"].last()
    return mine[mine["rival"] == mine["study"].map(best)]


def leads_figure(leads: pd.DataFrame, pilot: str) -> Figure:
    """The lead of the arms `DRAWN` over the best arm without a model, a row a study."""
    shown = over_best(leads, pilot)
    shown = shown[shown["arm"].isin(DRAWN)]
    marks = pd.DataFrame(
        {
            "row": shown["study"].map(_title),
            "label": shown["arm"].map(label_of_trial_arm),
            "kind": shown["arm"].map(lambda arm: "pooled" if "+" in arm else "tuned" if arm == "tuned" else "base"),
            "estimate": shown["lead"], "low": shown["low"], "high": shown["high"],
            "human_benchmark": float("nan"), "random_benchmark": float("nan"),
        }
    )  # fmt: skip
    return marks_figure(
        marks, "lead over the best arm without a model, nats a person", lines={0.0: "no lead"}, limits=(-2.0, 1.5)
    )


def leads_table(leads: pd.DataFrame, pilot: str) -> pd.DataFrame:
    """Each study's best rival, and the leads of the arms with a model over it and over the logit."""
    over_logit = leads[(leads["pilot"] == pilot) & (leads["rival"] == "logit")]
    over_logit = over_logit.drop_duplicates(["study", "arm"]).set_index(["study", "arm"])
    return pd.DataFrame(
        {
            "Study": _title(row["study"]),
            "Arm": label_of_trial_arm(row["arm"]),
            "Lead over the best without a model": _ends(row),
            "Lead over the logit": _ends(over_logit.loc[(row["study"], row["arm"])]),
            "rho_S": number(row["rho_S"]),
        }
        for _, row in over_best(leads, pilot).iterrows()
    )


def rivals_sentence(leads: pd.DataFrame, pilot: str) -> str:
    """Which arm without a model was best in each study."""
    best = over_best(leads, pilot).groupby("study", sort=False)["rival"].first()
    parts = [f"{_title(str(study))}: {label_of_trial_arm(arm).lower()}" for study, arm in best.items()]
    return f"The best arm without a language model: {'; '.join(parts)}."


def trial_finding(leads: pd.DataFrame, pilot: str) -> str:
    """The answer to the plan's main question, in words that the leads choose."""
    said, wins, total = _found(leads, pilot, NAMED_BEFOREHAND)
    everywhere = f" The goal, better in all {total} studies, is {'met' if wins == total else 'not met'}."
    return f"With {_PEOPLE.get(pilot, pilot)} people {said}.{everywhere}"


def second_finding(leads: pd.DataFrame, pilot: str) -> str:
    """The answer to the plan's second question, which is asked of pilots of thirty; "" where none has its arm."""
    rows = leads[(leads["pilot"] == pilot) & (leads["arm"] == NAMED_LATER)]
    if rows.empty or pilot != ASKED_LATER:
        return ""
    pilots = int(rows["pilots"].max())
    return f"The second question, asked of {pilots} pilots drawn later: {_found(leads, pilot, NAMED_LATER)[0]}."


def _found(leads: pd.DataFrame, pilot: str, arm: str) -> tuple[str, int, int]:
    """Where an arm is better and worse than the best one without a model, in words; studies won, and all."""
    rows = over_best(leads, pilot)
    rows = rows[rows["arm"] == arm]
    groups: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for _, row in rows.iterrows():
        verdict = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "open"
        small = ", a small lead" if verdict == "better" and row["lead"] < SMALL else ""
        groups[verdict].append(f"{_title(row['study'])} ({_ends(row)}{small})")
    who = f"the fine-tuned model pooled with the {_POOLED_WITH[arm]}"
    counted = {
        "better": f"{who} forecasts people better than the best arm without a language model in {{}}",
        "worse": "it forecasts them worse in {}",
        "open": "these pilots cannot tell in {}",
    }
    said = [text.format(listed(groups[which])) for which, text in counted.items() if groups[which]]
    if not groups["better"]:
        said.insert(0, f"{who} is shown to be better than the best arm without a language model in no study")
        said = [text.replace("it forecasts them worse", "it is worse") for text in said]
    return "; ".join(said), len(groups["better"]), len(rows)


def ways_table(used: pd.DataFrame) -> pd.DataFrame:
    """Each way of using the persona: its loss, its lead over the usual one, and what another's persona costs."""
    return pd.DataFrame(
        {
            "Way": row["way"],
            "Loss": number(row["loss"]),
            "Lead over the usual way": with_ends(row["lead"], row["lead_low"], row["lead_high"]) if place else "",
            "Cost of another's persona": _cost(row),
        }
        for place, (_, row) in enumerate(used.iterrows())
    )


def ways_finding(used: pd.DataFrame) -> str:
    """What another's persona costs the model and the logit, and which way is shown to be better than the usual one."""
    models, logit = used[used["way"] != LOGIT], used[used["way"] == LOGIT].iloc[0]
    usual, others = models.iloc[0], models.iloc[1:]
    better, worse = others[others["lead_low"] > 0]["way"], others[others["lead_high"] < 0]["way"]
    readers = [f"{row['way'].lower()} ({_cost(row)})" for _, row in others.iterrows() if row["cost_low"] > 0]
    read = "reads who answers" if usual["cost_low"] > 0 else "is not shown to read who answers"
    said = [
        f"In {_title(str(usual['study']))}, tuned on sixty people in the usual way, the model {read}: another's "
        f"persona costs it {_cost(usual)} nats a person, and the logit on the same people {_cost(logit)}.",
        f"Shown to read who answers: {listed(readers) or 'no other way'}.",
        f"Shown to have a smaller loss than the usual way: {listed([way.lower() for way in better]) or 'none'}.",
        f"Shown to have a larger one: {listed([way.lower() for way in worse])}." if len(worse) else "",
    ]
    return " ".join(part for part in said if part)


def _cost(row: pd.Series) -> str:
    return with_ends(row["cost"], row["cost_low"], row["cost_high"])


def _title(study: str) -> str:
    return study_label(load_study(study))


def _ends(row: pd.Series) -> str:
    return with_ends(row["lead"], row["low"], row["high"])
