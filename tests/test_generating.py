from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from plain import plain_logp, random_model

from pilotlm.answering.drawing import row_uniforms
from pilotlm.answering.encoding import Encoder, Tokens
from pilotlm.answering.generating import (
    QUOTED,
    Generated,
    Labels,
    WrittenForm,
    generate_answers,
    longest_form,
    token_uniforms,
    write_forms,
)
from pilotlm.answering.models import LanguageModel, load_model
from pilotlm.answering.respondent import Respondent
from pilotlm.answering.sampling import simulate
from pilotlm.errors import InputError
from pilotlm.instrument.answers import slots_of
from pilotlm.instrument.parsing import FailedForm, Rule, parse_form
from pilotlm.instrument.sources import load_people
from pilotlm.laws import expected_column
from pilotlm.responses import as_responses, valid_mass_column
from pilotlm.study import Study, load_study

ANSWERS = ["fear", "odds_none", "odds_small", "odds_big", "leave"]
END = 256
"""The token that ends a text of tiny-random."""


@pytest.fixture(scope="module")
def tiny(cache: Path) -> LanguageModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTLM_CACHE", str(cache))
        return load_model("tiny-random")


@pytest.fixture(scope="module")
def lively(tiny: LanguageModel) -> LanguageModel:
    """Random weights, in double precision, so that no token is decided by rounding."""
    made = random_model()
    return replace(made, model=made.model.double())


@pytest.fixture(scope="module")
def brief(toy_content: dict[str, Any]) -> Study:
    """The toy study in few letters, because tiny models read letter by letter."""
    content = copy.deepcopy(toy_content)
    content["instructions"] = content["treatments"][0]["scenario"] = "x"
    content["treatments"][1]["scenario"] = "yy"
    content["persona"], content["subgroups"] = [{"name": "age", "text": "{value}", "range": [5, 180]}], []
    for letter, question in zip("fol", content["questions"], strict=True):
        question["text"], question["form"] = "?", letter
    for letter, part in zip("abc", content["questions"][1]["parts"], strict=True):
        part["text"] = letter
    content["questions"][0]["high"] = 2
    content["questions"][1]["step"] = 50
    content["questions"][2]["options"] = [
        {"code": 0, "text": "no", "answer": "n"},
        {"code": 1, "text": "yes", "answer": "y"},
    ]
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def people(draw_toy_people: Callable[[int, int], pd.DataFrame]) -> pd.DataFrame:
    """People of both treatments whose texts differ in length."""
    return draw_toy_people(24, 3).assign(age=np.tile([8, 33, 104, 61], 6))


@pytest.fixture(scope="module")
def writer(brief: Study, people: pd.DataFrame) -> LanguageModel:
    """A tiny model that was taught the form, but not for long: some of what it writes is one."""
    return taught(brief, people)


def taught(study: Study, people: pd.DataFrame) -> LanguageModel:
    """A tiny model that has seen forms of a study."""
    made = random_model(initializer_range=0.05)
    encoder, rng = Encoder(study, made.tokenizer), np.random.default_rng(1)
    prompts = [context_of(encoder, person) for person in people.to_dict("records")] * 2
    forms = [some_form(encoder, rng) for _ in prompts]
    width = max(len(prompt) + len(form) for prompt, form in zip(prompts, forms, strict=True))
    tokens, learned = torch.full((len(forms), width), END), torch.full((len(forms), width), -100)
    for row, (prompt, form) in enumerate(zip(prompts, forms, strict=True)):
        tokens[row, : len(prompt) + len(form)] = torch.tensor(prompt + form)
        learned[row, len(prompt) : len(prompt) + len(form)] = torch.tensor(form)
    optimiser = torch.optim.Adam(made.model.parameters(), lr=0.01)
    for _ in range(160):
        some = rng.permutation(len(forms))[:8]
        optimiser.zero_grad()
        made.model(input_ids=tokens[some], labels=learned[some]).loss.backward()
        optimiser.step()
    return replace(made, model=made.model.double().eval())


