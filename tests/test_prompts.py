from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from pilotlm.data.prompts import (
    NO_PERSONA,
    Wording,
    filled_form,
    persona_text,
    prompt_for,
    prompt_sha256,
    shared_text,
    slots_of,
)
from pilotlm.study import Study, load_study, study_names

PERSON = {"treatment": "alarm", "age": 41, "sex": 1, "region": 2}


def test_the_prompt_says_every_persona_field(toy: Study) -> None:
    assert persona_text(toy, PERSON) == "You are 41 years old. You are a woman. You live in the south."
    assert prompt_for(toy, PERSON).text.endswith(persona_text(toy, PERSON))


@pytest.mark.parametrize("name", study_names())
def test_changing_any_field_changes_the_prompt_of_every_shipped_study(name: str) -> None:
    study = load_study(name)
    low = {field.name: field.levels[0].code if field.levels else field.range[0] for field in study.persona}  # type: ignore[index]
    high = {field.name: field.levels[-1].code if field.levels else field.range[1] for field in study.persona}  # type: ignore[index]
    first = {"treatment": study.treatments[0].name, **low}
    texts = [prompt_for(study, first | {field: high[field]}).text for field in low]
    assert len({*texts, prompt_for(study, first).text}) == len(low) + 1


def test_two_persons_differ_only_in_the_persona_and_two_treatments_in_the_scenario(toy: Study) -> None:
    prompt, older = prompt_for(toy, PERSON), prompt_for(toy, PERSON | {"age": 42})
    calm = prompt_for(toy, PERSON | {"treatment": "calm"})
    assert (prompt.shared, prompt.scenario) == (older.shared, older.scenario) and prompt.persona != older.persona
    assert (prompt.shared, prompt.persona) == (calm.shared, calm.persona) and prompt.scenario != calm.scenario


def test_without_persona_everybody_reads_the_same(toy: Study) -> None:
    texts = {prompt_for(toy, PERSON | {"age": age}, Wording(with_persona=False)).text for age in (20, 50, 80)}
    assert len(texts) == 1 and NO_PERSONA in texts.pop()


def test_the_persona_may_stand_first(toy: Study) -> None:
    again = prompt_for(toy, PERSON, Wording(persona_in_form=True))
    assert again.text == prompt_for(toy, PERSON).text and len(again.head.splitlines()) == len(toy.persona)
    assert all(line.partition(": ")[2].split()[0] in again.persona for line in again.head.splitlines())
    usual, first = prompt_for(toy, PERSON), prompt_for(toy, PERSON, Wording(persona_first=True))
    assert first.text == f"{usual.shared}\n\n{usual.persona}\n\n{usual.scenario}" and first.scenario == ""


def test_options_and_scales_may_be_named_backwards(toy: Study) -> None:
    usual = shared_text(toy).splitlines()
    backwards = shared_text(toy, Wording(reversed_options=True)).splitlines()
    changed = [(a, b) for a, b in zip(usual, backwards, strict=True) if a != b]
    assert [(a.split("(")[1], b.split("(")[1]) for a, b in changed] == [
        ("1 = not to 4 = very)", "4 = very to 1 = not)"),
        ("stay; leave; call)", "call; leave; stay)"),
    ]


def test_people_may_be_shown_with_their_answers(toy: Study) -> None:
    shown = PERSON | {"age": 77, "fear": 4, "odds_none": 25, "odds_small": 0, "odds_big": 75, "leave": 1}
    text = shared_text(toy, Wording(examples=(shown,)))
    start = text.index("Participants before you")
    assert text[:start] == shared_text(toy) + "\n\n"
    example = text[start:]
    assert "You are 77 years old." in example and toy.treatment(PERSON["treatment"]).scenario.split()[0] in example
    assert filled_form(toy, shown) in example
    # What follows from the other parts is not asked, so it is not shown either.
    assert "75" not in filled_form(toy, shown) and ": 4\n" in filled_form(toy, shown)
    hidden = shared_text(toy, Wording(with_persona=False, examples=(shown,)))
    assert "77" not in hidden and NO_PERSONA in hidden


