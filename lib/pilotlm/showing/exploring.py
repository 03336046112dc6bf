"""What the notebook to explore with shows: the people's own answers, laws side by side, and the boxes to choose in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pilotlm.errors import InputError, nearest
from pilotlm.instrument.answers import slots_of
from pilotlm.instrument.prompts import example_person
from pilotlm.showing.figures import COLOURS
from pilotlm.showing.labels import answer_words, kind_of
from pilotlm.showing.wording import number
from pilotlm.study import PersonaField, Study

PEOPLE = "People of the treatment"


def people_law(study: Study, people: pd.DataFrame, treatment: str, column: str) -> pd.Series:
    """How often all people of a treatment gave each answer, whoever they are.

    Parameters
    ----------
    study : Study
        The study.
    people : DataFrame
        Its people.
    treatment : str
        The treatment's name.
    column : str
        An answer column.

    Returns
    -------
    Series
        The shares, indexed by every value that may be answered; they sum to 1.
    """
    values = study.question_of(column).values
    given = people.loc[people["treatment"] == treatment, column]
    return given.value_counts(normalize=True).reindex(list(values), fill_value=0.0).rename(PEOPLE)


def questions_asked(study: Study) -> dict[str, str]:
    """The answer columns that are asked, in order, with the words before each line of the form."""
    return {slot.column: slot.label for slot in slots_of(study) if not slot.follows}


def opening(study: Study, treatment: str = "", question: str = "") -> tuple[dict[str, Any], str]:
    """An invented participant of a treatment, and the column of a question; the first of each when empty.

    Raises
    ------
    InputError
        If the study has no such treatment, or does not ask such a question.
    """
    treatments, columns = [t.name for t in study.treatments], list(questions_asked(study))
    for kind, name, allowed in (("treatment", treatment, treatments), ("question", question, columns)):
        if name and name not in allowed:
            raise InputError(f"Study '{study.name}' has no {kind} '{name}'; {nearest(name, allowed)}.")
    person = example_person(study)
    return {**person, "treatment": treatment or person["treatment"]}, question or columns[0]


def laws_beside(study: Study, column: str, laws: Mapping[str, pd.Series]) -> pd.DataFrame:
    """A line an answer: its words, and how probable each of several answerers held it, as text."""
    values = next(iter(laws.values())).index
    shown = {"Answer": [_words(study, column, int(value)) for value in values]}
    return pd.DataFrame(shown | {name: [number(p, 3) for p in law.reindex(values)] for name, law in laws.items()})


def law_bars(study: Study, column: str, laws: Mapping[str, pd.Series]) -> Figure:
    """Bars side by side of how probable each of several answerers held each answer; the people come last.

    Parameters
    ----------
    study : Study
        The study.
    column : str
        The answer's column.
    laws : mapping
        An answerer's name, then its law: two models at most, then the people.

    Returns
    -------
    Figure
        Closed.
    """
    values = [int(value) for value in next(iter(laws.values())).index]
    kinds = [*("base", "tuned")[: len(laws) - 1], kind_of(None)]
    with sns.axes_style("whitegrid"):
        figure: Figure = plt.figure(figsize=(7.0, 3.2), dpi=110)
        axis = figure.subplots()
        width = 0.8 / len(laws)
        for place, ((name, law), kind) in enumerate(zip(laws.items(), kinds, strict=True)):
            middle = np.arange(len(values)) + (place - (len(laws) - 1) / 2) * width
            axis.bar(middle, law.reindex(values), width, label=name, color=COLOURS[kind])
        axis.set_xticks(range(len(values)), [_words(study, column, value, 14) for value in values])
        axis.set_ylabel("probability")
        axis.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        plt.close(figure)
    return figure


def persona_boxes(study: Study, person: Mapping[str, Any]) -> dict[str, widgets.Widget]:
    """A box for the treatment and for each field of the persona, set to a person; their values are codes."""
    treatments = [(treatment.label, treatment.name) for treatment in study.treatments]
    boxes: dict[str, widgets.Widget] = {
        "treatment": widgets.Dropdown(options=treatments, value=person["treatment"], description="Treatment")
    }
    return boxes | {field.name: _box(field, person[field.name]) for field in study.persona}


def _box(field: PersonaField, value: Any) -> widgets.Widget:
    name = field.label or field.name
    if field.levels:
        return widgets.Dropdown(options=[(x.text, x.code) for x in field.levels], value=value, description=name)
    low, high = field.range or (0, 100)
    return widgets.BoundedFloatText(value=value, min=low, max=high, description=name)


def _words(study: Study, column: str, value: int, most: int = 60) -> str:
    """An answer in words, cut where it is long; numbers stay numbers."""
    text = answer_words(study, column, value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