def all_forms(encoder: Encoder) -> list[Tokens]:
    """Every form of the brief study in tokens, each with and without the last part of the allocation.

    Its questions may stand in any order.
    """
    forms = []
    for fear, first, second, leave in itertools.product((1, 2), (0, 50, 100), (0, 50, 100), (0, 1)):
        if first + second <= 100:
            values = dict(zip(ANSWERS, (fear, first, second, 100 - first - second, leave), strict=True))
            lines = {
                one.slot: one.label + one.answers[encoder.answer_index(one, values[one.slot.column])]
                for one in encoder.slots
            }
            asked = [line for slot, line in lines.items() if not slot.follows]
            forms += [sum(lines.values(), ()), sum(asked, ())]
    return forms


def some_form(encoder: Encoder, rng: np.random.Generator) -> Tokens:
    forms = all_forms(encoder)
    return forms[rng.integers(len(forms))]


def context_of(encoder: Encoder, person: dict[str, Any]) -> Tokens:
    prompt = encoder.prompt(person)
    return prompt.shared + prompt.scenario + prompt.persona


def plainly(
    language_model: LanguageModel, context: Tokens, uniforms: NDArray[np.float64], temperature: float
) -> Tokens:
    """Write token by token: the whole text is read anew for each, nothing is remembered; ends with the end of text."""
    text: list[int] = []
    for uniform in uniforms:
        with torch.inference_mode():
            logits = language_model.model(torch.tensor([[*context, *text]]), use_cache=False).logits[0, -1].double()
        reached = (logits / temperature).softmax(-1).cumsum(-1).numpy()
        text.append(int(np.searchsorted(reached, uniform * reached[-1], side="right")))
        if text[-1] == END:
            break
    return tuple(text)


def by(language_model: LanguageModel, study: Study) -> Respondent:
    return Respondent(language_model, Encoder(study, language_model.tokenizer))


def uniforms_of(people: pd.DataFrame, tokens: int, draw: int = 0) -> NDArray[np.float64]:
    return token_uniforms(1, people["participant"].to_numpy(), np.full(len(people), draw), 0, tokens)


def written_by(
    language_model: LanguageModel, study: Study, people: pd.DataFrame, temperature: float = 1.0, batch: int = 32
) -> tuple[Encoder, NDArray[np.float64], list[WrittenForm]]:
    encoder = Encoder(study, language_model.tokenizer)
    uniforms = uniforms_of(people, longest_form(encoder))
    return encoder, uniforms, write_forms(Respondent(language_model, encoder), people, uniforms, temperature, batch)


def check_form(form: WrittenForm, reference: Tokens, study: Study) -> None:
    """What was written is the reference, up to the first token at which it was clear what it is."""
    length = len(form.tokens)
    assert form.tokens == reference[:length]
    slots = slots_of(study)
    if form.ended:
        assert reference[length:] == (END,) and form.read == parse_form(slots, form.text)
    else:
        assert form.read == parse_form(slots, form.text, ended=False)
        assert not form.unfinished or length == len(reference)
        if form.failed and not form.unfinished and length < len(reference):
            # A wrong line stops at its end or when enough of it stood there.
            assert form.text.endswith("\n") or len(form.text.rpartition("\n")[2]) >= QUOTED


