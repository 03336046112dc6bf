"""Tables that describe a study, its pilots and its answerers; cells are text, ready to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pilotlm.arms import Arms
from pilotlm.data.form import slots_of
from pilotlm.data.pilot import draw_pilot, rows_of
from pilotlm.data.prompts import example_person, prompt_for
from pilotlm.errors import InputError
from pilotlm.report.labels import answer_words, average_answer, term_label, variable_labels
from pilotlm.report.tables import with_interval
from pilotlm.report.wording import number
from pilotlm.responses import HUMAN, SMALLEST_GROUP, as_numbers, count_people, valid_mass_column, weights_of
from pilotlm.study import Study

if TYPE_CHECKING:
    from pilotlm.baselines.fit import Baseline


def people_table(study: Study, people: pd.DataFrame) -> pd.DataFrame:
    """One line a treatment: how many people, and the mean of each answer, or the share of each option in no order.

    Of real people fewer than `SMALLEST_GROUP` are not told apart: their number and their answers are left out, and with
    a single such treatment those of the smallest other one too, from which they would follow.
    """
    lines, labels = [], variable_labels(study)
    sizes = {t.name: count_people(people[people["treatment"] == t.name]) for t in study.treatments}
    smallest = sorted(sizes, key=sizes.__getitem__)
    hidden = [name for name in smallest if sizes[name] < SMALLEST_GROUP and not study.synthetic]
    hidden = smallest[:2] if len(hidden) == 1 else hidden
    for treatment in study.treatments:
        rows = people[people["treatment"] == treatment.name]
        few, weights = treatment.name in hidden, weights_of(rows)
        count = "left out" if few else str(sizes[treatment.name])
        shown = {labels[c]: "–" if few else average_answer(study, c, rows[c], weights) for c in study.answer_columns}
        lines.append({"Treatment": treatment.label, "People": count, **shown})
    return pd.DataFrame(lines)


def answers_table(study: Study, people: pd.DataFrame) -> pd.DataFrame:
    """One line an answer: its role, what is allowed, mean and standard deviation, and the most frequent answer.

    Of options in no order there are shares in place of a mean.
    """
    lines, labels, numbers, weights = [], variable_labels(study), as_numbers(study, people), weights_of(people)
    for question in study.questions:
        for column in question.columns:
            values = people[column]
            top, deviation = values.value_counts(normalize=True), numbers[column].std()
            if weights is not None:
                shares = pd.Series(weights / weights.sum()).groupby(values.to_numpy()).sum()
                top = shares.sort_values(ascending=False, kind="stable")
                deviation = float(np.sqrt(np.cov(numbers[column], aweights=weights)))
            lines.append(
                {
                    "Answer": labels[column],
                    "Role": question.role,
                    "Allowed": question.answer_rule(),
                    "Mean or shares": average_answer(study, column, values, weights),
                    "SD": number(deviation, 2) if question.ordered else "–",
                    "Most frequent": f"{answer_words(study, column, top.index[0])} ({100 * top.iloc[0]:.0f} %)",
                }
            )
    return pd.DataFrame(lines)


def pilots_table(study: Study, people: pd.DataFrame, arms: Arms, seed: int = 1) -> pd.DataFrame:
    """One line a pilot design: how many people it draws, for what, and how many are held out."""
    lines = []
    for name, design in arms.pilots.items():
        try:
            pilot = draw_pilot(study, people, design, seed)
        except InputError:
            lines.append({"Pilot": name, "Drawn": design.label, "To learn from": "not possible here"})
            continue
        parts = (pilot.participants, pilot.held_out)
        drawn, held_out = (str(count_people(rows_of(people, part))) for part in parts)
        lines.append(
            {
                "Pilot": name,
                "Drawn": design.label,
                "To learn from": drawn,
                "Held out": held_out,
                "Treatments": str(len(pilot.treatments)),
            }
        )
    return pd.DataFrame(lines).fillna("")


def prompt_page(study: Study) -> str:
    """The prompt of a made-up participant and the empty form, as a block of text in Markdown."""
    lines = [prompt_for(study, example_person(study)).text, ""]
    lines += [f"{slot.label}:" for slot in slots_of(study) if not slot.follows]
    # Indented, so that nothing in a study's words can end the block.
    return "\n".join(f"    {line}" for line in "\n".join(lines).split("\n"))


def valid_mass_table(study: Study, responses: pd.DataFrame) -> pd.DataFrame:
    """One line an answer: the valid mass, and the mean of what was answered, or the shares of options in no order."""
    lines, labels = [], variable_labels(study)
    for column in study.answer_columns:
        mass = responses.get(valid_mass_column(column))
        lines.append(
            {
                "Answer": labels[column],
                "Valid mass, mean": "follows" if mass is None else number(mass.mean(), 4),
                "Valid mass, smallest": "follows" if mass is None else number(mass.min(), 4),
                "Mean answer or shares": average_answer(study, column, responses[column]),
            }
        )
    return pd.DataFrame(lines)


def baselines_table(study: Study, baselines: Sequence[Baseline]) -> pd.DataFrame:
    """One line a baseline: its losses, and the settings chosen."""
    labels = variable_labels(study)
    return pd.DataFrame(
        {
            "Baseline": one.arm.label,
            "Cross-validated loss": number(one.cv_loss, 2),
            "Held-out loss": number(one.held_out_nll, 2),
            "Chosen for each answer": "; ".join(f"{labels.get(k, k)}: {v:g}" for k, v in one.settings.items())
            or "nothing to choose",
        }
        for one in baselines
    )


def published_table(study: Study, measured: pd.DataFrame) -> pd.DataFrame:
    """One line a coefficient: what was published or re-estimated before, and what the people's rows give here."""
    human = measured[measured["arm"] == HUMAN]
    lines = []
    for regression in study.regressions:
        terms = human[human["item"].str.startswith(f"{regression.name}: ")]
        for item in dict.fromkeys(terms["item"]):
            term = str(item).removeprefix(f"{regression.name}: ")
            said = regression.published.get(term)
            lines.append(
                {
                    "Regression": regression.label,
                    "Term": term_label(study, term),
                    "Published": "–" if said is None else f"{number(said.coefficient, 3)} {said.stars or ''}".strip(),
                    "Here": f"{_value(terms, item, 'coefficient')} {stars(_p(terms, item))}",
                }
            )
    return pd.DataFrame(lines)


def stars(p_value: float) -> str:
    """Three stars below .001, two below .01, one below .05, else "ns"; "–" where there is no test."""
    if pd.isna(p_value):
        return "–"
    return next((mark for level, mark in ((0.001, "***"), (0.01, "**"), (0.05, "*")) if p_value < level), "ns")


def _value(rows: pd.DataFrame, item: object, metric: str) -> str:
    found = rows[(rows["item"] == item) & (rows["metric"] == metric)]
    return with_interval(found.iloc[0]) if len(found) else "–"


def _p(rows: pd.DataFrame, item: object) -> float:
    found = rows[(rows["item"] == item) & (rows["metric"] == "p_value")]
    return float(found.iloc[0]["estimate"]) if len(found) else float("nan")
