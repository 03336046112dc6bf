from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from pilotlm.data.prompts import NO_PERSONA, Wording, prompt_for, shared_text
from pilotlm.errors import InputError
from pilotlm.models.chat import SYSTEM
from pilotlm.models.encoding import Encoder
from pilotlm.models.loading import load_model
from pilotlm.study import Study

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def byte_tokenizer(*merges: tuple[str, str], normalizer: Any = None, **special: str) -> PreTrainedTokenizerFast:
    """A token for every byte, and one for each merge; a line feed is written Ċ and a blank Ġ."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *("".join(merge) for merge in merges), "<end>"]
    tokenizer = Tokenizer(BPE({word: code for code, word in enumerate(words)}, list(merges)))
    # Without its own cutting into words, tokens may reach over any joint.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", **special)


def with_chat(template: str) -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> list[dict[str, Any]]:
    return draw_toy_people(10, 2).to_dict("records")


def decoded(tokenizer: PreTrainedTokenizerFast, *pieces: tuple[int, ...]) -> str:
    return str(tokenizer.decode([token for piece in pieces for token in piece]))


TOKENIZERS = {
    "bytes": byte_tokenizer(),
    "begins the text": byte_tokenizer(bos_token="<end>"),
    "chat": with_chat(CHAT),
    "cuts over joints": byte_tokenizer((".", "Ċ"), ("Ċ", "Ċ"), (":", "Ġ"), ("1", "Ċ")),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(
    "varied", ["with_persona", "persona_first", "persona_in_form", "reversed_options", "examples", "nothing"]
)
def test_the_pieces_are_the_text(toy: Study, people: list[dict[str, Any]], name: str, varied: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "with_persona": {"with_persona": False}, "examples": {"examples": tuple(people[:2])}, "nothing": {},
    }  # fmt: skip
    wording, tokenizer = Wording(**changes.get(varied, {varied: True})), TOKENIZERS[name]
    encoder = Encoder(toy, tokenizer, wording)
    for person in people:
        prompt = encoder.prompt(person)
        text = encoder.text(person)
        assert decoded(tokenizer, prompt.shared, prompt.scenario, prompt.persona) == text
        assert prompt_for(toy, person, wording).text in text


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_is_shared_has_the_same_tokens_for_all(toy: Study, people: list[dict[str, Any]], name: str) -> None:
    encoder = Encoder(toy, TOKENIZERS[name])
    prompts = [encoder.prompt(person) for person in people]
    assert len({prompt.shared for prompt in prompts}) == 1
    assert len({(p["treatment"], prompt.scenario) for p, prompt in zip(people, prompts, strict=True)}) == 2
    assert len({prompt.persona for prompt in prompts}) > 5


@pytest.mark.parametrize("name", TOKENIZERS)
def test_behind_the_persona_the_scenario_is_not_shared(toy: Study, people: list[dict[str, Any]], name: str) -> None:
    encoder = Encoder(toy, TOKENIZERS[name], Wording(persona_first=True))
    prompts = [encoder.prompt(person) for person in people]
    assert {prompt.scenario for prompt in prompts} == {()} and len({prompt.shared for prompt in prompts}) == 1
    for person, prompt in zip(people, prompts, strict=True):
        own = decoded(TOKENIZERS[name], prompt.persona)
        assert own.index("years old") < own.index(toy.treatment(person["treatment"]).scenario)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_form_is_encoded_line_by_line(toy: Study, name: str) -> None:
    tokenizer = TOKENIZERS[name]
    encoder = Encoder(toy, tokenizer)
    assert [encoded.slot.column for encoded in encoder.slots] == list(toy.answer_columns)
    assert [encoded.slot.column for encoded in encoder.asked] == ["fear", "odds_none", "odds_small", "leave"]
    for encoded in encoder.slots:
        for text, answer in zip(encoded.slot.texts, encoded.answers, strict=True):
            assert decoded(tokenizer, encoded.label, answer) == f"{encoded.slot.label}: {text}\n"
    assert [encoder.answer_index(encoder.slots[1], value) for value in (0, 25, 100)] == [0, 1, 4]


def test_without_a_persona_nobody_is_told_apart(toy: Study, people: list[dict[str, Any]]) -> None:
    tokenizer = TOKENIZERS["bytes"]
    encoder = Encoder(toy, tokenizer, Wording(with_persona=False))
    assert {decoded(tokenizer, encoder.prompt(person).persona) for person in people} == {f"\n\n{NO_PERSONA}\n\n"}
    assert len({encoder.text(person) for person in people}) == 2  # the treatments


def test_a_tokenizer_without_chat_template_reads_the_plain_text(toy: Study, people: list[dict[str, Any]]) -> None:
    tiny = load_model("tiny-random").tokenizer
    assert not tiny.chat_template and not tiny.bos_token
    text = Encoder(toy, tiny).text(people[0])
    assert text == prompt_for(toy, people[0]).text + "\n\n"
    assert Encoder(toy, TOKENIZERS["begins the text"]).text(people[0]) == f"<end>{text}"


def test_a_chat_template_goes_around_the_text(toy: Study, people: list[dict[str, Any]]) -> None:
    tokenizer = TOKENIZERS["chat"]
    prompt = prompt_for(toy, people[0])
    assert Encoder(toy, tokenizer).text(people[0]) == f"<|user|>\n{prompt.text}<end>\n<|assistant|>\n"
    pieces = Encoder(toy, tokenizer).prompt(people[0])
    assert decoded(tokenizer, pieces.shared) == f"<|user|>\n{shared_text(toy)}"
    assert pieces.persona.count(tokenizer.eos_token_id) == 1  # a token of its own, not its letters


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("<|user|>{{ 'nothing' }}<|assistant|>", "drops the user's words"),
        ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "repeats the user's words"),
        ("{{ raise_exception('not today') }}", r"fails with TemplateError \(not today\)"),
        ("{{ raise_exception(messages[0].content) }}", "fails with TemplateError"),
        ("{% if %}", "fails with TemplateSyntaxError"),
        ("{{ 1 + 'a' }}", "fails with TypeError"),
        ("{{ messages[0].content[0].text.x }}", "fails with UndefinedError"),
        ({"tools": CHAT}, "fails with ValueError"),
    ],
)
def test_a_chat_template_that_does_not_work_is_one_sentence(toy: Study, template: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Encoder(toy, with_chat(template))
    assert "chat template" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "demand",
    ["{% if messages[0].role != 'system' %}{{ raise_exception('a system turn first') }}{% endif %}",
     "{% if messages[0].role == 'system' %}", "{{ messages[1].content.strip() and '' }}"],
)  # fmt: skip
def test_a_template_that_wants_a_system_turn_gets_one(toy: Study, people: list[dict[str, Any]], demand: str) -> None:
    end = "{% endif %}" if demand.startswith("{% if") and "endif" not in demand else ""
    encoder = Encoder(toy, with_chat(demand + CHAT + end))
    said = f"<|system|>\n{SYSTEM}<end>\n<|user|>\n{prompt_for(toy, people[0]).text}<end>\n<|assistant|>\n"
    assert encoder.text(people[0]) == said and encoder.reads_as_joined(people[0])
    assert len(encoder.notes) == 1 and SYSTEM in encoder.notes[0]


@pytest.mark.parametrize(
    ("opened", "closed"),
    [("<think>\n", "<think>\n\n</think>\n\n"), ("<think>", "<think>\n</think>\n\n"),
     ("<seed:think>", "<seed:think>\n</seed:think>\n\n"), ("<reasoning>\n", "<reasoning>\n\n</reasoning>\n\n"),
     ("<|begin_of_thought|>\n", "<|begin_of_thought|>\n\n<|end_of_thought|>\n\n"), ("[THINK]", "[THINK]\n[/THINK]\n\n"),
     ("<|START_THINKING|>", "<|START_THINKING|>\n<|END_THINKING|>\n\n"), ("◁think▷", "◁think▷\n◁/think▷\n\n"),
     ("{% if enable_thinking is defined and not enable_thinking %}</think>{% else %}<think>{% endif %}", "</think>"),
     ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"), ("", "")],
)  # fmt: skip
def test_no_form_stands_inside_a_block_of_reasoning(
    toy: Study, people: list[dict[str, Any]], opened: str, closed: str
) -> None:
    encoder = Encoder(toy, with_chat(CHAT.replace("<|assistant|>\n", f"<|assistant|>\n{opened}")))
    assert encoder.text(people[0]).endswith(f"<end>\n<|assistant|>\n{closed}")
    assert len(encoder.notes) == (opened != closed and "enable_thinking" not in opened)
    assert encoder.reads_as_joined(people[0])


def test_the_day_does_not_change_the_prompt(toy: Study, people: list[dict[str, Any]]) -> None:
    today = (
        "{%- if not date_string is defined and strftime_now is defined %}"
        "{%- set date_string = strftime_now('%d %B %Y') %}{%- endif %}Today is {{ date_string }}.\n"
    )
    text = Encoder(toy, with_chat(today + CHAT)).text(people[0])
    assert text.startswith("Today is 1 January 2025.\n<|user|>\n")
    assert str(dt.datetime.now().year) not in text.replace("2025", "")


@pytest.mark.parametrize(
    ("line", "change", "dropped", "clash"),
    [
        (2, {"options": [{"code": k, "text": t, "answer": t} for k, t in enumerate(("Leave", "leave", "call"))]},
         normalizers.Lowercase(), "'leave': this tokenizer cannot tell the answer 'Leave'"),
        (0, {"high": 10}, normalizers.Replace("\n", ""), "'fear': this tokenizer cannot tell the answer '1'"),
    ],
    ids=["case", "line ends"],
)  # fmt: skip
def test_answers_clash_where_what_tells_them_apart_is_dropped(
    toy_content: dict[str, Any], line: int, change: dict[str, Any], dropped: Any, clash: str
) -> None:
    questions = [{**question, **(change if k == line else {})} for k, question in enumerate(toy_content["questions"])]
    study = Study.model_validate({**toy_content, "questions": questions})
    with pytest.raises(InputError) as error:
        Encoder(study, byte_tokenizer(normalizer=dropped))
    assert str(error.value) == f"study 'toy', {clash} from another one; change how the answers are written."
    Encoder(study, byte_tokenizer())


def test_whether_the_pieces_have_the_tokens_of_the_text(toy: Study, people: list[dict[str, Any]]) -> None:
    for name, wanted in (("bytes", True), ("begins the text", True), ("chat", True), ("cuts over joints", False)):
        encoder = Encoder(toy, TOKENIZERS[name])
        assert {encoder.reads_as_joined(person) for person in people} == {wanted}, name
    # People who are to be simulated have no answers yet.
    unanswered = {name: value for name, value in people[0].items() if name not in toy.answer_columns}
    assert Encoder(toy, TOKENIZERS["bytes"]).reads_as_joined(unanswered)
    inside = byte_tokenizer(("f", "o"), ("o", "r"))
    assert Encoder(toy, inside).reads_as_joined(people[0])  # cut within words, not at a joint
