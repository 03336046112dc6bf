"""Wording: what a participant is told and asked, as three texts that go from the general to the particular.

What everyone shares comes first (instructions and questionnaire), then what a treatment shares (the scenario), then
the participant's persona. The answer form follows, one line a question. The order lets a model read the shared texts
once, and puts what differs next to the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pilotlm.instrument.answers import slots_of
from pilotlm.records import text_sha256
from pilotlm.study import Allocation, Choice, PersonaField, Scale, Study

NO_PERSONA = "You are one of the participants."


@dataclass(frozen=True)
class Prompt:
    """What a model reads before it fills in the form.

    Attributes
    ----------
    shared : str
        Instructions and questionnaire, the same for everybody.
    scenario : str
        What the participant's treatment says.
    persona : str
        Who the participant is.
    """

    shared: str
    scenario: str
    persona: str

    @property
    def text(self) -> str:
        """The three texts as one."""
        return f"{self.shared}\n\n{self.scenario}\n\n{self.persona}"


def prompt_for(study: Study, person: Mapping[str, Any], with_persona: bool = True) -> Prompt:
    """Word the prompt of one participant.

    Parameters
    ----------
    study : Study
        The study.
    person : mapping
        ``treatment`` and the persona fields, as in a row of the responses.
    with_persona : bool
        Whether the prompt says who the participant is.

    Returns
    -------
    Prompt
    """
    scenario = " ".join(study.treatment(str(person["treatment"])).scenario.split())
    persona = persona_text(study, person) if with_persona else NO_PERSONA
    return Prompt(shared_text(study), scenario, persona)


def shared_text(study: Study) -> str:
    """Instructions and questionnaire."""
    questions = "\n".join(_question_text(question) for question in study.questions)
    return f"{' '.join(study.instructions.split())}\n\nThe form, one line a question:\n{questions}"


def persona_text(study: Study, person: Mapping[str, Any]) -> str:
    """Every persona field of a participant in words."""
    return " ".join(_field_text(field, person[field.name]) for field in study.persona)


def prompt_sha256(study: Study) -> str:
    """The sha256 of all that a study's prompts are made of: a change of wording changes it."""
    parts = [shared_text(study), *(t.scenario for t in study.treatments), NO_PERSONA]
    parts += [f"{field.text}{[(level.code, level.text) for level in field.levels or ()]}" for field in study.persona]
    parts += [f"{slot.label}{slot.texts}" for slot in slots_of(study)]
    return text_sha256("\n".join(parts))


def _field_text(field: PersonaField, value: Any) -> str:
    return field.text.replace("{value}", _value_text(field, value))


def _value_text(field: PersonaField, value: Any) -> str:
    if field.levels is None:
        return np.format_float_positional(float(value), trim="-")
    return next(level.text for level in field.levels if level.code == value)


def _question_text(question: Choice | Scale | Allocation) -> str:
    text = " ".join(question.text.split())
    if isinstance(question, Choice):
        options = "; ".join(o.written if o.written == o.text else f"{o.written} = {o.text}" for o in question.options)
        return f"{question.form_label}: {text} ({options})"
    if isinstance(question, Scale):
        low, high = (f" = {end}" for end in question.ends) if question.ends else ("", "")
        step = f" in steps of {question.step}" if question.step > 1 else ""
        return f"{question.form_label}: {text} ({question.low}{low} to {question.high}{high}{step})"
    parts = ", ".join(part.text for part in question.parts)
    return f"{text} (numbers in steps of {question.step} that sum to {question.total}: {parts})"