@pytest.mark.parametrize(
    ("value", "words"), [(41, "41"), (41.0, "41"), (29.5, "29.5"), (1234567, "1234567"), (0.125, "0.125")]
)
def test_a_number_is_said_in_full(toy: Study, value: float, words: str) -> None:
    # "%g" would say 1.23457e+06 of an income.
    assert f"You are {words} years old." in persona_text(toy, PERSON | {"age": value})


@pytest.mark.parametrize(
    "words", ["{value}", "{treatment}", "{{ x }}", "{% if x %}", "%s", "$HOME", "[[content]]", "{0.__class__}"]
)
def test_markers_in_the_data_are_not_expanded(toy_content: dict[str, Any], words: str) -> None:
    content = {**toy_content, "instructions": f"Read {words} here."}
    content["treatments"] = [{**t, "scenario": f"A sign says {words} here."} for t in toy_content["treatments"]]
    levels = [{"code": 1, "text": words}, {"code": 2, "text": "b"}]
    content["persona"] = [{"name": "home", "text": "You live in {value}.", "levels": levels}]
    content |= {"subgroups": [], "regressions": []}
    prompt = prompt_for(Study.model_validate(content), {"treatment": "calm", "home": 1})
    assert prompt.persona == f"You live in {words}."
    assert prompt.scenario == f"A sign says {words} here."
    assert prompt.shared.startswith(f"Read {words} here.")


def test_the_form_says_what_is_allowed(toy: Study) -> None:
    lines = prompt_for(toy, PERSON).shared.splitlines()
    assert "fear: How afraid are you? (1 = not to 4 = very)" in lines
    assert "How likely is it (numbers in steps of 25 that sum to 100: no fire, a small fire, a big fire)" in lines
    assert "leave: What do you do? (stay; leave; call)" in lines


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["treatments"][1].update(scenario="Two bells ring."),
        lambda c: c["persona"][1]["levels"][0].update(text="male"),
        lambda c: c["questions"][0].update(text="Afraid?"),
        lambda c: c["questions"][2]["options"][2].update(answer="phone"),
        lambda c: c.update(instructions="Fill it in."),
    ],
)
def test_a_change_of_wording_changes_the_prompt_hash(toy: Study, toy_content: dict[str, Any], change: Any) -> None:
    content = copy.deepcopy(toy_content)
    assert prompt_sha256(Study.model_validate(content)) == prompt_sha256(toy)
    change(content)
    assert prompt_sha256(Study.model_validate(content)) != prompt_sha256(toy)


# The form.


def test_one_line_a_question_and_one_a_part(toy: Study) -> None:
    slots = slots_of(toy)
    assert [slot.column for slot in slots] == list(toy.answer_columns)
    assert [slot.label for slot in slots] == ["fear", "no fire", "a small fire", "a big fire", "leave"]
    assert [slot.follows for slot in slots] == [False, False, False, True, False]


def test_texts_stand_for_values_in_order(toy: Study) -> None:
    fear, *parts, leave = slots_of(toy)
    assert (fear.values, fear.texts) == ((1, 2, 3, 4), ("1", "2", "3", "4"))
    assert all(part.values == (0, 25, 50, 75, 100) for part in parts)
    assert (leave.values, leave.texts) == ((0, 1, 2), ("stay", "leave", "call"))


def test_a_part_may_take_what_the_earlier_ones_left(toy: Study) -> None:
    _, none, small, big, leave = slots_of(toy)
    assert (none.spent, small.spent, big.spent) == ((), ("odds_none",), ("odds_none", "odds_small"))
    left = np.array([100, 25, 0])
    assert small.allowed(left, 3).sum(axis=1).tolist() == [5, 2, 1]
    assert leave.allowed(None, 2).all()
    assert leave.total is None and small.total == 100