# Against the plain model.


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("name", ["lively", "writer"])
def test_tokens_are_those_of_the_plain_model(
    name: str, temperature: float, brief: Study, people: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(name)
    encoder, uniforms, forms = written_by(model, brief, people, temperature)
    for row in (0, 1, 2, 3, 7, 10):  # both treatments and all lengths
        reference = plainly(model, context_of(encoder, people.iloc[row].to_dict()), uniforms[row], temperature)
        check_form(forms[row], reference, brief)
    assert len({form.tokens for form in forms}) > 3


@pytest.mark.parametrize("name", ["tiny", "lively", "writer"])
def test_at_temperature_zero_the_text_is_that_of_transformers(
    name: str, brief: Study, people: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(name)
    encoder, uniforms, forms = written_by(model, brief, people, temperature=0)
    for row in (0, 1, 2, 3, 7, 10):
        check_form(
            forms[row], greedily(model, context_of(encoder, people.iloc[row].to_dict()), len(uniforms[row])), brief
        )


def greedily(language_model: LanguageModel, context: Tokens, most: int) -> Tokens:
    """What transformers itself writes when it takes the likeliest token."""
    prompt = torch.tensor([context]).to(language_model.device)
    with torch.inference_mode():
        whole = language_model.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=most
        )
    return tuple(whole[0, len(context) :].tolist())


def test_forms_are_written_as_often_as_the_model_says(
    writer: LanguageModel, brief: Study, people: pd.DataFrame
) -> None:
    n = 800
    crowd = pd.concat([people.iloc[[2]]] * n, ignore_index=True).assign(participant=np.arange(n))
    encoder, _, forms = written_by(writer, brief, crowd, batch=200)
    context = context_of(encoder, people.iloc[2].to_dict())
    seen = Counter(form.tokens for form in forms)
    law = {form: np.exp(plain_logp(writer, context, form)) for form in all_forms(encoder)}
    often = [form for form, probability in law.items() if n * probability >= 5]
    counts = [seen[form] for form in often]
    expected = [n * law[form] for form in often]
    assert len(often) >= 3 and n - sum(expected) >= 5
    test = scipy.stats.chisquare([*counts, n - sum(counts)], [*expected, n - sum(expected)])
    assert test.pvalue > 1e-3


def given_labels(
    language_model: LanguageModel, study: Study, people: pd.DataFrame, batch: int = 32
) -> tuple[Encoder, list[WrittenForm]]:
    encoder = Encoder(study, language_model.tokenizer)
    uniforms = uniforms_of(people, longest_form(encoder))
    return encoder, write_forms(Respondent(language_model, encoder), people, uniforms, batch=batch, labels="given")


def test_behind_given_labels_answers_are_as_frequent_as_the_model_says(
    writer: LanguageModel, brief: Study, people: pd.DataFrame
) -> None:
    n = 400
    crowd = pd.concat([people.iloc[[2]]] * n, ignore_index=True).assign(participant=np.arange(n))
    encoder, forms = given_labels(writer, brief, crowd, batch=200)
    context = context_of(encoder, people.iloc[2].to_dict())
    asked: list[dict[Tokens, float]] = [{(): 1.0}]
    for encoded in encoder.asked:  # a label is certain, an answer has the probability of its tokens
        asked.append({
            form + encoded.label + answer:
                probability * np.exp(plain_logp(writer, context + form + encoded.label, answer))
            for form, probability in asked[-1].items() for answer in encoded.answers
        })  # fmt: skip
    seen = Counter(form.tokens for form in forms)
    often = [form for form, probability in asked[-1].items() if n * probability >= 5]
    expected = [n * asked[-1][form] for form in often]
    assert len(often) >= 3 and n - sum(expected) >= 5
    counts = [seen[form] for form in often]
    test = scipy.stats.chisquare([*counts, n - sum(counts)], [*expected, n - sum(expected)])
    assert test.pvalue > 1e-3


def test_given_labels_stand_in_the_text_and_cost_no_uniform_number(
    writer: LanguageModel, lively: LanguageModel, brief: Study, people: pd.DataFrame
) -> None:
    for form in given_labels(lively, brief, people)[1]:
        assert form.text.startswith("f:") and isinstance(form.read, FailedForm) and form.read.rule is not Rule.LABEL
    _, forms = given_labels(writer, brief, people)
    whole = [form.text for form in forms if not form.failed]
    assert whole and all([line[:2] for line in text.split("\n")] == ["f:", "a:", "b:", "l:", ""] for text in whole)


def test_a_form_that_ends_with_what_follows_is_whole_without_its_label(brief: Study, people: pd.DataFrame) -> None:
    fear, odds, leave = brief.questions
    last = brief.model_copy(update={"questions": (fear, leave, odds)})
    _, forms = given_labels(taught(last, people), last, people)  # most are whole, whatever the last digits are
    whole = [form for form in forms if not form.failed]
    assert len(whole) > 3
    for form in whole:
        assert form.text.endswith("\n") and [line[:2] for line in form.text.split("\n")] == ["f:", "l:", "a:", "b:", ""]
        assert isinstance(form.read, tuple) and sum(form.read[2:]) == 100


# What a row depends on.


@pytest.mark.parametrize("labels", ["written", "given"])
@pytest.mark.parametrize("batch", [1, 64])
def test_rows_do_not_depend_on_the_batch_or_the_order(
    writer: LanguageModel, brief: Study, people: pd.DataFrame, batch: int, labels: Labels
) -> None:
    encoder = Encoder(brief, writer.tokenizer)
    uniforms = uniforms_of(people, longest_form(encoder))
    wanted = write_forms(Respondent(writer, encoder), people, uniforms, batch=7, labels=labels)
    assert len({form.tokens for form in wanted}) > 10
    assert len({len(form.tokens) for form in wanted}) > 3, "rows must leave the batch at different times"
    order = np.random.default_rng(0).permutation(len(people))
    for rows in (np.arange(len(people)), order):
        got = write_forms(Respondent(writer, encoder), people.iloc[rows], uniforms[rows], batch=batch, labels=labels)
        assert got == [wanted[row] for row in rows]


def test_the_uniforms_of_a_row_are_its_own() -> None:
    wanted = token_uniforms(3, np.array([1, 2, 7]), np.zeros(3, dtype=int), 1, 5)
    assert np.array_equal(token_uniforms(3, np.array([7, 1]), np.zeros(2, dtype=int), 1, 3), wanted[[2, 0], :3])
    settings = [(seed, draw, attempt) for seed in (0, 1) for draw in (0, 1) for attempt in (0, 1)]
    sets = [token_uniforms(seed, np.arange(20), np.full(20, draw), attempt, 4) for seed, draw, attempt in settings]
    answers = [row_uniforms(seed, np.arange(20), np.full(20, draw), 4) for seed in (0, 1) for draw in (0, 1)]
    assert len(np.unique(np.stack(sets + answers))) == 12 * 20 * 4
    assert token_uniforms(1, np.array([], dtype=int), np.array([], dtype=int), 0, 4).shape == (0, 4)


def test_draws_and_attempts_are_anew(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    one, three = (generate_answers(by(writer, brief), people, 1, draws=draws) for draws in (1, 3))
    first = three.answers["draw"] == 0
    pd.testing.assert_frame_equal(one.answers, three.answers[first].reset_index(drop=True))
    assert sorted(set(three.answers["draw"])) == [0, 1, 2]
    assert len({tuple(kept) for kept in three.kept.reshape(-1, 3).T}) == 3
    assert (generate_answers(by(writer, brief), people, 2).kept != one.kept).any()


# What comes back.


def joined(study: Study, people: pd.DataFrame, generated: Generated, draws: int) -> pd.DataFrame:
    """Responses of the rows that there are."""
    rows = people.loc[people.index.repeat(draws)].reset_index(drop=True)[generated.kept].reset_index(drop=True)
    return as_responses(study, rows, generated.answers, "base", 1, rows["participant"] < 0)


def test_answers_are_those_of_the_forms_that_can_be_read(
    writer: LanguageModel, brief: Study, people: pd.DataFrame
) -> None:
    generated = generate_answers(by(writer, brief), people, 1, draws=2)
    usual = simulate(writer, brief, people, 1)
    assert list(generated.answers) == [name for name in usual if not name.startswith(expected_column(""))]
    assert generated.answers.filter(like=valid_mass_column("")).isna().all(axis=None)
    encoder = Encoder(brief, writer.tokenizer)
    responses = joined(brief, people, generated, 2)
    for draw in (0, 1):
        uniforms = uniforms_of(people, longest_form(encoder), draw)
        forms = write_forms(Respondent(writer, encoder), people, uniforms)
        good = [form.read for form in forms if not form.failed]
        assert 0 < len(good) < len(people)
        of_draw = responses[responses["draw"] == draw]
        assert of_draw[ANSWERS].to_numpy().tolist() == [list(read) for read in good]
        who = [p for p, form in zip(people["participant"], forms, strict=True) if not form.failed]
        assert of_draw["participant"].tolist() == who
        wrong = generated.failures[generated.failures["draw"] == draw]
        told = [FailedForm(*row) for row in wrong[["line", "column", "rule", "stood"]].itertuples(index=False)]
        assert told == [form.read for form in forms if form.failed]
        assert set(wrong["participant"]) == set(people["participant"]) - set(who)
        assert set(wrong["attempt"]) == {0}


def test_what_was_written_goes_through_a_table(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    whole = generate_answers(by(writer, brief), people, 1, draws=2)
    for table in (whole.packed(), pd.concat([whole.packed()], ignore_index=True)):
        back = Generated.unpacked(table)
        pd.testing.assert_frame_equal(back.answers[ANSWERS], whole.answers[ANSWERS])
        assert np.array_equal(back.kept, whole.kept) and back.facts() == whole.facts()
    blocks = [generate_answers(by(writer, brief), people.iloc[k : k + 8], 1, draws=2).packed() for k in (0, 8, 16)]
    back = Generated.unpacked(pd.concat(blocks, ignore_index=True))
    pd.testing.assert_frame_equal(back.answers[ANSWERS], whole.answers[ANSWERS])
    assert np.array_equal(back.kept, whole.kept) and back.facts() == whole.facts()


def test_failures_are_counted(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    done: list[int] = []
    generated = generate_answers(by(writer, brief), people, 1, draws=2, attempts=3, batch=5, progress=done.append)
    assert sum(done) == 2 * len(people)
    failures, facts = generated.failures, generated.facts()
    # A form is tried again when it failed, and only then.
    once = generate_answers(by(writer, brief), people, 1, draws=2)
    first = failures[failures["attempt"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, once.failures)
    assert (generated.kept >= once.kept).all() and generated.kept.sum() > once.kept.sum()
    tries = failures.groupby(["draw", "participant"]).size()
    assert facts["rows_lost"] == (tries == 3).sum() == (~generated.kept).sum()
    assert facts["forms_failed"] == len(failures) == sum(sum(n.values()) for n in facts["failed_by_rule"].values())
    assert facts["forms_written"] == 2 * len(people) + (failures["attempt"] < 2).sum()
    for rule, columns in facts["failed_by_rule"].items():
        for column, number in columns.items():
            assert number == ((failures["rule"] == rule) & (failures["column"] == column)).sum()
    assert json.loads(json.dumps(facts)) == facts


def test_a_model_that_writes_no_form_answers_nothing(tiny: LanguageModel, toy: Study, people: pd.DataFrame) -> None:
    many = pd.concat([people] * 5, ignore_index=True).assign(participant=np.arange(120))
    generated = generate_answers(by(tiny, toy), many, 1)
    assert len(generated.answers) == 0 and not generated.kept.any()
    assert (generated.answers.dtypes[ANSWERS] == np.int64).all()
    assert generated.facts()["rows_lost"] == generated.facts()["forms_failed"] == 120
    back = Generated.unpacked(generated.packed())
    assert list(back.answers) == list(generated.answers) and len(back.answers) == 0
    assert back.facts() == generated.facts()
    assert Rule.LABEL in set(generated.failures["rule"]) <= {Rule.LABEL, Rule.ENDED}
    assert generated.failures["stood"].str.len().max() == QUOTED
    assert len(joined(toy, many, generated, 1)) == 0


def test_the_end_of_a_text_ends_a_row(tiny: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    ending = copy.deepcopy(tiny.model)
    ending.generation_config.eos_token_id = [END, 200, 201]
    _, _, forms = written_by(replace(tiny, model=ending), brief, people)
    _, _, longer = written_by(tiny, brief, people)
    cut = [(a, b) for a, b in zip(forms, longer, strict=True) if {200, 201} & set(b.tokens)]
    for short, long in cut:
        stop = min(long.tokens.index(token) for token in (200, 201) if token in long.tokens)
        assert short.tokens == long.tokens[:stop]
        assert isinstance(short.read, FailedForm) and short.read.rule in (Rule.ENDED, Rule.LABEL)
    assert cut


def test_special_tokens_stay_in_the_text(writer: LanguageModel, brief: Study, people: pd.DataFrame) -> None:
    _, uniforms, wanted = written_by(writer, brief, people)
    special = copy.deepcopy(writer.tokenizer)
    made = by(replace(writer, tokenizer=special), brief)
    # A letter, so that the prompts stay as they are; an encoder made afterwards would refuse a study that holds it.
    special.add_special_tokens({"additional_special_tokens": ["n"]})
    assert write_forms(made, people, uniforms) == wanted
    with pytest.raises(InputError, match="a text holds 'n'"):
        by(replace(writer, tokenizer=special), brief)
    assert any("l: n" in form.text for form in wanted)


# Refusals.


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; allowed: 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"labels": "none"}, "cannot be 'none'; allowed: written, given"),
        ({"attempts": 0}, "number of attempts is 0; allowed: 1 or more"),
        ({"attempts": 2, "temperature": 0}, "each of the 2 attempts writes the same text"),
    ],
)
def test_settings_out_of_range_are_refused(
    tiny: LanguageModel, brief: Study, people: pd.DataFrame, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        generate_answers(by(tiny, brief), people, 1, **settings)


def test_a_model_without_room_for_the_form_is_refused(tiny: LanguageModel, toy: Study, people: pd.DataFrame) -> None:
    encoder = Encoder(toy, tiny.tokenizer)
    longest = max(len(context_of(encoder, person)) for person in people.to_dict("records"))
    # The parts of the allocation that are asked fit, the one that follows does not.
    short = random_model(max_position_embeddings=longest + longest_form(encoder) - 1)
    with pytest.raises(InputError, match=f"needs {longest + longest_form(encoder)} for a written form"):
        generate_answers(by(short, toy), people, 1)


def test_the_longest_form_has_room_for_every_form(tiny: LanguageModel, brief: Study) -> None:
    encoder = Encoder(brief, tiny.tokenizer)
    assert max(map(len, all_forms(encoder))) <= longest_form(encoder)
    # f: 2, then 100 on each of the lines a, b and c, then l: y; a letter a token.
    assert longest_form(encoder) == len("f: 2\na: 100\nb: 100\nc: 100\nl: y\n")


# The embedded model.


@pytest.mark.embedded
def test_the_embedded_model_writes_what_transformers_writes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLM_CACHE", str(cache))
    model, study = load_model(), load_study("framing")
    people = load_people(study).table.head(4)
    encoder, uniforms, forms = written_by(model, study, people, temperature=0)
    reference = greedily(model, context_of(encoder, people.iloc[3].to_dict()), uniforms.shape[1])
    assert forms[3].tokens == reference[: len(forms[3].tokens)] != ()
    generated = generate_answers(by(model, study), people, 1)
    assert generated.kept.sum() + len(generated.failures) == 4 == generated.facts()["forms_written"]
    assert len(joined(study, people, generated, 1)) == generated.kept.sum()
