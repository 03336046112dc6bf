"""Simulated people as a file that others can read: answers in words, a codebook, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pilotlm.arms import Arm, Arms, load_arms
from pilotlm.data.pilot import draw_new_people
from pilotlm.data.sources import people_of
from pilotlm.errors import InputError, plain
from pilotlm.profile import Profile, load_profile
from pilotlm.records import Places, read_json, write_csv, write_text
from pilotlm.report.decision_page import decided_in_words
from pilotlm.report.labels import answer_words, variable_labels
from pilotlm.report.tables import text_table
from pilotlm.study import Study, load_study

MOST_PEOPLE = 1_000_000


@dataclass(frozen=True, eq=False)
class NewPeople:
    """Whom to simulate after a decision, by which arm; ``record`` is what was decided."""

    study: Study
    people: pd.DataFrame
    rows: pd.DataFrame
    places: Places
    profile: Profile
    arms: Arms
    arm: Arm
    seed: int
    record: Mapping[str, Any]


def new_people(study: str, profile: str, n: int) -> NewPeople:
    """Draw people to simulate with the adapter that a decision left, before any model is loaded.

    An `InputError` says that study or profile do not exist, n is out of range, nothing was decided yet, or no arm was
    fine-tuned.
    """
    if not 1 <= n <= MOST_PEOPLE:
        raise InputError(f"The number of people must lie in 1 to {MOST_PEOPLE:,}, got {n}.")
    settings, arms, specification = load_profile(profile, study), load_arms(), load_study(study)
    places, seed = Places(f"{profile}-{study}", study), settings.seeds[0]
    tuned = (arms.arm(name) for name in settings.studies[study].arms)
    arm = next((one for one in tuned if one.is_trained and one.decoding != "free"), None)
    if arm is None:
        raise InputError(f"The profile '{profile}' fine-tunes no arm that could answer; choose another one.")
    if not places.decision.is_file():
        raise InputError(f"Nothing was fine-tuned for study '{study}' yet; run `pilotlm decide {study}` first.")
    people = people_of(specification, places)
    rows = draw_new_people(specification, people, n, seed)
    record = read_json(places.decision, "pilotlm decide")
    return NewPeople(specification, people, rows, places, settings, arms, arm, seed, record)


def write_simulated(made: NewPeople, responses: pd.DataFrame) -> tuple[Path, str]:
    """Write ``simulated.csv`` and its codebook beside the decision page; gives the file, and the verdict on it."""
    path, verdict = made.places.folder / "simulated.csv", verdict_on(made)
    write_text(path.with_name("simulated-codebook.md"), codebook(made, len(responses), verdict))
    write_csv(path, in_words(made.study, responses))
    return path, verdict


def verdict_on(made: NewPeople) -> str:
    """What was decided on the arm that answers."""
    mine = {arm: said for arm, said in made.record["arms"].items() if arm == made.arm.name}
    return decided_in_words({"arms": mine}).removeprefix("- ")


def in_words(study: Study, responses: pd.DataFrame) -> pd.DataFrame:
    """Responses with words in place of codes, every row marked as simulated."""
    treatments = {treatment.name: treatment.label for treatment in study.treatments}
    table = {"simulated": "yes", "arm": responses["arm"], "seed": responses["seed"],
             "participant": responses["participant"], "treatment": responses["treatment"].map(treatments)}  # fmt: skip
    for variable in study.background:
        texts = {level.code: level.text for level in variable.levels or ()}
        table[variable.name] = responses[variable.name].map(texts) if texts else responses[variable.name]
    for column in study.answer_columns:
        words = {code: answer_words(study, column, code) for code in responses[column].unique()}
        has_words = bool(study.question_of(column).options)
        table[column] = responses[column].map(words) if has_words else responses[column]
    return pd.DataFrame(table)


def codebook(made: NewPeople, n: int, verdict: str) -> str:
    """What every column of the file means, the verdict first, in Markdown."""
    study, labels = made.study, variable_labels(made.study)
    lines = {
        "simulated": ("yes: nobody gave these answers", "yes"),
        "arm": (f"who answered: {made.arm.label}", made.arm.name),
        "seed": ("of the run that fine-tuned it", str(made.seed)),
        "participant": ("a number; no participant of the study", f"1 to {n}"),
        "treatment": ("assigned at random in the study's shares", "; ".join(t.label for t in study.treatments)),
    }
    for variable in study.background:
        low, high = variable.range or (float("-inf"), float("inf"))
        allowed = "; ".join(level.text for level in variable.levels or ()) or f"{low:g} to {high:g}"
        lines[variable.name] = (f"{labels[variable.name]} (drawn from the study's people)", allowed)
    for question in study.questions:
        allowed = "; ".join(option.text for option in question.options) or question.answer_rule()
        for column, title in question.titles(question.text).items():
            lines[column] = (f"{title} (simulated, {question.role})", allowed)
    table = pd.DataFrame([{"Column": name, "Meaning": what, "Values": v} for name, (what, v) in lines.items()])
    return (
        f"# Simulated answers: {plain(study.title)}\n\n{n:,} people who do not exist, in `simulated.csv`: no row is an "
        "answer of a person. Backgrounds are drawn with replacement from the study's people"
        f"{f', by the weights of {plain(repr(study.weight))}' if study.weight else ''}.\n\n"
        f"What the decision page says of such answers: {verdict}\n\n{text_table(table)}\n"
    )
