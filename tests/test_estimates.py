"""What `pilotlm check` says of a study's length, time and memory."""

import shutil

import pytest

from pilotlm.answering.encoding import Encoder
from pilotlm.answering.estimates import Lengths, describe_run, expected_run, prompt_lengths
from pilotlm.answering.models import load_model
from pilotlm.answering.sampling import simulate
from pilotlm.errors import InputError
from pilotlm.records import cache_folder


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny-random")


def test_tokens_are_those_of_the_whole_text(toy, toy_people, tiny):
    people = toy_people.head(1)
    found = prompt_lengths(toy, people, tiny)
    encoder, person = Encoder(toy, tiny.tokenizer), people.iloc[0].to_dict()
    assert encoder.reads_as_joined(person)
    form = "".join(
        f"{e.slot.label}: {e.slot.texts[encoder.answer_index(e, person[e.slot.column])]}\n" for e in encoder.asked
    )
    whole = tiny.tokenizer(encoder.text(person) + form, add_special_tokens=False)["input_ids"]
    assert found.longest == len(whole) == found.shared + found.own + found.answers


def test_more_people_and_longer_prompts_take_longer(tiny):
    short, long = Lengths(100, 40, 20, 160), Lengths(100, 400, 200, 700)
    # The machine's speed is measured each time: a factor of ten stands out of its noise.
    assert (
        expected_run(long, tiny, 100, 1000).simulating_minutes > expected_run(short, tiny, 100, 100).simulating_minutes
    )
    assert expected_run(short, tiny, 1000, 10).training_minutes > expected_run(short, tiny, 10, 10).training_minutes
    assert 1 < expected_run(short, tiny, 10, 10).memory_gib < 2  # a model of some hundred kilobytes


def test_what_cannot_be_told_is_said(toy, toy_people):
    assert "50 people in the fine-tuning sample" in describe_run(toy, toy_people.iloc[[0] * 200], "tiny-random")
    assert "cannot be told without the model" in describe_run(toy, toy_people, "/no/such/folder")


CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|reply|>"
TEMPLATES = {
    "needs a system turn": "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}"
    + CHAT
    + "{% endif %}",
    "thinks": CHAT + "<think>\n{% endif %}",
    "never works": "{{ raise_exception('no') }}",
}
"""Of models of random weights."""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_model_s_chat_template_gives_answers_or_a_sentence(toy, toy_people, tmp_path, name):
    load_model("tiny-random")
    shutil.copytree(cache_folder() / "models" / "tiny-random", tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(TEMPLATES[name], encoding="utf-8")
    model = str(tmp_path / "model")
    if name == "never works":
        with pytest.raises(InputError, match=r"chat template of the model .*fails with TemplateError \(no\)"):
            describe_run(toy, toy_people, model)
        return
    said = describe_run(toy, toy_people, model)
    assert said.startswith("The chat template ") and ("system turn" in said) == (name == "needs a system turn")
    assert len(simulate(load_model(model), toy, toy_people.head(3), 1)) == 3
