"""What a participant is told and asked, as three texts that go from the general to the particular, and the answer form.

What everyone shares comes first (instructions and questionnaire), then what a treatment shares (the scenario), then
the participant's persona. The answer form follows, one line a question. The order lets a model read the shared texts
once, and puts what differs next to the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pilotlm.arms import Arm
from pilotlm.data.pilot import Pilot, rows_of
from pilotlm.errors import InputError
from pilotlm.randomness import generator
from pilotlm.records import text_sha256
from pilotlm.responses import records
from pilotlm.study import PersonaField, Study

NO_PERSONA = "You are one of the participants."


@dataclass(frozen=True)
class Slot:
    """One line of the answer form: its column in the responses, and the label that stands before the answer.

    ``texts`` say how each of the allowed ``values`` is written. Of a part of an allocation ``spent`` are the columns of
    the earlier parts, ``total`` is what all sum to; the last one ``follows``: it is what is left and is not asked.
    """

    column: str
    label: str
    values: tuple[int, ...]
    texts: tuple[str, ...]
    spent: tuple[str, ...] = ()
    total: int | None = None
    follows: bool = False

    def allowed(self, left: NDArray[np.int64] | None, rows: int) -> NDArray[np.bool_]:
        """Which answers are valid for each row."""
        if left is None:
            return np.ones((rows, len(self.values)), dtype=bool)
        return np.asarray(self.values)[None, :] <= left[:, None]


def slots_of(study: Study) -> tuple[Slot, ...]:
    """The lines of a study's answer form, in the order asked."""
    return tuple(
        Slot(column, label, q.values, q.written, q.columns[:k], q.total, follows=column not in q.asked_columns)
        for q in study.questions
        for k, (column, label) in enumerate(zip(q.columns, q.form_labels, strict=True))
    )


@dataclass(frozen=True)
class Wording:
    """What may be varied in a prompt without asking for anything else: for the robustness of what comes out.

    ``persona_in_form``: the persona is said again at the head of the form, a line a field, next to the answers.
    ``reversed_options``: options and ends of scales are named from the last to the first; ``examples`` are rows of the
    responses, participants whose answers are shown.
    """

    with_persona: bool = True
    persona_first: bool = False
    persona_in_form: bool = False
    reversed_options: bool = False
    examples: tuple[Mapping[str, Any], ...] = ()


USUAL = Wording()


def wording_of(arm: Arm, people: pd.DataFrame, pilot: Pilot, seed: int) -> Wording:
    """The wording that an arm declares; the people shown are drawn from its pilot by the seed."""
    if arm.examples > len(pilot.participants):
        raise InputError(
            f"The arm '{arm.name}' shows {arm.examples} people, its pilot has {len(pilot.participants)}; show fewer."
        )
    shown: tuple[dict[str, object], ...] = ()
    if arm.examples:
        order = generator(seed, "examples").permutation(len(pilot.participants))[: arm.examples]
        shown = tuple(records(rows_of(people, pilot.participants).iloc[order]))
    return Wording(
        with_persona=arm.persona, persona_first=arm.persona_first, reversed_options=arm.reversed_options, examples=shown
    )


@dataclass(frozen=True)
class Prompt:
    """What a model reads before it fills in the form.

    Instructions and questionnaire, the same for everybody; what the participant's treatment says, empty where it is a
    part of the persona's text; and who the participant is. ``head`` are lines that the form begins with, mostly none.
    """

    shared: str
    scenario: str
    persona: str
    head: str = ""

    @property
    def text(self) -> str:
        """The three texts as one, without the head of the form."""
        return "\n\n".join(text for text in (self.shared, self.scenario, self.persona) if text)


def prompt_for(study: Study, person: Mapping[str, Any], wording: Wording = USUAL) -> Prompt:
    """Word the prompt of one participant, given ``treatment`` and the persona fields as in a row of the responses."""
    scenario, persona = _scenario_text(study, person), _who(study, person, wording)
    if wording.persona_first:
        return Prompt(shared_text(study, wording), "", f"{persona}\n\n{scenario}")
    lines = (f"{f.title}: {_value_text(f, person[f.name])}\n" for f in study.persona)
    head = "".join(lines) if wording.persona_in_form else ""
    return Prompt(shared_text(study, wording), scenario, persona, head)


def shared_text(study: Study, wording: Wording = USUAL) -> str:
    """Instructions, questionnaire, and the examples where there are some."""
    questions = "\n".join(question.asked(wording.reversed_options) for question in study.questions)
    text = f"{' '.join(study.instructions.split())}\n\nThe form, one line a question:\n{questions}"
    if not wording.examples:
        return text
    examples = (_example_text(study, person, wording) for person in wording.examples)
    return "\n\n".join([text, "Participants before you answered so:", *examples, "Now it is your turn."])


def filled_form(study: Study, person: Mapping[str, Any]) -> str:
    """The form as a participant filled it in; what follows from other answers is left out."""
    asked = [slot for slot in slots_of(study) if not slot.follows]
    return "\n".join(f"{s.label}: {s.texts[s.values.index(int(person[s.column]))]}" for s in asked)


def example_person(study: Study, treatment: int = 0) -> dict[str, Any]:
    """A made-up participant: of each category the first level, of each number the middle of its range."""
    person: dict[str, Any] = {"treatment": study.treatments[treatment].name}
    for field in study.persona:
        low, high = field.range or (0, 0)
        person[field.name] = field.levels[0].code if field.levels else round((low + high) / 2)
    return person


def persona_text(study: Study, person: Mapping[str, Any]) -> str:
    """Every persona field of a participant in words."""
    return " ".join(f.text.replace("{value}", _value_text(f, person[f.name])) for f in study.persona)


def prompt_sha256(study: Study) -> str:
    """The sha256 of all that a study's prompts are made of: a change of wording changes it."""
    parts = [shared_text(study), *(t.scenario for t in study.treatments), NO_PERSONA]
    parts += [f"{field.text}{[(level.code, level.text) for level in field.levels or ()]}" for field in study.persona]
    parts += [f"{slot.label}{slot.texts}" for slot in slots_of(study)]
    return text_sha256("\n".join(parts))


def _scenario_text(study: Study, person: Mapping[str, Any]) -> str:
    return " ".join(study.treatment(str(person["treatment"])).scenario.split())


def _who(study: Study, person: Mapping[str, Any], wording: Wording) -> str:
    return persona_text(study, person) if wording.with_persona else NO_PERSONA


def _example_text(study: Study, person: Mapping[str, Any], wording: Wording) -> str:
    texts = [_scenario_text(study, person), _who(study, person, wording)]
    return "\n".join([*(reversed(texts) if wording.persona_first else texts), filled_form(study, person)])


def _value_text(field: PersonaField, value: Any) -> str:
    if field.levels is None:
        return np.format_float_positional(float(value), trim="-")
    return next(level.text for level in field.levels if level.code == value)
